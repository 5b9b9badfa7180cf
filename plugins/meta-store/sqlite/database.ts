/**
 * The SQLite file: opening, checking, and its schema. Write-ahead log with synchronous=FULL, so that a commit is on the
 * medium when it returns; locked exclusively, so that there is one writer and no shared-memory file.
 */
import { Database } from "bun:sqlite";
import { DaosError, type ErrorCode } from "../../../src/base/errors.ts";
import type { Disk } from "../../../src/contracts/world.ts";

/** "DAOS": marks the file as ours in SQLite's header. */
const APPLICATION_ID = 0x44414f53;
const SCHEMA_VERSION = 1;

const SCHEMA = `
  CREATE TABLE entry (
    key TEXT PRIMARY KEY, value BLOB NOT NULL, revision INTEGER NOT NULL,
    checksum INTEGER NOT NULL, lease TEXT
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX entry_lease ON entry (lease) WHERE lease IS NOT NULL;
  CREATE TABLE lease (id TEXT PRIMARY KEY, ttl_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE state (revision INTEGER NOT NULL) STRICT;
  INSERT INTO state VALUES (0);
`;

/** Opens or makes the file. Throws CORRUPT, VERSION, BUSY, READ_ONLY, NO_SPACE, IO. */
export function openDatabase(disk: Disk, path: string): Database {
  // Made through the disk, which syncs the folder: SQLite takes an empty file for an empty database.
  disk.openFile(path, { create: true }).close();
  let database: Database | undefined;
  try {
    database = new Database(path, { readwrite: true, strict: true });
    database.run("PRAGMA locking_mode = EXCLUSIVE");
    database.run("PRAGMA busy_timeout = 0");
    checkIdentity(database, path);
    database.run("PRAGMA journal_mode = WAL");
    database.run("PRAGMA synchronous = FULL");
    database.transaction(() => prepareSchema(database!)).immediate();
    checkIntegrity(database, path);
    return database;
  } catch (error) {
    database?.close();
    throw databaseError("open", path, error);
  }
}

function pragma(database: Database, name: string): unknown {
  const row = database.query(`PRAGMA ${name}`).get() as Record<string, unknown> | null;
  return row === null ? undefined : Object.values(row)[0];
}

function checkIdentity(database: Database, path: string): void {
  const version = Number(pragma(database, "user_version"));
  const application = Number(pragma(database, "application_id"));
  if (version === 0 && application === 0) {
    const tables = database.query("SELECT count(*) AS count FROM sqlite_schema").get() as { count: number };
    if (tables.count === 0) return;
  }
  if (application !== APPLICATION_ID) {
    throw new DaosError("CORRUPT", `Cannot open "${path}": it is some other program's database. Move it away.`);
  }
  if (version !== SCHEMA_VERSION) {
    throw new DaosError(
      "VERSION",
      `Cannot open "${path}": its format is version ${version}, this program knows ${SCHEMA_VERSION}. ` +
        "Run the release that wrote it.",
    );
  }
}

function prepareSchema(database: Database): void {
  if (Number(pragma(database, "user_version")) === SCHEMA_VERSION) return;
  database.run(SCHEMA);
  database.run(`PRAGMA application_id = ${APPLICATION_ID}`);
  database.run(`PRAGMA user_version = ${SCHEMA_VERSION}`);
}

function checkIntegrity(database: Database, path: string): void {
  const verdict = pragma(database, "quick_check(1)");
  if (verdict === "ok") return;
  throw new DaosError(
    "CORRUPT",
    `Cannot open "${path}": ${String(verdict).replaceAll("\n", " ")}. Restore it from a backup.`,
  );
}

const CODE_BY_SQLITE: readonly (readonly [prefix: string, code: ErrorCode, state: string])[] = [
  ["SQLITE_BUSY", "BUSY", "another process has it open. Stop that one"],
  ["SQLITE_LOCKED", "BUSY", "it is open elsewhere in this process. Close it there"],
  ["SQLITE_FULL", "NO_SPACE", "the file system is full. Free space on it"],
  ["SQLITE_IOERR_CORRUPTFS", "CORRUPT", "the file system is damaged. Check it"],
  ["SQLITE_CORRUPT", "CORRUPT", "the file is damaged. Restore it from a backup"],
  ["SQLITE_NOTADB", "CORRUPT", "it is no database. Restore it from a backup"],
  ["SQLITE_READONLY", "READ_ONLY", "it cannot be written. Check its owner and permissions"],
  ["SQLITE_CANTOPEN", "READ_ONLY", "it cannot be opened. Check its owner and permissions"],
  ["SQLITE_PERM", "READ_ONLY", "permission denied. Check its owner and permissions"],
];

/** The DaosError for what SQLite threw. */
export function databaseError(action: string, path: string, error: unknown): DaosError {
  if (error instanceof DaosError) return error;
  const sqlite = errorName(error);
  const known = CODE_BY_SQLITE.find(([prefix]) => sqlite.startsWith(prefix));
  const text = error instanceof Error ? error.message : String(error);
  const state = known?.[2] ?? "the database failed. Look at the system's log";
  return new DaosError(known?.[1] ?? "IO", `Cannot ${action} "${path}": ${state} (${text}).`, { cause: error });
}

/** SQLite's name of the error, such as `SQLITE_FULL`. */
function errorName(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : "";
}
