/**
 * Keys in byte order, page by page: objects of a container, dkeys of an object, akeys of a dkey. What lies on several
 * targets is merged, with one page of each in memory.
 */
import type { DkeyPlace } from "../base/key-place.ts";
import { byteString, bytesOf, type ByteString } from "../base/bytes.ts";
import { MAX_ENUMERATION_KEYS } from "../base/limits.ts";
import type { ObjectId } from "../base/object-id.ts";
import type { KeyListReply, Opcode } from "../format/operations.ts";
import type { ListOptions, ObjectOperations } from "./object-operations.ts";
import { needsCover, ObjectCover } from "./object-targets.ts";
import { checkBytesList, decodeReply, wrongReply } from "./reply.ts";

/** What is listed: objects, dkeys of `oid`, or akeys of its `dkey`. */
export type KeyListSubject =
  | { readonly opcode: typeof Opcode.objectList; readonly oid?: undefined; readonly dkey?: undefined }
  | { readonly opcode: typeof Opcode.dkeyList; readonly oid: ObjectId; readonly dkey?: undefined }
  | { readonly opcode: typeof Opcode.akeyList; readonly oid: ObjectId; readonly dkey: ByteString };

/** The keys of one target that were fetched and not yet handed on, and where to go on. */
interface Source {
  readonly place: number | DkeyPlace;
  keys: ByteString[];
  after: ByteString | undefined;
  done: boolean;
}

/** Pages of keys, ascending, none empty, none twice. Rejects with what the targets say. */
export async function* keyPages(
  operations: ObjectOperations,
  subject: KeyListSubject,
  options: ListOptions,
): AsyncGenerator<ByteString[], void, void> {
  const { oid, dkey } = subject;
  if (oid === undefined || !needsCover({ oid, dkey })) {
    const places = oid === undefined || dkey === undefined ? targetsOf(operations, oid) : [{ oid, dkey }];
    yield* mergedPages(operations, subject, options, places, undefined);
    return;
  }
  let { after } = options;
  const cover = new ObjectCover(operations.session, { oid, dkey }, options.signal);
  for (;;) {
    const places = await cover.targets();
    try {
      for await (const page of mergedPages(operations, subject, { ...options, after }, places, cover)) {
        after = page.at(-1);
        cover.progressed();
        yield page;
      }
      return;
    } catch (error) {
      await cover.failed(error);
    }
  }
}

/** The pages of these places; of those that `cover` chose, as it lets them answer. */
async function* mergedPages(
  operations: ObjectOperations,
  subject: KeyListSubject,
  options: ListOptions,
  places: readonly (number | DkeyPlace)[],
  cover: ObjectCover | undefined,
): AsyncGenerator<ByteString[], void, void> {
  const sources = places.map((place): Source => ({ place, keys: [], after: options.after, done: false }));
  const limit = Math.min(options.limit ?? MAX_ENUMERATION_KEYS, MAX_ENUMERATION_KEYS);
  for (;;) {
    const empty = sources.filter((source) => source.keys.length === 0 && !source.done);
    await Promise.all(empty.map((source) => refill(operations, subject, options, limit, source, cover)));
    const page = takeOrdered(sources);
    if (page.length > 0) yield page;
    if (sources.every((source) => source.done && source.keys.length === 0)) return;
  }
}

function targetsOf(operations: ObjectOperations, oid: ObjectId | undefined): readonly number[] {
  const { placement } = operations.session;
  return oid === undefined ? placement.targets : placement.targetsOf(oid);
}

/** Fetches until the source has keys or is done; pages without keys only move it on. */
async function refill(
  operations: ObjectOperations,
  subject: KeyListSubject,
  options: ListOptions,
  limit: number,
  source: Source,
  cover: ObjectCover | undefined,
): Promise<void> {
  while (source.keys.length === 0 && !source.done) {
    const { after } = source;
    const makeArgs = (handle: number): object => ({
      handle,
      oid: subject.oid === undefined ? undefined : bytesOf(subject.oid),
      dkey: subject.dkey === undefined ? undefined : bytesOf(subject.dkey),
      prefix: options.prefix === undefined ? undefined : bytesOf(options.prefix),
      after: after === undefined ? undefined : bytesOf(after),
      limit,
      epoch: options.epoch ?? operations.epoch,
    });
    const reading = operations.session.read(
      subject.opcode,
      source.place,
      makeArgs,
      (answer) =>
        decodeReply<KeyListReply>(answer.args, "key list", { keys: "list", done: "boolean", anchor: "bytes?" }),
      options.signal,
      cover !== undefined,
    );
    const reply = await (cover === undefined ? reading : cover.ask(source.place as number, reading));
    source.keys = checkBytesList(reply.keys, "key list").map((key) => byteString(key));
    source.done = reply.done;
    checkOrder(source.keys, after);
    const anchor = reply.anchor === undefined ? source.keys.at(-1) : byteString(reply.anchor);
    if (!reply.done && (anchor === undefined || (after !== undefined && anchor <= after))) {
      throw wrongReply("key list", "it does not go on");
    }
    source.after = anchor;
  }
}

function checkOrder(keys: readonly ByteString[], after: ByteString | undefined): void {
  let previous = after;
  for (const key of keys) {
    if (previous !== undefined && key <= previous) throw wrongReply("key list", "the keys are not in order");
    previous = key;
  }
}

/** Takes all keys that no source can undercut any more, in order. */
function takeOrdered(sources: readonly Source[]): ByteString[] {
  if (sources.length === 1) {
    const [source] = sources;
    const { keys } = source!;
    source!.keys = [];
    return keys;
  }
  let bound: ByteString | undefined;
  for (const source of sources) {
    const last = source.keys.at(-1);
    if (!source.done && last !== undefined && (bound === undefined || last < bound)) bound = last;
  }
  const taken: ByteString[] = [];
  for (const source of sources) {
    const end = bound === undefined ? -1 : source.keys.findIndex((key) => key > bound);
    const count = end === -1 ? source.keys.length : end;
    for (const key of source.keys.splice(0, count)) taken.push(key);
  }
  taken.sort();
  return taken.filter((key, index) => key !== taken[index - 1]);
}
