/**
 * The greatest or least dkey, akey or array record that is visible (DAOS: daos_obj_query_key), over all targets of the
 * object when the dkey is asked for.
 */
import { byteString, bytesOf, type ByteString } from "../base/bytes.ts";
import type { ObjectId } from "../base/object-id.ts";
import { type KeyQueryArguments, type KeyQueryReply, Opcode } from "../format/operations.ts";
import type { DkeyPlace } from "./container-session.ts";
import { overObject } from "./object-targets.ts";
import type { ObjectOperations, ReadOptions } from "./object-operations.ts";
import { checkReply, decodeReply, wrongReply } from "./reply.ts";

export interface KeyQuery {
  readonly direction: "max" | "min";
  /** What to find; each level that is not in it must be given. */
  readonly levels: KeyQueryArguments["levels"];
  readonly dkey?: ByteString | undefined;
  readonly akey?: ByteString | undefined;
}

export interface FoundKey {
  readonly dkey: ByteString | undefined;
  readonly akey: ByteString | undefined;
  readonly extent: { readonly index: number; readonly count: number } | undefined;
}

/** Undefined when there is nothing. */
export async function queryKey(
  operations: ObjectOperations,
  oid: ObjectId,
  query: KeyQuery,
  options: ReadOptions,
): Promise<FoundKey | undefined> {
  const { dkey } = query;
  const found =
    dkey === undefined
      ? await overObject(operations.session, oid, options.signal, (target, firm) =>
          queryTarget(operations, oid, query, options, target, firm),
        )
      : [await queryTarget(operations, oid, query, options, { oid, dkey }, false)];
  let best: FoundKey | undefined;
  for (const candidate of found) {
    if (candidate === undefined) continue;
    if (best === undefined || isBetter(candidate, best, query.direction)) best = candidate;
  }
  return best;
}

/** Targets hold different dkeys, so the dkey alone decides. */
function isBetter(candidate: FoundKey, best: FoundKey, direction: "max" | "min"): boolean {
  const isGreater = (candidate.dkey ?? "") > (best.dkey ?? "");
  return direction === "max" ? isGreater : !isGreater;
}

async function queryTarget(
  operations: ObjectOperations,
  oid: ObjectId,
  query: KeyQuery,
  options: ReadOptions,
  target: number | DkeyPlace,
  firm: boolean,
): Promise<FoundKey | undefined> {
  const makeArgs = (handle: number): KeyQueryArguments => ({
    handle,
    oid: bytesOf(oid),
    direction: query.direction,
    levels: query.levels,
    ...(query.dkey !== undefined && { dkey: bytesOf(query.dkey) }),
    ...(query.akey !== undefined && { akey: bytesOf(query.akey) }),
    epoch: options.epoch ?? operations.epoch,
  });
  const shape = { found: "boolean", dkey: "bytes?", akey: "bytes?", extent: "map?", recordBytes: "count?" } as const;
  const reply = await operations.session.read(
    Opcode.keyQuery,
    target,
    makeArgs,
    (answer) => decodeReply<KeyQueryReply>(answer.args, "key query", shape),
    options.signal,
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
  };
}
