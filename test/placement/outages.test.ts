/**
 * Targets that come, go, are drained and come back in any order: what is read was filled before, and of erasure-coded
 * groups no target ever has to turn the shard that it has into another one of the same group, neither under one map nor
 * from one to the next.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { byteStringOfText } from "../../src/base/bytes.ts";
import { DaosError } from "../../src/base/errors.ts";
import {
  completeAll,
  drainTargets,
  excludeTargets,
  extendMap,
  newMap,
  reintegrateTargets,
} from "../../src/control/pool-map-changes.ts";
import type { MapRecord } from "../../src/format/meta-record.ts";
import type { PoolMap } from "../../src/format/pool-map.ts";
import { Placement } from "../../src/placement/placement.ts";
import { objectOf } from "./pool-maps.ts";

const DKEYS = ["dkey", "other"].map(byteStringOfText);
const STEPS = ["exclude", "complete", "return", "extend", "drain"] as const;
type Step = (typeof STEPS)[number];

/** One change as the control plane makes them, or the same map. `pick` says which targets. */
function changed(map: MapRecord, step: Step, pick: number): MapRecord {
  try {
    return change(map, step, pick);
  } catch (error) {
    if (error instanceof DaosError) return map;
    throw error;
  }
}

function change(map: MapRecord, step: Step, pick: number): MapRecord {
  const serving = map.targets.filter(({ state }) => state === "UPIN" || state === "DRAIN" || state === "NEW");
  const one = { targets: [serving[pick % serving.length]!.index] };
  switch (step) {
    case "exclude":
      return serving.length <= 2 ? map : excludeTargets("tank", map, one);
    case "complete":
      // What is drained without a target to go to is never done.
      return map.targets.some(({ state }) => state === "UPIN") ? completeAll("tank", map) : map;
    case "return": {
      const gone = map.targets.filter(({ state, index }) => state === "DOWNOUT" && ((pick >> index) & 1) === 1);
      return reintegrateTargets("tank", map, { targets: gone.map(({ index }) => index) }, true);
    }
    case "extend": {
      const rank = Math.max(...map.targets.map((target) => target.rank)) + 1;
      return extendMap("tank", map, [{ rank, domain: "/", targets: 1 + (pick % 2) }]);
    }
    case "drain":
      return drainTargets("tank", map, one);
    default:
      return step satisfies never;
  }
}

function placement({ version, targets }: MapRecord): Placement {
  const addressed: PoolMap["targets"] = targets.map(({ target: _, ...rest }) => ({ ...rest, host: "h", port: 1 }));
  return new Placement({ version, targets: addressed });
}

const history = fc.array(fc.tuple(fc.constantFrom(...STEPS), fc.nat(255)), { minLength: 6, maxLength: 16 });

for (const className of ["EC_2P1G1", "EC_2P2G1", "EC_4P2GX", "EC_2P1GX", "RP_2G1", "RP_3GX"]) {
  test(`${className}: what is read was filled before, and no target has two shards of a group, or another one than before`, () => {
    const property = fc.property(fc.integer({ min: 4, max: 8 }), fc.nat(1000), history, (count, user, steps) => {
      const oid = objectOf(className, user);
      const engines = Array.from({ length: count }, (_, rank) => ({ rank, domain: "/", targets: 1 }));
      for (const dkey of DKEYS) {
        let map = newMap(engines);
        let before = placement(map).groupOf(oid, dkey).shards;
        for (const [step, pick] of steps) {
          const next = changed(map, step, pick);
          const { shards } = placement(next).groupOf(oid, dkey);
          const shardsOf = new Map<number, number>();
          for (const [number, { target, state, alsoWrite }] of shards.entries()) {
            const has = state === "missing" ? alsoWrite : [target, ...alsoWrite];
            for (const each of className.startsWith("EC") ? has : []) {
              expect(shardsOf.get(each) ?? number).toBe(number);
              shardsOf.set(each, number);
            }
            if (state !== "serving") continue;
            const was = before[number]!;
            const filled = was.state === "missing" ? was.alsoWrite : [was.target, ...was.alsoWrite];
            if (step === "complete") expect(filled).toContain(target);
            else if (className.startsWith("EC")) expect([target, was.state]).toEqual([was.target, "serving"]);
            else expect(before.filter((each) => each.state === "serving").map((each) => each.target)).toContain(target);
          }
          map = next;
          before = shards;
        }
      }
    });
    fc.assert(property, { numRuns: 200 });
  });
}
