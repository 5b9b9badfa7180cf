import { expect, test } from "bun:test";
import type { ByteString } from "../../src/base/bytes.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import { decodeSettledVersion, encodeSettledVersion, type SettledVersion } from "../../src/format/settled-version.ts";
import { VersionKind } from "../../src/store/cell.ts";
import { READ_CACHE_BYTES, ReadCache } from "../../src/store/read-cache.ts";

function version(key: ByteString, inlineBytes: number): SettledVersion {
  const content = {
    epoch: 5 as Epoch,
    kind: VersionKind.value,
    meta: new Uint8Array(1),
    inline: new Uint8Array(inlineBytes),
    extent: undefined,
  };
  return decodeSettledVersion(key, encodeSettledVersion(key, content, false));
}

const keyOf = (index: number): ByteString => `key-${index}` as ByteString;

test("a cell that was put is got until the cache is cleared", () => {
  const cache = new ReadCache();
  const stored = version(keyOf(1), 10);
  cache.put(keyOf(1), stored);
  expect(cache.get(keyOf(1))).toBe(stored);
  expect(cache.get(keyOf(2))).toBeUndefined();
  cache.clear();
  expect(cache.get(keyOf(1))).toBeUndefined();
});

test("memory is bounded: cells that are not read are dropped, those that are stay", () => {
  const cache = new ReadCache();
  const inlineBytes = 4096;
  const count = Math.ceil((3 * READ_CACHE_BYTES) / inlineBytes);
  for (let index = 0; index < count; index += 1) {
    cache.put(keyOf(index), version(keyOf(index), inlineBytes));
    expect(cache.get(keyOf(0))).toBeDefined();
  }
  expect(cache.get(keyOf(1))).toBeUndefined();
  expect(cache.get(keyOf(count - 1))).toBeDefined();
});
