/**
 * Of whom there is news to tell, and how often it was told. What was told least goes first; what was told often enough is
 * forgotten. At most one entry a member.
 */
export class GossipQueue {
  /** Not told yet, oldest first. */
  readonly #fresh = new Set<number>();
  /** How often it was told; whose turn is longest ago comes first. */
  readonly #told = new Map<number, number>();

  get isEmpty(): boolean {
    return this.#fresh.size === 0 && this.#told.size === 0;
  }

  /** There is news of this rank: it is told as often as any. */
  add(rank: number): void {
    this.#told.delete(rank);
    this.#fresh.add(rank);
  }

  delete(rank: number): void {
    this.#told.delete(rank);
    this.#fresh.delete(rank);
  }

  /** Adds up to `room` ranks to `into`, and counts them as told; those told `limit` times are forgotten. */
  take(into: number[], room: number, limit: number): void {
    const first = into.length;
    for (const rank of this.#fresh) {
      if (into.length - first >= room) break;
      into.push(rank);
    }
    for (const rank of this.#told.keys()) {
      if (into.length - first >= room) break;
      into.push(rank);
    }
    for (let index = first; index < into.length; index += 1) {
      const rank = into[index]!;
      const times = (this.#told.get(rank) ?? 0) + 1;
      this.delete(rank);
      if (times < limit) this.#told.set(rank, times);
    }
  }
}
