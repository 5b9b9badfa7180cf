/**
 * `npm run bench [-- WORD ...] [--rounds N] [--json FILE] [--list]`: runs bench/*.bench.ts (those whose name holds one of the
 * words), prints their tables as Markdown and, with --json, writes all figures to FILE (`-`: standard output alone).
 * A benchmark whose peer is absent is skipped and says so. Ends with status 1 when one failed or none ran; a goal that
 * is missed is a result, not a failure.
 */
import { Glob } from "bun";
import { writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Benchmark, type BenchmarkReport, formatReport, runBenchmark } from "../bench/benchmark.ts";

const FOLDER = join(import.meta.dir, "..", "bench");
const LEAST_ROUNDS = 1;
const MOST_ROUNDS = 99;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: "string", default: "3" },
    json: { type: "string" },
    list: { type: "boolean", default: false },
  },
});
const rounds = Number(values.rounds);
if (!Number.isInteger(rounds) || rounds < LEAST_ROUNDS || rounds > MOST_ROUNDS) {
  console.error(`Cannot run "${values.rounds}" rounds: not a whole number from ${LEAST_ROUNDS} to ${MOST_ROUNDS}.`);
  process.exit(2);
}

const names = [...new Glob("*.bench.ts").scanSync(FOLDER)].map((file) => file.replace(/\.bench\.ts$/, "")).sort();
const wanted = names.filter((name) => positionals.length === 0 || positionals.some((word) => name.includes(word)));
if (values.list) {
  for (const name of wanted) console.log(`${name}: ${(await load(name)).title}`);
  process.exit(0);
}
if (wanted.length === 0) {
  console.error(`Cannot find benchmark "${positionals.join(" ")}": there are ${names.join(", ")}.`);
  process.exit(1);
}

const reports: BenchmarkReport[] = [];
let failures = 0;
for (const name of wanted) {
  const benchmark = await load(name);
  const problem = benchmark.unavailable();
  if (problem !== undefined) {
    console.error(`skipped ${name}: ${problem}`);
    continue;
  }
  try {
    const report = await runBenchmark(benchmark, rounds, (line) => console.error(`${name}: ${line}`));
    reports.push(report);
    if (values.json !== "-") console.log(`\n${formatReport(report)}`);
  } catch (error) {
    failures += 1;
    console.error(`FAILED ${name}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

const machine = { cpu: cpus()[0]?.model ?? "unknown", cores: cpus().length, memoryBytes: totalmem(), bun: Bun.version };
if (values.json !== "-")
  console.log(`\n${new Date().toISOString()}, ${machine.cores} cores of ${machine.cpu}, Bun ${machine.bun}`);
if (values.json !== undefined) {
  const text = `${JSON.stringify({ measuredAt: new Date().toISOString(), machine, reports }, undefined, 2)}\n`;
  if (values.json === "-") process.stdout.write(text);
  else writeFileSync(values.json, text);
}
process.exit(failures > 0 || reports.length === 0 ? 1 : 0);

async function load(name: string): Promise<Benchmark> {
  return ((await import(join(FOLDER, `${name}.bench.ts`))) as { default: Benchmark }).default;
}
