import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { DaosError } from "../../src/base/errors.ts";
import { MIB } from "../../src/base/limits.ts";
import type { Uuid } from "../../src/base/uuid.ts";
import {
  decodeDeviceLabel,
  type DeviceLabel,
  encodeDeviceLabel,
  LABEL_AREA_BYTES,
  LABEL_BYTES,
  labelledDataBytes,
} from "../../src/format/device-label.ts";

const LABEL: DeviceLabel = {
  system: "11111111-2222-4333-8444-555555555555" as Uuid,
  systemName: "daos",
  engine: "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee" as Uuid,
  rank: 0,
  device: "01234567-89ab-4cde-8f01-23456789abcd" as Uuid,
  targets: [1, 3],
  target: 3,
  generation: 7,
  sizeBytes: 64 * MIB,
  dataOffset: LABEL_AREA_BYTES,
  dataBytes: labelledDataBytes(64 * MIB),
  blockBytes: 4096,
  createdAtMs: 1767323045000,
};
/** Up to the end of the name; zeros follow to 4096. */
const GOLDEN =
  "44414f534e564d4501000000d5c12606" +
  "11111111222243338444555555555555aaaaaaaabbbb4ccc8dddeeeeeeeeeeee0123456789ab4cde8f0123456789abcd" +
  "0700000000000000000000040000000000001000000000000000e00300000000888ca97c9b010000" +
  "0010000000000000030000000200040001000000030000" +
  "00".repeat(249) +
  "64616f73";

function encoded(label: DeviceLabel = LABEL): Uint8Array {
  const block = new Uint8Array(LABEL_BYTES).fill(0xff);
  encodeDeviceLabel(block, label);
  return block;
}

describe("device label", () => {
  test("golden bytes, both ways", () => {
    const block = encoded();
    expect(Buffer.from(block.subarray(0, 380)).toString("hex")).toBe(GOLDEN);
    expect(block.subarray(380).every((byte) => byte === 0)).toBe(true);
    expect(createHash("sha256").update(block).digest("hex")).toBe(
      "62f70e4dcd525109e48c1f448b02ee1c90c439e16460ad60cfc71e975388d63d",
    );
    expect(decodeDeviceLabel(block, "nvme0")).toEqual({ kind: "label", label: LABEL });
  });

  test("what never was a label is none, and any damaged bit is told", () => {
    expect(decodeDeviceLabel(new Uint8Array(LABEL_BYTES), "nvme0").kind).toBe("none");
    const block = encoded();
    for (let bit = 0; bit < LABEL_BYTES * 8; bit += 7) {
      const damaged = Uint8Array.from(block);
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      expect(decodeDeviceLabel(damaged, "nvme0").kind).toBe(bit < 64 ? "none" : "damaged");
    }
  });

  test("fields that cannot be are damage, whatever the checksum says", () => {
    const wrong: DeviceLabel[] = [
      { ...LABEL, target: 2 },
      { ...LABEL, dataOffset: 0 },
      { ...LABEL, dataBytes: 64 * MIB },
    ];
    for (const label of wrong) expect(decodeDeviceLabel(encoded(label), "nvme0").kind).toBe("damaged");
  });

  test("another version is refused by name", () => {
    const block = Buffer.from(encoded());
    block.writeUInt16LE(2, 8);
    block.writeUInt32LE(0, 12);
    block.writeUInt32LE(Bun.hash.crc32(block), 12);
    expect(() => decodeDeviceLabel(block, "nvme0")).toThrow(DaosError);
    expect(() => decodeDeviceLabel(block, "nvme0")).toThrow("version 2");
  });
});
