/**
 * `daos admin system ...` and its short form: what the system is made of, and how full its tiers are.
 */
import { formatSize } from "../base/size.ts";
import type { SystemQueryReply } from "../format/operations.ts";
import { command, commandGroup } from "./command.ts";
import { STORAGE_COMMANDS } from "./storage-commands.ts";
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

export const SYSTEM_COMMANDS = commandGroup("The system and its engines", { query });
export const ADMIN_COMMANDS = commandGroup("Administration of a system", {
  system: SYSTEM_COMMANDS,
  storage: STORAGE_COMMANDS,
});

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
