/**
 * `daos kv ...`: keys and values of a container of type `kv`. A value comes from the command line, a file or standard
 * input, and goes to standard output or a file as it is, byte for byte.
 */
import { DaosError, hasCode } from "../base/errors.ts";
import { MAX_SINGLE_VALUE_BYTES } from "../base/limits.ts";
import { formatSize } from "../base/size.ts";
import type { Condition } from "../contracts/interface.ts";
import { usageError } from "./arguments.ts";
import { command, commandGroup } from "./command.ts";
import { CONTAINER_ARGUMENT, MOMENT_ARGUMENTS, momentArgument, POOL_ARGUMENT } from "./container-arguments.ts";
import { ENCODING_ARGUMENT, keyArgument, keyText, shownKey } from "./key-text.ts";
import type { Session } from "./session.ts";
import { readWhole, writeWhole } from "./transfer.ts";

const KEY = { type: "positional", required: true, description: "The key" } as const;

const put = command({
  summary: "Store a value under a key, replacing what was there",
  examples: [
    "daos kv put tank demo greeting hello",
    "daos kv put tank demo logo --file logo.png",
    "date | daos kv put tank demo now --file -",
  ],
  arguments: {
    pool: POOL_ARGUMENT,
    container: CONTAINER_ARGUMENT,
    key: KEY,
    value: { type: "positional", required: false, description: "The value, as text" },
    file: {
      type: "string",
      alias: "f",
      valueHint: "FILE",
      description: "Take the value from here; - is standard input",
    },
    "if-absent": { type: "boolean", description: "Only when the key is not there yet" },
    "if-exists": { type: "boolean", description: "Only when the key is there already" },
    encoding: ENCODING_ARGUMENT,
  },
  async run(values, session) {
    const key = keyArgument("KEY", values.key, values.encoding);
    const condition = conditionOf(values["if-absent"] === true, values["if-exists"] === true);
    const value = await valueOf(session, values.value, values.file);
    const container = await session.openContainer(values.pool, values.container, { readOnly: false });
    const epoch = await named(key, "put", container.kv().put(key, value, { condition, signal: session.signal }));
    await session.output.result({ ...keyJson(key), sizeBytes: value.length, epoch }, "");
  },
});

const get = command({
  summary: "Print the value of a key, or write it to a file",
  examples: [
    "daos kv get tank demo greeting",
    "daos kv get tank demo logo --file logo.png",
    "daos kv get tank demo greeting --snapshot monday",
  ],
  arguments: {
    pool: POOL_ARGUMENT,
    container: CONTAINER_ARGUMENT,
    key: KEY,
    file: {
      type: "string",
      alias: ["f", "o"],
      valueHint: "FILE",
      description: "Write the value here; - is standard output",
    },
    ...MOMENT_ARGUMENTS,
    encoding: ENCODING_ARGUMENT,
  },
  async run(values, session) {
    const key = keyArgument("KEY", values.key, values.encoding);
    const moment = momentArgument("daos kv get", values);
    const view = await session.openView(values.pool, values.container, moment);
    const found = await view.kv().get(key, { signal: session.signal });
    if (found === undefined) throw noSuchKey("get", key);
    await showValue(session, key, found, values.file === "-" ? undefined : values.file);
  },
});

const remove = command({
  summary: "Delete a key and its value",
  examples: ["daos kv delete tank demo greeting"],
  arguments: { pool: POOL_ARGUMENT, container: CONTAINER_ARGUMENT, key: KEY, encoding: ENCODING_ARGUMENT },
  async run(values, session) {
    const key = keyArgument("KEY", values.key, values.encoding);
    const container = await session.openContainer(values.pool, values.container, { readOnly: false });
    const deleting = container.kv().delete(key, { condition: "ifExists", signal: session.signal });
    const epoch = await named(key, "delete", deleting);
    await session.output.result({ ...keyJson(key), deleted: true, epoch }, "");
  },
});

const list = command({
  summary: "List keys in byte order",
  examples: ["daos kv list tank demo", "daos kv list tank demo --prefix user/ --json"],
  arguments: {
    pool: POOL_ARGUMENT,
    container: CONTAINER_ARGUMENT,
    prefix: { type: "string", valueHint: "PREFIX", description: "Only keys that begin with this" },
    ...MOMENT_ARGUMENTS,
    encoding: ENCODING_ARGUMENT,
  },
  async run(values, session) {
    const prefix = values.prefix === undefined ? undefined : keyArgument("--prefix", values.prefix, values.encoding);
    const moment = momentArgument("daos kv list", values);
    const view = await session.openView(values.pool, values.container, moment);
    const keys = view.kv().list({ ...(prefix !== undefined && { prefix }), signal: session.signal });
    await session.output.list(keys, keyJson, (key) => shownKey(keyText(key)));
  },
});

export const KV_COMMANDS = commandGroup("Keys and values of a kv container", { put, get, delete: remove, list });

function keyJson(key: Uint8Array): { key: string; keyEncoding: string } {
  const { text, encoding } = keyText(key);
  return { key: text, keyEncoding: encoding };
}

function conditionOf(ifAbsent: boolean, ifExists: boolean): Condition {
  if (ifAbsent && ifExists) throw usageError("daos kv put", "--if-absent and --if-exists exclude each other");
  return ifAbsent ? "ifAbsent" : ifExists ? "ifExists" : "always";
}

async function valueOf(session: Session, text: string | undefined, file: string | undefined): Promise<Uint8Array> {
  if (text !== undefined && file !== undefined) {
    throw usageError("daos kv put", "VALUE and --file exclude each other");
  }
  if (text !== undefined) return Buffer.from(text, "utf8");
  if (file === undefined) throw usageError("daos kv put", "a value is missing: give VALUE or --file FILE");
  const value = await readWhole(session, file, MAX_SINGLE_VALUE_BYTES);
  if (value !== undefined) return value;
  throw new DaosError(
    "TOO_LARGE",
    `Cannot put "${file}": it is larger than a value may be, ${formatSize(MAX_SINGLE_VALUE_BYTES)}. ` +
      "Store it with `daos object put` in a container of type object.",
  );
}

async function showValue(
  session: Session,
  key: Uint8Array,
  found: { readonly value: Uint8Array; readonly epoch: number },
  file: string | undefined,
): Promise<void> {
  const { output, environment } = session;
  const { value, epoch } = found;
  if (file !== undefined) await writeWhole(session, file, value);
  if (file !== undefined || output.json) {
    // What went to a file is not repeated.
    const shown = file === undefined ? keyText(value) : { text: null, encoding: null };
    const content = { value: shown.text, valueEncoding: shown.encoding, sizeBytes: value.length };
    await output.result({ ...keyJson(key), ...content, epoch, file: file ?? null }, "");
    return;
  }
  await output.bytes(value);
  // A person's prompt should begin on its own line; a program gets the value and nothing else.
  if (environment.stdout.isTerminal && value.at(-1) !== 0x0a) await output.text("\n");
}

/** Gives a failed condition the key's name. */
async function named<Result>(key: Uint8Array, action: string, work: Promise<Result>): Promise<Result> {
  try {
    return await work;
  } catch (error) {
    if (hasCode(error, "DOES_NOT_EXIST")) throw noSuchKey(action, key, error);
    if (!hasCode(error, "ALREADY_EXISTS")) throw error;
    const shown = shownKey(keyText(key));
    throw new DaosError(
      "ALREADY_EXISTS",
      `Cannot ${action} key "${shown}": it is there. Leave out --if-absent to replace it.`,
      {
        cause: error,
      },
    );
  }
}

function noSuchKey(action: string, key: Uint8Array, cause?: unknown): DaosError {
  const shown = shownKey(keyText(key));
  const message = `Cannot ${action} key "${shown}": it is not there. See the keys with \`daos kv list\`.`;
  return new DaosError("DOES_NOT_EXIST", message, { cause });
}
