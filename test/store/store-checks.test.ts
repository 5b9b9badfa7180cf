/** Bits that flip on the media: found, turned back where one alone has flipped, and never taken for what was stored. */
import { expect, test } from "bun:test";
import type { ByteString } from "../../src/base/bytes.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import { BLOCK_BYTES } from "../../src/base/limits.ts";
import { VersionKind } from "../../src/store/cell.ts";
import type { IndexTable } from "../../src/store/settled-index.ts";
import { expectRejection } from "./expect-code.ts";
import { key, NO_META, put, StoreRig } from "./store-rig.ts";

const ALL = { from: "" as ByteString, to: "" as ByteString };
const CONTAINER = 1;

function pattern(length: number): Uint8Array {
  return new Uint8Array(length).map((_, index) => (index * 31) >>> 3);
}

async function withExtent(length = 3 * BLOCK_BYTES + 100): Promise<{ rig: StoreRig; bytes: Uint8Array }> {
  const rig = await StoreRig.create();
  const bytes = pattern(length);
  const extent = await rig.store.writeExtent(bytes.slice());
  await rig.write([{ key: key("x"), epoch: 3 as Epoch, kind: VersionKind.value, meta: NO_META, extent }]);
  return { rig, bytes };
}

/** Flips bits of a row as it lies in the index. */
function rot({ machine }: StoreRig, table: IndexTable, at: number, mask: number): void {
  const [, row] = [...machine.tables.rows.get(table)!].find(([name]) => name.startsWith(key("")))!;
  row[at < 0 ? row.length + at : at]! ^= mask;
}

async function checked(rig: StoreRig, table: IndexTable): Promise<[number, number]> {
  const slice = await rig.store.checks.rows({ table, ...ALL });
  expect(slice.next).toBeUndefined();
  return [slice.mended.length, slice.damaged.length];
}

test("extents: the damaged chunks are named, and mended by the bytes that they had only", async () => {
  for (const isSettled of [false, true]) {
    const { rig, bytes } = await withExtent();
    if (isSettled) await rig.settle();
    const { checks } = rig.store;
    const { extents, next } = checks.extentsIn(key(""), key("", 2));
    expect([extents.length, next]).toEqual([1, undefined]);
    const [stored] = extents;
    expect(await checks.damaged(stored!)).toEqual([]);
    const { deviceMedium } = rig.machine;
    deviceMedium[stored!.extent.offset + BLOCK_BYTES + 7]! ^= 4;
    deviceMedium[stored!.extent.offset + 3 * BLOCK_BYTES + 99]! ^= 1;
    expect(await checks.damaged(stored!)).toEqual([1, 3]);
    const chunk = bytes.slice(BLOCK_BYTES, 2 * BLOCK_BYTES);
    const wrong = chunk.slice();
    wrong[0]! ^= 1;
    expect(await checks.mend(stored!, 1, wrong)).toBe(false);
    expect(await checks.mend(stored!, 1, chunk.subarray(1))).toBe(false);
    expect(await checks.damaged(stored!)).toEqual([1, 3]);
    expect(await checks.mend(stored!, 1, chunk)).toBe(true);
    expect(await checks.mend(stored!, 3, bytes.slice(3 * BLOCK_BYTES))).toBe(true);
    expect(await checks.damaged(stored!)).toEqual([]);
    const into = new Uint8Array(bytes.length);
    await rig.store.readExtent(stored!.extent, 0, bytes.length, into);
    expect(Buffer.compare(into, bytes)).toBe(0);
    expect(rig.device.lent).toBe(0);
    await rig.store.close();
  }
});

test("extents: what a read has found damaged is a suspect until it is mended", async () => {
  const { rig, bytes } = await withExtent();
  const { checks } = rig.store;
  const [stored] = checks.extentsIn(key(""), key("", 2)).extents;
  rig.machine.deviceMedium[stored!.extent.offset + 2 * BLOCK_BYTES]! ^= 128;
  const read = async (): Promise<number> =>
    rig.store.readExtent(stored!.extent, 0, bytes.length, new Uint8Array(bytes.length));
  await expectRejection("CORRUPT", read());
  expect(checks.suspects(stored!.extent)).toEqual([2]);
  expect(rig.machine.damageReports).toBe(1);
  expect(await checks.mend(stored!, 2, bytes.slice(2 * BLOCK_BYTES, 3 * BLOCK_BYTES))).toBe(true);
  expect(checks.suspects(stored!.extent)).toEqual([]);
  await rig.store.close();
});

test("extents: one whose version is gone is neither looked at nor written", async () => {
  const { rig, bytes } = await withExtent(BLOCK_BYTES);
  const { checks } = rig.store;
  const [stored] = checks.extentsIn(key(""), key("", 2)).extents;
  rig.machine.deviceMedium[stored!.extent.offset]! ^= 1;
  const before = rig.machine.deviceMedium.slice();
  await rig.store.purge([{ from: key("x"), to: key("y") }]);
  expect(checks.isPresent(stored!)).toBe(false);
  expect(await checks.damaged(stored!)).toEqual([]);
  expect(await checks.mend(stored!, 0, bytes)).toBe(false);
  expect(rig.machine.deviceMedium).toEqual(before);
  await rig.store.close();
});

test("extents: all versions are walked, in slices, whether they are settled or not", async () => {
  const rig = await StoreRig.create({ regionBytes: 2 << 20 });
  rig.store.setSnapshots(CONTAINER, [1, 2] as Epoch[]);
  const expected: string[] = [];
  for (let cell = 0; cell < 400; cell += 1) {
    for (let epoch = 1; epoch <= 2; epoch += 1) {
      const name = `c${cell}`;
      expected.push(`${name}@${epoch}`);
      // Blocks of no extent: nothing reads them here.
      const extent = { offset: expected.length * BLOCK_BYTES, length: 9, checksums: Uint32Array.of(1) };
      const write = { key: key(name), epoch: epoch as Epoch, kind: VersionKind.value, meta: NO_META, extent };
      const sequence = rig.store.append([write]);
      await rig.durable(sequence);
    }
    if (cell === 380) await rig.settle();
  }
  const found: string[] = [];
  let slices = 0;
  for (let from: ByteString | undefined = key(""); from !== undefined; slices += 1) {
    const slice = rig.store.checks.extentsIn(from, key("", 2));
    found.push(...slice.extents.map((stored) => `${stored.key.slice(4)}@${stored.epoch}`));
    from = slice.next;
  }
  expect(slices).toBeGreaterThan(1);
  expect(found.toSorted()).toEqual(expected.toSorted());
});

test("rows: each single bit of a row is turned back, of the checksum too; other damage is named and left", async () => {
  const rig = await StoreRig.create();
  rig.store.setSnapshots(CONTAINER, [1 as Epoch]);
  await rig.write([put("a", 1, "one")]);
  await rig.write([put("a", 2, "two")]);
  await rig.settle();
  for (const table of ["cells", "history"] as const) {
    expect(await checked(rig, table)).toEqual([0, 0]);
    for (let at = 0; at < 19; at += 1) {
      for (let bit = 0; bit < 8; bit += 1) {
        rot(rig, table, at, 1 << bit);
        expect(await checked(rig, table)).toEqual([1, 0]);
        expect([rig.get("a"), rig.get("a", 1)]).toEqual(["two", "one"]);
      }
    }
  }
  rot(rig, "cells", 6, 0x11);
  rot(rig, "cells", -1, 0x42);
  expect(await checked(rig, "cells")).toEqual([0, 1]);
  // Past the cache of what was read.
  expect(() => rig.get("a", 5)).toThrow("checksum does not match");
  rot(rig, "cells", 6, 0x11);
  rot(rig, "cells", -1, 0x42);
  expect(rig.get("a")).toBe("two");
  await rig.store.close();
});

test("rows: those of every table are checked", async () => {
  const { rig } = await withExtent();
  await rig.write([put("a", 1, "one")], [{ from: key("r"), to: key("s"), epoch: 9 as Epoch }]);
  await rig.settle();
  for (const table of rig.store.checks.tables) {
    const rows = [...rig.machine.tables.rows.get(table)!.values()];
    for (const row of rows) row[row.length - 1]! ^= 8;
    expect(await checked(rig, table)).toEqual([rows.length, 0]);
    expect(await checked(rig, table)).toEqual([0, 0]);
  }
  await rig.store.close();
});

test("settling over a damaged row, or a damaged log, mends and goes on", async () => {
  const rig = await StoreRig.create();
  await rig.write([put("a", 1, "one"), put("b", 1, "b")]);
  await rig.settle();
  rot(rig, "cells", -2, 32);
  await rig.write([put("a", 2, "two")]);
  // The medium alone: what is in memory is right.
  const at = rig.machine.regionMedium.indexOf(
    Buffer.from("two").at(0)!,
    rig.machine.regionMedium.lastIndexOf(0x74) - 2,
  );
  rig.machine.regionMedium[at]! ^= 2;
  await rig.settle();
  expect(rig.store.space().logUsedBytes).toBe(0);
  await rig.crash();
  expect([rig.get("a"), rig.get("b")]).toEqual(["two", "b"]);
  await rig.store.close();
});

test("log: each single bit of a segment that is in use is turned back", async () => {
  const rig = await StoreRig.create();
  await rig.write([put("a", 1, "some text that is stored")]);
  await rig.write([put("b", 2, "more of it"), put("c", 2, "")], [{ from: key("r"), to: key("s"), epoch: 9 as Epoch }]);
  const { log } = rig.store.checks;
  const [ordinal] = log.ordinals();
  const { bytes: length, mended } = await log.check(ordinal!);
  expect([length > 200, mended]).toEqual([true, 0]);
  const start = 8192;
  const before = rig.region.bytes.slice();
  for (let at = start; at < start + length; at += 1) {
    rig.region.bytes[at]! ^= 1 << (at & 7);
    const { mended: found, damaged } = await log.check(ordinal!);
    // Between records nothing is stored.
    expect(found <= 1 && damaged === 0).toBe(true);
    if (found === 0) rig.region.bytes[at]! ^= 1 << (at & 7);
    expect(rig.region.bytes.subarray(0, start + length)).toEqual(before.subarray(0, start + length));
  }
  const { bytes: now } = await log.check(ordinal!);
  rig.region.bytes[start + 70]! ^= 3;
  rig.region.bytes[start + 99]! ^= 3;
  expect(await log.check(ordinal!)).toEqual({ bytes: now, mended: 0, damaged: expect.any(Number) });
  expect((await log.check(ordinal!)).damaged).toBeGreaterThan(1);
});
