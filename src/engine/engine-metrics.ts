/** Counters of an engine since its start: of its process, its targets and its events. */
import type { EngineMetricsReply } from "../format/operations.ts";
import type { Targets } from "./targets.ts";

export type ProcessUsage = Pick<EngineMetricsReply, "cpuUserUs" | "cpuSystemUs" | "residentBytes">;

export async function engineMetrics(
  targets: Targets,
  usage: ProcessUsage,
  events: Readonly<Record<string, number>>,
): Promise<EngineMetricsReply> {
  const counters = await targets.counters();
  const spaces = await targets.spaceByTarget();
  const requests = counters.reduce((sum, counter) => sum + counter.requests, 0);
  return {
    ...usage,
    requests,
    events,
    targets: counters.map((counter, index) => ({ ...counter, ...spaces[index]! })),
  };
}
