/**
 * What every scm plugin must do. Call `scmConformance` first in the plugin's test. Plugins also pass under power loss and
 * failing media on a machine that simulates these (scm-faults.ts): those that keep their file on the disk of the world
 * they are given on the simulated one (`worldDisk`), others on a machine of their own (`machine`).
 */
import { describe, expect, test } from "bun:test";
import type { ScmProvider, ScmRegion } from "../../src/contracts/scm.ts";
import { FileRangeView } from "../../src/world/file-range-view.ts";
import { realWorld } from "../../src/world/index.ts";
import { diskFaultTests, diskMachine, faultTests, type ScmMachine } from "./scm-faults.ts";
import { expectBytes, expectCode, inTemporaryFolder, isZero, pattern } from "./support.ts";

const REGION_BYTES = 1024 * 1024;

export interface ScmConformanceOptions {
  /** The plugin does all its I/O through `world.disk`. */
  readonly worldDisk?: boolean;
  /** A machine whose medium loses power and fails, from a seed; for plugins that go around `world.disk`. */
  readonly machine?: (seed: number) => ScmMachine;
}

type Providers = () => ScmProvider;

export function scmConformance(name: string, makeProvider: Providers, options: ScmConformanceOptions = {}): void {
  describe(`scm ${name}`, () => {
    regionTests(makeProvider);
    durabilityTests(makeProvider);
    concurrencyTests(makeProvider);
    misuseTests(makeProvider);
    if (options.worldDisk === true) {
      faultTests((seed) => diskMachine(makeProvider, seed));
      diskFaultTests(makeProvider);
    }
    if (options.machine !== undefined) faultTests(options.machine);
  });
}

/** Opens regions on the real world, in a folder of their own. */
function withFolder(
  makeProvider: Providers,
  use: (open: (create: boolean, sizeBytes?: number) => Promise<ScmRegion>) => Promise<void>,
): Promise<void> {
  return inTemporaryFolder(async (folder) => {
    const world = realWorld();
    await use((create, sizeBytes = REGION_BYTES) => makeProvider().open(world, { folder, sizeBytes, create }));
  });
}

function regionTests(makeProvider: Providers): void {
  test("a new region has the size asked for and holds zeros", () =>
    withFolder(makeProvider, async (open) => {
      const region = await open(true);
      expect(region.bytes.length).toBe(REGION_BYTES);
      expect(isZero(region.bytes)).toBe(true);
      region.close();
    }));

  test("the granularity is a power of two and divides the region", () =>
    withFolder(makeProvider, async (open) => {
      const region = await open(true);
      expect(Number.isInteger(Math.log2(region.granularityBytes))).toBe(true);
      expect(REGION_BYTES % region.granularityBytes).toBe(0);
      region.close();
    }));

  test("a write is seen at once, persisted or not", () =>
    withFolder(makeProvider, async (open) => {
      const region = await open(true);
      region.bytes[77] = 9;
      expect(region.bytes[77]).toBe(9);
      region.close();
    }));

  test("two regions have nothing in common", () =>
    withFolder(makeProvider, (openFirst) =>
      withFolder(makeProvider, async (openSecond) => {
        const first = await openFirst(true);
        const second = await openSecond(true);
        first.bytes.fill(1);
        await first.persist(0, REGION_BYTES);
        second.close();
        const again = await openSecond(false);
        expect(isZero(again.bytes)).toBe(true);
        first.close();
        again.close();
      }),
    ));

  test("the bytes begin at a multiple of the granularity", () =>
    withFolder(makeProvider, async (open) => {
      const region = await open(true);
      expect(region.bytes.byteOffset % region.granularityBytes).toBe(0);
      region.close();
    }));

  test("another thread can see the bytes: they are shared memory, or a file range shows each write at once", () =>
    withFolder(makeProvider, async (open) => {
      const region = await open(true);
      if (region.bytes.buffer instanceof SharedArrayBuffer) {
        region.close();
        return;
      }
      expect(region.fileRange?.sizeBytes).toBe(REGION_BYTES);
      const view = new FileRangeView(region.fileRange!);
      for (let round = 1; round <= 3; round += 1) {
        const bytes = pattern(REGION_BYTES, round);
        region.bytes.set(bytes);
        expectBytes(view.bytes, bytes, "before a persist");
        await region.persist(0, REGION_BYTES);
        expectBytes(view.bytes, bytes, "after it");
      }
      view.close();
      region.close();
    }));

  test("the smallest region has one page", () =>
    withFolder(makeProvider, async (open) => {
      const region = await open(true, 4096);
      region.bytes.fill(5);
      await region.persist(0, 4096);
      region.close();
      const again = await open(false, 4096);
      expect(again.bytes.every((byte) => byte === 5)).toBe(true);
      again.close();
    }));

  test("notices, if there are any, are single lines", () =>
    withFolder(makeProvider, async (open) => {
      const region = await open(true);
      for (const notice of region.notices ?? []) expect(notice).toMatch(/^\S.*[^\s.]$/);
      region.close();
    }));
}

function durabilityTests(makeProvider: Providers): void {
  test("persisted bytes are there after close and open", () =>
    withFolder(makeProvider, async (open) => {
      const region = await open(true);
      const { granularityBytes } = region;
      const bytes = pattern(3 * granularityBytes, 1);
      region.bytes.set(bytes, 5 * granularityBytes);
      await region.persist(5 * granularityBytes, bytes.length);
      region.close();
      const again = await open(false);
      expectBytes(again.bytes.subarray(5 * granularityBytes, 8 * granularityBytes), bytes);
      expect(isZero(again.bytes.subarray(0, 5 * granularityBytes))).toBe(true);
      expect(isZero(again.bytes.subarray(8 * granularityBytes))).toBe(true);
      again.close();
    }));

  test("the whole region persists in one call, its last span alone", () =>
    withFolder(makeProvider, async (open) => {
      const region = await open(true);
      const bytes = pattern(REGION_BYTES, 2);
      region.bytes.set(bytes);
      await region.persist(0, REGION_BYTES);
      region.bytes[REGION_BYTES - 1] = bytes[REGION_BYTES - 1] = 123;
      await region.persist(REGION_BYTES - region.granularityBytes, region.granularityBytes);
      region.close();
      const again = await open(false);
      expectBytes(again.bytes, bytes);
      again.close();
    }));

  test("persists of disjoint ranges may run at once", () =>
    withFolder(makeProvider, async (open) => {
      const region = await open(true);
      const span = Math.max(region.granularityBytes, 4096);
      const bytes = pattern(64 * span, 3);
      region.bytes.set(bytes);
      await Promise.all(Array.from({ length: 64 }, (_, index) => region.persist(((index * 37) % 64) * span, span)));
      region.close();
      const again = await open(false);
      expectBytes(again.bytes.subarray(0, bytes.length), bytes);
      again.close();
    }));

  test("the last of many persists of one range counts", () =>
    withFolder(makeProvider, async (open) => {
      const region = await open(true);
      for (let round = 1; round <= 50; round += 1) {
        region.bytes.fill(round, 0, region.granularityBytes);
        await region.persist(0, region.granularityBytes);
      }
      region.close();
      const again = await open(false);
      expect(again.bytes[0]).toBe(50);
      expect(again.bytes[again.granularityBytes - 1]).toBe(50);
      again.close();
    }));

  test("making a region over an older one gives zeros", () =>
    withFolder(makeProvider, async (open) => {
      const region = await open(true);
      region.bytes.fill(7);
      await region.persist(0, REGION_BYTES);
      region.close();
      const fresh = await open(true);
      expect(isZero(fresh.bytes)).toBe(true);
      fresh.close();
      const again = await open(false);
      expect(isZero(again.bytes)).toBe(true);
      again.close();
    }));
}

function concurrencyTests(makeProvider: Providers): void {
  test("a range at every offset and of every length persists whole, and nothing beside it is touched", () =>
    withFolder(makeProvider, async (open) => {
      const region = await open(true);
      const span = region.granularityBytes;
      const spans = 24;
      for (let first = 0; first < spans; first += 5) {
        for (let count = 1; first + count <= spans; count += 3) {
          const bytes = pattern(count * span, first * spans + count);
          region.bytes.set(bytes, first * span);
          await region.persist(first * span, count * span);
          expectBytes(region.bytes.subarray(first * span, (first + count) * span), bytes);
        }
      }
      const expected = region.bytes.slice();
      expect(isZero(expected.subarray(spans * span))).toBe(true);
      region.close();
      const again = await open(false);
      expectBytes(again.bytes, expected);
      again.close();
    }));

  test("writes elsewhere while persists run disturb neither", () =>
    withFolder(makeProvider, async (open) => {
      const region = await open(true);
      const span = Math.max(region.granularityBytes, 4096);
      const count = REGION_BYTES / span;
      const expected = new Uint8Array(REGION_BYTES);
      for (let round = 1; round <= 8; round += 1) {
        const running: Promise<unknown>[] = [];
        for (let index = round % 2; index < count; index += 2) {
          const bytes = pattern(span, round * count + index);
          expected.set(bytes, index * span);
          region.bytes.set(bytes, index * span);
          running.push(Promise.resolve(region.persist(index * span, span)));
          // The neighbour is written, not persisted: the next round does that.
          const neighbour = (index + 1) % count;
          if (round < 8) region.bytes.fill(round, neighbour * span, neighbour * span + 100);
        }
        await Promise.all(running);
      }
      const checked = (bytes: Uint8Array, what: string): void => {
        for (let index = 0; index < count; index += 2) {
          const range = [index * span, (index + 1) * span] as const;
          expectBytes(bytes.subarray(...range), expected.subarray(...range), `${what} ${index}`);
        }
      };
      checked(region.bytes, "span");
      region.close();
      const again = await open(false);
      checked(again.bytes, "reopened span");
      again.close();
    }));
}

function misuseTests(makeProvider: Providers): void {
  test("opening what was never made: NOT_FOUND", () =>
    withFolder(makeProvider, (open) => expectCode("NOT_FOUND", () => open(false))));

  test("opening with another size: CORRUPT", () =>
    withFolder(makeProvider, async (open) => {
      (await open(true)).close();
      await expectCode("CORRUPT", () => open(false, 2 * REGION_BYTES));
      await expectCode("CORRUPT", () => open(false, REGION_BYTES / 2));
      (await open(false)).close();
    }));

  test("a size that is none: INVALID_ARGUMENT", () =>
    withFolder(makeProvider, async (open) => {
      for (const sizeBytes of [0, -4096, 1, 4097, Number.NaN, 2 ** 60]) {
        await expectCode("INVALID_ARGUMENT", () => open(true, sizeBytes));
      }
    }));

  test("a range off the granularity or the region: INVALID_ARGUMENT, and the region goes on", () =>
    withFolder(makeProvider, async (open) => {
      const region = await open(true);
      const span = region.granularityBytes;
      const ranges = [
        [1, span],
        [0, 1],
        [0, 0],
        [0, -span],
        [-span, span],
        [REGION_BYTES, span],
        [0, REGION_BYTES + span],
      ];
      for (const [offset, length] of ranges)
        await expectCode("INVALID_ARGUMENT", () => region.persist(offset!, length!));
      region.bytes[0] = 1;
      await region.persist(0, span);
      region.close();
      const again = await open(false);
      expect(again.bytes[0]).toBe(1);
      again.close();
    }));

  test("a persist after close: UNAVAILABLE; closing twice is harmless", () =>
    withFolder(makeProvider, async (open) => {
      const region = await open(true);
      region.close();
      region.close();
      await expectCode("UNAVAILABLE", () => region.persist(0, region.granularityBytes));
    }));
}
