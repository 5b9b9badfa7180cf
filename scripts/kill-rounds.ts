/**
 * `npm run test:kill [-- --rounds N] [--victim engine|daemon|both|each] [--seed S] [--max-load-ms MS] [--targets N]
 * [--scm PLUGIN] [--nvme PLUGIN] [--scm-config JSON] [--nvme-config JSON] [--pairs]`: many rounds of kill -9 under load (200
 * unless given), each followed by a check of everything that was ever acknowledged. The victim is the engine unless given,
 * else a qemu-storage-daemon that serves it (`daemon`, needs `--nvme spdk`), both, or each of these in turn. The tiers are the
 * portable plugins `file` unless given; JSON is the plugin's settings. `--pairs`: that many rounds on every pair of plugins;
 * what this machine does not have is skipped with a line. All settings take ordinary memory and files unless told
 * otherwise: the page cache outlives the processes, which are all that this test kills.
 */
import { parseArgs } from "node:util";
import { tierOptions, tierProblem } from "../test/crash/tier-choices.ts";
import { runKillRounds, type Victim, VICTIMS } from "../test/crash/kill-rounds.ts";

const SCM_PLUGINS = ["file", "ram", "pmdk"];
const NVME_PLUGINS = ["file", "uring", "spdk"];
const OPTION = { type: "string" } as const;
const { values } = parseArgs({
  options: {
    rounds: OPTION,
    seed: OPTION,
    victim: OPTION,
    "max-load-ms": OPTION,
    targets: OPTION,
    scm: OPTION,
    nvme: OPTION,
    "scm-config": OPTION,
    "nvme-config": OPTION,
    pairs: { type: "boolean" },
  },
});

const seed = Number(values.seed ?? Date.now() >>> 0);
const rounds = Number(values.rounds ?? 200);
const victim = victimOf(values.victim ?? "engine");

if (values.pairs === true) {
  for (const scm of SCM_PLUGINS) for (const nvme of NVME_PLUGINS) await runPair(scm, nvme);
} else {
  await run(values.scm ?? "file", values.nvme ?? "file");
}

async function runPair(scm: string, nvme: string): Promise<void> {
  const problem = tierProblem("scm", scm) ?? tierProblem("block-device", nvme) ?? victimProblem(nvme);
  if (problem === undefined) await run(scm, nvme);
  else console.log(`skipped: scm ${scm}, nvme ${nvme}: ${problem}`);
}

function victimProblem(nvme: string): string | undefined {
  return victim === "engine" || nvme === "spdk" ? undefined : `it has no daemon to kill (--victim ${victim})`;
}

async function run(scm: string, nvme: string): Promise<void> {
  console.log(`seed ${seed}, ${rounds} rounds, victim ${victim}, scm ${scm}, nvme ${nvme}`);
  const result = await runKillRounds({
    rounds,
    seed,
    victim,
    engine: {
      scmSize: "256MiB",
      nvmeSize: "4GiB",
      scm: tierOptions(scm, settingsOf(values["scm-config"])),
      nvme: tierOptions(nvme, settingsOf(values["nvme-config"])),
      ...(values.targets !== undefined && { targets: Number(values.targets) }),
    },
    ...(values["max-load-ms"] !== undefined && { maxLoadMs: Number(values["max-load-ms"]) }),
    report: (line) => console.log(line),
  });
  console.log(`${rounds} rounds passed: ${JSON.stringify({ seed, victim, scm, nvme, ...result })}`);
}

function settingsOf(text: string | undefined): Readonly<Record<string, unknown>> | undefined {
  return text === undefined ? undefined : JSON.parse(text);
}

function victimOf(word: string): Victim | "each" {
  const known = [...VICTIMS, "each" as const].find((name) => name === word);
  if (known !== undefined) return known;
  console.error(`Cannot kill "${word}": no such victim. Use ${VICTIMS.join(", ")} or each.`);
  process.exit(2);
}
