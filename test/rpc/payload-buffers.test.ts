/**
 * Payload buffers: sizes, reuse, and the bound on what is kept.
 */
import { expect, test } from "bun:test";
import { KIB, MIB } from "../../src/base/limits.ts";
import { heapPayloadBuffers, PooledPayloadBuffers } from "../../src/rpc/payload-buffers.ts";

test("plain buffers are whole blocks", () => {
  for (const [sizeBytes, bufferBytes] of [
    [16 * KIB, 16 * KIB],
    [16 * KIB + 1, 20 * KIB],
    [9 * MIB, 9 * MIB],
  ] as const) {
    expect(heapPayloadBuffers.allocate(sizeBytes)!.length).toBe(bufferBytes);
  }
});

test("pooled buffers are used again when released, never before", () => {
  const pool = new PooledPayloadBuffers();
  const [first, second] = [pool.allocate(100 * KIB), pool.allocate(100 * KIB)];
  expect(first).not.toBe(second);
  expect(first.length).toBe(128 * KIB);
  pool.release(first);
  expect(pool.allocate(200 * KIB)).not.toBe(first);
  expect(pool.allocate(70 * KIB)).toBe(first);
  expect(pool.allocate(70 * KIB)).not.toBe(first);
});

test("no more than 64 MiB are kept", () => {
  const pool = new PooledPayloadBuffers();
  const buffers = Array.from({ length: 20 }, () => pool.allocate(4 * MIB));
  for (const buffer of buffers) pool.release(buffer);
  const again = Array.from({ length: 20 }, () => pool.allocate(4 * MIB));
  expect(again.filter((buffer) => buffers.includes(buffer)).length).toBe(16);
});
