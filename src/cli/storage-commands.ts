/**
 * `daos storage ...` (in full `daos admin storage ...`): what storage this machine has, making it ready, and the tiers and
 * devices of a running engine.
 */
import { formatSize } from "../base/size.ts";
import type { DeviceDescription } from "../format/device-operations.ts";
import type { EngineMetricsReply } from "../format/operations.ts";
import type { StorageScan } from "../engine/storage-scan.ts";
import { countArgument, sizeArgument } from "./arguments.ts";
import { command, commandGroup } from "./command.ts";
import { MAX_ENGINE_TARGETS } from "../base/limits.ts";
import { formatPercent, formatRecord, formatTable, printable } from "./table.ts";

const DEVICE_ARGUMENT = {
  type: "positional",
  required: true,
  description: "Id of a device, see `daos storage query`",
} as const;

const scan = command({
  summary: "List the storage of this machine, and what is missing to use it; needs no engine",
  examples: ["daos storage scan", "daos storage scan --json"],
  arguments: {},
  async run(_values, session) {
    const found = await session.environment.server.scanStorage();
    await session.output.result(found, scanText(found));
  },
});

const format = command({
  summary: "Make storage ready without starting an engine; what it holds is kept unless forced",
  examples: [
    "daos storage format --config /etc/daos/server.yml",
    "daos storage format --storage /var/lib/daos --force",
  ],
  arguments: {
    config: { type: "string", valueHint: "FILE", description: "Configuration file; flags go before what it says" },
    storage: { type: "string", valueHint: "DIR", description: "Folder that holds all data; made when absent" },
    targets: { type: "string", valueHint: "N", description: "Targets, a thread each; default one a core less one" },
    "scm-size": { type: "string", valueHint: "SIZE", description: "Size of the SCM tier of the engine" },
    "nvme-size": { type: "string", valueHint: "SIZE", description: "Size of the NVMe tier of the engine" },
    force: { type: "boolean", description: "Also when folder or devices hold something: all of it is lost" },
  },
  async run(values, session) {
    const { config, storage, targets, force } = values;
    const scmSize = values["scm-size"];
    const nvmeSize = values["nvme-size"];
    const options = {
      ...(config !== undefined && { configPath: config }),
      ...(storage !== undefined && { storage }),
      ...(targets !== undefined && { targets: countArgument("--targets", targets, 1, MAX_ENGINE_TARGETS) }),
      ...(scmSize !== undefined && { scmSizeBytes: sizeArgument("--scm-size", scmSize) }),
      ...(nvmeSize !== undefined && { nvmeSizeBytes: sizeArgument("--nvme-size", nvmeSize) }),
      force: force === true,
    };
    const made = await session.environment.server.formatStorage(options);
    await session.output.result({ storage: made, formatted: true }, `Formatted storage ${printable(made)}.\n`);
  },
});

const query = command({
  summary: "Show the devices of an engine, how they do, and how full the tiers of each target are",
  examples: ["daos storage query", "daos storage query --json"],
  arguments: {},
  async run(_values, session) {
    const system = await session.system();
    const devices = await system.devices(session.cancelable);
    const tiers = tiersOf(await system.metrics(session.cancelable));
    await session.output.result(
      { devices: devices.map(deviceJson), tiers },
      `${devicesText(devices)}\n${tiersText(tiers)}`,
    );
  },
});

const identify = command({
  summary: "Light the lamp of a device for two minutes",
  examples: ["daos storage identify 01234567-89ab-4cde-8f01-23456789abcd"],
  arguments: { device: DEVICE_ARGUMENT },
  async run({ device }, session) {
    const found = await (await session.system()).identifyDevice(device, session.cancelable);
    await session.output.result(deviceJson(found), `Lit the lamp of device ${printable(found.id)}.\n`);
  },
});

const setFaulty = command({
  summary: "Take a device out of service: its targets take no more large values",
  examples: ["daos storage set-faulty 01234567-89ab-4cde-8f01-23456789abcd --force"],
  arguments: {
    device: DEVICE_ARGUMENT,
    force: { type: "boolean", description: "Although there is one copy of its data" },
  },
  async run({ device, force }, session) {
    const system = await session.system();
    const found = await system.setDeviceFaulty(device, { force: force === true, signal: session.signal });
    await session.output.result(deviceJson(found), `Marked device ${printable(found.id)} faulty.\n`);
  },
});

const replace = command({
  summary: "Put a faulty device back into service (the same id twice), or another one in its place at the next start",
  examples: [
    "daos storage replace 01234567-89ab-4cde-8f01-23456789abcd 01234567-89ab-4cde-8f01-23456789abcd",
    "daos storage replace 01234567-89ab-4cde-8f01-23456789abcd new --force",
  ],
  arguments: {
    old: DEVICE_ARGUMENT,
    new: { type: "positional", required: true, description: "Id that the new device gets, or `new` for any" },
    force: { type: "boolean", description: "Give up what is on the old device: the new one starts empty" },
  },
  async run(values, session) {
    const system = await session.system();
    const { signal } = session;
    const found = await system.replaceDevice(values.old, values.new, { force: values.force === true, signal });
    const text =
      found.successor === undefined
        ? `Device ${printable(found.id)} is back in service.\n`
        : `Device ${printable(found.successor)} takes the place of ${printable(found.id)} when the engine starts next: ` +
          "exchange it now, and name it in the configuration.\n";
    await session.output.result(deviceJson(found), text);
  },
});

export const STORAGE_COMMANDS = commandGroup("Storage of this machine, and the devices of an engine", {
  scan,
  format,
  query,
  identify,
  "set-faulty": setFaulty,
  replace,
});

const BLOCK_COLUMNS = [
  { title: "Device" },
  { title: "Size", align: "right" },
  { title: "Sector", align: "right" },
  { title: "Model" },
  { title: "State" },
  { title: "Content" },
] as const;

function scanText(found: StorageScan): string {
  const blocks = found.blockDevices.map(({ path, sizeBytes, sectorBytes, model, state, content }) => [
    path,
    formatSize(sizeBytes),
    String(sectorBytes),
    printable(model),
    state,
    printable(content),
  ]);
  const nvme = found.nvme.map(({ address, driver, model }) => [
    address,
    driver === "" ? "none" : driver,
    printable(model),
  ]);
  const memory = found.persistentMemory.map(({ name, mode, sizeBytes, device, mount, state }) => [
    name,
    mode,
    formatSize(sizeBytes),
    device,
    printable(mount),
    state,
  ]);
  const pages = found.hugePages.map(({ pageBytes, total, free }) => [
    formatSize(pageBytes),
    String(total),
    String(free),
  ]);
  const missing = found.missing.map(({ kind, name, reason }) => [kind, name, printable(reason)]);
  const memoryTitles = ["Namespace", "Mode", "Size", "Device", "Mounted on", "State"].map((title) => ({ title }));
  return [
    section("Block devices", BLOCK_COLUMNS, blocks, "none"),
    section("NVMe on PCI", [{ title: "Address" }, { title: "Driver" }, { title: "Model" }], nvme, "none"),
    section("Persistent memory", memoryTitles, memory, "none"),
    section("Huge pages", [{ title: "Size" }, { title: "Total" }, { title: "Free" }], pages, "none"),
    section("Missing", [{ title: "Kind" }, { title: "Plugin" }, { title: "Reason" }], missing, "nothing"),
  ].join("\n");
}

function section(
  title: string,
  columns: Parameters<typeof formatTable>[0],
  rows: readonly (readonly string[])[],
  nothing: string,
): string {
  return rows.length === 0 ? `${title}: ${nothing}\n` : `${title}\n${formatTable(columns, rows)}`;
}

function devicesText(devices: readonly DeviceDescription[]): string {
  return devices.map(deviceText).join("\n");
}

function deviceText(device: DeviceDescription): string {
  const { readErrors, writeErrors, flushErrors, checksumErrors, slowOperations, readP99Us, writeP99Us } = device;
  const errors = `${readErrors} read, ${writeErrors} write, ${flushErrors} flush, ${checksumErrors} checksum`;
  const state = device.reason === "" ? device.state : `${device.state}: ${printable(device.reason)}`;
  const { usedBytes, totalBytes, successor } = device;
  return formatRecord([
    ["Device", printable(device.id)],
    ["Plugin", printable(device.path === "" ? device.plugin : `${device.plugin} on ${device.path}`)],
    ["Targets", device.targets.join(", ")],
    ["State", state],
    ...(successor === undefined ? [] : [["Replaced by", `${printable(successor)} at the next start`] as const]),
    ["Used", `${formatSize(usedBytes)} of ${formatSize(totalBytes)} (${formatPercent(usedBytes, totalBytes)})`],
    ["Errors", errors],
    ["Slow", `${slowOperations} operations`],
    ["In flight", String(device.inFlight)],
    ["Latency p99", `read ${latencyText(readP99Us)}, write ${latencyText(writeP99Us)}`],
  ]);
}

function latencyText(latencyUs: number): string {
  if (latencyUs === 0) return "not measured";
  return latencyUs < 1000 ? `${Math.round(latencyUs)} us` : `${(latencyUs / 1000).toFixed(1)} ms`;
}

/** A device's object in JSON; docs/cli.md promises these names. */
function deviceJson(device: DeviceDescription): object {
  const { id, rank, plugin, path, targets, labelled, state, reason, successor, totalBytes, usedBytes } = device;
  const { inFlight, readErrors, writeErrors, flushErrors, discardErrors, checksumErrors, slowOperations } = device;
  const { readP99Us, writeP99Us } = device;
  return {
    id,
    rank,
    plugin,
    path,
    targets,
    labelled,
    state,
    reason,
    successor: successor ?? null,
    totalBytes,
    usedBytes,
    inFlight,
    readErrors,
    writeErrors,
    flushErrors,
    discardErrors,
    checksumErrors,
    slowOperations,
    readP99Us,
    writeP99Us,
  };
}

const TIER_COLUMNS = [
  { title: "Target", align: "right" },
  { title: "Tier" },
  { title: "Size", align: "right" },
  { title: "Used", align: "right" },
  { title: "Free", align: "right" },
  { title: "Full", align: "right" },
] as const;

interface TierUse {
  readonly target: number;
  readonly tier: "SCM" | "log" | "NVMe";
  readonly totalBytes: number;
  readonly usedBytes: number;
}

/** What each target has, in the order of the targets. The log is part of the SCM. */
function tiersOf(metrics: EngineMetricsReply): TierUse[] {
  return metrics.targets.flatMap((counters, index) => {
    const target = counters["index"] ?? index;
    const { scmTotalBytes = 0, scmUsedBytes = 0, nvmeTotalBytes = 0, nvmeUsedBytes = 0 } = counters;
    const { logTotalBytes = 0, logUsedBytes = 0 } = counters;
    return [
      { target, tier: "SCM" as const, totalBytes: scmTotalBytes, usedBytes: scmUsedBytes },
      { target, tier: "log" as const, totalBytes: logTotalBytes, usedBytes: logUsedBytes },
      { target, tier: "NVMe" as const, totalBytes: nvmeTotalBytes, usedBytes: nvmeUsedBytes },
    ];
  });
}

function tiersText(tiers: readonly TierUse[]): string {
  const rows = tiers.map(({ target, tier, totalBytes, usedBytes }) => [
    String(target),
    tier === "log" ? "  log" : tier,
    formatSize(totalBytes),
    formatSize(usedBytes),
    formatSize(totalBytes - usedBytes),
    formatPercent(usedBytes, totalBytes),
  ]);
  return formatTable(TIER_COLUMNS, rows);
}
