/**
 * Where a target's data lie: which device of the list, and from which byte. Targets take the devices in turn; those that
 * share one have ranges of it behind one another, each with its label.
 */
import { DaosError } from "../../../src/base/errors.ts";
import type { SpdkConfig } from "./configuration.ts";
import { LABEL_AREA_BYTES } from "./device-label.ts";

/** A target's folder is named after its number; a folder of another name is the only one. */
const TARGET_FOLDER = /(?:^|\/)target-(\d{1,4})\/?$/;

export interface DevicePlace {
  /** Entry of `bdev_list`; undefined for a file or a socket. */
  readonly device: string | undefined;
  /** Of the label; the data begin LABEL_AREA_BYTES later. */
  readonly startByte: number;
}

export function targetNumber(folder: string): number {
  return Number(TARGET_FOLDER.exec(folder)?.[1] ?? 0);
}

/** Throws CONFIGURATION when the device cannot be shared by as many targets as there are. */
export function devicePlace(config: SpdkConfig, folder: string, sizeBytes: number): DevicePlace {
  const { bdev_list: devices, class: kind, back_end: backEnd } = config;
  if (devices.length === 0) return { device: undefined, startByte: 0 };
  const target = targetNumber(folder);
  const device = devices[target % devices.length]!;
  const row = Math.floor(target / devices.length);
  if (row > 0 && kind === "nvme" && backEnd === "qemu-storage-daemon") {
    const state = "qemu-storage-daemon serves an NVMe device to one target only";
    const advice = "List a device for each target, have fewer targets, or use back_end: spdk";
    throw new DaosError("CONFIGURATION", `Cannot use "${device}" for target ${target}: ${state}. ${advice}.`);
  }
  return { device, startByte: row * (LABEL_AREA_BYTES + wholeAreas(sizeBytes)) };
}

function wholeAreas(sizeBytes: number): number {
  return Math.ceil(sizeBytes / LABEL_AREA_BYTES) * LABEL_AREA_BYTES;
}
