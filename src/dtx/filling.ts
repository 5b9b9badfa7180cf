/**
 * Fills, for one pool, the members of groups that cannot be read yet: spares of targets that are gone, and targets that came
 * back. The leader of a dkey brings it to them, with the epochs of old, before it gives the dkey another update: so an
 * update never comes to a member that lacks what was before it. What nobody updates is brought by a walk over all dkeys.
 * Copies are brought as they are stored here; shards of erasure code are made of the others (shard-cells.ts), while the dkey is
 * held as for a fold.
 *
 * Everything here holds for one version of the pool map, and starts over with the next; towards a target it starts over when
 * the connection to it was lost, for it may have started anew, unless that target was told that it has all (`close`).
 */
import { DaosError } from "../base/errors.ts";
import type { Epoch } from "../base/epoch.ts";
import type { DkeyPlace } from "../base/key-place.ts";
import type { Timers } from "../contracts/world.ts";
import { isErasureCoded } from "../base/object-id.ts";
import { encodeFillRequest, FillFlag } from "../format/fill-message.ts";
import type { StoredDkey } from "../vos/dkey-copy.ts";
import { type Cells, copiedCells, inPages, madeCells, type MadeCellsParts } from "./fill-content.ts";
import { FillLinks } from "./fill-links.ts";
import { Destination, FillRound, isDamage, LAST_PREFIX, nameOf, notYet } from "./fill-round.ts";
import { allDurable, isStuck, unfilledOf } from "./fill-store.ts";
import type { Groups, RedundancyGroup } from "./group.ts";
import { unitOf } from "./dkey-unit.ts";
import type { GroupLeader } from "./group-leader.ts";
import type { Peer } from "./peer.ts";
import type { PreparedStore } from "./prepared-store.ts";
import { UnkeptSnapshot } from "./unkept-snapshot.ts";

/** Dkeys that the walk brings at a time, of erasure code at most, and looks at in one go. */
const FILL_WINDOW = 16;
const CODED_WINDOW = 4;
const WALK_DKEYS = 64;
/** Pause before something is tried again, and between looks for containers, milliseconds. */
const RETRY_MS = 20;
const LOOK_MS = 100;
/** Pause before what is damaged is tried again: it may have been punched, or mended. */
const DAMAGED_RETRY_MS = 10_000;

export interface FillingOptions extends MadeCellsParts {
  readonly self: number;
  readonly timers: Timers;
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
  readonly running = new Set<Promise<unknown>>();
  readonly counts = { dkeys: 0, bytes: 0 };
  readonly #links: FillLinks;

  constructor(options: FillingOptions) {
    this.#options = options;
    this.#links = new FillLinks(options.peer);
  }

  /** A new map. `isFilling`: it has members to be filled. `begun`: settles when what began before it is appended. */
  mapChanged(isFilling: boolean, begun: Promise<unknown>): void {
    this.stop();
    if (!isFilling) return;
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
    this.running.add(running);
    const ended = (): void => void this.running.delete(running);
    running.then(ended, ended);
  }

  /** Whether all dkeys of these containers that this target leads are where they have to be. */
  isDone(containers: Iterable<number>): boolean {
    const round = this.#round;
    return round === undefined || [...containers].every((container) => round.done.has(container));
  }

  /** Whether there is something in these containers that nobody can fill, for too little of it can be read. */
  isStuck(containers: Iterable<number>): boolean {
    const round = this.#round;
    return round?.isStuck(containers) ?? false;
  }

  /** Dkeys in these containers that cannot be brought to where they have to be, for what is stored of them is damaged. */
  damaged(containers: Iterable<number>): number {
    return this.#round?.damagedIn(containers) ?? 0;
  }

  /**
   * The members of a dkey's group that cannot be read yet and have the dkey: what is folded has to be folded there, too. With
   * the dkey held. Rejects with UNAVAILABLE when one that may have it does not answer.
   */
  async filledOf(container: number, { oid, dkey }: DkeyPlace): Promise<readonly number[]> {
    const { groups, store } = this.#options;
    const unfilled = unfilledOf(groups().groupOf(oid, dkey));
    if (unfilled.length === 0) return unfilled;
    const round = this.#round;
    if (round === undefined) throw notYet("the pool map is about to change");
    const prefix = store.copies.prefixOf(container, oid, dkey);
    const opened = await Promise.all(unfilled.map((target) => this.#open(round, container, target)));
    this.#check(round);
    return opened.filter((destination) => destination.has(prefix)).map(({ target }) => target);
  }

  /** Whether the dkey may be updated now. */
  isFilled(container: number, { oid, dkey }: DkeyPlace): boolean {
    const round = this.#round;
    if (round === undefined) return true;
    const unfilled = unfilledOf(this.#options.groups().groupOf(oid, dkey));
    if (unfilled.length === 0) return true;
    return (
      this.#links.missing(round, container, this.#options.store.copies.prefixOf(container, oid, dkey), unfilled)
        .length === 0
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
    const { leader, groups } = this.#options;
    const group = groups().groupOf(place.oid, place.dkey);
    if (group.shards === undefined) return this.#bringHeld(round, container, place, group);
    const unlock = await leader.locks.exclusive(unitOf({ container, object: place }));
    try {
      this.#check(round);
      await this.#bringHeld(round, container, place, group);
    } finally {
      unlock();
    }
  }

  async #bringHeld(round: FillRound, container: number, place: StoredDkey, group: RedundancyGroup): Promise<void> {
    const { leader, store } = this.#options;
    const { prefix } = place;
    const unfilled = unfilledOf(group);
    const opened = await Promise.all(unfilled.map((target) => this.#open(round, container, target)));
    this.#check(round);
    const missing = this.#links.missing(round, container, prefix, unfilled);
    const destinations = opened.filter(({ target }) => missing.includes(target));
    if (destinations.length === 0) return;
    if (leader.isSettling(unitOf({ container, object: place }))) throw notYet("an update of it is not decided");
    const isAnything = store.copies.has(prefix) || destinations.some(({ broken }) => broken.has(prefix));
    if (isAnything) await this.#bringCells(round, container, place, group, destinations);
    this.#check(round);
    for (const destination of destinations) {
      if (!this.#links.isPresent(destination)) throw notYet("a target has another connection");
      destination.add(prefix);
    }
    if (isAnything) this.counts.dkeys += 1;
  }

  async #bringCells(
    round: FillRound,
    container: number,
    place: StoredDkey,
    { shards }: RedundancyGroup,
    destinations: readonly Destination[],
  ): Promise<void> {
    const { leader, store } = this.#options;
    // Nothing of the dkey is undecided here: with this it is not there, either.
    leader.flushDecisions();
    for (const { broken } of destinations) broken.add(place.prefix);
    if (shards === undefined) {
      await this.#sendCells(round, container, place.prefix, destinations, copiedCells(store, container, place));
      return;
    }
    const unkept = new Set<Epoch>();
    for (const destination of destinations) {
      const shard = shards.numberOf.get(destination.target)!;
      for (let isSent = false; !isSent;) {
        const cells = madeCells(this.#options, container, place, shard, unkept);
        isSent = await this.#sendCells(round, container, place.prefix, [destination], cells).then(
          () => true,
          (error: unknown) => {
            if (!(error instanceof UnkeptSnapshot)) throw error;
            unkept.add(error.epoch);
            return false;
          },
        );
      }
    }
  }

  async #sendCells(
    round: FillRound,
    container: number,
    prefix: string,
    destinations: readonly Destination[],
    cells: Cells,
  ): Promise<void> {
    let isFirst = true;
    for await (const { versions, isLast } of inPages(prefix, cells)) {
      this.#check(round);
      const flags = (isFirst ? FillFlag.first : 0) | (isLast ? FillFlag.last : 0);
      const request = { kind: "cells", container, flags, prefix, versions } as const;
      this.counts.bytes += (await this.#links.send(round, destinations, request)).length;
      isFirst = false;
    }
  }

  /** The target as it is now, ready to take dkeys of the container. */
  #open(round: FillRound, container: number, target: number): Promise<Destination> {
    const present = this.#links.present(round, container, target);
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
    const answer = await this.#links.call(round, target, args, payload);
    this.#check(round);
    const name = nameOf(container, target);
    const isClosed = answer[0] === 1;
    if (!isClosed && round.destinations.has(name)) round.again.add(container);
    const destination = new Destination(container, target, life, isClosed);
    // Nothing of what is here was for it: it has all there is.
    if (!isClosed && round.done.has(container)) await this.#links.close(round, destination, this.#options.store);
    round.destinations.set(name, destination);
    return destination;
  }

  async #walk(round: FillRound): Promise<void> {
    while (this.#round === round) {
      for (const container of this.#options.containers()) {
        if (this.#round !== round) return;
        if (!round.done.has(container) && !round.left.has(container)) {
          await this.#attempt(() => this.#walkContainer(round, container));
        }
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
    // Nobody else is told of their updates.
    if (copies.hasSingle(container, (oid) => this.#options.groups().moves(oid))) round.stuck.add(container);
    const damaged = new Set<string>();
    for (let after: string | undefined; ;) {
      const list = copies.list(container, after, WALK_DKEYS);
      await this.#fillAll(round, container, list.places, damaged);
      if (round.again.delete(container)) {
        after = undefined;
        damaged.clear();
        continue;
      }
      const upTo = list.after ?? LAST_PREFIX;
      for (const destination of round.destinationsOf(container)) {
        if (upTo > destination.upTo) destination.upTo = upTo;
      }
      if (list.after === undefined) break;
      after = list.after;
    }
    round.noteDamaged(container, damaged);
    if (round.stuck.has(container) || damaged.size > 0) {
      round.left.add(container);
      if (damaged.size > 0) this.#options.timers.after(DAMAGED_RETRY_MS, () => round.left.delete(container));
      return;
    }
    while (!round.done.has(container)) {
      this.#check(round);
      if (round.again.has(container)) throw notYet("a target has another connection");
      await this.#attempt(() => this.#close(round, container));
    }
  }

  /** Brings what is to be brought of these. `damaged` hears of those that cannot be, which do not hold up the others. */
  async #fillAll(
    round: FillRound,
    container: number,
    places: readonly StoredDkey[],
    damaged: Set<string>,
  ): Promise<void> {
    const { groups, self } = this.#options;
    const isOurs = ({ oid, dkey }: StoredDkey): boolean => {
      const group = groups().groupOf(oid, dkey);
      if (isStuck(group)) round.stuck.add(container);
      return group.leader === self && unfilledOf(group).length > 0;
    };
    const byKind = Map.groupBy(places.filter(isOurs), ({ oid }) => isErasureCoded(oid));
    const bring = async (isCoded: boolean): Promise<void> => {
      const waiting = byKind.get(isCoded) ?? [];
      for (let place = waiting.shift(); place !== undefined; place = waiting.shift()) {
        const unfilled = unfilledOf(groups().groupOf(place.oid, place.dkey));
        while (this.#links.missing(round, container, place.prefix, unfilled).length > 0) {
          this.#check(round);
          const { oid, dkey, prefix } = place;
          const filling = this.#fill(round, container, { oid, dkey, prefix });
          const isDamaged = await filling.then(
            () => false,
            (error: unknown) => isDamage(error) && this.#links.passOver(round, container, prefix, unfilled),
          );
          if (isDamaged) {
            damaged.add(prefix);
            break;
          }
          await this.#attempt(() => filling);
        }
        this.#check(round);
      }
    };
    const workers = (count: number, isCoded: boolean) => Array.from({ length: count }, () => bring(isCoded));
    await Promise.all([...workers(FILL_WINDOW, false), ...workers(CODED_WINDOW, true)]);
  }

  /**
   * Tells those that were filled that they have all. That this is so is remembered here, too, before anybody hears of it: from
   * then on nothing is brought anew under this map, whoever starts anew.
   */
  async #close(round: FillRound, container: number): Promise<void> {
    await this.#mend(round, container);
    const { marks, heldObjects } = this.#options.store;
    // One dkey holds all of its group for a punch: that is over before they part.
    const groups = this.#options.groups();
    if (heldObjects(container).some((oid) => groups.parts(oid))) throw notYet("an object that parts is being punched");
    // What was decided is there as it is. Were it undecided here again after a crash, a target that has all would be asked.
    await allDurable(this.#options.prepared);
    this.#check(round);
    for (let isNoted = false; ; isNoted = true) {
      const open = round.destinationsOf(container).filter(({ isClosed }) => !isClosed);
      if (isNoted && open.length === 0) break;
      await Promise.all(open.map((destination) => this.#links.close(round, destination, this.#options.store)));
      if (!isNoted) await marks.noteDone(container, round.mapVersion);
      this.#check(round);
    }
    round.done.add(container);
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

  #check(round: FillRound): void {
    if (this.#round !== round) throw notYet("the pool map has changed");
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#options.timers.after(ms, resolve));
  }
}
