/**
 * What every redundancy plugin must do for each redundancy word it serves. Call `redundancyConformance` first in the
 * plugin's test. Pure functions, so every subset of alive shards is tried, and thousands of random histories are run against
 * shards in memory (redundancy-history.ts).
 */
import { describe, expect, test } from "bun:test";
import { EPOCH_NONE } from "../../src/base/epoch.ts";
import { KIB, MIB } from "../../src/base/limits.ts";
import type { RedundancyProvider, RedundancyScheme, ShardPart } from "../../src/contracts/redundancy.ts";
import { runRedundancyHistory } from "./redundancy-history.ts";
import { expectCode } from "./support.ts";

/** Groups of more shards than this have their alive sets sampled, not enumerated. */
const MAX_ENUMERATED_SHARDS = 12;
/** Shards of all histories of one scheme: larger groups have fewer histories. */
const HISTORY_SHARDS = 1600;
const HISTORY_TIMEOUT_MS = 120_000;
const CELL_BYTES = 4 * KIB;

export function redundancyConformance(name: string, makeProvider: () => RedundancyProvider): void {
  const served = makeProvider().serves;
  describe(`redundancy ${name}`, () => {
    test("it serves something, and nothing else: UNSUPPORTED", async () => {
      expect(served.length).toBeGreaterThan(0);
      await expectCode("UNSUPPORTED", () => makeProvider().scheme("no-such-redundancy", { cellBytes: CELL_BYTES }));
    });
    for (const redundancy of served) {
      const makeScheme = () => makeProvider().scheme(redundancy, { cellBytes: CELL_BYTES });
      shapeTests(redundancy, makeScheme);
      partTests(redundancy, makeScheme);
      historyTests(redundancy, makeScheme);
    }
  });
}

function shapeTests(redundancy: string, makeScheme: () => RedundancyScheme): void {
  test(`${redundancy}: shard counts make sense`, () => {
    const scheme = makeScheme();
    expect(scheme.redundancy).toBe(redundancy);
    for (const count of [scheme.shardCount, scheme.dataShards, scheme.leastShardsToRead, scheme.leastShardsToWrite]) {
      expect(Number.isInteger(count)).toBe(true);
      expect(count).toBeGreaterThan(0);
      expect(count).toBeLessThanOrEqual(scheme.shardCount);
    }
    expect(scheme.toleratedFailures).toBe(scheme.shardCount - scheme.leastShardsToRead);
    expect(scheme.stripeBytes % scheme.dataShards).toBe(0);
  });

  test(`${redundancy}: with tolerated failures it leads and plans, with fewer shards alive it does not`, async () => {
    const scheme = makeScheme();
    for (const alive of aliveSets(scheme.shardCount)) {
      const plans = [
        scheme.planRead(0, 10, EPOCH_NONE, alive),
        scheme.planValueRead(EPOCH_NONE, alive),
        scheme.planPunch(0, 10, alive),
        scheme.planFold(0, EPOCH_NONE, alive),
        scheme.extentShards(alive),
      ];
      if (alive.length >= scheme.leastShardsToRead) {
        expect(plans.includes(undefined)).toBe(false);
        expect(alive).toContain(scheme.leader(alive));
        expect(scheme.extentShards(alive)!.every((shard) => alive.includes(shard))).toBe(true);
      } else {
        expect(plans.every((plan) => plan === undefined)).toBe(true);
        await expectCode("UNAVAILABLE", () => scheme.leader(alive));
      }
    }
  });

  test(`${redundancy}: beyond the last byte of an array: TOO_LARGE, and a punch is cut there`, async () => {
    const scheme = makeScheme();
    const last = scheme.maxArrayBytes - 1;
    const all = Array.from({ length: scheme.shardCount }, (_, index) => index);
    await expectCode("TOO_LARGE", () => scheme.planWrite(last, 2));
    await expectCode("TOO_LARGE", () => scheme.planRead(last, 2, EPOCH_NONE, all));
    expect(scheme.planWrite(last, 1).every(({ address, length }) => Number.isSafeInteger(address + length))).toBe(true);
    expect(scheme.planPunch(0, Number.MAX_SAFE_INTEGER, all)).toBeDefined();
    for (const { address, length } of scheme.punchParts(last, Number.MAX_SAFE_INTEGER, [])) {
      expect(Number.isSafeInteger(address + length)).toBe(true);
    }
  });

  test(`${redundancy}: nothing is written, read or punched without a plan that says so`, () => {
    const scheme = makeScheme();
    const all = Array.from({ length: scheme.shardCount }, (_, index) => index);
    expect(scheme.planWrite(100, 0, new Uint8Array(0))).toEqual([]);
    expect(scheme.planPunch(100, 0, all)!.result).toEqual([]);
    expect(scheme.punchParts(100, 0, [])).toEqual([]);
    for (const shard of all) expect(scheme.footprint(shard, 100, 0)).toEqual([]);
    expect(scheme.planRead(100, 0, EPOCH_NONE, all)!.result).toMatchObject({ extents: [], epoch: EPOCH_NONE });
  });
}

function partTests(redundancy: string, makeScheme: () => RedundancyScheme): void {
  test(`${redundancy}: data are views of what is written; parts of one shard lie in different MiB`, () => {
    const scheme = makeScheme();
    const bytes = new Uint8Array(1 * MIB).fill(7);
    for (const [address, length] of [
      [0, bytes.length],
      [5000, 300_000],
      [123_457, 1],
    ] as const) {
      const parts = scheme.planWrite(address, length, bytes.subarray(0, length));
      expect(parts).not.toBeEmpty();
      for (const part of parts) {
        const isCopy = part.kind === "write" && part.holds !== "parity";
        if (isCopy) expect(part.views.every((view) => view.buffer === bytes.buffer)).toBe(true);
        if (part.kind === "write") expect(part.views.reduce((sum, view) => sum + view.length, 0)).toBe(part.length);
      }
      expect(sharedWindows(parts)).toEqual([]);
    }
  });
}

/** MiB of addresses that two parts of a shard touch. */
function sharedWindows(parts: readonly ShardPart[]): string[] {
  const seen = new Set<string>();
  const shared: string[] = [];
  for (const { shard, address, length } of parts) {
    for (let window = Math.floor(address / MIB); window * MIB < address + length; window += 1) {
      const key = `${shard}: ${window}`;
      if (seen.has(key)) shared.push(key);
      seen.add(key);
    }
  }
  return shared;
}

function historyTests(redundancy: string, makeScheme: () => RedundancyScheme): void {
  const count = Math.ceil(HISTORY_SHARDS / makeScheme().shardCount);
  test(
    `${redundancy}: ${count} random histories show what was written, whatever tolerated losses there are`,
    () => {
      const scheme = makeScheme();
      for (let seed = 1; seed <= count; seed += 1) runRedundancyHistory(scheme, seed);
    },
    HISTORY_TIMEOUT_MS,
  );
}

function* aliveSets(shardCount: number): Generator<number[]> {
  const all = Array.from({ length: shardCount }, (_, index) => index);
  if (shardCount > MAX_ENUMERATED_SHARDS) {
    for (let lost = 0; lost <= shardCount; lost += 1) {
      yield all.slice(lost);
      yield all.slice(0, shardCount - lost);
      yield all.filter((shard) => (shard * 7) % shardCount >= lost);
    }
    return;
  }
  for (let mask = 0; mask < 2 ** shardCount; mask += 1) yield all.filter((shard) => (mask & (1 << shard)) !== 0);
}
