/**
 * Regions of scm `pmdk` in files: on a DAX file system persistent memory, on any other a file of pages. The file is made
 * beside its final name, with all its blocks and its header, and renamed when it is complete.
 */
import type { PmdkGranularity } from "../../../native/pmdk/addon.ts";
import { byteString } from "../../../src/base/bytes.ts";
import type { ScmRegion } from "../../../src/contracts/scm.ts";
import { FileScmProvider } from "../file/region.ts";
import { createStorageFile, requireFile, requireFree, storageFilePath } from "../../storage-file.ts";
import { inspectSource, mapSource, type PmdkOpening, regionOf, requireHeader } from "./opening.ts";
import { PageRegion } from "./region.ts";
import { encodeRegionHeader, REGION_ID_BYTES, REGION_OFFSET_BYTES } from "./region-header.ts";
import { granularityBytesOf, PAGE_BYTES, requireGranularity } from "./settings.ts";

const FILE_NAME = "scm";

/** Makes or opens the region in `configuredFolder`, by default the target's own. */
export async function openFileRegion(opening: PmdkOpening, configuredFolder: string | undefined): Promise<ScmRegion> {
  const { addon, settings, world, options } = opening;
  const path = storageFilePath(options.folder, configuredFolder, FILE_NAME);
  const fileBytes = REGION_OFFSET_BYTES + options.sizeBytes;
  if (options.create) makeFile(opening, configuredFolder ?? options.folder, path, fileBytes);
  requireFile(world.disk, path, fileBytes);
  const source = inspectSource(opening, path);
  const mapping = mapSource(opening, path, fileBytes);
  if (mapping.granularity !== "page") return regionOf(opening, path, mapping, source);
  addon.close(mapping.slot, mapping.bytes);
  requireGranularity(settings, path, "page");
  const plain = new FileScmProvider("auto", configuredFolder);
  const whole = await plain.open(world, { folder: options.folder, sizeBytes: fileBytes, create: false });
  try {
    requireHeader(opening, path, whole.bytes, PAGE_BYTES);
  } catch (error) {
    whole.close();
    throw error;
  }
  return new PageRegion(whole, path, [
    `SCM "${path}" is no persistent memory (page granularity): it is used as a file`,
  ]);
}

function makeFile(opening: PmdkOpening, folder: string, path: string, fileBytes: number): void {
  const { settings, world, options } = opening;
  const { disk, random } = world;
  disk.makeFolder(folder);
  requireFree(disk, folder, path, fileBytes);
  createStorageFile(disk, path, (file) => {
    file.preallocate(fileBytes);
    const granularity = granularityOf(opening, file.path, fileBytes);
    requireGranularity(settings, path, granularity);
    const id = new Uint8Array(REGION_ID_BYTES);
    random.fill(id);
    const bytes = new Uint8Array(REGION_OFFSET_BYTES);
    encodeRegionHeader(bytes, 0, {
      sequence: 0,
      id: byteString(id),
      regionBytes: options.sizeBytes,
      granularityBytes: granularityBytesOf(granularity),
      inUse: false,
      health: undefined,
      owner: options.folder,
    });
    file.writeSync(bytes, 0);
    file.syncSync();
  });
}

function granularityOf(opening: PmdkOpening, path: string, fileBytes: number): PmdkGranularity {
  const mapping = mapSource(opening, path, fileBytes);
  opening.addon.close(mapping.slot, mapping.bytes);
  return mapping.granularity;
}
