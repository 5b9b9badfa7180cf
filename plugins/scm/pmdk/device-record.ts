/**
 * Which devdax device holds a target's region: a small file in the target's folder. Devices are named anew at each boot,
 * so that the region's id counts; the device's name is where to look first. Written before the device is touched.
 */
import { z } from "zod";
import type { ByteString } from "../../../src/base/bytes.ts";
import { DaosError } from "../../../src/base/errors.ts";
import { KIB } from "../../../src/base/limits.ts";
import type { Disk } from "../../../src/contracts/world.ts";
import { createStorageFile } from "../../storage-file.ts";
import { REGION_ID_BYTES } from "./region-header.ts";

const FILE_NAME = "scm-device";
const MAX_FILE_BYTES = 64 * KIB;

export interface DeviceRecord {
  readonly id: ByteString;
  /** Path of the device when the region was made. */
  readonly device: string;
}

const format = z.strictObject({
  id: z.string().regex(new RegExp(`^[0-9a-f]{${2 * REGION_ID_BYTES}}$`)),
  device: z.string(),
});

/** The target's record; undefined when no region of it was ever made on a device. Throws CORRUPT, IO. */
export function readDeviceRecord(disk: Disk, folder: string): DeviceRecord | undefined {
  const path = `${folder}/${FILE_NAME}`;
  if (!disk.exists(path)) return undefined;
  const file = disk.openFile(path, { readOnly: true });
  try {
    const bytes = Buffer.alloc(Math.min(file.sizeBytes(), MAX_FILE_BYTES));
    file.readSync(bytes, 0);
    const { id, device } = format.parse(JSON.parse(bytes.toString("utf8")));
    return { id: Buffer.from(id, "hex").latin1Slice() as ByteString, device };
  } catch (error) {
    if (error instanceof DaosError) throw error;
    throw new DaosError("CORRUPT", `Cannot read "${path}": it is damaged. Restore it from a backup.`, { cause: error });
  } finally {
    file.close();
  }
}

/** Durable on return. */
export function writeDeviceRecord(disk: Disk, folder: string, record: DeviceRecord): void {
  const id = Buffer.from(record.id, "latin1").toString("hex");
  const text = `${JSON.stringify({ id, device: record.device })}\n`;
  createStorageFile(disk, `${folder}/${FILE_NAME}`, (file) => {
    file.writeSync(Buffer.from(text, "utf8"), 0);
    file.syncSync();
  });
}
