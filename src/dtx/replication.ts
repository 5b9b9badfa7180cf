/**
 * Replication as one target does it: a PoolReplication for each pool that the target is in, following the pool maps, and
 * the connections of other targets to this one.
 */
import type { DkeyPlace } from "../base/key-place.ts";
import type { DtxId } from "../base/dtx-id.ts";
import type { Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { isRedundant, type ObjectId } from "../base/object-id.ts";
import type { RedundancyScheme } from "../contracts/redundancy.ts";
import { decodeCbor } from "../format/cbor.ts";
import type { TargetFillStatus } from "../format/engine-operations.ts";
import type { ObjectRequest } from "../format/object-request.ts";
import { checkArguments } from "../format/operation-arguments.ts";
import { Opcode } from "../format/operations.ts";
import type { PoolMap } from "../format/pool-map.ts";
import type { RpcPeer, RpcReply, RpcRequest } from "../rpc/request.ts";
import { Closing } from "./closing.ts";
import type { Unlock } from "./dkey-locks.ts";
import type { UpdateRange } from "./folding.ts";
import { unitOf } from "./dkey-unit.ts";
import type { LedUpdate, UpdateRequest } from "./led-update.ts";
import { PoolReplication, type PoolReplicationOptions } from "./pool-replication.ts";
import { type PreparedStore, storeOfContainers } from "./prepared-store.ts";
import type { ShardedAkey } from "./sharded-akey.ts";
import type { DkeyFilter } from "../vos/enumeration.ts";

const NO_ARGUMENTS = new Uint8Array(0);

/** The pool of a container as the target knows it. */
export interface ReplicatedPool {
  readonly pool: string;
  readonly map: PoolMap;
  /** Number of this target in the map; -1: it is not in it. */
  readonly own: number;
  readonly containers: ReadonlyMap<number, unknown>;
}

export interface ReplicationOptions extends Omit<PoolReplicationOptions, "pool" | "self" | "containers"> {
  readonly poolOf: (container: number) => ReplicatedPool | undefined;
  /** Throws PERMISSION when the capability is no target's of this system. */
  readonly checkCapability: (capability: Uint8Array) => void;
}

/** A shard of an erasure-coded dkey. */
export interface OwnShard {
  readonly scheme: RedundancyScheme;
  /** In the dkey's own order. */
  readonly number: number;
}

/** What a connection of another target is for. */
export class PeerSession {
  readonly pool: PoolReplication;
  readonly target: number;

  constructor(pool: PoolReplication, target: number) {
    this.pool = pool;
    this.target = target;
  }
}

export class Replication {
  readonly #options: ReplicationOptions;
  readonly #pools = new Map<string, PoolReplication>();
  readonly #closing: Closing;
  /** Of any pool: targets are filled under its map; it has another map than its first. */
  #isAnyFilling = false;
  #hasAnyChanged = false;

  constructor(options: ReplicationOptions) {
    this.#options = options;
    const { store, timers } = options;
    this.#closing = new Closing({ store, timers, pools: () => this.#pools.values() });
    store.onPersist(() => {
      for (const pool of this.#pools.values()) pool.sendGathered();
    });
  }

  /** Updates under way, and decisions that somebody does not know. */
  get openCount(): number {
    let count = 0;
    for (const pool of this.#pools.values()) count += pool.leader.openCount;
    return count;
  }

  /** A pool has a new map, or new addresses in it, or more containers. */
  mapChanged({ pool, map, own, containers }: ReplicatedPool): void {
    const known = this.#pools.get(pool);
    if (own < 0) {
      this.forget(pool);
      return;
    }
    if (known !== undefined) known.setMap(map);
    else {
      const options = {
        ...this.#options,
        store: this.#storeOf(pool),
        pool,
        self: own,
        containers: () => containers.keys(),
      };
      this.#pools.set(pool, new PoolReplication(options, map));
    }
    for (const container of containers.keys()) this.#pools.get(pool)!.folding.want(container);
    this.#look();
  }

  /** Another pool's updates have other groups. */
  #storeOf(pool: string): PreparedStore {
    const { store, poolOf } = this.#options;
    return storeOfContainers(store, (container) => poolOf(container)?.pool === pool);
  }

  /** Undoes what is undecided in a container that is being destroyed; no pool knows it any more. */
  removeContainer(container: number): void {
    for (const pool of this.#pools.values()) pool.removeContainer(container);
    const { store } = this.#options;
    const left = store.openUpdates().filter((open) => open.container === container);
    for (const { id } of left.reverse()) store.decide(id, "abort");
  }

  forget(pool: string): void {
    this.#pools.get(pool)?.stop();
    this.#pools.delete(pool);
    this.#look();
  }

  #look(): void {
    const pools = [...this.#pools.values()];
    this.#isAnyFilling = pools.some(({ isFilling }) => isFilling);
    this.#hasAnyChanged = pools.some(({ mapVersion }) => mapVersion > 1);
  }

  /** See PoolReplication.shownDkeys. */
  shownDkeys(container: number): DkeyFilter | undefined {
    return this.poolOf(container)?.shownDkeys(container);
  }

  /** Whether members have to have an update of the object, or what was before it is to be asked for at others. */
  isLed(container: number, oid: ObjectId, id: DtxId): boolean {
    return isRedundant(oid) || (this.#hasAnyChanged && this.poolOf(container)?.leadsSingle(oid, id) === true);
  }

  /** See Groups.movesSingle. */
  movesSingle(container: number, oid: ObjectId): boolean {
    return this.#isAnyFilling && this.poolOf(container)?.groups.movesSingle(oid) === true;
  }

  stop(): void {
    this.#closing.stop();
    for (const pool of this.#pools.values()) pool.stop();
    this.#pools.clear();
  }

  /**
   * Takes an update into order. Throws STALE when this target does not lead the dkey's group,
   * UNAVAILABLE while a member of the group cannot take part.
   */
  begin(request: UpdateRequest): LedUpdate {
    const pool = this.#poolOf(request.container);
    const { oid, dkey } = request.object;
    if (!pool.filling.isFilled(request.container, request.object)) throw beingFilled();
    return pool.leader.begin(request, pool.groups.groupOf(oid, dkey));
  }

  /**
   * Keeps a dkey for updates, or alone for one that reads first. Only erasure code needs it: the leader's, before `begin`,
   * until the update is decided.
   */
  async lock(container: number, { oid, dkey }: DkeyPlace, how: "shared" | "alone"): Promise<Unlock> {
    const { locks } = this.#poolOf(container).leader;
    const unit = unitOf({ container, object: { oid, dkey } });
    return how === "alone" ? locks.exclusive(unit) : locks.shared(unit);
  }

  /** See PoolReplication.schemeOf. */
  schemeOf(container: number, oid: ObjectId): RedundancyScheme {
    return this.#poolOf(container).schemeOf(container, oid);
  }

  /** An erasure-coded akey that this target leads. Throws STALE, UNSUPPORTED. */
  shardedAkey(container: number, object: ObjectRequest): ShardedAkey {
    return this.#poolOf(container).shardedAkey(container, object);
  }

  /** Before an update of an erasure-coded dkey: see Folding.beforeUpdate. */
  foldBefore(container: number, dkey: DkeyPlace, range: UpdateRange, snapshot: Epoch): Promise<void> {
    return this.#poolOf(container).folding.beforeUpdate(container, dkey, range, snapshot);
  }

  /** See Folding.foldAlone. */
  foldAlone(container: number, dkey: DkeyPlace, ranges: readonly UpdateRange[], upTo: Epoch): Promise<void> {
    return this.#poolOf(container).folding.foldAlone(container, dkey, ranges, upTo);
  }

  /** Before `begin`: undefined, or settles when a member that is filled has the dkey. Rejects with UNAVAILABLE. */
  fillBefore(container: number, dkey: DkeyPlace): Promise<void> | undefined {
    return this.#poolOf(container).filling.beforeUpdate(container, dkey);
  }

  /** An update that has begun is appended at the latest when this settles. */
  track(container: number, running: Promise<unknown>): void {
    this.#poolOf(container).filling.track(running);
  }

  /** See PoolReplication.fillStatus; undefined when this target has no part in the pool. */
  fillStatus(pool: string, containers: readonly number[]): TargetFillStatus | undefined {
    return this.#pools.get(pool)?.fillStatus(containers);
  }

  /** See PoolReplication.completeTo. */
  completeTo(container: number, dkey: DkeyPlace): Epoch {
    return this.#poolOf(container).completeTo(container, dkey);
  }

  /** The update of this name that is under way. */
  openUpdate(container: number, id: { client: number; sequence: number }): LedUpdate | undefined {
    return this.poolOf(container)?.leader.openUpdate(id);
  }

  /** Throws STALE when this target has no shard of the dkey, of an object with redundancy, that can be read. */
  checkReadable(container: number, { oid, dkey }: Pick<ObjectRequest, "oid" | "dkey">): void {
    const pool = this.#poolOf(container);
    if (!pool.groups.groupOf(oid, dkey).readable.includes(pool.self)) throw noShard();
  }

  /** What this target's shard gets of a write; undefined of copies. Throws STALE when it has no shard of the dkey, UNSUPPORTED. */
  ownShard(container: number, { oid, dkey }: DkeyPlace): OwnShard | undefined {
    const pool = this.#poolOf(container);
    const { members, shards } = pool.groups.groupOf(oid, dkey);
    if (!members.includes(pool.self)) throw noShard();
    if (shards === undefined) return undefined;
    const scheme = this.#options.schemeOf(container, shards.word);
    return { scheme, number: shards.numberOf.get(pool.self)! };
  }

  /** Somebody waits for updates that are not decided: asks their leaders. */
  ask(): void {
    for (const pool of this.#pools.values()) pool.follower.ask();
  }

  /** Serves what other targets ask; `done` when the request's payload is no longer needed. */
  handle(request: RpcRequest, reply: RpcReply, done: () => void): void {
    if (request.opcode === Opcode.dtxAttach) {
      this.#attach(request);
      reply.send(NO_ARGUMENTS);
      done();
      return;
    }
    const { session } = request.connection;
    if (!(session instanceof PeerSession)) {
      throw new DaosError("PERMISSION", "Cannot serve the request: it is for targets only. Attach as one first.");
    }
    if (request.mapVersion !== session.pool.mapVersion) throw otherMap(request.mapVersion, session.pool.mapVersion);
    session.pool.requests.handle(session.target, request, reply, done);
  }

  #attach(request: RpcRequest): void {
    const { capability, pool, target } = checkArguments(Opcode.dtxAttach, decodeCbor(request.args));
    this.#options.checkCapability(capability);
    const found = this.#pools.get(pool);
    if (found === undefined) throw new DaosError("STALE", `Cannot attach: pool "${pool}" is not served here. Retry.`);
    const { session } = request.connection;
    if (session !== undefined && !(session instanceof PeerSession)) {
      throw new DaosError("PROTOCOL", "Cannot attach: the connection is a client's. Open another one.");
    }
    request.connection.session = new PeerSession(found, target);
    found.requests.attach(target, request.connection);
  }

  /** Whether a connection may go on without such a request of its: not without decisions, which are taken in their order. */
  mayMiss({ session }: RpcPeer, opcode: number): boolean {
    return opcode !== Opcode.dtxDecide || !(session instanceof PeerSession);
  }

  connectionClosed(connection: RpcPeer): void {
    const { session } = connection;
    if (session instanceof PeerSession) session.pool.requests.detach(session.target, connection);
  }

  #poolOf(container: number): PoolReplication {
    const pool = this.poolOf(container);
    if (pool === undefined) throw noShard();
    return pool;
  }

  /** The pool of a container that is served here. */
  poolOf(container: number): PoolReplication | undefined {
    const known = this.#options.poolOf(container);
    return known === undefined ? undefined : this.#pools.get(known.pool);
  }
}

function noShard(): DaosError {
  return new DaosError(
    "STALE",
    "Cannot use the object here: this target has no shard of it. Open the container again.",
  );
}

function beingFilled(): DaosError {
  return new DaosError(
    "UNAVAILABLE",
    "Cannot update the object: a target of its group is being filled with it. Retry.",
  );
}

function otherMap(theirs: number, ours: number): DaosError {
  const state = `it goes by pool map ${theirs}, this target by ${ours}`;
  return new DaosError("STALE", `Cannot serve the request: ${state}. Retry with the newer one.`);
}
