/**
 * The meta store on SQLite. A commit is one IMMEDIATE transaction: compare, write, raise the revision; it is on the medium
 * when its promise resolves. Leases live in the file: after a restart each has its whole time again, so that a short
 * outage ends none. Watchers see commits in order (watchers.ts).
 */
import type { Database, Statement } from "bun:sqlite";
import { crc32 } from "../../../src/base/checksum.ts";
import { DaosError } from "../../../src/base/errors.ts";
import type { MetaCompare, MetaEntry, MetaEvent, MetaOperation, MetaStore } from "../../../src/contracts/meta-store.ts";
import type { World } from "../../../src/contracts/world.ts";
import { checkCommit, checkKey, checkLeaseTtl } from "../checks.ts";
import { databaseError, openDatabase } from "./database.ts";
import { Watchers } from "./watchers.ts";

const FILE_NAME = "meta.sqlite";
const LEASE_ID_BYTES = 16;
const LAST_CODE_POINT = 0x10ffff;
/** Surrogates are no characters of their own: the code points around them are neighbours. */
const BEFORE_SURROGATES = 0xd7ff;
const AFTER_SURROGATES = 0xe000;
/** LIMIT of a query that has none. */
const UNLIMITED = -1;

interface EntryRow {
  readonly key: string;
  readonly value: Uint8Array;
  readonly revision: number;
  /** See checksumOf: SQLite itself has none. */
  readonly checksum: number;
}

interface Statements {
  readonly get: Statement;
  readonly range: Statement;
  readonly put: Statement;
  readonly remove: Statement;
  readonly nextRevision: Statement;
  readonly leaseExists: Statement;
  readonly leaseKeys: Statement;
  readonly addLease: Statement;
  readonly removeLease: Statement;
}

function prepare(database: Database): Statements {
  return {
    get: database.prepare("SELECT key, value, revision, checksum FROM entry WHERE key = ?"),
    range: database.prepare(
      "SELECT key, value, revision, checksum FROM entry WHERE key >= ?1 AND key > ?2 AND (?3 IS NULL OR key < ?3) " +
        "ORDER BY key LIMIT ?4",
    ),
    put: database.prepare(
      "INSERT INTO entry (key, value, revision, lease, checksum) VALUES (?1, ?2, ?3, ?4, ?5) " +
        "ON CONFLICT (key) DO UPDATE SET value = ?2, revision = ?3, lease = ?4, checksum = ?5",
    ),
    remove: database.prepare("DELETE FROM entry WHERE key = ?"),
    nextRevision: database.prepare("UPDATE state SET revision = revision + 1 RETURNING revision"),
    leaseExists: database.prepare("SELECT ttl_ms FROM lease WHERE id = ?"),
    leaseKeys: database.prepare("SELECT key FROM entry WHERE lease = ? ORDER BY key"),
    addLease: database.prepare("INSERT INTO lease (id, ttl_ms) VALUES (?, ?)"),
    removeLease: database.prepare("DELETE FROM lease WHERE id = ?"),
  };
}

export class SqliteMetaStore implements MetaStore {
  readonly #world: World;
  readonly #path: string;
  readonly #database: Database;
  readonly #statements: Statements;
  readonly #watchers = new Watchers();
  /** What cancels the timer of each live lease. */
  readonly #leaseTimers = new Map<string, () => void>();
  #closed = false;

  private constructor(world: World, path: string, database: Database) {
    this.#world = world;
    this.#path = path;
    this.#database = database;
    this.#statements = prepare(database);
    const leases = database.query("SELECT id, ttl_ms FROM lease").all() as { id: string; ttl_ms: number }[];
    for (const lease of leases) this.#armLease(lease.id, lease.ttl_ms);
  }

  /** Opens the store in `folder`, making it when absent. Throws CORRUPT, VERSION, BUSY, READ_ONLY, NO_SPACE, IO. */
  static open(world: World, folder: string): SqliteMetaStore {
    world.disk.makeFolder(folder);
    const path = `${folder}/${FILE_NAME}`;
    const database = openDatabase(world.disk, path);
    try {
      return new SqliteMetaStore(world, path, database);
    } catch (error) {
      database.close();
      throw databaseError("open", path, error);
    }
  }

  async get(key: string): Promise<MetaEntry | undefined> {
    checkKey(key);
    return this.#guard("read", () => {
      const row = this.#statements.get.get(key) as EntryRow | null;
      return row === null ? undefined : this.#checked(row);
    });
  }

  async range(prefix: string, options: { limit?: number; after?: string } = {}): Promise<MetaEntry[]> {
    const { limit = UNLIMITED, after = "" } = options;
    return this.#guard("read", () => {
      const rows = this.#statements.range.all(prefix, after, afterPrefix(prefix), limit) as EntryRow[];
      return rows.map((row) => this.#checked(row));
    });
  }

  async commit(compares: readonly MetaCompare[], operations: readonly MetaOperation[]): Promise<number> {
    checkCommit(compares, operations);
    return this.#apply((events) => {
      for (const compare of compares) this.#checkCompare(compare);
      return this.#write(operations, events);
    });
  }

  watch(prefix: string, handler: (event: MetaEvent) => void): () => void {
    this.#checkOpen("watch");
    return this.#watchers.add(prefix, handler);
  }

  async grantLease(ttlMs: number): Promise<string> {
    checkLeaseTtl(ttlMs);
    const bytes = new Uint8Array(LEASE_ID_BYTES);
    this.#world.random.fill(bytes);
    const lease = bytes.toHex();
    this.#guard("grant a lease in", () => this.#statements.addLease.run(lease, ttlMs));
    this.#armLease(lease, ttlMs);
    return lease;
  }

  async keepAlive(lease: string): Promise<boolean> {
    return this.#guard("read", () => {
      const row = this.#statements.leaseExists.get(lease) as { ttl_ms: number } | null;
      if (row === null) return false;
      this.#armLease(lease, row.ttl_ms);
      return true;
    });
  }

  async revokeLease(lease: string): Promise<void> {
    this.#checkOpen("revoke a lease in");
    this.#endLease(lease);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const cancel of this.#leaseTimers.values()) cancel();
    this.#leaseTimers.clear();
    this.#watchers.clear();
    for (const statement of Object.values(this.#statements) as Statement[]) statement.finalize();
    this.#database.close();
  }

  #checked(row: EntryRow): MetaEntry {
    const { key, value, revision } = row;
    if (row.checksum === checksumOf(key, value, revision)) return { key, value, revision };
    const state = `the checksum of "${key}" does not match`;
    throw new DaosError("CORRUPT", `Cannot read "${this.#path}": ${state}. Restore the file from a backup.`);
  }

  #checkCompare(compare: MetaCompare): void {
    const row = this.#statements.get.get(compare.key) as EntryRow | null;
    const revision = row?.revision ?? 0;
    if (revision === compare.revision) return;
    const state = `its revision is ${revision}, not ${compare.revision}`;
    throw new DaosError("CONFLICT", `Cannot change "${compare.key}": ${state}. Read it again and retry.`);
  }

  #write(operations: readonly MetaOperation[], events: MetaEvent[]): number {
    const { revision } = this.#statements.nextRevision.get() as { revision: number };
    for (const operation of operations) {
      if ("put" in operation) {
        const { put: key, value, lease } = operation;
        if (lease !== undefined) this.#checkLease(lease);
        this.#statements.put.run(key, value, revision, lease ?? null, checksumOf(key, value, revision));
        events.push({ revision, key, value: value.slice() });
      } else if (this.#statements.remove.run(operation.remove).changes > 0) {
        events.push({ revision, key: operation.remove });
      }
    }
    return revision;
  }

  #checkLease(lease: string): void {
    if (this.#statements.leaseExists.get(lease) !== null) return;
    throw new DaosError("NOT_FOUND", `Cannot use lease "${lease}": it has ended. Grant another.`);
  }

  /** Runs `change` as one transaction, then tells the watchers. */
  #apply(change: (events: MetaEvent[]) => number): number {
    const events: MetaEvent[] = [];
    const revision = this.#guard("change", () => this.#database.transaction(() => change(events)).immediate());
    this.#watchers.deliver(events);
    return revision;
  }

  #armLease(lease: string, ttlMs: number): void {
    this.#leaseTimers.get(lease)?.();
    this.#leaseTimers.set(
      lease,
      this.#world.timers.after(ttlMs, () => this.#expireLease(lease)),
    );
  }

  #expireLease(lease: string): void {
    const { ttl_ms: ttlMs } = (this.#statements.leaseExists.get(lease) as { ttl_ms: number } | null) ?? { ttl_ms: 0 };
    try {
      this.#endLease(lease);
    } catch {
      // The disk is full or failing: the keys stay for now, the next attempt comes after another lifetime.
      if (ttlMs > 0) this.#armLease(lease, ttlMs);
    }
  }

  #endLease(lease: string): void {
    this.#apply((events) => {
      const rows = this.#statements.leaseKeys.all(lease) as { key: string }[];
      this.#statements.removeLease.run(lease);
      return rows.length === 0
        ? 0
        : this.#write(
            rows.map(({ key }) => ({ remove: key })),
            events,
          );
    });
    this.#leaseTimers.get(lease)?.();
    this.#leaseTimers.delete(lease);
  }

  #guard<Result>(action: string, step: () => Result): Result {
    this.#checkOpen(action);
    try {
      return step();
    } catch (error) {
      throw databaseError(action, this.#path, error);
    }
  }

  #checkOpen(action: string): void {
    if (this.#closed) throw new DaosError("UNAVAILABLE", `Cannot ${action} "${this.#path}": the store is closed.`);
  }
}

/** CRC-32 over key, value and revision. */
function checksumOf(key: string, value: Uint8Array, revision: number): number {
  return crc32(Buffer.from(String(revision)), crc32(value, crc32(Buffer.from(key))));
}

/** The smallest text after all that begin with `prefix`, in the order of code points; null when there is none. */
function afterPrefix(prefix: string): string | null {
  const points = Array.from(prefix, (character) => character.codePointAt(0)!);
  for (let last = points.pop(); last !== undefined; last = points.pop()) {
    if (last === LAST_CODE_POINT) continue;
    const next = last === BEFORE_SURROGATES ? AFTER_SURROGATES : last + 1;
    return String.fromCodePoint(...points, next);
  }
  return null;
}
