/**
 * Makes and opens the file or block device of block-device `uring`.
 */
import { DaosError } from "../../../src/base/errors.ts";
import { KIB } from "../../../src/base/limits.ts";
import { formatSize } from "../../../src/base/size.ts";
import type { BlockDevice, BlockDeviceOpenOptions, BlockDeviceProvider } from "../../../src/contracts/block-device.ts";
import type { World } from "../../../src/contracts/world.ts";
import { createStorageFile, requireFree } from "../../storage-file.ts";
import { UringBlockDevice } from "./device.ts";
import { openNativeFile } from "./native-file.ts";
import type { OpenRingFile, RingFile } from "./ring.ts";

/** Sizes are multiples of this, whatever the device's blocks. */
const SIZE_UNIT_BYTES = 4 * KIB;
/** Stands for the name of the target's folder in a configured path. */
const TARGET = "{target}";

export interface UringBlockDeviceConfig {
  readonly path?: string | undefined;
  readonly preallocate: boolean;
  readonly discard: boolean;
}

export class UringBlockDeviceProvider implements BlockDeviceProvider {
  readonly #config: UringBlockDeviceConfig;
  readonly #openFile: OpenRingFile;

  /** `openFile`: tests give one of their own. */
  constructor(config: UringBlockDeviceConfig, openFile: OpenRingFile = openNativeFile) {
    this.#config = config;
    this.#openFile = openFile;
  }

  async open(world: World, options: BlockDeviceOpenOptions): Promise<BlockDevice> {
    const { folder, sizeBytes, create } = options;
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes <= 0 || sizeBytes % SIZE_UNIT_BYTES !== 0) {
      throw new DaosError(
        "INVALID_ARGUMENT",
        `Cannot use NVMe size ${sizeBytes}: it must be a multiple of ${formatSize(SIZE_UNIT_BYTES)} above zero.`,
      );
    }
    const path = devicePath(folder, this.#config.path);
    let file = create && !world.disk.exists(path) ? undefined : this.#openFile(path, world);
    if (create && file?.isBlockDevice !== true) {
      // An old file is replaced, and only by whom it belongs to: it was opened, so nobody else has it.
      this.#createFile(world, path, sizeBytes);
      file?.close();
      file = this.#openFile(path, world);
    }
    requireSize(path, file!, sizeBytes);
    // A preallocated file keeps its blocks: giving them back would make a later write fail with NO_SPACE.
    const discards = this.#config.discard && (file!.isBlockDevice || !this.#config.preallocate);
    return new UringBlockDevice(world, path, file!, sizeBytes, discards);
  }

  #createFile(world: World, path: string, sizeBytes: number): void {
    const { disk } = world;
    const folder = path.slice(0, path.lastIndexOf("/")) || "/";
    disk.makeFolder(folder);
    if (this.#config.preallocate) requireFree(disk, folder, path, sizeBytes);
    createStorageFile(disk, path, (file) => {
      if (this.#config.preallocate) file.preallocate(sizeBytes);
      else file.truncate(sizeBytes);
    });
  }
}

function devicePath(folder: string, configured: string | undefined): string {
  if (configured === undefined) return `${folder}/nvme`;
  return configured.replaceAll(TARGET, folder.slice(folder.lastIndexOf("/") + 1));
}

/** A file has the size it was made with, exactly; a device at least that. Closes it when not. */
function requireSize(path: string, file: RingFile, sizeBytes: number): void {
  const actualBytes = file.sizeBytes;
  if (file.isBlockDevice ? actualBytes >= sizeBytes : actualBytes === sizeBytes) return;
  file.close();
  if (file.isBlockDevice) {
    throw new DaosError(
      "NO_SPACE",
      `Cannot open "${path}": the device has ${formatSize(actualBytes)} and ${formatSize(sizeBytes)} are needed. ` +
        "Configure a smaller size or use a larger device.",
    );
  }
  throw new DaosError(
    "CORRUPT",
    `Cannot open "${path}": it has ${actualBytes} bytes instead of ${sizeBytes}. ` +
      "Restore the size the storage was formatted with, or the file.",
  );
}
