/**
 * `daos system leader`, and `exclude`, `drain`, `reintegrate`: the targets of engines in all pools at once.
 */
import { MAX_RANK } from "../base/limits.ts";
import type { PoolOutcome } from "../format/system-operations.ts";
import { countsArgument } from "./arguments.ts";
import { command } from "./command.ts";
import { EXIT_STATUS } from "./exit-status.ts";
import type { Session } from "./session.ts";
import { formatDuration, formatRecord, formatTable, printable } from "./table.ts";

const RANKS = { type: "string", valueHint: "N,..", required: true, description: "All targets of these ranks" } as const;

export const leader = command({
  summary: "Show which engine runs the control plane",
  examples: ["daos system leader", "daos system leader --json"],
  arguments: {},
  async run(_values, session) {
    const { rank, address, term, leadsMs } = await (await session.system()).leader(session.cancelable);
    const facts = formatRecord([
      ["Rank", String(rank)],
      ["Address", printable(address)],
      ["Term", term === undefined ? "only this engine may lead" : String(term)],
      ["Leads for", formatDuration(leadsMs)],
    ]);
    await session.output.result({ rank, address, term: term ?? null, leadsMs }, facts);
  },
});

export const exclude = command({
  summary: "Take the targets of engines out of service in all pools",
  examples: ["daos system exclude --ranks 1", "daos system exclude --ranks 1,2 --force"],
  arguments: {
    ranks: RANKS,
    force: { type: "boolean", description: "Also where containers keep their only copy there" },
  },
  run: ({ ranks, force }, session) => changeRanks(session, "exclude", ranks, force === true),
});

export const drain = command({
  summary: "Move the data of all pools away from engines, in the background; they serve until then",
  examples: ["daos system drain --ranks 3"],
  arguments: { ranks: RANKS },
  run: ({ ranks }, session) => changeRanks(session, "drain", ranks, false),
});

export const reintegrate = command({
  summary: "Take excluded or drained targets of engines back in all pools",
  examples: ["daos system reintegrate --ranks 1"],
  arguments: { ranks: RANKS },
  run: ({ ranks }, session) => changeRanks(session, "reintegrate", ranks, false),
});

async function changeRanks(
  session: Session,
  change: "exclude" | "drain" | "reintegrate",
  text: string,
  force: boolean,
): Promise<number> {
  const ranks = countsArgument("--ranks", text, MAX_RANK);
  const system = await session.system();
  const progress = { label: `Working on the pools of rank ${ranks.join(", ")}`, unit: "none" } as const;
  const options = { signal: session.signal, ...(force && { force }) };
  const pools = await session.withProgress(progress, () => system.changeRanks(change, ranks, options));
  const none = "No pool has targets of these ranks.\n";
  await session.output.result(
    { ranks, pools: pools.map(outcomeJson) },
    pools.length === 0 ? none : outcomesText(pools),
  );
  return statusOf(pools);
}

/** Status 1 when a pool refused. */
export function statusOf(pools: readonly PoolOutcome[]): number {
  return pools.some(({ outcome }) => outcome === "failed") ? EXIT_STATUS.failed : EXIT_STATUS.ok;
}

/** One pool's outcome in JSON; docs/cli.md promises these names. */
export function outcomeJson({ pool, outcome, mapVersion, code, message }: PoolOutcome): object {
  const error = code === undefined ? null : { code, message: message ?? "" };
  return { pool, outcome, mapVersion: mapVersion ?? null, error };
}

export function outcomesText(pools: readonly PoolOutcome[]): string {
  const rows = pools.map(({ pool, outcome, mapVersion, message }) => [
    printable(pool),
    outcome,
    mapVersion === undefined ? "" : String(mapVersion),
    printable(message ?? ""),
  ]);
  return formatTable(COLUMNS, rows);
}

const COLUMNS = [
  { title: "Pool" },
  { title: "Outcome" },
  { title: "Map version", align: "right" },
  { title: "Why not" },
] as const;
