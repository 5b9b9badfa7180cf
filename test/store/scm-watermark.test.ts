/** When a store says that its SCM is crowded: by its log, by its index, and no longer when there is room again. */
import { expect, test } from "bun:test";
import type { Settler } from "../../src/store/settler.ts";
import { put, StoreRig } from "./store-rig.ts";

const VALUE = "x".repeat(2000);

/** Appends until the store is crowded or refuses; how many values it took, and whether it was crowded. */
async function fill(rig: StoreRig): Promise<{ count: number; crowded: boolean }> {
  for (let count = 0; count < 1000; count += 1) {
    if (rig.store.isScmCrowded) return { count, crowded: true };
    if (rig.store.admit(VALUE.length) !== undefined) return { count, crowded: false };
    rig.store.append([put(`key-${count}`, count + 1, VALUE)]);
  }
  return { count: 1000, crowded: false };
}

test("a log that is not settled is crowded before writes have to wait for it", async () => {
  let release = (): void => {};
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  const held = (settler: Settler): Settler => ({
    settle: (request) => gate.then(() => settler.settle(request)),
    maintain: (request) => settler.maintain(request),
    close: () => settler.close(),
  });
  const rig = await StoreRig.create({}, held);
  expect(rig.store.isScmCrowded).toBe(false);
  const { count, crowded } = await fill(rig);
  expect([crowded, count > 10]).toEqual([true, true]);
  release();
  await rig.settle();
  expect(rig.store.isScmCrowded).toBe(false);
});

test("an index that is nearly full stays crowded, settled or not", async () => {
  const rig = await StoreRig.create({ indexBytes: 300_000 });
  let crowded = false;
  for (let round = 0; round < 20 && !crowded; round += 1) {
    for (let index = 0; index < 10 && !rig.store.isScmCrowded; index += 1) {
      await rig.write([put(`key-${round}-${index}`, round * 10 + index + 1, VALUE)]);
    }
    await rig.settle();
    crowded = rig.store.isScmCrowded;
  }
  expect(crowded).toBe(true);
  const { scmTotalBytes, scmUsedBytes, logTotalBytes, logUsedBytes } = rig.store.space();
  expect(logUsedBytes).toBeLessThan(logTotalBytes);
  expect(scmUsedBytes - logUsedBytes).toBeLessThan(scmTotalBytes - logTotalBytes);
});
