/**
 * `daos object ...`: the objects of a container and the keys inside. Whole files go in and out in
 * object-content-commands.ts.
 */
import { formatObjectId } from "../base/object-id.ts";
import { formatSize } from "../base/size.ts";
import { command, commandGroup } from "./command.ts";
import { CONTAINER_ARGUMENT, MOMENT_ARGUMENTS, momentArgument, POOL_ARGUMENT } from "./container-arguments.ts";
import { dkeyArgument, dkeyText, ENCODING_ARGUMENT, keyArgument, keyText, type KeyText, shownKey } from "./key-text.ts";
import { getObject, putObject } from "./object-content-commands.ts";
import { explainObject } from "./object-explain-command.ts";
import {
  classedIdArgument,
  identityOf,
  isArray,
  noSuchObject,
  OBJECT_ARGUMENT,
  TYPE_WIDTH,
} from "./object-identity.ts";
import { runTransaction } from "./object-transaction-command.ts";
import { formatRecord } from "./table.ts";

const list = command({
  summary: "List the objects of a container",
  examples: ["daos object list tank bulk", "daos object list tank bulk --snapshot monday --json"],
  arguments: { pool: POOL_ARGUMENT, container: CONTAINER_ARGUMENT, ...MOMENT_ARGUMENTS },
  async run(values, session) {
    const moment = momentArgument("daos object list", values);
    const view = await session.openView(values.pool, values.container, moment);
    await session.output.list(view.listObjects({ signal: session.signal }), identityOf, (oid) => {
      const { objectId, type, class: className } = identityOf(oid);
      return `${objectId}  ${type.padEnd(TYPE_WIDTH)}  ${className}`;
    });
  },
});

const query = command({
  summary: "Show an object's type, class and size",
  examples: ["daos object query tank bulk d01000100000000.1"],
  arguments: { pool: POOL_ARGUMENT, container: CONTAINER_ARGUMENT, oid: OBJECT_ARGUMENT, ...MOMENT_ARGUMENTS },
  async run(values, session) {
    const oid = classedIdArgument(values.oid);
    const moment = momentArgument("daos object query", values);
    const view = await session.openView(values.pool, values.container, moment);
    let dkeys = 0;
    for await (const _ of view.object(oid).listDkeys({ limit: 1, signal: session.signal })) dkeys += 1;
    if (dkeys === 0) throw noSuchObject("query", oid);
    const array = isArray(oid) ? view.array(oid) : undefined;
    const size = await array?.size({ signal: session.signal });
    const identity = identityOf(oid);
    const facts: [string, string][] = [
      ["Object", identity.objectId],
      ["Type", identity.type],
      ["Class", identity.class],
    ];
    const sizes = { sizeBytes: null, recordBytes: null, chunkBytes: null };
    if (array === undefined || size === undefined) {
      await session.output.result({ ...identity, ...sizes }, formatRecord(facts));
      return;
    }
    const { recordBytes, chunkBytes } = array;
    const sizeBytes = size * recordBytes;
    facts.push(["Size", `${formatSize(sizeBytes)} (${sizeBytes} bytes)`]);
    if (recordBytes !== 1) facts.push(["Record", formatSize(recordBytes)]);
    facts.push(["Chunk", formatSize(chunkBytes)]);
    await session.output.result({ ...identity, sizeBytes, recordBytes, chunkBytes }, formatRecord(facts));
  },
});

const punch = command({
  summary: "Remove an object, one of its dkeys, or one akey",
  examples: ["daos object punch tank bulk d01000100000000.1", "daos object punch tank bulk 1000100000000.7 row column"],
  arguments: {
    pool: POOL_ARGUMENT,
    container: CONTAINER_ARGUMENT,
    oid: OBJECT_ARGUMENT,
    dkey: { type: "positional", required: false, description: "Only this dkey" },
    akey: { type: "positional", required: false, description: "Only this akey of the dkey" },
    encoding: ENCODING_ARGUMENT,
  },
  async run(values, session) {
    const oid = classedIdArgument(values.oid);
    const { signal } = session;
    const dkey = values.dkey === undefined ? undefined : dkeyArgument(oid, values.dkey, values.encoding);
    const akey = values.akey === undefined ? undefined : keyArgument("AKEY", values.akey, values.encoding);
    const container = await session.openContainer(values.pool, values.container, { readOnly: false });
    const object = container.object(oid);
    if (dkey === undefined) await object.punch({ signal });
    else if (akey === undefined) await object.punchDkey(dkey, { signal });
    else await object.punchAkey(dkey, akey, { signal });
    await session.output.result({ objectId: formatObjectId(oid), punched: true }, "");
  },
});

const dkeys = command({
  summary: "List the dkeys of an object",
  examples: ["daos object dkeys tank bulk d01000100000000.1"],
  arguments: { pool: POOL_ARGUMENT, container: CONTAINER_ARGUMENT, oid: OBJECT_ARGUMENT, ...MOMENT_ARGUMENTS },
  async run(values, session) {
    const oid = classedIdArgument(values.oid);
    const moment = momentArgument("daos object dkeys", values);
    const view = await session.openView(values.pool, values.container, moment);
    const found = view.object(oid).listDkeys({ signal: session.signal });
    const textOf = (key: Uint8Array): KeyText => dkeyText(oid, key);
    await session.output.list(
      found,
      (key) => keyObject("dkey", textOf(key)),
      (key) => shownKey(textOf(key)),
    );
  },
});

const akeys = command({
  summary: "List the akeys of a dkey",
  examples: ["daos object akeys tank bulk d01000100000000.1 1"],
  arguments: {
    pool: POOL_ARGUMENT,
    container: CONTAINER_ARGUMENT,
    oid: OBJECT_ARGUMENT,
    dkey: { type: "positional", required: true, description: "The dkey; a decimal number for array objects" },
    ...MOMENT_ARGUMENTS,
    encoding: ENCODING_ARGUMENT,
  },
  async run(values, session) {
    const oid = classedIdArgument(values.oid);
    const dkey = dkeyArgument(oid, values.dkey, values.encoding);
    const moment = momentArgument("daos object akeys", values);
    const view = await session.openView(values.pool, values.container, moment);
    const found = view.object(oid).listAkeys(dkey, { signal: session.signal });
    await session.output.list(
      found,
      (key) => keyObject("akey", keyText(key)),
      (key) => shownKey(keyText(key)),
    );
  },
});

export const OBJECT_COMMANDS = commandGroup("Objects: whole files, and the keys inside", {
  put: putObject,
  get: getObject,
  list,
  query,
  explain: explainObject,
  punch,
  dkeys,
  akeys,
  tx: runTransaction,
});

function keyObject(level: "dkey" | "akey", { text, encoding }: KeyText): object {
  return { [level]: text, [`${level}Encoding`]: encoding };
}
