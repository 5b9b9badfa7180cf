/**
 * `daos container ...`: datasets inside a pool. The snapshots of a container are in snapshot-commands.ts.
 */
import { formatSize } from "../base/size.ts";
import type { ContainerDescription, ContainerType, Properties } from "../format/operations.ts";
import { labelArgument, objectClassArgument, propertiesArgument, propertiesFrom, sizeArgument } from "./arguments.ts";
import { command, commandGroup } from "./command.ts";
import { CONTAINER_ARGUMENT, POOL_ARGUMENT } from "./container-arguments.ts";
import { healthText } from "./health-text.ts";
import { propertiesJson, propertiesText } from "./property-text.ts";
import { SNAPSHOT_COMMANDS } from "./snapshot-commands.ts";
import { formatRecord, formatTable, printable } from "./table.ts";

const CONTAINER_TYPES = ["kv", "object", "posix"] as const satisfies readonly ContainerType[];

const create = command({
  summary: "Make a container in a pool",
  examples: [
    "daos container create tank demo --type kv",
    "daos container create tank bulk --class SX --chunk-size 4MiB",
  ],
  arguments: {
    pool: POOL_ARGUMENT,
    label: { type: "positional", required: true, description: "The new container's name" },
    type: { type: "enum", options: [...CONTAINER_TYPES], description: "Its data model; default object" },
    class: { type: "string", valueHint: "CLASS", description: "Class of objects that name none, such as S1 or SX" },
    "chunk-size": { type: "string", valueHint: "SIZE", description: "Bytes of an array that one dkey holds" },
    properties: { type: "string", valueHint: "K:V,..", description: "Properties to set at once" },
  },
  async run(values, session) {
    const label = labelArgument("container", values.label);
    const type = (values.type ?? "object") as ContainerType;
    const properties = creationProperties(values.properties, values.class, values["chunk-size"]);
    const pool = await session.pool(values.pool);
    const container = await pool.createContainer({ label, type, properties, signal: session.signal });
    await session.output.result(containerJson(container), containerText(container));
  },
});

/** `--class` and `--chunk-size` are names for properties that most people set. */
function creationProperties(
  list: string | undefined,
  objectClass: string | undefined,
  chunk: string | undefined,
): Properties {
  return {
    ...(list !== undefined && propertiesArgument(list)),
    ...(objectClass !== undefined && { oclass: objectClassArgument(objectClass).name }),
    ...(chunk !== undefined && { chunk_size: sizeArgument("--chunk-size", chunk) }),
  };
}

const list = command({
  summary: "List the containers of a pool",
  examples: ["daos container list tank"],
  arguments: { pool: POOL_ARGUMENT },
  async run({ pool }, session) {
    const containers = await (await session.pool(pool)).listContainers(session.cancelable);
    if (session.output.json) {
      await session.output.list(containers, containerJson, String);
      return;
    }
    const rows = containers.map((container) => [
      printable(container.label),
      container.type,
      formatSize(container.usedBytes),
      String(container.snapshots),
      container.state,
    ]);
    await session.output.text(formatTable(CONTAINER_COLUMNS, rows));
  },
});

const CONTAINER_COLUMNS = [
  { title: "Container" },
  { title: "Type" },
  { title: "Used", align: "right" },
  { title: "Snapshots", align: "right" },
  { title: "State" },
] as const;

const query = command({
  summary: "Show one container",
  examples: ["daos container query tank demo"],
  arguments: { pool: POOL_ARGUMENT, container: CONTAINER_ARGUMENT },
  async run(values, session) {
    const container = await (await session.pool(values.pool)).queryContainer(values.container, session.cancelable);
    await session.output.result(containerJson(container), containerText(container));
  },
});

const destroy = command({
  summary: "Destroy a container; its data and snapshots cannot be brought back",
  examples: ["daos container destroy tank demo", "daos container destroy tank demo --force"],
  arguments: {
    pool: POOL_ARGUMENT,
    container: CONTAINER_ARGUMENT,
    force: { type: "boolean", description: "Also when it is open or has snapshots" },
  },
  async run(values, session) {
    const { container } = values;
    const pool = await session.pool(values.pool);
    const progress = { label: `Destroying container ${printable(container)}`, unit: "none" } as const;
    await session.withProgress(progress, () =>
      pool.destroyContainer(container, { force: values.force === true, signal: session.signal }),
    );
    await session.output.result(
      { pool: values.pool, container, destroyed: true },
      `Destroyed container ${printable(container)}.\n`,
    );
  },
});

const getProperties = command({
  summary: "Show properties of a container",
  examples: ["daos container get-prop tank demo", "daos container get-prop tank demo oclass chunk_size"],
  arguments: {
    pool: POOL_ARGUMENT,
    container: CONTAINER_ARGUMENT,
    property: { type: "positional", required: false, description: "Names to show; all without" },
  },
  repeatLast: true,
  async run({ pool, container, _ }, session) {
    const properties = await (await session.pool(pool)).getContainerProperties(container, session.cancelable);
    await session.output.result(
      { pool, container, properties: propertiesJson(properties, _.slice(2)) },
      propertiesText(properties, _.slice(2)),
    );
  },
});

const setProperties = command({
  summary: "Change properties of a container",
  examples: ["daos container set-prop tank demo user.owner:physics"],
  arguments: {
    pool: POOL_ARGUMENT,
    container: CONTAINER_ARGUMENT,
    property: { type: "positional", required: true, description: "NAME:VALUE, one or more" },
  },
  repeatLast: true,
  async run({ pool, container, _ }, session) {
    const changes = propertiesFrom(_.slice(2));
    const selected = await session.pool(pool);
    const properties = await selected.setContainerProperties(container, changes, session.cancelable);
    await session.output.result({ pool, container, properties }, "");
  },
});

export const CONTAINER_COMMANDS = commandGroup("Containers: datasets inside a pool", {
  create,
  list,
  query,
  destroy,
  "get-prop": getProperties,
  "set-prop": setProperties,
  snapshot: SNAPSHOT_COMMANDS,
});

/** A container's object in JSON; docs/cli.md promises these names. */
function containerJson(container: ContainerDescription): object {
  const { id, label, type, pool, state, usedBytes, snapshots, health, createdAt, properties } = container;
  return { id, label, type, pool, state, usedBytes, snapshots, health: health ?? null, createdAt, properties };
}

function containerText(container: ContainerDescription): string {
  return formatRecord([
    ["Container", printable(container.label)],
    ["Id", container.id],
    ["Pool", printable(container.pool)],
    ["Type", container.type],
    ["State", container.state],
    ["Used", formatSize(container.usedBytes)],
    ["Snapshots", String(container.snapshots)],
    ["Health", healthText(container.health)],
    ["Created", container.createdAt],
    ...Object.entries(container.properties)
      .filter(([name]) => !["label", "type", "status"].includes(name))
      .map(([name, value]): [string, string] => [printable(name), printable(String(value))]),
  ]);
}
