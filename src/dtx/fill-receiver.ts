/**
 * A target's part in being filled, for one pool (filling.ts is the leaders'). What lies here of dkeys that this target cannot
 * be read of is left over from another time, and would reappear when it can be read again: it is removed before a leader
 * brings anything, and after every change of the map.
 *
 * What a leader has brought in full (`close`) is remembered under the map's version and stays, also when it or we start
 * anew: then nothing that was complete is taken apart while the control plane counts on it.
 */
import { DaosError } from "../base/errors.ts";
import type { ObjectId } from "../base/object-id.ts";
import type { Timers } from "../contracts/world.ts";
import { decodeFillRequest, FillFlag, type FillRequest } from "../format/fill-message.ts";
import type { PoolMap } from "../format/pool-map.ts";
import type { RpcReply, RpcRequest } from "../rpc/request.ts";
import { containerOf } from "../vos/cell-key.ts";
import type { StoredDkey } from "../vos/dkey-copy.ts";
import { type FillStore, isFillingMap, unfilledOf } from "./fill-store.ts";
import type { GroupFollower } from "./group-follower.ts";
import type { Groups } from "./group.ts";
import type { PreparedStore } from "./prepared-store.ts";

/** Dkeys that are looked at in one turn, and removed in one step. */
const LOOK_DKEYS = 512;
/** Pause before something is looked at again, milliseconds. */
const RETRY_MS = 20;
const NO_ARGUMENTS = new Uint8Array(0);

export interface FillReceiverOptions {
  readonly self: number;
  readonly timers: Timers;
  readonly store: FillStore;
  readonly prepared: PreparedStore;
  readonly follower: GroupFollower;
  readonly groups: () => Groups;
  readonly containers: () => Iterable<number>;
  /** See Filling.makeReady. */
  readonly makeReady: (container: number, oid: ObjectId) => Promise<void>;
  /** Hears that this target has something erasure-coded in the container. */
  readonly isCoded: (container: number) => void;
}

/** Under one version of the map. */
interface Round {
  readonly mapVersion: number;
  /** Settles when nothing that began under an earlier map is still to be appended. */
  readonly begun: Promise<unknown>;
  /** By container: settles when nothing is left over in it. */
  readonly cleaning: Map<number, Promise<void>>;
  readonly clean: Set<number>;
  /** Containers with something left over that stays, for nobody else can be read of it. */
  readonly kept: Set<number>;
  /** Leaders that have brought something since this target started, by container. */
  readonly brought: Set<string>;
  /** By leader, in which order what it sends is done. */
  readonly turns: Map<number, Turns>;
}

export class FillReceiver {
  readonly #options: FillReceiverOptions;
  #round: Round | undefined;
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
    this.#round = undefined;
    const { self } = this.#options;
    const own = map.targets.find(({ index }) => index === self)?.state;
    // What an excluded target has may yet be all there is.
    if (own === undefined || own === "DOWN" || own === "DOWNOUT") return;
    const round: Round = {
      mapVersion: map.version,
      begun,
      cleaning: new Map(),
      clean: new Set(),
      kept: new Set(),
      brought: new Set(),
      turns: new Map(),
    };
    this.#round = round;
    if (known !== undefined && before !== undefined && takesNothing(before, map)) {
      const clean = before.version === 1 ? this.#options.containers() : known.clean;
      for (const container of clean) this.#noteClean(round, container);
      for (const container of known.kept) round.kept.add(container);
    }
    // Under its first map nobody was ever filled.
    if (map.version > 1) void this.#cleanAll(round);
  }

  stop(): void {
    this.#round = undefined;
  }

  /** Whether nothing is known to be left over in the container. */
  isKnownClean(container: number): boolean {
    const round = this.#round;
    return round !== undefined && round.clean.has(container) && !round.kept.has(container);
  }

  /** Whether nothing is left over in these containers. */
  isClean(containers: Iterable<number>): boolean {
    const round = this.#round;
    if (round === undefined) return false;
    const left = [...containers].filter((container) => !round.clean.has(container));
    for (const container of left) void this.#attempt(() => this.#clean(round, container));
    return left.length === 0;
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
      const noting = this.#attempt(() => marks.noteGated(container, filledAt));
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

  #noteClean(round: Round, container: number): void {
    round.clean.add(container);
    round.cleaning.set(container, Promise.resolve());
  }

  async #cleanAll(round: Round): Promise<void> {
    for (const container of this.#options.containers()) {
      if (this.#round !== round) return;
      await this.#attempt(() => this.#clean(round, container));
    }
  }

  /** Removes what is left over in a container, once. */
  #clean(round: Round, container: number): Promise<void> {
    const known = round.cleaning.get(container);
    if (known !== undefined) return known;
    const { marks } = this.#options.store;
    const cleaning = round.begun
      .then(() => this.#remove(round, container, (leader) => marks.broughtBy(container, leader) !== round.mapVersion))
      .then(
        () => void round.clean.add(container),
        (error: unknown) => {
          round.cleaning.delete(container);
          throw error;
        },
      );
    round.cleaning.set(container, cleaning);
    return cleaning;
  }

  /** Removes the dkeys that this target cannot be read of and whose leaders `of` says yes to. */
  async #remove(round: Round, container: number, of: (leader: number) => boolean): Promise<void> {
    const { store, groups, self } = this.#options;
    for (let after: string | undefined; ;) {
      this.#check(round);
      const list = store.copies.list(container, after, LOOK_DKEYS, (oid) => groups().mayBeLeft(oid));
      const left = list.places.filter(({ oid, dkey }) => {
        const { leader, readable } = groups().groupOf(oid, dkey);
        if (leader === self || readable.includes(self)) return false;
        if (leader < 0) round.kept.add(container);
        return leader >= 0 && of(leader);
      });
      if (left.length > 0) await this.#purge(round, left);
      if (list.after === undefined) return;
      after = list.after;
      await this.#pause(0);
    }
  }

  async #purge(round: Round, places: readonly StoredDkey[]): Promise<void> {
    const prefixes = places.map(({ prefix }) => prefix);
    while (this.#anyUndecided(new Set(prefixes))) {
      this.#options.follower.ask();
      await this.#pause(RETRY_MS);
      this.#check(round);
    }
    await this.#options.store.copies.purge(prefixes);
    this.#check(round);
  }

  #anyUndecided(prefixes: ReadonlySet<string>): boolean {
    const { prepared, store } = this.#options;
    return prepared
      .openUpdates()
      .some(({ container, oid, dkey }) => prefixes.has(store.copies.prefixOf(container, oid, dkey)));
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
    const turns = round.turns.get(leader) ?? new Turns();
    round.turns.set(leader, turns);
    const answer = async (): Promise<void> => {
      try {
        reply.send(NO_ARGUMENTS, await this.#take(round, leader, fill, check));
      } catch (error) {
        if (!(error instanceof DaosError)) throw error;
        reply.fail(error);
      }
    };
    void turns.run(fill.kind === "cells" ? fill.prefix : undefined, answer).finally(done);
  }

  async #take(round: Round, leader: number, fill: FillRequest, check: () => void): Promise<Uint8Array> {
    // What the leader decided before has to be decided here, too.
    await this.#options.follower.settled(leader);
    check();
    switch (fill.kind) {
      case "open":
        return this.#open(round, leader, fill.container, fill.snapshots);
      case "cells":
        await this.#cells(round, leader, fill, check);
        return NO_ARGUMENTS;
      case "close":
        await this.#close(leader, fill, round.mapVersion);
        return NO_ARGUMENTS;
      default:
        return fill satisfies never;
    }
  }

  /** Answers with 1 when the leader has brought all before. */
  async #open(
    round: Round,
    leader: number,
    container: number,
    snapshots: Parameters<FillStore["adoptSnapshots"]>[1],
  ): Promise<Uint8Array> {
    const { store } = this.#options;
    await this.#clean(round, container);
    if (store.marks.broughtBy(container, leader) === round.mapVersion) return Uint8Array.of(1);
    await store.adoptSnapshots(container, snapshots);
    // The leader begins again: of what it brought before something may have vanished where it is.
    const name = `${container}/${leader}`;
    if (round.brought.has(name)) await this.#remove(round, container, (other) => other === leader);
    round.brought.delete(name);
    return Uint8Array.of(0);
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
    if (!round.clean.has(container)) throw notNow("what it had before is not removed yet");
    if (groups().movesSingle(place.oid)) await this.#options.makeReady(container, place.oid);
    check();
    round.brought.add(`${container}/${leader}`);
    if ((flags & FillFlag.first) !== 0 && store.copies.has(prefix)) {
      if (this.#anyUndecided(new Set([prefix]))) throw notNow("an update of the dkey is not decided here");
      await store.copies.purge([prefix]);
    }
    const written = await store.copies.write(container, prefix, versions, check);
    const finished = (flags & FillFlag.last) === 0 ? 0 : await store.copies.finish(prefix, check);
    await store.stable(Math.max(written, finished));
  }

  async #close(
    leader: number,
    { container, flags, requests, forgottenTo }: FillRequest & { readonly kind: "close" },
    mapVersion: number,
  ): Promise<void> {
    const { marks } = this.#options.store;
    await marks.noteRequests(container, requests);
    if ((flags & FillFlag.last) === 0) return;
    await marks.noteForgotten(container, forgottenTo);
    await marks.noteBrought(container, leader, mapVersion);
  }

  async #attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      // A leader that wants to bring something has it tried again.
      if (!(error instanceof DaosError)) throw error;
    }
  }

  #check(round: Round): void {
    if (this.#round !== round) throw notNow("the pool map has changed");
  }

  #pause(ms: number): Promise<void> {
    const { timers } = this.#options;
    return new Promise((resolve) => (ms === 0 ? timers.soon(resolve) : void timers.after(ms, resolve)));
  }
}

/** What a leader sends of one dkey is done one after the other; the rest when all before it is done, and before all after. */
class Turns {
  readonly #byDkey = new Map<string, Promise<void>>();
  #barrier: Promise<unknown> = Promise.resolve();

  run(dkey: string | undefined, work: () => Promise<void>): Promise<void> {
    if (dkey === undefined) {
      const turn = Promise.all([this.#barrier, ...this.#byDkey.values()]).then(work);
      this.#barrier = turn;
      return turn;
    }
    const turn = Promise.all([this.#barrier, this.#byDkey.get(dkey)])
      .then(work)
      .finally(() => {
        if (this.#byDkey.get(dkey) === turn) this.#byDkey.delete(dkey);
      });
    this.#byDkey.set(dkey, turn);
    return turn;
  }
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
