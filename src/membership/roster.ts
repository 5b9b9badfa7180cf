/**
 * Who belongs to the system, as the control plane says: the ranks and when each was started. Never changed: a new one takes
 * its place, and any number of views may share it.
 */
export interface RosterMember {
  readonly rank: number;
  /** Milliseconds since 1970; 0 when unknown. */
  readonly start: number;
}

export class Roster {
  readonly ranks: readonly number[];
  readonly #starts = new Map<number, number>();

  constructor(members: Iterable<RosterMember>) {
    for (const { rank, start } of members) this.#starts.set(rank, start);
    this.ranks = [...this.#starts.keys()];
  }

  get size(): number {
    return this.ranks.length;
  }

  has(rank: number): boolean {
    return this.#starts.has(rank);
  }

  /** Undefined for who is no member. */
  start(rank: number): number | undefined {
    return this.#starts.get(rank);
  }
}
