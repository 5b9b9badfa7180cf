/**
 * Regions of scm `pmdk` on devdax devices: one device holds one target's region, at its start. A device that holds
 * anything else (another target's region, or bytes that are none) is not overwritten unless told so. Of several devices a target takes
 * the first free one when it is formatted, and finds it again by the region's id.
 */
import type { PmdkMapping, PmdkSource } from "../../../native/pmdk/addon.ts";
import { type ByteString, byteString } from "../../../src/base/bytes.ts";
import { DaosError, hasCode } from "../../../src/base/errors.ts";
import { MIB } from "../../../src/base/limits.ts";
import { formatSize } from "../../../src/base/size.ts";
import type { ScmRegion } from "../../../src/contracts/scm.ts";
import { type DeviceRecord, readDeviceRecord, writeDeviceRecord } from "./device-record.ts";
import { native } from "./native-error.ts";
import { inspectSource, mapSource, type PmdkOpening, regionOf } from "./opening.ts";
import { writeHeader } from "./region.ts";
import { decodeRegionHeader, REGION_ID_BYTES, REGION_OFFSET_BYTES, type RegionHeader } from "./region-header.ts";
import { granularityBytesOf, requireGranularity } from "./settings.ts";

const ZERO_STEP_BYTES = 64 * MIB;

/** Makes the region on the first of the devices that is free, or opens it on the one that holds it. */
export async function openDeviceRegion(opening: PmdkOpening, devices: readonly string[]): Promise<ScmRegion> {
  const { disk } = opening.world;
  const { folder, create } = opening.options;
  const record = disk.exists(folder) ? readDeviceRecord(disk, folder) : undefined;
  if (create) return makeRegion(opening, devices, record);
  if (record === undefined) {
    throw new DaosError("NOT_FOUND", `Cannot open "${folder}": it has no SCM device. Format the storage first.`);
  }
  const path = findDevice(opening, devices, record);
  const source = inspectSource(opening, path);
  return regionOf(opening, path, mapRegion(opening, path, source), source);
}

/** The device that holds the region, looked for where it was first. Throws NOT_FOUND, CORRUPT. */
function findDevice(opening: PmdkOpening, devices: readonly string[], record: DeviceRecord): string {
  const ordered = [...devices].sort((left, right) => Number(right === record.device) - Number(left === record.device));
  const found = ordered.find((path) => headerOn(opening, path)?.id === record.id);
  if (found !== undefined) return found;
  throw new DaosError(
    "NOT_FOUND",
    `Cannot open "${devices.join(", ")}": the region of "${opening.options.folder}" is not there (it was made on ` +
      `${record.device}). Configure the device that holds it.`,
  );
}

function headerOn(opening: PmdkOpening, path: string): RegionHeader | undefined {
  return decodeRegionHeader(headOf(opening, path));
}

function headOf(opening: PmdkOpening, path: string): Uint8Array {
  return new Uint8Array(native("read", path, () => opening.addon.readHead(path, REGION_OFFSET_BYTES)));
}

function makeRegion(opening: PmdkOpening, devices: readonly string[], record: DeviceRecord | undefined): ScmRegion {
  opening.world.disk.makeFolder(opening.options.folder);
  const attempts = opening.settings.overwrite ? [false, true] : [false];
  const refusals: DaosError[] = [];
  for (const overwrite of attempts) {
    for (const path of devices) {
      try {
        return makeRegionOn(opening, path, record, overwrite);
      } catch (error) {
        if (!(error instanceof DaosError) || !(hasCode(error, "BUSY") || hasCode(error, "ALREADY_EXISTS"))) throw error;
        refusals.push(error);
      }
    }
  }
  // The last one's message has the advice; the codes of all are the same to a caller.
  throw refusals.at(-1)!;
}

function makeRegionOn(
  opening: PmdkOpening,
  path: string,
  record: DeviceRecord | undefined,
  overwrite: boolean,
): ScmRegion {
  const source = inspectSource(opening, path);
  requireDeviceSize(opening, path, source);
  const mapping = mapRegion(opening, path, source);
  formatDevice(opening, path, mapping, record, overwrite);
  return regionOf(opening, path, mapping, source);
}

/** Writes zeros and the header. Closes the mapping when the device is refused. */
function formatDevice(
  opening: PmdkOpening,
  path: string,
  mapping: PmdkMapping,
  record: DeviceRecord | undefined,
  overwrite: boolean,
): void {
  const { addon, settings, world, options } = opening;
  try {
    requireGranularity(settings, path, mapping.granularity);
    if (!overwrite) requireFreeDevice(path, new Uint8Array(mapping.bytes), record);
    const id = record?.id ?? newId(opening);
    // First the record, so that a region cut off half way is known to be this target's.
    writeDeviceRecord(world.disk, options.folder, { id, device: path });
    const endBytes = REGION_OFFSET_BYTES + options.sizeBytes;
    for (let offset = 0; offset < endBytes; offset += ZERO_STEP_BYTES) {
      const length = Math.min(ZERO_STEP_BYTES, endBytes - offset);
      native("zero", path, () => addon.zero(mapping.slot, offset, length));
    }
    writeHeader(addon, mapping, {
      sequence: 0,
      id,
      regionBytes: options.sizeBytes,
      granularityBytes: granularityBytesOf(mapping.granularity),
      inUse: false,
      health: undefined,
      owner: options.folder,
    });
  } catch (error) {
    addon.close(mapping.slot, mapping.bytes);
    throw error;
  }
}

function newId(opening: PmdkOpening): ByteString {
  const id = new Uint8Array(REGION_ID_BYTES);
  opening.world.random.fill(id);
  return byteString(id);
}

/** Throws ALREADY_EXISTS when the device holds something that is not this target's. */
function requireFreeDevice(path: string, bytes: Uint8Array, record: DeviceRecord | undefined): void {
  const header = decodeRegionHeader(bytes);
  if (header === undefined && bytes.subarray(0, REGION_OFFSET_BYTES).every((byte) => byte === 0)) return;
  if (header !== undefined && header.id === record?.id) return;
  const holds = header === undefined ? "data that is no SCM region" : `the SCM region of "${header.owner}"`;
  throw new DaosError(
    "ALREADY_EXISTS",
    `Cannot format "${path}": it holds ${holds}. Configure another device, or give that up with ` +
      '"overwrite: true" in the settings of scm plugin "pmdk" for this one start.',
  );
}

function requireDeviceSize(opening: PmdkOpening, path: string, source: PmdkSource): void {
  if (mappedBytes(opening, source) <= source.sizeBytes) return;
  throw new DaosError(
    "NO_SPACE",
    `Cannot format "${path}": it takes ${formatSize(mappedBytes(opening, source))} and the device has ` +
      `${formatSize(source.sizeBytes)}. Configure a smaller SCM size or a larger device.`,
  );
}

function mapRegion(opening: PmdkOpening, path: string, source: PmdkSource): PmdkMapping {
  return mapSource(opening, path, mappedBytes(opening, source));
}

function mappedBytes(opening: PmdkOpening, source: PmdkSource): number {
  const { alignmentBytes } = source;
  return Math.ceil((REGION_OFFSET_BYTES + opening.options.sizeBytes) / alignmentBytes) * alignmentBytes;
}
