/**
 * What two epochs of a container differ in: the targets' lists, fetched page by page and merged by object, dkey and akey.
 * One page of each target is in memory.
 */
import { byteString, type ByteString } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";
import { MAX_ENUMERATION_KEYS } from "../base/limits.ts";
import { type ObjectId, objectIdFromBytes } from "../base/object-id.ts";
import type { ChangeListReply } from "../format/history-operations.ts";
import { Opcode } from "../format/operations.ts";
import type { ContainerSession } from "./container-session.ts";
import { checkList, decodeReply, wrongReply } from "./reply.ts";

export interface Change {
  readonly change: "added" | "removed" | "changed";
  readonly oid: ObjectId;
  readonly dkey: Uint8Array;
  readonly akey: Uint8Array;
}

/** A change and what orders it. */
interface OrderedChange {
  readonly change: Change;
  readonly path: readonly [oid: ByteString, dkey: ByteString, akey: ByteString];
}

/** Changes, ascending. `toEpoch` EPOCH_NONE: the latest. */
export async function* containerChanges(
  session: ContainerSession,
  fromEpoch: Epoch,
  toEpoch: Epoch,
  signal: AbortSignal | undefined,
): AsyncGenerator<Change, void, void> {
  const { targets } = session.placement;
  const sources = targets.map((target) => targetChanges(session, target, fromEpoch, toEpoch, signal));
  const heads = await Promise.all(sources.map((source) => source.next()));
  let last: OrderedChange | undefined;
  for (;;) {
    let first = -1;
    for (const [index, head] of heads.entries()) {
      if (head.done === true) continue;
      const best = first === -1 ? undefined : heads[first]!.value;
      if (best === undefined || isBefore(head.value, best as OrderedChange)) first = index;
    }
    if (first === -1) return;
    const next = heads[first]!.value as OrderedChange;
    // With redundancy several targets tell of the same change.
    if (last === undefined || isBefore(last, next)) yield next.change;
    last = next;
    heads[first] = await sources[first]!.next();
  }
}

function isBefore(left: OrderedChange, right: OrderedChange): boolean {
  for (const [level, key] of left.path.entries()) {
    if (key !== right.path[level]) return key < right.path[level]!;
  }
  return false;
}

async function* targetChanges(
  session: ContainerSession,
  target: number,
  fromEpoch: Epoch,
  toEpoch: Epoch,
  signal: AbortSignal | undefined,
): AsyncGenerator<OrderedChange, void, void> {
  let after: Uint8Array | undefined;
  for (;;) {
    const anchor = after;
    const makeArgs = (handle: number): object => ({
      handle,
      fromEpoch,
      toEpoch,
      limit: MAX_ENUMERATION_KEYS,
      ...(anchor !== undefined && { after: anchor }),
    });
    const page = await session.read(Opcode.changeList, target, makeArgs, decodeChanges, signal);
    for (const { change, oid, dkey, akey } of page.changes) {
      const id = objectIdFromBytes(oid);
      yield { change: { change, oid: id, dkey, akey }, path: [id, byteString(dkey), byteString(akey)] };
    }
    if (page.done) return;
    const { anchor: next } = page;
    if (next === undefined || (anchor !== undefined && byteString(next) <= byteString(anchor))) {
      throw wrongReply("change list", "it does not go on");
    }
    after = next;
  }
}

function decodeChanges(answer: { readonly args: Uint8Array }): ChangeListReply {
  const shape = { changes: "list", done: "boolean", anchor: "bytes?" } as const;
  const reply = decodeReply<ChangeListReply>(answer.args, "change list", shape);
  checkList(reply.changes, "change list", { change: "text", oid: "bytes", dkey: "bytes", akey: "bytes" });
  return reply;
}
