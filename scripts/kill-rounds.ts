/**
 * `npm run test:kill [-- --rounds N] [--seed S] [--scm PLUGIN] [--nvme PLUGIN] [--scm-config JSON] [--nvme-config JSON]`:
 * many rounds of kill -9 under load (200 unless given), each followed by a check of everything that was ever acknowledged.
 * The tiers are the portable plugins `file` unless given; JSON is the plugin's settings. `--scm pmdk` takes ordinary
 * memory for persistent unless told otherwise: the page cache outlives the process, which is all that this test kills.
 */
import { parseArgs } from "node:util";
import type { TierOptions } from "../test/crash/engine-process.ts";
import { runKillRounds } from "../test/crash/kill-rounds.ts";

const OPTION = { type: "string" } as const;
const { values } = parseArgs({
  options: {
    rounds: OPTION,
    seed: OPTION,
    scm: OPTION,
    nvme: OPTION,
    "scm-config": OPTION,
    "nvme-config": OPTION,
  },
});

/** Settings with which a plugin runs on any machine. */
const DEFAULT_SETTINGS: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  pmdk: { force_granularity: "cache_line" },
};

function tier(plugin = "file", settings?: string): TierOptions {
  const config = settings === undefined ? (DEFAULT_SETTINGS[plugin] ?? {}) : JSON.parse(settings);
  return { plugin, config };
}

const seed = Number(values.seed ?? Date.now() >>> 0);
const rounds = Number(values.rounds ?? 200);
const scm = tier(values.scm, values["scm-config"]);
const nvme = tier(values.nvme, values["nvme-config"]);
const engine = { scmSize: "256MiB", nvmeSize: "4GiB", scm, nvme };
console.log(`seed ${seed}, ${rounds} rounds, scm ${scm.plugin}, nvme ${nvme.plugin}`);
const result = await runKillRounds({ rounds, seed, engine, report: (line) => console.log(line) });
console.log(`${rounds} rounds passed: ${JSON.stringify(result)}`);
