import { expect, test } from "bun:test";
import { DaosError } from "../../src/base/errors.ts";
import {
  decodeStorageSuperblock,
  encodeStorageSuperblock,
  type StorageSuperblock,
} from "../../src/format/storage-superblock.ts";

const SUPERBLOCK: StorageSuperblock = {
  id: "11111111-2222-4333-8444-555555555555",
  system: "daos",
  state: "ready",
  createdAtMs: 1767323045000,
  targets: 2,
  scm: { plugin: "file", targetSizeBytes: 134217728 },
  nvme: { plugin: "file", targetSizeBytes: 8589934592 },
  metaStore: { plugin: "sqlite" },
};
const GOLDEN = `daos-storage/1 ef516448
{
  "id": "11111111-2222-4333-8444-555555555555",
  "system": "daos",
  "state": "ready",
  "createdAtMs": 1767323045000,
  "targets": 2,
  "scm": {
    "plugin": "file",
    "targetSizeBytes": 134217728
  },
  "nvme": {
    "plugin": "file",
    "targetSizeBytes": 8589934592
  },
  "metaStore": {
    "plugin": "sqlite"
  }
}
`;

function codeOf(bytes: Uint8Array): string {
  try {
    decodeStorageSuperblock("/data", bytes);
    return "ok";
  } catch (error) {
    if (error instanceof DaosError) return error.code;
    throw error;
  }
}

test("golden bytes, both ways", () => {
  expect(Buffer.from(encodeStorageSuperblock(SUPERBLOCK)).toString()).toBe(GOLDEN);
  expect(decodeStorageSuperblock("/data", Buffer.from(GOLDEN))).toEqual(SUPERBLOCK);
});

test("a newer version is VERSION and says what to do; damage is CORRUPT", () => {
  const newer = Buffer.from(GOLDEN.replace("daos-storage/1", "daos-storage/2"));
  expect(codeOf(newer)).toBe("VERSION");
  expect(() => decodeStorageSuperblock("/data", newer)).toThrow("Start the newer program");
  const bytes = encodeStorageSuperblock(SUPERBLOCK);
  for (let length = 0; length < bytes.length; length += 1) expect(codeOf(bytes.subarray(0, length))).toBe("CORRUPT");
  for (let bit = 0; bit < bytes.length * 8; bit += 1) {
    const damaged = Uint8Array.from(bytes);
    damaged[bit >> 3]! ^= 1 << (bit & 7);
    expect(["CORRUPT", "VERSION"]).toContain(codeOf(damaged));
  }
});
