/**
 * Opens the regions of scm `pmdk`: looks at what the configured path is, and leaves making and finding the region there
 * to region-file.ts and region-device.ts.
 */
import type { PmdkAddon } from "../../../native/pmdk/addon.ts";
import { DaosError } from "../../../src/base/errors.ts";
import { GIB } from "../../../src/base/limits.ts";
import { formatSize } from "../../../src/base/size.ts";
import type { ScmOpenOptions, ScmProvider, ScmRegion } from "../../../src/contracts/scm.ts";
import type { World } from "../../../src/contracts/world.ts";
import { native } from "./native-error.ts";
import type { PmdkOpening } from "./opening.ts";
import { openDeviceRegion } from "./region-device.ts";
import { openFileRegion } from "./region-file.ts";
import { REGION_OFFSET_BYTES } from "./region-header.ts";
import { PAGE_BYTES, type PmdkSettings } from "./settings.ts";

/** An absent path of this kind is a device that is missing, not a folder to be made. */
const DEVICE_NAME = /^\/dev\/(dax|pmem)/;
/** The runtime has no larger buffers. */
const MAX_REGION_BYTES = 4 * GIB - REGION_OFFSET_BYTES;

export class PmdkScmProvider implements ScmProvider {
  readonly #addon: PmdkAddon;
  readonly #settings: PmdkSettings;

  constructor(addon: PmdkAddon, settings: PmdkSettings) {
    this.#addon = addon;
    this.#settings = settings;
  }

  async open(world: World, options: ScmOpenOptions): Promise<ScmRegion> {
    const { sizeBytes } = options;
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes <= 0 || sizeBytes > MAX_REGION_BYTES || sizeBytes % PAGE_BYTES) {
      throw new DaosError(
        "INVALID_ARGUMENT",
        `Cannot use SCM size ${sizeBytes}: it must be a multiple of ${formatSize(PAGE_BYTES)} above zero, less than 4 GiB.`,
      );
    }
    const opening: PmdkOpening = { addon: this.#addon, settings: this.#settings, world, options };
    const { path } = this.#settings;
    if (path === undefined) return openFileRegion(opening, undefined);
    const paths = typeof path === "string" ? [path] : path;
    const devices = paths.filter((candidate) => this.#isDevice(candidate));
    if (devices.length === paths.length) return openDeviceRegion(opening, devices);
    if (paths.length === 1) return openFileRegion(opening, paths[0]!);
    throw new DaosError(
      "CONFIGURATION",
      `Cannot use "${paths.join(", ")}" as SCM: not all are devdax devices. Name one folder, or devices only.`,
    );
  }

  /** True for a devdax device, false for what is or may become a folder. Throws for everything else. */
  #isDevice(path: string): boolean {
    const kind = native("look at", path, () => this.#addon.kindOf(path));
    if (kind === "devdax") return true;
    if (kind === "folder" || (kind === "absent" && !DEVICE_NAME.test(path))) return false;
    if (kind === "absent") {
      throw new DaosError("NOT_FOUND", `Cannot use "${path}" as SCM: there is no such device. See daos storage scan.`);
    }
    const states = {
      file: "it is a file. Name the folder that holds it",
      "block-device": "it is a block device. Make a file system on it, mount it with -o dax and name the folder",
      other: "it is no devdax device. Name a folder or a device such as /dev/dax0.0",
    };
    throw new DaosError("CONFIGURATION", `Cannot use "${path}" as SCM: ${states[kind]}.`);
  }
}
