/** Purges: what is in the ranges goes, whatever keeps it, and what is written there afterwards stays. */
import { expect, test } from "bun:test";
import type { Epoch } from "../../src/base/epoch.ts";
import { BLOCK_BYTES } from "../../src/base/limits.ts";
import { type CellWrite, type KeyRange, VersionKind } from "../../src/store/cell.ts";
import { key, NO_META, put, StoreRig } from "./store-rig.ts";

const CONTAINER = 1;

function range(from: string, to: string): KeyRange {
  return { from: key(from), to: key(to) };
}

test("purge: what snapshots keep goes too, settled or not; other cells stay", async () => {
  const rig = await StoreRig.create();
  rig.store.setSnapshots(CONTAINER, [2 as Epoch]);
  for (let epoch = 1; epoch <= 3; epoch += 1) await rig.write([put("b", epoch, `b${epoch}`), put("c", epoch, "c")]);
  await rig.store.aggregate(CONTAINER);
  await rig.write([put("b", 4, "b4"), put("a", 4, "a4"), put("d", 4, "d4")]);
  await rig.store.purge([range("b", "c")]);
  expect([rig.get("b"), rig.get("b", 2), rig.get("b", 1)]).toEqual([undefined, undefined, undefined]);
  expect([rig.get("a"), rig.get("c", 2), rig.get("d")]).toEqual(["a4", "c", "d4"]);
  await rig.store.close();
});

test("purge: older epochs can be written there anew, and are there after a crash", async () => {
  const rig = await StoreRig.create();
  rig.store.setSnapshots(CONTAINER, [2 as Epoch]);
  await rig.write([put("b", 9, "old")]);
  await rig.store.purge([range("b", "c")]);
  await rig.write([put("b", 1, "one")]);
  await rig.write([put("b", 5, "five")]);
  await rig.crash();
  expect([rig.get("b", 2), rig.get("b")]).toEqual(["one", "five"]);
  await rig.store.aggregate(CONTAINER);
  expect([rig.get("b", 2), rig.get("b")]).toEqual(["one", "five"]);
  await rig.store.close();
});

test("purge: what was punched there before does not take what is written there anew, also where the punch waited for a gate", async () => {
  for (const isGated of [undefined, () => true]) {
    const rig = new StoreRig();
    rig.isGated = isGated;
    await rig.open(true);
    rig.store.setSnapshots(CONTAINER, [3 as Epoch, 9 as Epoch]);
    await rig.write([put("b", 2, "old"), put("d", 2, "old")]);
    const punch = { from: key("b"), to: key("c"), epoch: 5 as Epoch };
    const other = { from: key("d"), to: key("e"), epoch: 5 as Epoch };
    await rig.write([], [punch, other]);
    await rig.settle();
    await rig.store.purge([range("b", "c")]);
    await rig.write([put("b", 4, "new")]);
    await rig.settle();
    rig.store.setSnapshots(CONTAINER, [9 as Epoch]);
    rig.store.setGate(CONTAINER, 20 as Epoch);
    await rig.settle();
    await rig.store.aggregate(CONTAINER);
    // What the other punch hid goes when no snapshot shows it.
    expect([rig.get("b", 9), rig.get("b"), rig.get("d", 9)]).toEqual(["new", "new", undefined]);
    await rig.store.close();
  }
});

test("purge: many ranges over many slices; usage and blocks come back", async () => {
  const rig = await StoreRig.create();
  const extent = await rig.store.writeExtent(new Uint8Array(3 * BLOCK_BYTES));
  const large: CellWrite = { key: key("x5"), epoch: 1 as Epoch, kind: VersionKind.value, meta: NO_META, extent };
  await rig.write([large]);
  for (let cell = 0; cell < 50; cell += 1) await rig.write([put(`x${cell}y`, 2, "some text")]);
  await rig.write([put("z", 2, "stays")]);
  const ranges = Array.from({ length: 10 }, (_, digit) => range(`x${digit}`, `x${digit}~`));
  await rig.store.purge(ranges);
  expect(rig.store.usage(CONTAINER)).toMatchObject({ nvmeBytes: 0, versions: 1 });
  expect(rig.store.space().nvmeUsedBytes).toBe(0);
  expect(rig.names()).toEqual(["z"]);
  await rig.store.close();
});
