/**
 * `daos object put` and `get`: whole files as array objects, streamed in bounded memory whatever their size.
 */
import { DaosError } from "../base/errors.ts";
import { MAX_ARRAY_BYTES } from "../base/limits.ts";
import { formatObjectId, objectClassOf, type ObjectId } from "../base/object-id.ts";
import { objectClassArgument, sizeArgument, usageError } from "./arguments.ts";
import type { ContainerAccess, ContainerViewAccess } from "./client-access.ts";
import { command } from "./command.ts";
import { CONTAINER_ARGUMENT, MOMENT_ARGUMENTS, momentArgument, POOL_ARGUMENT } from "./container-arguments.ts";
import { arrayIdArgument, noSuchObject, OBJECT_ARGUMENT } from "./object-identity.ts";
import type { Session } from "./session.ts";
import { printable } from "./table.ts";
import { countedChunks, openSource, untilAborted, writeFrom } from "./transfer.ts";

export const putObject = command({
  summary: "Store a file as an object and print the object's id",
  examples: [
    "daos object put tank bulk movie.mp4",
    "tar c project | daos object put tank bulk - --class S4",
    "daos object put tank bulk movie.mp4 --oid d01000100000000.1",
  ],
  arguments: {
    pool: POOL_ARGUMENT,
    container: CONTAINER_ARGUMENT,
    file: { type: "positional", required: true, description: "The file; - is standard input" },
    oid: { type: "string", valueHint: "OID", description: "Replace the content of this object instead of making one" },
    class: { type: "string", valueHint: "CLASS", description: "Class of the new object; the container's without" },
  },
  async run(values, session) {
    if (values.oid !== undefined && values.class !== undefined) {
      throw usageError("daos object put", "--oid and --class exclude each other, for the id carries the class");
    }
    const given = values.oid === undefined ? undefined : arrayIdArgument(values.oid);
    const objectClass = values.class === undefined ? undefined : objectClassArgument(values.class);
    const container = await session.openContainer(values.pool, values.container, { readOnly: false });
    const oid = given ?? container.newObjectId("ARRAY_BYTE", objectClass);
    const sizeBytes = await storeFile(session, container, oid, values.file, given === undefined);
    const id = formatObjectId(oid);
    await session.output.result({ objectId: id, class: objectClassOf(oid).name, sizeBytes }, `${id}\n`);
  },
});

/** Writes the file over the object from its start, then cuts off the rest. A new object that fails is removed. */
async function storeFile(
  session: Session,
  container: ContainerAccess,
  oid: ObjectId,
  file: string,
  isNew: boolean,
): Promise<number> {
  const { signal } = session;
  const source = await openSource(session, file);
  const array = container.array(oid);
  const progress = { label: `put ${printable(file)}`, unit: "bytes", total: source.sizeBytes } as const;
  try {
    return await session.withProgress(progress, async (shown) => {
      const chunks = countedChunks(untilAborted(source.chunks, signal), (sizeBytes) => shown.advance(sizeBytes));
      const sizeBytes = await array.writeStream(chunks, { signal });
      await array.setSize(sizeBytes / array.recordBytes, { signal });
      return sizeBytes;
    });
  } catch (error) {
    // Best effort: what is left otherwise is an object that nobody was told of.
    const object = container.object(oid);
    if (isNew) await object.punch().catch(() => {});
    throw error;
  }
}

export const getObject = command({
  summary: "Write an object's bytes to a file or standard output",
  examples: [
    "daos object get tank bulk d01000100000000.1 -o movie.mp4",
    "daos object get tank bulk d01000100000000.1 --offset 1GiB --length 64KiB | xxd | head",
    "daos object get tank bulk d01000100000000.1 --snapshot monday -o old.mp4",
  ],
  arguments: {
    pool: POOL_ARGUMENT,
    container: CONTAINER_ARGUMENT,
    oid: OBJECT_ARGUMENT,
    output: {
      type: "string",
      alias: "o",
      valueHint: "FILE",
      description: "Write here; standard output without, or with -",
    },
    offset: { type: "string", valueHint: "SIZE", description: "First byte; default 0" },
    length: { type: "string", valueHint: "SIZE", description: "Most bytes; to the end without" },
    ...MOMENT_ARGUMENTS,
  },
  async run(values, session) {
    const oid = arrayIdArgument(values.oid);
    const moment = momentArgument("daos object get", values);
    const offset = values.offset === undefined ? 0 : addressArgument("--offset", values.offset);
    const length = values.length === undefined ? undefined : addressArgument("--length", values.length);
    const file = values.output === "-" ? undefined : values.output;
    if (session.output.json && file === undefined) {
      throw usageError("daos object get", "--json needs --output FILE, for standard output has the JSON");
    }
    const view = await session.openView(values.pool, values.container, moment);
    const sizeBytes = await fetchBytes(session, view, oid, offset, length, file);
    if (file === undefined) return;
    const id = formatObjectId(oid);
    await session.output.result({ objectId: id, file, offset, sizeBytes }, "");
  },
});

async function fetchBytes(
  session: Session,
  view: ContainerViewAccess,
  oid: ObjectId,
  offset: number,
  length: number | undefined,
  file: string | undefined,
): Promise<number> {
  const { signal, output } = session;
  const array = view.array(oid);
  const size = await array.size({ signal });
  if (size === 0) await checkExists(session, view, oid);
  const { recordBytes } = array;
  const first = recordsIn("--offset", offset, recordBytes);
  const wanted = length === undefined ? size : recordsIn("--length", length, recordBytes);
  const count = Math.max(0, Math.min(size - first, wanted));
  const total = count * recordBytes;
  const stream = count === 0 ? [] : array.readStream({ offset: first, length: count, signal });
  const chunks = exactBytes(stream, total, oid);
  const progress = { label: `get ${formatObjectId(oid)}`, unit: "bytes", total } as const;
  return await session.withProgress(progress, async (shown) => {
    if (file !== undefined) return await writeFrom(session, file, chunks, shown);
    let sizeBytes = 0;
    for await (const chunk of untilAborted(chunks, signal)) {
      await output.bytes(chunk);
      sizeBytes += chunk.length;
      shown.advance(chunk.length);
    }
    return sizeBytes;
  });
}

/** Whole records in so many bytes. Throws INVALID_ARGUMENT when there is a rest. */
function recordsIn(name: string, sizeBytes: number, recordBytes: number): number {
  const count = sizeBytes / recordBytes;
  if (Number.isInteger(count)) return count;
  const state = `the object's records have ${recordBytes} bytes`;
  throw new DaosError("INVALID_ARGUMENT", `Cannot use ${name} ${sizeBytes}: ${state}. Use a multiple of that.`);
}

/** The chunks, and CONFLICT when they are fewer bytes than expected: before a file that lacks some gets its name. */
async function* exactBytes(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  expectedBytes: number,
  oid: ObjectId,
): AsyncGenerator<Uint8Array, void, void> {
  let sizeBytes = 0;
  for await (const chunk of chunks) {
    sizeBytes += chunk.length;
    yield chunk;
  }
  if (sizeBytes === expectedBytes) return;
  const state = `${sizeBytes} of ${expectedBytes} bytes came, for it was changed meanwhile`;
  throw new DaosError(
    "CONFLICT",
    `Cannot get object ${formatObjectId(oid)}: ${state}. Get it again, or from a snapshot.`,
  );
}

/** An empty object and a mistyped id both have no bytes; only one of them has a dkey. Throws NOT_FOUND. */
async function checkExists(session: Session, view: ContainerViewAccess, oid: ObjectId): Promise<void> {
  for await (const _ of view.object(oid).listDkeys({ limit: 1, signal: session.signal })) return;
  throw noSuchObject("get", oid);
}

/** A byte address or count, zero included. */
function addressArgument(name: string, text: string): number {
  return Math.min(sizeArgument(name, text, 0), MAX_ARRAY_BYTES);
}
