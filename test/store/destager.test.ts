/** What is destaged when a store settles, where it lies, and that nothing is lost or kept twice when something fails. */
import { expect, test } from "bun:test";
import { bytesEqual } from "../../src/base/bytes.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import { DaosError } from "../../src/base/errors.ts";
import { BLOCK_BYTES, KIB, MIB } from "../../src/base/limits.ts";
import { type CellWrite, type DestageRule, type ExtentRef, VersionKind } from "../../src/store/cell.ts";
import { DESTAGE_BLOCK_BYTES, DESTAGE_RUN_BYTES } from "../../src/store/destager.ts";
import type { SettleRequest } from "../../src/store/settle-batch.ts";
import type { Settler } from "../../src/store/settler.ts";
import type { MachineOptions } from "./crash-machine.ts";
import { expectRejection } from "./expect-code.ts";
import { key, LATEST, NO_META, put, StoreRig, tombstone } from "./store-rig.ts";

/** Meta of the tests: a 1, then where the bytes begin in their block, in units of 16. */
const RULE: DestageRule = ({ metaType, meta }) => (metaType === 1 ? meta[1]! * 16 : undefined);

function content(seed: number, length: number): Uint8Array {
  return new Uint8Array(length).map((_, index) => seed * 7 + (index >>> 2));
}

function block(
  name: string,
  epoch: number,
  options: { lead?: number; length?: number; part?: boolean } = {},
): CellWrite {
  const { lead = 0, length = BLOCK_BYTES - lead, part = false } = options;
  const meta = Uint8Array.of(1, lead / 16);
  const kind = part ? VersionKind.part : VersionKind.value;
  return { key: key(name), epoch: epoch as Epoch, kind, meta, inline: content(epoch, length) };
}

async function openRig(
  options: Partial<MachineOptions> = {},
  wrap?: (settler: Settler) => Settler,
  rule: DestageRule | undefined = RULE,
): Promise<StoreRig> {
  const rig = new StoreRig({ regionBytes: 1032 * KIB, ...options }, wrap);
  rig.destageRule = rule;
  await rig.open(true);
  return rig;
}

/** The extent of the cell's newest version; undefined when its bytes are inline. */
function extentOf(rig: StoreRig, name: string): ExtentRef | undefined {
  return rig.store.get(key(name), LATEST)!.extent;
}

async function expectContent(rig: StoreRig, name: string, epoch: number, lead = 0): Promise<void> {
  const version = rig.store.get(key(name), LATEST)!;
  expect(version.epoch).toBe(epoch as Epoch);
  if (version.extent === undefined) {
    expect(bytesEqual(version.inline!, content(epoch, version.inline!.length))).toBe(true);
    return;
  }
  const into = new Uint8Array(version.extent.length - lead);
  await rig.store.readExtent(version.extent, lead, into.length, into);
  expect(bytesEqual(into, content(epoch, into.length))).toBe(true);
}

test("settling moves bytes that the rule lets go to blocks side by side, in the order of the keys", async () => {
  const rig = await openRig();
  const names = ["d", "a", "c", "b", "e"];
  for (const [index, name] of names.entries()) await rig.write([block(name, index + 1)]);
  const before = rig.store.usage(1);
  expect(before.nvmeBytes).toBe(0);
  await rig.settle();
  const offsets = names.toSorted().map((name) => extentOf(rig, name)!.offset);
  expect(offsets).toEqual(offsets.map((_, index) => offsets[0]! + index * BLOCK_BYTES));
  expect(rig.store.usage(1).nvmeBytes).toBe(5 * BLOCK_BYTES);
  expect(rig.store.usage(1).scmBytes).toBeLessThan(500);
  expect(rig.store.destagedBytes).toBe(5 * BLOCK_BYTES);
  await rig.crash();
  expect(rig.store.space().nvmeUsedBytes).toBe(5 * BLOCK_BYTES);
  for (const [index, name] of names.entries()) await expectContent(rig, name, index + 1);
  await rig.write(names.map((name) => tombstone(name, 9)));
  await rig.settle();
  expect(rig.store.space().nvmeUsedBytes).toBe(0);
  expect(rig.store.usage(1)).toEqual({ scmBytes: 0, nvmeBytes: 0, versions: 0 });
});

test("kind, epoch and meta stay; bytes begin in their block where the rule says, and what lies around them is zeros", async () => {
  const rig = await openRig();
  await rig.write([block("full", 1)]);
  await rig.write([block("part", 2, { lead: 160, length: 3000, part: true })]);
  await rig.settle();
  const version = rig.store.get(key("part"), LATEST)!;
  expect(version.kind).toBe(VersionKind.part);
  expect([...version.meta]).toEqual([1, 10]);
  expect(version.extent!.length).toBe(3160);
  await expectContent(rig, "part", 2, 160);
  const { offset } = version.extent!;
  const medium = rig.machine.deviceMedium.subarray(offset, offset + BLOCK_BYTES);
  expect(medium.subarray(0, 160).every((byte) => byte === 0)).toBe(true);
  expect(medium.subarray(3160).every((byte) => byte === 0)).toBe(true);
});

test("bytes that changed in the log's memory are not destaged", async () => {
  const rig = await openRig();
  for (const name of ["a", "b", "c"]) await rig.write([block(name, 1)]);
  // The log on the medium, which settling reads, is as it was.
  rig.store.get(key("b"), LATEST)!.inline![77]! ^= 1;
  await rig.settle();
  expect(["a", "b", "c"].map((name) => extentOf(rig, name) !== undefined)).toEqual([true, false, true]);
  for (const name of ["a", "b", "c"]) await expectContent(rig, name, 1);
});

test("what is not worth its blocks, what the rule keeps, and everything without a rule stays inline", async () => {
  const writes: readonly [string, number, CellWrite][] = [
    ["small", 0, block("small", 1, { length: DESTAGE_BLOCK_BYTES })],
    ["large enough", 1, block("large enough", 2, { length: DESTAGE_BLOCK_BYTES + 1 })],
    ["over two blocks", 0, block("over two blocks", 3, { lead: 2048, length: 2100 })],
    ["two blocks", 2, block("two blocks", 4, { lead: 16, length: 5000 })],
    ["kept", 0, { ...block("kept", 5), meta: Uint8Array.of(2, 0) }],
    ["no meta", 0, { ...block("no meta", 6), meta: NO_META }],
  ];
  for (const rule of [RULE, undefined]) {
    const rig = await openRig({}, undefined, rule);
    rig.destageRule = rule;
    for (const [, , write] of writes) await rig.write([write]);
    await rig.crash();
    await rig.settle();
    for (const [name, blocks] of writes) {
      const extent = extentOf(rig, name);
      expect(extent === undefined ? 0 : extent.checksums.length).toBe(rule === undefined ? 0 : blocks);
    }
    await expectContent(rig, "two blocks", 4, rule === undefined ? 0 : 16);
  }
});

test("of a cell only the newest version goes, and one that a younger generation or a punch hides does not", async () => {
  const requests: SettleRequest[] = [];
  const rig = await openRig({}, (settler) => ({
    settle: async (request) => {
      requests.push(request);
      return settler.settle(request);
    },
    maintain: (request) => settler.maintain(request),
    close: () => settler.close(),
  }));
  rig.store.setSnapshots(1, [1 as Epoch]);
  await rig.write([block("kept for a snapshot", 1), block("punched", 1), block("rewritten", 1)]);
  await rig.write([block("kept for a snapshot", 2)]);
  await rig.write([tombstone("~punch", 3)], [{ from: key("punched"), to: key("punched\x01"), epoch: 3 as Epoch }]);
  rig.generationCells = 3;
  await rig.settle();
  expect(requests.length).toBe(1);
  expect(requests[0]!.destaged.places.length).toBe(2);
  expect(rig.store.get(key("kept for a snapshot"), 1 as Epoch)!.inline!.length).toBe(BLOCK_BYTES);
  await expectContent(rig, "kept for a snapshot", 2);
  expect(rig.store.usage(1).nvmeBytes).toBe(2 * BLOCK_BYTES);
});

test("a cell that is overwritten while its generation waits to be settled is not destaged with it", async () => {
  const destaged: number[] = [];
  const rig = new StoreRig({ regionBytes: 1032 * KIB }, (settler) => ({
    settle: (request) => {
      destaged.push(request.destaged.places.length);
      return settler.settle(request);
    },
    maintain: (request) => settler.maintain(request),
    close: () => settler.close(),
  }));
  rig.destageRule = RULE;
  rig.generationCells = 20;
  await rig.open(true);
  for (let index = 0; index < 24; index += 1) await rig.write([block(`k${index}`, 1)]);
  // The first generation has ended with its segment. Parts leave it something to show.
  for (let index = 0; index < 10; index += 1) await rig.write([block(`k${index}`, 2, { part: index >= 7 })]);
  await rig.settle();
  expect(destaged.length).toBe(2);
  expect(destaged[0]! + destaged[1]!).toBe(24 + 3);
  for (let index = 0; index < 24; index += 1) await expectContent(rig, `k${index}`, index < 10 ? 2 : 1);
  expect(rig.store.space().nvmeUsedBytes).toBe(27 * BLOCK_BYTES);
});

test("a version that replaces a destaged one of its epoch takes its place, and its block is freed", async () => {
  const rig = await openRig();
  rig.store.setSnapshots(1, [1 as Epoch]);
  await rig.write([block("a", 1, { part: true })]);
  await rig.settle();
  expect(rig.store.space().nvmeUsedBytes).toBe(BLOCK_BYTES);
  await rig.write([block("a", 1, { length: 3000 })]);
  await rig.settle();
  expect(rig.store.space().nvmeUsedBytes).toBe(BLOCK_BYTES);
  expect(rig.versions("a")).toEqual(["1"]);
  await rig.write([block("a", 2)]);
  await rig.settle();
  // The older one moved to table history with its extent.
  expect(rig.store.get(key("a"), 1 as Epoch)!.extent!.length).toBe(3000);
  expect(rig.store.usage(1).nvmeBytes).toBe(2 * BLOCK_BYTES);
});

test("a run is at most DESTAGE_RUN_BYTES, and its buffer goes back", async () => {
  const rig = await openRig({ regionBytes: 4 * MIB + 8 * KIB, deviceBytes: 4 * MIB });
  rig.generationCells = 1000;
  await rig.crash();
  const sizes: number[] = [];
  const write = rig.device.write.bind(rig.device);
  rig.device.write = (offset, buffer, options) => {
    sizes.push(buffer.length);
    return write(offset, buffer, options);
  };
  for (let index = 0; index < 300; index += 1) await rig.write([block(`k${index}`, 1)]);
  await rig.settle();
  expect(Math.max(...sizes)).toBe(DESTAGE_RUN_BYTES);
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(300 * BLOCK_BYTES);
  expect(rig.device.lent).toBe(0);
});

test("a crowded device is filled block by block, and what finds no room settles inline", async () => {
  const rig = await openRig({ deviceBytes: 64 * KIB });
  const extents: ExtentRef[] = [];
  for (let index = 0; index < 16; index += 1) extents.push(await rig.store.writeExtent(new Uint8Array(BLOCK_BYTES)));
  for (const index of [1, 4, 5, 9, 14]) rig.store.abandonExtent(extents[index]!);
  for (let index = 0; index < 8; index += 1) await rig.write([block(`k${index}`, index + 1)]);
  await rig.settle();
  expect(rig.store.space().nvmeUsedBytes).toBe(64 * KIB);
  const moved = [0, 1, 2, 3, 4, 5, 6, 7].filter((index) => extentOf(rig, `k${index}`) !== undefined);
  expect(moved.length).toBe(5);
  for (let index = 0; index < 8; index += 1) await expectContent(rig, `k${index}`, index + 1);
  expect(rig.store.usage(1).nvmeBytes).toBe(5 * BLOCK_BYTES);
});

test("a device that fails, or is faulty, leaves the settle as it is", async () => {
  const rig = await openRig();
  let writes = 0;
  rig.device.write = () => {
    writes += 1;
    return Promise.reject(new DaosError("IO", "Cannot write: broken."));
  };
  await rig.write([block("a", 1)]);
  await rig.settle();
  expect(writes).toBe(1);
  expect(extentOf(rig, "a")).toBeUndefined();
  const health = rig.device.health();
  rig.device.health = () => ({ ...health, state: "faulty" });
  await rig.write([block("b", 2)]);
  await rig.settle();
  expect(writes).toBe(1);
  await expectContent(rig, "a", 1);
  await expectContent(rig, "b", 2);
  expect(rig.store.space().nvmeUsedBytes).toBe(0);
  expect(rig.device.lent).toBe(0);
});

test("a settle that is refused, and one that gets through in part, give back each block once", async () => {
  let refusals = 1;
  /** Transactions that the settle which runs may do. */
  let transactions = 100;
  const rig = await openRig({}, (settler) => ({
    settle: async (request) => {
      expect(request.destaged.places.length).toBeGreaterThan(0);
      refusals -= 1;
      if (refusals >= 0) throw new DaosError("NO_SPACE", "Cannot settle: full.");
      return settler.settle(request);
    },
    maintain: (request) => settler.maintain(request),
    close: () => settler.close(),
  }));
  const transact = rig.index.transact.bind(rig.index);
  rig.index.transact = (action) => {
    if (transactions === 0) throw new DaosError("NO_SPACE", "Cannot write: full.");
    transactions -= 1;
    return transact(action);
  };
  for (let index = 0; index < 20; index += 1) await rig.write([block(`k${index}`, index + 1)]);
  transactions = 2;
  refusals = 0;
  await rig.settle();
  // What was settled is taken, the rest is given back, and stays readable where it is.
  const taken = rig.store.space().nvmeUsedBytes / BLOCK_BYTES;
  expect(taken).toBeGreaterThan(0);
  expect(taken).toBeLessThan(20);
  expect(extentOf(rig, "k0")).toBeUndefined();
  refusals = 1;
  transactions = 100;
  // Refused once more, then let through.
  rig.store.append([block("last", 21)]);
  await rig.settle();
  rig.store.append([block("very last", 22)]);
  await rig.settle();
  expect(rig.store.space().nvmeUsedBytes).toBe(22 * BLOCK_BYTES);
  for (let index = 0; index < 20; index += 1) await expectContent(rig, `k${index}`, index + 1);
  await rig.crash();
  expect(rig.store.space().nvmeUsedBytes).toBe(22 * BLOCK_BYTES);
  for (let index = 0; index < 20; index += 1) await expectContent(rig, `k${index}`, index + 1);
});

test("canary: a list that names wrong places makes reads fail, never show other bytes", async () => {
  const rig = await openRig({}, (settler) => ({
    settle: (request) => {
      const offsets = request.destaged.offsets.toReversed();
      return settler.settle({ ...request, destaged: { ...request.destaged, offsets } });
    },
    maintain: (request) => settler.maintain(request),
    close: () => settler.close(),
  }));
  for (const [index, name] of ["a", "b"].entries()) await rig.write([block(name, index + 1)]);
  await rig.settle();
  await expectRejection("CORRUPT", expectContent(rig, "a", 1));
});

test("blocks of an aborted record that an older version is destaged to are that version's after a crash", async () => {
  const settled = Promise.withResolvers<void>();
  const rig = new StoreRig({ regionBytes: 1032 * KIB, deviceBytes: 2 * BLOCK_BYTES }, (settler) => ({
    settle: async (request) => {
      const result = await settler.settle(request);
      settled.resolve();
      rig.machine.losePower("after the first generation");
      return result;
    },
    maintain: (request) => settler.maintain(request),
    close: () => settler.close(),
  }));
  rig.destageRule = RULE;
  rig.generationCells = 3;
  await rig.open(true);
  await rig.write([block("a", 1)]);
  for (let index = 0; index < 5; index += 1) await rig.write([put(`fill ${index}`, 2, "x".repeat(3500))]);
  const extent = await rig.store.writeExtent(new Uint8Array(2 * BLOCK_BYTES));
  const write = { key: key("b"), epoch: 3 as Epoch, kind: VersionKind.value, meta: NO_META, extent };
  const origin = { client: 7, sequence: 1 };
  await rig.durable(rig.store.append([write], [], { origin, prepared: true }));
  rig.store.transactions.decide(origin, "abort");
  await rig.durable(rig.store.transactions.logDecisions());
  await settled.promise;
  await rig.crash();
  expect(extentOf(rig, "a")!.offset).toBeLessThan(2 * BLOCK_BYTES);
  await expectContent(rig, "a", 1);
  expect(rig.store.space().nvmeUsedBytes).toBe(BLOCK_BYTES);
});
