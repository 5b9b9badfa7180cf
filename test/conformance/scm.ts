/**
 * What every scm plugin must do. Call `scmConformance` first in the plugin's test. Plugins that keep their file on the
 * disk of the world they are given also pass under power loss (`worldDisk`), where persisted bytes must survive at every
 * seed and a failed medium must never look durable.
 */
import { describe, expect, test } from "bun:test";
import type { ScmProvider, ScmRegion } from "../../src/contracts/scm.ts";
import { realWorld } from "../../src/world/index.ts";
import { powerCycle, simulatedWorld } from "../simulation/world.ts";
import { expectBytes, expectCode, inTemporaryFolder, isZero, pattern } from "./support.ts";

const REGION_BYTES = 1024 * 1024;
const POWER_LOSS_SEEDS = 60;

export interface ScmConformanceOptions {
  /** The plugin does all its I/O through `world.disk`. */
  readonly worldDisk?: boolean;
}

type Providers = () => ScmProvider;

export function scmConformance(name: string, makeProvider: Providers, options: ScmConformanceOptions = {}): void {
  describe(`scm ${name}`, () => {
    regionTests(makeProvider);
    durabilityTests(makeProvider);
    misuseTests(makeProvider);
    if (options.worldDisk === true) powerLossTests(makeProvider);
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

/**
 * Writes at random, loses power, and counts the spans whose last persisted bytes are gone. Spans being written when
 * power went are not counted. 0 for a right plugin.
 */
export async function scmSpansLost(makeProvider: Providers, seed: number, skipPersists = false): Promise<number> {
  const world = simulatedWorld(seed);
  const open = { folder: "/target", sizeBytes: REGION_BYTES };
  const region = await makeProvider().open(world, { ...open, create: true });
  const span = region.granularityBytes;
  const persisted = new Map<number, number>();
  const busy = new Set<number>();
  const rounds = 20 + world.random.below(40);
  for (let round = 1; round <= rounds; round += 1) {
    const index = world.random.below(16);
    if (busy.has(index)) continue;
    region.bytes.fill(round, index * span, (index + 1) * span);
    busy.add(index);
    const finished = (): void => {
      persisted.set(index, round);
      busy.delete(index);
    };
    const pending = skipPersists ? undefined : region.persist(index * span, span);
    if (pending === undefined) finished();
    else if (world.random.next() < 0.7) await pending.then(finished);
    else void pending.then(finished);
  }
  powerCycle(world);
  const again = await makeProvider().open(world, { ...open, create: false });
  let lost = 0;
  for (const [index, round] of persisted) {
    const bytes = again.bytes.subarray(index * span, (index + 1) * span);
    if (!busy.has(index) && !bytes.every((byte) => byte === round)) lost += 1;
  }
  again.close();
  return lost;
}

function powerLossTests(makeProvider: Providers): void {
  test(`what was persisted survives power loss (${POWER_LOSS_SEEDS} seeds)`, async () => {
    for (let seed = 1; seed <= POWER_LOSS_SEEDS; seed += 1) {
      expect({ seed, lost: await scmSpansLost(makeProvider, seed) }).toEqual({ seed, lost: 0 });
    }
  });

  test("the power-loss test notices persists that do nothing", async () => {
    let lost = 0;
    for (let seed = 1; seed <= 10; seed += 1) lost += await scmSpansLost(makeProvider, seed, true);
    expect(lost).toBeGreaterThan(0);
  });

  test("power loss while making a region leaves none or a whole one, and making it again works", async () => {
    for (let seed = 1; seed <= 30; seed += 1) {
      const world = simulatedWorld(seed);
      const open = { folder: "/target", sizeBytes: REGION_BYTES };
      world.disk.losePowerAt(1 + world.random.below(40));
      const making = makeProvider().open(world, { ...open, create: true });
      await Promise.race([making.catch(() => undefined), world.timers.advance(1000)]);
      powerCycle(world);
      const found = await makeProvider()
        .open(world, { ...open, create: false })
        .catch((error) => error.code);
      if (typeof found === "string") expect(found).toBe("NOT_FOUND");
      else expect(isZero(found.bytes)).toBe(true);
      const fresh = await makeProvider().open(world, { ...open, create: true });
      expect(isZero(fresh.bytes)).toBe(true);
    }
  });

  test("after a failed write nothing is taken for durable any more", async () => {
    const world = simulatedWorld(1);
    const open = { folder: "/target", sizeBytes: REGION_BYTES };
    const region = await makeProvider().open(world, { ...open, create: true });
    const span = region.granularityBytes;
    region.bytes.fill(1, 0, span);
    await region.persist(0, span);
    world.disk.injectFault({ operation: "write", code: "IO" });
    region.bytes.fill(2, span, 2 * span);
    await expectCode("IO", () => region.persist(span, span));
    await expectCode("IO", () => region.persist(2 * span, span));
    region.close();
    const again = await makeProvider().open(world, { ...open, create: false });
    expect(again.bytes[0]).toBe(1);
    again.close();
  });

  test("a full disk: NO_SPACE and nothing half-made", async () => {
    const world = simulatedWorld(1, { disk: { capacityBytes: REGION_BYTES / 2 } });
    const open = { folder: "/target", sizeBytes: REGION_BYTES };
    await expectCode("NO_SPACE", () => makeProvider().open(world, { ...open, create: true }));
    await expectCode("NOT_FOUND", () => makeProvider().open(world, { ...open, create: false }));
    expect(world.disk.freeBytes()).toBe(REGION_BYTES / 2);
  });

  test("a read that fails while opening: IO", async () => {
    const world = simulatedWorld(1);
    const open = { folder: "/target", sizeBytes: REGION_BYTES };
    (await makeProvider().open(world, { ...open, create: true })).close();
    world.disk.injectFault({ operation: "read", code: "IO" });
    await expectCode("IO", () => makeProvider().open(world, { ...open, create: false }));
  });
}
