/**
 * The storage folder of an engine: its layout, its superblock, and whether it may be used.
 *
 *     superblock   what the storage is (src/format/storage-superblock.ts)
 *     lock         held by the engine that uses it
 *     meta/        the meta store            target-<n>/   the storage of target n
 *
 * Format is safe against a crash at any moment: the superblock is written first as `formatting`, and as `ready` once all
 * parts are made. A folder found `formatting` never held data and is formatted again. A folder with other things in it
 * and no superblock is left alone. The caller holds the folder's lock.
 */
import { DaosError } from "../base/errors.ts";
import { MIB, MIN_TARGET_NVME_BYTES, MIN_TARGET_SCM_BYTES } from "../base/limits.ts";
import { formatSize } from "../base/size.ts";
import type { Uuid } from "../base/uuid.ts";
import type { Disk } from "../contracts/world.ts";
import {
  decodeStorageSuperblock,
  encodeStorageSuperblock,
  MAX_STORAGE_SUPERBLOCK_BYTES,
  type StorageSuperblock,
} from "../format/storage-superblock.ts";
import type { Configuration } from "./configuration.ts";

export const SUPERBLOCK_FILE = "superblock";
const NEW_SUPERBLOCK_FILE = "superblock.new";
const META_FOLDER = "meta";
/** Names that do not make a folder somebody else's: our lock, a first superblock cut off, a file system's own. */
const HARMLESS_NAMES = new Set(["lock", NEW_SUPERBLOCK_FILE, "lost+found"]);
const OWN_FOLDER = /^(meta|target-\d{1,4})$/;
/** Parts of the free space that the tiers take at most when nobody gave a size. */
const DEFAULT_SCM_SHARE = 0.2;
const DEFAULT_NVME_SHARE = 0.6;

export function metaFolder(storage: string): string {
  return `${storage}/${META_FOLDER}`;
}

export function targetFolder(storage: string, index: number): string {
  return `${storage}/target-${index}`;
}

export interface OpenStorageOptions {
  /** Used when the folder is formatted. */
  readonly id: Uuid;
  readonly nowMs: number;
}

export interface OpenStorage {
  readonly superblock: StorageSuperblock;
  /** The parts are to be made; `markReady` ends that. */
  readonly format: boolean;
}

/**
 * Reads the folder's superblock, or begins to format an empty folder (made if it is not there). Throws CONFIGURATION
 * (the storage is something else than configured, or not ours), CORRUPT, VERSION, NO_SPACE, and what the disk throws.
 */
export function openStorageFolder(disk: Disk, configuration: Configuration, options: OpenStorageOptions): OpenStorage {
  const { storage } = configuration;
  disk.makeFolder(storage);
  const found = readSuperblock(disk, storage);
  if (found?.state === "ready") {
    checkAgreement(found, configuration);
    return { superblock: found, format: false };
  }
  const names = disk.list(storage).filter((name) => name !== SUPERBLOCK_FILE && !HARMLESS_NAMES.has(name));
  const foreign = names.filter((name) => found === undefined || !OWN_FOLDER.test(name));
  if (foreign.length > 0) throw foreignFolder(storage, foreign);
  for (const name of names) disk.remove(`${storage}/${name}`);
  const superblock = newSuperblock(disk, configuration, options);
  writeSuperblock(disk, storage, superblock);
  return { superblock, format: true };
}

/** Every part is made and durable: from now on the folder holds data. */
export function markReady(disk: Disk, storage: string, superblock: StorageSuperblock): StorageSuperblock {
  const ready: StorageSuperblock = { ...superblock, state: "ready" };
  writeSuperblock(disk, storage, ready);
  return ready;
}

function readSuperblock(disk: Disk, storage: string): StorageSuperblock | undefined {
  const path = `${storage}/${SUPERBLOCK_FILE}`;
  if (!disk.exists(path)) return undefined;
  const file = disk.openFile(path, { readOnly: true });
  try {
    const bytes = new Uint8Array(Math.min(file.sizeBytes(), MAX_STORAGE_SUPERBLOCK_BYTES));
    return decodeStorageSuperblock(storage, bytes.subarray(0, file.readSync(bytes, 0)));
  } finally {
    file.close();
  }
}

/** Whole or not at all: written beside it, then renamed over it, which makes content and name durable. */
function writeSuperblock(disk: Disk, storage: string, superblock: StorageSuperblock): void {
  const path = `${storage}/${NEW_SUPERBLOCK_FILE}`;
  disk.remove(path);
  const file = disk.openFile(path, { create: true });
  try {
    file.writeSync(encodeStorageSuperblock(superblock), 0);
  } finally {
    file.close();
  }
  disk.rename(path, `${storage}/${SUPERBLOCK_FILE}`);
}

function newSuperblock(disk: Disk, configuration: Configuration, { id, nowMs }: OpenStorageOptions): StorageSuperblock {
  const { name, targets, scm, nvme, metaStore } = configuration;
  const scmSizeBytes = tierSizeBytes(disk, configuration, "scm");
  const nvmeSizeBytes = tierSizeBytes(disk, configuration, "nvme");
  return {
    id,
    system: name,
    state: "formatting",
    createdAtMs: nowMs,
    targets,
    scm: { plugin: scm.plugin, targetSizeBytes: share(scmSizeBytes, targets) },
    nvme: { plugin: nvme.plugin, targetSizeBytes: share(nvmeSizeBytes, targets) },
    metaStore: { plugin: metaStore.plugin },
  };
}

/** Whole mebibytes. */
function share(sizeBytes: number, targets: number): number {
  return Math.floor(sizeBytes / targets / MIB) * MIB;
}

/** As configured; when nobody said, no more than its part of what the file system can give. */
function tierSizeBytes(disk: Disk, configuration: Configuration, tier: "scm" | "nvme"): number {
  const { storage, targets, given } = configuration;
  const { plugin, sizeBytes } = configuration[tier];
  if (given.has(`${tier}.size`) || plugin !== "file") return sizeBytes;
  const [part, targetBytes] =
    tier === "scm" ? [DEFAULT_SCM_SHARE, MIN_TARGET_SCM_BYTES] : [DEFAULT_NVME_SHARE, MIN_TARGET_NVME_BYTES];
  const takenBytes = tier === "nvme" && given.has("scm.size") ? configuration.scm.sizeBytes : 0;
  const freeBytes = Math.max(0, disk.freeBytes(storage) - takenBytes);
  const chosenBytes = Math.min(sizeBytes, Math.floor(freeBytes * part));
  if (chosenBytes >= targets * targetBytes) return chosenBytes;
  throw new DaosError(
    "NO_SPACE",
    `Cannot format "${storage}": ${formatSize(freeBytes)} are free, too little for the ${tier} tier of ${targets} ` +
      `target(s). Free some, or set scm.size and nvme.size (at least ${formatSize(targets * MIN_TARGET_SCM_BYTES)} ` +
      `and ${formatSize(targets * MIN_TARGET_NVME_BYTES)}).`,
  );
}

/** What was fixed at format and is configured otherwise now. Defaults need not agree. */
function checkAgreement(superblock: StorageSuperblock, configuration: Configuration): void {
  const { name, targets, scm, nvme, metaStore, given, storage } = configuration;
  const facts: readonly (readonly [string, string | number, string | number])[] = [
    ["name", name, superblock.system],
    ["targets", targets, superblock.targets],
    ["scm.plugin", scm.plugin, superblock.scm.plugin],
    ["nvme.plugin", nvme.plugin, superblock.nvme.plugin],
    ["meta_store.plugin", metaStore.plugin, superblock.metaStore.plugin],
    ["scm.size", share(scm.sizeBytes, superblock.targets), superblock.scm.targetSizeBytes],
    ["nvme.size", share(nvme.sizeBytes, superblock.targets), superblock.nvme.targetSizeBytes],
  ];
  for (const [path, wanted, is] of facts) {
    if (wanted === is || !given.has(path)) continue;
    const sized = typeof is === "number" && path.endsWith("size");
    const shown = sized ? `${formatSize(is * superblock.targets)} (${is * superblock.targets} bytes)` : `"${is}"`;
    throw new DaosError(
      "CONFIGURATION",
      `Cannot open storage "${storage}": it was formatted with ${path} ${shown}, and that cannot be changed. ` +
        `Leave ${path} out, or use another storage folder.`,
    );
  }
}

function foreignFolder(storage: string, names: readonly string[]): DaosError {
  const shown = names.slice(0, 3).join(", ");
  return new DaosError(
    "CONFIGURATION",
    `Cannot use storage folder "${storage}": it holds other things (${shown}${names.length > 3 ? ", ..." : ""}) ` +
      "and no superblock. Name an empty folder, or one that does not exist.",
  );
}
