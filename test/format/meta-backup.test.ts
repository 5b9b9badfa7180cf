/** Backups of the records: golden bytes, and everything damaged is refused. */
import { expect, test } from "bun:test";
import { DaosError } from "../../src/base/errors.ts";
import { decodeMetaBackup, encodeMetaBackup } from "../../src/format/meta-backup.ts";

const textBytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));

const BACKUP = {
  header: {
    system: "11111111-2222-4333-8444-555555555555",
    name: "daos",
    takenAtMs: 1767323045000,
    software: "daos 0.1.0",
  },
  records: [
    { key: "counter/rank", value: textBytes('counter/1 ce8342f4 {"value":41}') },
    { key: "pool-label/tänk", value: textBytes("label/1 \n \u20ac") },
  ],
};
const GOLDEN = [
  'daos-backup/1 {"system":"11111111-2222-4333-8444-555555555555","name":"daos","takenAtMs":1767323045000,"software":"daos 0.1.0","records":2}',
  '{"key":"counter/rank","value":"counter/1 ce8342f4 {\\"value\\":41}"}',
  '{"key":"pool-label/tänk","value":"label/1 \\n \u20ac"}',
  "end CHECKSUM",
  "",
].join("\n");

function codeOf(bytes: Uint8Array): string {
  try {
    decodeMetaBackup(bytes);
    return "ok";
  } catch (error) {
    if (error instanceof DaosError) return error.code;
    throw error;
  }
}

test("golden bytes, both ways", () => {
  const bytes = encodeMetaBackup(BACKUP);
  expect(Buffer.from(bytes).toString()).toBe(GOLDEN.replace("CHECKSUM", "3c3d98be"));
  expect(decodeMetaBackup(bytes)).toEqual(BACKUP);
});

test("every flipped bit and every cut is CORRUPT, or VERSION", () => {
  const bytes = encodeMetaBackup(BACKUP);
  for (let bit = 0; bit < bytes.length * 8; bit += 1) {
    const changed = Uint8Array.from(bytes);
    changed[bit >>> 3]! ^= 1 << (bit & 7);
    expect(["CORRUPT", "VERSION"]).toContain(codeOf(changed));
  }
  for (let length = 0; length < bytes.length; length += 1) expect(codeOf(bytes.subarray(0, length))).toBe("CORRUPT");
});

test("a newer version is VERSION; another file is CORRUPT", () => {
  const text = Buffer.from(encodeMetaBackup(BACKUP)).toString();
  expect(codeOf(textBytes(text.replace("daos-backup/1", "daos-backup/2")))).toBe("VERSION");
  expect(codeOf(textBytes("hello\n"))).toBe("CORRUPT");
});

test("a record that is no text is refused, not changed", () => {
  const records = [{ key: "pool/1", value: Uint8Array.of(0x70, 0xff) }];
  expect(() => encodeMetaBackup({ ...BACKUP, records })).toThrow('Cannot back record "pool/1" up');
});
