/**
 * `daos pool ...`: slices of the system's space. Creating, looking, changing, destroying; the engine decides, this asks
 * and prints.
 */
import { formatSize } from "../base/size.ts";
import type { PoolDescription, Properties } from "../format/operations.ts";
import type { TierSpace } from "../format/pool-state.ts";
import { labelArgument, propertiesArgument, propertiesFrom, sizeArgument } from "./arguments.ts";
import { command, commandGroup } from "./command.ts";
import { POOL_ARGUMENT } from "./container-arguments.ts";
import { capacityRows, healthText } from "./health-text.ts";
import { REBUILD_COMMANDS, rebuildJson, rebuildText } from "./pool-rebuild-commands.ts";
import { SCRUB_COMMANDS } from "./scrub-commands.ts";
import { drain, exclude, extend, queryTargets, reintegrate, shrink } from "./pool-target-commands.ts";
import { propertiesJson, propertiesText } from "./property-text.ts";
import { formatPercent, formatRecord, formatTable, printable } from "./table.ts";

const create = command({
  summary: "Make a pool",
  examples: ["daos pool create tank --size 4GiB", "daos pool create tank --size 1TiB --properties user.owner:physics"],
  arguments: {
    label: { type: "positional", required: true, description: "The new pool's name" },
    size: {
      type: "string",
      required: true,
      valueHint: "SIZE",
      description: "What its containers may take together, such as 4GiB",
    },
    properties: { type: "string", valueHint: "K:V,..", description: "Properties to set at once" },
  },
  async run({ label, size, properties }, session) {
    const options = {
      label: labelArgument("pool", label),
      sizeBytes: sizeArgument("--size", size),
      signal: session.signal,
      ...(properties !== undefined && { properties: propertiesArgument(properties) }),
    };
    const pool = await (await session.system()).createPool(options);
    await session.output.result(poolJson(pool), poolText(pool));
  },
});

const list = command({
  summary: "List the pools",
  examples: ["daos pool list", "daos pool list --json"],
  arguments: {},
  async run(_values, session) {
    const pools = await (await session.system()).listPools(session.cancelable);
    if (session.output.json) {
      await session.output.list(pools, poolJson, String);
      return;
    }
    const rows = pools.map((pool) => [
      printable(pool.label),
      formatSize(pool.sizeBytes),
      formatSize(pool.usedBytes),
      formatPercent(pool.usedBytes, pool.sizeBytes),
      String(pool.containers),
      pool.state,
    ]);
    await session.output.text(formatTable(POOL_COLUMNS, rows));
  },
});

const POOL_COLUMNS = [
  { title: "Pool" },
  { title: "Size", align: "right" },
  { title: "Used", align: "right" },
  { title: "Full", align: "right" },
  { title: "Containers", align: "right" },
  { title: "State" },
] as const;

const query = command({
  summary: "Show one pool",
  examples: ["daos pool query tank"],
  arguments: { label: POOL_ARGUMENT },
  async run({ label }, session) {
    const pool = await (await session.pool(label)).query(session.cancelable);
    await session.output.result(poolJson(pool), poolText(pool));
  },
});

const destroy = command({
  summary: "Destroy a pool; its data cannot be brought back",
  examples: ["daos pool destroy tank", "daos pool destroy tank --force"],
  arguments: {
    label: POOL_ARGUMENT,
    force: { type: "boolean", description: "Also when it holds containers: they and their data go with it" },
  },
  async run({ label, force }, session) {
    const pool = await session.pool(label);
    const progress = { label: `Destroying pool ${printable(label)}`, unit: "none" } as const;
    await session.withProgress(progress, () => pool.destroy({ force: force === true, signal: session.signal }));
    await session.output.result({ pool: label, destroyed: true }, `Destroyed pool ${printable(label)}.\n`);
  },
});

const resize = command({
  summary: "Give a pool another size: more, or less, down to what it holds",
  examples: ["daos pool resize tank 8GiB"],
  arguments: {
    label: POOL_ARGUMENT,
    size: { type: "positional", required: true, description: "What its containers may take together, such as 8GiB" },
  },
  async run({ label, size }, session) {
    const pool = await session.pool(label);
    await pool.setProperties({ size: sizeArgument("SIZE", size) }, session.cancelable);
    const resized = await pool.query(session.cancelable);
    await session.output.result(poolJson(resized), poolText(resized));
  },
});

const getProperties = command({
  summary: "Show properties of a pool",
  examples: ["daos pool get-prop tank", "daos pool get-prop tank label"],
  arguments: {
    label: POOL_ARGUMENT,
    property: { type: "positional", required: false, description: "Names to show; all without" },
  },
  repeatLast: true,
  async run({ label, _ }, session) {
    const properties = await (await session.pool(label)).getProperties(session.cancelable);
    await session.output.result(
      { pool: label, properties: propertiesJson(properties, _.slice(1)) },
      propertiesText(properties, _.slice(1)),
    );
  },
});

const setProperties = command({
  summary: "Change properties of a pool",
  examples: ["daos pool set-prop tank size:8GiB", "daos pool set-prop tank user.owner:physics user.until:2030"],
  arguments: {
    label: POOL_ARGUMENT,
    property: { type: "positional", required: true, description: "NAME:VALUE, one or more" },
  },
  repeatLast: true,
  async run({ label, _ }, session) {
    const changes = propertiesFrom(_.slice(1));
    const properties = await (await session.pool(label)).setProperties(changes, session.cancelable);
    await session.output.result({ pool: label, properties }, "");
  },
});

export const POOL_COMMANDS = commandGroup("Pools: slices of the system's space", {
  create,
  list,
  query,
  destroy,
  "get-prop": getProperties,
  "set-prop": setProperties,
  "query-targets": queryTargets,
  exclude,
  reintegrate,
  extend,
  drain,
  scrub: SCRUB_COMMANDS,
  rebuild: REBUILD_COMMANDS,
  shrink,
  resize,
});

/** A pool's object in JSON; docs/cli.md promises these names. */
function poolJson(pool: PoolDescription): object {
  const { id, label, state, sizeBytes, usedBytes, scmUsedBytes, nvmeUsedBytes, containers, targets, createdAt } = pool;
  const { scm, log, nvme, rebuild, health, capacity, properties } = pool;
  return {
    id,
    label,
    state,
    sizeBytes,
    usedBytes,
    scmUsedBytes,
    nvmeUsedBytes,
    scm: scm ?? null,
    log: log ?? null,
    nvme: nvme ?? null,
    containers,
    targets,
    rebuild: rebuildJson(rebuild),
    health: health ?? null,
    capacity: capacity ?? null,
    createdAt,
    properties,
  };
}

function poolText(pool: PoolDescription): string {
  const used = `${formatSize(pool.usedBytes)} (${formatPercent(pool.usedBytes, pool.sizeBytes)})`;
  return formatRecord([
    ["Pool", printable(pool.label)],
    ["Id", pool.id],
    ["State", pool.state],
    ["Size", formatSize(pool.sizeBytes)],
    ["Used", used],
    ["  SCM", formatSize(pool.scmUsedBytes)],
    ["  NVMe", formatSize(pool.nvmeUsedBytes)],
    ["SCM tier", tierText(pool.scm)],
    ["  log", tierText(pool.log)],
    ["NVMe tier", tierText(pool.nvme)],
    ["Containers", String(pool.containers)],
    ["Targets", String(pool.targets)],
    ["Rebuild", rebuildText(pool.rebuild)],
    ["Health", healthText(pool.health)],
    ...capacityRows(pool.capacity),
    ["Created", pool.createdAt],
    ...userAttributes(pool.properties),
  ]);
}

function tierText(tier: TierSpace | undefined): string {
  if (tier === undefined) return "not told";
  const { totalBytes, usedBytes, freeBytes } = tier;
  return `${formatSize(usedBytes)} of ${formatSize(totalBytes)} used by all pools, ${formatSize(freeBytes)} free`;
}

function userAttributes(properties: Properties): [string, string][] {
  return Object.entries(properties)
    .filter(([name]) => name.startsWith("user."))
    .map(([name, value]) => [printable(name), printable(String(value))]);
}
