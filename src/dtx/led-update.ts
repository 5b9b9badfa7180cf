/**
 * One update that this target orders: on its way to the other members of its group until all have it durably, then
 * decided. It is the WriteOrder under which the update runs here, and knows what each of the others is sent.
 */
import { assert } from "../base/assert.ts";
import type { Epoch } from "../base/epoch.ts";
import type { DaosError } from "../base/errors.ts";
import { NO_REQUEST_ID, ObjectFlag, type ObjectRequest, type RequestId } from "../format/object-request.ts";
import { encodePrepareRequest, type PartBytes, prepareRequestBytes } from "../format/prepare-request.ts";
import { encodeStagedPayload, type StagedPayload, type StagedShard } from "../format/staged-payload.ts";
import type { ErasureShards } from "../redundancy/redundancy-group.ts";
import type { ArgumentEncoder, RequestPayload } from "../rpc/pending-call.ts";
import type { OrderedShard, WriteOrder } from "../vos/write-order.ts";
import { unitOf } from "./dkey-unit.ts";
import type { RedundancyGroup } from "./group.ts";
import { type ArrayShare, NO_PARTS, payloadOf, type ShardParts } from "./shard-parts.ts";

/** Members need not know who asked for it, and on what conditions: the leader has looked at those. */
const UNNAMED = { ...NO_REQUEST_ID, handle: 0, flags: 0 };

export interface UpdateRequest {
  readonly container: number;
  readonly opcode: number;
  readonly object: ObjectRequest;
  /** Must stay as it is until the update is appended, unless `moved` says where it is then; a large one until it is decided. */
  readonly payload: Uint8Array | undefined;
  /** CRC-32 of the payload as its client made it; undefined where it is made here. */
  readonly checksum?: number | undefined;
  /** Of erasure code, where each shard has something else to do, or nothing. */
  readonly parts?: ShardParts | undefined;
  /** What the members have staged: the payload is a record of that, and the parts are without bytes. */
  readonly staged?: StagedPayload | undefined;
  /** See WriteOrder. */
  readonly mayAppend?: (() => void) | undefined;
}

/** What one member is sent. */
export interface MemberMessage {
  readonly encoder: ArgumentEncoder;
  readonly argumentsBytes: number;
  readonly payload: RequestPayload | undefined;
}

export class LedUpdate implements WriteOrder {
  readonly isPrepared: boolean;
  readonly epoch: undefined;
  readonly origin: Readonly<RequestId>;
  readonly container: number;
  /** Names its dkey. */
  readonly unit: string;
  readonly opcode: number;
  readonly object: ObjectRequest;
  payload: Uint8Array | undefined;
  readonly checksum: number | undefined;
  readonly mayAppend: (() => void) | undefined;
  readonly shard: OrderedShard | undefined;
  readonly #parts: ShardParts | undefined;
  readonly #staged: StagedPayload | undefined;
  #shards: ErasureShards | undefined;
  #common: MemberMessage | undefined;
  /** Targets that are to have it. */
  members: readonly number[];
  /** Those of them that have not said yet that they have it. */
  readonly waiting: Set<number>;
  isDurableHere = false;
  /** Calls that refer to the payload. */
  #sending = 0;
  /** 0 until it is appended. */
  givenEpoch = 0 as Epoch;
  readonly #appended: (update: LedUpdate, sequence: number) => void;
  #isDecided = false;
  #error: DaosError | undefined;
  #hears: ((error: DaosError | undefined) => void)[] = [];
  #whenDone: (() => void) | undefined;

  /** `appended` hears of the append here, in its turn. */
  constructor(
    request: UpdateRequest,
    group: RedundancyGroup,
    self: number,
    appended: (update: LedUpdate, sequence: number) => void,
  ) {
    const { client, sequence, firstIncomplete } = request.object;
    this.origin = { client, sequence, firstIncomplete };
    this.container = request.container;
    this.unit = unitOf(request);
    this.opcode = request.opcode;
    this.object = { ...request.object, ...UNNAMED };
    this.payload = request.payload;
    this.checksum = request.checksum;
    this.mayAppend = request.mayAppend;
    this.#parts = request.parts;
    this.#staged = request.staged;
    this.#shards = group.shards;
    const own = group.shards?.numberOf.get(self);
    this.shard = own === undefined ? undefined : { own, leader: own };
    this.ownParts = request.parts === undefined ? undefined : this.partsOf(self);
    this.ownStaged = this.stagedAt(self);
    this.members = group.members;
    this.waiting = new Set(group.members.filter((member) => member !== self));
    this.isPrepared = this.waiting.size > 0;
    this.#appended = appended;
  }

  /** The map has changed before it was sent to anybody. */
  regroup({ members, shards }: RedundancyGroup, self: number): void {
    this.members = members;
    this.#shards = shards;
    this.waiting.clear();
    for (const member of members) if (member !== self) this.waiting.add(member);
  }

  /** Whether this target's shard has another number in the group now: it has done another shard's share. */
  isOtherShard({ shards }: RedundancyGroup, self: number): boolean {
    return shards?.numberOf.get(self) !== this.#shards?.numberOf.get(self);
  }

  get client(): number {
    return this.origin.client;
  }

  get sequence(): number {
    return this.origin.sequence;
  }

  get isAppended(): boolean {
    return this.givenEpoch !== 0;
  }

  get isDecided(): boolean {
    return this.#isDecided;
  }

  readonly appended = (epoch: Epoch, sequence: number): void => {
    this.givenEpoch = epoch;
    this.#appended(this, sequence);
  };

  /** The payload lies elsewhere from now on. */
  moved(payload: Uint8Array): void {
    if (this.payload !== undefined) this.payload = payload;
  }

  /** What the member is to do. Once it is appended. */
  messageTo(member: number): MemberMessage {
    if (this.#parts === undefined)
      return (this.#common ??= this.#message(undefined, this.#sentPayload(), this.#staged));
    const parts = this.partsOf(member);
    const staged = this.#stagedAt(member);
    return this.#message(parts, staged === undefined ? payloadOf(parts) : encodeStagedPayload(staged), staged);
  }

  /** The payload under the checksum that its client gave it: every member holds what it gets against that. */
  #sentPayload(): RequestPayload | undefined {
    const { payload, checksum } = this;
    if (payload === undefined || checksum === undefined) return payload;
    return { length: payload.length, views: [payload], checksum };
  }

  /** What a member is told of what it has to have staged, of erasure code. */
  #stagedAt(member: number): StagedPayload | undefined {
    const shard = this.stagedAt(member);
    return shard === undefined ? undefined : { lengthBytes: this.#staged!.lengthBytes, shards: [shard] };
  }

  /** What a target has to have staged; undefined when it needs no bytes of that kind. */
  stagedAt(target: number): StagedShard | undefined {
    if (this.#staged === undefined) return undefined;
    const number = this.#parts === undefined ? 0 : this.#shards?.numberOf.get(target);
    const shard = number === undefined ? undefined : this.#staged.shards[number];
    return shard?.lengthBytes === 0 ? undefined : shard;
  }

  /** What this target does itself, of erasure code; undefined: what all do. */
  readonly ownParts: readonly PartBytes[] | undefined;
  /** What the end of a transaction does here to arrays: known once it is appended, and then at the epoch of the request. */
  readonly arrayShares: ArrayShare[] = [];

  /** What this target has to have staged. */
  readonly ownStaged: StagedShard | undefined;

  /** The parts of the shard that a target has, of erasure code. */
  partsOf(target: number): readonly PartBytes[] {
    const number = this.#shards?.numberOf.get(target);
    return (number === undefined ? undefined : this.#parts?.get(number)) ?? NO_PARTS;
  }

  #message(
    parts: readonly PartBytes[] | undefined,
    payload: RequestPayload | undefined,
    staged: StagedPayload | undefined,
  ): MemberMessage {
    const { client, sequence, firstIncomplete } = this.origin;
    const { container, opcode, givenEpoch: epoch } = this;
    const object = staged === undefined ? this.object : { ...this.object, flags: ObjectFlag.staged };
    const request = { client, sequence, firstIncomplete, epoch, container, opcode, object, parts };
    return {
      encoder: { encode: (into, offset) => encodePrepareRequest(into, offset, request) },
      argumentsBytes: prepareRequestBytes(request),
      payload,
    };
  }

  /** Calls back once it is decided: without an error when it is committed. */
  whenDecided(hear: (error: DaosError | undefined) => void): void {
    if (this.#isDecided) hear(this.#error);
    else this.#hears.push(hear);
  }

  /** A call with the payload begins. */
  sends(): void {
    this.#sending += 1;
  }

  /** A call has ended. */
  sent(): void {
    this.#sending -= 1;
    this.#ended();
  }

  /** Calls back once nobody needs the payload any more. */
  whenDone(hear: () => void): void {
    this.#whenDone = hear;
    this.#ended();
  }

  #ended(): void {
    if (this.#isDecided && this.#sending === 0) this.#whenDone?.();
  }

  /** Tells those who wait. */
  decided(error: DaosError | undefined): void {
    assert(!this.#isDecided, "an update is decided once");
    this.#isDecided = true;
    this.#error = error;
    const hears = this.#hears;
    this.#hears = [];
    for (const hear of hears) hear(error);
    this.#ended();
  }
}
