/** What folding is told of a target's objects while somebody may still undo what they show. */
import { expect, test } from "bun:test";
import { HybridLogicalClock } from "../../src/base/epoch.ts";
import type { DaosError } from "../../src/base/errors.ts";
import { objectClassByName } from "../../src/base/object-class.ts";
import { objectId } from "../../src/base/object-id.ts";
import { TargetFoldStore } from "../../src/engine/fold-store.ts";
import { VersionedObjects } from "../../src/vos/versioned-objects.ts";
import { StoreRig } from "../store/store-rig.ts";
import { bytes, CONTAINER, key, settled } from "../vos/rig.ts";

const PLACE = { oid: objectId("MULTI_HASHED", objectClassByName("EC_2P1G1"), 0, 1n), dkey: key("d"), akey: key("a") };

async function collected<T>(pages: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const page of pages) all.push(page);
  return all;
}

for (const [what, list] of [
  ["an akey", (store: TargetFoldStore) => collected(store.akeys(CONTAINER))],
  ["an akey of a dkey", (store: TargetFoldStore) => collected(store.akeysOf(CONTAINER, PLACE))],
  ["an array's extent", (store: TargetFoldStore) => collected(store.extents(CONTAINER, PLACE))],
] as const) {
  test(`${what} that an undecided punch hides is found once it is undone`, async () => {
    const rig = new StoreRig();
    await rig.open(true);
    const { store, machine } = rig;
    const clock = new HybridLogicalClock(() => machine.clock.wallMs());
    const objects = new VersionedObjects({ store, clock, timers: machine.timers });
    objects.openContainer(CONTAINER);
    const write = { ...PLACE, recordIndex: 0, recordCount: 7, recordBytes: 1 };
    await settled(objects.writeArray(CONTAINER, write, bytes("replica")));
    const id = { client: 1, sequence: 1 };
    const order = { origin: { ...id, firstIncomplete: 1 }, isPrepared: true, epoch: undefined };
    await objects.punchDkey(CONTAINER, { ...PLACE, order });
    const foldStore = new TargetFoldStore(store, objects);
    const early = list(foldStore).catch((error: DaosError) => error.code);
    await machine.timers.advance(100);
    store.transactions.decide(id, "abort");
    expect(await early).toBe("UNAVAILABLE");
    expect((await list(foldStore)).flat()).toHaveLength(1);
  });
}
