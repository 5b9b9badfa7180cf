/**
 * Moves the records of a system from the meta store that its first engine was formatted with to the one that is configured
 * now, while the engine is stopped. The superblock says from then on where they are: an engine that is started with the
 * store of before is refused.
 */
import { DaosError } from "../base/errors.ts";
import { copyRecords } from "../control/meta-migration.ts";
import type { World } from "../contracts/world.ts";
import type { Configuration } from "./configuration.ts";
import type { PluginRegistry } from "./plugin-registry.ts";
import { formattedSuperblock, metaFolder, saveSuperblock } from "./storage-folder.ts";

export interface MetaMigration {
  readonly storage: string;
  readonly from: string;
  readonly to: string;
  readonly records: number;
}

/**
 * Rejects with BUSY while the engine runs, CONFIGURATION (no storage of a first engine, or the same store), ALREADY_EXISTS
 * (the new store is not empty), CORRUPT, and what the stores reject with: the engine's records are as they were then.
 */
export async function migrateMetaStore(
  world: World,
  registry: PluginRegistry,
  { storage, metaStore }: Configuration,
): Promise<MetaMigration> {
  const { disk } = world;
  if (!disk.exists(storage)) throw notFirst(storage, "there is no such folder");
  const lock = disk.lockFolder(storage);
  try {
    const superblock = formattedSuperblock(disk, storage);
    if (superblock === undefined) throw notFirst(storage, "it holds no formatted storage");
    if (superblock.membership !== undefined)
      throw notFirst(storage, `it is that of rank ${superblock.membership.rank}`);
    const [from, to] = [superblock.metaStore.plugin, metaStore.plugin];
    if (from === to) {
      const state = `they are in meta store "${from}" already, as configured`;
      throw new DaosError(
        "CONFIGURATION",
        `Cannot move the records: ${state}. Configure meta_store.plugin as it is to be.`,
      );
    }
    const folder = { folder: metaFolder(storage) };
    const source = await (await registry.provider("meta-store", from)).open(world, folder);
    try {
      const target = await (await registry.provider("meta-store", to, metaStore.config)).open(world, folder);
      try {
        const records = await copyRecords(source, target);
        saveSuperblock(disk, storage, { ...superblock, metaStore: { plugin: to } });
        return { storage, from, to, records };
      } finally {
        await target.close();
      }
    } finally {
      await source.close();
    }
  } finally {
    lock.release();
  }
}

function notFirst(storage: string, state: string): DaosError {
  return new DaosError(
    "CONFIGURATION",
    `Cannot move the records of "${storage}": ${state}. Name the storage folder of the system's first engine.`,
  );
}
