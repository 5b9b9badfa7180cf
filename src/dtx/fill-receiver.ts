/**
 * A target's part in being filled, for one pool (filling.ts is the leaders'). What lies here of dkeys that this target cannot
 * be read of is left over from another time (left-overs.ts): it is removed, or compared, before a leader brings anything, and
 * after every change of the map.
 *
 * What a leader has brought in full (`close`) is remembered under the map's version and stays, also when it or we start
 * anew: then nothing that was complete is taken apart while the control plane counts on it.
 */
import { DaosError, hasCode } from "../base/errors.ts";
import { MIB } from "../base/limits.ts";
import type { ObjectId } from "../base/object-id.ts";
import type { Timers } from "../contracts/world.ts";
import { type CompareRequest, encodeCompareAnswer } from "../format/fill-compare.ts";
import {
  type CopiedVersion,
  decodeFillRequest,
  encodeFillRequest,
  FillFlag,
  type FillRequest,
} from "../format/fill-message.ts";
import { Opcode } from "../format/operations.ts";
import type { PoolMap } from "../format/pool-map.ts";
import type { RpcReply, RpcRequest } from "../rpc/request.ts";
import { containerOf } from "../vos/cell-key.ts";
import type { FillPace, FillPolicy, FillSlice } from "./fill-pace.ts";
import { type FillStore, isFillingMap, levelOf, unfilledOf } from "./fill-store.ts";
import { FillTurns } from "./fill-turns.ts";
import type { GroupFollower } from "./group-follower.ts";
import type { Groups } from "./group.ts";
import { attempt, LeftOvers } from "./left-overs.ts";
import type { Peer } from "./peer.ts";
import type { PreparedStore } from "./prepared-store.ts";

/** Pause before a leader is told again that something of its is here, milliseconds. */
const TELL_MS = 500;
/** Of what waits here for its turn to be written. Leaders keep the rest. */
const MAX_WAITING_BYTES = 8 * MIB;
const NO_ARGUMENTS = new Uint8Array(0);

export interface FillReceiverOptions {
  readonly self: number;
  readonly timers: Timers;
  readonly store: FillStore;
  readonly prepared: PreparedStore;
  readonly follower: GroupFollower;
  readonly groups: () => Groups;
  readonly containers: () => Iterable<number>;
  readonly pace: FillPace;
  /** Of the pool. */
  readonly policy: () => FillPolicy;
  /** See Filling.makeReady. */
  readonly makeReady: (container: number, oid: ObjectId) => Promise<void>;
  readonly peer: (index: number) => Peer | undefined;
  /** Hears that a target may have something of what this one leads in a container, see Filling.noteHeld. */
  readonly noteHeld: (container: number, target: number) => void;
  /** Hears that this target has something erasure-coded in the container. */
  readonly isCoded: (container: number) => void;
}

/** Under one version of the map. */
interface Round {
  readonly mapVersion: number;
  readonly left: LeftOvers;
  /** Leaders that have brought something since this target started, by container. */
  readonly brought: Set<string>;
  /** By leader, in which order what it sends is done. */
  readonly turns: Map<number, FillTurns>;
}

/** What is done in an order. */
type TurnRequest = Exclude<FillRequest, { kind: "hurry" | "holds" }>;

export class FillReceiver {
  readonly #options: FillReceiverOptions;
  #round: Round | undefined;
  /** Bytes that wait for their turn, and prefixes of dkeys among them that updates wait for. */
  #waitingBytes = 0;
  readonly #hurried = new Set<string>();
  /** Containers whose gate is being noted. */
  readonly #noting = new Set<number>();

  constructor(options: FillReceiverOptions) {
    this.#options = options;
  }

  /**
   * A new map. `before`: the one that this target worked by until now; `begun`: settles when what began under it is
   * appended. It must not find removed what it ends, say a transaction's lock: that would be answered as if it had been
   * ended before.
   */
  mapChanged(map: PoolMap, before: PoolMap | undefined, begun: Promise<unknown>): void {
    const known = this.#round;
    this.stop();
    const { self } = this.#options;
    const own = map.targets.find(({ index }) => index === self)?.state;
    // What an excluded target has may yet be all there is.
    if (own === undefined || own === "DOWN" || own === "DOWNOUT") return;
    const round: Round = {
      mapVersion: map.version,
      left: new LeftOvers(this.#options, { mapVersion: map.version, begun, check: () => this.#check(round) }),
      brought: new Set(),
      turns: new Map(),
    };
    this.#round = round;
    if (known !== undefined && before !== undefined && takesNothing(before, map)) {
      const clean = before.version === 1 ? this.#options.containers() : known.left.clean;
      for (const container of clean) round.left.noteClean(container);
      for (const container of known.left.kept) round.left.kept.add(container);
    }
    // Under its first map nobody was ever filled.
    if (map.version > 1) void this.#cleanAll(round);
    if (isFillingMap(map)) this.#tell(round);
  }

  stop(): void {
    this.#round = undefined;
    this.#hurried.clear();
    // What waits for its turn finds out that it is over.
    this.#options.pace.look();
  }

  /** Whether nothing is known to be left over in the container. */
  isKnownClean(container: number): boolean {
    const left = this.#round?.left;
    return left !== undefined && left.clean.has(container) && !left.kept.has(container);
  }

  /** Whether nothing is left over in these containers. */
  isClean(containers: Iterable<number>): boolean {
    const left = this.#round?.left;
    if (left === undefined) return false;
    const all = new Set(containers);
    const unclean = [...all].filter((container) => !left.clean.has(container));
    for (const container of unclean) void attempt(() => left.removeOnce(container));
    return unclean.length === 0 && left.isCompared(all);
  }

  /**
   * Whether what was filled into erasure-coded objects of these containers may be read: from the epoch gate on it is as it
   * should be, at the epochs of before only for snapshots. So the gate has to be above what was filled, for good.
   */
  isGated(containers: Iterable<number>): boolean {
    const { store } = this.#options;
    const { copies, marks } = store;
    const behind = [...containers].filter((container) => {
      const filledAt = store.filledAt(container);
      return filledAt > marks.gatedTo(container) && copies.hasCoded(container);
    });
    for (const container of behind) {
      this.#options.isCoded(container);
      const filledAt = store.filledAt(container);
      if (store.gate(container) < filledAt || this.#noting.has(container)) continue;
      this.#noting.add(container);
      const noting = attempt(() => marks.noteGated(container, filledAt));
      void noting.finally(() => this.#noting.delete(container));
    }
    return behind.length === 0;
  }

  /** Containers of which the leader has brought all under this map. */
  completeFrom(leader: number): number[] {
    const { marks } = this.#options.store;
    const version = this.#options.groups().mapVersion;
    return [...this.#options.containers()].filter((container) => marks.broughtBy(container, leader) === version);
  }

  async #cleanAll(round: Round): Promise<void> {
    for (const container of this.#options.containers()) {
      if (this.#round !== round) return;
      await attempt(() => round.left.removeOnce(container));
    }
  }

  /** Tells leaders that something of theirs is here, until they have said what is to become of it. */
  #tell(round: Round): void {
    if (this.#round !== round) return;
    for (const { container, leader } of round.left.waiting()) {
      const { args, payload } = encodeFillRequest({ kind: "holds", container });
      const peer = this.#options.peer(leader);
      if (peer?.isReady !== true) continue;
      const telling = peer.call(Opcode.dtxFill, args, payload, { mapVersion: round.mapVersion });
      void attempt(() =>
        telling.then(
          () => {},
          (error: unknown) => {
            if (!hasCode(error, "INVALID_ARGUMENT")) throw error;
            // It is of a release that knows nothing of this.
            return this.#giveUp(round, container, leader);
          },
        ),
      );
    }
    this.#options.timers.after(TELL_MS, () => this.#tell(round));
  }

  /** Removes what a leader does not compare, before it brings anything. */
  #giveUp(round: Round, container: number, leader: number): Promise<void> {
    return turnsOf(round, leader).run(undefined, async () => {
      if (!round.left.held.has(container, leader)) return;
      await attempt(async () => {
        await round.left.remove(container, (other) => other === leader, true);
        round.left.held.forget(container, leader);
      });
    });
  }

  /** Serves a leader; `isPresent`: whether it still talks on the connection that this came on. */
  serve(leader: number, request: RpcRequest, reply: RpcReply, isPresent: () => boolean, done: () => void): void {
    request.retain();
    const round = this.#round;
    if (round === undefined) throw notNow("it is excluded");
    const check = (): void => {
      this.#check(round);
      if (!isPresent()) throw notNow("its leader has another connection");
    };
    const fill = decodeFillRequest(request.args, request.payload, request.payloadChecksum);
    if (fill.kind === "hurry" || fill.kind === "holds") {
      if (fill.kind === "holds") this.#options.noteHeld(fill.container, leader);
      else this.#hurried.add(fill.prefix);
      this.#options.pace.look();
      reply.send(NO_ARGUMENTS);
      done();
      return;
    }
    const heldBytes = fill.kind === "cells" ? this.#admitted(fill.flags, request.payloadLength) : 0;
    const answer = async (): Promise<void> => {
      try {
        reply.send(NO_ARGUMENTS, await this.#take(round, leader, fill, check));
      } catch (error) {
        if (!(error instanceof DaosError)) throw error;
        if (error.code === "CORRUPT") this.#options.store.damaged(error.message);
        reply.fail(error);
      }
    };
    void turnsOf(round, leader)
      .run(fill.kind === "cells" ? fill.prefix : undefined, answer)
      .finally(() => {
        this.#waitingBytes -= heldBytes;
        done();
      });
  }

  /** Takes so many bytes to those that wait. Throws BUSY when they are too many. */
  #admitted(flags: number, bytes: number): number {
    const isTooMuch = this.#waitingBytes > 0 && this.#waitingBytes + bytes > MAX_WAITING_BYTES;
    if (isTooMuch && (flags & FillFlag.urgent) === 0) {
      const state = `${this.#waitingBytes} bytes of others wait to be written`;
      throw new DaosError("BUSY", `Cannot fill the target: ${state}. Retry.`);
    }
    this.#waitingBytes += bytes;
    this.#options.pace.counts.receivedBytes += bytes;
    return bytes;
  }

  async #take(round: Round, leader: number, fill: TurnRequest, check: () => void): Promise<Uint8Array> {
    // What the leader decided before has to be decided here, too.
    await this.#options.follower.settled(leader);
    check();
    switch (fill.kind) {
      case "open":
        return this.#open(round, leader, fill);
      case "cells":
        await this.#cells(round, leader, fill, check);
        return NO_ARGUMENTS;
      case "close":
        await this.#close(round, leader, fill);
        return NO_ARGUMENTS;
      case "compare":
        return this.#compare(round, leader, fill.container, fill.compare);
      default:
        return fill satisfies never;
    }
  }

  async #compare(round: Round, leader: number, container: number, compare: CompareRequest): Promise<Uint8Array> {
    const { policy, pace } = this.#options;
    const slice: FillSlice = {
      level: 0,
      policy: () => ({ ...policy(), isPaused: false }),
      isUrgent: () => false,
      isOver: () => this.#round !== round,
    };
    return pace.run(slice, async () => {
      this.#check(round);
      return encodeCompareAnswer(round.left.held.answer(container, leader, compare));
    });
  }

  /** Answers with 1 when the leader has brought all before, with 2 when it has to compare what is here. */
  async #open(
    round: Round,
    leader: number,
    { container, snapshots, compares }: FillRequest & { readonly kind: "open" },
  ): Promise<Uint8Array> {
    const { store } = this.#options;
    await round.left.removeOnce(container);
    if (store.marks.broughtBy(container, leader) === round.mapVersion) return Uint8Array.of(1);
    await store.adoptSnapshots(container, snapshots);
    // The leader begins again: of what it brought before something may have vanished where it is.
    const name = `${container}/${leader}`;
    const mayBeHere = round.brought.has(name) || (!compares && round.left.held.has(container, leader));
    if (mayBeHere) await round.left.remove(container, (other) => other === leader, !compares);
    if (!compares) round.left.held.forget(container, leader);
    round.brought.delete(name);
    return Uint8Array.of(round.left.held.has(container, leader) ? 2 : 0);
  }

  async #cells(
    round: Round,
    leader: number,
    { container, flags, prefix, versions }: FillRequest & { readonly kind: "cells" },
    check: () => void,
  ): Promise<void> {
    const { store, groups, self } = this.#options;
    const place = store.copies.placeOf(prefix);
    const group = place === undefined ? undefined : groups().groupOf(place.oid, place.dkey);
    if (place === undefined || group?.leader !== leader || !unfilledOf(group).includes(self)) throw notOurs();
    if (containerOf(prefix) !== container) throw notOurs();
    if (!round.left.clean.has(container)) throw notNow("what it had before is not removed yet");
    if (groups().movesSingle(place.oid)) await this.#options.makeReady(container, place.oid);
    const slice: FillSlice = {
      level: levelOf(place.oid, group),
      policy: () => ({ ...this.#options.policy(), isPaused: false }),
      isUrgent: () => (flags & FillFlag.urgent) !== 0 || this.#hurried.has(prefix),
      isOver: () => this.#round !== round,
    };
    await this.#options.pace.run(slice, async () => {
      check();
      round.brought.add(`${container}/${leader}`);
      await this.#write(round, container, prefix, flags, versions, check);
    });
    if ((flags & FillFlag.last) !== 0) this.#hurried.delete(prefix);
  }

  async #write(
    round: Round,
    container: number,
    prefix: string,
    flags: number,
    versions: readonly CopiedVersion[],
    check: () => void,
  ): Promise<void> {
    const { store } = this.#options;
    if ((flags & FillFlag.first) !== 0 && store.copies.has(prefix)) {
      if (round.left.anyUndecided(new Set([prefix]))) throw notNow("an update of the dkey is not decided here");
      await store.copies.purge([prefix]);
    }
    const written = await store.copies.write(container, prefix, versions, check);
    const finished = (flags & FillFlag.last) === 0 ? 0 : await store.copies.finish(prefix, check);
    await store.stable(Math.max(written, finished));
  }

  async #close(
    round: Round,
    leader: number,
    { container, flags, requests, forgottenTo }: FillRequest & { readonly kind: "close" },
  ): Promise<void> {
    const { marks } = this.#options.store;
    if (round.left.held.has(container, leader) && (flags & FillFlag.compared) === 0) {
      // It has nothing for this target.
      await round.left.remove(container, (other) => other === leader, true);
    }
    await marks.noteRequests(container, requests);
    if ((flags & FillFlag.last) === 0) return;
    await marks.noteForgotten(container, forgottenTo);
    await marks.noteBrought(container, leader, round.mapVersion);
  }

  #check(round: Round): void {
    if (this.#round !== round) throw notNow("the pool map has changed");
  }
}

function turnsOf({ turns }: Round, leader: number): FillTurns {
  let known = turns.get(leader);
  if (known === undefined) turns.set(leader, (known = new FillTurns()));
  return known;
}

/** Whether a change of the map leaves everybody what they can be read of, and nobody was being filled. */
function takesNothing(before: PoolMap, after: PoolMap): boolean {
  if (isFillingMap(before) || before.targets.length !== after.targets.length) return false;
  return after.targets.every(({ state }, place) => state === before.targets[place]!.state || state === "DOWN");
}

function notNow(state: string): DaosError {
  return new DaosError("UNAVAILABLE", `Cannot fill the target: ${state}. Retry.`);
}

function notOurs(): DaosError {
  return new DaosError("STALE", "Cannot fill the target: it is no dkey that its sender brings here. Retry.");
}
