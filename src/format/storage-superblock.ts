/**
 * Superblock of a storage folder: the file `superblock`, text, written at format and read before anything else is.
 *
 *     daos-storage/<version> <CRC-32 of the rest, 8 hex digits>\n
 *     <JSON>\n
 *
 * `state` is `formatting` until every part of the storage is made; only then it becomes `ready`. Sizes are per target,
 * in bytes. A newer version is refused (VERSION), all else that does not fit is CORRUPT.
 *
 * Version 3 is that of an engine which joined a system: it has `membership`. The first engine's stays version 2.
 */
import { z } from "zod";
import { crc32 } from "../base/checksum.ts";
import { DaosError } from "../base/errors.ts";
import { MAX_RANK } from "../base/limits.ts";

export const STORAGE_SUPERBLOCK_VERSION = 3;
/** Of the engine that began the system: it is no member of another one's. */
const FIRST_ENGINE_VERSION = 2;
/** Had one device without a label for all targets; read, and written anew as the present version when something changes. */
const UNLABELLED_VERSION = 1;
/** Longer files are no superblock, bytes. */
export const MAX_STORAGE_SUPERBLOCK_BYTES = 64 * 1024;

const tier = z.strictObject({ plugin: z.string().min(1), targetSizeBytes: z.int().positive() });
/** `config`: settings that were chosen together with the plugin at format. */
const scmTier = z.strictObject({ ...tier.shape, config: z.record(z.string(), z.unknown()).exactOptional() });
const uuid = z.string().regex(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
const latencyUs = z.number().nonnegative();
const first = {
  id: uuid,
  system: z.string().min(1),
  state: z.enum(["formatting", "ready"]),
  createdAtMs: z.number().nonnegative(),
  targets: z.int().positive(),
  scm: scmTier,
  nvme: tier,
  metaStore: z.strictObject({ plugin: z.string().min(1) }),
};
const device = z.strictObject({
  id: uuid,
  plugin: z.string().min(1),
  /** Ascending. */
  targets: z.array(z.int().nonnegative()).min(1),
  labelled: z.boolean(),
  state: z.enum(["normal", "faulty"]),
  /** Why it is faulty; empty when it is not. */
  reason: z.string(),
  /** The device that takes its place at the next start, empty. */
  successor: uuid.exactOptional(),
});
const firstSchema = z.strictObject(first);
const schema = z.strictObject({
  ...first,
  engine: uuid,
  devices: z.array(device).min(1),
  /** Durable writes of 4 KiB measured at format, microseconds each. */
  speed: z.strictObject({ scmWriteUs: latencyUs, nvmeWriteUs: latencyUs }).exactOptional(),
});

/** `control`: where the control plane was last, HOST:PORT. `key`: the system's capability key in hex. */
const membership = z.strictObject({
  rank: z.int().positive().max(MAX_RANK),
  control: z.string().min(1),
  key: z.string().regex(/^[0-9a-f]{64}$/),
});
const memberSchema = z.strictObject({ ...schema.shape, membership });

export type StorageMembership = Readonly<z.infer<typeof membership>>;
export type StorageSuperblock = Readonly<z.infer<typeof schema>> & { readonly membership?: StorageMembership };
export type StorageDevice = Readonly<z.infer<typeof device>>;

export function encodeStorageSuperblock(superblock: StorageSuperblock): Uint8Array {
  const isMember = superblock.membership !== undefined;
  const body = isMember ? memberSchema.parse(superblock) : schema.parse(superblock);
  const json = Buffer.from(`${JSON.stringify(body, undefined, 2)}\n`);
  const version = isMember ? STORAGE_SUPERBLOCK_VERSION : FIRST_ENGINE_VERSION;
  return Buffer.concat([Buffer.from(`daos-storage/${version} ${hexOf(crc32(json))}\n`), json]);
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
  if (version < UNLABELLED_VERSION) throw corrupt(path, `version ${version} never was`);
  const json = text.subarray(header[0].length);
  if (hexOf(crc32(json)) !== header[2]) throw corrupt(path, "its checksum does not match");
  let body: unknown;
  try {
    body = JSON.parse(json.toString("utf8"));
  } catch {
    throw corrupt(path, "it is not JSON");
  }
  if (version === UNLABELLED_VERSION) return withDevice(checked(path, firstSchema.safeParse(body)));
  return checked<StorageSuperblock>(path, (version === FIRST_ENGINE_VERSION ? schema : memberSchema).safeParse(body));
}

function checked<Body>(path: string, parsed: z.ZodSafeParseResult<Body>): Body {
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw corrupt(path, `${issue?.path.join(".") ?? ""}: ${issue?.message ?? "it does not fit"}`);
}

/** The storage's one device has no id of its own: it takes that of the storage, as the engine does. */
function withDevice(superblock: z.infer<typeof firstSchema>): StorageSuperblock {
  const { id, nvme } = superblock;
  const targets = Array.from({ length: superblock.targets }, (_value, index) => index);
  const only: StorageDevice = { id, plugin: nvme.plugin, targets, labelled: false, state: "normal", reason: "" };
  return { ...superblock, engine: id, devices: [only] };
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
