/**
 * `npm run simulate [-- --seed S] [--seeds N] [--step N] [--seconds N] [--calm] [--faults NAME,NAME] [--classes C,C] [--continue] [--verbose]`:
 * simulated clusters, one a seed, from seed S on (random unless given), each by N (1) after the one before, for so many seconds (60) or seeds, with all kinds of
 * faults, those named, or none. `--classes`: of the objects; every third seed has erasure-coded ones otherwise. Without `--continue` it stops at the first seed that shows something wrong,
 * names it, and ends with status 1: the same seed shows it again.
 */
import { parseArgs } from "node:util";
import { type ClusterCounts, runCluster } from "../test/simulation/cluster/cluster.ts";

/** A line of progress comes after so many. */
const PROGRESS_SEEDS = 100;
const OPTION = { type: "string" } as const;
const { values } = parseArgs({
  options: {
    seed: OPTION,
    seeds: OPTION,
    step: OPTION,
    seconds: OPTION,
    calm: { type: "boolean" },
    faults: OPTION,
    classes: OPTION,
    verbose: { type: "boolean" },
    continue: { type: "boolean" },
  },
});

const first = Number(values.seed ?? Date.now() % 1_000_000_000);
const step = Number(values.step ?? 1);
const limit = Number(values.seeds ?? Number.POSITIVE_INFINITY);
const seconds = values.seeds === undefined ? Number(values.seconds ?? 60) : Number.POSITIVE_INFINITY;
const chosen = values.faults === undefined ? undefined : new Set(values.faults.split(","));
const start = performance.now();
const transactions = { committed: 0, conflicts: 0, unknown: 0, reads: 0 };
const totals = { operations: 0, unknown: 0, openHistories: 0, unforgotten: 0 };
const faults = new Map<string, number>();
const codes = new Map<string, number>();
let seeds = 0;
let failures = 0;

while (seeds < limit && performance.now() - start < seconds * 1000) {
  const seed = first + seeds * step;
  try {
    add(
      await runCluster({
        seed,
        faults: values.calm === true ? false : (chosen ?? true),
        ...(values.classes !== undefined && { classes: values.classes.split(",") }),
        ...(values.verbose === true && { log: (line: string) => console.log(line) }),
      }),
    );
  } catch (error) {
    failures += 1;
    console.error(error instanceof Error ? error.message : error);
    if (values.verbose === true) console.error(error);
    if (values.continue !== true) break;
  }
  seeds += 1;
  if (seeds % PROGRESS_SEEDS === 0) console.error(`${seeds} seeds from ${first}, ${failures} failed`);
}

const minutes = (performance.now() - start) / 60_000;
console.log(`${seeds} seeds from ${first}, ${(seeds / minutes).toFixed(0)} a minute; ${failures} failed`);
console.log(
  `${totals.operations} operations, ${totals.unknown} of unknown outcome, ${totals.openHistories} open searches`,
);
const { committed, conflicts, unknown, reads } = transactions;
console.log(`${committed} transactions, ${conflicts} conflicts, ${unknown} of unknown outcome, ${reads} reads checked`);
console.log(`${totals.unforgotten} decisions not forgotten`);
console.log([...faults].map(([name, count]) => `${name} ${count}`).join(", "));
console.log([...codes].map(([name, count]) => `${name} ${count}`).join(", "));
process.exit(failures > 0 ? 1 : 0);

function add(counts: ClusterCounts): void {
  totals.operations += counts.operations;
  totals.unknown += counts.unknown;
  totals.openHistories += counts.openHistories;
  for (const name of ["committed", "conflicts", "unknown", "reads"] as const) {
    transactions[name] += counts.transactions[name];
  }
  totals.unforgotten += counts.unforgotten;
  for (const [name, count] of counts.faults) faults.set(name, (faults.get(name) ?? 0) + count);
  for (const [code, count] of counts.codes) codes.set(code, (codes.get(code) ?? 0) + count);
}
