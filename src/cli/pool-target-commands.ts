/**
 * `daos pool query-targets`, `exclude`, `reintegrate`, `extend`, `drain`, `shrink`: the targets that a pool lies on.
 */
import { MAX_POOL_TARGETS, MAX_RANK } from "../base/limits.ts";
import type { PoolTargetsReply } from "../format/pool-targets.ts";
import { countsArgument, usageError } from "./arguments.ts";
import type { TargetSelection } from "./client-access.ts";
import { command } from "./command.ts";
import { POOL_ARGUMENT } from "./container-arguments.ts";
import { formatTable, printable } from "./table.ts";

const SELECTION = {
  ranks: { type: "string", valueHint: "N,..", description: "All targets of these ranks" },
  targets: {
    type: "string",
    valueHint: "N,..",
    description: "These targets, as `daos pool query-targets` counts them",
  },
} as const;

export const queryTargets = command({
  summary: "Show the targets of a pool: where they are, and how they do",
  examples: ["daos pool query-targets tank", "daos pool query-targets tank --json"],
  arguments: { label: POOL_ARGUMENT },
  async run({ label }, session) {
    const reply = await (await session.pool(label)).queryTargets(session.cancelable);
    await session.output.result(targetsJson(reply), targetsText(reply));
  },
});

export const exclude = command({
  summary: "Take targets of a pool out of service",
  examples: ["daos pool exclude tank --ranks 1,2", "daos pool exclude tank --targets 5 --force"],
  arguments: {
    label: POOL_ARGUMENT,
    ...SELECTION,
    force: { type: "boolean", description: "Also when containers keep their only copy there" },
  },
  async run({ label, ranks, targets, force }, session) {
    const selection = selectionFrom("daos pool exclude", ranks, targets);
    const pool = await session.pool(label);
    const progress = { label: `Excluding targets of pool ${printable(label)}`, unit: "none" } as const;
    const options = { force: force === true, signal: session.signal };
    const reply = await session.withProgress(progress, () => pool.exclude(selection, options));
    await session.output.result(targetsJson(reply), targetsText(reply));
  },
});

export const reintegrate = command({
  summary: "Take excluded or drained targets of a pool back",
  examples: ["daos pool reintegrate tank --ranks 1", "daos pool reintegrate tank --targets 5"],
  arguments: { label: POOL_ARGUMENT, ...SELECTION },
  async run({ label, ranks, targets }, session) {
    const selection = selectionFrom("daos pool reintegrate", ranks, targets);
    const reply = await (await session.pool(label)).reintegrate(selection, session.cancelable);
    await session.output.result(targetsJson(reply), targetsText(reply));
  },
});

export const extend = command({
  summary: "Add the targets of engines to a pool; data moves to them in the background",
  examples: ["daos pool extend tank --ranks 3", "daos pool extend tank --ranks 3,4 --json"],
  arguments: { label: POOL_ARGUMENT, ranks: { ...SELECTION.ranks, required: true } },
  async run({ label, ranks }, session) {
    const added = countsArgument("--ranks", ranks, MAX_RANK);
    const reply = await (await session.pool(label)).extend(added, session.cancelable);
    await session.output.result(targetsJson(reply), targetsText(reply));
  },
});

export const drain = command({
  summary: "Move all data of a pool away from targets, in the background; they serve until then",
  examples: ["daos pool drain tank --ranks 1", "daos pool drain tank --targets 5"],
  arguments: { label: POOL_ARGUMENT, ...SELECTION },
  async run({ label, ranks, targets }, session) {
    const selection = selectionFrom("daos pool drain", ranks, targets);
    const reply = await (await session.pool(label)).drain(selection, session.cancelable);
    await session.output.result(targetsJson(reply), targetsText(reply));
  },
});

export const shrink = command({
  summary: "Give engines up: drain all their targets, in the background; the engines may then be stopped for good",
  examples: ["daos pool shrink tank --ranks 3"],
  arguments: { label: POOL_ARGUMENT, ranks: { ...SELECTION.ranks, required: true } },
  async run({ label, ranks }, session) {
    const given = countsArgument("--ranks", ranks, MAX_RANK);
    const reply = await (await session.pool(label)).drain({ ranks: given }, session.cancelable);
    await session.output.result(targetsJson(reply), targetsText(reply));
  },
});

function selectionFrom(line: string, ranks: string | undefined, targets: string | undefined): TargetSelection {
  if (ranks === undefined && targets === undefined) throw usageError(line, "--ranks or --targets is missing");
  return {
    ...(ranks !== undefined && { ranks: countsArgument("--ranks", ranks, MAX_RANK) }),
    ...(targets !== undefined && { targets: countsArgument("--targets", targets, MAX_POOL_TARGETS - 1) }),
  };
}

/** A map in JSON; docs/cli.md promises these names. */
function targetsJson({ pool, map }: PoolTargetsReply): object {
  const targets = map.targets.map(({ index, rank, domain, state, since, host, port }) => {
    return { index, rank, domain, state, since, host, port };
  });
  return { pool, mapVersion: map.version, targets };
}

function targetsText({ map }: PoolTargetsReply): string {
  const rows = map.targets.map(({ index, rank, domain, state, since, host, port }) => [
    String(index),
    String(rank),
    printable(domain),
    state,
    String(since),
    host === "" ? "" : printable(host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`),
  ]);
  return `Pool map version ${map.version}\n\n${formatTable(COLUMNS, rows)}`;
}

const COLUMNS = [
  { title: "Target", align: "right" },
  { title: "Rank", align: "right" },
  { title: "Domain" },
  { title: "State" },
  { title: "Since", align: "right" },
  { title: "Address" },
] as const;
