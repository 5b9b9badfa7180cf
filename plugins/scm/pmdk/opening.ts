/**
 * One opening of a region of scm `pmdk`, wherever the region is: the medium is asked for its health, mapped, and its
 * header checked against what was asked for, before anybody reads the bytes.
 */
import { FORCED_GRANULARITIES, type PmdkAddon, type PmdkMapping, type PmdkSource } from "../../../native/pmdk/addon.ts";
import { DaosError } from "../../../src/base/errors.ts";
import type { ScmOpenOptions, ScmRegion } from "../../../src/contracts/scm.ts";
import type { World } from "../../../src/contracts/world.ts";
import { healthLine, healthOf, requireNoBadBlocks, unsafeShutdownsSince } from "./medium-health.ts";
import { native } from "./native-error.ts";
import { PmdkRegion, writeHeader } from "./region.ts";
import { decodeRegionHeader, REGION_OFFSET_BYTES, type RegionHeader } from "./region-header.ts";
import { granularityBytesOf, type PmdkSettings, requireGranularity } from "./settings.ts";

/** What making and opening need, wherever the region is. */
export interface PmdkOpening {
  readonly addon: PmdkAddon;
  readonly settings: PmdkSettings;
  readonly world: World;
  readonly options: ScmOpenOptions;
}

/** Maps the first `lengthBytes` of the file or device, which is locked for this target from then on. */
export function mapSource(opening: PmdkOpening, path: string, lengthBytes: number): PmdkMapping {
  const forced = opening.settings.force_granularity;
  const forcedNumber = forced === undefined ? -1 : FORCED_GRANULARITIES[forced];
  return native("map", path, () => opening.addon.map(path, 0, lengthBytes, forcedNumber));
}

/** Asks about the medium. Throws CORRUPT when there are bad blocks in the part that is used. */
export function inspectSource(opening: PmdkOpening, path: string): PmdkSource {
  const source = native("inspect", path, () => opening.addon.inspect(path));
  requireNoBadBlocks(path, source, REGION_OFFSET_BYTES + opening.options.sizeBytes);
  return source;
}

/** The header at the start of `bytes`, fit for this opening and for a medium of this granularity. Throws CORRUPT, VERSION. */
export function requireHeader(
  opening: PmdkOpening,
  path: string,
  bytes: Uint8Array,
  actualBytes: number,
): RegionHeader {
  const header = decodeRegionHeader(bytes);
  const { sizeBytes } = opening.options;
  if (header === undefined || header.regionBytes !== sizeBytes) {
    const state =
      header === undefined ? "its header is damaged" : `it holds ${header.regionBytes} bytes, not ${sizeBytes}`;
    throw new DaosError(
      "CORRUPT",
      `Cannot open "${path}": ${state}. Restore the target from its redundancy or a backup.`,
    );
  }
  if (actualBytes <= header.granularityBytes) return header;
  throw new DaosError(
    "CONFIGURATION",
    `Cannot open "${path}": it was formatted with persists of ${header.granularityBytes} bytes and the medium now has ` +
      `${actualBytes}. Mount the file system with -o dax again, or set the granularity that was forced.`,
  );
}

/** The region of a mapping finer than a page, marked as in use. Closes the mapping when it is refused. */
export function regionOf(opening: PmdkOpening, path: string, mapping: PmdkMapping, source: PmdkSource): ScmRegion {
  const { addon, settings } = opening;
  try {
    requireGranularity(settings, path, mapping.granularity);
    const found = requireHeader(opening, path, new Uint8Array(mapping.bytes), granularityBytesOf(mapping.granularity));
    const health = healthOf(source);
    const unsafe = unsafeShutdownsSince(path, found, health, settings.accept_unsafe_shutdown);
    const header: RegionHeader =
      health === undefined ? found : { ...found, sequence: found.sequence + 1, inUse: true, health };
    if (health !== undefined) native("mark", path, () => writeHeader(addon, mapping, header));
    const notices = [`SCM "${path}" has ${mapping.granularity} granularity; ${healthLine(source)}`];
    if (settings.force_granularity !== undefined) {
      notices.push(`SCM "${path}" only pretends to be persistent memory (force_granularity): lost power loses data`);
    }
    if (unsafe !== 0) notices.push(`SCM "${path}" had ${unsafe} unsafe shutdowns while in use, which are accepted`);
    const { alignmentBytes } = source;
    return new PmdkRegion({ addon, mapping, path, alignmentBytes, header, notices });
  } catch (error) {
    addon.close(mapping.slot, mapping.bytes);
    throw error;
  }
}
