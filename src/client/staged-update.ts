/**
 * Updates of many bytes, of objects with redundancy: the bytes go from here straight to every member of the group, which puts
 * them in their place on its device; what then goes to the leader only names them. Of erasure code the parity is computed
 * here, and each member gets what its shard keeps.
 *
 * It is a quicker way and no other: whatever fails on it, the update is sent with its bytes, under the same number.
 */
import { crc32 } from "../base/checksum.ts";
import { DaosError } from "../base/errors.ts";
import type { ShardPart } from "../contracts/redundancy.ts";
import { Opcode } from "../format/operations.ts";
import { encodeStagedPayload, type StagedShard } from "../format/staged-payload.ts";
import { type RedundancyGroup, redundancyGroup } from "../redundancy/redundancy-group.ts";
import type { SummedPayload } from "../rpc/pending-call.ts";
import type { ContainerSession } from "./container-session.ts";
import { ObjectCall } from "./object-call.ts";

const NO_SHARD: StagedShard = { lengthBytes: 0, checksum: 0 };

/** What is sent to whom, and what the update then says of it. */
interface StagingPlan {
  readonly payloads: ReadonlyMap<number, SummedPayload>;
  readonly shards: readonly StagedShard[];
  /** Memory of computed bytes. */
  readonly computed: ReadonlySet<Uint8Array>;
}

/**
 * Stages the bytes of a call that has its number, a payload of one view: it names them when this resolves. Resolves also when
 * they could not be staged, with the call as it was. The bytes must not change before.
 */
export async function stageUpdate(
  session: ContainerSession,
  call: ObjectCall<unknown>,
  given: SummedPayload,
): Promise<void> {
  const bytes = given.views[0]!;
  const group = redundancyGroup(session.placement, call.oid, call.dkey);
  let plan: StagingPlan;
  try {
    plan = group.shards === undefined ? planOfCopies(group, given) : planOfShards(session, group, call, bytes);
  } catch (error) {
    if (error instanceof DaosError) return;
    throw error;
  }
  const stagings = [...plan.payloads].map(([target, payload]) => session.send(stageCall(call, target, payload, bytes)));
  const outcomes = await Promise.allSettled(stagings);
  for (const memory of plan.computed) session.buffers.recycle(memory);
  if (outcomes.every(({ status }) => status === "fulfilled")) {
    call.nameStaged(encodeStagedPayload({ lengthBytes: bytes.length, shards: plan.shards }));
    return;
  }
  for (const outcome of outcomes) {
    if (outcome.status === "rejected" && !(outcome.reason instanceof DaosError)) throw outcome.reason;
  }
}

function planOfCopies({ members }: RedundancyGroup, payload: SummedPayload): StagingPlan {
  const payloads = new Map(members.map((target) => [target, payload]));
  return { payloads, shards: [stagedShard(payload)], computed: new Set() };
}

function planOfShards(
  session: ContainerSession,
  { members, shards }: RedundancyGroup,
  { opcode, recordIndex, recordBytes }: ObjectCall<unknown>,
  bytes: Uint8Array,
): StagingPlan {
  const scheme = session.schemeOf(shards!.word);
  const isValue = opcode === Opcode.valueUpdate;
  const start = recordIndex * recordBytes;
  const parts = isValue ? scheme.planValue(bytes.length, bytes) : scheme.planWrite(start, bytes.length, bytes);
  const byShard = payloadsOf(parts);
  const payloads = new Map<number, SummedPayload>();
  for (const target of members) {
    const payload = byShard.get(shards!.numberOf.get(target)!);
    if (payload !== undefined) payloads.set(target, payload);
  }
  const staged = Array.from({ length: scheme.shardCount }, (_, shard) => {
    const payload = byShard.get(shard);
    return payload === undefined ? NO_SHARD : stagedShard(payload);
  });
  const computed = parts.flatMap(({ holds, views }) => (holds === "parity" ? views : []));
  return { payloads, shards: staged, computed: distinctMemory(computed, bytes) };
}

/** The bytes of each shard's parts, in the order of the plan; shards without any are left out. */
function payloadsOf(parts: readonly ShardPart[]): Map<number, SummedPayload> {
  const views = new Map<number, Uint8Array[]>();
  for (const part of parts) {
    const others = views.get(part.shard);
    if (others === undefined) views.set(part.shard, [...part.views]);
    else others.push(...part.views);
  }
  const payloads = new Map<number, SummedPayload>();
  for (const [shard, own] of views) if (own.length > 0) payloads.set(shard, gathered(own));
  return payloads;
}

/** One view for each memory, none for that of `bytes`. */
function distinctMemory(views: readonly Uint8Array[], bytes: Uint8Array): Set<Uint8Array> {
  const byMemory = new Map(views.map((view) => [view.buffer, view]));
  byMemory.delete(bytes.buffer);
  return new Set(byMemory.values());
}

function gathered(views: readonly Uint8Array[]): SummedPayload {
  let length = 0;
  let checksum = 0;
  for (const view of views) {
    length += view.length;
    checksum = crc32(view, checksum);
  }
  return { length, views, checksum };
}

function stagedShard({ length, checksum }: SummedPayload): StagedShard {
  return { lengthBytes: length, checksum };
}

/** Sent once, under the update's number. */
function stageCall(
  update: ObjectCall<unknown>,
  target: number,
  payload: SummedPayload,
  bytes: Uint8Array,
): ObjectCall<void> {
  const isValue = update.opcode === Opcode.valueUpdate;
  const opcode = isValue ? Opcode.valueStage : Opcode.arrayStage;
  const call = new ObjectCall<void>(opcode, update.oid, update.dkey, update.akey, () => {});
  call.recordIndex = update.recordIndex;
  call.recordCount = isValue ? bytes.length : update.recordCount;
  call.recordBytes = update.recordBytes;
  call.client = update.client;
  call.sequence = update.sequence;
  call.firstIncomplete = update.numbers!.firstIncomplete;
  call.issued = update.numbers!.issued(update.sequence);
  call.payload = payload;
  call.target = target;
  call.firm = true;
  call.signal = update.signal;
  return call;
}
