/** The search for an order that explains a history, against trying every order. */
import { expect, test } from "bun:test";
import { type Action, apply, EMPTY_STATE, explain, type Operation, type Outcome } from "./cluster/history.ts";
import { SimulatedRandom } from "./random.ts";

const HISTORIES = 4_000;
const MAX_OPERATIONS = 6;

function operation(client: number, startNs: number, endNs: number, action: Action, outcome: Outcome): Operation {
  return { client, action, startNs, endNs, outcome };
}

const done = (epoch: number): Outcome => ({ kind: "done", epoch });
const seen = (...ids: number[]): Outcome => ({ kind: "seen", ids });
const unknown: Outcome = { kind: "unknown", code: "TIMEOUT" };

/** Whether some order of all known operations, with any of the unknown ones, explains all outcomes: every one is tried. */
function isExplainedByAny(operations: readonly Operation[], state = EMPTY_STATE): boolean {
  if (operations.every(({ outcome }) => outcome.kind === "unknown")) return true;
  const limit = Math.min(...operations.map(({ endNs }) => endNs));
  return operations.some((next) => {
    if (next.startNs > limit) return false;
    const after = apply(state, next);
    return (
      after !== undefined &&
      isExplainedByAny(
        operations.filter((other) => other !== next),
        after,
      )
    );
  });
}

function randomAction(random: SimulatedRandom, id: number): Action {
  const draw = random.below(8);
  if (draw < 2) return { kind: "fetch", at: 0 };
  if (draw < 4) return { kind: "update", at: 0, id };
  if (draw === 4) return { kind: "update", at: 0, id, condition: random.below(2) === 0 ? "ifAbsent" : "ifExists" };
  return draw === 5 ? { kind: "punchAkey", at: 0 } : { kind: "punchDkey" };
}

function randomOutcome(random: SimulatedRandom, action: Action, count: number): Outcome {
  if (action.kind === "fetch") return seen(random.below(count + 1));
  if (random.below(6) === 0) return unknown;
  if (action.kind === "update" && action.condition !== undefined && random.below(2) === 0) return { kind: "refused" };
  return done(1 + random.below(100));
}

test("the search agrees with trying every order, of small histories", () => {
  const random = new SimulatedRandom(1);
  let explained = 0;
  for (let round = 0; round < HISTORIES; round += 1) {
    const count = 2 + random.below(MAX_OPERATIONS - 1);
    const history: Operation[] = [];
    for (let id = 1; id <= count; id += 1) {
      const action = randomAction(random, id);
      const outcome = randomOutcome(random, action, count);
      const startNs = random.below(20);
      const endNs = outcome.kind === "unknown" ? Number.POSITIVE_INFINITY : startNs + 1 + random.below(10);
      history.push(operation(id, startNs, endNs, action, outcome));
    }
    const isExplained = isExplainedByAny(history);
    if (isExplained) explained += 1;
    expect({ history, isExplained: explain(history).isExplained }).toEqual({ history, isExplained });
  }
  expect(explained).toBeGreaterThan(HISTORIES / 10);
  expect(explained).toBeLessThan((HISTORIES * 9) / 10);
});

test("a punch of what is empty may still come after an update that runs beside it", () => {
  const update = operation(1, 0, 10, { kind: "update", at: 0, id: 1 }, done(5));
  const punch = operation(2, 5, 15, { kind: "punchDkey" }, done(7));
  const fetch = operation(1, 20, 21, { kind: "fetch", at: 0 }, seen(0));
  expect(explain([update, punch, fetch]).isExplained).toBe(true);
  const before = { ...punch, startNs: -2, endNs: -1 };
  expect(explain([before, update, fetch])).toMatchObject({ isExplained: false, stuckAt: fetch });
});
