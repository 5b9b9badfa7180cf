import { expect, test } from "bun:test";
import fc from "fast-check";
import { DaosError } from "../../src/base/errors.ts";
import {
  completeAll,
  completeTargets,
  drainTargets,
  excludeTargets,
  extendMap,
  isUnderWay,
  newMap,
  ranksOf,
  reintegrateTargets,
  partakingRanksOf,
} from "../../src/control/pool-map-changes.ts";
import type { MapRecord } from "../../src/format/meta-record.ts";

const MAP = newMap([
  { rank: 0, domain: "/", targets: 2 },
  { rank: 3, domain: "/rack1", targets: 2 },
]);
const states = ({ targets }: MapRecord): string => targets.map(({ state, since }) => `${state}${since}`).join(" ");

function codeOf(work: () => unknown): string {
  try {
    work();
    return "ok";
  } catch (error) {
    if (error instanceof DaosError) return error.code;
    throw error;
  }
}

test("a new map numbers the targets through and says which one of its engine each is", () => {
  expect(MAP.targets.map(({ index, rank, target, domain }) => [index, rank, target, domain])).toEqual([
    [0, 0, 0, "/"],
    [1, 0, 1, "/"],
    [2, 3, 0, "/rack1"],
    [3, 3, 1, "/rack1"],
  ]);
  expect(ranksOf(MAP)).toEqual([0, 3]);
});

test("out and back where nothing is filled: UPIN, DOWN, UP, UPIN, a version each", () => {
  const out = excludeTargets("tank", MAP, { ranks: [3] });
  expect([out.version, states(out)]).toEqual([2, "UPIN1 UPIN1 DOWN2 DOWN2"]);
  expect(partakingRanksOf(out)).toEqual([0]);
  const back = reintegrateTargets("tank", out, { targets: [3] });
  expect([back.version, states(back)]).toEqual([3, "UPIN1 UPIN1 DOWN2 UP2"]);
  const done = completeTargets("tank", back, { targets: [2, 3] });
  expect([done.version, states(done)]).toEqual([4, "UPIN1 UPIN1 DOWN2 UPIN4"]);
});

test("out and back where others are filled: DOWN, DOWNOUT, UP, UPIN; `since` stays until it is there again", () => {
  const out = excludeTargets("tank", MAP, { ranks: [3] });
  expect(isUnderWay(out)).toBe(true);
  expect(codeOf(() => reintegrateTargets("tank", out, { targets: [3] }, true))).toBe("BUSY");
  const rebuilt = completeAll("tank", out);
  expect([rebuilt.version, states(rebuilt)]).toEqual([3, "UPIN1 UPIN1 DOWNOUT2 DOWNOUT2"]);
  expect(isUnderWay(rebuilt)).toBe(false);
  const back = reintegrateTargets("tank", rebuilt, { targets: [3] }, true);
  expect(states(back)).toBe("UPIN1 UPIN1 DOWNOUT2 UP2");
  expect(isUnderWay(back)).toBe(true);
  expect(states(completeAll("tank", back))).toBe("UPIN1 UPIN1 DOWNOUT2 UPIN5");
  // One that is being brought back may be excluded again: others have what it had.
  expect(states(excludeTargets("tank", back, { targets: [3] }))).toBe("UPIN1 UPIN1 DOWNOUT2 DOWNOUT2");
  // Whatever is under way is done at once.
  const both = excludeTargets("tank", back, { targets: [0] });
  expect(states(completeAll("tank", both))).toBe("DOWNOUT5 UPIN1 DOWNOUT2 UPIN6");
});

test("what is as wanted already changes nothing", () => {
  const out = excludeTargets("tank", MAP, { ranks: [3] });
  expect(excludeTargets("tank", out, { targets: [2] })).toBe(out);
  expect(reintegrateTargets("tank", MAP, { ranks: [0, 3] })).toBe(MAP);
  expect(completeTargets("tank", MAP, { ranks: [0] })).toBe(MAP);
});

test("the last serving target stays, unknown ranks and targets are NOT_FOUND", () => {
  expect(codeOf(() => excludeTargets("tank", MAP, { ranks: [0, 3] }))).toBe("INVALID_ARGUMENT");
  const out = excludeTargets("tank", MAP, { ranks: [3] });
  // Targets that are only being brought back do not count as serving.
  const coming = reintegrateTargets("tank", out, { ranks: [3] });
  expect(codeOf(() => excludeTargets("tank", coming, { ranks: [0] }))).toBe("INVALID_ARGUMENT");
  expect(codeOf(() => excludeTargets("tank", MAP, { ranks: [1] }))).toBe("NOT_FOUND");
  expect(codeOf(() => excludeTargets("tank", MAP, { targets: [4] }))).toBe("NOT_FOUND");
  expect(codeOf(() => reintegrateTargets("tank", MAP, {}))).toBe("INVALID_ARGUMENT");
});

test("drained: DRAIN, DOWNOUT with its mark, UP, UPIN; its engine is taken from at the end, and when it fails meanwhile", () => {
  const during = drainTargets("tank", MAP, { targets: [3] });
  expect([states(during), isUnderWay(during), during.taken]).toEqual(["UPIN1 UPIN1 UPIN1 DRAIN2", true, undefined]);
  const left = completeAll("tank", during);
  expect([states(left), left.targets[3]!.drained, left.taken]).toEqual(["UPIN1 UPIN1 UPIN1 DOWNOUT2", 3, [3]]);
  expect(drainTargets("tank", left, { targets: [3] })).toBe(left);
  const back = reintegrateTargets("tank", left, { targets: [3] }, true);
  expect([states(back), back.targets[3]!.drained, back.taken]).toEqual(["UPIN1 UPIN1 UPIN1 UP2", 3, undefined]);
  const whole = completeAll("tank", back);
  expect([states(whole), whole.targets[3]!.drained]).toEqual(["UPIN1 UPIN1 UPIN1 UPIN5", undefined]);
  const failed = excludeTargets("tank", during, { targets: [3] });
  expect([states(failed), failed.taken]).toEqual(["UPIN1 UPIN1 UPIN1 DOWN2", [3]]);
  expect(completeAll("tank", failed).targets[3]!.drained).toBeUndefined();
  // Who stands in for others was chosen without it.
  expect(codeOf(() => reintegrateTargets("tank", during, { targets: [3] }, true))).toBe("BUSY");
});

test("a drain needs targets that stay, and targets that serve", () => {
  expect(codeOf(() => drainTargets("tank", MAP, { ranks: [0, 3] }))).toBe("INVALID_ARGUMENT");
  const half = drainTargets("tank", MAP, { ranks: [0] });
  expect(codeOf(() => drainTargets("tank", half, { ranks: [3] }))).toBe("INVALID_ARGUMENT");
  expect(codeOf(() => excludeTargets("tank", half, { ranks: [0, 3] }))).toBe("INVALID_ARGUMENT");
  expect(codeOf(() => drainTargets("tank", excludeTargets("tank", MAP, { ranks: [3] }), { ranks: [3] }))).toBe("BUSY");
  expect(codeOf(() => drainTargets("tank", MAP, { ranks: [7] }))).toBe("NOT_FOUND");
});

test("added: NEW, UPIN; excluded before, as if it had never come; what is there already is left alone", () => {
  const engine = { rank: 5, domain: "/rack2", targets: 2 };
  const during = extendMap("tank", MAP, [engine]);
  expect([states(during), isUnderWay(during)]).toEqual(["UPIN1 UPIN1 UPIN1 UPIN1 NEW2 NEW2", true]);
  expect(during.targets.slice(4)).toEqual([
    { index: 4, rank: 5, target: 0, domain: "/rack2", state: "NEW", since: 2 },
    { index: 5, rank: 5, target: 1, domain: "/rack2", state: "NEW", since: 2 },
  ]);
  expect(extendMap("tank", during, [engine])).toBe(during);
  const larger = completeAll("tank", during);
  expect(states(larger)).toBe("UPIN1 UPIN1 UPIN1 UPIN1 UPIN3 UPIN3");
  expect(larger.targets.map(({ added }) => added)).toEqual([undefined, undefined, undefined, undefined, 3, 3]);
  const back = reintegrateTargets("tank", completeAll("tank", excludeTargets("tank", larger, { targets: [5] })), {
    targets: [5],
  });
  expect(completeAll("tank", back).targets[5]!.added).toBe(3);
  const without = excludeTargets("tank", during, { ranks: [5] });
  expect([without.version, without.targets, without.taken]).toEqual([3, MAP.targets, undefined]);
  expect(codeOf(() => drainTargets("tank", during, { ranks: [5] }))).toBe("BUSY");
  const out = excludeTargets("tank", MAP, { ranks: [3] });
  expect(codeOf(() => extendMap("tank", out, [{ rank: 3, domain: "/rack1", targets: 2 }]))).toBe("ALREADY_EXISTS");
  expect(codeOf(() => extendMap("tank", MAP, [{ rank: 9, domain: "/", targets: 1021 }]))).toBe("TOO_LARGE");
});

test("whatever is done, a target serves, versions go up by one, and `since` is when it went or came", () => {
  const step = fc.record({
    change: fc.constantFrom(excludeTargets, reintegrateTargets, completeTargets, drainTargets),
    targets: fc.uniqueArray(fc.nat(3), { minLength: 1 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
      let map = MAP;
      for (const { change, targets } of steps) {
        let next = map;
        try {
          next = change("tank", map, { targets });
        } catch (error) {
          if (!(error instanceof DaosError)) throw error;
        }
        if (next !== map) expect(next.version).toBe(map.version + 1);
        for (const [index, target] of next.targets.entries()) {
          const before = map.targets[index]!;
          const isNew = target.state !== before.state && (before.state === "UPIN" || target.state === "UPIN");
          expect(target.since).toBe(isNew ? next.version : before.since);
        }
        map = next;
        expect(map.targets.some(({ state }) => state === "UPIN" || state === "DRAIN")).toBe(true);
      }
    }),
  );
});
