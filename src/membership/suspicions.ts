/** Suspicions that run, and when each of them ends. */
export interface Suspicion {
  readonly rank: number;
  readonly sinceMs: number;
  /** The suspect is dead then. */
  untilMs: number;
  /** We found by ourselves that it does not answer. */
  isOwn: boolean;
}

export class Suspicions {
  readonly #byRank = new Map<number, Suspicion>();
  #dueMs = Number.POSITIVE_INFINITY;
  #turn = 0;

  /** When the first one ends, milliseconds. */
  get dueMs(): number {
    return this.#dueMs;
  }

  get(rank: number): Suspicion | undefined {
    return this.#byRank.get(rank);
  }

  set(suspicion: Suspicion): void {
    const before = this.#byRank.get(suspicion.rank);
    this.#byRank.set(suspicion.rank, suspicion);
    if (before === undefined) this.#dueMs = Math.min(this.#dueMs, suspicion.untilMs);
    else this.#measure();
  }

  delete(rank: number): void {
    const before = this.#byRank.get(rank);
    if (before === undefined) return;
    this.#byRank.delete(rank);
    if (before.untilMs <= this.#dueMs) this.#measure();
  }

  /** Drops those of whom `isMember` says no. */
  keep(isMember: (rank: number) => boolean): void {
    for (const rank of this.#byRank.keys()) if (!isMember(rank)) this.#byRank.delete(rank);
    this.#measure();
  }

  /** Those that are over. */
  due(nowMs: number): number[] {
    if (nowMs < this.#dueMs) return [];
    return [...this.#byRank.values()].filter(({ untilMs }) => untilMs <= nowMs).map(({ rank }) => rank);
  }

  /** Time that does not count. */
  shift(byMs: number): void {
    for (const suspicion of this.#byRank.values()) suspicion.untilMs += byMs;
    this.#measure();
  }

  /** One of those that are our own, each in its turn. */
  nextOwn(): number | undefined {
    if (this.#byRank.size === 0) return undefined;
    const own = [...this.#byRank.values()].filter(({ isOwn }) => isOwn);
    this.#turn += 1;
    return own[this.#turn % own.length]?.rank;
  }

  #measure(): void {
    this.#dueMs = Number.POSITIVE_INFINITY;
    for (const { untilMs } of this.#byRank.values()) this.#dueMs = Math.min(this.#dueMs, untilMs);
  }
}
