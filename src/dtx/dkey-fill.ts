/** How the leader of a dkey brings it to those that are filled; see filling.ts. */
import type { Epoch } from "../base/epoch.ts";
import { encodeFillRequest, FillFlag } from "../format/fill-message.ts";
import type { StoredDkey } from "../vos/dkey-copy.ts";
import { unitOf } from "./dkey-unit.ts";
import { type Cells, copiedCells, inPages, madeCells, type MadeCellsParts } from "./fill-content.ts";
import { FillLinks } from "./fill-links.ts";
import { Destination, type FillRound, isDamage, nameOf, notYet } from "./fill-round.ts";
import { unfilledOf } from "./fill-store.ts";
import type { Groups, RedundancyGroup } from "./group.ts";
import type { GroupLeader } from "./group-leader.ts";
import type { Peer } from "./peer.ts";
import { UnkeptSnapshot } from "./unkept-snapshot.ts";

export interface DkeyFillOptions extends MadeCellsParts {
  readonly leader: GroupLeader;
  readonly groups: () => Groups;
  readonly peer: (index: number) => Peer | undefined;
}

export class DkeyFill {
  readonly #options: DkeyFillOptions;
  readonly links: FillLinks;

  constructor(options: DkeyFillOptions) {
    this.#options = options;
    this.links = new FillLinks(options.peer);
  }

  /** Settles when all that are to be filled have the dkey. Rejects with UNAVAILABLE, with CORRUPT and IO of what is damaged. */
  fill(round: FillRound, container: number, place: StoredDkey): Promise<void> {
    const known = round.filling.get(place.prefix);
    if (known !== undefined) return known;
    const filling = this.#repaired(round, container, place).finally(() => round.filling.delete(place.prefix));
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

  async #bring(round: FillRound, container: number, place: StoredDkey): Promise<void> {
    await round.begun;
    round.check();
    const { leader, groups } = this.#options;
    const group = groups().groupOf(place.oid, place.dkey);
    if (group.shards === undefined) return this.#bringHeld(round, container, place, group);
    const unlock = await leader.locks.exclusive(unitOf({ container, object: place }));
    try {
      round.check();
      await this.#bringHeld(round, container, place, group);
    } finally {
      unlock();
    }
  }

  async #bringHeld(round: FillRound, container: number, place: StoredDkey, group: RedundancyGroup): Promise<void> {
    const { leader, store } = this.#options;
    const { prefix } = place;
    const unfilled = unfilledOf(group);
    const opened = await Promise.all(unfilled.map((target) => this.open(round, container, target)));
    round.check();
    const missing = this.links.missing(round, container, prefix, unfilled);
    const destinations = opened.filter(({ target }) => missing.includes(target));
    if (destinations.length === 0) return;
    if (leader.isSettling(unitOf({ container, object: place }))) throw notYet("an update of it is not decided");
    const isAnything = store.copies.has(prefix) || destinations.some(({ broken }) => broken.has(prefix));
    if (isAnything) await this.#bringCells(round, container, place, group, destinations);
    round.check();
    for (const destination of destinations) {
      if (!this.links.isPresent(destination)) throw notYet("a target has another connection");
      destination.add(prefix);
    }
    if (isAnything) round.counts.dkeys += 1;
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
      round.check();
      const flags = (isFirst ? FillFlag.first : 0) | (isLast ? FillFlag.last : 0);
      const request = { kind: "cells", container, flags, prefix, versions } as const;
      round.counts.bytes += (await this.links.send(round, destinations, request)).length;
      isFirst = false;
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
    const { args, payload } = encodeFillRequest({ kind: "open", container, snapshots });
    const answer = await this.links.call(round, target, args, payload);
    round.check();
    const name = nameOf(container, target);
    const isClosed = answer[0] === 1;
    if (!isClosed && round.destinations.has(name)) round.again.add(container);
    const destination = new Destination(container, target, life, isClosed);
    // Nothing of what is here was for it: it has all there is.
    if (!isClosed && round.done.has(container)) await this.links.close(round, destination, this.#options.store);
    round.destinations.set(name, destination);
    return destination;
  }
}
