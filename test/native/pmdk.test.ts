/**
 * The pmdk addon itself: what it refuses, that closed memory cannot be reached, that threads end at any moment, that
 * nothing grows, and a store on it with a settle thread. Skipped, with the reason, where the addon was not built; one
 * that was built must load and work.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadAddon } from "../../native/load-addon.ts";
import { FORCED_GRANULARITIES, loadPmdkAddon, type PmdkAddon } from "../../native/pmdk/addon.ts";
import scmPmdk from "../../plugins/scm/pmdk/index.ts";
import { pmdkSettings } from "../../plugins/scm/pmdk/settings.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import { MIB } from "../../src/base/limits.ts";
import type { ScmRegion } from "../../src/contracts/scm.ts";
import { settleRegion } from "../../src/engine/settle-settings.ts";
import type { CellStore } from "../../src/store/cell.ts";
import { openLmdbIndex } from "../../src/store/lmdb-index.ts";
import { openStore } from "../../src/store/open-store.ts";
import { ThreadSettler } from "../../src/store/thread-settler.ts";
import { realWorld, spawnThread } from "../../src/world/index.ts";
import { expectBytes, pattern } from "../conformance/support.ts";
import { CrashMachine } from "../store/crash-machine.ts";
import { LATEST, put, text } from "../store/store-rig.ts";

const BUILT = join(import.meta.dir, "..", "..", "native", "pmdk", "build", "Release", "pmdk.node");
const isBuilt = existsSync(BUILT);
const result = loadPmdkAddon();
const skipped = "reason" in result && !isBuilt ? ` (skipped: ${result.reason})` : "";
const FILE_BYTES = MIB;
const { cache_line: CACHE_LINE } = FORCED_GRANULARITIES;
let folder = "";

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "daos-pmdk-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function addon(): PmdkAddon {
  if ("reason" in result) throw new Error(result.reason);
  return result.addon;
}

function makeFile(name: string): string {
  const path = join(folder, name);
  writeFileSync(path, new Uint8Array(FILE_BYTES));
  return path;
}

/** Maps of this process whose file lies in the test's folder. */
function mappings(): string[] {
  const lines = readFileSync("/proc/self/maps", "utf8").split("\n");
  return lines.filter((line) => line.includes(folder) && !line.includes(".node"));
}

function codeOf(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
  return "no error";
}

function residentBytes(): number {
  Bun.gc(true);
  const pages = readFileSync("/proc/self/statm", "latin1").split(" ").map(Number);
  // Shared pages are the file's, not ours.
  return (pages[1]! - pages[2]!) * 4096;
}

test("loadPmdkAddon gives the addon where it was built, else a reason that names its package", () => {
  if (isBuilt) expect(addon().kindOf("/")).toBe("folder");
  else expect(result).toEqual({ reason: expect.stringContaining("libpmem2") });
});

describe.skipIf(!isBuilt)(`pmdk addon${skipped}`, () => {
  test("without libpmem2 it does not load, and the reason names the package", () => {
    const binary = readFileSync(BUILT);
    const place = binary.indexOf("libpmem2.so.1\0");
    expect(place).toBeGreaterThan(0);
    binary.write("libabsent.so.", place, "latin1");
    const path = join(folder, "without-library.node");
    writeFileSync(path, binary);
    const loaded = loadAddon("pmdk", () => require(path) as unknown);
    expect(loaded).toEqual({ reason: expect.stringContaining("install the Debian package libpmem2") });
  });

  test("odd arguments give an error each, in every function", () => {
    const functions = addon() as unknown as Record<string, (...args: unknown[]) => unknown>;
    const oddities: readonly unknown[] = [
      undefined,
      null,
      -1,
      1.5,
      NaN,
      Infinity,
      2 ** 60,
      "text",
      "a\0b",
      {},
      [],
      10n,
    ];
    for (const name of ["map", "persist", "zero", "deepFlush", "inspect", "close", "readHead"]) {
      for (const first of oddities) {
        for (const second of oddities) {
          expect({
            name,
            first: String(first),
            threw: codeOf(() => functions[name]!(first, second, first, second)),
          }).not.toEqual({
            name,
            first: String(first),
            threw: "no error",
          });
        }
      }
      expect(() => functions[name]!()).toThrow();
    }
    expect(() => functions["kindOf"]!()).toThrow();
  });

  test("a mapping is locked against another one of this process, and gone when it is closed", () => {
    const path = makeFile("locked");
    const mapping = addon().map(path, 0, FILE_BYTES, CACHE_LINE);
    const view = new Uint8Array(mapping.bytes);
    const buffer = Buffer.from(mapping.bytes, 64, 64);
    expect(codeOf(() => addon().map(path, 0, 4096, CACHE_LINE))).toBe("BUSY");
    expect(mappings()).toHaveLength(1);
    expect(codeOf(() => addon().close(mapping.slot, new ArrayBuffer(8)))).toBe("EINVAL");
    addon().close(mapping.slot, mapping.bytes);
    expect([view.length, buffer.length, mapping.bytes.byteLength]).toEqual([0, 0, 0]);
    expect(mappings()).toEqual([]);
    expect(codeOf(() => addon().close(mapping.slot, mapping.bytes))).toBe("EBADF");
    expect(codeOf(() => addon().persist(mapping.slot, 0, 64))).toBe("EBADF");
  });

  test("ranges outside of the mapping are refused; at page granularity every persist is", () => {
    const path = makeFile("ranges");
    const fine = addon().map(path, 0, FILE_BYTES, CACHE_LINE);
    const wrong = [
      [FILE_BYTES, 1],
      [0, FILE_BYTES + 1],
      [-64, 64],
      [0, 0],
      [0, -64],
      [NaN, 64],
      [64, NaN],
      [2 ** 63, 64],
    ] as const;
    for (const [offset, length] of wrong) {
      expect(codeOf(() => addon().persist(fine.slot, offset, length))).toBe("EINVAL");
      expect(codeOf(() => addon().zero(fine.slot, offset, length))).toBe("EINVAL");
    }
    addon().close(fine.slot, fine.bytes);
    const coarse = addon().map(path, 0, FILE_BYTES, -1);
    expect(coarse.granularity).toBe("page");
    expect(codeOf(() => addon().persist(coarse.slot, 0, 64))).toBe("NOSUPP");
    addon().close(coarse.slot, coarse.bytes);
  });

  test("what is persisted or zeroed is in the file; beyond its end nothing is mapped", () => {
    const path = makeFile("content");
    const mapping = addon().map(path, 0, FILE_BYTES, CACHE_LINE);
    const bytes = pattern(FILE_BYTES, 1);
    new Uint8Array(mapping.bytes).set(bytes);
    addon().persist(mapping.slot, 0, FILE_BYTES);
    addon().zero(mapping.slot, 8192, 4096);
    bytes.fill(0, 8192, 12288);
    addon().close(mapping.slot, mapping.bytes);
    expectBytes(readFileSync(path), bytes);
    expectBytes(new Uint8Array(addon().readHead(path, 16384)), bytes.subarray(0, 16384));
    truncateSync(path, FILE_BYTES / 2);
    for (const forced of [-1, CACHE_LINE]) {
      expect(codeOf(() => addon().map(path, 0, FILE_BYTES, forced))).toBe("MAP_RANGE");
      expect(codeOf(() => addon().map(path, FILE_BYTES, 4096, forced))).toBe("MAP_RANGE");
    }
    expect(codeOf(() => addon().readHead(path, FILE_BYTES))).toBe("MAP_RANGE");
    expect(mappings()).toEqual([]);
  });

  test("threads that persist are ended at any moment: no crash, nothing stays mapped or locked", async () => {
    for (let round = 0; round < 12; round += 1) {
      const target = join(folder, "thread");
      const worker = new Worker(join(import.meta.dir, "pmdk-thread.ts"));
      const opened = new Promise<void>((resolve, reject) => {
        worker.onmessage = () => resolve();
        worker.onerror = (event) => reject(new Error(event.message));
      });
      const closed = new Promise((resolve) => worker.addEventListener("close", resolve));
      worker.postMessage({ folder: target, create: round === 0 });
      // Every third one is ended while it starts.
      if (round % 3 !== 2) await opened;
      else opened.catch(() => {});
      worker.terminate();
      await closed;
    }
    expect(mappings()).toEqual([]);
    const provider = scmPmdk.create(pmdkSettings.parse({ force_granularity: "cache_line" }));
    const options = { folder: join(folder, "thread"), sizeBytes: MIB, create: false };
    (await provider.open(realWorld(), options)).close();
  });

  test("memory stays flat over ten million persists and a thousand openings", async () => {
    const provider = scmPmdk.create(pmdkSettings.parse({ force_granularity: "cache_line" }));
    const options = { folder: join(folder, "flat"), sizeBytes: MIB };
    const region = await provider.open(realWorld(), { ...options, create: true });
    const persistMany = (count: number): void => {
      for (let index = 0; index < count; index += 1) {
        const offset = (index & 4095) * 256;
        region.bytes[offset] = index;
        if (region.persist(offset, 256) !== undefined) throw new Error("a persist was not done at once");
      }
    };
    persistMany(100_000);
    const beforePersists = residentBytes();
    persistMany(10_000_000);
    expect(residentBytes() - beforePersists).toBeLessThan(4 * MIB);
    region.close();
    const openMany = async (count: number): Promise<void> => {
      for (let index = 0; index < count; index += 1) {
        (await provider.open(realWorld(), { ...options, create: false })).close();
      }
    };
    await openMany(200);
    const beforeOpenings = residentBytes();
    await openMany(1000);
    expect(residentBytes() - beforeOpenings).toBeLessThan(8 * MIB);
    expect(mappings()).toEqual([]);
  }, 120_000);

  /** A store on a region of scm/pmdk, its index settled by the engine's own settle thread. */
  async function openPmdkStore(create: boolean): Promise<{ store: CellStore; region: ScmRegion }> {
    const provider = scmPmdk.create(pmdkSettings.parse({ force_granularity: "cache_line" }));
    const world = realWorld();
    const region = await provider.open(world, { folder: join(folder, "store"), sizeBytes: MIB, create });
    const indexPath = join(folder, "store", "index.lmdb");
    const index = openLmdbIndex({ path: indexPath, sizeBytes: 64 * MIB });
    const thread = spawnThread(new URL("../../src/settle-thread.ts", import.meta.url), "settle");
    thread.post({ indexPath, indexBytes: 64 * MIB, region: settleRegion(region) });
    const device = new CrashMachine({ seed: 1 }).openDevice();
    const settler = new ThreadSettler(thread);
    return { store: await openStore({ world, region, device, index, settler, create }), region };
  }

  test("a store on it, settled by a thread that maps the region again: log recycled, closed, opened, all there", async () => {
    const { store, region } = await openPmdkStore(true);
    expect(region.bytes.buffer instanceof SharedArrayBuffer).toBe(false);
    for (let round = 1; round <= 3; round += 1) {
      for (let index = 0; index < 2000; index += 1) {
        await store.admit(400);
        store.append([put(`key ${(index * 7919) % 2000}`, round, `${round} ${"x".repeat(200)}`)]);
      }
    }
    expect(store.space().scmUsedBytes).toBeGreaterThan(0);
    await store.close();
    expect(mappings().filter((line) => line.endsWith("/scm"))).toEqual([]);
    const again = await openPmdkStore(false);
    for (let index = 0; index < 2000; index += 1) {
      expect(text(again.store.get(put(`key ${index}`, 1, "").key, LATEST))).toStartWith("3 ");
    }
    expect(text(again.store.get(put("key 7", 1, "").key, 2 as Epoch)) ?? "").not.toStartWith("3 ");
    await again.store.close();
  }, 60_000);
});
