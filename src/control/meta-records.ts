/**
 * Typed access to the control plane's records, and the one way to change them: read, decide, compare-and-commit, and
 * again when another writer was faster. Changes of this process queue behind each other, so a retry means that another
 * process wrote.
 */
import { DaosError, hasCode } from "../base/errors.ts";
import { MAX_CHANGE_ATTEMPTS } from "../base/limits.ts";
import type { MetaCompare, MetaEntry, MetaOperation, MetaStore } from "../contracts/meta-store.ts";
import { decodeMetaRecord, encodeMetaRecord, type MetaRecord, type MetaRecordKind } from "../format/meta-record.ts";
import { KeyedLock } from "./keyed-lock.ts";

const PAGE_ENTRIES = 256;
const CHANGE_LOCK = "change";

/** A record as read: the revision is what a change of it compares. */
export interface Stored<Kind extends MetaRecordKind> {
  readonly key: string;
  readonly revision: number;
  readonly record: MetaRecord<Kind>;
}

/** What one attempt decided. No operations: nothing is to be changed. */
export interface Change<Result> {
  readonly compares: readonly MetaCompare[];
  readonly operations: readonly MetaOperation[];
  readonly result: Result;
}

export class MetaRecords {
  readonly #store: MetaStore;
  readonly #lock = new KeyedLock();

  constructor(store: MetaStore) {
    this.#store = store;
  }

  /** Undefined when there is none. Rejects with CORRUPT or VERSION. */
  async get<Kind extends MetaRecordKind>(kind: Kind, key: string): Promise<Stored<Kind> | undefined> {
    const entry = await this.#store.get(key);
    return entry === undefined ? undefined : stored(kind, entry);
  }

  /** Up to `limit` records whose keys follow `after`, in key order. */
  async page<Kind extends MetaRecordKind>(
    kind: Kind,
    prefix: string,
    limit: number,
    after?: string,
  ): Promise<Stored<Kind>[]> {
    const entries = await this.#store.range(prefix, after === undefined ? { limit } : { limit, after });
    return entries.map((entry) => stored(kind, entry));
  }

  /** All records under the prefix, in key order. */
  async all<Kind extends MetaRecordKind>(kind: Kind, prefix: string): Promise<Stored<Kind>[]> {
    const found: Stored<Kind>[] = [];
    for (;;) {
      const page = await this.page(kind, prefix, PAGE_ENTRIES, found.at(-1)?.key);
      found.push(...page);
      if (page.length < PAGE_ENTRIES) return found;
    }
  }

  /** All entries, as they are at one moment while nobody else writes; undefined when they have more than `mostBytes`. */
  snapshot(mostBytes: number): Promise<MetaEntry[] | undefined> {
    return this.#lock.run(CHANGE_LOCK, async () => {
      const found: MetaEntry[] = [];
      let sizeBytes = 0;
      for (;;) {
        const after = found.at(-1)?.key;
        const page = await this.#store.range("", { limit: PAGE_ENTRIES, ...(after !== undefined && { after }) });
        sizeBytes += page.reduce((sum, { key, value }) => sum + key.length + value.length, 0);
        if (sizeBytes > mostBytes) return undefined;
        found.push(...page);
        if (page.length < PAGE_ENTRIES) return found;
      }
    });
  }

  /**
   * Runs `attempt` and commits what it decided; when a compare failed, again with fresh reads, at most
   * MAX_CHANGE_ATTEMPTS times (CONFLICT). `attempt` must not change anything by itself, nor wait for
   * what does: changes queue behind it.
   */
  change<Result>(what: string, attempt: () => Promise<Change<Result>>): Promise<Result> {
    return this.#lock.run(CHANGE_LOCK, async () => {
      for (let attempts = 0; attempts < MAX_CHANGE_ATTEMPTS; attempts += 1) {
        const { compares, operations, result } = await attempt();
        if (operations.length === 0 || (await this.#commit(compares, operations))) return result;
      }
      throw new DaosError("CONFLICT", `Cannot ${what}: others keep changing the same records. Try again.`);
    });
  }

  /** False when a compare failed. */
  async #commit(compares: readonly MetaCompare[], operations: readonly MetaOperation[]): Promise<boolean> {
    try {
      await this.#store.commit(compares, operations);
      return true;
    } catch (error) {
      if (hasCode(error, "CONFLICT")) return false;
      throw error;
    }
  }
}

function stored<Kind extends MetaRecordKind>(kind: Kind, entry: MetaEntry): Stored<Kind> {
  return { key: entry.key, revision: entry.revision, record: decodeMetaRecord(kind, entry.key, entry.value) };
}

/** Whether this answer to a commit says that nothing was changed, nor will be. */
export function isRefusal(error: unknown): boolean {
  return hasCode(error, "CONFLICT") || hasCode(error, "NOT_FOUND") || hasCode(error, "NO_SPACE");
}

/** The operation that writes a record. */
export function putRecord<Kind extends MetaRecordKind>(
  kind: Kind,
  key: string,
  record: MetaRecord<Kind>,
): MetaOperation {
  return { put: key, value: encodeMetaRecord(kind, record) };
}

/** The record must still be as it was read. */
export function unchanged(record: { readonly key: string; readonly revision: number }): MetaCompare {
  return { key: record.key, revision: record.revision };
}

/** The key must hold nothing. */
export function absent(key: string): MetaCompare {
  return { key, revision: 0 };
}
