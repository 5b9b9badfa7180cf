/** The walk over all dkeys that a target leads, which brings what nobody updates to those that are filled; see filling.ts. */
import { DaosError } from "../base/errors.ts";
import { isErasureCoded, isRedundant, type ObjectId } from "../base/object-id.ts";
import type { Timers } from "../contracts/world.ts";
import type { DkeyList, StoredDkey } from "../vos/dkey-copy.ts";
import type { DkeyFill } from "./dkey-fill.ts";
import { FillCompare } from "./fill-compare.ts";
import type { FillPace, FillPolicy, FillSlice } from "./fill-pace.ts";
import { type FillRound, isDamage, LAST_LEVEL, LAST_PREFIX, notYet } from "./fill-round.ts";
import { allDurable, type FillStore, isStuck, levelOf, unfilledOf } from "./fill-store.ts";
import type { GroupLeader } from "./group-leader.ts";
import type { Groups } from "./group.ts";
import type { PreparedStore } from "./prepared-store.ts";
import { mostUrgent, WalkPosition } from "./walk-position.ts";

/** Dkeys that the walk brings at a time, of erasure code at most, and looks at in one go. */
const FILL_WINDOW = 16;
const CODED_WINDOW = 4;
const WALK_DKEYS = 128;
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
  readonly leader: GroupLeader;
  readonly pace: FillPace;
  /** Of the pool. */
  readonly policy: () => FillPolicy;
}

export class FillWalk {
  readonly #options: FillWalkOptions;
  readonly #dkeys: DkeyFill;
  readonly #compare: FillCompare;

  constructor(options: FillWalkOptions, dkeys: DkeyFill) {
    this.#options = options;
    this.#dkeys = dkeys;
    this.#compare = new FillCompare(options, dkeys.links);
  }

  /** Settles when the round is over. */
  async run(round: FillRound): Promise<void> {
    await round.begun;
    while (!round.isOver) {
      await this.#attempt(() => this.#survey(round));
      const { positions, done, left } = round;
      const open = [...this.#options.containers()].filter((container) => !done.has(container) && !left.has(container));
      const next = mostUrgent(open.flatMap((container) => positions.get(container) ?? []));
      if (next === undefined) await this.#pause(LOOK_MS);
      else await this.#attempt(() => this.#step(round, next));
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

  /** Finds out of the containers that have come what is to be brought, before anything is: what has the least left goes first. */
  async #survey(round: FillRound): Promise<void> {
    const { containers, store } = this.#options;
    for (const container of containers()) {
      if (round.isOver) return;
      if (round.positions.has(container) || round.done.has(container)) continue;
      if (store.marks.doneUnder(container) === round.mapVersion) round.done.add(container);
      else round.positions.set(container, await this.#surveyed(round, container));
    }
    round.isSurveyed = true;
  }

  async #surveyed(round: FillRound, container: number): Promise<WalkPosition> {
    const levels = new Set<number>();
    const targets = new Set<number>();
    let dkeys = 0;
    for (let after: string | undefined; ;) {
      const list = await this.#list(round, container, after);
      for (const place of list.places) {
        const level = this.#levelOf(round, container, place);
        if (level === undefined) continue;
        levels.add(level);
        for (const target of unfilledOf(this.#options.groups().groupOf(place.oid, place.dkey))) targets.add(target);
        dkeys += 1;
      }
      if (list.after === undefined) break;
      after = list.after;
    }
    round.toBring += dkeys;
    return new WalkPosition(
      container,
      [...levels].toSorted((left, right) => left - right),
      targets,
    );
  }

  /** A part of what is stored of a container, in a turn of its own. Rejects with UNAVAILABLE when the round is over. */
  async #list(round: FillRound, container: number, after: string | undefined): Promise<DkeyList> {
    const { groups, pace, policy, store } = this.#options;
    const wanted = (oid: ObjectId): boolean => isRedundant(oid) || groups().movesSingle(oid);
    const slice: FillSlice = {
      level: 0,
      policy: () => ({ ...policy(), isPaused: false }),
      isUrgent: () => false,
      isOver: () => round.isOver,
    };
    await this.#pause(0);
    return pace.run(slice, async () => {
      round.check();
      return store.copies.list(container, after, WALK_DKEYS, wanted);
    });
  }

  /** Of a dkey that this target has to bring to others; undefined of others. */
  #levelOf(round: FillRound, container: number, { oid, dkey }: StoredDkey): number | undefined {
    const { groups, self } = this.#options;
    const group = groups().groupOf(oid, dkey);
    // What has one copy waits for a target that is gone, has it or is to have it: the control plane sees to that (outrunsSingles).
    if (isRedundant(oid) && isStuck(group)) round.stuck.add(container);
    return group.leader === self && unfilledOf(group).length > 0 ? levelOf(oid, group) : undefined;
  }

  /** Brings a few dkeys, or ends a container. */
  async #step(round: FillRound, position: WalkPosition): Promise<void> {
    const { container, level } = position;
    if (level === undefined) return this.#end(round, position);
    if (position.isFirst) await this.#openAll(round, position);
    const { places, after } = await this.#list(round, container, position.after);
    const upTo = after ?? LAST_PREFIX;
    for (const destination of round.destinationsOf(container)) {
      if (!destination.isUnknown({ level, prefix: upTo })) continue;
      await this.#compare.run(round, destination, places, position.after ?? "", upTo);
      destination.compared(level, upTo);
    }
    const wanted = places.filter((place) => this.#levelOf(round, container, place) === level);
    await this.#fillAll(round, container, level, wanted, position.damaged);
    if (round.again.delete(container)) {
      position.restart();
      return;
    }
    for (const destination of round.destinationsOf(container)) destination.reached(level, upTo);
    position.moved(wanted.length, after);
  }

  /** Those that may have something already are compared from the beginning. One that cannot be reached is tried again later. */
  async #openAll(round: FillRound, { container, targets }: WalkPosition): Promise<void> {
    const opening = [...targets].map((target) => this.#dkeys.open(round, container, target));
    for (const outcome of await Promise.allSettled(opening)) {
      if (outcome.status === "rejected" && !(outcome.reason instanceof DaosError)) throw outcome.reason;
    }
    round.check();
    round.again.delete(container);
  }

  /** It has been through the container. */
  async #end(round: FillRound, position: WalkPosition): Promise<void> {
    const { container, damaged } = position;
    const isHeld = round.destinationsOf(container).some((destination) => destination.isHeld && !destination.isClosed);
    if (round.again.delete(container) || (isHeld && position.isEmpty)) {
      position.restart();
      return;
    }
    // What comes into being from now on goes to all members.
    for (const destination of round.destinationsOf(container)) {
      destination.compared(LAST_LEVEL, LAST_PREFIX);
      destination.reached(LAST_LEVEL, LAST_PREFIX);
    }
    round.noteDamaged(container, new Set(damaged));
    if (round.stuck.has(container) || damaged.size > 0) {
      round.left.add(container);
      if (damaged.size > 0) {
        position.restart();
        this.#options.timers.after(DAMAGED_RETRY_MS, () => void round.left.delete(container));
      }
      return;
    }
    while (!round.done.has(container)) {
      round.check();
      // A target has another connection: it is gone through once more.
      if (round.again.has(container)) return;
      await this.#attempt(() => this.#close(round, container));
    }
  }

  /** Brings what is to be brought of these. `damaged` hears of those that cannot be, which do not hold up the others. */
  async #fillAll(
    round: FillRound,
    container: number,
    level: number,
    places: readonly StoredDkey[],
    damaged: Set<string>,
  ): Promise<void> {
    const { groups } = this.#options;
    const byKind = Map.groupBy(places, ({ oid }) => isErasureCoded(oid));
    const bring = async (isCoded: boolean): Promise<void> => {
      const waiting = byKind.get(isCoded) ?? [];
      for (let place = waiting.shift(); place !== undefined; place = waiting.shift()) {
        const unfilled = unfilledOf(groups().groupOf(place.oid, place.dkey));
        const { oid, dkey, prefix } = place;
        while (this.#dkeys.links.missing(round, container, { prefix, level }, unfilled).length > 0) {
          round.check();
          // The step is for nothing.
          if (round.again.has(container)) return;
          const filling = this.#dkeys.fill(round, container, { oid, dkey, prefix });
          const isDamaged = await filling.then(
            () => false,
            (error: unknown) =>
              isDamage(error) && this.#dkeys.links.passOver(round, container, { prefix, level }, unfilled),
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
      const { store } = this.#options;
      await Promise.all(open.map((destination) => this.#dkeys.links.close(round, destination, store, true)));
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
