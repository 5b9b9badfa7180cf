import { expect, test } from "bun:test";
import { DaosError } from "../../src/base/errors.ts";
import {
  decodeStorageSuperblock,
  encodeStorageSuperblock,
  type StorageSuperblock,
} from "../../src/format/storage-superblock.ts";

const FIRST = {
  id: "11111111-2222-4333-8444-555555555555",
  system: "daos",
  state: "ready" as const,
  createdAtMs: 1767323045000,
  targets: 2,
  scm: { plugin: "file", targetSizeBytes: 134217728 },
  nvme: { plugin: "file", targetSizeBytes: 8589934592 },
  metaStore: { plugin: "sqlite" },
};
const SUPERBLOCK: StorageSuperblock = {
  ...FIRST,
  engine: "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee",
  devices: [
    {
      id: "01234567-89ab-4cde-8f01-23456789abcd",
      plugin: "file",
      targets: [0, 1],
      labelled: true,
      state: "faulty",
      reason: "10 operations failed",
    },
  ],
  speed: { scmWriteUs: 105, nvmeWriteUs: 460 },
};
/** Version 1, as it was written before devices had labels. */
const GOLDEN_1 = `daos-storage/1 ef516448
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

const GOLDEN = `daos-storage/2 b4b8647d
${JSON.stringify(SUPERBLOCK, undefined, 2)}
`;

test("golden bytes of version 1 are still read: one device without a label serves all targets", () => {
  expect(decodeStorageSuperblock("/data", Buffer.from(GOLDEN_1))).toEqual({
    ...FIRST,
    engine: FIRST.id,
    devices: [{ id: FIRST.id, plugin: "file", targets: [0, 1], labelled: false, state: "normal", reason: "" }],
  });
});

test("golden bytes, both ways", () => {
  expect(Buffer.from(encodeStorageSuperblock(SUPERBLOCK)).toString()).toBe(GOLDEN);
  expect(decodeStorageSuperblock("/data", Buffer.from(GOLDEN))).toEqual(SUPERBLOCK);
});

/** Version 3, of an engine that joined a system. */
const MEMBER: StorageSuperblock = {
  ...SUPERBLOCK,
  membership: { rank: 2, control: "10.0.0.5:10001", key: "ab".repeat(32) },
};
const GOLDEN_3 = `daos-storage/3 d465e734
${JSON.stringify(MEMBER, undefined, 2)}
`;

test("golden bytes of a member, both ways", () => {
  expect(Buffer.from(encodeStorageSuperblock(MEMBER)).toString()).toBe(GOLDEN_3);
  expect(decodeStorageSuperblock("/data", Buffer.from(GOLDEN_3))).toEqual(MEMBER);
});

test("a newer version is VERSION and says what to do; damage is CORRUPT", () => {
  const newer = Buffer.from(GOLDEN.replace("daos-storage/2", "daos-storage/4"));
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
