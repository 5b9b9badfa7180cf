/**
 * `bun scripts/crash-points.ts --points 10000 --seed 1`: runs the store through that many simulated power losses and checks
 * everything after each (test/store/crash-harness.ts), spread over granularities and sizes. Ends with status 1 and the
 * seed when something is lost; the same arguments show the same again.
 */
import { parseArgs } from "node:util";
import { CrashHarness } from "../test/store/crash-harness.ts";
import type { MachineOptions } from "../test/store/crash-machine.ts";

/** Power losses of one store before a new one is made. */
const POINTS_OF_ONE_STORE = 250;

/** What stores differ in: persist granularity, and whether index and device run full. */
const SHAPES: readonly Omit<MachineOptions, "seed">[] = [
  { granularityBytes: 4096 },
  { granularityBytes: 64 },
  { granularityBytes: 512 },
  { granularityBytes: 4096, indexBytes: 40_000, deviceBytes: 256 * 1024 },
];

const { values } = parseArgs({
  options: { points: { type: "string", default: "10000" }, seed: { type: "string", default: "1" } },
});
const wanted = Number(values.points);
const firstSeed = Number(values.seed);
if (!Number.isSafeInteger(wanted) || wanted < 1 || !Number.isSafeInteger(firstSeed)) {
  console.error("Cannot run: --points and --seed are whole numbers. Example: --points 10000 --seed 1");
  process.exit(2);
}

const startedNs = Bun.nanoseconds();
const places = new Map<string, number>();
let points = 0;
let operations = 0;
let commits = 0;
for (let run = 0; points < wanted; run += 1) {
  const harness = new CrashHarness({ ...SHAPES[run % SHAPES.length]!, seed: firstSeed + run });
  try {
    const counts = await harness.run(Math.min(POINTS_OF_ONE_STORE, wanted - points));
    points += counts.points;
    operations += counts.operations;
    commits += counts.commits;
    for (const [place, count] of counts.places) places.set(place, (places.get(place) ?? 0) + count);
  } catch (error) {
    console.error(
      `crash-points: FAILED after ${points} points: ${error instanceof Error ? error.message : String(error)}`,
    );
    process.exit(1);
  }
  if (process.stderr.isTTY) process.stderr.write(`\r${points} of ${wanted} points`);
}
const seconds = ((Bun.nanoseconds() - startedNs) / 1e9).toFixed(1);
const struck = [...places].map(([place, count]) => `${place} ${count}`).join(", ");
console.log(
  `crash-points: ${points} power losses (${struck}), ${operations} operations, ${commits} commits: nothing lost`,
);
console.log(`crash-points: ${seconds} s, seeds from ${firstSeed}`);
process.exit(0);
