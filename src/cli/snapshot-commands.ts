/**
 * `daos container snapshot ...`: named moments of a container that stay readable, and what changed between two of them.
 */
import { labelArgument } from "./arguments.ts";
import type { Change } from "./client-access.ts";
import { command, commandGroup } from "./command.ts";
import { CONTAINER_ARGUMENT, POOL_ARGUMENT } from "./container-arguments.ts";
import { dkeyText, keyText, shownKey } from "./key-text.ts";
import { formatObjectId } from "../base/object-id.ts";
import type { SnapshotDescription } from "../format/operations.ts";
import { formatTable, pad, printable } from "./table.ts";

const create = command({
  summary: "Keep the container's present state under a name",
  examples: ["daos container snapshot create tank demo monday"],
  arguments: {
    pool: POOL_ARGUMENT,
    container: CONTAINER_ARGUMENT,
    name: { type: "positional", required: false, description: "The snapshot's name; the epoch without" },
  },
  async run(values, session) {
    const name = values.name === undefined ? undefined : labelArgument("snapshot", values.name);
    const container = await session.openContainer(values.pool, values.container, { readOnly: false });
    const snapshot = await container.createSnapshot(name, session.cancelable);
    const text = `Created snapshot ${printable(snapshot.name)} at epoch ${snapshot.epoch}.\n`;
    await session.output.result(snapshotJson(snapshot), text);
  },
});

const list = command({
  summary: "List the snapshots of a container",
  examples: ["daos container snapshot list tank demo"],
  arguments: { pool: POOL_ARGUMENT, container: CONTAINER_ARGUMENT },
  async run(values, session) {
    const container = await session.openContainer(values.pool, values.container, { readOnly: true });
    const snapshots = await container.listSnapshots(session.cancelable);
    if (session.output.json) {
      await session.output.list(snapshots, snapshotJson, String);
      return;
    }
    const rows = snapshots.map(({ name, epoch, createdAt }) => [printable(name), String(epoch), createdAt]);
    const columns = [{ title: "Snapshot" }, { title: "Epoch", align: "right" }, { title: "Created" }] as const;
    await session.output.text(formatTable(columns, rows));
  },
});

const destroy = command({
  summary: "Give a snapshot up; what only it kept is reclaimed",
  examples: ["daos container snapshot destroy tank demo monday"],
  arguments: {
    pool: POOL_ARGUMENT,
    container: CONTAINER_ARGUMENT,
    name: { type: "positional", required: true, description: "The snapshot's name" },
  },
  async run({ pool, container: label, name }, session) {
    const container = await session.openContainer(pool, label, { readOnly: false });
    await container.destroySnapshot(name, session.cancelable);
    const text = `Destroyed snapshot ${printable(name)}.\n`;
    await session.output.result({ pool, container: label, snapshot: name, destroyed: true }, text);
  },
});

const diff = command({
  summary: "List what changed between two snapshots, or since one",
  examples: ["daos container snapshot diff tank demo monday tuesday", "daos container snapshot diff tank demo monday"],
  arguments: {
    pool: POOL_ARGUMENT,
    container: CONTAINER_ARGUMENT,
    from: { type: "positional", required: true, description: "The earlier snapshot's name" },
    to: { type: "positional", required: false, description: "The later one's; the present without" },
  },
  async run(values, session) {
    const container = await session.openContainer(values.pool, values.container, { readOnly: true });
    const changes = container.changes(values.from, values.to, session.cancelable);
    await session.output.list(changes, changeJson, changeText);
  },
});

export const SNAPSHOT_COMMANDS = commandGroup("Snapshots of a container", { create, list, destroy, diff });

function snapshotJson({ name, epoch, createdAt }: SnapshotDescription): object {
  return { name, epoch, createdAt };
}

function changeJson({ change, oid, dkey, akey }: Change): object {
  const dkeyPart = dkeyText(oid, dkey);
  const akeyPart = keyText(akey);
  return {
    change,
    objectId: formatObjectId(oid),
    dkey: dkeyPart.text,
    dkeyEncoding: dkeyPart.encoding,
    akey: akeyPart.text,
    akeyEncoding: akeyPart.encoding,
  };
}

function changeText({ change, oid, dkey, akey }: Change): string {
  const dkeyPart = shownKey(dkeyText(oid, dkey));
  return `${pad(change, 7, "left")}  ${formatObjectId(oid)}  ${dkeyPart}  ${shownKey(keyText(akey))}`.trimEnd();
}
