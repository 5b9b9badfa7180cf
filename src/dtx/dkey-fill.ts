/** How the leader of a dkey brings it to those that are filled; see filling.ts. */
import type { Epoch } from "../base/epoch.ts";
import type { Timers } from "../contracts/world.ts";
import { encodeFillRequest, FillFlag } from "../format/fill-message.ts";
import type { StoredDkey } from "../vos/dkey-copy.ts";
import { unitOf } from "./dkey-unit.ts";
import { type Cells, copiedCells, inPages, madeCells, type MadeCellsParts } from "./fill-content.ts";
import { DamagedDestination, FillLinks } from "./fill-links.ts";
import type { FillPace, FillPolicy, FillSlice } from "./fill-pace.ts";
import { Destination, type FillRound, isDamage, type LevelledDkey, nameOf, notYet } from "./fill-round.ts";
import { levelOf, unfilledOf } from "./fill-store.ts";
import type { Groups, RedundancyGroup } from "./group.ts";
import type { GroupLeader } from "./group-leader.ts";
import type { Peer } from "./peer.ts";
import { UnkeptSnapshot } from "./unkept-snapshot.ts";

export interface DkeyFillOptions extends MadeCellsParts {
  readonly leader: GroupLeader;
  readonly groups: () => Groups;
  readonly peer: (index: number) => Peer | undefined;
  readonly timers: Timers;
  readonly pace: FillPace;
  /** Of the pool. */
  readonly policy: () => FillPolicy;
}

type FilledDkey = StoredDkey & LevelledDkey;

export class DkeyFill {
  readonly #options: DkeyFillOptions;
  readonly links: FillLinks;

  constructor(options: DkeyFillOptions) {
    this.#options = options;
    this.links = new FillLinks(options.peer, options.timers);
  }

  /** Settles when all that are to be filled have the dkey. Rejects with UNAVAILABLE, with CORRUPT and IO of what is damaged. */
  fill(round: FillRound, container: number, place: StoredDkey): Promise<void> {
    const known = round.filling.get(place.prefix);
    if (known !== undefined) return known;
    const filling = this.#repaired(round, container, place).finally(() => round.ended(place.prefix));
    round.filling.set(place.prefix, filling);
    return filling;
  }

  /** What is damaged here is repaired, if others have it, and brought then. */
  async #repaired(round: FillRound, container: number, place: StoredDkey): Promise<void> {
    try {
      await this.#bring(round, container, place);
    } catch (error) {
      if (!isDamage(error) || (await this.#options.store.repair(container, place)) === 0) throw error;
      await this.#bring(round, container, place);
    }
  }

  /** As `fill`, for an update that waits for it: it does not wait for its turn. UNAVAILABLE, too, when a target cannot take it. */
  fillNow(round: FillRound, container: number, place: StoredDkey): Promise<void> {
    const isUnderWay = round.filling.has(place.prefix) && !round.isUrgent(place.prefix);
    round.hurry(place.prefix);
    if (isUnderWay) {
      const { groups, pace } = this.#options;
      pace.look();
      this.links.hurry(round, container, place.prefix, unfilledOf(groups().groupOf(place.oid, place.dkey)));
    }
    return this.fill(round, container, place).catch((error: unknown) => {
      // It will be excluded, or made anew: nobody's data is lost.
      throw error instanceof DamagedDestination ? notYet("what a target has is damaged") : error;
    });
  }

  #slice(round: FillRound, { prefix, level }: LevelledDkey, policy: FillSlice["policy"]): FillSlice {
    return { level, policy, isUrgent: () => round.isUrgent(prefix), isOver: () => round.isOver };
  }

  async #bring(round: FillRound, container: number, place: StoredDkey): Promise<void> {
    await round.begun;
    round.check();
    const { leader, groups, pace, policy } = this.#options;
    const group = groups().groupOf(place.oid, place.dkey);
    const dkey = { ...place, level: levelOf(place.oid, group) };
    // A pause holds what has not begun: of the rest somebody may wait for the lock.
    await pace.run(this.#slice(round, dkey, policy), async () => {});
    round.check();
    if (group.shards === undefined) return this.#bringHeld(round, container, dkey, group);
    const unlock = await leader.locks.exclusive(unitOf({ container, object: place }));
    try {
      round.check();
      await this.#bringHeld(round, container, dkey, group);
    } finally {
      unlock();
    }
  }

  async #bringHeld(round: FillRound, container: number, dkey: FilledDkey, group: RedundancyGroup): Promise<void> {
    const { leader, pace, store } = this.#options;
    const { prefix } = dkey;
    const unfilled = unfilledOf(group);
    const opened = await Promise.all(unfilled.map((target) => this.open(round, container, target)));
    round.check();
    const missing = this.links.missing(round, container, dkey, unfilled);
    const destinations = opened.filter(({ target }) => missing.includes(target));
    if (destinations.length === 0) return;
    if (leader.isSettling(unitOf({ container, object: dkey }))) throw notYet("an update of it is not decided");
    if (!round.isUrgent(prefix) && destinations.some((destination) => destination.isUnknown(dkey))) {
      throw notYet("what a target has already is not known yet");
    }
    const isLeft = ({ broken, isHeld }: Destination): boolean => isHeld || broken.has(prefix);
    const isAnything = store.copies.has(prefix) || destinations.some(isLeft);
    if (isAnything) await this.#bringCells(round, container, dkey, group, destinations);
    round.check();
    for (const destination of destinations) {
      if (!this.links.isPresent(destination)) throw notYet("a target has another connection");
      destination.add(dkey);
    }
    if (!isAnything) return;
    round.counts.dkeys += 1;
    pace.counts.filledDkeys += 1;
  }

  async #bringCells(
    round: FillRound,
    container: number,
    dkey: FilledDkey,
    { shards }: RedundancyGroup,
    destinations: readonly Destination[],
  ): Promise<void> {
    const { leader, store } = this.#options;
    // Nothing of the dkey is undecided here: with this it is not there, either.
    leader.flushDecisions();
    for (const { broken } of destinations) broken.add(dkey.prefix);
    if (shards === undefined) {
      await this.#sendCells(round, container, dkey, destinations, copiedCells(store, container, dkey));
      return;
    }
    const unkept = new Set<Epoch>();
    for (const destination of destinations) {
      const shard = shards.numberOf.get(destination.target)!;
      for (let isSent = false; !isSent;) {
        const cells = madeCells(this.#options, container, dkey, shard, unkept);
        isSent = await this.#sendCells(round, container, dkey, [destination], cells).then(
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
    dkey: LevelledDkey,
    destinations: readonly Destination[],
    cells: Cells,
  ): Promise<void> {
    const { pace, policy } = this.#options;
    const { prefix } = dkey;
    const slice = this.#slice(round, dkey, () => ({ ...policy(), isPaused: false }));
    let isFirst = true;
    for await (const { versions, isLast } of pace.each(slice, inPages(prefix, cells))) {
      round.check();
      const urgent = round.isUrgent(prefix) ? FillFlag.urgent : 0;
      const flags = (isFirst ? FillFlag.first : 0) | (isLast ? FillFlag.last : 0) | urgent;
      const request = { kind: "cells", container, flags, prefix, versions } as const;
      const { length } = await this.links.send(round, destinations, request);
      round.counts.bytes += length;
      pace.counts.filledBytes += length;
      isFirst = false;
      if (isLast) break;
    }
  }

  /** The target as it is now, ready to take dkeys of the container. */
  open(round: FillRound, container: number, target: number): Promise<Destination> {
    const present = this.links.present(round, container, target);
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
    const { args, payload } = encodeFillRequest({ kind: "open", container, snapshots, compares: true });
    const answer = await this.links.call(round, target, args, payload);
    round.check();
    const name = nameOf(container, target);
    const isClosed = answer[0] === 1;
    const isHeld = answer[0] === 2;
    // What it may have is compared from the beginning.
    if (isHeld || (!isClosed && round.destinations.has(name))) round.again.add(container);
    const destination = new Destination(container, target, life, isClosed, isHeld);
    // Nothing of what is here was for it: it has all there is.
    if (!isClosed && round.done.has(container)) await this.links.close(round, destination, this.#options.store, false);
    round.destinations.set(name, destination);
    return destination;
  }
}
