/** What a leader knows of those that it fills, under one version of the pool map; see filling.ts. */
import { DaosError, hasCode } from "../base/errors.ts";
import type { CompletedElsewhere } from "../format/fill-message.ts";

/** Dkeys of one container that updates have had brought ahead of the walk. */
const MAX_EARLY_DKEYS = 1_048_576;
/** Requests that one message names. */
const REQUESTS_PER_MESSAGE = 4096;
/** Behind every prefix. */
export const LAST_PREFIX = "\xff".repeat(8);

/** A target that is filled with a container. */
export class Destination {
  readonly container: number;
  readonly target: number;
  /** Of the connection on which it was opened. */
  readonly life: number;
  /** All dkeys up to this prefix are there. */
  upTo = "";
  /** Dkeys of which something may be there, and not all. */
  readonly broken = new Set<string>();
  /** It has all. */
  isClosed: boolean;
  /** Of the dkeys behind `upTo`, which are there. */
  readonly #early = new Set<string>();

  constructor(container: number, target: number, life: number, isClosed: boolean) {
    this.container = container;
    this.target = target;
    this.life = life;
    this.isClosed = isClosed;
  }

  has(prefix: string): boolean {
    if (this.broken.has(prefix)) return false;
    return this.isClosed || prefix <= this.upTo || this.#early.has(prefix);
  }

  /** All of the dkey is there. Throws UNAVAILABLE when too many are ahead of others. */
  add(prefix: string): void {
    this.broken.delete(prefix);
    if (this.isClosed || prefix <= this.upTo) return;
    if (this.#early.size >= MAX_EARLY_DKEYS) {
      for (const other of this.#early) if (other <= this.upTo) this.#early.delete(other);
      if (this.#early.size >= MAX_EARLY_DKEYS) throw notYet("too many dkeys are ahead of others");
    }
    this.#early.add(prefix);
  }
}

export class FillRound {
  readonly mapVersion: number;
  /** Settles when nothing that was begun under an earlier map is still to be appended. */
  readonly begun: Promise<unknown>;
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

  constructor(mapVersion: number, begun: Promise<unknown>) {
    this.mapVersion = mapVersion;
    this.begun = begun;
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
