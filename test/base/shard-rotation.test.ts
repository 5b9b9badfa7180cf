import { expect, test } from "bun:test";
import { dkeyShardOf, groupShardOf } from "../../src/base/shard-rotation.ts";

test("each dkey has an order of its own, and back again", () => {
  for (const shardCount of [1, 2, 3, 19]) {
    const firsts = new Set<number>();
    for (let index = 0; index < 200; index += 1) {
      const hash = Math.imul(index, 0x9e3779b1);
      const order = Array.from({ length: shardCount }, (_, shard) => groupShardOf(shard, hash, shardCount));
      expect(order.toSorted((left, right) => left - right)).toEqual(order.map((_, shard) => shard));
      expect(order.map((shard) => dkeyShardOf(shard, hash, shardCount))).toEqual(order.map((_, shard) => shard));
      firsts.add(order[0]!);
    }
    expect(firsts.size).toBe(shardCount);
  }
});
