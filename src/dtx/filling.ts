/**
 * Fills, for one pool, the members of groups that cannot be read yet: spares of targets that are gone, and targets that came
 * back. The leader of a dkey brings it to them, with the epochs of old, before it gives the dkey another update: so an
 * update never comes to a member that lacks what was before it. What nobody updates is brought by a walk over all dkeys.
 * Copies are brought as they are stored here; shards of erasure code are made of the others (shard-cells.ts), while the dkey is
 * held as for a fold.
 *
 * Everything here holds for one version of the pool map, and starts over with the next; towards a target it starts over when
 * the connection to it was lost, for it may have started anew, unless that target was told that it has all (`close`). What a
 * target has then of copies is compared, and not brought again (fill-compare.ts).
 */
import { attempt } from "./left-overs.ts";
import type { DkeyPlace } from "../base/key-place.ts";
import type { ObjectId } from "../base/object-id.ts";
import type { TargetFillStatus } from "../format/engine-operations.ts";
import { DkeyFill, type DkeyFillOptions } from "./dkey-fill.ts";
import { FillRound, notYet } from "./fill-round.ts";
import { levelOf, unfilledOf } from "./fill-store.ts";
import { FillWalk, type FillWalkOptions } from "./fill-walk.ts";

export type FillingOptions = DkeyFillOptions & FillWalkOptions;

export class Filling {
  readonly #options: FillingOptions;
  /** Undefined while the map has nobody to be filled. */
  #round: FillRound | undefined;
  /** Updates that are under way and may not be appended yet. */
  readonly running = new Set<Promise<unknown>>();
  /** Of the last round. */
  counts: FillRound["counts"] = { dkeys: 0, bytes: 0, same: 0 };
  readonly #dkeys: DkeyFill;
  readonly #walk: FillWalk;

  constructor(options: FillingOptions) {
    this.#options = options;
    this.#dkeys = new DkeyFill(options);
    this.#walk = new FillWalk(options, this.#dkeys);
  }

  /** A new map. `isFilling`: it has members to be filled. `begun`: settles when what began before it is appended. */
  mapChanged(isFilling: boolean, begun: Promise<unknown>): void {
    this.stop();
    if (!isFilling) return;
    const round = new FillRound(this.#options.groups().mapVersion, begun);
    this.#round = round;
    this.counts = round.counts;
    void this.#walk.run(round);
  }

  stop(): void {
    this.#round?.end();
    this.#round = undefined;
    // What waits for its turn finds out that it is over.
    this.#options.pace.look();
  }

  /** An update that has begun is appended at the latest when this settles. */
  track(running: Promise<unknown>): void {
    this.running.add(running);
    const ended = (): void => void this.running.delete(running);
    running.then(ended, ended);
  }

  /** How far it is in these containers. `isReady`: this target's own part in being filled is done. */
  status(containers: readonly number[], isReady: boolean): Omit<TargetFillStatus, "mapVersion"> {
    const round = this.#round;
    const { dkeys, bytes } = this.counts;
    if (round === undefined) {
      return { isDone: isReady, isStuck: false, damaged: 0, dkeys, bytes, toBring: 0, passed: 0, isCounted: true };
    }
    const { toBring, isSurveyed: isCounted } = round;
    const isDone = isReady && containers.every((container) => round.done.has(container));
    let passed = 0;
    for (const position of round.positions.values()) passed += position.passed;
    const damaged = round.damagedIn(containers);
    return { isDone, isStuck: round.isStuck(containers), damaged, dkeys, bytes, toBring, passed, isCounted };
  }

  /** A target has something of what this one leads in a container, and waits to hear what is to become of it. */
  noteHeld(container: number, target: number): void {
    const round = this.#round;
    if (round === undefined) return;
    // It asks again.
    void attempt(async () => void (await this.#dkeys.open(round, container, target)));
  }

  /**
   * The members of a dkey's group that cannot be read yet and have the dkey: what is folded has to be folded there, too. With
   * the dkey held. Rejects with UNAVAILABLE when one that may have it does not answer.
   */
  async filledOf(container: number, { oid, dkey }: DkeyPlace): Promise<readonly number[]> {
    const { groups, store } = this.#options;
    const group = groups().groupOf(oid, dkey);
    const unfilled = unfilledOf(group);
    if (unfilled.length === 0) return unfilled;
    const round = this.#round;
    if (round === undefined) throw notYet("the pool map is about to change");
    const prefix = store.copies.prefixOf(container, oid, dkey);
    const opened = await Promise.all(unfilled.map((target) => this.#dkeys.open(round, container, target)));
    round.check();
    const level = levelOf(oid, group);
    return opened.filter((destination) => destination.has({ prefix, level })).map(({ target }) => target);
  }

  /** Whether the dkey may be updated now. */
  isFilled(container: number, { oid, dkey }: DkeyPlace): boolean {
    const round = this.#round;
    if (round === undefined) return true;
    if (this.#options.groups().movesSingle(oid) && !this.#isReady(round, container, oid)) return false;
    const { groups, store } = this.#options;
    const group = groups().groupOf(oid, dkey);
    const unfilled = unfilledOf(group);
    if (unfilled.length === 0) return true;
    const filled = { prefix: store.copies.prefixOf(container, oid, dkey), level: levelOf(oid, group) };
    return this.#dkeys.links.missing(round, container, filled, unfilled).length === 0;
  }

  /** Undefined when the dkey may be updated now, or is not led here; else settles when that is to be asked again. */
  beforeUpdate(container: number, { oid, dkey }: DkeyPlace): Promise<void> | undefined {
    const round = this.#round;
    if (round === undefined || this.isFilled(container, { oid, dkey })) return undefined;
    if (this.#options.groups().groupOf(oid, dkey).leader !== this.#options.self) return undefined;
    const prefix = this.#options.store.copies.prefixOf(container, oid, dkey);
    const filling = (): Promise<void> => this.#dkeys.fillNow(round, container, { oid, dkey, prefix });
    if (!this.#options.groups().movesSingle(oid)) return filling();
    return this.makeReady(container, oid).then(() => (this.isFilled(container, { oid, dkey }) ? undefined : filling()));
  }

  #isReady(round: FillRound, container: number, oid: ObjectId): boolean {
    return round.hasBegun && this.#options.store.moving.isReady(container, oid);
  }

  /**
   * As a leader's update of an object without redundancy comes: undefined when it may be run here, else settles when it may, see
   * MovingObjects. Rejects with UNAVAILABLE.
   */
  beforeFollowing(container: number, oid: ObjectId): Promise<void> | undefined {
    const round = this.#round;
    const isReady =
      round === undefined ? this.#options.store.moving.isReady(container, oid) : this.#isReady(round, container, oid);
    return isReady ? undefined : this.makeReady(container, oid);
  }

  /** Throws UNAVAILABLE when such an update must not be run any more: the map has changed since it came. */
  checkReady(container: number, oid: ObjectId): void {
    if (!this.#options.store.moving.isReady(container, oid)) throw notYet("it does not move any more");
  }

  /** Settles when dkeys of a moving object may be brought, and their updates ordered. Rejects with UNAVAILABLE and as MovingObjects. */
  async makeReady(container: number, oid: ObjectId): Promise<void> {
    const round = this.#round;
    const { groups, store } = this.#options;
    if (round === undefined || !groups().movesSingle(oid)) throw notYet("it does not move any more");
    await round.begun;
    round.check();
    await store.moving.makeReady(container, oid);
    round.check();
  }
}
