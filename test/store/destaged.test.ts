import { expect, test } from "bun:test";
import type { ByteString } from "../../src/base/bytes.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import { BLOCK_BYTES } from "../../src/base/limits.ts";
import type { LoggedWrite } from "../../src/format/log-record.ts";
import { DestagedVersions, NOTHING_DESTAGED } from "../../src/store/destaged.ts";

const WRITE: LoggedWrite = {
  key: "\0\0\0\x01a" as ByteString,
  epoch: 5 as Epoch,
  kind: 2,
  metaOffset: 100,
  metaLength: 7,
  inlineLength: 3000,
  checksum: 0,
  extent: undefined,
};

test("a write is found by where its meta lies in the region, with the extent and its own checksums", () => {
  const versions = new DestagedVersions({
    places: Float64Array.of(10_100, 2 ** 40 + 100),
    offsets: Float64Array.of(BLOCK_BYTES, 2 ** 41),
    lengths: Uint32Array.of(BLOCK_BYTES + 1, 3000),
    checksums: Uint32Array.of(1, 2, 3),
  });
  expect(versions.count).toBe(2);
  const first = { offset: BLOCK_BYTES, length: BLOCK_BYTES + 1, checksums: Uint32Array.of(1, 2) };
  expect(versions.relocated(WRITE, 10_000)).toEqual({ ...WRITE, inlineLength: -1, extent: first });
  const second = { offset: 2 ** 41, length: 3000, checksums: Uint32Array.of(3) };
  expect(versions.relocated(WRITE, 2 ** 40)).toEqual({ ...WRITE, inlineLength: -1, extent: second });
  expect(versions.relocated(WRITE, 0)).toBe(WRITE);
});

test("a list whose checksums do not add up is a bug", () => {
  expect(new DestagedVersions(NOTHING_DESTAGED).count).toBe(0);
  expect(() => new DestagedVersions({ ...NOTHING_DESTAGED, checksums: Uint32Array.of(1) })).toThrow("checksum");
});
