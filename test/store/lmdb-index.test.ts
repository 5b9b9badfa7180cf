import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ByteString } from "../../src/base/bytes.ts";
import type { DaosError } from "../../src/base/errors.ts";
import { MIB } from "../../src/base/limits.ts";
import { checkLmdbFile } from "../../src/store/lmdb-check.ts";
import { openLmdbIndex } from "../../src/store/lmdb-index.ts";
import { INDEX_TABLES, type SettledIndex } from "../../src/store/settled-index.ts";
import { RealDisk } from "../../src/world/disk.ts";
import { SimulatedRandom } from "../simulation/random.ts";
import { expectCode } from "./expect-code.ts";
import { settledIndexSuite } from "./settled-index.ts";

function openAt(path: string, sizeBytes = 16 * MIB): SettledIndex {
  return openLmdbIndex({ path, sizeBytes, disk: new RealDisk() });
}

async function inFolder(run: (path: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "daos-index-"));
  try {
    await run(join(folder, "index.lmdb"));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

settledIndexSuite("lmdb index", async (totalBytes) => {
  const folder = mkdtempSync(join(tmpdir(), "daos-index-"));
  const path = join(folder, "index.lmdb");
  let index = openAt(path, totalBytes);
  return {
    index,
    reopen: async () => {
      await index.close();
      index = openAt(path, totalBytes);
      return index;
    },
    remove: async () => {
      await index.close();
      rmSync(folder, { recursive: true });
    },
  };
});

function fill(index: SettledIndex): void {
  index.transact((transaction) => {
    for (let number = 0; number < 5000; number += 1) {
      transaction.put("cells", `key ${number}` as ByteString, Buffer.alloc(200, number));
    }
  });
}

test("lmdb index: a truncated file is CORRUPT, and does not kill the process", () =>
  inFolder(async (path) => {
    const index = openAt(path);
    fill(index);
    await index.close();
    truncateSync(path, 500_000);
    expect(expectCode("CORRUPT", () => openAt(path)).message).toContain("the file ends before it");
  }));

test("lmdb index: a file that is none is CORRUPT", () =>
  inFolder(async (path) => {
    writeFileSync(path, Buffer.alloc(100_000, 0x5a));
    expectCode("CORRUPT", () => openAt(path));
  }));

test("lmdb index: the file stays within about twice its size while all of it is rewritten again and again", () =>
  inFolder(async (path) => {
    const index = openAt(path, 4 * MIB);
    for (let round = 0; round < 8; round += 1) fill(index);
    expect(index.space().usedBytes).toBeLessThan(4 * MIB);
    await index.close();
    expect(statSync(path).size).toBeLessThan(9 * MIB);
    expect(readFileSync(path).length).toBeGreaterThan(1 * MIB);
  }));

test("lmdb index: any damage to a page that is used is CORRUPT, or does no harm", () =>
  inFolder(async (path) => {
    const index = openAt(path);
    index.transact((transaction) => {
      for (let number = 0; number < 300; number += 1) {
        transaction.put("cells", `key ${number}` as ByteString, Buffer.alloc(number, number));
        transaction.put("history", `key ${number}` as ByteString, Buffer.alloc(number % 7));
      }
      transaction.put("meta", "big" as ByteString, Buffer.alloc(30_000, 7));
    });
    await index.close();
    const whole = readFileSync(path);
    let refused = 0;
    for (let offset = 0; offset < whole.length; offset += 61) {
      const bytes = Buffer.from(whole);
      bytes[offset]! ^= 1 << (offset & 7);
      const read = (from: number, length: number): Uint8Array => bytes.subarray(from, from + length);
      try {
        checkLmdbFile({ path, sizeBytes: bytes.length, read });
      } catch (error) {
        expect((error as DaosError).code).toBe("CORRUPT");
        refused += 1;
      }
    }
    expect(refused).toBeGreaterThan(50);
  }));

test("lmdb index: what LMDB wrote is never called damaged, however much is rewritten and removed", () =>
  inFolder(async (path) => {
    const random = new SimulatedRandom(7);
    for (let opening = 0; opening < 6; opening += 1) {
      const index = openAt(path, 64 * MIB);
      for (let round = 0; round < 6; round += 1) {
        index.transact((transaction) => {
          for (let count = 0; count < 700; count += 1) {
            const table = INDEX_TABLES[random.below(INDEX_TABLES.length)]!;
            const key = `${"k".repeat(random.below(4) * 100)} ${random.below(3000)}` as ByteString;
            if (random.next() < 0.4) transaction.remove(table, key);
            else transaction.put(table, key, Buffer.alloc(random.below(random.next() < 0.05 ? 20_000 : 300)));
          }
        });
      }
      await index.close();
    }
    await openAt(path).close();
  }));

test("lmdb index: files that cannot be written are refused before LMDB sees them", () =>
  inFolder(async (path) => {
    mkdirSync(`${path}-lock`);
    expectCode("IO", () => openAt(path));
  }));
