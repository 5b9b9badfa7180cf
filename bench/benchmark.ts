/**
 * What a file bench/<name>.bench.ts exports, and how its rounds run: contenders take turns within each round, so that a
 * machine that slows down or speeds up hits all alike, and the median over the rounds is reported. Starting, measuring
 * and stopping a contender is the benchmark's own; scripts/bench.ts finds and runs the benchmarks.
 */
import { type Figures, formatFigure, formatTable, medianFigures, type Row } from "./table.ts";

export interface Contender {
  readonly name: string;
  /** Brings it up; called once before the first round. */
  start?(): Promise<void>;
  /** One round of every workload it takes part in. */
  measure(workload: string): Promise<Figures>;
  /** Called once, also after a failure. */
  stop?(): Promise<void>;
}

/** A goal: `figure` of `contender` is at least (or at most) `factor` times that of `reference`. */
export interface Goal {
  readonly workload: string;
  readonly figure: string;
  readonly contender: string;
  readonly reference: string;
  readonly atLeast?: number;
  readonly atMost?: number;
}

export interface Benchmark {
  readonly title: string;
  /** Why it cannot run here (a peer is not installed); undefined when it can. */
  unavailable(): string | undefined;
  readonly workloads: readonly string[];
  contenders(): readonly Contender[];
  /** Each contender does each workload once before the first round: what runs for months is measured warm. */
  readonly isWarm?: boolean;
  readonly goals: readonly Goal[];
}

export interface BenchmarkReport {
  readonly title: string;
  readonly rounds: number;
  readonly rows: readonly Row[];
  readonly goals: readonly (Goal & { readonly ratio: number; readonly met: boolean })[];
}

/** Runs `rounds` interleaved rounds. `progress` hears of each measurement. */
export async function runBenchmark(
  benchmark: Benchmark,
  rounds: number,
  progress: (line: string) => void,
): Promise<BenchmarkReport> {
  const contenders = benchmark.contenders();
  const measured = new Map<string, Figures[]>();
  const started: Contender[] = [];
  try {
    for (const contender of contenders) {
      started.push(contender);
      await contender.start?.();
    }
    for (let round = benchmark.isWarm === true ? -1 : 0; round < rounds; round += 1) {
      for (const workload of benchmark.workloads) {
        // Each round begins with another contender: none always runs on the disk the other has just warmed.
        for (let turn = 0; turn < contenders.length; turn += 1) {
          const contender = contenders[(turn + round + contenders.length) % contenders.length]!;
          const figures = await contender.measure(workload);
          if (round < 0) continue;
          const key = keyOf(workload, contender.name);
          measured.set(key, [...(measured.get(key) ?? []), figures]);
          progress(`round ${round + 1}/${rounds} ${workload} ${contender.name}: ${describe(figures)}`);
        }
      }
    }
  } finally {
    for (const contender of started.reverse()) await contender.stop?.();
  }
  const rows = benchmark.workloads.flatMap((workload) =>
    contenders.map(({ name }) => ({
      workload,
      contender: name,
      figures: medianFigures(measured.get(keyOf(workload, name)) ?? []),
    })),
  );
  return { title: benchmark.title, rounds, rows, goals: benchmark.goals.map((goal) => judge(goal, rows)) };
}

/** The report as Markdown tables: the medians, then the goals. */
export function formatReport(report: BenchmarkReport): string {
  const names = [...new Set(report.rows.flatMap(({ figures }) => Object.keys(figures)))];
  const medians = formatTable(
    ["workload", "contender", ...names],
    report.rows.map(({ workload, contender, figures }) => [
      workload,
      contender,
      ...names.map((name) => formatFigure(figures[name])),
    ]),
  );
  const heading = `### ${report.title} (median of ${report.rounds} interleaved rounds)\n\n${medians}`;
  if (report.goals.length === 0) return heading;
  const goals = formatTable(
    ["workload", "figure", "contender", "reference", "ratio", "goal", "met"],
    report.goals.map((goal) => [
      goal.workload,
      goal.figure,
      goal.contender,
      goal.reference,
      `${formatFigure(goal.ratio)}x`,
      [
        ...(goal.atLeast === undefined ? [] : [`>= ${goal.atLeast}x`]),
        ...(goal.atMost === undefined ? [] : [`<= ${goal.atMost}x`]),
      ].join(", "),
      goal.met ? "yes" : "no",
    ]),
  );
  return `${heading}\n\n${goals}`;
}

function judge(goal: Goal, rows: readonly Row[]): Goal & { ratio: number; met: boolean } {
  const figureOf = (contender: string) =>
    rows.find((row) => row.workload === goal.workload && row.contender === contender)?.figures[goal.figure] ??
    Number.NaN;
  const ratio = figureOf(goal.contender) / figureOf(goal.reference);
  // A figure that is missing gives NaN, which meets nothing.
  const met = ratio >= (goal.atLeast ?? Number.NEGATIVE_INFINITY) && ratio <= (goal.atMost ?? Number.POSITIVE_INFINITY);
  return { ...goal, ratio, met };
}

function keyOf(workload: string, contender: string): string {
  return JSON.stringify([workload, contender]);
}

function describe(figures: Figures): string {
  return Object.entries(figures)
    .map(([name, value]) => `${name} ${formatFigure(value)}`)
    .join(", ");
}
