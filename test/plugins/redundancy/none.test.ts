import { expect, test } from "bun:test";
import redundancyNone from "../../../plugins/redundancy/none/index.ts";
import { redundancyConformance } from "../../conformance/redundancy.ts";

redundancyConformance("none", () => redundancyNone.create({}));

test("one shard, and it may not be lost", () => {
  const scheme = redundancyNone.create({}).scheme("none", { cellBytes: 4096 });
  expect(scheme.shardCount).toBe(1);
  expect(scheme.toleratedFailures).toBe(0);
  expect(scheme.leader([0])).toBe(0);
});
