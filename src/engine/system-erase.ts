/**
 * Gives up what a system holds on this host, so that its storage can be formatted anew: while the engines are stopped. The
 * superblocks stay, as those of a format that was cut off, so that the next start knows the labels on its devices for its own.
 */
import { DaosError } from "../base/errors.ts";
import { removeRecords } from "../control/meta-migration.ts";
import type { MetaStore } from "../contracts/meta-store.ts";
import type { World } from "../contracts/world.ts";
import { LEADER_KEY } from "../format/meta-key.ts";
import type { StorageSuperblock } from "../format/storage-superblock.ts";
import type { Configuration } from "./configuration.ts";
import type { PluginRegistry } from "./plugin-registry.ts";
import { eraseStorage, formattedSuperblock, metaFolder } from "./storage-folder.ts";

export interface SystemErase {
  /** Folders of the engines, whose data is gone. */
  readonly storages: readonly string[];
  /** Records that were removed; the first engine's host has them. */
  readonly records: number;
}

export interface SystemEraseOptions {
  /** The system's name, from who means it. */
  readonly confirm: string;
  /** Also when the meta store says that an engine leads, or cannot be opened: its records stay then. */
  readonly force: boolean;
}

interface Engine {
  readonly storage: string;
  readonly superblock: StorageSuperblock;
}

/**
 * Rejects with BUSY while an engine runs, CONFIGURATION (nothing to erase, or another name), and what the meta store rejects
 * with. Begun again it goes on.
 */
export async function eraseSystem(
  world: World,
  registry: PluginRegistry,
  configuration: Configuration,
  folders: readonly string[],
  options: SystemEraseOptions,
): Promise<SystemErase> {
  const { disk } = world;
  const present = folders.filter((storage) => disk.exists(storage));
  const locks: { release(): void }[] = [];
  try {
    for (const storage of present) locks.push(disk.lockFolder(storage));
    const engines = present.flatMap((storage): Engine[] => {
      const superblock = formattedSuperblock(disk, storage);
      return superblock === undefined ? [] : [{ storage, superblock }];
    });
    checkMeant(configuration.storage, engines, options.confirm);
    const first = engines.find(({ superblock }) => superblock.membership === undefined);
    const records = first === undefined ? 0 : await eraseRecords(world, registry, configuration, first, options.force);
    for (const { storage, superblock } of engines) eraseStorage(disk, storage, superblock);
    return { storages: engines.map(({ storage }) => storage), records };
  } finally {
    for (const lock of locks) lock.release();
  }
}

function checkMeant(storage: string, engines: readonly Engine[], confirm: string): void {
  const wrong = engines.find(({ superblock }) => superblock.system !== confirm);
  if (engines.length > 0 && wrong === undefined) return;
  const [state, advice] =
    wrong === undefined
      ? [`"${storage}" holds no formatted storage`, "Name its storage folder"]
      : [`--confirm says "${confirm}", and the system is "${wrong.superblock.system}"`, "Give its name if it is meant"];
  throw new DaosError("CONFIGURATION", `Cannot erase the system: ${state}. ${advice}.`);
}

async function eraseRecords(
  world: World,
  registry: PluginRegistry,
  { metaStore }: Configuration,
  { storage, superblock }: Engine,
  force: boolean,
): Promise<number> {
  const { plugin } = superblock.metaStore;
  const config = metaStore.plugin === plugin ? metaStore.config : {};
  let store: MetaStore | undefined;
  try {
    const provider = await registry.provider("meta-store", plugin, config);
    store = await provider.open(world, { folder: metaFolder(storage) });
    if (!force && (await store.get(LEADER_KEY)) !== undefined) {
      const state = "an engine leads the system, as its meta store says, or did a moment ago";
      throw new DaosError("BUSY", `Cannot erase system "${superblock.system}": ${state}. Stop all engines first.`);
    }
    return await removeRecords(store);
  } catch (error) {
    if (force && error instanceof DaosError) return 0;
    throw error;
  } finally {
    await store?.close();
  }
}
