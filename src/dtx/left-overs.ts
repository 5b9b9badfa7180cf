/**
 * What lies on a target of dkeys that it cannot be read of, under one version of the pool map: left over from another time. It
 * would reappear when it can be read again. What no leader is to bring anew is removed; of copies that one is to bring, what is
 * here stays until the leader has compared it (held-dkeys.ts).
 */
import { DaosError } from "../base/errors.ts";
import type { Timers } from "../contracts/world.ts";
import type { StoredDkey } from "../vos/dkey-copy.ts";
import { type FillStore, isComparable } from "./fill-store.ts";
import type { GroupFollower } from "./group-follower.ts";
import type { Groups } from "./group.ts";
import { HeldDkeys } from "./held-dkeys.ts";
import type { PreparedStore } from "./prepared-store.ts";

/** Dkeys that are looked at in one turn, and removed in one step. */
const LOOK_DKEYS = 512;
/** Pause before something is looked at again, milliseconds. */
const RETRY_MS = 20;

export interface LeftOversOptions {
  readonly self: number;
  readonly timers: Timers;
  readonly store: FillStore;
  readonly prepared: PreparedStore;
  readonly follower: GroupFollower;
  readonly groups: () => Groups;
}

/** The round that it is of. */
export interface LeftOversRound {
  readonly mapVersion: number;
  /** Settles when nothing that began under an earlier map is still to be appended. */
  readonly begun: Promise<unknown>;
  /** Throws UNAVAILABLE when the round is over. */
  readonly check: () => void;
}

export class LeftOvers {
  readonly held: HeldDkeys;
  readonly #options: LeftOversOptions;
  readonly #round: LeftOversRound;
  /** By container: settles when nothing is left over in it. */
  readonly #cleaning = new Map<number, Promise<void>>();
  readonly clean = new Set<number>();
  /** Containers with something left over that stays, for nobody else can be read of it. */
  readonly kept = new Set<number>();

  constructor(options: LeftOversOptions, round: LeftOversRound) {
    this.#options = options;
    this.#round = round;
    this.held = new HeldDkeys(options);
  }

  /** Nothing is left over in the container. */
  noteClean(container: number): void {
    this.clean.add(container);
    this.#cleaning.set(container, Promise.resolve());
  }

  /** Removes what is left over in a container, once. Rejects with UNAVAILABLE, and as CellStore.purge. */
  removeOnce(container: number): Promise<void> {
    const known = this.#cleaning.get(container);
    if (known !== undefined) return known;
    const { mapVersion, begun } = this.#round;
    const { marks } = this.#options.store;
    const cleaning = begun
      .then(() => this.remove(container, (leader) => marks.broughtBy(container, leader) !== mapVersion))
      .then(
        () => void this.clean.add(container),
        (error: unknown) => {
          this.#cleaning.delete(container);
          throw error;
        },
      );
    this.#cleaning.set(container, cleaning);
    return cleaning;
  }

  /**
   * Removes the dkeys that this target cannot be read of and whose leaders `of` says yes to. `all`: what would be compared,
   * too.
   */
  async remove(container: number, of: (leader: number) => boolean, all = false): Promise<void> {
    const { store, groups, self } = this.#options;
    for (let after: string | undefined; ;) {
      this.#round.check();
      const list = store.copies.list(container, after, LOOK_DKEYS, (oid) => groups().mayBeLeft(oid));
      const left = list.places.filter(({ oid, dkey }) => {
        const group = groups().groupOf(oid, dkey);
        const { leader, readable } = group;
        if (leader === self || readable.includes(self)) return false;
        if (leader < 0) this.kept.add(container);
        if (leader < 0 || !of(leader)) return false;
        if (all || !isComparable(oid, group, self)) return true;
        this.held.note(container, leader);
        return false;
      });
      if (left.length > 0) await this.#purge(left);
      if (list.after === undefined) return;
      after = list.after;
      await this.#pause(0);
    }
  }

  async #purge(places: readonly StoredDkey[]): Promise<void> {
    const prefixes = places.map(({ prefix }) => prefix);
    while (this.anyUndecided(new Set(prefixes))) {
      this.#options.follower.ask();
      await this.#pause(RETRY_MS);
      this.#round.check();
    }
    await this.#options.store.copies.purge(prefixes);
    this.#round.check();
  }

  anyUndecided(prefixes: ReadonlySet<string>): boolean {
    const { prepared, store } = this.#options;
    return prepared
      .openUpdates()
      .some(({ container, oid, dkey }) => prefixes.has(store.copies.prefixOf(container, oid, dkey)));
  }

  /** Whether every leader that may have otherwise what is here has brought all in these containers. */
  isCompared(containers: ReadonlySet<number>): boolean {
    return [...this.waiting()].every(({ container }) => !containers.has(container));
  }

  /** Containers and leaders whose word is waited for. */
  *waiting(): ReturnType<HeldDkeys["all"]> {
    const { marks } = this.#options.store;
    for (const held of this.held.all()) {
      if (marks.broughtBy(held.container, held.leader) !== this.#round.mapVersion) yield held;
    }
  }

  #pause(ms: number): Promise<void> {
    const { timers } = this.#options;
    return new Promise((resolve) => (ms === 0 ? timers.soon(resolve) : void timers.after(ms, resolve)));
  }
}

/** Runs what may be tried again. */
export async function attempt(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof DaosError)) throw error;
  }
}
