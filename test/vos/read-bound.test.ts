/** What was read at an epoch stays as it was, also when the target crashes and starts anew with a clock that is behind. */
import { describe, expect, test } from "bun:test";
import { EPOCH_NONE, type Epoch, HybridLogicalClock } from "../../src/base/epoch.ts";
import type { WriteOrder } from "../../src/vos/write-order.ts";
import { VersionedObjects } from "../../src/vos/versioned-objects.ts";
import { StoreRig } from "../store/store-rig.ts";
import { bytes, CONTAINER, key, oid, settled } from "./rig.ts";

const BEHIND_MS = 50;
const AKEY = { oid: oid(1), dkey: key("d"), akey: key("a") };

async function startedRig(): Promise<StoreRig> {
  const rig = new StoreRig();
  await rig.open(true);
  return rig;
}

function open({ store, machine }: StoreRig, behindMs = 0): VersionedObjects {
  const clock = new HybridLogicalClock(() => machine.clock.wallMs() - behindMs);
  const { timers } = machine;
  const objects = new VersionedObjects({ store, clock, timers });
  objects.openContainer(CONTAINER);
  return objects;
}

/** Reads at the present epoch, and lets the answer leave. */
async function readNow(objects: VersionedObjects): Promise<Epoch> {
  const epoch = objects.newEpoch();
  await settled(objects.fetchValue(CONTAINER, { ...AKEY, epoch }));
  await objects.reads.durable();
  return epoch;
}

describe("ReadBound", () => {
  test("writes go behind what was read before a crash, though the clock is back", async () => {
    const rig = await startedRig();
    const before = open(rig);
    await readNow(before);
    await rig.machine.timers.advance(BEHIND_MS);
    const read = await readNow(before);
    await rig.crash();
    const objects = open(rig, 2 * BEHIND_MS);
    const { epoch } = await settled(objects.updateValue(CONTAINER, AKEY, bytes("later")));
    expect(epoch).toBeGreaterThan(read);
    const again = await settled(objects.fetchValue(CONTAINER, { ...AKEY, epoch: read }));
    expect(again.found).toBe(false);
  });

  test("what a leader has put before it is refused", async () => {
    const rig = await startedRig();
    const read = await readNow(open(rig));
    await rig.crash();
    const objects = open(rig);
    const order: WriteOrder = { origin: { client: 1, sequence: 1, firstIncomplete: 1 }, isPrepared: true, epoch: read };
    const update = (): unknown => objects.updateValue(CONTAINER, { ...AKEY, order }, bytes("x"));
    expect(update).toThrow(expect.objectContaining({ code: "UNAVAILABLE" }));
  });

  test("a read at an epoch is not to be answered before the bound is durable, one of the latest state is", async () => {
    const rig = await startedRig();
    const objects = open(rig);
    await settled(objects.fetchValue(CONTAINER, { ...AKEY, epoch: EPOCH_NONE }));
    expect(objects.reads.isDurable).toBe(true);
    const sequence = rig.store.durableSequence;
    await settled(objects.fetchValue(CONTAINER, { ...AKEY, epoch: objects.newEpoch() }));
    expect(objects.reads.isDurable).toBe(false);
    await objects.reads.durable();
    expect(rig.store.durableSequence).toBe(sequence + 1);
  });

  test("many reads share a record of the log", async () => {
    const rig = await startedRig();
    const objects = open(rig);
    const sequence = rig.store.durableSequence;
    for (let count = 0; count < 1000; count += 1) await readNow(objects);
    expect(rig.store.durableSequence).toBe(sequence + 1);
  });
});
