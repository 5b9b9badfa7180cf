/** Pages of the extents of an array akey, as one target lists them. */
import type { AkeyPlace, DkeyPlace } from "../base/key-place.ts";
import { bytesOf } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";
import { MAX_ENUMERATION_KEYS } from "../base/limits.ts";
import { type ExtentListArguments, type ExtentListReply, Opcode } from "../format/operations.ts";
import type { ContainerSession } from "./container-session.ts";
import { checkList, decodeReply, wrongReply } from "./reply.ts";

/** When to look, and until when to wait. */
export interface ReadMoment {
  readonly epoch: Epoch;
  readonly signal: AbortSignal | undefined;
}

/** What is asked for: indices `from` up to `to`. */
export interface ExtentRange {
  readonly from: number;
  readonly to?: number;
  /** Most extents of the page; MAX_ENUMERATION_KEYS. */
  readonly limit?: number;
}

/** `next` is there when it is not done, and beyond `from`. `where`: a target, asked once, or any that has the dkey. */
export async function extentPage(
  session: ContainerSession,
  place: AkeyPlace,
  where: number | DkeyPlace,
  range: ExtentRange,
  { epoch, signal }: ReadMoment,
): Promise<ExtentListReply> {
  const { from, to, limit = MAX_ENUMERATION_KEYS } = range;
  const makeArgs = (handle: number): ExtentListArguments => ({
    handle,
    oid: bytesOf(place.oid),
    dkey: bytesOf(place.dkey),
    akey: bytesOf(place.akey),
    from,
    ...(to !== undefined && { to }),
    limit,
    epoch,
  });
  const isFirm = typeof where === "number";
  const page = await session.read(Opcode.extentList, where, makeArgs, decodeExtents, signal, isFirm);
  if (!page.done && (page.next === undefined || page.next <= from))
    throw wrongReply("extent list", "it does not go on");
  return page;
}

function decodeExtents(answer: { readonly args: Uint8Array }): ExtentListReply {
  const shape = { extents: "list", recordBytes: "count", done: "boolean", next: "count?" } as const;
  const reply = decodeReply<ExtentListReply>(answer.args, "extent list", shape);
  checkList(reply.extents, "extent list", { index: "count", count: "count", epoch: "count" });
  return reply;
}
