/** Which device reads it takes to bring array data together, and that the bytes are right. */
import { expect, test } from "bun:test";
import { crc32 } from "../../src/base/checksum.ts";
import { bytesEqual } from "../../src/base/bytes.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import { BLOCK_BYTES } from "../../src/base/limits.ts";
import type { ExtentRef } from "../../src/store/cell.ts";
import { gather } from "../../src/vos/array-gather.ts";
import type { Fill } from "../../src/vos/array-overlay.ts";
import type { TargetObjects } from "../../src/vos/target-objects.ts";

/** A device whose every byte tells its place. */
const MEDIUM = new Uint8Array(64 * BLOCK_BYTES).map((_, place) => (place * 31) >>> 3);

interface Read {
  readonly offset: number;
  readonly length: number;
}

function target(reads: Read[]): TargetObjects {
  const store = {
    async readExtent(extent: ExtentRef, offset: number, length: number, into: Uint8Array): Promise<number> {
      expect(extent.length).toBeGreaterThanOrEqual(offset + length);
      expect([...extent.checksums]).toEqual(checksums(extent.offset, extent.length));
      reads.push({ offset: extent.offset + offset, length });
      const bytes = MEDIUM.subarray(extent.offset + offset, extent.offset + offset + length);
      into.set(bytes);
      return crc32(bytes);
    },
  };
  return { store } as unknown as TargetObjects;
}

/** Each block's number. */
function checksums(offset: number, length: number): number[] {
  return Array.from({ length: Math.ceil(length / BLOCK_BYTES) }, (_, chunk) => offset / BLOCK_BYTES + chunk);
}

/** Array bytes [start, end) from an extent at this block, whose stored bytes begin `lead` before them. */
function fill(start: number, end: number, block: number, lead = 0, storedBytes = lead + end - start): Fill {
  const offset = block * BLOCK_BYTES;
  const extent = { offset, length: storedBytes, checksums: Uint32Array.from(checksums(offset, storedBytes)) };
  return {
    piece: { epoch: 1 as Epoch, start, end, storedAt: lead, inline: undefined, checksum: 0, extent },
    start,
    end,
  };
}

async function gathered(fills: readonly Fill[], start: number, end: number): Promise<Read[]> {
  const reads: Read[] = [];
  const into = new Uint8Array(end - start);
  expect(await gather(target(reads), fills, start, into)).toBe(crc32(into));
  for (const { piece, start: from, end: to } of fills) {
    const at = piece.storedAt + from - piece.start;
    const expected = piece.inline ?? MEDIUM.subarray(piece.extent!.offset);
    expect(bytesEqual(into.subarray(from - start, to - start), expected.subarray(at, at + to - from))).toBe(true);
  }
  return reads;
}

const K4 = BLOCK_BYTES;

test("windows side by side in the array and on the device are one read, from the middle of the first to that of the last", async () => {
  const fills = [0, 1, 2, 3].map((window) => fill(window * K4, (window + 1) * K4, 10 + window));
  expect(await gathered(fills, 0, 4 * K4)).toEqual([{ offset: 10 * K4, length: 4 * K4 }]);
  const cut = [{ ...fills[0]!, start: 100 }, fills[1]!, fills[2]!, { ...fills[3]!, end: 3 * K4 + 50 }];
  expect(await gathered(cut, 100, 3 * K4 + 50)).toEqual([{ offset: 10 * K4 + 100, length: 3 * K4 - 50 }]);
});

test("what is apart in the array, or on the device, or in another order, is read by itself", async () => {
  const apart = [fill(0, K4, 10), fill(2 * K4, 3 * K4, 11)];
  expect((await gathered(apart, 0, 3 * K4)).length).toBe(2);
  const scattered = [fill(0, K4, 10), fill(K4, 2 * K4, 12)];
  expect((await gathered(scattered, 0, 2 * K4)).length).toBe(2);
  const reversed = [fill(0, K4, 11), fill(K4, 2 * K4, 10)];
  expect((await gathered(reversed, 0, 2 * K4)).length).toBe(2);
});

test("a part that ends before its block does, or begins behind a lead, is where a read ends or begins", async () => {
  const short = [fill(0, 3000, 10), fill(3000, 3000 + K4, 11)];
  expect((await gathered(short, 0, 3000 + K4)).length).toBe(2);
  const led = [fill(0, K4, 10), fill(K4, K4 + 900, 11, 100)];
  expect((await gathered(led, 0, K4 + 900)).length).toBe(2);
  const begun = [fill(100, K4, 10, 100), fill(K4, K4 + 900, 11), fill(K4 + 900, 2 * K4, 12)];
  expect(await gathered(begun, 100, 2 * K4)).toEqual([
    { offset: 10 * K4 + 100, length: K4 - 100 + 900 },
    { offset: 12 * K4, length: K4 - 900 },
  ]);
});

test("an extent that is taken only in part is where a read ends", async () => {
  const fills = [{ ...fill(0, 2 * K4, 10), end: K4 }, fill(K4, 2 * K4, 12)];
  expect((await gathered(fills, 0, 2 * K4)).length).toBe(2);
});

test("bytes from records lie between those from extents", async () => {
  const inline = Uint8Array.of(1, 2, 3, 4);
  const checksum = crc32(inline);
  const piece = { epoch: 2 as Epoch, start: K4, end: K4 + 4, storedAt: 0, inline, checksum, extent: undefined };
  const last = { ...fill(K4, 2 * K4, 11), start: K4 + 4 };
  const fills = [fill(0, K4, 10), { piece, start: K4, end: K4 + 4 }, last];
  expect((await gathered(fills, 0, 2 * K4)).length).toBe(2);
  expect(gather(target([]), [{ piece, start: K4, end: K4 + 4 }], K4, new Uint8Array(4))).toBe(checksum);
  const part = { piece, start: K4 + 1, end: K4 + 3 };
  expect(gather(target([]), [part], K4, new Uint8Array(4))).toBe(crc32(Uint8Array.of(0, 2, 3, 0)));
  inline[3] = 9;
  expect(() => gather(target([]), [part], K4, new Uint8Array(4))).toThrow("not what was stored");
});
