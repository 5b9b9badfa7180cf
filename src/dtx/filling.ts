/**
 * Fills, for one pool, the members of groups that cannot be read yet: spares of targets that are gone, and targets that came
 * back. The leader of a dkey brings it to them, with the epochs of old, before it gives the dkey another update: so an
 * update never comes to a member that lacks what was before it. What nobody updates is brought by a walk over all dkeys.
 *
 * Everything here holds for one version of the pool map, and starts over with the next; towards a target it starts over when
 * the connection to it was lost, for it may have started anew, unless that target was told that it has all (`close`).
 */
import type { ByteString } from "../base/bytes.ts";
import { DaosError } from "../base/errors.ts";
import type { DkeyPlace } from "../base/key-place.ts";
import type { Timers } from "../contracts/world.ts";
import { encodeFillRequest, FillFlag, type FillRequest } from "../format/fill-message.ts";
import { Opcode } from "../format/operations.ts";
import type { StoredDkey } from "../vos/dkey-copy.ts";
import { Destination, FillRound, inMessages, LAST_PREFIX, nameOf, notYet } from "./fill-round.ts";
import { cannotFill, type FillStore, unfilledOf } from "./fill-store.ts";
import type { Groups } from "./group.ts";
import { unitOf } from "./dkey-unit.ts";
import type { GroupLeader } from "./group-leader.ts";
import type { Peer } from "./peer.ts";
import type { PreparedStore } from "./prepared-store.ts";

/** Dkeys that the walk brings at a time, and looks at in one go. */
const FILL_WINDOW = 16;
const WALK_DKEYS = 64;
/** Pause before something is tried again, and between looks for containers, milliseconds. */
const RETRY_MS = 20;
const LOOK_MS = 100;
/** Time for a target to take what it is sent, milliseconds. */
const CALL_TIMEOUT_MS = 30_000;
export interface FillingOptions {
  readonly self: number;
  readonly timers: Timers;
  readonly store: FillStore;
  readonly prepared: PreparedStore;
  readonly leader: GroupLeader;
  readonly groups: () => Groups;
  readonly peer: (index: number) => Peer | undefined;
  readonly containers: () => Iterable<number>;
}

export class Filling {
  readonly #options: FillingOptions;
  /** Undefined while the map has nobody to be filled. */
  #round: FillRound | undefined;
  /** Updates that are under way and may not be appended yet. */
  readonly #running = new Set<Promise<unknown>>();
  readonly counts = { dkeys: 0, bytes: 0 };

  constructor(options: FillingOptions) {
    this.#options = options;
  }

  /** A new map. `isFilling`: it has members to be filled. `arriving`: settles when what came from leaders is appended. */
  mapChanged(isFilling: boolean, arriving: Promise<unknown>): void {
    this.stop();
    if (!isFilling) return;
    const begun = Promise.allSettled([arriving, ...this.#running]);
    const round = new FillRound(this.#options.groups().mapVersion, begun);
    this.#round = round;
    this.counts.dkeys = 0;
    this.counts.bytes = 0;
    void this.#walk(round);
  }

  stop(): void {
    this.#round = undefined;
  }

  /** An update was taken into order and is appended at the latest when this settles. */
  track(running: Promise<unknown>): void {
    this.#running.add(running);
    const ended = (): void => void this.#running.delete(running);
    running.then(ended, ended);
  }

  /** Whether all dkeys of these containers that this target leads are where they have to be. */
  isDone(containers: Iterable<number>): boolean {
    const round = this.#round;
    return round === undefined || [...containers].every((container) => round.done.has(container));
  }

  /** Whether the dkey may be updated now. */
  isFilled(container: number, { oid, dkey }: DkeyPlace): boolean {
    const round = this.#round;
    if (round === undefined) return true;
    const unfilled = unfilledOf(this.#options.groups().groupOf(oid, dkey));
    if (unfilled.length === 0) return true;
    return (
      this.#missing(round, container, this.#options.store.copies.prefixOf(container, oid, dkey), unfilled).length === 0
    );
  }

  /** Undefined when the dkey may be updated now, or is not led here; else settles when that is to be asked again. */
  beforeUpdate(container: number, { oid, dkey }: DkeyPlace): Promise<void> | undefined {
    const round = this.#round;
    if (round === undefined || this.isFilled(container, { oid, dkey })) return undefined;
    if (this.#options.groups().groupOf(oid, dkey).leader !== this.#options.self) return undefined;
    const prefix = this.#options.store.copies.prefixOf(container, oid, dkey);
    return this.#fill(round, container, { oid, dkey, prefix });
  }

  /** Targets that do not have the dkey yet. */
  #missing(round: FillRound, container: number, prefix: string, unfilled: readonly number[]): number[] {
    return unfilled.filter((target) => {
      const destination = this.#present(round, container, target);
      return destination === undefined || !destination.has(prefix);
    });
  }

  /** Undefined when it has to be opened, again. */
  #present(round: FillRound, container: number, target: number): Destination | undefined {
    const destination = round.destinations.get(nameOf(container, target));
    return destination !== undefined && this.#isPresent(destination) ? destination : undefined;
  }

  #isPresent({ target, life }: Destination): boolean {
    const peer = this.#options.peer(target);
    return peer?.isReady === true && peer.life === life;
  }

  #fill(round: FillRound, container: number, place: StoredDkey): Promise<void> {
    const known = round.filling.get(place.prefix);
    if (known !== undefined) return known;
    const filling = this.#bring(round, container, place).finally(() => round.filling.delete(place.prefix));
    round.filling.set(place.prefix, filling);
    return filling;
  }

  async #bring(round: FillRound, container: number, place: StoredDkey): Promise<void> {
    await round.begun;
    this.#check(round);
    const { leader, groups, store } = this.#options;
    const { prefix } = place;
    const group = groups().groupOf(place.oid, place.dkey);
    const unfilled = unfilledOf(group);
    const opened = await Promise.all(unfilled.map((target) => this.#open(round, container, target)));
    this.#check(round);
    const missing = this.#missing(round, container, prefix, unfilled);
    const destinations = opened.filter(({ target }) => missing.includes(target));
    if (destinations.length === 0) return;
    if (leader.isSettling(unitOf({ container, object: place }))) throw notYet("an update of it is not decided");
    const isAnything = store.copies.has(prefix) || destinations.some(({ broken }) => broken.has(prefix));
    if (isAnything) await this.#copy(round, container, prefix, destinations);
    this.#check(round);
    for (const destination of destinations) {
      if (!this.#isPresent(destination)) throw notYet("a target has another connection");
      destination.add(prefix);
    }
    if (isAnything) this.counts.dkeys += 1;
  }

  async #copy(
    round: FillRound,
    container: number,
    prefix: string,
    destinations: readonly Destination[],
  ): Promise<void> {
    const { leader, store } = this.#options;
    // Nothing of the dkey is undecided here: with this it is not there, either.
    leader.flushDecisions();
    for (const { broken } of destinations) broken.add(prefix);
    let flags: number = FillFlag.first;
    let from: ByteString | undefined;
    do {
      const page = await store.copies.read(container, prefix, from);
      if (page.isUndecided) throw notYet("an update of it is not decided");
      await store.stable(page.sequence);
      this.#check(round);
      if (page.next === undefined) flags |= FillFlag.last;
      const { versions } = page;
      const request = { kind: "cells", container, flags, prefix, versions } as const;
      const { length } = await this.#send(round, destinations, request);
      this.counts.bytes += length;
      from = page.next;
      flags = 0;
    } while (from !== undefined);
  }

  async #send(
    round: FillRound,
    destinations: readonly Destination[],
    request: FillRequest,
  ): Promise<{ readonly length: number }> {
    const { args, payload } = encodeFillRequest(request);
    const outcomes = await Promise.allSettled(
      destinations.map(async (destination) => {
        if (!this.#isPresent(destination)) throw notYet("a target has another connection");
        return this.#call(round, destination.target, args, payload);
      }),
    );
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
    return payload;
  }

  async #call(round: FillRound, target: number, args: Uint8Array, payload: Uint8Array): Promise<Uint8Array> {
    const peer = this.#options.peer(target);
    if (peer?.isReady !== true) throw notYet(`target ${target} cannot be reached`);
    const options = { mapVersion: round.mapVersion, timeoutMs: CALL_TIMEOUT_MS };
    return (await peer.call(Opcode.dtxFill, args, payload, options)).payload;
  }

  /** The target as it is now, ready to take dkeys of the container. */
  #open(round: FillRound, container: number, target: number): Promise<Destination> {
    const present = this.#present(round, container, target);
    if (present !== undefined) return Promise.resolve(present);
    const name = nameOf(container, target);
    const known = round.opening.get(name);
    if (known !== undefined) return known;
    const opening = this.#opened(round, container, target).finally(() => round.opening.delete(name));
    round.opening.set(name, opening);
    return opening;
  }

  async #opened(round: FillRound, container: number, target: number): Promise<Destination> {
    const life = this.#options.peer(target)?.life ?? 0;
    const snapshots = this.#options.store.snapshots(container);
    const { args, payload } = encodeFillRequest({ kind: "open", container, snapshots });
    const answer = await this.#call(round, target, args, payload);
    this.#check(round);
    const name = nameOf(container, target);
    const isClosed = answer[0] === 1;
    if (!isClosed && round.destinations.has(name)) round.again.add(container);
    const destination = new Destination(container, target, life, isClosed);
    // Nothing of what is here was for it: it has all there is.
    if (!isClosed && round.done.has(container)) await this.#tellClosed(round, destination);
    round.destinations.set(name, destination);
    return destination;
  }

  async #walk(round: FillRound): Promise<void> {
    while (this.#round === round) {
      for (const container of this.#options.containers()) {
        if (this.#round !== round) return;
        if (!round.done.has(container) && !round.blocked.has(container))
          await this.#attempt(() => this.#walkContainer(round, container));
      }
      await this.#pause(LOOK_MS);
    }
  }

  async #attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof DaosError)) throw error;
      await this.#pause(RETRY_MS);
    }
  }

  /** Rejects when it has to begin again. */
  async #walkContainer(round: FillRound, container: number): Promise<void> {
    await round.begun;
    this.#check(round);
    const { copies, marks } = this.#options.store;
    if (marks.doneUnder(container) === round.mapVersion) {
      round.done.add(container);
      return;
    }
    round.again.delete(container);
    for (let after: string | undefined; ;) {
      const list = copies.list(container, after, WALK_DKEYS);
      await this.#fillAll(round, container, list.places);
      if (round.again.delete(container)) {
        after = undefined;
        continue;
      }
      const upTo = list.after ?? LAST_PREFIX;
      for (const destination of round.destinationsOf(container)) {
        if (upTo > destination.upTo) destination.upTo = upTo;
      }
      if (list.after === undefined) break;
      after = list.after;
    }
    while (!round.done.has(container) && !round.blocked.has(container)) {
      this.#check(round);
      if (round.again.has(container)) throw notYet("a target has another connection");
      await this.#attempt(() => this.#close(round, container));
    }
  }

  async #fillAll(round: FillRound, container: number, places: readonly StoredDkey[]): Promise<void> {
    const { groups, self } = this.#options;
    const isOurs = ({ oid, dkey }: StoredDkey): boolean => {
      const group = groups().groupOf(oid, dkey);
      if (group.leader !== self) return false;
      if (cannotFill(group)) round.blocked.add(container);
      return unfilledOf(group).length > 0;
    };
    const waiting = places.filter(isOurs);
    const bring = async (): Promise<void> => {
      for (let place = waiting.shift(); place !== undefined; place = waiting.shift()) {
        const unfilled = unfilledOf(groups().groupOf(place.oid, place.dkey));
        while (this.#missing(round, container, place.prefix, unfilled).length > 0) {
          this.#check(round);
          const { oid, dkey, prefix } = place;
          await this.#attempt(() => this.#fill(round, container, { oid, dkey, prefix }));
        }
        this.#check(round);
      }
    };
    await Promise.all(Array.from({ length: FILL_WINDOW }, bring));
  }

  /**
   * Tells those that were filled that they have all. That this is so is remembered here, too, before anybody hears of it: from
   * then on nothing is brought anew under this map, whoever starts anew.
   */
  async #close(round: FillRound, container: number): Promise<void> {
    await this.#mend(round, container);
    const { marks } = this.#options.store;
    // What was decided is there as it is. Were it undecided here again after a crash, a target that has all would be asked.
    await this.#allDurable();
    this.#check(round);
    for (let isNoted = false; ; isNoted = true) {
      const open = round.destinationsOf(container).filter(({ isClosed }) => !isClosed);
      if (isNoted && open.length === 0) break;
      await Promise.all(open.map((destination) => this.#tellClosed(round, destination)));
      if (!isNoted) await marks.noteDone(container, round.mapVersion);
      this.#check(round);
    }
    round.done.add(container);
  }

  #allDurable(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#options.prepared.whenAllDurable((error) => (error === undefined ? resolve() : reject(error)));
    });
  }

  /** Brings again what was not brought to the end, and opens those that have another connection. */
  async #mend(round: FillRound, container: number): Promise<void> {
    for (const { target, broken } of round.destinationsOf(container)) {
      await this.#open(round, container, target);
      for (const prefix of broken) await this.#fill(round, container, this.#options.store.copies.placeOf(prefix)!);
    }
    if (round.again.has(container)) throw notYet("a target has another connection");
    if (round.destinationsOf(container).some(({ broken }) => broken.size > 0)) throw notYet("something is missing");
  }

  async #tellClosed(round: FillRound, destination: Destination): Promise<void> {
    const { container } = destination;
    const requests = [...this.#options.store.requests()];
    for (const some of inMessages(requests)) {
      await this.#send(round, [destination], { kind: "close", container, flags: 0, requests: some });
    }
    await this.#send(round, [destination], { kind: "close", container, flags: FillFlag.last, requests: [] });
    destination.isClosed = true;
  }

  #check(round: FillRound): void {
    if (this.#round !== round) throw notYet("the pool map has changed");
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#options.timers.after(ms, resolve));
  }
}
