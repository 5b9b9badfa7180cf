/**
 * A meta store with leases in simulated time, and the links of engines to it: a link can be cut, is slow by turns, and loses the answer to
 * a commit that happens later all the same, until the link's next commit (as MetaStore allows). The store itself can be away.
 */
import { DaosError } from "../../src/base/errors.ts";
import type { MetaCompare, MetaEntry, MetaEvent, MetaOperation, MetaStore } from "../../src/contracts/meta-store.ts";
import type { Clock, Random, Timers } from "../../src/contracts/world.ts";

interface Entry {
  readonly value: Uint8Array;
  readonly revision: number;
  readonly lease: string | undefined;
}

export class LeasedStore {
  readonly #entries = new Map<string, Entry>();
  /** When each lease ends. */
  readonly #leases = new Map<string, number>();
  readonly #watchers = new Set<(event: MetaEvent) => void>();
  readonly #clock: Clock;
  #revision = 0;
  isAway = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Ends what is over; a store that is away counts on, and finds that when it is back. */
  expire(): void {
    if (this.isAway) return;
    for (const [lease, endNs] of this.#leases) if (this.#clock.monotonicNs() >= endNs) this.end(lease);
  }

  end(lease: string): void {
    this.#leases.delete(lease);
    for (const [key, entry] of this.#entries) if (entry.lease === lease) this.#change(() => this.#remove(key));
  }

  get(key: string): MetaEntry | undefined {
    this.expire();
    const found = this.#entries.get(key);
    return found === undefined ? undefined : { key, value: found.value, revision: found.revision };
  }

  range(prefix: string, limit: number): MetaEntry[] {
    this.expire();
    const keys = [...this.#entries.keys()].filter((key) => key.startsWith(prefix)).toSorted();
    return keys.slice(0, limit).map((key) => this.get(key)!);
  }

  commit(compares: readonly MetaCompare[], operations: readonly MetaOperation[]): number {
    this.expire();
    for (const { key, revision } of compares) {
      if ((this.#entries.get(key)?.revision ?? 0) !== revision) throw new DaosError("CONFLICT", "Cannot commit.");
    }
    for (const operation of operations) {
      const lease = "put" in operation ? operation.lease : undefined;
      if (lease !== undefined && !this.#leases.has(lease)) throw new DaosError("NOT_FOUND", "Cannot commit: no lease.");
    }
    this.#change(() => {
      for (const operation of operations) {
        if ("remove" in operation) this.#remove(operation.remove);
        else {
          const { put: key, value, lease } = operation;
          this.#entries.set(key, { value, revision: this.#revision, lease });
          this.#tell({ key, value, revision: this.#revision });
        }
      }
    });
    return this.#revision;
  }

  grantLease(ttlMs: number): string {
    const lease = `${this.#leases.size}-${this.#clock.monotonicNs()}-${this.#revision}`;
    this.#leases.set(lease, this.#clock.monotonicNs() + ttlMs * 1e6);
    return lease;
  }

  keepAlive(lease: string, ttlMs: number): boolean {
    this.expire();
    if (!this.#leases.has(lease)) return false;
    this.#leases.set(lease, this.#clock.monotonicNs() + ttlMs * 1e6);
    return true;
  }

  watch(handler: (event: MetaEvent) => void): () => void {
    this.#watchers.add(handler);
    return () => this.#watchers.delete(handler);
  }

  #change(work: () => void): void {
    this.#revision += 1;
    work();
  }

  #remove(key: string): void {
    this.#entries.delete(key);
    this.#tell({ key, revision: this.#revision });
  }

  #tell(event: MetaEvent): void {
    for (const watcher of this.#watchers) watcher(event);
  }
}

export class StoreLink implements MetaStore {
  readonly #store: LeasedStore;
  readonly #timers: Timers;
  readonly #random: Random;
  readonly #leaseMs: number;
  isCut = false;
  /** The engine has died: it hears of nothing and begins nothing more; what it has sent may still arrive. */
  isDead = false;
  /** Longest way of a call and of its answer, milliseconds, and how many of 100 answers to commits are lost. */
  slownessMs = 0;
  lostPercent = 0;
  #cancelLate: () => void = () => {};

  /** `timers`: the network's; they run on when the engine dies. */
  constructor(store: LeasedStore, timers: Timers, random: Random, leaseMs: number) {
    this.#store = store;
    this.#timers = timers;
    this.#random = random;
    this.#leaseMs = leaseMs;
  }

  get(key: string): Promise<MetaEntry | undefined> {
    return this.#through(() => this.#store.get(key));
  }
  range(prefix: string, options: { limit?: number } = {}): Promise<MetaEntry[]> {
    return this.#through(() => this.#store.range(prefix, options.limit ?? 1_000));
  }
  async commit(compares: readonly MetaCompare[], operations: readonly MetaOperation[]): Promise<number> {
    if (this.isDead) return new Promise(() => {});
    this.#cancelLate();
    if (this.#random.next() * 100 >= this.lostPercent) {
      return this.#through(() => this.#store.commit(compares, operations));
    }
    this.#cancelLate = this.#timers.after(this.#random.next() * 3_000, () => {
      try {
        if (!this.#store.isAway) this.#store.commit(compares, operations);
      } catch (error) {
        if (!(error instanceof DaosError)) throw error;
      }
    });
    await this.#pause(this.slownessMs);
    throw new DaosError("TIMEOUT", "Cannot say whether it happened.");
  }
  watch(_prefix: string, handler: (event: MetaEvent) => void): () => void {
    return this.#store.watch((event) => {
      if (!this.isCut && !this.isDead) handler(event);
    });
  }
  grantLease(ttlMs: number): Promise<string> {
    return this.#through(() => this.#store.grantLease(ttlMs));
  }
  keepAlive(lease: string): Promise<boolean> {
    return this.#through(() => this.#store.keepAlive(lease, this.#leaseMs));
  }
  revokeLease(lease: string): Promise<void> {
    return this.#through(() => this.#store.end(lease));
  }
  async close(): Promise<void> {}

  async #through<Result>(call: () => Result): Promise<Result> {
    await this.#pause(this.slownessMs * this.#random.next());
    if (this.isDead) return new Promise(() => {});
    if (this.isCut || this.#store.isAway) throw new DaosError("UNAVAILABLE", "Cannot reach the store.");
    const result = call();
    await this.#pause(this.slownessMs * this.#random.next());
    return result;
  }

  #pause(durationMs: number): Promise<void> {
    return durationMs === 0 ? Promise.resolve() : new Promise((resolve) => this.#timers.after(durationMs, resolve));
  }
}
