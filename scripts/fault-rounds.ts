/**
 * `npm run test:faults [-- --faults N] [--seed S] [--hosts N] [--kinds NAME,NAME] [--verify-every N]`:
 * faults (20 unless given) of all kinds, one after the other, on a system of 7 hosts in network namespaces with 3 members
 * of etcd, while it is written and read; each is to heal by itself. Needs root, and some Debian packages that it names;
 * otherwise it says why it does nothing, with status 0.
 */
import { parseArgs } from "node:util";
import { type FaultRow, type FaultRoundsResult, runFaultRounds } from "../test/cluster/faults/fault-rounds.ts";
import { FAULT_KINDS } from "../test/cluster/faults/faults.ts";
import { missingForFaults, runInSandbox, sandboxFolder } from "../test/cluster/faults/sandbox.ts";

const OPTION = { type: "string" } as const;
const options = { faults: OPTION, seed: OPTION, hosts: OPTION, kinds: OPTION, "verify-every": OPTION };
const { values } = parseArgs({ options });
const missing = missingForFaults();

if (missing !== undefined) console.log(`fault rounds: skipped, ${missing}`);
else if (sandboxFolder === undefined) process.exitCode = await runInSandbox(import.meta.path, process.argv.slice(2));
else {
  await main(sandboxFolder);
  // With this process all others in the sandbox end, too.
  process.exit(0);
}

async function main(folder: string): Promise<void> {
  const seed = Number(values.seed ?? Date.now() % 1_000_000_000);
  const faults = Number(values.faults ?? 20);
  const hosts = Number(values.hosts ?? 7);
  const kinds = values.kinds?.split(",");
  const unknown = kinds?.find((kind) => FAULT_KINDS[kind] === undefined);
  if (unknown !== undefined) throw new Error(`there is no "${unknown}" among ${Object.keys(FAULT_KINDS).join(", ")}`);
  console.log(`seed ${seed}, ${faults} faults, ${hosts} hosts`);
  const result = await runFaultRounds({
    folder,
    faults,
    seed,
    hosts,
    verifyEvery: Number(values["verify-every"] ?? 5),
    ...(kinds !== undefined && { kinds }),
    report: (line) => console.log(`${new Date().toISOString().slice(11, 19)} ${line}`),
  });
  print(result);
}

function print({ rows, slots, counts, byHand, ends }: FaultRoundsResult): void {
  const columns = [
    "noticedMs",
    "excludedMs",
    "healedMs",
    "longestWriteMs",
    "longestReadMs",
    "longestTransferMs",
  ] as const;
  console.log("\n| fault | noticed s | excluded s | healed s | longest write s | read s | transfer s | operations |");
  console.log("|---|---:|---:|---:|---:|---:|---:|---:|");
  const cell = (row: FaultRow, column: (typeof columns)[number]): string => {
    const ms = row[column];
    return ms === undefined ? "" : (ms / 1000).toFixed(1);
  };
  for (const row of rows) {
    console.log(`| ${row.text} | ${columns.map((column) => cell(row, column)).join(" | ")} | ${row.operations} |`);
  }
  for (const end of ends) console.log(end);
  const worst = (column: (typeof columns)[number]): string =>
    `${(Math.max(0, ...rows.map((row) => row[column] ?? 0)) / 1000).toFixed(1)} s`;
  console.log(
    `${rows.length} faults passed, ${slots} slots right at the end: ${JSON.stringify({ ...counts, byHand })}`,
  );
  const longest = `write ${worst("longestWriteMs")}, read ${worst("longestReadMs")}, transfer ${worst("longestTransferMs")}`;
  console.log(`longest ${longest}, healing ${worst("healedMs")}`);
}
