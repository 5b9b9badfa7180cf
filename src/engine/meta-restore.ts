/**
 * Brings the records of a system back from a backup, into a meta store that is empty: while the engines are stopped, on
 * the host of the first one. Numbers that were given out after the backup was taken must not be given out again, for targets
 * hold data under them: the counters go on far behind those of the backup, and maps have later versions than anybody knows.
 */
import { DaosError } from "../base/errors.ts";
import { MAX_RANK } from "../base/limits.ts";
import { writeRecords } from "../control/meta-migration.ts";
import type { World } from "../contracts/world.ts";
import { type BackupRecord, decodeMetaBackup } from "../format/meta-backup.ts";
import { CONTAINER_COUNTER_KEY, MAP_PREFIX, RANK_COUNTER_KEY } from "../format/meta-key.ts";
import { decodeMetaRecord, encodeMetaRecord } from "../format/meta-record.ts";
import type { Configuration } from "./configuration.ts";
import type { PluginRegistry } from "./plugin-registry.ts";
import { formattedSuperblock, metaFolder } from "./storage-folder.ts";

/** More containers, and engines, than are made between two backups. */
const CONTAINER_GAP = 1_000_000;
const RANK_GAP = 256;
/** Versions of a pool's map that engines and clients may know already. */
const MAP_GAP = 1_000_000;

export interface MetaRestore {
  readonly storage: string;
  readonly system: string;
  readonly to: string;
  readonly records: number;
  readonly takenAtMs: number;
}

/**
 * Rejects with BUSY while the engine runs, CONFIGURATION (no storage of a first engine, another system's backup, another meta
 * store than it was formatted with), ALREADY_EXISTS (the store is not empty), CORRUPT, VERSION, and what the store rejects with.
 */
export async function restoreMetaStore(
  world: World,
  registry: PluginRegistry,
  { storage, metaStore }: Configuration,
  bytes: Uint8Array,
): Promise<MetaRestore> {
  const { disk } = world;
  const { header, records } = decodeMetaBackup(bytes);
  if (!disk.exists(storage)) throw refused(storage, "there is no such folder");
  const lock = disk.lockFolder(storage);
  try {
    const superblock = formattedSuperblock(disk, storage);
    if (superblock === undefined) throw refused(storage, "it holds no formatted storage");
    if (superblock.membership !== undefined) throw refused(storage, `it is that of rank ${superblock.membership.rank}`);
    if (superblock.id !== header.system) {
      const state = `the backup is of system "${header.name}" (${header.system}), the storage of "${superblock.system}" (${superblock.id})`;
      throw new DaosError("CONFIGURATION", `Cannot restore the records: ${state}. Use this system's backup.`);
    }
    const { plugin } = superblock.metaStore;
    if (metaStore.plugin !== plugin) {
      const state = `they were in meta store "${plugin}", "${metaStore.plugin}" is configured`;
      throw new DaosError("CONFIGURATION", `Cannot restore the records: ${state}. Configure that one.`);
    }
    const provider = await registry.provider("meta-store", plugin, metaStore.config);
    const store = await provider.open(world, { folder: metaFolder(storage) });
    try {
      const written = await writeRecords(records.map(skipped), store);
      return { storage, system: header.name, to: plugin, records: written, takenAtMs: header.takenAtMs };
    } finally {
      await store.close();
    }
  } finally {
    lock.release();
  }
}

function skipped({ key, value }: BackupRecord): BackupRecord {
  if (key === CONTAINER_COUNTER_KEY) return counted(key, value, (count) => count + CONTAINER_GAP);
  if (key.startsWith(MAP_PREFIX)) {
    const map = decodeMetaRecord("map", key, value);
    return { key, value: encodeMetaRecord("map", { ...map, version: map.version + MAP_GAP }) };
  }
  if (key === RANK_COUNTER_KEY) return counted(key, value, (count) => Math.min(count + RANK_GAP, MAX_RANK));
  return { key, value };
}

function counted(key: string, value: Uint8Array, next: (count: number) => number): BackupRecord {
  const { value: count } = decodeMetaRecord("counter", key, value);
  return { key, value: encodeMetaRecord("counter", { value: next(count) }) };
}

function refused(storage: string, state: string): DaosError {
  return new DaosError(
    "CONFIGURATION",
    `Cannot restore the records of "${storage}": ${state}. Name the storage folder of the system's first engine.`,
  );
}
