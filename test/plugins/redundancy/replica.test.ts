import { expect, test } from "bun:test";
import redundancyReplica from "../../../plugins/redundancy/replica/index.ts";
import { EPOCH_NONE } from "../../../src/base/epoch.ts";
import { redundancyConformance } from "../../conformance/redundancy.ts";

redundancyConformance("replica", () => redundancyReplica.create({}));

test("the first shard alive leads and is read; every shard gets the same bytes", () => {
  const scheme = redundancyReplica.create({}).scheme("RP_3", { cellBytes: 4096 });
  expect(scheme.shardCount).toBe(3);
  expect(scheme.leader([1, 2])).toBe(1);
  expect(scheme.planRead(5, 10, EPOCH_NONE, [1, 2])!.next()).toEqual([
    { shard: 1, kind: "array", address: 5, length: 10, epoch: EPOCH_NONE, orNextReadable: false },
  ]);
  const bytes = Uint8Array.of(1, 2, 3);
  const parts = scheme.planWrite(7, 3, bytes);
  expect(parts.map((part) => part.shard)).toEqual([0, 1, 2]);
  expect(parts.every((part) => part.address === 7 && part.views[0] === bytes)).toBe(true);
});
