/** The group of a dkey and the scheme of its class say the same of who leads. */
import { expect, test } from "bun:test";
import { portableCodec } from "../../native/isal/portable-codec.ts";
import { erasureProvider } from "../../plugins/redundancy/erasure/index.ts";
import { byteStringOfText } from "../../src/base/bytes.ts";
import { NO_TARGET } from "../../src/placement/layout.ts";
import { Placement } from "../../src/placement/placement.ts";
import { redundancyGroup } from "../../src/redundancy/redundancy-group.ts";
import { objectOf, poolMap, withStates } from "../placement/pool-maps.ts";

const DKEYS = Array.from({ length: 12 }, (_, index) => byteStringOfText(`dkey ${index}`));

/** All choices of the targets 0 to `count` - 1 that are gone. */
function* choices(count: number): Generator<number[], void, void> {
  for (let bits = 0; bits < 2 ** count; bits += 1) {
    yield Array.from({ length: count }, (_, index) => index).filter((index) => (bits & (1 << index)) !== 0);
  }
}

for (const [word, count] of [
  ["EC_2P1", 3],
  ["EC_4P2", 6],
] as const) {
  test(`${word}: whichever targets are gone, the leader is the shard that the scheme names`, () => {
    const scheme = erasureProvider(portableCodec).scheme(word, { cellBytes: 4096 });
    const oid = objectOf(`${word}G1`, 7);
    const leaders = new Set<number>();
    for (const gone of choices(count)) {
      const placement = new Placement(withStates(poolMap([count], 1), gone, "DOWN"));
      for (const dkey of DKEYS) {
        const { leader, readable, shards } = redundancyGroup(placement, oid, dkey);
        const { alive, targets, numberOf } = shards!;
        expect(alive.length).toBe(count - gone.length);
        expect(readable.map((target) => numberOf.get(target)!)).toEqual([...alive]);
        const isEnough = alive.length >= scheme.leastShardsToWrite;
        expect(leader).toBe(isEnough ? targets[scheme.leader(alive)]! : NO_TARGET);
        if (gone.length === 0) leaders.add(leader);
      }
    }
    // Dkeys begin with different shards, so that leading is spread.
    expect(leaders.size).toBe(count);
  });
}
