/**
 * `daos admin system ...` and its short form: what the system is made of, and how full its tiers are.
 */
import { formatSize } from "../base/size.ts";
import type { EngineDescription, SystemQueryReply } from "../format/operations.ts";
import { command, commandGroup } from "./command.ts";
import { events } from "./event-command.ts";
import { drain, exclude, leader, reintegrate } from "./system-rank-commands.ts";
import { backup, erase, restore } from "./system-backup-commands.ts";
import { restart } from "./system-restart-command.ts";
import { start, stop } from "./system-stop-commands.ts";
import { SELF_HEAL_COMMANDS } from "./self-heal-commands.ts";
import { STORAGE_COMMANDS } from "./storage-commands.ts";
import { systemCheck } from "./system-check-command.ts";
import { formatDuration, formatPercent, formatRecord, formatTable, printable } from "./table.ts";

const query = command({
  summary: "Show the engines, their targets and their space",
  examples: ["daos system query", "daos system query --verbose", "daos system query --system 10.0.0.5:10001 --json"],
  arguments: { verbose: { type: "boolean", description: "Also space and id of each engine, and the pools' maps" } },
  async run({ verbose }, session) {
    const reply = await (await session.system()).query(session.cancelable);
    await session.output.result(systemJson(reply), systemText(reply, verbose === true));
  },
});

const migrateMeta = command({
  summary: "Move the system's records to the meta store that is configured now; its engines must be stopped",
  examples: ["daos system migrate-meta --config /etc/daos/server.yml"],
  arguments: {
    config: {
      type: "string",
      valueHint: "FILE",
      description: "Configuration file that names the meta store to move to",
    },
    storage: { type: "string", valueHint: "DIR", description: "Storage folder of the first engine" },
  },
  async run({ config, storage }, session) {
    const moved = await session.environment.server.migrateMeta({
      ...(config !== undefined && { configPath: config }),
      ...(storage !== undefined && { storage }),
    });
    const { from, to, records } = moved;
    await session.output.result(moved, `Moved ${records} records from ${printable(from)} to ${printable(to)}.\n`);
  },
});

export const SYSTEM_COMMANDS = commandGroup("The system and its engines", {
  query,
  leader,
  events,
  check: systemCheck,
  stop,
  start,
  restart,
  exclude,
  drain,
  reintegrate,
  "self-heal": SELF_HEAL_COMMANDS,
  backup,
  restore,
  erase,
  "migrate-meta": migrateMeta,
});
export const ADMIN_COMMANDS = commandGroup("Administration of a system", {
  system: SYSTEM_COMMANDS,
  storage: STORAGE_COMMANDS,
});

/** A system's object in JSON; docs/cli.md promises these names. */
export function systemJson(reply: SystemQueryReply): object {
  const { system, software, uptimeMs, storage, pid, map, engines = [], pools = [] } = reply;
  const { scmTotalBytes, scmUsedBytes, nvmeTotalBytes, nvmeUsedBytes } = reply;
  const targets = map.targets.map(({ index, host, port, rank }) => ({ index, host, port, rank }));
  return {
    system,
    software,
    pid,
    uptimeMs,
    storage,
    targets,
    scmTotalBytes,
    scmUsedBytes,
    nvmeTotalBytes,
    nvmeUsedBytes,
    engines: engines.map(engineJson),
    pools: pools.map(({ label, mapVersion, down }) => ({ label, mapVersion, down })),
  };
}

function engineJson(engine: EngineDescription): object {
  const { rank, id, state, domain, address, targets, exclusionInMs, reason, software, version } = engine;
  const { scmTotalBytes, scmUsedBytes, nvmeTotalBytes, nvmeUsedBytes } = engine;
  return {
    rank,
    id,
    state,
    domain,
    address,
    targets,
    exclusionInMs: exclusionInMs ?? null,
    reason: reason ?? null,
    software: software ?? null,
    version: version ?? null,
    scmTotalBytes,
    scmUsedBytes,
    nvmeTotalBytes,
    nvmeUsedBytes,
  };
}

export function systemText(reply: SystemQueryReply, isVerbose = false): string {
  const { map, engines = [], pools = [] } = reply;
  const facts = formatRecord([
    ["System", printable(reply.system)],
    ["Software", printable(reply.software)],
    ["Process", String(reply.pid)],
    ["Uptime", formatDuration(reply.uptimeMs)],
    ["Storage", printable(reply.storage)],
    ["SCM", tierText(reply.scmUsedBytes, reply.scmTotalBytes)],
    ["NVMe", tierText(reply.nvmeUsedBytes, reply.nvmeTotalBytes)],
  ]);
  const targets = map.targets.map(({ index, host, port, rank }) => [
    String(index),
    String(rank),
    printable(`${host}:${port}`),
  ]);
  const parts = [facts, formatTable(ENGINE_COLUMNS, engines.map(engineRow)), formatTable(TARGET_COLUMNS, targets)];
  if (isVerbose) {
    parts.push(formatTable(SPACE_COLUMNS, engines.map(spaceRow)));
    const rows = pools.map(({ label, mapVersion, down }) => [printable(label), String(mapVersion), String(down)]);
    parts.push(formatTable(POOL_COLUMNS, rows));
  }
  return parts.join("\n");
}

function engineRow({ rank, state, domain, address, targets, exclusionInMs, reason }: EngineDescription): string[] {
  const due = exclusionInMs === undefined ? "" : `, excluded in ${(exclusionInMs / 1000).toFixed(1)} s`;
  const kept = reason === undefined ? "" : ", not excluded";
  return [String(rank), `${state}${due}${kept}`, printable(domain), String(targets), printable(address)];
}

function spaceRow(engine: EngineDescription): string[] {
  const { rank, id, scmUsedBytes, scmTotalBytes, nvmeUsedBytes, nvmeTotalBytes, reason, software } = engine;
  const scm = tierText(scmUsedBytes, scmTotalBytes);
  const release = printable(software ?? "");
  return [String(rank), id, scm, tierText(nvmeUsedBytes, nvmeTotalBytes), release, printable(reason ?? "")];
}

const ENGINE_COLUMNS = [
  { title: "Rank", align: "right" },
  { title: "State" },
  { title: "Domain" },
  { title: "Targets", align: "right" },
  { title: "Address" },
] as const;
const TARGET_COLUMNS = [
  { title: "Target", align: "right" },
  { title: "Rank", align: "right" },
  { title: "Address" },
] as const;
const SPACE_COLUMNS = [
  { title: "Rank", align: "right" },
  { title: "Engine" },
  { title: "SCM" },
  { title: "NVMe" },
  { title: "Release" },
  { title: "Note" },
] as const;
const POOL_COLUMNS = [
  { title: "Pool" },
  { title: "Map version", align: "right" },
  { title: "Targets down", align: "right" },
] as const;

function tierText(usedBytes: number, totalBytes: number): string {
  return `${formatSize(usedBytes)} of ${formatSize(totalBytes)} used (${formatPercent(usedBytes, totalBytes)})`;
}
