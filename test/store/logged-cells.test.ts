import { expect, test } from "bun:test";
import type { ByteString } from "../../src/base/bytes.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import { BLOCK_BYTES } from "../../src/base/limits.ts";
import { decodeLogRecord, encodeLogRecord, logRecordBytes, type RecordWrite } from "../../src/format/log-record.ts";
import { VersionKind } from "../../src/store/cell.ts";
import { LoggedCells, NO_WRITE } from "../../src/store/logged-cells.ts";
import { expectCode } from "./expect-code.ts";
import { key, NO_META, put, StoreRig, tombstone } from "./store-rig.ts";

interface Logged {
  readonly cells: LoggedCells;
  readonly bytes: Buffer;
}

/** The cells of one record of these writes. */
function logged(writes: readonly RecordWrite[], keepsHidden = false): Logged {
  const length = logRecordBytes(writes, [], []);
  const bytes = Buffer.alloc(length);
  encodeLogRecord(bytes, 0, length, 7, 1, 0, writes, [], []);
  const cells = new LoggedCells();
  cells.beginSegment(bytes);
  for (const write of decodeLogRecord(bytes, 0, length, 7)!.writes) cells.add(write, keepsHidden);
  return { cells, bytes };
}

/** Epochs of a cell's writes, last written first. */
function epochs(cells: LoggedCells, name: ByteString): number[] {
  const found: number[] = [];
  for (let place = cells.newest(name); place !== NO_WRITE; place = cells.older(place)) {
    found.push(cells.content(place, name).epoch);
  }
  return found;
}

function large(name: string, epoch: number, offset: number): RecordWrite {
  const extent = { offset, length: 10, checksums: new Uint32Array(1) };
  return { key: key(name), epoch: epoch as Epoch, kind: VersionKind.value, meta: NO_META, extent };
}

test("a value takes the place of what it hides, and its bytes are found where they lie", () => {
  const { cells } = logged([put("b", 1, "one"), put("a", 2, "two"), tombstone("b", 3), put("b", 4, "four")]);
  expect(cells.cellCount).toBe(2);
  expect(cells.sortedKeys()).toEqual([key("a"), key("b")]);
  expect(epochs(cells, key("b"))).toEqual([4]);
  expect(Buffer.from(cells.content(cells.newest(key("b")), key("b")).inline!).toString()).toBe("four");
});

test("what snapshots may see stays, and so does what a part, a tombstone or an older epoch does not hide", () => {
  const part = (epoch: number): RecordWrite => ({ ...put("a", epoch, "x"), kind: VersionKind.part });
  expect(epochs(logged([put("a", 1, "x"), put("a", 2, "y")], true).cells, key("a"))).toEqual([2, 1]);
  expect(epochs(logged([put("a", 1, "x"), part(2)]).cells, key("a"))).toEqual([2, 1]);
  expect(epochs(logged([put("a", 1, "x"), tombstone("a", 2)]).cells, key("a"))).toEqual([2, 1]);
  expect(epochs(logged([put("a", 2, "x"), put("a", 1, "y")]).cells, key("a"))).toEqual([1, 2]);
  expect(epochs(logged([put("a", 2, "x"), part(4), put("a", 3, "y")]).cells, key("a"))).toEqual([3, 4, 2]);
});

test("the extents of all that was hidden are named once", () => {
  const { cells } = logged([
    large("a", 1, 0),
    { ...large("a", 2, BLOCK_BYTES), kind: VersionKind.part },
    large("a", 3, 2 * BLOCK_BYTES),
    put("a", 4, "small"),
    put("a", 5, "small"),
    large("b", 6, 3 * BLOCK_BYTES),
  ]);
  expect(cells.hiddenExtents.map(({ offset }) => offset / BLOCK_BYTES).sort()).toEqual([0, 1, 2]);
  expect(cells.content(cells.newest(key("b")), key("b")).extent!.offset).toBe(3 * BLOCK_BYTES);
});

test("bytes that changed since they were decoded are CORRUPT", () => {
  const { cells, bytes } = logged([put("abc", 1, "one")]);
  const start = bytes.indexOf("abc") - 4 - 20;
  bytes.writeUInt16LE(6, start + 2);
  expectCode("CORRUPT", () => cells.content(cells.newest(key("abc")), key("abc")));
  bytes.writeUInt16LE(7, start + 2);
  bytes[start] = 9;
  expectCode("CORRUPT", () => cells.content(cells.newest(key("abc")), key("abc")));
});

test("a small index takes a settle in one transaction, a larger one in several", async () => {
  const commits: number[] = [];
  for (const smallIndex of [2, 100_000]) {
    const rig = new StoreRig({ regionBytes: 1032 * 1024 });
    rig.transactionPages = { usual: 2, smallIndex };
    await rig.open(true);
    const before = rig.index.commits;
    for (let turn = 0; turn < 200; turn += 1) await rig.write([put(`k${turn % 20}`, turn + 1, "x".repeat(300))]);
    await rig.settle();
    commits.push(rig.index.commits - before);
    expect(rig.names().length).toBe(20);
    await rig.store.close();
  }
  expect(commits[0]!).toBeGreaterThan(3 * commits[1]!);
});
