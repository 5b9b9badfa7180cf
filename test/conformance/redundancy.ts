/**
 * What every redundancy plugin must do for each redundancy word it serves. Call `redundancyConformance` first in the
 * plugin's test. Pure functions, so every subset of alive shards is tried.
 */
import { describe, expect, test } from "bun:test";
import type { RedundancyProvider, RedundancyScheme } from "../../src/contracts/redundancy.ts";
import { expectCode } from "./support.ts";

/** Groups of more shards than this have their alive sets sampled, not enumerated. */
const MAX_ENUMERATED_SHARDS = 12;
const DKEY_HASHES = Array.from({ length: 64 }, (_, index) => Math.imul(index, 0x9e3779b1) >>> 0);

export function redundancyConformance(name: string, makeProvider: () => RedundancyProvider): void {
  const served = makeProvider().serves;
  describe(`redundancy ${name}`, () => {
    test("it serves something, and nothing else: UNSUPPORTED", async () => {
      expect(served.length).toBeGreaterThan(0);
      await expectCode("UNSUPPORTED", () => makeProvider().scheme("no-such-redundancy"));
    });
    for (const redundancy of served) schemeTests(redundancy, () => makeProvider().scheme(redundancy));
  });
}

function schemeTests(redundancy: string, makeScheme: () => RedundancyScheme): void {
  test(`${redundancy}: shard counts make sense`, () => {
    const scheme = makeScheme();
    expect(Number.isInteger(scheme.shardCount)).toBe(true);
    expect(scheme.shardCount).toBeGreaterThan(0);
    expect(scheme.toleratedFailures).toBeGreaterThanOrEqual(0);
    expect(scheme.toleratedFailures).toBeLessThan(scheme.shardCount);
  });

  test(`${redundancy}: with tolerated failures it leads and reads, from shards that are alive`, () => {
    const scheme = makeScheme();
    for (const alive of aliveSets(scheme.shardCount)) {
      if (alive.length < scheme.shardCount - scheme.toleratedFailures) continue;
      for (const hash of DKEY_HASHES) {
        expect(alive).toContain(scheme.leader(hash, alive));
        const plan = scheme.planRead(hash, alive);
        expect(plan).toBeDefined();
        expect(plan!.length).toBeGreaterThan(0);
        expect(new Set(plan).size).toBe(plan!.length);
        expect(plan!.every((shard) => alive.includes(shard))).toBe(true);
      }
    }
  });

  test(`${redundancy}: with none alive there is no read, and leading is UNAVAILABLE`, async () => {
    expect(makeScheme().planRead(1, [])).toBeUndefined();
    await expectCode("UNAVAILABLE", () => makeScheme().leader(1, []));
  });

  test(`${redundancy}: the same question has the same answer`, () => {
    for (const alive of aliveSets(makeScheme().shardCount)) {
      if (alive.length === 0) continue;
      for (const hash of DKEY_HASHES) {
        expect(makeScheme().planRead(hash, alive)).toEqual(makeScheme().planRead(hash, alive));
      }
    }
  });

  test(`${redundancy}: dkeys are led by all shards in turn`, () => {
    const scheme = makeScheme();
    const all = Array.from({ length: scheme.shardCount }, (_, index) => index);
    const leaders = new Set(DKEY_HASHES.map((hash) => scheme.leader(hash, all)));
    expect(leaders.size).toBeGreaterThanOrEqual(Math.min(scheme.shardCount, 2));
  });
}

function* aliveSets(shardCount: number): Generator<number[]> {
  const all = Array.from({ length: shardCount }, (_, index) => index);
  if (shardCount > MAX_ENUMERATED_SHARDS) {
    yield all;
    for (const dead of all) yield all.filter((shard) => shard !== dead);
    return;
  }
  for (let mask = 0; mask < 2 ** shardCount; mask += 1) yield all.filter((shard) => (mask & (1 << shard)) !== 0);
}
