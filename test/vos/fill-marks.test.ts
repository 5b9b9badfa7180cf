/** What a target remembers of filling, and of the pools that it is in. */
import { expect, test } from "bun:test";
import { EPOCH_MAX, HybridLogicalClock } from "../../src/base/epoch.ts";
import { TARGET_REGION } from "../../src/vos/cell-key.ts";
import { VersionedObjects } from "../../src/vos/versioned-objects.ts";
import { StoreRig } from "../store/store-rig.ts";
import { key } from "./rig.ts";

function open({ store, machine }: StoreRig): VersionedObjects {
  const clock = new HybridLogicalClock(() => machine.clock.wallMs());
  return new VersionedObjects({ store, clock, timers: machine.timers });
}

test("FillMarks: of a pool that is gone no cell is left, and of others what was there", async () => {
  const rig = await StoreRig.create();
  const { fillMarks } = open(rig);
  await fillMarks.noteAgreed("gone", 3);
  await fillMarks.noteAgreed("there", 4);
  await fillMarks.forgetPool("gone");
  await fillMarks.forgetPool("gone");
  await fillMarks.forgetPool("never heard of");
  expect([fillMarks.agreedUnder("gone"), fillMarks.agreedUnder("there")]).toEqual([0, 4]);
  await rig.crash();
  const after = open(rig).fillMarks;
  expect([after.agreedUnder("gone"), after.agreedUnder("there")]).toEqual([0, 4]);
  await rig.settle();
  const cells: string[] = [];
  rig.store.scan(key(`${TARGET_REGION}m`), key(`${TARGET_REGION}n`), EPOCH_MAX, (cell) => void cells.push(cell));
  expect(cells).toEqual([`${TARGET_REGION}mthere`]);
  // A pool may come to be called so again.
  await after.noteAgreed("gone", 1);
  expect(after.agreedUnder("gone")).toBe(1);
});
