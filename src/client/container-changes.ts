/**
 * What two epochs of a container differ in: the targets' lists, fetched page by page and merged by object, dkey and akey.
 * One page of each target is in memory.
 */
import { byteString, type ByteString } from "../base/bytes.ts";
import { EPOCH_NONE, type Epoch } from "../base/epoch.ts";
import { MAX_ENUMERATION_KEYS } from "../base/limits.ts";
import { isErasureCoded, objectClassOf, type ObjectId, objectIdFromBytes } from "../base/object-id.ts";
import type { ChangeListReply } from "../format/history-operations.ts";
import { Opcode } from "../format/operations.ts";
import { redundancyGroup } from "../redundancy/redundancy-group.ts";
import type { ContainerSession } from "./container-session.ts";
import { holdsAkey } from "./key-presence.ts";
import { ObjectOperations } from "./object-operations.ts";
import { checkList, decodeReply, wrongReply } from "./reply.ts";

export interface Change {
  readonly change: "added" | "removed" | "changed";
  readonly oid: ObjectId;
  readonly dkey: Uint8Array;
  readonly akey: Uint8Array;
}

/** What a target tells, and what orders it. */
interface TargetChange {
  readonly change: Change;
  readonly path: readonly [oid: ObjectId, dkey: ByteString, akey: ByteString];
  readonly target: number;
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
  for (;;) {
    let first: TargetChange | undefined;
    for (const { done, value } of heads) {
      if (done !== true && (first === undefined || isBefore(value, first))) first = value;
    }
    if (first === undefined) return;
    // With redundancy several targets tell of the same change.
    const told: TargetChange[] = [];
    for (const [index, { done, value }] of heads.entries()) {
      if (done === true || isBefore(first, value)) continue;
      told.push(value);
      heads[index] = await sources[index]!.next();
    }
    const change = isErasureCoded(first.path[0])
      ? await shardsChange(session, told, fromEpoch, toEpoch, signal)
      : first.change;
    if (change !== undefined) yield change;
  }
}

/**
 * What shards of an erasure-coded akey tell of it. A parity shard knows all of it; a data shard does not know what others had
 * or have. Undefined: nothing has changed.
 */
async function shardsChange(
  session: ContainerSession,
  told: readonly TargetChange[],
  fromEpoch: Epoch,
  toEpoch: Epoch,
  signal: AbortSignal | undefined,
): Promise<Change | undefined> {
  const { path, change } = told[0]!;
  const [oid, dkey, akey] = path;
  const { alive, numberOf } = redundancyGroup(session.placement, oid, dkey).shards!;
  const { dataShards } = objectClassOf(oid).redundancy;
  const parity = alive.filter((shard) => shard >= dataShards);
  if (parity.length > 0) return told.find(({ target }) => parity.includes(numberOf.get(target) ?? -1))?.change;
  const operations = new ObjectOperations(session, EPOCH_NONE);
  const isThere = (epoch: Epoch): Promise<boolean> => holdsAkey(operations, { oid, dkey, akey }, { epoch, signal });
  const [before, after] = await Promise.all([isThere(fromEpoch), isThere(toEpoch)]);
  if (!before && !after) return undefined;
  return { ...change, change: before && after ? "changed" : before ? "removed" : "added" };
}

function isBefore(left: TargetChange, right: TargetChange): boolean {
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
): AsyncGenerator<TargetChange, void, void> {
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
      yield { change: { change, oid: id, dkey, akey }, path: [id, byteString(dkey), byteString(akey)], target };
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
