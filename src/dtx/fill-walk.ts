/** The walk over all dkeys that a target leads, which brings what nobody updates to those that are filled; see filling.ts. */
import { DaosError } from "../base/errors.ts";
import { isErasureCoded, isRedundant, type ObjectId } from "../base/object-id.ts";
import type { Timers } from "../contracts/world.ts";
import type { StoredDkey } from "../vos/dkey-copy.ts";
import type { DkeyFill } from "./dkey-fill.ts";
import { type FillRound, isDamage, LAST_PREFIX, notYet } from "./fill-round.ts";
import { allDurable, type FillStore, isStuck, unfilledOf } from "./fill-store.ts";
import type { Groups } from "./group.ts";
import type { PreparedStore } from "./prepared-store.ts";

/** Dkeys that the walk brings at a time, of erasure code at most, and looks at in one go. */
const FILL_WINDOW = 16;
const CODED_WINDOW = 4;
const WALK_DKEYS = 64;
/** Pause before something is tried again, and between looks for containers, milliseconds. */
const RETRY_MS = 20;
const LOOK_MS = 100;
/** Pause before what is damaged is tried again: it may have been punched, or mended. */
const DAMAGED_RETRY_MS = 10_000;

export interface FillWalkOptions {
  readonly self: number;
  readonly timers: Timers;
  readonly store: FillStore;
  readonly prepared: PreparedStore;
  readonly groups: () => Groups;
  readonly containers: () => Iterable<number>;
}

export class FillWalk {
  readonly #options: FillWalkOptions;
  readonly #dkeys: DkeyFill;

  constructor(options: FillWalkOptions, dkeys: DkeyFill) {
    this.#options = options;
    this.#dkeys = dkeys;
  }

  /** Settles when the round is over. */
  async run(round: FillRound): Promise<void> {
    while (!round.isOver) {
      for (const container of this.#options.containers()) {
        if (round.isOver) return;
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
    round.check();
    const { copies, marks } = this.#options.store;
    if (marks.doneUnder(container) === round.mapVersion) {
      round.done.add(container);
      return;
    }
    round.again.delete(container);
    const groups = this.#options.groups();
    const wanted = (oid: ObjectId): boolean => isRedundant(oid) || groups.movesSingle(oid);
    const damaged = new Set<string>();
    for (let after: string | undefined; ;) {
      const list = copies.list(container, after, WALK_DKEYS, wanted);
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
      round.check();
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
      // What has one copy waits for a target that is gone, has it or is to have it: the control plane sees to that (outrunsSingles).
      if (isRedundant(oid) && isStuck(group)) round.stuck.add(container);
      return group.leader === self && unfilledOf(group).length > 0;
    };
    const byKind = Map.groupBy(places.filter(isOurs), ({ oid }) => isErasureCoded(oid));
    const bring = async (isCoded: boolean): Promise<void> => {
      const waiting = byKind.get(isCoded) ?? [];
      for (let place = waiting.shift(); place !== undefined; place = waiting.shift()) {
        const unfilled = unfilledOf(groups().groupOf(place.oid, place.dkey));
        while (this.#dkeys.links.missing(round, container, place.prefix, unfilled).length > 0) {
          round.check();
          const { oid, dkey, prefix } = place;
          const filling = this.#dkeys.fill(round, container, { oid, dkey, prefix });
          const isDamaged = await filling.then(
            () => false,
            (error: unknown) => isDamage(error) && this.#dkeys.links.passOver(round, container, prefix, unfilled),
          );
          if (isDamaged) {
            damaged.add(prefix);
            break;
          }
          await this.#attempt(() => filling);
        }
        round.check();
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
    round.check();
    for (let isNoted = false; ; isNoted = true) {
      const open = round.destinationsOf(container).filter(({ isClosed }) => !isClosed);
      if (isNoted && open.length === 0) break;
      await Promise.all(open.map((destination) => this.#dkeys.links.close(round, destination, this.#options.store)));
      if (!isNoted) await marks.noteDone(container, round.mapVersion);
      round.check();
    }
    round.done.add(container);
  }

  /** Brings again what was not brought to the end, and opens those that have another connection. */
  async #mend(round: FillRound, container: number): Promise<void> {
    for (const { target, broken } of round.destinationsOf(container)) {
      await this.#dkeys.open(round, container, target);
      for (const prefix of broken)
        await this.#dkeys.fill(round, container, this.#options.store.copies.placeOf(prefix)!);
    }
    if (round.again.has(container)) throw notYet("a target has another connection");
    if (round.destinationsOf(container).some(({ broken }) => broken.size > 0)) throw notYet("something is missing");
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#options.timers.after(ms, resolve));
  }
}
