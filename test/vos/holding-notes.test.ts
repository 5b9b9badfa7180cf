/** What a target notes of the pools and containers that it holds. */
import { expect, test } from "bun:test";
import { EPOCH_MAX, HybridLogicalClock } from "../../src/base/epoch.ts";
import { TARGET_REGION } from "../../src/vos/cell-key.ts";
import { VersionedObjects } from "../../src/vos/versioned-objects.ts";
import { StoreRig } from "../store/store-rig.ts";
import { bytes, key } from "./rig.ts";

const TANK = "11111111-2222-4333-8444-555555555555";
const VOID = "21111111-2222-4333-8444-555555555555";

function open({ store, machine }: StoreRig): VersionedObjects {
  const clock = new HybridLogicalClock(() => machine.clock.wallMs());
  return new VersionedObjects({ store, clock, timers: machine.timers });
}

function listed(objects: VersionedObjects): unknown {
  const text = (note: Uint8Array): string => Buffer.from(note).toString();
  return {
    containers: objects.notes.containers(0, 10).map(({ container, note }) => [container, text(note)]),
    pools: objects.notes.pools().map(({ pool, note, map }) => [pool, text(note), text(map)]),
  };
}

test("HoldingNotes: are there after a crash, and replaced by newer ones; a map may have several pieces, then fewer", async () => {
  const rig = await StoreRig.create();
  const objects = open(rig);
  const large = "m".repeat(10_000);
  await objects.notes.keepPool(TANK, bytes("tank"), bytes(large));
  await objects.notes.keepPool(VOID, bytes("void"), bytes("map"));
  await objects.notes.keepContainer(300, bytes("three"));
  await objects.notes.keepContainer(2, bytes("two"));
  const all = {
    containers: [
      [2, "two"],
      [300, "three"],
    ],
    pools: [
      [TANK, "tank", large],
      [VOID, "void", "map"],
    ],
  };
  expect(listed(objects)).toEqual(all);
  await rig.crash();
  await rig.settle();
  const after = open(rig);
  expect(listed(after)).toEqual(all);
  await after.notes.keepPool(TANK, bytes("tank"), bytes("small"));
  await after.notes.keepContainer(2, bytes("II"));
  await after.notes.forgetPool(VOID);
  expect(listed(after)).toEqual({
    containers: [
      [2, "II"],
      [300, "three"],
    ],
    pools: [[TANK, "tank", "small"]],
  });
  expect(after.notes.containers(2, 10).map(({ container }) => container)).toEqual([300]);
  expect(after.notes.containers(0, 1).map(({ container }) => container)).toEqual([2]);
});

test("HoldingNotes: what is noted already is not written again", async () => {
  const rig = await StoreRig.create();
  const { notes } = open(rig);
  await notes.keepPool(TANK, bytes("tank"), bytes("map"));
  await notes.keepContainer(2, bytes("two"));
  const { highestEpoch } = rig.store;
  await notes.keepPool(TANK, bytes("tank"), bytes("map"));
  await notes.keepContainer(2, bytes("two"));
  expect(rig.store.highestEpoch).toBe(highestEpoch);
});

test("HoldingNotes: the note of a container goes with it, at once and for good", async () => {
  const rig = await StoreRig.create();
  const objects = open(rig);
  objects.openContainer(2);
  await objects.notes.keepContainer(2, bytes("two"));
  await objects.notes.keepContainer(3, bytes("three"));
  await objects.destroyContainer(2);
  const left = [[3, "three"]];
  expect(listed(objects)).toMatchObject({ containers: left });
  await rig.crash();
  const after = open(rig);
  expect(listed(after)).toMatchObject({ containers: left });
  await rig.settle();
  const cells: string[] = [];
  rig.store.scan(key(`${TARGET_REGION}n`), key(`${TARGET_REGION}o`), EPOCH_MAX, (cell) => void cells.push(cell));
  expect(cells).toHaveLength(1);
});
