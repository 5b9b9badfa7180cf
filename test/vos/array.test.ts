import { describe, expect, test } from "bun:test";
import { EPOCH_NONE } from "../../src/base/epoch.ts";
import { BLOCK_BYTES, KIB, MAX_ARRAY_BYTES, MAX_ARRAY_IO_BYTES, MAX_RECORD_BYTES, MIB } from "../../src/base/limits.ts";
import { MAX_PUNCHED_WINDOWS } from "../../src/vos/array-write.ts";
import { cutIntoWindows, windowLead } from "../../src/vos/array-window.ts";
import {
  BITMAP_META,
  encodePartMeta,
  encodeSegmentsMeta,
  MetaType,
  NO_META,
  SINGLE_META,
  WHOLE_META,
} from "../../src/vos/cell-meta.ts";
import { CONTAINER, key, makeRig, oid, refusal, type Rig, settled } from "./rig.ts";

const KEYS = { oid: oid(1), dkey: key("d"), akey: key("a"), flags: 0, epoch: EPOCH_NONE };

function write(rig: Rig, start: number, bytes: Uint8Array, recordBytes = 1): Promise<{ epoch: number }> {
  const range = { recordIndex: start, recordCount: bytes.length / recordBytes, recordBytes };
  return settled(rig.objects.writeArray(CONTAINER, { ...KEYS, ...range }, bytes));
}

function read(rig: Rig, start: number, count: number, epoch: number = EPOCH_NONE) {
  const range = { recordIndex: start, recordCount: count, recordBytes: 0, epoch: epoch as typeof EPOCH_NONE };
  return settled(rig.objects.readArray(CONTAINER, { ...KEYS, ...range }));
}

describe("windowLead", () => {
  const leadOf = (meta: Uint8Array) => windowLead({ metaType: meta[0] ?? 0, meta });

  test("lays bytes of a window out as if they had been written to an extent", () => {
    expect(leadOf(WHOLE_META)).toBe(0);
    expect(leadOf(encodePartMeta(MetaType.part, 100, 3000))).toBe(100);
    expect(leadOf(encodePartMeta(MetaType.part, 2 * BLOCK_BYTES + 100, 3000))).toBe(100);
    expect(leadOf(encodeSegmentsMeta([{ start: BLOCK_BYTES + 7, end: 2 * BLOCK_BYTES }]))).toBe(7);
  });

  test("leaves everything else where it is", () => {
    const others = [NO_META, SINGLE_META, BITMAP_META, encodePartMeta(MetaType.hole, 100, 3000), Uint8Array.of(6, 1)];
    for (const meta of others) expect(leadOf(meta)).toBeUndefined();
  });
});

describe("cutIntoWindows", () => {
  test("puts a piece into the class of its size", () => {
    const classes = (start: number, end: number): string[] =>
      cutIntoWindows(start, end).map((piece) => `${piece.windowClass}:${piece.window}+${piece.end - piece.start}`);
    expect(classes(0, 4 * KIB)).toEqual(["12:0+4096"]);
    expect(classes(10, 4 * KIB + 10)).toEqual(["12:0+4086", "12:1+10"]);
    expect(classes(0, 4 * KIB + 1)).toEqual(["16:0+4097"]);
    expect(classes(60 * KIB, 70 * KIB)).toEqual(["16:0+4096", "16:1+6144"]);
    expect(classes(0, 64 * KIB + 1)).toEqual(["20:0+65537"]);
    expect(classes(MIB - 1, 2 * MIB + 1)).toEqual(["12:255+1", "20:1+1048576", "12:512+1"]);
  });
});

describe("arrays", () => {
  test("up to the last byte there may be", async () => {
    const rig = makeRig();
    await write(rig, MAX_ARRAY_BYTES - 3, Uint8Array.of(1, 2, 3));
    expect([...(await read(rig, MAX_ARRAY_BYTES - 4, 4)).bytes]).toEqual([0, 1, 2, 3]);
    expect(await refusal(() => write(rig, MAX_ARRAY_BYTES - 2, Uint8Array.of(1, 2, 3)))).toBe("TOO_LARGE");
    const max = await rig.objects.queryKey(CONTAINER, { ...KEYS, direction: "max", levels: ["extent"] });
    expect(max.extent!.index + max.extent!.count).toBe(MAX_ARRAY_BYTES);
    const page = await rig.objects.listExtents(CONTAINER, { ...KEYS, from: 0, limit: 10 });
    expect(page.extents.map(({ index, count }) => [index, count])).toEqual([[MAX_ARRAY_BYTES - 3, 3]]);
    expect(page.done).toBe(true);
  });

  test("refuse what cannot be right", async () => {
    const rig = makeRig();
    const request = { ...KEYS, recordIndex: 0, recordCount: 1, recordBytes: 1 };
    const attempt = (change: object, bytes = Uint8Array.of(1)) =>
      refusal(() => settled(rig.objects.writeArray(CONTAINER, { ...request, ...change }, bytes)));
    expect(await attempt({ recordCount: 2 })).toBe("INVALID_ARGUMENT");
    expect(await attempt({ recordBytes: 0 })).toBe("INVALID_ARGUMENT");
    expect(await attempt({ recordBytes: 1.5 })).toBe("INVALID_ARGUMENT");
    expect(await attempt({ recordBytes: MAX_RECORD_BYTES + 1 })).toBe("INVALID_ARGUMENT");
    expect(await attempt({ recordIndex: -1 })).toBe("INVALID_ARGUMENT");
    expect(await attempt({ recordIndex: Number.MAX_SAFE_INTEGER })).toBe("TOO_LARGE");
    expect(await attempt({ recordIndex: 2 ** 53 })).toBe("INVALID_ARGUMENT");
    const large = new Uint8Array(MAX_ARRAY_IO_BYTES + 1);
    expect(await attempt({ recordCount: large.length }, large)).toBe("TOO_LARGE");
    expect(rig.store.cellCount).toBe(0);
    await write(rig, 0, new Uint8Array(8), 8);
    expect(await refusal(() => write(rig, 0, new Uint8Array(4), 4))).toBe("INVALID_ARGUMENT");
    expect(await refusal(() => settled(rig.objects.updateValue(CONTAINER, KEYS, new Uint8Array(1))))).toBe(
      "INVALID_ARGUMENT",
    );
    expect(await refusal(() => settled(rig.objects.fetchValue(CONTAINER, KEYS)))).toBe("INVALID_ARGUMENT");
    expect(await refusal(() => settled(rig.objects.readArray(CONTAINER, request)))).toBe("INVALID_ARGUMENT");
  });

  test("of no records write nothing", async () => {
    const rig = makeRig();
    await write(rig, 5, new Uint8Array(0));
    expect(rig.store.appends).toBe(0);
    expect((await read(rig, 0, 0)).found).toBe(false);
  });

  test("of which everything was punched may begin anew as something else", async () => {
    const rig = makeRig();
    await write(rig, 0, new Uint8Array(16).fill(1), 8);
    const range = { ...KEYS, recordIndex: 0, recordCount: 2, recordBytes: 8 };
    await settled(rig.objects.punchArray(CONTAINER, range));
    await write(rig, 1, new Uint8Array(3).fill(2), 3);
    expect([...(await read(rig, 0, 3)).bytes]).toEqual([0, 0, 0, 2, 2, 2, 0, 0, 0]);
    await settled(rig.objects.punchArray(CONTAINER, { ...range, recordBytes: 3, recordCount: 9 }));
    await settled(rig.objects.updateValue(CONTAINER, KEYS, Uint8Array.of(9)));
    expect([...(await settled(rig.objects.fetchValue(CONTAINER, KEYS))).value]).toEqual([9]);
    rig.store.settle();
    expect([...(await settled(rig.objects.fetchValue(CONTAINER, KEYS))).value]).toEqual([9]);
  });

  test("read one aligned 4 KiB piece with two lookups, and write it with few", async () => {
    const rig = makeRig({ durable: true });
    for (let at = 0; at < 40; at += 1) await write(rig, at * 4 * KIB, new Uint8Array(4 * KIB).fill(at + 1));
    rig.store.lookups = 0;
    await read(rig, 8 * 4 * KIB, 4 * KIB);
    expect(rig.store.lookups).toBe(2);
    rig.store.lookups = 0;
    await write(rig, 8 * 4 * KIB, new Uint8Array(4 * KIB));
    expect(rig.store.lookups).toBe(1);
  });

  test("give back the small windows that a whole large one covers", async () => {
    const rig = makeRig();
    for (let at = 0; at < 256; at += 1) await write(rig, at * 4 * KIB, new Uint8Array(4 * KIB).fill(1));
    await write(rig, 0, new Uint8Array(20 * KIB).fill(2));
    await write(rig, 0, new Uint8Array(MIB).fill(3));
    rig.store.settle();
    // Object, array, and one window.
    expect(rig.store.cellCount).toBe(3);
    expect((await read(rig, 0, MIB)).bytes.every((byte) => byte === 3)).toBe(true);
  });

  test("a range punch of too many windows changes nothing; smaller ones do it", async () => {
    const rig = makeRig();
    const windows = MAX_PUNCHED_WINDOWS + 1;
    for (let at = 0; at < windows; at += 1) await write(rig, at * 8 * KIB, Uint8Array.of(7));
    const punch = (from: number, to: number) =>
      settled(
        rig.objects.punchArray(CONTAINER, { ...KEYS, recordIndex: from, recordCount: to - from, recordBytes: 0 }),
      );
    const end = windows * 8 * KIB;
    expect(await refusal(() => punch(0, MAX_ARRAY_BYTES))).toBe("TOO_LARGE");
    expect((await read(rig, 0, 1)).found).toBe(true);
    await punch(0, end / 2);
    await punch(Math.floor(end / 2), MAX_ARRAY_BYTES);
    expect(await rig.objects.queryKey(CONTAINER, { ...KEYS, direction: "max", levels: ["extent"] })).toMatchObject({
      found: false,
    });
    const dkeys = await rig.objects.listDkeys(CONTAINER, { oid: oid(1), limit: 10, epoch: EPOCH_NONE });
    expect(dkeys.keys).toEqual([]);
  });
});

describe("WindowMerges", () => {
  const limits = { windowParts: 3 };

  test("make one version of many parts, at every size of window, and keep the holes", async () => {
    for (const [base, piece, gap] of [
      [0, 50, 60],
      [64 * KIB, 5000, 6000],
      [2 * MIB, 70_000, 80_000],
    ] as const) {
      const rig = makeRig({ strict: true, limits });
      const expected = new Map<number, number>();
      for (let index = 0; index < 9; index += 1) {
        const start = base + ((index * 5) % 9) * gap;
        await write(rig, start, new Uint8Array(piece).fill(index + 1));
        for (let at = start; at < start + piece; at += 1) expected.set(at, index + 1);
      }
      await rig.objects.idle();
      expect(rig.objects.mergeCounters.merged).toBeGreaterThan(0);
      rig.store.settle();
      const result = await read(rig, base, 9 * gap);
      for (let at = 0; at < 9 * gap; at += 1)
        if (result.bytes[at] !== (expected.get(base + at) ?? 0)) throw new Error(`byte ${at}`);
      expect(result.holes.length).toBe(9);
      expect(rig.store.versionCount).toBeLessThan(8);
    }
  });

  test("of a window with hundreds of runs keep a bitmap", async () => {
    const rig = makeRig({ strict: true, limits });
    for (let at = 0; at < 600; at += 2) await write(rig, at, Uint8Array.of((at % 250) + 1));
    await write(rig, 4095, Uint8Array.of(77));
    await rig.objects.idle();
    await read(rig, 0, 10);
    await rig.objects.idle();
    rig.store.settle();
    expect(rig.store.versionCount).toBeLessThan(6);
    const result = await read(rig, 0, 4096);
    for (let at = 0; at < 4096; at += 1) {
      const expected = at === 4095 ? 77 : at < 600 && at % 2 === 0 ? (at % 250) + 1 : 0;
      if (result.bytes[at] !== expected) throw new Error(`byte ${at}: ${result.bytes[at]} instead of ${expected}`);
    }
    expect(result.holes.length).toBe(300);
  });

  test("show a snapshot between two writes what it showed before", async () => {
    const rig = makeRig({ strict: true, limits });
    for (let index = 0; index < 8; index += 1) await write(rig, index * 10, new Uint8Array(10).fill(index + 1));
    const snapshot = await rig.objects.createSnapshot(CONTAINER);
    // A larger window over it, newer than the snapshot and than the parts.
    await write(rig, 0, new Uint8Array(5000).fill(99));
    const before = await read(rig, 0, 4096, snapshot);
    await rig.objects.idle();
    expect(rig.objects.mergeCounters.merged).toBe(1);
    const after = await read(rig, 0, 4096, snapshot);
    expect(after.bytes).toEqual(before.bytes);
    expect(after.holes).toEqual(before.holes);
    rig.store.settle();
    expect((await read(rig, 0, 4096, snapshot)).bytes).toEqual(before.bytes);
    expect((await read(rig, 0, 4096)).bytes.every((byte) => byte === 99)).toBe(true);
  });

  test("give way to a write and to a punch that come in between, whenever", async () => {
    for (const intruder of ["write", "punch", "dkey"] as const) {
      let dropped = 0;
      for (let turns = 0; turns < 12; turns += 1) {
        const rig = makeRig({ strict: true, limits: { ...limits, singlyPunchedAkeys: 0 } });
        for (let index = 0; index < 5; index += 1)
          await write(rig, 100_000 * index, new Uint8Array(90_000).fill(index + 1));
        // The merge reads and writes extents for several turns.
        for (let turn = 0; turn < turns; turn += 1) await new Promise(setImmediate);
        if (intruder === "write") await write(rig, 0, new Uint8Array(70_000).fill(51));
        if (intruder === "punch") await settled(rig.objects.punchAkey(CONTAINER, KEYS));
        if (intruder === "dkey") await settled(rig.objects.punchDkey(CONTAINER, KEYS));
        await rig.objects.idle();
        dropped += rig.objects.mergeCounters.dropped;
        for (let round = 0; round < 2; round += 1) {
          const result = await read(rig, 0, 90_000);
          expect(result.found).toBe(intruder === "write");
          if (intruder === "write")
            expect([result.bytes[0], result.bytes[69_999], result.bytes[70_000]]).toEqual([51, 51, 1]);
          rig.store.settle();
        }
        if (intruder !== "write") expect(rig.store.cellCount).toBeLessThanOrEqual(2);
      }
      expect(dropped).toBeGreaterThan(0);
    }
  });

  test("stop without harm when the store is full", async () => {
    const rig = makeRig({ strict: true, limits });
    for (let index = 0; index < 8; index += 1) await write(rig, index * 10, new Uint8Array(10).fill(index + 1));
    rig.store.full = true;
    await rig.objects.idle();
    expect(rig.objects.mergeCounters).toMatchObject({ merged: 0, failed: 1 });
    expect((await read(rig, 0, 80)).bytes[75]).toBe(8);
  });
});

test("a hole stays a hole when a large write over it is punched, though a snapshot keeps what was there before", async () => {
  const rig = makeRig();
  await write(rig, 0, Buffer.alloc(BLOCK_BYTES, 1));
  const snapshot = await rig.objects.createSnapshot(CONTAINER);
  const range = { recordIndex: 0, recordCount: BLOCK_BYTES, recordBytes: 1 };
  await settled(rig.objects.punchArray(CONTAINER, { ...KEYS, ...range }));
  await write(rig, 0, Buffer.alloc(MIB, 2));
  await settled(rig.objects.punchArray(CONTAINER, { ...KEYS, ...range, recordCount: MIB }));
  rig.store.settle();
  expect((await read(rig, 0, BLOCK_BYTES)).found).toBe(false);
  expect((await read(rig, 0, BLOCK_BYTES, snapshot)).bytes[0]).toBe(1);
});

test("what has to wait for room keeps its bytes, though they lie in memory that is used again at once", async () => {
  const { objects, store } = makeRig({ durable: true });
  const buffer = Buffer.from("array value");
  const array = { oid: oid(1), dkey: key("d"), akey: key("a"), recordIndex: 0, recordCount: 5, recordBytes: 1 };
  const value = { oid: oid(1), dkey: key("d"), akey: key("v") };
  store.congestion = 2;
  const writes = [
    objects.writeArray(CONTAINER, array, buffer.subarray(0, 5)),
    objects.updateValue(CONTAINER, value, buffer.subarray(6)),
  ];
  expect(writes.every((write) => write instanceof Promise)).toBe(true);
  buffer.fill("x");
  await Promise.all(writes);
  const read = await settled(objects.readArray(CONTAINER, { ...array, epoch: EPOCH_NONE }));
  const fetched = await settled(objects.fetchValue(CONTAINER, { ...value, epoch: EPOCH_NONE }));
  expect([read.bytes, fetched.value].map((found) => Buffer.from(found).toString())).toEqual(["array", "value"]);
});
