/**
 * A backup of a system's records: text, so that it can be looked at with any tool. It holds the system's key.
 *
 *     daos-backup/1 <JSON: system, name, takenAtMs, software, records>
 *     <JSON: key, value>                       a record a line, in the order of the keys
 *     end <CRC-32 of all before, 8 hex digits>
 */
import { z } from "zod";
import { bytesEqual } from "../base/bytes.ts";
import { crc32 } from "../base/checksum.ts";
import { DaosError } from "../base/errors.ts";

const VERSION = 1;
const HEADER = /^daos-backup\/(\d{1,9}) (.*)$/;
const TRAILER_BYTES = "end 00000000\n".length;

const headerSchema = z.strictObject({
  system: z.string(),
  name: z.string(),
  takenAtMs: z.number(),
  software: z.string(),
  records: z.int().nonnegative(),
});
const recordSchema = z.strictObject({ key: z.string().min(1), value: z.string() });

export interface BackupHeader {
  /** Id and name of the system. */
  readonly system: string;
  readonly name: string;
  readonly takenAtMs: number;
  readonly software: string;
}
export interface BackupRecord {
  readonly key: string;
  readonly value: Uint8Array;
}
export interface MetaBackup {
  readonly header: BackupHeader;
  readonly records: readonly BackupRecord[];
}

/** Values are UTF-8, as records of the control plane are; throws CORRUPT for one that is not. */
export function encodeMetaBackup({ header, records }: MetaBackup): Uint8Array {
  const { system, name, takenAtMs, software } = header;
  const about = { system, name, takenAtMs, software, records: records.length };
  const lines = records.map(({ key, value }) => JSON.stringify({ key, value: textOf(key, value) }));
  const body = Buffer.from([`daos-backup/${VERSION} ${JSON.stringify(about)}`, ...lines, ""].join("\n"));
  return Buffer.concat([body, Buffer.from(`end ${hexOf(crc32(body))}\n`)]);
}

function textOf(key: string, value: Uint8Array): string {
  const text = Buffer.from(value).toString("utf8");
  if (bytesEqual(Buffer.from(text), value)) return text;
  throw new DaosError(
    "CORRUPT",
    `Cannot back record "${key}" up: it is no text. Restore the meta store from a backup.`,
  );
}

/** Throws CORRUPT, VERSION. */
export function decodeMetaBackup(bytes: Uint8Array): MetaBackup {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = text.length - TRAILER_BYTES;
  const first = HEADER.exec(text.toString("utf8", 0, Math.max(0, text.indexOf("\n"))));
  if (first === null) throw corrupt("it does not begin as one");
  if (Number(first[1]) !== VERSION) {
    const state = `it has version ${first[1]!}, this program knows ${VERSION}`;
    throw new DaosError("VERSION", `Cannot read the backup: ${state}. Use the release that wrote it.`);
  }
  const body = text.subarray(0, Math.max(0, end));
  if (text.toString("latin1", Math.max(0, end)) !== `end ${hexOf(crc32(body))}\n`) {
    throw corrupt("it is cut off, or its checksum does not match");
  }
  const [about, ...lines] = body.toString("utf8").trimEnd().split("\n");
  const { records: count, ...header } = parsed(headerSchema, about!.slice(about!.indexOf(" ") + 1));
  const records = lines.map((line) => {
    const { key, value } = parsed(recordSchema, line);
    return { key, value: new Uint8Array(Buffer.from(value)) };
  });
  if (records.length !== count) throw corrupt(`it has ${records.length} records, and says ${count}`);
  return { header, records };
}

function parsed<Value>(schema: z.ZodType<Value>, text: string): Value {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw corrupt("a line is not JSON");
  }
  const found = schema.safeParse(value);
  if (found.success) return found.data;
  throw corrupt(`a line does not fit: ${found.error.issues[0]?.message ?? ""}`);
}

function hexOf(checksum: number): string {
  return checksum.toString(16).padStart(8, "0");
}

function corrupt(state: string): DaosError {
  return new DaosError("CORRUPT", `Cannot read the backup: ${state}. Use another backup.`);
}
