/**
 * An erasure-coded akey as the leader of its dkey works on it: its scheme, its shards, and the reads that plans ask for.
 */
import { asBuffer } from "../base/bytes.ts";
import { EPOCH_NONE, type Epoch } from "../base/epoch.ts";
import type { AkeyPlace } from "../base/key-place.ts";
import { DaosError, hasCode } from "../base/errors.ts";
import type {
  AddressSpace,
  DataExtent,
  Plan,
  RedundancyScheme,
  ShardRead,
  ShardReadResult,
} from "../contracts/redundancy.ts";
import {
  encodeObjectRequest,
  NO_REQUEST_ID,
  ObjectFlag,
  objectRequestBytes,
  type ObjectRequest,
} from "../format/object-request.ts";
import { Opcode } from "../format/operations.ts";
import { decodeShardReadReply, type ShardReadReply } from "../format/shard-read.ts";
import { runPlan } from "../redundancy/plan-run.ts";
import type { ErasureShards } from "../redundancy/redundancy-group.ts";
import type { RequestPayload, RpcAnswer } from "../rpc/pending-call.ts";

const NO_BYTES = new Uint8Array(0);

/** Reads this target's own shard. */
export type ReadOwnShard = (
  container: number,
  object: ObjectRequest,
  kind: "array" | "value",
) => Promise<
  ShardReadReply & { readonly bytes: Uint8Array; /** The CRC-32 that they must have. */ readonly checksum: number }
>;

/** Extents of this target's own shard in local addresses [start, end), the first SHARD_PAGE_EXTENTS; fewer: all there are. */
export type ListOwnShard = (
  container: number,
  object: ObjectRequest,
  space: AddressSpace,
) => Promise<readonly DataExtent[]>;

/** Extents that are asked for at a time. */
export const SHARD_PAGE_EXTENTS = 512;

export interface ShardExtents {
  readonly extents: readonly DataExtent[];
  /** Where the next ones begin; undefined: these are all. */
  readonly next: number | undefined;
}

/** The other shards. */
export function without(alive: readonly number[], shard: number): readonly number[] {
  return alive.filter((other) => other !== shard);
}

/** A request that names an akey, and nothing else. */
export function akeyRequest({ oid, dkey, akey }: AkeyPlace): ObjectRequest {
  const range = { recordIndex: 0, recordCount: 0, recordBytes: 1 };
  return { ...NO_REQUEST_ID, ...range, handle: 0, flags: 0, oid, dkey, akey, epoch: EPOCH_NONE };
}

export interface ShardedAkeyParts {
  readonly scheme: RedundancyScheme;
  readonly shards: ErasureShards;
  readonly self: number;
  /** Further flags of reads at an epoch. */
  readonly flags?: number;
  readonly readOwn: ReadOwnShard;
  readonly listOwn: ListOwnShard;
  /** Asks another target of the pool, which refuses when it goes by another map than the one of `shards`. */
  readonly call: (
    target: number,
    opcode: number,
    args: Uint8Array,
    payload: RequestPayload | undefined,
  ) => Promise<RpcAnswer>;
  /** Throws STALE when the map of `shards` is not the present one: the dkey may have another leader. */
  readonly checkMap: () => void;
}

/** Asks another target for what it shows of an akey; `handle` is the container. Rejects as `call`. */
export async function readTarget(
  call: ShardedAkeyParts["call"],
  target: number,
  request: ObjectRequest,
  kind: ShardRead["kind"],
): Promise<ShardReadResult> {
  const args = Buffer.alloc(objectRequestBytes(request));
  encodeObjectRequest(args, 0, request);
  const opcode = kind === "array" ? Opcode.dtxShardArrayRead : Opcode.dtxShardValueFetch;
  const answer = await call(target, opcode, args, NO_BYTES);
  return { ...decodeShardReadReply(asBuffer(answer.args)), bytes: answer.payload, checksum: answer.payloadChecksum };
}

export class ShardedAkey {
  readonly scheme: RedundancyScheme;
  /** Numbers of the shards that serve, ascending. */
  readonly alive: readonly number[];
  readonly #parts: ShardedAkeyParts;
  readonly #container: number;
  readonly #object: ObjectRequest;

  /** `object`: names the akey. */
  constructor(parts: ShardedAkeyParts, container: number, object: ObjectRequest) {
    this.scheme = parts.scheme;
    this.alive = parts.shards.alive;
    this.#parts = parts;
    this.#container = container;
    this.#object = object;
  }

  /** Number of this target's shard. */
  get own(): number {
    return this.#parts.shards.numberOf.get(this.#parts.self)!;
  }

  /** The target whose shard of this number serves, or NO_TARGET. */
  targetOf(shard: number): number {
    return this.#parts.shards.targets[shard]!;
  }

  /** Number of the shard that a target has, or is filled with. */
  numberOf(target: number): number | undefined {
    return this.#parts.shards.numberOf.get(target);
  }

  /** See ShardedAkeyParts. */
  get call(): ShardedAkeyParts["call"] {
    return this.#parts.call;
  }

  /** See ShardedAkeyParts. */
  checkMap(): void {
    this.#parts.checkMap();
  }

  /**
   * Carries out what is planned for the shards that are up; a shard that turns out to be damaged is left out then. `planOf`
   * gives undefined when too few are left. Rejects with UNAVAILABLE, CORRUPT, CONFLICT, IO.
   */
  async run<Result>(planOf: (alive: readonly number[]) => Plan<Result> | undefined): Promise<Result> {
    let alive = this.alive;
    for (let damage: DaosError | undefined; ;) {
      const plan = planOf(alive);
      if (plan === undefined) throw damage ?? this.#tooFew();
      const damaged = new Set<number>();
      try {
        return await runPlan(plan, (read) => this.#read(read, damaged));
      } catch (error) {
        if (damaged.size === 0) throw error;
        damage = error as DaosError;
        alive = alive.filter((shard) => !damaged.has(shard));
        // Without any parity plans would take it that nobody has some.
        if (alive.every((shard) => shard < this.scheme.dataShards)) throw damage;
      }
    }
  }

  #tooFew(): DaosError {
    const state = `${this.alive.length} of its shards are up, ${this.scheme.leastShardsToRead} are needed`;
    return new DaosError("UNAVAILABLE", `Cannot read the object: ${state}. Bring their engines back.`);
  }

  /** The first extents that a shard shows in [start, end). Rejects as `run`. */
  async extents(shard: number, { start, end }: AddressSpace, epoch: Epoch): Promise<ShardExtents> {
    const { self, listOwn } = this.#parts;
    const target = this.targetOf(shard);
    const request = this.#requestOf({
      shard,
      kind: "array",
      address: start,
      length: end - start,
      epoch,
      orNextReadable: false,
    });
    const extents =
      target === self
        ? await listOwn(this.#container, request, { start, end })
        : await this.#extentsOf(target, request);
    const last = extents.at(-1);
    const isAll = last === undefined || extents.length < SHARD_PAGE_EXTENTS;
    return { extents, next: isAll ? undefined : last.address + last.length };
  }

  async #extentsOf(target: number, request: ObjectRequest): Promise<readonly DataExtent[]> {
    const args = Buffer.alloc(objectRequestBytes(request));
    encodeObjectRequest(args, 0, request);
    const answer = await this.#parts.call(target, Opcode.dtxShardExtents, args, NO_BYTES);
    return decodeShardReadReply(asBuffer(answer.args)).extents;
  }

  async #read(read: ShardRead, damaged: Set<number>): Promise<ShardReadResult> {
    try {
      return await this.read(read);
    } catch (error) {
      if (hasCode(error, "CORRUPT")) damaged.add(read.shard);
      throw error;
    }
  }

  /** Does one read of a shard that serves. */
  async read(read: ShardRead): Promise<ShardReadResult> {
    const { self, readOwn } = this.#parts;
    const target = this.targetOf(read.shard);
    const request = this.#requestOf(read);
    if (target === self) return readOwn(this.#container, request, read.kind);
    return readTarget(this.#parts.call, target, request, read.kind);
  }

  /** Nothing of the dkey is under way, so that no epoch of it needs a guard. */
  #requestOf({ address, length, epoch, orNextReadable }: ShardRead): ObjectRequest {
    const atEpoch = epoch === EPOCH_NONE ? 0 : ObjectFlag.epochIsSeen | (this.#parts.flags ?? 0);
    const flags = (orNextReadable ? ObjectFlag.orNextReadable : 0) | atEpoch;
    return {
      ...this.#object,
      handle: this.#container,
      client: 0,
      sequence: 0,
      firstIncomplete: 0,
      flags,
      epoch,
      recordIndex: address,
      recordCount: length,
      recordBytes: 1,
    };
  }
}
