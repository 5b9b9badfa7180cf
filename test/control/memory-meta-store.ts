/**
 * A meta store in memory with compare semantics, for tests of the control plane. The state outlives the handle: a test
 * ends a handle as kill -9 would (see CrashPoint) and opens another one on the same state.
 */
import { DaosError } from "../../src/base/errors.ts";
import type { MetaCompare, MetaEntry, MetaOperation, MetaStore } from "../../src/contracts/meta-store.ts";
import type { CrashPoint } from "./crash-point.ts";

export interface MetaState {
  readonly entries: Map<string, { value: Uint8Array; revision: number }>;
  revision: number;
  commits: number;
}

export function emptyMetaState(): MetaState {
  return { entries: new Map(), revision: 0, commits: 0 };
}

export class MemoryMetaStore implements MetaStore {
  readonly state: MetaState;
  readonly #crash: CrashPoint | undefined;
  /** Called before each commit is judged: a test may let another writer in. */
  beforeCommit: (() => void | Promise<void>) | undefined;

  constructor(state: MetaState = emptyMetaState(), crash?: CrashPoint) {
    this.state = state;
    this.#crash = crash;
  }

  async get(key: string): Promise<MetaEntry | undefined> {
    this.#crash?.alive();
    await Promise.resolve();
    const found = this.state.entries.get(key);
    return found === undefined ? undefined : { key, ...found };
  }

  async range(prefix: string, options: { limit?: number; after?: string } = {}): Promise<MetaEntry[]> {
    this.#crash?.alive();
    await Promise.resolve();
    const keys = [...this.state.entries.keys()].filter((key) => key.startsWith(prefix)).sort();
    const after = options.after;
    const following = after === undefined ? keys : keys.filter((key) => key > after);
    return following.slice(0, options.limit ?? Infinity).map((key) => ({ key, ...this.state.entries.get(key)! }));
  }

  async commit(compares: readonly MetaCompare[], operations: readonly MetaOperation[]): Promise<number> {
    await Promise.resolve();
    await this.beforeCommit?.();
    const apply = (): number => this.#apply(compares, operations);
    return this.#crash === undefined ? apply() : this.#crash.step(apply);
  }

  #apply(compares: readonly MetaCompare[], operations: readonly MetaOperation[]): number {
    for (const { key, revision } of compares) {
      if ((this.state.entries.get(key)?.revision ?? 0) !== revision) {
        throw new DaosError("CONFLICT", `Cannot commit: "${key}" was changed. Read it again.`);
      }
    }
    this.state.revision += 1;
    this.state.commits += 1;
    for (const operation of operations) {
      if ("put" in operation) {
        this.state.entries.set(operation.put, { value: operation.value, revision: this.state.revision });
      } else this.state.entries.delete(operation.remove);
    }
    return this.state.revision;
  }

  watch(): () => void {
    throw new Error("the control plane does not watch");
  }
  grantLease(): Promise<string> {
    throw new Error("the control plane takes no lease");
  }
  keepAlive(): Promise<boolean> {
    throw new Error("the control plane takes no lease");
  }
  revokeLease(): Promise<void> {
    throw new Error("the control plane takes no lease");
  }
  async close(): Promise<void> {}
}
