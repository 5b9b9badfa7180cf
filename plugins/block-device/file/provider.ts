/**
 * Makes and opens the file of block-device `file`.
 */
import { DaosError } from "../../../src/base/errors.ts";
import { formatSize } from "../../../src/base/size.ts";
import type { BlockDevice, BlockDeviceOpenOptions, BlockDeviceProvider } from "../../../src/contracts/block-device.ts";
import type { World } from "../../../src/contracts/world.ts";
import type { IoMode } from "../../io-strategy.ts";
import { createStorageFile, requireFile, requireFree, storageFilePath } from "../../storage-file.ts";
import { BLOCK_BYTES, FileBlockDevice } from "./device.ts";

export interface FileBlockDeviceConfig {
  readonly path?: string | undefined;
  readonly preallocate: boolean;
  readonly discard: boolean;
  readonly reads: "cached" | "direct";
  readonly mode: IoMode;
}

export class FileBlockDeviceProvider implements BlockDeviceProvider {
  readonly #config: FileBlockDeviceConfig;

  constructor(config: FileBlockDeviceConfig = { preallocate: false, discard: false, reads: "cached", mode: "auto" }) {
    this.#config = config;
  }

  async open(world: World, options: BlockDeviceOpenOptions): Promise<BlockDevice> {
    const { sizeBytes } = options;
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes <= 0 || sizeBytes % BLOCK_BYTES !== 0) {
      throw new DaosError(
        "INVALID_ARGUMENT",
        `Cannot use NVMe size ${sizeBytes}: it must be a multiple of ${formatSize(BLOCK_BYTES)} above zero.`,
      );
    }
    const { disk } = world;
    const folder = this.#config.path ?? options.folder;
    const path = storageFilePath(options.folder, this.#config.path, "nvme");
    if (options.create) {
      disk.makeFolder(folder);
      if (this.#config.preallocate) requireFree(disk, folder, path, sizeBytes);
      createStorageFile(disk, path, (file) => {
        if (this.#config.preallocate) file.preallocate(sizeBytes);
        else file.truncate(sizeBytes);
      });
    }
    requireFile(disk, path, sizeBytes);
    return new FileBlockDevice(world, path, sizeBytes, this.#config);
  }
}
