/**
 * `npm run simulate:membership [-- --engines N,N] [--kills K] [--minutes M] [--loss PERCENT] [--stall MS] [--seed S]`:
 * failure detection alone, for each number of engines (6,100,1000,10000 unless given). First K engines (10) are killed
 * one after the other, then nobody for M simulated minutes (1), with so many per cent of datagrams lost (1) and every
 * process standing still for MS milliseconds (200) six times a minute. Status 1 when somebody who lives was called dead
 * or a killed one was not found.
 */
import { parseArgs } from "node:util";
import { SimulatedEngines } from "../test/simulation/membership/engines.ts";

const STALL_EVERY_MS = 10_000;
const WARM_UP_MS = 5_000;
const AFTER_KILL_MS = 8_000;

const OPTION = { type: "string" } as const;
const { values } = parseArgs({
  options: { engines: OPTION, kills: OPTION, minutes: OPTION, loss: OPTION, stall: OPTION, seed: OPTION },
});
const sizes = (values.engines ?? "6,100,1000,10000").split(",").map(Number);
const wantedKills = Number(values.kills ?? 10);
const minutes = Number(values.minutes ?? 1);
const loss = Number(values.loss ?? 1) / 100;
const stallMs = Number(values.stall ?? 200);
const seed = Number(values.seed ?? 1);

let isBad = false;
for (const engines of sizes) measure(engines);
process.exit(isBad ? 1 : 0);

function measure(engines: number): void {
  const startedNs = Bun.nanoseconds();
  const stall = { lastsMs: stallMs, everyMs: STALL_EVERY_MS };
  const system = new SimulatedEngines({ seed, engines, loss, ...(stallMs > 0 && { stall }) });
  system.run(WARM_UP_MS);
  // An engine that dies halves a system of two: half of it at most.
  const kills = Math.min(wantedKills, Math.floor((engines - 1) / 2));
  for (let kill = 1; kill <= kills; kill += 1) {
    system.kill(Math.floor((kill * engines) / (kills + 1)));
    system.run(AFTER_KILL_MS - kill * 17);
  }
  const detections = [...system.detections.values()];
  const found = detections.filter(({ allMs }) => allMs !== undefined);
  const living = engines - kills;
  const { messages, bytes, nowMs } = system;
  system.run(minutes * 60_000);
  const seconds = (system.nowMs - nowMs) / 1000;
  const each = (count: number): string => (count / living / Math.max(seconds, 0.001)).toFixed(1);
  isBad ||= system.falseDeaths.size > 0 || found.length < kills;
  console.log(
    `${engines} engines, ${loss * 100} % lost, ${stallMs} ms stalls, ${(system.nowMs / 60_000).toFixed(1)} min:`,
  );
  for (const [name, of] of [
    ["suspect", "suspectMs"],
    ["dead, first", "firstMs"],
    ["dead, rank 0", "observerMs"],
    ["dead, all", "allMs"],
  ] as const) {
    const times = detections.map((detection) => detection[of] ?? Number.POSITIVE_INFINITY).toSorted((a, b) => a - b);
    const median = times[Math.floor(times.length / 2)] ?? 0;
    console.log(`  ${name.padEnd(14)} median ${median} ms, worst ${times.at(-1) ?? 0} ms, ${kills} kills`);
  }
  console.log(
    `  sent by each   ${each(system.messages - messages)} datagrams/s, ${each(system.bytes - bytes)} bytes/s`,
  );
  console.log(`  false          ${system.falseDeaths.size} dead, ${system.falseSuspicions.size} suspicions`);
  const tookS = (Bun.nanoseconds() - startedNs) / 1e9;
  console.log(`  took           ${tookS.toFixed(1)} s, ${Math.round(process.memoryUsage().rss / 2 ** 20)} MiB`);
}
