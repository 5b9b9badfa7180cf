/** What a leader knows of those that it fills, under one version of the pool map; see filling.ts. */
import { DaosError, hasCode } from "../base/errors.ts";
import type { CompletedElsewhere } from "../format/fill-message.ts";
import type { WalkPosition } from "./walk-position.ts";

/** Dkeys of one container that updates have had brought ahead of the walk. */
const MAX_EARLY_DKEYS = 1_048_576;
/** Those that the walk has come by are forgotten when they may be so many. */
const MAX_PASSED_DKEYS = 1024;
/** Requests that one message names. */
const REQUESTS_PER_MESSAGE = 4096;
/** Behind every prefix. */
export const LAST_PREFIX = "\xff".repeat(8);
/** Behind every level. */
export const LAST_LEVEL = Number.MAX_SAFE_INTEGER;

/** A dkey as those who fill know it. */
export interface LevelledDkey {
  readonly prefix: string;
  /** See levelOf. */
  readonly level: number;
}

/** How far the walk has come: through all dkeys of lower levels, and those of this one up to a prefix. */
class Reach {
  #level = -1;
  #prefix = "";

  move({ level, prefix }: LevelledDkey): void {
    if (level < this.#level || (level === this.#level && prefix <= this.#prefix)) return;
    this.#level = level;
    this.#prefix = prefix;
  }

  includes({ level, prefix }: LevelledDkey): boolean {
    return level < this.#level || (level === this.#level && prefix <= this.#prefix);
  }
}

/** A target that is filled with a container. */
export class Destination {
  readonly container: number;
  readonly target: number;
  /** Of the connection on which it was opened. */
  readonly life: number;
  /** Dkeys of which something may be there, and not all. */
  readonly broken = new Set<string>();
  /** It may have something of what it is to be brought: that is compared first. */
  readonly isHeld: boolean;
  /** It has all. */
  isClosed: boolean;
  /** All dkeys that are there, and those of which it is known what of them is there already. */
  readonly #there = new Reach();
  readonly #compared = new Reach();
  /** Levels of the dkeys behind that, which are there. */
  readonly #early = new Map<string, number>();
  /** So many there were when it was gone through last. */
  #earlyBefore = 0;

  constructor(container: number, target: number, life: number, isClosed: boolean, isHeld: boolean) {
    this.container = container;
    this.target = target;
    this.life = life;
    this.isClosed = isClosed;
    this.isHeld = isHeld;
  }

  /** The walk has brought all up to this prefix among the dkeys of this level, and all of lower ones. */
  reached(level: number, prefix: string): void {
    this.#there.move({ level, prefix });
    if (this.#early.size > 2 * this.#earlyBefore + MAX_PASSED_DKEYS) this.#forgetPassed();
  }

  /** Of those that were ahead of the walk it has come by some. */
  #forgetPassed(): void {
    for (const [prefix, level] of this.#early) if (this.#there.includes({ prefix, level })) this.#early.delete(prefix);
    this.#earlyBefore = this.#early.size;
  }

  /** Dkeys that are remembered one by one. */
  get earlyCount(): number {
    return this.#early.size;
  }

  /** What it has of these is known. */
  compared(level: number, prefix: string): void {
    this.#compared.move({ level, prefix });
  }

  /** Whether it may have something of the dkey that counts, and has not been asked. */
  isUnknown(dkey: LevelledDkey): boolean {
    return this.isHeld && !this.isClosed && !this.#compared.includes(dkey);
  }

  has(dkey: LevelledDkey): boolean {
    if (this.broken.has(dkey.prefix)) return false;
    return this.isClosed || this.#there.includes(dkey) || this.#early.has(dkey.prefix);
  }

  /** All of the dkey is there. Throws UNAVAILABLE when too many are ahead of others. */
  add(dkey: LevelledDkey): void {
    this.broken.delete(dkey.prefix);
    if (this.isClosed || this.#there.includes(dkey)) return;
    if (this.#early.size >= MAX_EARLY_DKEYS) {
      this.#forgetPassed();
      if (this.#early.size >= MAX_EARLY_DKEYS) throw notYet("too many dkeys are ahead of others");
    }
    this.#early.set(dkey.prefix, dkey.level);
  }
}

export class FillRound {
  readonly mapVersion: number;
  /** Settles when nothing that was begun under an earlier map is still to be appended. */
  readonly begun: Promise<unknown>;
  /** It has. */
  hasBegun = false;
  /** By container and target. */
  readonly destinations = new Map<string, Destination>();
  readonly opening = new Map<string, Promise<Destination>>();
  /** By prefix of the dkey. */
  readonly filling = new Map<string, Promise<void>>();
  /** Containers to be gone through once more, for a target that begins anew. */
  readonly again = new Set<number>();
  /** Containers of which everything is where it has to be. */
  readonly done = new Set<number>();
  /** Containers with something of which too little is left: they are not done under this map. */
  readonly stuck = new Set<number>();
  /** Of those, the ones of which everything else is where it has to be. */
  readonly left = new Set<number>();
  /** By container, prefixes of dkeys that cannot be brought, for what is stored of them is damaged. None is empty. */
  readonly #damaged = new Map<number, ReadonlySet<string>>();
  /** Prefixes of dkeys that updates wait for. */
  readonly #urgent = new Set<string>();
  /** Where the walk is, by container. */
  readonly positions = new Map<number, WalkPosition>();
  /** Dkeys that are to be brought, of the containers that are counted. */
  toBring = 0;
  /** All containers are counted. */
  isSurveyed = false;
  /** What has been brought. */
  readonly counts = { dkeys: 0, bytes: 0, same: 0 };
  #isOver = false;

  constructor(mapVersion: number, begun: Promise<unknown>) {
    this.mapVersion = mapVersion;
    this.begun = begun.then(() => (this.hasBegun = true));
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  end(): void {
    this.#isOver = true;
  }

  /** Throws UNAVAILABLE when it is over. */
  check(): void {
    if (this.#isOver) throw notYet("the pool map has changed");
  }

  /** An update waits for the dkey. */
  hurry(prefix: string): void {
    this.#urgent.add(prefix);
  }

  isUrgent(prefix: string): boolean {
    return this.#urgent.has(prefix);
  }

  /** The dkey is brought, or not, for now. */
  ended(prefix: string): void {
    this.filling.delete(prefix);
    this.#urgent.delete(prefix);
  }

  noteDamaged(container: number, prefixes: ReadonlySet<string>): void {
    if (prefixes.size === 0) this.#damaged.delete(container);
    else this.#damaged.set(container, prefixes);
  }

  /** Damaged dkeys in these containers, as of the last walk over each. */
  damagedIn(containers: Iterable<number>): number {
    let count = 0;
    for (const container of containers) count += this.#damaged.get(container)?.size ?? 0;
    return count;
  }

  isStuck(containers: Iterable<number>): boolean {
    return [...containers].some((container) => this.stuck.has(container) || this.#damaged.has(container));
  }

  destinationsOf(container: number): Destination[] {
    return [...this.destinations.values()].filter((destination) => destination.container === container);
  }
}

export function nameOf(container: number, target: number): string {
  return `${container}/${target}`;
}

export function* inMessages(
  requests: readonly CompletedElsewhere[],
): Generator<readonly CompletedElsewhere[], void, void> {
  for (let at = 0; at < requests.length; at += REQUESTS_PER_MESSAGE) {
    yield requests.slice(at, at + REQUESTS_PER_MESSAGE);
  }
}

export function notYet(state: string): DaosError {
  return new DaosError("UNAVAILABLE", `Cannot bring the object to a target that is filled: ${state}. Retry.`);
}

/** Whether what is stored cannot be read, here or at those that are to have it. */
export function isDamage(error: unknown): boolean {
  return hasCode(error, "CORRUPT") || hasCode(error, "IO");
}
