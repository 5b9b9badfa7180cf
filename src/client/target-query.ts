/** A key query as one target answers it. */
import type { DkeyPlace } from "../base/key-place.ts";
import { byteString, bytesOf, type ByteString } from "../base/bytes.ts";
import type { ObjectId } from "../base/object-id.ts";
import { type KeyQueryArguments, type KeyQueryReply, Opcode } from "../format/operations.ts";
import type { ContainerSession } from "./container-session.ts";
import type { ReadMoment } from "./extent-page.ts";
import { checkReply, decodeReply, wrongReply } from "./reply.ts";

export interface KeyQuery {
  readonly direction: "max" | "min";
  /** What to find; each level that is not in it must be given. */
  readonly levels: KeyQueryArguments["levels"];
  readonly dkey?: ByteString | undefined;
  readonly akey?: ByteString | undefined;
  /** Only extents in these bytes of a target's array, whole MiB. */
  readonly within?: { readonly start: number; readonly end: number } | undefined;
}

export interface FoundKey {
  readonly dkey: ByteString | undefined;
  readonly akey: ByteString | undefined;
  readonly extent: { readonly index: number; readonly count: number } | undefined;
}

/** What one target, or any that has the dkey, finds. */
export async function queryTarget(
  session: ContainerSession,
  oid: ObjectId,
  query: KeyQuery,
  terms: ReadMoment,
  where: number | DkeyPlace,
  firm: boolean,
): Promise<(FoundKey & { readonly recordBytes: number }) | undefined> {
  const { direction, levels, dkey, akey, within } = query;
  const makeArgs = (handle: number): KeyQueryArguments => ({
    handle,
    oid: bytesOf(oid),
    direction,
    levels,
    ...(dkey !== undefined && { dkey: bytesOf(dkey) }),
    ...(akey !== undefined && { akey: bytesOf(akey) }),
    epoch: terms.epoch,
    ...(within !== undefined && { within }),
  });
  const shape = { found: "boolean", dkey: "bytes?", akey: "bytes?", extent: "map?", recordBytes: "count?" } as const;
  const reply = await session.read(
    Opcode.keyQuery,
    where,
    makeArgs,
    (answer) => decodeReply<KeyQueryReply>(answer.args, "key query", shape),
    terms.signal,
    firm,
  );
  if (!reply.found) return undefined;
  const missing = query.levels.find((level) => reply[level] === undefined);
  if (missing !== undefined) throw wrongReply("key query", `it has no ${missing}`);
  if (reply.extent !== undefined) checkReply(reply.extent, "key query", { index: "count", count: "count" });
  return {
    dkey: reply.dkey === undefined ? undefined : byteString(reply.dkey),
    akey: reply.akey === undefined ? undefined : byteString(reply.akey),
    extent: reply.extent,
    recordBytes: reply.recordBytes ?? 0,
  };
}
