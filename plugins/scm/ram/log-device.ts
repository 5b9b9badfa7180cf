/**
 * The device under scm `ram`, one part of it for each target. Where it is a file, the file is the region's bytes and
 * nothing else, named and made as scm `file` does it, so that either plugin opens what the other made. A block device
 * that holds anything is not formatted unless the settings say so.
 */
import { assert } from "../../../src/base/assert.ts";
import { DaosError, hasCode } from "../../../src/base/errors.ts";
import { KIB } from "../../../src/base/limits.ts";
import type { BlockDevice } from "../../../src/contracts/block-device.ts";
import type { ScmOpenOptions } from "../../../src/contracts/scm.ts";
import type { DiskFile, World } from "../../../src/contracts/world.ts";
import { FileBlockDevice } from "../../block-device/file/device.ts";
import { SpdkBlockDeviceProvider } from "../../block-device/spdk/provider.ts";
import { nativeProblem, openNativeFile } from "../../block-device/uring/native-file.ts";
import { UringBlockDeviceProvider } from "../../block-device/uring/provider.ts";
import { createStorageFile, requireFile, requireFree, storageFilePath } from "../../storage-file.ts";
import type { RamSettings } from "./settings.ts";

const FILE_NAME = "scm";
/** Stands for the name of the target's folder in a configured path. */
const TARGET = "{target}";
/** So much at the start of a block device is looked at before it is formatted: partition tables and file systems are there. */
const HEAD_BYTES = 128 * KIB;

export interface LogDevice {
  readonly device: BlockDevice;
  /** The same file or block device for writes in the calling thread, where there is one. */
  readonly file: DiskFile | undefined;
  /** For messages. */
  readonly path: string;
  /** After a format: the device may hold other bytes than zeros. */
  readonly isDirty: boolean;
  readonly notices: readonly string[];
}

/** Makes or opens the device of a target. Throws what the device's plugin throws, and ALREADY_EXISTS. */
export async function openLogDevice(world: World, options: ScmOpenOptions, settings: RamSettings): Promise<LogDevice> {
  const { device } = settings;
  if (device?.plugin === "spdk") return openSpdk(world, options, device.config);
  if (device?.plugin === "uring" && device.config.path !== undefined) {
    const name = options.folder.slice(options.folder.lastIndexOf("/") + 1);
    return openUringPath(world, options, device.config.path.replaceAll(TARGET, name), device.config.overwrite);
  }
  return openFile(world, options, settings);
}

/** A file as scm `file` has it. */
async function openFile(world: World, options: ScmOpenOptions, settings: RamSettings): Promise<LogDevice> {
  const { disk } = world;
  const { folder, sizeBytes, create } = options;
  const path = storageFilePath(folder, settings.path, FILE_NAME);
  if (create) {
    const holder = settings.path ?? folder;
    disk.makeFolder(holder);
    requireFree(disk, holder, path, sizeBytes);
    createStorageFile(disk, path, (file) => file.preallocate(sizeBytes));
  }
  requireFile(disk, path, sizeBytes);
  const { device, notices } = await openFileDevice(world, path, options, settings.device?.plugin);
  return { device, file: openDurable(world, path), path, isDirty: false, notices };
}

async function openFileDevice(
  world: World,
  path: string,
  { folder, sizeBytes }: ScmOpenOptions,
  plugin: "file" | "uring" | "spdk" | undefined,
): Promise<{ device: BlockDevice; notices: string[] }> {
  assert(plugin !== "spdk", "a file is not reached through spdk");
  let problem: string | undefined;
  if (plugin !== "file") {
    problem = plugin === undefined ? nativeProblem() : undefined;
    try {
      if (problem === undefined) {
        const provider = new UringBlockDeviceProvider({ path, preallocate: true, discard: false });
        return { device: await provider.open(world, { folder, sizeBytes, create: false }), notices: [] };
      }
    } catch (error) {
      // A file system without direct I/O, say.
      if (plugin === "uring" || !hasCode(error, "UNSUPPORTED")) throw error;
      problem = (error as Error).message;
    }
  }
  const config = { mode: "async", reads: "direct", preallocate: true, discard: false } as const;
  const device = new FileBlockDevice(world, path, sizeBytes, config);
  return {
    device,
    notices: problem === undefined ? [] : [`SCM "${path}" is written without io_uring: ${problem.replace(/\.$/, "")}`],
  };
}

/** A file of that name, or a block device. */
async function openUringPath(
  world: World,
  options: ScmOpenOptions,
  path: string,
  overwrite: boolean,
): Promise<LogDevice> {
  const isDirty = options.create && isBlockDevice(world, path);
  const provider = new UringBlockDeviceProvider({ path, preallocate: true, discard: false });
  const device = await provider.open(world, options);
  try {
    if (isDirty && !overwrite) await requireBlank(path, device);
    return { device, file: openDurable(world, path), path, isDirty, notices: [] };
  } catch (error) {
    await device.close();
    throw error;
  }
}

function isBlockDevice(world: World, path: string): boolean {
  if (!world.disk.exists(path)) return false;
  const file = openNativeFile(path);
  file.close();
  return file.isBlockDevice;
}

async function requireBlank(path: string, device: BlockDevice): Promise<void> {
  const head = device.allocate(Math.min(HEAD_BYTES, device.sizeBytes));
  try {
    await device.read(0, head);
    if (head.every((byte) => byte === 0)) return;
  } finally {
    device.release(head);
  }
  throw new DaosError(
    "ALREADY_EXISTS",
    `Cannot format "${path}": the device holds something. Clear its start if it is not needed, or set "overwrite: true".`,
  );
}

/** Its labels tell whose device it is; they are kept apart from those of the NVMe tier. */
async function openSpdk(
  world: World,
  options: ScmOpenOptions,
  config: ConstructorParameters<typeof SpdkBlockDeviceProvider>[0],
): Promise<LogDevice> {
  const name = options.folder.slice(options.folder.lastIndexOf("/") + 1);
  const folder = `${options.folder}/${FILE_NAME}/${name}`;
  if (options.create) world.disk.makeFolder(folder);
  const device = await new SpdkBlockDeviceProvider(config).open(world, { ...options, folder });
  return { device, file: undefined, path: folder, isDirty: options.create, notices: [] };
}

function openDurable(world: World, path: string): DiskFile {
  return world.disk.openFile(path, { durable: true, direct: true });
}
