import { expect, test } from "bun:test";
import { crc32 } from "../../src/base/checksum.ts";
import type { ByteString } from "../../src/base/bytes.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import { decodeSettledVersion, encodeSettledVersion, type SettledVersion } from "../../src/format/settled-version.ts";
import { VersionKind } from "../../src/store/cell.ts";
import { ABSENT, READ_CACHE_BYTES, ReadCache } from "../../src/store/read-cache.ts";

function version(key: ByteString, inlineBytes: number): SettledVersion {
  const inline = new Uint8Array(inlineBytes);
  const content = {
    epoch: 5 as Epoch,
    kind: VersionKind.value,
    meta: new Uint8Array(1),
    inline,
    checksum: crc32(inline),
    extent: undefined,
  };
  return decodeSettledVersion(key, encodeSettledVersion(key, content, false));
}

function keyOf(index: number, container = 1): ByteString {
  return `${String.fromCharCode(0, 0, container >>> 8, container & 0xff)}key-${index}` as ByteString;
}

test("a cell that was put is got until it is evicted; the others stay", () => {
  const cache = new ReadCache();
  const stored = version(keyOf(1), 10);
  cache.evict(keyOf(1));
  cache.put(keyOf(1), stored);
  cache.put(keyOf(2), version(keyOf(2), 10));
  expect(cache.get(keyOf(1))).toBe(stored);
  expect(cache.get(keyOf(3))).toBeUndefined();
  cache.evict(keyOf(1));
  expect(cache.get(keyOf(1))).toBeUndefined();
  expect(cache.get(keyOf(2))).toBeDefined();
});

test("that a cell is absent is known until it is evicted, and takes bounded memory", () => {
  const cache = new ReadCache();
  cache.put(keyOf(1), ABSENT);
  expect(cache.get(keyOf(1))).toBe(ABSENT);
  cache.evict(keyOf(1));
  expect(cache.get(keyOf(1))).toBeUndefined();
  cache.put(keyOf(1), ABSENT);
  const long = "x".repeat(1000);
  for (let index = 2; index < READ_CACHE_BYTES / 500; index += 1) {
    cache.put((keyOf(index) + long) as ByteString, ABSENT);
  }
  expect(cache.get(keyOf(1))).toBeUndefined();
});

test("bypass forgets its containers and takes nothing of them until it ends; the others stay", () => {
  const cache = new ReadCache();
  for (let container = 1; container <= 4; container += 1) {
    cache.put(keyOf(1, container), version(keyOf(1, container), 10));
  }
  cache.bypass({ first: 2, last: 3 });
  cache.put(keyOf(1, 2), version(keyOf(1, 2), 10));
  expect([1, 2, 3, 4].map((container) => cache.get(keyOf(1, container)) !== undefined)).toEqual([
    true,
    false,
    false,
    true,
  ]);
  cache.bypass(undefined);
  expect(cache.get(keyOf(1, 2))).toBeUndefined();
  cache.put(keyOf(1, 2), version(keyOf(1, 2), 10));
  expect(cache.get(keyOf(1, 2))).toBeDefined();
});

test("memory is bounded over all containers: cells that are not read are dropped, those that are stay", () => {
  const cache = new ReadCache();
  const inlineBytes = 4096;
  const count = Math.ceil((3 * READ_CACHE_BYTES) / inlineBytes);
  for (let index = 0; index < count; index += 1) {
    const key = keyOf(index, index % 7);
    cache.put(key, version(key, inlineBytes));
    expect(cache.get(keyOf(0, 0))).toBeDefined();
  }
  expect(cache.get(keyOf(1, 1))).toBeUndefined();
  expect(cache.get(keyOf(count - 1, (count - 1) % 7))).toBeDefined();
});

test("evicting and bypassing give back the room they free", () => {
  const cache = new ReadCache();
  const inlineBytes = 4096;
  const kept = keyOf(0, 1);
  cache.put(kept, version(kept, inlineBytes));
  for (let index = 0; index < (3 * READ_CACHE_BYTES) / inlineBytes; index += 1) {
    const key = keyOf(index, 2);
    cache.put(key, version(key, inlineBytes));
    if (index % 2 === 0) cache.evict(key);
    else cache.bypass({ first: 2, last: 2 });
    cache.bypass(undefined);
  }
  // Nothing else is left, so it was never aged out although it was never read.
  expect(cache.get(kept)).toBeDefined();
});

test("a hundred thousand cells of 100 bytes fit, however they are read", () => {
  const cache = new ReadCache();
  const count = 100_000;
  const keys = Array.from({ length: count }, (_, index) => keyOf(index).padEnd(48) as ByteString);
  for (const key of keys) cache.put(key, version(key, 100));
  let missed = 0;
  for (let turn = 0; turn < 3 * count; turn += 1) {
    if (cache.get(keys[(turn * 7919) % count]!) === undefined) missed += 1;
  }
  expect(missed).toBe(0);
});
