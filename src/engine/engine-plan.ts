/**
 * How the engines of one host share its storage folder, ports and cores.
 *
 *     STORAGE/engine<n>/   the storage of engine n
 *     STORAGE/superblock   a storage that was made by a start of one engine: it goes on as the first engine's
 */
import { DaosError } from "../base/errors.ts";
import { MAX_HOST_ENGINES } from "../base/limits.ts";
import type { Disk } from "../contracts/world.ts";
import { type Configuration, ENGINE_PORT_SPACING } from "./configuration.ts";
import type { ListenAddress } from "./listen-address.ts";
import { SUPERBLOCK_FILE } from "./storage-folder.ts";

export interface EnginePlan {
  /** 0 runs the control plane. */
  readonly index: number;
  readonly storage: string;
  readonly listen: ListenAddress;
  /** Targets of storage that is made now and for which nobody gave a number. */
  readonly targets: number | undefined;
  readonly isNew: boolean;
}

/** The engines to start, the first one first. Throws CONFIGURATION when the storage holds more than are wanted. */
export function planEngines(disk: Disk, configuration: Configuration, cores: number): EnginePlan[] {
  const { storage, listen, given } = configuration;
  const isFormatted = (folder: string): boolean => disk.exists(`${folder}/${SUPERBLOCK_FILE}`);
  const folderOf = (index: number): string =>
    index === 0 && isFormatted(storage) ? storage : `${storage}/engine${index}`;
  const indices = Array.from({ length: MAX_HOST_ENGINES }, (_value, index) => index);
  const held = indices.findLastIndex((index) => isFormatted(folderOf(index))) + 1;
  const count = configuration.engines === 0 ? Math.max(1, held) : configuration.engines;
  if (held > count) {
    throw new DaosError(
      "CONFIGURATION",
      `Cannot start ${count} engine(s) on "${storage}": it holds ${held}. Leave --engines out, or start all of them.`,
    );
  }
  // One engine on its own keeps the whole folder.
  if (count === 1) return [{ index: 0, storage, listen, targets: undefined, isNew: !isFormatted(storage) }];
  const share = Math.max(1, Math.floor((cores - 1) / count));
  return indices.slice(0, count).map((index) => {
    const folder = folderOf(index);
    const isNew = !isFormatted(folder);
    const port = listen.port === 0 ? 0 : listen.port + index * ENGINE_PORT_SPACING;
    const targets = isNew && !given.has("targets") ? share : undefined;
    return { index, storage: folder, listen: { host: listen.host, port }, targets, isNew };
  });
}
