/**
 * Targets that go and come back in any order: of erasure-coded groups no target ever has to turn the shard that it has into
 * another one of the same group, neither under one map nor from one to the next.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { byteStringOfText } from "../../src/base/bytes.ts";
import type { PoolMap, TargetState } from "../../src/format/pool-map.ts";
import { withOutages } from "../../src/placement/outages.ts";
import { Placement } from "../../src/placement/placement.ts";
import { objectOf, poolMap } from "./pool-maps.ts";

const DKEY = byteStringOfText("dkey");
const STEPS = ["exclude", "complete", "return"] as const;

/** One change as the control plane makes them, or the same map. `pick` says which targets. */
function changed(map: PoolMap, step: (typeof STEPS)[number], pick: number): PoolMap {
  const inState = (state: TargetState) => map.targets.filter((target) => target.state === state);
  let stateOf: (target: PoolMap["targets"][number]) => TargetState = ({ state }) => state;
  if (step === "exclude") {
    const serving = inState("UPIN");
    const gone = serving[pick % serving.length];
    if (serving.length <= 2) return map;
    stateOf = ({ index, state }) => (index === gone!.index ? "DOWN" : state);
  } else if (step === "complete") {
    stateOf = ({ state }) => (state === "DOWN" ? "DOWNOUT" : state === "UP" ? "UPIN" : state);
  } else {
    if (inState("DOWN").length > 0) return map;
    stateOf = ({ index, state }) => (state === "DOWNOUT" && ((pick >> index) & 1) === 1 ? "UP" : state);
  }
  const version = map.version + 1;
  const targets = map.targets.map((target) => {
    const state = stateOf(target);
    const isNew = state !== target.state && (state === "DOWN" || state === "UPIN");
    return { ...target, state, since: isNew ? version : target.since };
  });
  return { version, targets: withOutages(map.targets, targets) };
}

const history = fc.array(fc.tuple(fc.constantFrom(...STEPS), fc.nat(255)), { minLength: 6, maxLength: 14 });

for (const className of ["EC_2P1G1", "EC_2P2G1", "EC_4P2GX"]) {
  test(`${className}: no target is to have two shards of a group, nor another one than before`, () => {
    const property = fc.property(fc.integer({ min: 4, max: 8 }), fc.nat(1000), history, (count, user, steps) => {
      const oid = objectOf(className, user);
      let map = poolMap([count], 1);
      let before = new Map<number, number>();
      for (const [step, pick] of steps) {
        map = changed(map, step, pick);
        const { shards } = new Placement(map).groupOf(oid, DKEY);
        const shardsOf = new Map<number, number>();
        const served = new Map<number, number>();
        for (const [number, { target, state, alsoWrite }] of shards.entries()) {
          const has = state === "missing" ? alsoWrite : [target, ...alsoWrite];
          for (const each of has) {
            expect(shardsOf.get(each) ?? number).toBe(number);
            shardsOf.set(each, number);
          }
          if (state === "serving") served.set(target, number);
        }
        for (const [target, number] of served) expect(before.get(target) ?? number).toBe(number);
        before = served;
      }
    });
    fc.assert(property, { numRuns: 400 });
  });
}
