/**
 * One run of a plan over the shards of an erasure-coded akey: each read is one attempt at one target. It keeps what tells
 * whether the answers fit together, and which shards gave none.
 *
 * A write is one update of all shards, but reads of the latest reach these at different moments. They show the same state if
 * nothing that one of them shows is beyond what every shard had when it was asked; and a punch that is not there any more
 * was dropped long ago. Else the caller reads again at `newest`: a shard has shown that epoch, so the leader has sent each
 * shard every update of the dkey up to it.
 */
import type { AkeyPlace } from "../base/key-place.ts";
import { EPOCH_MAX, EPOCH_NONE, type Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import type { Plan, ShardRead } from "../contracts/redundancy.ts";
import { ObjectFlag } from "../format/object-request.ts";
import { Opcode } from "../format/operations.ts";
import { decodeShardReadReply, type ShardReadReply } from "../format/shard-read.ts";
import { runPlan } from "../redundancy/plan-run.ts";
import type { ErasureShards } from "../redundancy/redundancy-group.ts";
import type { ContainerSession } from "./container-session.ts";
import { type AnswerDecoder, ObjectCall } from "./object-call.ts";
import { isUnreachable } from "./object-targets.ts";
import { wrongReply } from "./reply.ts";

/**
 * Longest round of reads of the latest that can be consistent, milliseconds. What aggregation drops is older than the
 * container's gate, which no leader lets pass what is younger than 2 s: so all that such a round rests on is still there.
 */
const MAX_ROUND_MS = 1_000;

export interface ShardRoundParts {
  readonly session: ContainerSession;
  readonly place: AkeyPlace;
  readonly shards: ErasureShards;
  /** The epoch that the caller named; at others a shard has shown something. */
  readonly asked: Epoch;
  readonly signal: AbortSignal | undefined;
}

interface ShardAnswer extends ShardReadReply {
  readonly bytes: Uint8Array;
  /** CRC-32 of the bytes as the shard has them. */
  readonly checksum: number;
}

export class ShardRound {
  /** Shards that cannot be reached, or are damaged, and what each said. */
  readonly lost = new Map<number, DaosError>();
  /** Newest epoch of what reads of the latest rest on. */
  newest: Epoch = EPOCH_NONE;
  /** Of the array; 0 without one. */
  recordBytes = 0;
  readonly #parts: ShardRoundParts;
  readonly #startedNs: number;
  readonly #received: Uint8Array[] = [];
  readonly #calls: ObjectCall<ShardAnswer>[] = [];
  readonly #late = new Set<number>();
  #tellLate!: () => void;
  #isAbandoned = false;
  /** Resolves when a shard is late, and may be done without: see HedgedReads. */
  readonly untilLate = new Promise<void>((resolve) => (this.#tellLate = resolve));
  #readCount = 0;
  #completeTo: Epoch = EPOCH_MAX;

  constructor(parts: ShardRoundParts) {
    this.#parts = parts;
    this.#startedNs = parts.session.world.clock.monotonicNs();
  }

  /**
   * Rejects as Plan.take, as the shards do, and with CORRUPT when bytes changed after they came; `lost` then tells what may be
   * left out.
   */
  async run<Result>(plan: Plan<Result>): Promise<Result> {
    const take: Plan<Result>["take"] = (results) => {
      if (this.#isAbandoned) throw roundAbandoned();
      plan.take(results);
    };
    await runPlan({ result: undefined, next: () => (this.#isAbandoned ? [] : plan.next()), take }, (read) =>
      this.#read(read),
    );
    if (this.#isAbandoned) throw roundAbandoned();
    return plan.result!;
  }

  /** Whether all reads of the latest have shown the same state. */
  get isConsistent(): boolean {
    if (this.#readCount === 1) return true;
    const tookMs = (this.#parts.session.world.clock.monotonicNs() - this.#startedNs) / 1e6;
    return this.newest <= this.#completeTo && tookMs < MAX_ROUND_MS;
  }

  /** Memory that was received in and is no longer used, except for what `kept` is a view of. */
  recycle(kept: Uint8Array): void {
    const { buffers } = this.#parts.session;
    for (const bytes of this.#received) if (bytes.buffer !== kept.buffer) buffers.recycle(bytes);
  }

  /** Those that were late. */
  get late(): ReadonlySet<number> {
    return this.#late;
  }

  /** Nobody waits for it any more: its plan does nothing from now on, and its run is CANCELED. */
  abandon(): void {
    this.#isAbandoned = true;
    for (const call of this.#calls) {
      call.abandon();
      call.reject(roundAbandoned());
    }
  }

  async #read(read: ShardRead): Promise<ShardAnswer> {
    const { session, shards, signal } = this.#parts;
    const { hedges } = session;
    const call = this.#callOf(read);
    call.target = shards.targets[read.shard]!;
    call.firm = true;
    call.isRead = true;
    call.signal = signal;
    call.onLate = () => {
      if (!hedges.mayHedge(call as ObjectCall<unknown>)) return false;
      this.#late.add(read.shard);
      this.#tellLate();
      return true;
    };
    this.#readCount += 1;
    this.#calls.push(call);
    hedges.shardReadBegan(call as ObjectCall<unknown>, shards.targets);
    let answer: ShardAnswer;
    try {
      answer = await session.send(call);
    } catch (error) {
      if (isUnreachable(error)) this.lost.set(read.shard, error);
      throw error;
    }
    this.recordBytes = Math.max(this.recordBytes, answer.recordBytes);
    this.#received.push(answer.bytes);
    if (read.epoch === EPOCH_NONE) {
      if (answer.newest > this.newest) this.newest = answer.newest;
      if (answer.completeTo < this.#completeTo) this.#completeTo = answer.completeTo;
    }
    return answer;
  }

  #callOf({ kind, address, length, epoch, orNextReadable }: ShardRead): ObjectCall<ShardAnswer> {
    const { place, asked } = this.#parts;
    const opcode = kind === "array" ? Opcode.shardArrayRead : Opcode.shardValueFetch;
    const decode = kind === "array" ? decodeArrayAnswer : decodeValueAnswer;
    const call = new ObjectCall(opcode, place.oid, place.dkey, place.akey, decode);
    call.epoch = epoch;
    call.recordIndex = address;
    call.recordCount = length;
    call.recordBytes = 1;
    const isSeen = epoch !== EPOCH_NONE && epoch !== asked;
    call.flags = (orNextReadable ? ObjectFlag.orNextReadable : 0) | (isSeen ? ObjectFlag.epochIsSeen : 0);
    return call;
  }
}

function roundAbandoned(): DaosError {
  return new DaosError("CANCELED", "Cannot finish the read: others have answered in the place of these shards.");
}

const decodeArrayAnswer: AnswerDecoder<ShardAnswer> = (body, call) => {
  const reply = decodeShardReadReply(body.bytes, body.argumentsStart, body.argumentsLength);
  const last = reply.extents.at(-1);
  const end = call.recordIndex + call.recordCount;
  const isWithin =
    last === undefined || (reply.extents[0]!.address >= call.recordIndex && last.address + last.length <= end);
  if (!isWithin) throw wrongReply("shard read", "it has data outside the range asked for");
  if (body.payloadLength !== (last === undefined ? 0 : call.recordCount)) {
    throw wrongReply("shard read", "it has not the bytes asked for");
  }
  return { ...reply, bytes: body.ownPayload(), checksum: body.payloadChecksum };
};

const decodeValueAnswer: AnswerDecoder<ShardAnswer> = (body) => {
  const reply = decodeShardReadReply(body.bytes, body.argumentsStart, body.argumentsLength);
  if (body.payloadLength !== (reply.extents[0]?.length ?? 0)) {
    throw wrongReply("shard read", "the value's length is not the one named");
  }
  return { ...reply, bytes: body.ownPayload(), checksum: body.payloadChecksum };
};
