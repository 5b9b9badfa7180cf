/**
 * Superblock of a storage folder: the file `superblock`, text, written at format and read before anything else is.
 *
 *     daos-storage/<version> <CRC-32 of the rest, 8 hex digits>\n
 *     <JSON>\n
 *
 * `state` is `formatting` until every part of the storage is made; only then it becomes `ready`. Sizes are per target,
 * in bytes. A newer version is refused (VERSION), all else that does not fit is CORRUPT.
 */
import { z } from "zod";
import { crc32 } from "../base/checksum.ts";
import { DaosError } from "../base/errors.ts";

export const STORAGE_SUPERBLOCK_VERSION = 1;
/** Longer files are no superblock, bytes. */
export const MAX_STORAGE_SUPERBLOCK_BYTES = 64 * 1024;

const tier = z.strictObject({ plugin: z.string().min(1), targetSizeBytes: z.int().positive() });
const schema = z.strictObject({
  id: z.string().regex(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
  system: z.string().min(1),
  state: z.enum(["formatting", "ready"]),
  createdAtMs: z.number().nonnegative(),
  targets: z.int().positive(),
  scm: tier,
  nvme: tier,
  metaStore: z.strictObject({ plugin: z.string().min(1) }),
});

export type StorageSuperblock = Readonly<z.infer<typeof schema>>;

export function encodeStorageSuperblock(superblock: StorageSuperblock): Uint8Array {
  const json = Buffer.from(`${JSON.stringify(schema.parse(superblock), undefined, 2)}\n`);
  return Buffer.concat([Buffer.from(`daos-storage/${STORAGE_SUPERBLOCK_VERSION} ${hexOf(crc32(json))}\n`), json]);
}

/** `path` is for the message. Throws VERSION or CORRUPT. */
export function decodeStorageSuperblock(path: string, bytes: Uint8Array): StorageSuperblock {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const header = /^daos-storage\/(\d{1,9}) ([0-9a-f]{8})\n/.exec(text.toString("latin1", 0, 64));
  if (header === null) throw corrupt(path, "it has no header");
  const version = Number(header[1]);
  if (version > STORAGE_SUPERBLOCK_VERSION) {
    throw new DaosError(
      "VERSION",
      `Cannot open storage "${path}": its format has version ${version}, this program knows ` +
        `${STORAGE_SUPERBLOCK_VERSION}. Start the newer program that wrote it.`,
    );
  }
  if (version !== STORAGE_SUPERBLOCK_VERSION) throw corrupt(path, `version ${version} never was`);
  const json = text.subarray(header[0].length);
  if (hexOf(crc32(json)) !== header[2]) throw corrupt(path, "its checksum does not match");
  let body: unknown;
  try {
    body = JSON.parse(json.toString("utf8"));
  } catch {
    throw corrupt(path, "it is not JSON");
  }
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw corrupt(path, `${issue?.path.join(".") ?? ""}: ${issue?.message ?? "it does not fit"}`);
}

function hexOf(checksum: number): string {
  return checksum.toString(16).padStart(8, "0");
}

function corrupt(path: string, state: string): DaosError {
  return new DaosError(
    "CORRUPT",
    `Cannot open storage "${path}": its superblock is damaged: ${state}. Restore the file from a backup.`,
  );
}
