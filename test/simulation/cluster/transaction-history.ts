/**
 * What transactions of a simulated cluster saw and did, and whether it is serialisable in the order of epochs: each read
 * at a snapshot shows the newest version up to it, each committed transaction read what was there just before its own
 * epoch, all that one wrote is there at one epoch or nothing of it is, and what was acknowledged is seen afterwards.
 */

export interface KnownTransaction {
  readonly name: string;
  /** Undefined: it never came to its commit. */
  epoch: number | undefined;
  isCommitted: boolean;
  /** Ids by key; 0: punched. */
  readonly writes: ReadonlyMap<string, number>;
  readonly reads: readonly SnapshotRead[];
  /** When it was acknowledged; Infinity: it was not. */
  endNs: number;
}

export interface SnapshotRead {
  readonly key: string;
  /** Undefined where the library does not tell. */
  readonly epoch: number | undefined;
  readonly id: number;
  /** The moment that was read. */
  readonly at: number;
}

export interface LatestRead {
  readonly key: string;
  readonly epoch: number;
  readonly id: number;
  readonly startNs: number;
}

/** Of all records of an array at once, at the latest moment. */
export interface ArrayRead {
  readonly keys: readonly string[];
  readonly ids: readonly number[];
  readonly startNs: number;
}

interface Version {
  readonly epoch: number;
  readonly id: number;
  /** When it was acknowledged; Infinity: it was not. */
  endNs: number;
}

export class TransactionHistory {
  readonly transactions: KnownTransaction[] = [];
  readonly snapshotReads: SnapshotRead[] = [];
  readonly latestReads: LatestRead[] = [];
  readonly arrayReads: ArrayRead[] = [];
  /** By key, then epoch. */
  readonly #versions = new Map<string, Map<number, Version>>();
  /** Punches that may have been. */
  readonly #doubtful = new Map<string, number[]>();
  /** Ids of what may have been written at some moment; 0: punched. */
  readonly #possible = new Map<string, Set<number>>();

  /** A version that somebody wrote, or saw. Throws when it is another one than before. */
  noteVersion(key: string, epoch: number, id: number, endNs = Number.POSITIVE_INFINITY): void {
    let versions = this.#versions.get(key);
    if (versions === undefined) this.#versions.set(key, (versions = new Map()));
    const known = versions.get(epoch);
    if (known === undefined) versions.set(epoch, { epoch, id, endNs });
    else if (known.id !== id) throw new Error(`${key}: epoch ${epoch} is of ${known.id} and of ${id}`);
    else known.endNs = Math.min(known.endNs, endNs);
  }

  /** Something that may have happened, nobody knows when. */
  notePossible(key: string, id: number): void {
    const ids = this.#possible.get(key) ?? new Set();
    this.#possible.set(key, ids.add(id));
  }

  /** Throws what cannot be. */
  check(): void {
    this.#findOutcomes();
    for (const read of this.snapshotReads) this.#checkSnapshot(read, read.at, "its moment");
    for (const { name, epoch, isCommitted, writes, reads } of this.transactions) {
      if (!isCommitted || writes.size === 0) continue;
      for (const read of reads) this.#checkSnapshot(read, epoch! - 1, `the commit of ${name}`);
    }
    for (const read of this.latestReads) this.#checkLatest(read);
    for (const read of this.arrayReads) this.#checkArray(read);
  }

  /** Those of which something was seen were committed, and all that they wrote is there. */
  #findOutcomes(): void {
    const seen = new Set(this.snapshotReads.map(({ key, id }) => `${key} ${id}`));
    for (const [key, versions] of this.#versions) for (const { id } of versions.values()) seen.add(`${key} ${id}`);
    for (const transaction of this.transactions) {
      const { name, epoch, writes } = transaction;
      const wasSeen = [...writes].some(([key, id]) => id !== 0 && seen.has(`${key} ${id}`));
      if (epoch === undefined) {
        if (wasSeen) throw new Error(`something of ${name} was seen, which was never committed`);
        continue;
      }
      transaction.isCommitted ||= wasSeen;
      for (const [key, id] of writes) {
        if (transaction.isCommitted) this.noteVersion(key, epoch, id, transaction.endNs);
        else if (id === 0) this.#doubtful.set(key, [...(this.#doubtful.get(key) ?? []), epoch]);
      }
    }
  }

  #newest(key: string, epoch: number): Version | undefined {
    let newest: Version | undefined;
    for (const version of this.#versions.get(key)?.values() ?? []) {
      if (version.epoch <= epoch && version.epoch > (newest?.epoch ?? 0)) newest = version;
    }
    return newest;
  }

  #isDoubtful(key: string, from: number, to: number): boolean {
    return this.#doubtful.get(key)?.some((epoch) => epoch > from && epoch <= to) === true;
  }

  #checkSnapshot({ key, epoch, id }: SnapshotRead, at: number, moment: string): void {
    const newest = this.#newest(key, at);
    if ((newest?.id ?? 0) === id && (epoch === undefined || id === 0 || newest?.epoch === epoch)) return;
    if (id === 0 && this.#isDoubtful(key, newest?.epoch ?? 0, at)) return;
    if (this.#possible.get(key)?.has(id) === true) return;
    const shown = newest === undefined ? "nothing" : `${newest.id} of ${newest.epoch}`;
    throw new Error(`${key}: ${id} of ${epoch ?? "-"} was seen as of ${moment} (${at}), where there is ${shown}`);
  }

  #checkLatest({ key, epoch, id, startNs }: LatestRead): void {
    for (const version of this.#versions.get(key)?.values() ?? []) {
      if (version.endNs >= startNs) continue;
      const isHidden = id === 0 ? this.#isPunchedAfter(key, version) : version.epoch <= epoch;
      if (isHidden) continue;
      throw new Error(`${key}: ${id} of ${epoch} was seen, after ${version.id} of ${version.epoch} was acknowledged`);
    }
  }

  /** Some moment shows all of it, and what was acknowledged before it began. */
  #checkArray({ keys, ids, startNs }: ArrayRead): void {
    const versions = keys.flatMap((key) => [...(this.#versions.get(key)?.values() ?? [])]);
    const least = Math.max(0, ...versions.filter(({ endNs }) => endNs < startNs).map(({ epoch }) => epoch));
    const moments = [least, ...versions.map(({ epoch }) => epoch).filter((epoch) => epoch > least)];
    const shows = (at: number): boolean => keys.every((key, record) => this.#mayShow(key, ids[record]!, at));
    if (moments.some(shows)) return;
    throw new Error(`${keys[0]} and on: ${ids.join(" ")} was seen, which no moment from ${least} on shows`);
  }

  #mayShow(key: string, id: number, at: number): boolean {
    const newest = this.#newest(key, at);
    if ((newest?.id ?? 0) === id || this.#possible.get(key)?.has(id) === true) return true;
    return id === 0 && this.#isDoubtful(key, newest?.epoch ?? 0, at);
  }

  #isPunchedAfter(key: string, { epoch }: Version): boolean {
    if (this.#isDoubtful(key, epoch, Number.POSITIVE_INFINITY)) return true;
    return [...this.#versions.get(key)!.values()].some((later) => later.epoch >= epoch && later.id === 0);
  }
}
