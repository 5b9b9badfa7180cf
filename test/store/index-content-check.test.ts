/** The check of what is in the index's file, on files that LMDB wrote. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "../../src/base/checksum.ts";
import type { ByteString } from "../../src/base/bytes.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import { KIB, MIB } from "../../src/base/limits.ts";
import { encodeRow } from "../../src/format/settled-row.ts";
import { encodeSettledVersion, historyKey } from "../../src/format/settled-version.ts";
import { checkIndexContent, type CheckedFile } from "../../src/store/index-content-check.ts";
import { openLmdbIndex } from "../../src/store/lmdb-index.ts";
import { SimulatedRandom } from "../simulation/random.ts";
import { expectCode } from "./expect-code.ts";

const PAGE_BYTES = 4 * KIB;
const CELLS = 3000;
const NO_META = new Uint8Array(0);
const PATH = "index.lmdb";

let folder: string;
let whole: Buffer;

function key(index: number): ByteString {
  return `\0\0\0\x01cell-${String(index).padStart(6, "0")}` as ByteString;
}

function version(index: number): Parameters<typeof encodeSettledVersion>[1] {
  return {
    epoch: (1000 + index) as Epoch,
    kind: 1,
    meta: NO_META,
    inline: Buffer.from(`the value of ${index}`),
    checksum: crc32(Buffer.from(`the value of ${index}`)),
    extent: undefined,
  };
}

/** Cells, history, a row on overflow pages, and free pages from several transactions. */
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "daos-index-"));
  const path = join(folder, PATH);
  const index = openLmdbIndex({ path, sizeBytes: 16 * MIB });
  for (let round = 0; round < 4; round += 1) {
    index.transact((transaction) => {
      for (let cell = round; cell < CELLS; cell += round + 1) {
        transaction.put("cells", key(cell), encodeSettledVersion(key(cell), version(cell), true));
        transaction.put(
          "history",
          historyKey(key(cell), 1 as Epoch),
          encodeSettledVersion(key(cell), version(1), false),
        );
      }
      transaction.put(
        "space",
        "\0\0\0\0" as ByteString,
        encodeRow("\0\0\0\0" as ByteString, Buffer.alloc(9 * KIB, round + 1)),
      );
    });
  }
  await index.close();
  whole = readFileSync(path);
});

afterAll(() => rmSync(folder, { recursive: true }));

function fileOf(bytes: Buffer): CheckedFile {
  return {
    sizeBytes: () => bytes.length,
    readSync(buffer, offset) {
      const part = bytes.subarray(offset, offset + buffer.length);
      buffer.set(part);
      return part.length;
    },
  };
}

function check(change: (bytes: Buffer) => void, leafPages?: number): void {
  const bytes = Buffer.from(whole);
  change(bytes);
  checkIndexContent(PATH, fileOf(bytes), leafPages);
}

/** Roots of the free tree and of the tree of tables, in the meta page that counts. */
function roots(): { free: number; tables: number; meta: number } {
  const meta = whole.readBigUInt64LE(PAGE_BYTES + 152) > whole.readBigUInt64LE(152) ? PAGE_BYTES : 0;
  return { meta, free: Number(whole.readBigUInt64LE(meta + 88)), tables: Number(whole.readBigUInt64LE(meta + 136)) };
}

/** Every place of `text` in pages of all ages: the one in use is among them. */
function everywhere(bytes: Buffer, text: string, change: (at: number) => void): void {
  for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + 1)) change(at);
}

test("index content: what LMDB wrote passes, an empty file passes", () => {
  check(() => {});
  checkIndexContent(PATH, fileOf(Buffer.alloc(0)));
});

function flipTwo(bytes: Buffer, at: number, bit: number): void {
  bytes[at + 2]! ^= bit;
  bytes[at + 5]! ^= bit;
}

test("index content: a flipped bit in any key is CORRUPT, as are two in a value; one in a value is mended later", () => {
  for (let cell = 0; cell < CELLS; cell += 211) {
    const name = `cell-${String(cell).padStart(6, "0")}`;
    for (const bit of [1, 0x80]) {
      expectCode("CORRUPT", () => check((bytes) => everywhere(bytes, name, (at) => (bytes[at + 10]! ^= bit))));
      const value = `the value of ${cell}`;
      check((bytes) => everywhere(bytes, value, (at) => (bytes[at + 2]! ^= bit)));
      expectCode("CORRUPT", () => check((bytes) => everywhere(bytes, value, (at) => flipTwo(bytes, at, bit))));
    }
  }
});

test("index content: a row of history is checked under its cell's key, a large row on its own pages", () => {
  const inHistory = `cell-000007`;
  expectCode("CORRUPT", () => check((bytes) => everywhere(bytes, inHistory, (at) => (bytes[at + 11 + 7]! ^= 3))));
  expectCode("CORRUPT", () => check((bytes) => everywhere(bytes, "\x04".repeat(64), (at) => flipTwo(bytes, at, 1))));
});

test("index content: a free page that is in use is CORRUPT, for LMDB would write over it", () => {
  const { free, tables } = roots();
  const page = free * PAGE_BYTES;
  expect(whole.readUInt16LE(page + 18)).toBe(2);
  const node = page + 24 + whole.readUInt16LE(page + 24);
  const list = node + 8 + whole.readUInt16LE(node + 6);
  expect(Number(whole.readBigUInt64LE(list))).toBeGreaterThan(0);
  expect(
    expectCode("CORRUPT", () => check((bytes) => bytes.writeBigUInt64LE(BigInt(tables), list + 8))).message,
  ).toContain("used twice");
  expectCode("CORRUPT", () => check((bytes) => bytes.writeBigUInt64LE(2n ** 40n, list + 8)));
  expectCode("CORRUPT", () => check((bytes) => bytes.writeBigUInt64LE(2n ** 60n, list)));
});

test("index content: counts, roots, and page sizes that cannot be are CORRUPT; another version is VERSION", () => {
  const { meta } = roots();
  for (const offset of [0, 18, 24, 48, 52, 54, 64, 80, 88, 102, 112, 128, 136]) {
    expectCode("CORRUPT", () => check((bytes) => (bytes[meta + offset]! ^= 2)));
  }
  expectCode("VERSION", () => check((bytes) => (bytes[meta + 28]! ^= 1)));
});

test("index content: a file that ends before a page in use is CORRUPT", () => {
  for (const length of [
    1,
    100,
    PAGE_BYTES,
    2 * PAGE_BYTES,
    Math.floor(whole.length / 8),
    Math.floor(whole.length / 4),
  ]) {
    expect([length, caught(() => checkIndexContent(PATH, fileOf(whole.subarray(0, length))))]).toEqual([
      length,
      "CORRUPT",
    ]);
  }
});

test("index content: random damage is CORRUPT, VERSION or harmless, and quickly decided", () => {
  const random = new SimulatedRandom(11);
  let refused = 0;
  for (let round = 0; round < 150; round += 1) {
    try {
      check((bytes) => {
        for (let count = 0; count <= round % 3; count += 1) bytes[random.below(bytes.length)] = random.below(256);
      });
    } catch (error) {
      expect(["CORRUPT", "VERSION"]).toContain((error as { code: string }).code);
      refused += 1;
    }
  }
  expect(refused).toBeGreaterThan(30);
});

test("index content: beyond the budget only the branch pages are read", () => {
  const damage = (bytes: Buffer): void => everywhere(bytes, "the value of 2998", (at) => flipTwo(bytes, at, 1));
  expectCode("CORRUPT", () => check(damage));
  check(damage, 4);
});

test("index content: files of many transactions, with runs of free pages, pass", async () => {
  const random = new SimulatedRandom(5);
  const path = join(folder, "many.lmdb");
  const index = openLmdbIndex({ path, sizeBytes: 64 * MIB });
  for (let round = 0; round < 25; round += 1) {
    index.transact((transaction) => {
      const isRemoval = random.next() < 0.4;
      for (let count = 0; count < 800; count += 1) {
        const name = `${key(random.below(3000))}${"x".repeat(random.below(40))}` as ByteString;
        const size = random.below(20) === 0 ? random.below(20_000) : random.below(300);
        if (isRemoval) transaction.remove("cells", name);
        else transaction.put("cells", name, encodeRow(name, Buffer.alloc(size, count)));
      }
    });
    checkIndexContent(path, fileOf(readFileSync(path)));
  }
  await index.close();
});

/** The code of what `run` throws. */
function caught(run: () => void): string | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    return (error as { code?: string }).code;
  }
}
