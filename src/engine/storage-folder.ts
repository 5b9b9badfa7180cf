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
import { DaosError, hasCode } from "../base/errors.ts";
import { MIB, MIN_TARGET_NVME_BYTES, MIN_TARGET_SCM_BYTES } from "../base/limits.ts";
import { formatSize } from "../base/size.ts";
import type { Uuid } from "../base/uuid.ts";
import type { Disk } from "../contracts/world.ts";
import {
  decodeStorageSuperblock,
  encodeStorageSuperblock,
  MAX_STORAGE_SUPERBLOCK_BYTES,
  type StorageMembership,
  type StorageSuperblock,
} from "../format/storage-superblock.ts";
import type { Configuration } from "./configuration.ts";
import { isInterchangeable } from "./plugin-choice.ts";

export const SUPERBLOCK_FILE = "superblock";
const NEW_SUPERBLOCK_FILE = "superblock.new";
const META_FOLDER = "meta";
/** Names that do not make a folder somebody else's: our lock, a first superblock cut off, a file system's own. */
const HARMLESS_NAMES = new Set(["lock", NEW_SUPERBLOCK_FILE, "lost+found"]);
const OWN_FOLDER = /^(meta|target-\d{1,4})$/;
/** Parts of the free space that the tiers take at most when nobody gave a size. */
const DEFAULT_SCM_SHARE = 0.2;
const DEFAULT_NVME_SHARE = 0.6;
/** Plugins that keep their files in the storage folder unless told otherwise. */
const FOLDER_PLUGINS = new Set(["file", "ram", "uring"]);

export function metaFolder(storage: string): string {
  return `${storage}/${META_FOLDER}`;
}

export function targetFolder(storage: string, index: number): string {
  return `${storage}/target-${index}`;
}

export interface OpenStorageOptions {
  /** Used when the folder is formatted. */
  readonly newId: () => Uuid;
  readonly nowMs: number;
  /** `required`: the folder must not be formatted yet; `force`: what it holds of ours is given up. */
  readonly format?: "required" | "force";
  /** The engine joins a system, whose id and name these are, under this id of its own. */
  readonly joined?: {
    readonly engine: string;
    readonly id: string;
    readonly name: string;
    readonly membership: StorageMembership;
  };
  /** Engines that share the file system, when nobody gave sizes. */
  readonly sharers?: number;
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
  const found = previousSuperblock(disk, storage, options.format === "force");
  if (found?.state === "ready" && options.format !== "force") {
    if (options.format === "required") throw formattedAlready(storage);
    checkAgreement(found, configuration);
    return { superblock: found, format: false };
  }
  const names = disk.list(storage).filter((name) => name !== SUPERBLOCK_FILE && !HARMLESS_NAMES.has(name));
  const foreign = names.filter((name) => (found === undefined && options.format !== "force") || !OWN_FOLDER.test(name));
  if (foreign.length > 0) throw foreignFolder(storage, foreign);
  for (const name of names) disk.remove(`${storage}/${name}`);
  const superblock = newSuperblock(disk, configuration, options, found);
  saveSuperblock(disk, storage, superblock);
  return { superblock, format: true };
}

/** The superblock of a folder that holds data; undefined when it is to be formatted. Throws CORRUPT, VERSION. */
export function formattedSuperblock(disk: Disk, storage: string): StorageSuperblock | undefined {
  const found = readSuperblock(disk, storage);
  return found?.state === "ready" ? found : undefined;
}

/** Every part is made and durable: from now on the folder holds data. */
export function markReady(disk: Disk, storage: string, superblock: StorageSuperblock): StorageSuperblock {
  const ready: StorageSuperblock = { ...superblock, state: "ready" };
  saveSuperblock(disk, storage, ready);
  return ready;
}

/** Gives up all that a formatted folder holds: it is as one whose format was cut off, and belongs to no system. */
export function eraseStorage(
  disk: Disk,
  storage: string,
  { membership: _membership, ...superblock }: StorageSuperblock,
): void {
  saveSuperblock(disk, storage, { ...superblock, state: "formatting" });
  for (const name of disk.list(storage).filter((known) => OWN_FOLDER.test(known))) disk.remove(`${storage}/${name}`);
}

/** The id of an engine whose format was cut off; it goes on under it. Throws CORRUPT, VERSION. */
export function unfinishedEngine(disk: Disk, storage: string): StorageSuperblock | undefined {
  const found = readSuperblock(disk, storage);
  return found?.state === "formatting" && found.membership !== undefined ? found : undefined;
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

/** A damaged one is as good as none to who gives up what it described. */
function previousSuperblock(disk: Disk, storage: string, force: boolean): StorageSuperblock | undefined {
  try {
    return readSuperblock(disk, storage);
  } catch (error) {
    if (force && hasCode(error, "CORRUPT")) return undefined;
    throw error;
  }
}

/** Whole or not at all: written beside it, then renamed over it, which makes content and name durable. */
export function saveSuperblock(disk: Disk, storage: string, superblock: StorageSuperblock): void {
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

/** A format that was cut off goes on under its ids, so that the labels it wrote are known for its own. */
function newSuperblock(
  disk: Disk,
  configuration: Configuration,
  { newId, nowMs, joined, sharers = 1 }: OpenStorageOptions,
  cutOff: StorageSuperblock | undefined,
): StorageSuperblock {
  const { name, targets, scm, nvme, metaStore } = configuration;
  const scmSizeBytes = tierSizeBytes(disk, configuration, "scm", sharers);
  const nvmeSizeBytes = tierSizeBytes(disk, configuration, "nvme", sharers);
  const id = joined?.id ?? (cutOff?.state === "formatting" ? cutOff.id : newId());
  return {
    ...(joined !== undefined && { membership: joined.membership }),
    id,
    system: joined?.name ?? name,
    state: "formatting",
    createdAtMs: nowMs,
    targets,
    scm: { plugin: scm.plugin, targetSizeBytes: share(scmSizeBytes, targets), ...chosenConfig(configuration) },
    nvme: { plugin: nvme.plugin, targetSizeBytes: share(nvmeSizeBytes, targets) },
    metaStore: { plugin: metaStore.plugin },
    engine: joined?.engine ?? newId(),
    devices: nvme.devices.map(({ plugin }, index) => ({
      id: newId(),
      plugin,
      targets: targetsOfDevice(index, nvme.devices.length, targets),
      labelled: true,
      state: "normal" as const,
      reason: "",
    })),
  };
}

/** Settings that were chosen with the plugin are nowhere else. */
function chosenConfig({ scm, given }: Configuration): { config?: Record<string, unknown> } {
  return given.has("scm.config") || Object.keys(scm.config).length === 0 ? {} : { config: scm.config };
}

/** Targets take the devices in turn. */
function targetsOfDevice(device: number, deviceCount: number, targetCount: number): number[] {
  const targets = Array.from({ length: targetCount }, (_value, target) => target);
  return targets.filter((target) => target % deviceCount === device);
}

/** Whole mebibytes. */
function share(sizeBytes: number, targets: number): number {
  return Math.floor(sizeBytes / targets / MIB) * MIB;
}

/** As configured; when nobody said, no more than its part of what the file system can give. */
function tierSizeBytes(disk: Disk, configuration: Configuration, tier: "scm" | "nvme", sharers: number): number {
  const { storage, targets, given } = configuration;
  const { plugin, sizeBytes } = configuration[tier];
  if (given.has(`${tier}.size`) || !FOLDER_PLUGINS.has(plugin)) return sizeBytes;
  const [part, targetBytes] =
    tier === "scm" ? [DEFAULT_SCM_SHARE, MIN_TARGET_SCM_BYTES] : [DEFAULT_NVME_SHARE, MIN_TARGET_NVME_BYTES];
  const takenBytes = tier === "nvme" && given.has("scm.size") ? configuration.scm.sizeBytes : 0;
  const freeBytes = Math.max(0, disk.freeBytes(storage) - takenBytes);
  const chosenBytes = Math.min(sizeBytes, Math.floor((freeBytes * part) / sharers));
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
  // The first engine knows where the records are, those of others need not: they may have been moved.
  if (superblock.membership === undefined && metaStore.plugin !== superblock.metaStore.plugin) {
    throw recordsElsewhere(storage, superblock.metaStore.plugin, metaStore.plugin);
  }
  const facts: readonly (readonly [string, string | number, string | number])[] = [
    ["name", name, superblock.system],
    ["targets", targets, superblock.targets],
    ["scm.plugin", scm.plugin, superblock.scm.plugin],
    ["nvme.plugin", nvme.plugin, superblock.nvme.plugin],
    ["nvme.devices", devicesText(nvme.devices), devicesText(superblock.devices)],
    ["scm.size", share(scm.sizeBytes, superblock.targets), superblock.scm.targetSizeBytes],
    ["nvme.size", share(nvme.sizeBytes, superblock.targets), superblock.nvme.targetSizeBytes],
  ];
  if (nvme.devices.length !== superblock.devices.length) {
    throw new DaosError(
      "CONFIGURATION",
      `Cannot open storage "${storage}": it was formatted with ${superblock.devices.length} NVMe device(s), ` +
        `${nvme.devices.length} are configured. List them in nvme.devices as they were then.`,
    );
  }
  for (const [path, wanted, is] of facts) {
    if (wanted === is || !given.has(path) || isSameStorage(path, wanted, is)) continue;
    const sized = typeof is === "number" && path.endsWith("size");
    const shown = sized ? `${formatSize(is * superblock.targets)} (${is * superblock.targets} bytes)` : `"${is}"`;
    throw new DaosError(
      "CONFIGURATION",
      `Cannot open storage "${storage}": it was formatted with ${path} ${shown}, and that cannot be changed. ` +
        `Leave ${path} out, or use another storage folder.`,
    );
  }
}

/** Those of a default too: an older copy of the records may still be there. */
function recordsElsewhere(storage: string, is: string, configured: string): DaosError {
  return new DaosError(
    "CONFIGURATION",
    `Cannot open storage "${storage}": its system's records are in meta store "${is}", "${configured}" is configured. ` +
      `Set meta_store.plugin to ${is}, or move the records with \`daos system migrate-meta\`.`,
  );
}

/** Another plugin that keeps the same files. */
function isSameStorage(path: string, wanted: string | number, is: string | number): boolean {
  const kind = path === "scm.plugin" ? "scm" : path.startsWith("nvme.") ? "block-device" : undefined;
  if (kind === undefined || typeof wanted !== "string" || typeof is !== "string") return false;
  const formatted = is.split(", ");
  return wanted.split(", ").every((plugin, index) => isInterchangeable(kind, plugin, formatted[index] ?? ""));
}

function devicesText(devices: readonly { readonly plugin: string }[]): string {
  return devices.map(({ plugin }) => plugin).join(", ");
}

function formattedAlready(storage: string): DaosError {
  return new DaosError(
    "ALREADY_EXISTS",
    `Cannot format storage "${storage}": it is formatted and may hold data. ` +
      "Use another folder, or give up all it holds with `daos storage format --force`.",
  );
}

function foreignFolder(storage: string, names: readonly string[]): DaosError {
  const shown = names.slice(0, 3).join(", ");
  return new DaosError(
    "CONFIGURATION",
    `Cannot use storage folder "${storage}": it holds other things (${shown}${names.length > 3 ? ", ..." : ""}) ` +
      "and no superblock. Name an empty folder, or one that does not exist.",
  );
}
