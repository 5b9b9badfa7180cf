/**
 * `daos admin system ...`, `daos admin storage ...` and their short forms: what the system is made of, and how full
 * its tiers are.
 */
import { formatSize } from "../base/size.ts";
import type { EngineMetricsReply, SystemQueryReply } from "../format/operations.ts";
import { command, commandGroup } from "./command.ts";
import { formatDuration, formatPercent, formatRecord, formatTable, printable } from "./table.ts";

const query = command({
  summary: "Show the engine, its targets and its space",
  examples: ["daos system query", "daos system query --system 10.0.0.5:10001 --json"],
  arguments: {},
  async run(_values, session) {
    const reply = await (await session.system()).query(session.cancelable);
    await session.output.result(systemJson(reply), systemText(reply));
  },
});

const storageQuery = command({
  summary: "Show how full the tiers of each target are",
  examples: ["daos storage query"],
  arguments: {},
  async run(_values, session) {
    const tiers = tiersOf(await (await session.system()).metrics(session.cancelable));
    if (session.output.json) {
      await session.output.list(tiers, (tier) => tier, String);
      return;
    }
    const rows = tiers.map(({ target, tier, totalBytes, usedBytes }) => [
      String(target),
      tier,
      formatSize(totalBytes),
      formatSize(usedBytes),
      formatSize(totalBytes - usedBytes),
      formatPercent(usedBytes, totalBytes),
    ]);
    await session.output.text(formatTable(TIER_COLUMNS, rows));
  },
});

const TIER_COLUMNS = [
  { title: "Target", align: "right" },
  { title: "Tier" },
  { title: "Size", align: "right" },
  { title: "Used", align: "right" },
  { title: "Free", align: "right" },
  { title: "Full", align: "right" },
] as const;

export const SYSTEM_COMMANDS = commandGroup("The system and its engines", { query });
export const STORAGE_COMMANDS = commandGroup("The storage tiers of the targets", { query: storageQuery });
export const ADMIN_COMMANDS = commandGroup("Administration of a system", {
  system: SYSTEM_COMMANDS,
  storage: STORAGE_COMMANDS,
});

interface TierUse {
  readonly target: number;
  readonly tier: "SCM" | "NVMe";
  readonly totalBytes: number;
  readonly usedBytes: number;
}

/** Two tiers a target, in the order of the targets. */
function tiersOf(metrics: EngineMetricsReply): TierUse[] {
  return metrics.targets.flatMap((counters, index) => {
    const target = counters["index"] ?? index;
    const { scmTotalBytes = 0, scmUsedBytes = 0, nvmeTotalBytes = 0, nvmeUsedBytes = 0 } = counters;
    return [
      { target, tier: "SCM" as const, totalBytes: scmTotalBytes, usedBytes: scmUsedBytes },
      { target, tier: "NVMe" as const, totalBytes: nvmeTotalBytes, usedBytes: nvmeUsedBytes },
    ];
  });
}

/** A system's object in JSON; docs/cli.md promises these names. */
export function systemJson(reply: SystemQueryReply): object {
  const { system, software, uptimeMs, storage, pid, map } = reply;
  const { scmTotalBytes, scmUsedBytes, nvmeTotalBytes, nvmeUsedBytes } = reply;
  const targets = map.targets.map(({ index, host, port }) => ({ index, host, port }));
  return {
    system,
    software,
    pid,
    uptimeMs,
    storage,
    mapVersion: map.version,
    targets,
    scmTotalBytes,
    scmUsedBytes,
    nvmeTotalBytes,
    nvmeUsedBytes,
  };
}

export function systemText(reply: SystemQueryReply): string {
  const { map } = reply;
  const facts = formatRecord([
    ["System", printable(reply.system)],
    ["Software", printable(reply.software)],
    ["Process", String(reply.pid)],
    ["Uptime", formatDuration(reply.uptimeMs)],
    ["Storage", printable(reply.storage)],
    ["SCM", tierText(reply.scmUsedBytes, reply.scmTotalBytes)],
    ["NVMe", tierText(reply.nvmeUsedBytes, reply.nvmeTotalBytes)],
    ["Pool map", `version ${map.version}`],
  ]);
  const rows = map.targets.map(({ index, host, port }) => [String(index), printable(`${host}:${port}`)]);
  return `${facts}\n${formatTable([{ title: "Target", align: "right" }, { title: "Address" }], rows)}`;
}

function tierText(usedBytes: number, totalBytes: number): string {
  return `${formatSize(usedBytes)} of ${formatSize(totalBytes)} used (${formatPercent(usedBytes, totalBytes)})`;
}
