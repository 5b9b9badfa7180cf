import { expect, test } from "bun:test";
import type { ByteString } from "../../src/base/bytes.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import { DaosError } from "../../src/base/errors.ts";
import { BLOCK_BYTES, KIB, MAX_CELL_KEY_BYTES } from "../../src/base/limits.ts";
import { type CellWrite, VersionKind } from "../../src/store/cell.ts";
import { expectCode, expectRejection } from "./expect-code.ts";
import { key, LATEST, NO_META, put, StoreRig, text, tombstone } from "./store-rig.ts";

test("append shows a write at once, with its sequence until it is durable", async () => {
  const rig = await StoreRig.create();
  const sequence = rig.store.append([put("a", 1, "one")]);
  expect(rig.get("a")).toBe("one");
  expect(rig.store.get(key("a"), LATEST)!.sequence).toBe(sequence);
  await rig.durable(sequence);
  expect(rig.store.get(key("a"), LATEST)!.sequence).toBe(0);
  expect(rig.store.durableSequence).toBe(sequence);
});

test("versions are found by epoch, whether they are logged, settled or both", async () => {
  const rig = await StoreRig.create();
  rig.store.setSnapshots(1, [15 as Epoch]);
  await rig.write([put("a", 10, "ten")]);
  await rig.write([put("a", 20, "twenty")]);
  await rig.settle();
  await rig.write([put("a", 30, "thirty")]);
  expect([9, 10, 19, 20, 29, 30].map((epoch) => rig.get("a", epoch))).toEqual([
    undefined,
    "ten",
    "ten",
    "twenty",
    "twenty",
    "thirty",
  ]);
  expect(rig.store.aggregatedTo(1)).toBe(20 as Epoch);
});

test("parts are visited down to the first complete version, across log and index", async () => {
  const rig = await StoreRig.create();
  const part = (epoch: number): CellWrite => ({ ...put("a", epoch, `${epoch}`), kind: VersionKind.part });
  await rig.write([put("a", 1, "hidden")]);
  await rig.write([put("a", 2, "base")]);
  await rig.write([part(3)]);
  await rig.settle();
  await rig.write([part(4)]);
  await rig.write([part(5)]);
  expect(rig.versions("a")).toEqual(["5", "4", "3", "2"]);
  expect(rig.versions("a", 4)).toEqual(["4", "3", "2"]);
  const visited: number[] = [];
  rig.store.versions(key("a"), LATEST, (version) => visited.push(version.epoch) < 3);
  expect(visited).toEqual([5, 4, 3]);
});

test("an equal epoch replaces, before and after settling", async () => {
  const rig = await StoreRig.create();
  const part = (epoch: number, value: string): CellWrite => ({ ...put("a", epoch, value), kind: VersionKind.part });
  await rig.write([put("a", 1, "base")]);
  await rig.write([part(2, "two")]);
  await rig.settle();
  await rig.write([put("a", 2, "merged")]);
  expect(rig.versions("a")).toEqual(["2"]);
  expect(rig.get("a")).toBe("merged");
  await rig.settle();
  expect(rig.get("a")).toBe("merged");
  expect(rig.versions("a")).toEqual(["2"]);
  expect(rig.store.usage(1).versions).toBe(1);
});

test("scan merges memtables and index in order and in reverse, at an epoch", async () => {
  const rig = await StoreRig.create();
  rig.store.setSnapshots(1, [2 as Epoch]);
  await rig.write([put("b", 1, "b"), put("d", 2, "d")]);
  await rig.settle();
  await rig.write([put("a", 3, "a"), put("c", 4, "c"), put("d", 5, "new d")]);
  expect(rig.names()).toEqual(["a", "b", "c", "d"]);
  expect(rig.names(true)).toEqual(["d", "c", "b", "a"]);
  expect(rig.names(false, 2)).toEqual(["b", "d"]);
  const values: (string | undefined)[] = [];
  rig.store.scan(key("b"), key("d"), LATEST, (_, version) => values.push(text(version)) < 2);
  expect(values).toEqual(["b", "c"]);
  rig.store.scan(key("z"), key("a"), LATEST, () => expect.unreachable());
});

test("extents are written, sliced, read in part, freed and their blocks used again", async () => {
  const rig = await StoreRig.create({ deviceBytes: 64 * KIB });
  const bytes = new Uint8Array(9000).map((_, index) => index);
  const extent = await rig.store.writeExtent(bytes.slice());
  const front = rig.store.sliceExtent(extent, 0, 2 * BLOCK_BYTES);
  const back = rig.store.sliceExtent(extent, 2 * BLOCK_BYTES, 9000 - 2 * BLOCK_BYTES);
  const write = { epoch: 1 as Epoch, kind: VersionKind.value, meta: NO_META };
  await rig.write([
    { key: key("x"), ...write, extent: front },
    { key: key("y"), ...write, extent: back },
  ]);
  await rig.settle();
  const stored = rig.store.get(key("y"), LATEST)!.extent!;
  const found = new Uint8Array(100);
  await rig.store.readExtent(stored, 10, 100, found);
  expect(found).toEqual(bytes.slice(2 * BLOCK_BYTES + 10, 2 * BLOCK_BYTES + 110));
  expect(rig.store.space().nvmeUsedBytes).toBe(3 * BLOCK_BYTES);
  await rig.write([tombstone("x", 2), tombstone("y", 2)]);
  await rig.settle();
  expect(rig.store.space().nvmeUsedBytes).toBe(0);
  expect(rig.store.usage(1)).toEqual({ scmBytes: 0, nvmeBytes: 0, versions: 0 });
});

test("a full device is NO_SPACE and leaves nothing behind", async () => {
  const rig = await StoreRig.create({ deviceBytes: 64 * KIB });
  await expectRejection("NO_SPACE", rig.store.writeExtent(new Uint8Array(65 * KIB)));
  const extent = await rig.store.writeExtent(new Uint8Array(64 * KIB));
  await expectRejection("NO_SPACE", rig.store.writeExtent(new Uint8Array(1)));
  rig.store.abandonExtent(extent);
  expect(rig.store.space().nvmeUsedBytes).toBe(0);
});

test("a full device that was punched takes extents again, though the log never comes to rest", async () => {
  const rig = await StoreRig.create({ deviceBytes: 64 * KIB });
  const extent = await rig.store.writeExtent(new Uint8Array(64 * KIB));
  await rig.write([{ key: key("x"), epoch: 1 as Epoch, kind: VersionKind.value, meta: NO_META, extent }]);
  await rig.write([tombstone("x", 2)]);
  let refusals = 0;
  for (let round = 0; round < 20; round += 1) {
    await rig.write([tombstone("other", 3 + round)]);
    await rig.machine.timers.advance(200);
    try {
      rig.store.abandonExtent(await rig.store.writeExtent(new Uint8Array(1)));
    } catch (error) {
      expect((error as DaosError).code).toBe("NO_SPACE");
      refusals += 1;
    }
  }
  expect(refusals).toBe(1);
});

test("a full log makes writes wait until it is settled", async () => {
  const rig = await StoreRig.create();
  const waits: Promise<void>[] = [];
  for (let index = 0; index < 100; index += 1) {
    const wait = rig.store.admit(3200);
    if (wait !== undefined) waits.push(wait.then(() => void rig.store.append([put(`k${index}`, 1, "x".repeat(3000))])));
    else rig.store.append([put(`k${index}`, 1, "x".repeat(3000))]);
  }
  expect(waits.length).toBeGreaterThan(50);
  await Promise.all(waits);
  expect(rig.names().length).toBe(100);
  await rig.crash();
  expect(rig.names().length).toBeGreaterThan(30);
});

test("the last segment of a full log is kept for punches", async () => {
  const gate = Promise.withResolvers<void>();
  const rig = await StoreRig.create({}, (settler) => ({
    settle: async (request) => {
      await gate.promise;
      return settler.settle(request);
    },
    maintain: (request) => settler.maintain(request),
    close: () => settler.close(),
  }));
  let count = 0;
  while (rig.store.admit(1000) === undefined) {
    rig.store.append([put(`k${count}`, 1, "x".repeat(900))]);
    count += 1;
    if (count % 5 === 0) await rig.machine.timers.advance(1);
  }
  let punches = 0;
  while (punches < 20 && rig.store.admit(100, { punch: true }) === undefined) {
    rig.store.append([tombstone(`k${punches}`, 2)]);
    punches += 1;
  }
  expect(punches).toBe(20);
  gate.resolve();
  await rig.settle();
  expect(rig.names().length).toBe(count - 20);
});

test("a full index refuses writes with NO_SPACE, lets punches in, and takes writes again afterwards", async () => {
  const rig = await StoreRig.create({ indexBytes: 64 * KIB });
  let count = 0;
  let refusal: unknown;
  while (refusal === undefined) {
    try {
      await rig.write([put(`k${count}`, 1, "x".repeat(800))]);
      count += 1;
    } catch (error) {
      refusal = error;
    }
  }
  expect((refusal as DaosError).code).toBe("NO_SPACE");
  expect(count).toBeGreaterThan(30);
  expect(rig.get("k0")).toBe("x".repeat(800));
  for (let index = 0; index < count; index += 1) {
    await rig.store.admit(100, { punch: true });
    await rig.durable(rig.store.append([tombstone(`k${index}`, 2)]));
  }
  await rig.settle();
  await rig.write([put("again", 3, "fits")]);
  expect(rig.names()).toEqual(["again"]);
});

test("a full index that was punched takes writes again, though the log never comes to rest", async () => {
  const rig = await StoreRig.create({ indexBytes: 64 * KIB });
  let count = 0;
  for (let isFull = false; !isFull; count += 1) {
    try {
      // They take more than was thought.
      await rig.store.admit(10);
      await rig.durable(rig.store.append([put(`k${count}`, 1, "x".repeat(800))]));
      if (count % 10 === 9) await rig.settle();
    } catch {
      isFull = true;
    }
  }
  await rig.settle();
  for (let index = 0; index < count; index += 1) {
    await rig.store.admit(100, { punch: true });
    rig.store.append([tombstone(`k${index}`, 2)]);
  }
  let refusals = 0;
  for (let round = 0; round < 30; round += 1) {
    // Something small goes on, as decisions of others do, and somebody asks for room.
    await rig.store.admit(100, { punch: true });
    rig.store.append([tombstone("other", 3 + round)]);
    await rig.machine.timers.advance(200);
    try {
      await rig.store.admit(1000);
    } catch (error) {
      expect((error as DaosError).code).toBe("NO_SPACE");
      refusals += 1;
    }
  }
  expect(refusals).toBeGreaterThan(0);
  expect(refusals).toBeLessThan(5);
});

test("settling that finds the index full is tried again with the punches that came since", async () => {
  const rig = await StoreRig.create({ indexBytes: 256 * KIB });
  for (let index = 0; index < 20; index += 1) await rig.write([put(`k${index}`, 1, "x".repeat(900))]);
  rig.index.totalBytes = 8 * KIB;
  await rig.settle();
  expectCode("NO_SPACE", () => rig.store.admit(100));
  expect(rig.get("k3")).toBe("x".repeat(900));
  for (let index = 0; index < 18; index += 1) {
    expect(rig.store.admit(100, { punch: true })).toBeUndefined();
    rig.store.append([tombstone(`k${index}`, 2)]);
  }
  await rig.settle();
  expect(rig.names()).toEqual(["k18", "k19"]);
  rig.index.totalBytes = 256 * KIB;
  await rig.write([put("more", 3, "now")]);
  await rig.settle();
  await rig.crash();
  expect(rig.names()).toEqual(["k18", "k19", "more"]);
});

test("a failed persist makes the store read-only: waiters get the error, durable data stays readable", async () => {
  const rig = await StoreRig.create();
  await rig.write([put("a", 1, "safe")]);
  await rig.settle();
  rig.region.persist = () => {
    throw new DaosError("IO", "Cannot write: bad sector. Replace the device.");
  };
  const lost = rig.durable(rig.store.append([put("b", 2, "lost")]));
  const error = await expectRejection("READ_ONLY", lost);
  expect(error.message).toContain("bad sector");
  expectCode("READ_ONLY", () => rig.store.admit(100, { punch: true }));
  expectCode("READ_ONLY", () => rig.store.append([put("c", 3, "no")]));
  await expectRejection("READ_ONLY", rig.store.writeExtent(new Uint8Array(10)));
  await expectRejection("READ_ONLY", rig.store.aggregate(1));
  expect(rig.get("a")).toBe("safe");
  await rig.store.close();
});

test("settling that fails makes the store read-only; nothing logged is lost", async () => {
  let broken = true;
  const rig = await StoreRig.create({}, (settler) => ({
    settle: (request) =>
      broken ? Promise.reject(new DaosError("IO", "Cannot read: bad sector. Replace it.")) : settler.settle(request),
    maintain: (request) => settler.maintain(request),
    close: () => settler.close(),
  }));
  await rig.write([put("a", 1, "kept")]);
  await rig.settle();
  expect(expectCode("READ_ONLY", () => rig.store.admit(100)).message).toContain("bad sector");
  expect(rig.get("a")).toBe("kept");
  await rig.store.close();
  broken = false;
  await rig.crash();
  expect(rig.get("a")).toBe("kept");
});

test("reclaim drops what a punch hides, keeps what older snapshots see, and goes on when they are gone", async () => {
  const rig = await StoreRig.create();
  await rig.write([put("d/1", 1, "old"), put("d/2", 1, "old")]);
  rig.store.setSnapshots(1, [2 as Epoch]);
  await rig.write([put("d/1", 3, "hidden"), put("d/3", 3, "hidden")]);
  await rig.write([tombstone("d", 4)], [{ from: key("d/"), to: key("d0"), epoch: 4 as Epoch }]);
  await rig.settle();
  expect(rig.names()).toEqual(["d", "d/1", "d/2"]);
  expect(rig.get("d/1")).toBe("old");
  expect(rig.names(false, 2)).toEqual(["d/1", "d/2"]);
  await rig.crash();
  await rig.settle();
  expect(rig.names()).toEqual(["d", "d/1", "d/2"]);
  rig.store.setSnapshots(1, []);
  await rig.settle();
  expect(rig.names()).toEqual(["d"]);
  await rig.store.aggregate(1);
  expect(rig.names()).toEqual([]);
});

test("reclaim is worked off in slices over a range larger than one", async () => {
  const rig = await StoreRig.create({ indexBytes: 8 * KIB * KIB });
  const count = 4500;
  for (let start = 0; start < count; start += 100) {
    const names = Array.from({ length: 100 }, (_, index) => put(`n${start + index}`, 1, "v"));
    await rig.store.admit(4500);
    await rig.durable(rig.store.append(names));
  }
  await rig.settle();
  const before = rig.index.commits;
  await rig.write([], [{ from: key("n"), to: key("o"), epoch: 2 as Epoch }]);
  await rig.settle();
  expect(rig.names()).toEqual([]);
  expect(rig.store.usage(1).versions).toBe(0);
  expect(rig.index.commits - before).toBeGreaterThanOrEqual(4);
});

test("snapshots keep versions until they are dropped and the container is aggregated", async () => {
  const rig = await StoreRig.create();
  await rig.write([put("a", 1, "one")]);
  rig.store.setSnapshots(1, [1 as Epoch]);
  await rig.write([put("a", 2, "two")]);
  await rig.settle();
  await rig.crash();
  await rig.write([put("a", 3, "three")]);
  await rig.settle();
  expect([rig.get("a", 1), rig.get("a")]).toEqual(["one", "three"]);
  expect(rig.store.usage(1).versions).toBe(2);
  rig.store.setSnapshots(1, []);
  await rig.store.aggregate(1);
  expect(rig.store.usage(1).versions).toBe(1);
  expect(rig.get("a", 1)).toBeUndefined();
});

test("a snapshot list survives a crash before anything was settled", async () => {
  const rig = await StoreRig.create();
  await rig.write([put("a", 1, "one")]);
  rig.store.setSnapshots(1, [1 as Epoch]);
  await rig.write([put("a", 2, "two")]);
  await rig.crash();
  await rig.settle();
  expect(rig.get("a", 1)).toBe("one");
});

test("close settles everything, then refuses", async () => {
  const rig = await StoreRig.create();
  const sequence = rig.store.append([put("a", 1, "one")]);
  const acknowledged = rig.durable(sequence);
  await Promise.all([rig.store.close(), rig.store.close()]);
  await acknowledged;
  expectCode("UNAVAILABLE", () => rig.store.admit(10));
  expectCode("UNAVAILABLE", () => rig.store.append([put("b", 1, "b")]));
  await expectRejection("UNAVAILABLE", rig.store.writeExtent(new Uint8Array(1)));
  expect(rig.machine.tables.rows.get("cells")!.size).toBe(1);
  rig.machine.restart();
  await rig.open();
  expect(rig.get("a")).toBe("one");
});

test("append refuses what breaks its limits, and changes nothing", async () => {
  const rig = await StoreRig.create();
  const long = key("k".repeat(MAX_CELL_KEY_BYTES));
  expectCode("INVALID_ARGUMENT", () => rig.store.append([{ ...put("a", 1, "x"), key: long }]));
  expectCode("INVALID_ARGUMENT", () => rig.store.append([{ ...put("a", 1, "x"), key: "abc" as ByteString }]));
  expectCode("INVALID_ARGUMENT", () => rig.store.append([{ ...put("a", 1, "x"), meta: new Uint8Array(256) }]));
  expectCode("TOO_LARGE", () => rig.store.append([put("a", 1, "x".repeat(17 * KIB))]));
  expectCode("TOO_LARGE", () => rig.store.admit(17 * KIB));
  expect(rig.names()).toEqual([]);
  await rig.write([put("k".repeat(MAX_CELL_KEY_BYTES - 4), 1, "longest")]);
  await rig.settle();
  expect(rig.get("k".repeat(MAX_CELL_KEY_BYTES - 4))).toBe("longest");
});

test("usage counts logged and settled bytes", async () => {
  const rig = await StoreRig.create();
  await rig.write([put("a", 1, "x".repeat(100))]);
  const logged = rig.store.usage(1);
  expect(logged.versions).toBe(1);
  expect(logged.scmBytes).toBeGreaterThan(100);
  await rig.settle();
  const settled = rig.store.usage(1);
  expect(settled.versions).toBe(1);
  expect(settled.scmBytes).toBeGreaterThan(100);
  expect(rig.store.usage(2)).toEqual({ scmBytes: 0, nvmeBytes: 0, versions: 0 });
});

test("a settle takes one generation of the log at a time, and all of it when the index is full", async () => {
  const settles: { segments: number; refused: boolean }[] = [];
  let refusals = 0;
  const rig = await StoreRig.create({ regionBytes: 264 * KIB }, (settler) => ({
    settle: async (request) => {
      settles.push({ segments: request.spans.length, refused: refusals > 0 });
      if (refusals > 0) {
        refusals -= 1;
        throw new DaosError("NO_SPACE", "Cannot settle: full.");
      }
      return settler.settle(request);
    },
    maintain: (request) => settler.maintain(request),
    close: () => settler.close(),
  }));
  const fill = async (from: number): Promise<void> => {
    for (let index = from; index < from + 80; index += 1) {
      const sequence = rig.store.append([put(`k${index}`, 1, "x".repeat(3000))]);
      if (index % 4 === 0) await rig.durable(sequence);
    }
    expect(rig.names().length).toBe(from + 80);
    await rig.settle();
  };
  await fill(0);
  expect(settles.length).toBeGreaterThan(2);
  // Half of the log's 16 segments make it settle; the segment then open comes along.
  expect(Math.max(...settles.slice(1).map(({ segments }) => segments))).toBeLessThanOrEqual(9);
  const before = settles.length;
  refusals = 1;
  await fill(80);
  expect(settles[before]!.refused).toBeTrue();
  expect(settles[before + 1]!.segments).toBeGreaterThan(settles[before]!.segments);
  expect(rig.store.space().scmUsedBytes).toBeGreaterThan(0);
  await rig.crash();
  expect(rig.names().length).toBe(160);
});

test("a settle that finds the index full on the way keeps what it did, frees each extent once, and goes on later", async () => {
  const settled: number[] = [];
  /** Transactions of the settle that runs; the settle's number; transactions that it may do. */
  let transactions = 0;
  const allowed = [5, 0];
  const rig = await StoreRig.create({ regionBytes: 1032 * KIB }, (settler) => ({
    settle: async (request) => {
      transactions = allowed.shift() ?? 100;
      const result = await settler.settle(request);
      settled.push(request.spans.length - (request.spans.at(-1)!.ordinal - result.lastOrdinal));
      return result;
    },
    maintain: (request) => {
      transactions = 100;
      return settler.maintain(request);
    },
    close: () => settler.close(),
  }));
  const transact = rig.index.transact.bind(rig.index);
  rig.index.transact = (action) => {
    if (transactions === 0) throw new DaosError("NO_SPACE", "Cannot write: full.");
    transactions -= 1;
    return transact(action);
  };
  const write = async (name: string, epoch: number): Promise<void> => {
    const extent = await rig.store.writeExtent(new Uint8Array(BLOCK_BYTES).fill(epoch));
    const { inline: _, ...valueless } = put(name, epoch, "");
    await rig.write([{ ...valueless, extent }]);
    await rig.write([put(`${name} pad`, epoch, "x".repeat(8000))]);
  };
  for (let epoch = 1; epoch <= 7; epoch += 1) await write(`k${epoch % 3}`, epoch);
  const logBytes = rig.store.space().scmUsedBytes - rig.index.space().usedBytes;
  await rig.settle();
  // The generation that is settled in part is still read from the log.
  expect(settled.length).toBe(1);
  expect(rig.store.space().scmUsedBytes - rig.index.space().usedBytes).toBeGreaterThanOrEqual(logBytes);
  // Of the first settle five transactions, of the second nothing; then, since there are further records, all.
  rig.store.append([put("last", 8, "z")]);
  await rig.settle();
  expect(settled.length).toBe(2);
  expect(settled[1]!).toBeGreaterThan(settled[0]!);
  expect(rig.store.space().nvmeUsedBytes).toBe(3 * BLOCK_BYTES);
  expect(rig.store.usage(1).versions).toBe(7);
  for (const [name, epoch] of [
    ["k0", 6],
    ["k1", 7],
    ["k2", 5],
  ] as const) {
    const into = new Uint8Array(BLOCK_BYTES);
    await rig.store.readExtent(rig.store.get(key(name), LATEST)!.extent!, 0, BLOCK_BYTES, into);
    expect(into[0]).toBe(epoch);
  }
  await rig.crash();
  expect(rig.names().length).toBe(7);
  expect(rig.store.space().nvmeUsedBytes).toBe(3 * BLOCK_BYTES);
});

test("writes wait while too many cells are in memory, and go on when they are settled", async () => {
  const gate = Promise.withResolvers<void>();
  const rig = await StoreRig.create({ regionBytes: 1032 * KIB }, (settler) => ({
    settle: async (request) => {
      await gate.promise;
      return settler.settle(request);
    },
    maintain: (request) => settler.maintain(request),
    close: () => settler.close(),
  }));
  let count = 0;
  let wait = rig.store.admit(100);
  for (; wait === undefined && count < 1000; wait = rig.store.admit(100)) {
    rig.store.append([put(`k${count}`, 1, "x")]);
    count += 1;
  }
  expect(count).toBe(3 * rig.generationCells);
  expect(rig.store.admit(100, { punch: true })).toBeUndefined();
  gate.resolve();
  await wait;
  rig.store.append([put("last", 1, "x")]);
  await rig.settle();
  expect(rig.names().length).toBe(count + 1);
});
