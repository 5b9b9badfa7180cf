/**
 * Replication in one pool, as one of its targets does it: leader of some groups (group-leader.ts), member of others
 * (group-follower.ts), connected to the targets that it shares groups with. Follows the pool map.
 */
import type { DkeyPlace } from "../base/key-place.ts";
import type { DtxId } from "../base/dtx-id.ts";
import type { Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { isErasureCoded, isRedundant, type ObjectId, objectClassOf } from "../base/object-id.ts";
import type { RedundancyScheme } from "../contracts/redundancy.ts";
import type { Timers } from "../contracts/world.ts";
import { encodeCbor } from "../format/cbor.ts";
import { decodeResyncReply, encodeIds } from "../format/dtx-messages.ts";
import type { TargetFillStatus } from "../format/engine-operations.ts";
import { decodeContainers } from "../format/folded-to.ts";
import type { ObjectRequest } from "../format/object-request.ts";
import { Opcode } from "../format/operations.ts";
import { isMovingMap, type PoolMap } from "../format/pool-map.ts";
import type { RequestPayload, RpcAnswer } from "../rpc/pending-call.ts";
import type { RpcReply, RpcRequest } from "../rpc/request.ts";
import { EpochGates } from "./epoch-gates.ts";
import { DEFAULT_FILL_POLICY, foldSlice, type FillPace, type FillPolicy } from "./fill-pace.ts";
import { FillReceiver } from "./fill-receiver.ts";
import { type FillStore, isFillingMap } from "./fill-store.ts";
import { Filling } from "./filling.ts";
import type { FoldStore } from "./fold-store.ts";
import { Folding } from "./folding.ts";
import { notLeader } from "./leader-errors.ts";
import { type Groups, isMember, placedGroups } from "./group.ts";
import type { LedUpdate } from "./led-update.ts";
import { GroupFollower, type GroupFollowerOptions } from "./group-follower.ts";
import { unitOf } from "./dkey-unit.ts";
import { GroupLeader } from "./group-leader.ts";
import { MapAgreement } from "./map-agreement.ts";
import { PeerRequests } from "./peer-requests.ts";
import { Peer, type PeerAddress, type PeerConnection } from "./peer.ts";
import type { PreparedStore } from "./prepared-store.ts";
import type { DkeyFilter } from "../vos/enumeration.ts";
import {
  akeyRequest,
  type ListOwnShard,
  type ReadOwnShard,
  ShardedAkey,
  type ShardedAkeyParts,
} from "./sharded-akey.ts";

/** Updates that nobody decided for so long are asked about, milliseconds. */
const SWEEP_MS = 1_000;

export interface PoolReplicationOptions extends Pick<GroupFollowerOptions, "run" | "observe"> {
  readonly pool: string;
  /** Number of this target in the pool map. */
  readonly self: number;
  readonly store: PreparedStore;
  readonly timers: Timers;
  readonly dial: (address: PeerAddress) => Promise<PeerConnection>;
  /** The scheme of a class's word in a container. Throws UNSUPPORTED. */
  readonly schemeOf: (container: number, word: string) => RedundancyScheme;
  readonly readShard: ReadOwnShard;
  readonly foldStore: FoldStore;
  readonly fillStore: FillStore;
  /** Of the target, in all its pools. */
  readonly pace: FillPace;
  /** Of the pool, as far as they are known here. */
  readonly containers: () => Iterable<number>;
  /** Aggregation may go to this epoch; see CellStore.setGate. */
  readonly setGate: (container: number, epoch: Epoch) => void;
  /** The clock: all epochs given later are above it. */
  readonly now: () => Epoch;
  /** Proves to other targets that we belong to the system. */
  readonly capability: () => Uint8Array;
  /** Serve `transactionState` and `dtxRepair`. */
  readonly serveStates: (request: RpcRequest, reply: RpcReply) => void;
  readonly serveRepair: (request: RpcRequest, reply: RpcReply) => void;
}

export class PoolReplication {
  readonly leader: GroupLeader;
  readonly folding: Folding;
  readonly filling: Filling;
  readonly receiver: FillReceiver;
  /** Serves the others. */
  readonly requests: PeerRequests;
  readonly #gates: EpochGates;
  readonly #agreement: MapAgreement;
  /** Containers in which this target has something erasure-coded, as far as it knows. */
  readonly #coded = new Set<number>();
  readonly follower: GroupFollower;
  readonly #options: PoolReplicationOptions;
  /** What filling may do; call `pace.look` when it changes. */
  fillPolicy: FillPolicy;
  readonly #peers = new Map<number, Peer>();
  #cancelSweep = (): void => {};
  #map: PoolMap;
  #groups: Groups;
  /** Objects without redundancy may have moved since all went by one map. */
  #mayHaveMoved: boolean;

  constructor(options: PoolReplicationOptions, map: PoolMap, fillPolicy: FillPolicy = DEFAULT_FILL_POLICY) {
    this.#options = options;
    this.fillPolicy = fillPolicy;
    this.#map = map;
    this.#groups = placedGroups(map);
    this.#mayHaveMoved = map.version > 1;
    const { self, store, timers, now, setGate, pace } = options;
    const peer = (index: number): Peer | undefined => this.#peer(index);
    const noteUpdate = (update: LedUpdate): void => this.#noteUpdate(update);
    this.follower = this.#createFollower(peer);
    const { marks } = options.fillStore;
    this.#agreement = new MapAgreement({
      noted: () => marks.agreedUnder(options.pool),
      note: (version) => marks.noteAgreed(options.pool, version),
    });
    this.#agreement.mapChanged(map, this.others);
    const missing = (): ReadonlySet<number> => this.#agreement.missing;
    this.leader = new GroupLeader({ self, store, timers, peer, missing, noteUpdate }, this.#groups);
    const policy = (): FillPolicy => this.fillPolicy;
    this.folding = new Folding({
      self,
      store: options.foldStore,
      timers,
      leader: this.leader,
      groupOf: (oid, dkey) => this.#groups.groupOf(oid, dkey),
      now,
      shardedAkey: (container, object) => this.shardedAkey(container, object),
      filledOf: (container, place) => this.filling.filledOf(container, place),
      inTurn: (fold) => pace.runBeside(foldSlice(policy), fold),
      found: (container) => void this.#coded.add(container),
    });
    this.#gates = new EpochGates({
      timers,
      containers: () => [...this.#coded],
      others: () => this.others,
      foldedTo: (container) => this.folding.foldedTo(container),
      call: (...request) => this.call(...request),
      mapVersion: () => this.#map.version,
      setGate,
    });
    const { fillStore: filled, containers } = options;
    const groups = (): Groups => this.#groups;
    const { leader, follower, folding } = this;
    const isCoded = (container: number): void => void this.#coded.add(container);
    const common = { self, timers, store: filled, prepared: store, groups, containers, pace, policy };
    this.filling = new Filling({
      ...common,
      leader,
      peer,
      now,
      shardedAkey: (container, place) => this.shardedAkey(container, akeyRequest(place)),
    });
    const makeReady: Filling["makeReady"] = (...object) => this.filling.makeReady(...object);
    const noteHeld: Filling["noteHeld"] = (...held) => this.filling.noteHeld(...held);
    this.receiver = new FillReceiver({ ...common, follower, peer, noteHeld, makeReady, isCoded });
    this.requests = new PeerRequests({
      ...options,
      leader,
      follower,
      folding,
      receiver: this.receiver,
      listShard: this.#listShard,
      mapVersion: () => this.#map.version,
      isCoded,
    });
    this.#fill(undefined, Promise.resolve());
    this.#resyncAll();
    this.#sweep();
  }

  #createFollower(peer: GroupFollowerOptions["peer"]): GroupFollower {
    const { self, store, timers, observe } = this.#options;
    const run: PoolReplicationOptions["run"] = (request, message, order) => {
      const { oid } = request.object;
      if (isErasureCoded(oid)) this.#coded.add(request.container);
      if (!isRedundant(oid)) this.filling.checkReady(request.container, oid);
      return this.#options.run(request, message, order);
    };
    const before: GroupFollowerOptions["before"] = (container, oid) =>
      isRedundant(oid) ? undefined : this.filling.beforeFollowing(container, oid);
    const appendedLate = (): void => this.#inherit();
    return new GroupFollower({ self, store, timers, peer, before, run, observe, appendedLate }, this.#groups);
  }

  /** Takes the present map for filling, after `before`. `arriving`: settles when what came from leaders is appended. */
  #fill(before: PoolMap | undefined, arriving: Promise<unknown>): void {
    const begun = Promise.allSettled([arriving, ...this.filling.running]);
    this.filling.mapChanged(isFillingMap(this.#map), begun);
    this.receiver.mapChanged(this.#map, before, begun);
  }

  /** How far this target is with what it brings to others, and with what it has to remove, under the present map. */
  fillStatus(containers: readonly number[]): TargetFillStatus {
    const { filling, receiver } = this;
    const isReady = receiver.isClean(containers) && receiver.isGated(containers);
    return { mapVersion: this.#map.version, ...filling.status(containers, isReady) };
  }

  /** Which dkeys of a container this target may be read of, where it may have others; undefined: all that lie here. */
  shownDkeys(container: number): DkeyFilter | undefined {
    if (this.#map.version === 1 || (!this.isFilling && this.receiver.isKnownClean(container))) return undefined;
    const groups = this.#groups;
    const { self } = this.#options;
    return (oid, dkey) => groups.groupOf(oid, dkey).readable.includes(self);
  }

  #noteUpdate(update: LedUpdate): void {
    if (!isErasureCoded(update.object.oid)) return;
    this.#coded.add(update.container);
    this.folding.noteUpdate(update);
  }

  removeContainer(container: number): void {
    this.#coded.delete(container);
    this.folding.removeContainer(container);
    this.leader.removeContainer(container);
  }

  /** Number of this target in the pool map. */
  get self(): number {
    return this.#options.self;
  }

  get groups(): Groups {
    return this.#groups;
  }

  get mapVersion(): number {
    return this.#map.version;
  }

  /**
   * Whether an update of an object without redundancy has to be ordered as others are: while the object moves; and after it
   * has, until everybody knows that, and nothing of before is undecided.
   */
  leadsSingle(oid: ObjectId, id: DtxId): boolean {
    if (this.#map.version === 1) return false;
    return (
      this.#groups.movesSingle(oid) ||
      (this.#mayHaveMoved && this.#agreement.missing.size > 0) ||
      this.leader.isSettlingSome ||
      this.#options.store.stateOf(id) !== undefined
    );
  }

  /** See isFillingMap. */
  get isFilling(): boolean {
    return isFillingMap(this.#map);
  }

  /** The other targets that take part. */
  get others(): number[] {
    const { self } = this.#options;
    return this.#map.targets.map(({ index }) => index).filter((index) => index !== self && isMember(this.#map, index));
  }

  /** Asks another target. Rejects with UNAVAILABLE when it cannot be reached. */
  call(target: number, opcode: number, args: Uint8Array, payload: RequestPayload | undefined): Promise<RpcAnswer> {
    return this.#callUnder(this.#map.version, target, opcode, args, payload);
  }

  async #callUnder(
    mapVersion: number,
    target: number,
    opcode: number,
    args: Uint8Array,
    payload: RequestPayload | undefined,
  ): Promise<RpcAnswer> {
    const peer = this.#peer(target);
    if (peer === undefined) throw new DaosError("UNAVAILABLE", `Cannot ask target ${target}: it takes no part.`);
    return peer.call(opcode, args, payload, { mapVersion });
  }

  #checkVersion(version: number): void {
    if (version !== this.#map.version) throw new DaosError("STALE", "Cannot go on: the pool map has changed. Retry.");
  }

  /** Of an erasure-coded object. Throws UNSUPPORTED without its plugin. */
  schemeOf(container: number, oid: ObjectId): RedundancyScheme {
    return this.#options.schemeOf(container, objectClassOf(oid).redundancy.word);
  }

  /** An erasure-coded akey that this target leads. Throws STALE, UNSUPPORTED. */
  shardedAkey(container: number, object: ObjectRequest): ShardedAkey {
    const { self, schemeOf, readShard } = this.#options;
    const { shards, leader } = this.#groups.groupOf(object.oid, object.dkey);
    if (leader !== self || shards === undefined) throw notLeader(leader);
    const scheme = schemeOf(container, shards.word);
    const { version } = this.#map;
    const call: ShardedAkeyParts["call"] = (...request) => this.#callUnder(version, ...request);
    const checkMap = (): void => this.#checkVersion(version);
    const parts = { scheme, shards, self, readOwn: readShard, listOwn: this.#listShard, call, checkMap };
    return new ShardedAkey(parts, container, object);
  }

  readonly #listShard: ListOwnShard = (container, { oid, dkey, akey, epoch }, space) =>
    this.#options.foldStore.extentsIn(container, { oid, dkey, akey, epoch }, space);

  /**
   * Up to which epoch this target has every update of the dkey that was ever acknowledged, or will be; 0 when it does not know.
   * Its leader gives epochs in the order in which it sends.
   */
  completeTo(container: number, { oid, dkey }: DkeyPlace): Epoch {
    const { self, now } = this.#options;
    const { leader } = this.#groups.groupOf(oid, dkey);
    if (leader === self) return this.leader.decidedTo(unitOf({ container, object: { oid, dkey } }), now());
    return this.follower.heardTo(leader);
  }

  /** A new map, or the same one with other addresses. */
  setMap(map: PoolMap): void {
    const before = this.#map;
    this.#map = map;
    for (const { index, host, port } of map.targets) this.#peers.get(index)?.moveTo({ host, port });
    if (map.version === before.version) {
      // It may have brought containers, with updates of theirs that nobody has decided.
      this.#inherit();
      return;
    }
    this.#groups = placedGroups(map);
    for (const [index, peer] of this.#peers) {
      if (isMember(map, index)) continue;
      peer.stop();
      this.#peers.delete(index);
      this.leader.removeMember(index);
    }
    const isKnown = map.version === before.version + 1 && !isMovingMap(before);
    this.#mayHaveMoved = !isKnown || (this.#mayHaveMoved && this.#agreement.missing.size > 0);
    this.#agreement.mapChanged(map, this.others);
    const arriving = this.follower.allSettled();
    this.folding.mapChanged(arriving);
    this.follower.mapChanged(this.#groups);
    this.leader.mapChanged(this.#groups);
    this.#fill(before, arriving);
    this.#resyncAll();
  }

  /** Takes over what others have left undecided. */
  #inherit(): void {
    if (this.leader.inherit()) this.#resyncAll();
  }

  #resyncAll(): void {
    for (const index of this.#agreement.missing) this.#peer(index);
    for (const peer of this.#peers.values()) peer.resyncAgain();
  }

  /** Sends the members what this target is about to persist: all do so at the same time, in the same groups. */
  sendGathered(): void {
    for (const peer of this.#peers.values()) peer.flush();
  }

  stop(): void {
    this.#cancelSweep();
    this.folding.stop();
    this.filling.stop();
    this.receiver.stop();
    this.#gates.stop();
    for (const peer of this.#peers.values()) peer.stop();
    this.leader.stop();
  }

  /** Connected to when it is first needed; undefined for a target that takes no part. */
  #peer(index: number): Peer | undefined {
    const known = this.#peers.get(index);
    if (known !== undefined) return known;
    const target = this.#map.targets.find((candidate) => candidate.index === index);
    if (target === undefined || !isMember(this.#map, index) || index === this.#options.self) return undefined;
    const { timers, dial, capability, pool, self } = this.#options;
    const peer = new Peer(index, target, {
      timers,
      dial,
      introduction: () => encodeCbor({ capability: capability(), pool, target: self }),
      resync: (ready) => this.#resync(ready),
    });
    this.#peers.set(index, peer);
    return peer;
  }

  /** Asks a peer what it knows of undecided updates that we lead, and what else is open there. */
  async #resync(peer: Peer): Promise<void> {
    const ids = this.leader.idsToAsk(peer.index);
    const { version } = this.#map;
    const args = encodeCbor({ pool: this.#options.pool });
    const answer = await peer.call(Opcode.dtxResync, args, encodeIds(ids), { mapVersion: version });
    this.#checkVersion(version);
    const { states, open } = decodeResyncReply(answer.payload, ids.length);
    await this.#agreement.heard(peer.index);
    this.#checkVersion(version);
    this.leader.resynced(peer.index, ids, { states, open, complete: decodeContainers(answer.args) });
  }

  /** What nobody has decided for a while is asked about, though nobody waits for it: it takes room in the log. */
  #sweep(): void {
    this.#cancelSweep = this.#options.timers.after(SWEEP_MS, () => {
      this.follower.ask();
      this.#sweep();
    });
  }
}
