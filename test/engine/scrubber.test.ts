/** Passes of a scrubber: their pace, when they begin, what is remembered of them, and that they give way. */
import { expect, test } from "bun:test";
import type { ByteString } from "../../src/base/bytes.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import { BLOCK_BYTES, KIB } from "../../src/base/limits.ts";
import { Repairs } from "../../src/dtx/repairs.ts";
import { Scrubber } from "../../src/engine/scrubber.ts";
import type { ScrubMark, ScrubSettings } from "../../src/format/scrub.ts";
import { VersionKind } from "../../src/store/cell.ts";
import { containerPrefix } from "../../src/vos/cell-key.ts";
import { StoreRig } from "../store/store-rig.ts";
import { codeOf } from "./engine-rig.ts";

const POOL = "pool";
const TIMED: ScrubSettings = { mode: "timed", periodSeconds: 1_000, bytesPerSecond: 256 * KIB };

class ScrubRig {
  readonly marks = new Map<string, ScrubMark>();
  readonly store: StoreRig;
  requests = 0;
  scrubber!: Scrubber;

  constructor(store: StoreRig) {
    this.store = store;
  }

  /** So many containers, each with an extent of 64 KiB. */
  static async create(containers: number): Promise<ScrubRig> {
    const store = await StoreRig.create({ deviceBytes: 4096 * KIB });
    for (let container = 1; container <= containers; container += 1) {
      const extent = await store.store.writeExtent(new Uint8Array(64 * KIB).fill(container));
      const key = `${containerPrefix(container)}x` as ByteString;
      await store.write([{ key, epoch: 1 as Epoch, kind: VersionKind.value, meta: new Uint8Array(1), extent }]);
    }
    await store.settle();
    const rig = new ScrubRig(store);
    rig.start();
    return rig;
  }

  start(): void {
    const { checks } = this.store.store;
    const { timers, clock } = this.store.machine;
    const snapshots = (): readonly Epoch[] => [];
    const none = { shows: () => true, prefixOf: () => "", poolOf: () => undefined, snapshots };
    this.scrubber = new Scrubber({
      checks,
      repairs: new Repairs({ timers, checks, ...none }),
      marks: {
        get: (pool) => this.marks.get(pool),
        put: async (pool, mark) => void this.marks.set(pool, mark),
        forget: async (pool) => void this.marks.delete(pool),
      },
      timers,
      clock,
      requests: () => this.requests,
    });
  }

  pass(ms: number): Promise<void> {
    return this.store.machine.timers.advance(ms);
  }

  rot(container: number): void {
    const [stored] = this.store.store.checks.extentsIn(
      containerPrefix(container) as ByteString,
      containerPrefix(container + 1) as ByteString,
    ).extents;
    this.store.machine.deviceMedium[stored!.extent.offset + 2 * BLOCK_BYTES]! ^= 1;
  }
}

test("a pass looks at everything at its pace, and counts what it finds", async () => {
  const rig = await ScrubRig.create(8);
  const { scrubber } = rig;
  rig.rot(3);
  scrubber.configure(POOL, [1, 2, 3, 4, 5, 6, 7, 8], TIMED);
  expect(scrubber.status(POOL)).toMatchObject({ state: "idle", passes: 0 });
  await scrubber.command({ pool: POOL, action: "start" });
  await rig.pass(1_000);
  const { state, now } = scrubber.status(POOL)!;
  expect(state).toBe("running");
  // 512 KiB of extents at 256 KiB a second.
  expect(now.bytes).toBeGreaterThan(128 * KIB);
  expect(now.bytes).toBeLessThan(400 * KIB);
  await rig.pass(3_000);
  const done = scrubber.status(POOL)!;
  expect(done).toMatchObject({ state: "idle", passes: 1, startedAtMs: 0 });
  expect(done.last.bytes).toBeGreaterThan(512 * KIB);
  // The pool is nobody's here: what it finds nobody has.
  expect(done.last).toMatchObject({ damaged: 1, repaired: 0, lost: 1 });
  await scrubber.stop();
});

test("a pass may have a pace of its own", async () => {
  const rig = await ScrubRig.create(8);
  rig.scrubber.configure(POOL, [1, 2, 3, 4, 5, 6, 7, 8], TIMED);
  await rig.scrubber.command({ pool: POOL, action: "start", bytesPerSecond: 64 * KIB });
  await rig.pass(4_000);
  expect(rig.scrubber.status(POOL)!.state).toBe("running");
  await rig.scrubber.command({ pool: POOL, action: "start", bytesPerSecond: 1024 * 1024 * KIB });
  await rig.pass(3_000);
  expect(rig.scrubber.status(POOL)).toMatchObject({ state: "idle", passes: 1 });
  await rig.scrubber.stop();
});

test("timed passes begin a period after the last one ended; stopped, none does before the next start", async () => {
  const rig = await ScrubRig.create(1);
  const { scrubber } = rig;
  scrubber.configure(POOL, [1], { ...TIMED, periodSeconds: 100 });
  await rig.pass(90_000);
  expect(scrubber.status(POOL)!.passes).toBe(0);
  await rig.pass(15_000);
  expect(scrubber.status(POOL)!.passes).toBe(1);
  await rig.pass(90_000);
  expect(scrubber.status(POOL)!.passes).toBe(1);
  await rig.pass(15_000);
  expect(scrubber.status(POOL)!.passes).toBe(2);
  await scrubber.command({ pool: POOL, action: "stop" });
  await rig.pass(300_000);
  expect(scrubber.status(POOL)).toMatchObject({ state: "stopped", passes: 2 });
  await scrubber.command({ pool: POOL, action: "start" });
  await rig.pass(5_000);
  expect(scrubber.status(POOL)).toMatchObject({ state: "idle", passes: 3 });
  await scrubber.stop();
});

test("off: nothing begins by itself; lazy: passes follow each other while nobody asks for anything", async () => {
  const rig = await ScrubRig.create(1);
  const { scrubber } = rig;
  scrubber.configure(POOL, [1], { ...TIMED, mode: "off" });
  await rig.pass(2_000_000);
  expect(scrubber.status(POOL)!.passes).toBe(0);
  scrubber.configure(POOL, [1], { ...TIMED, mode: "lazy" });
  await rig.pass(10_000);
  const { passes } = scrubber.status(POOL)!;
  expect(passes).toBeGreaterThan(1);
  const { timers } = rig.store.machine;
  const asking = (): void => {
    rig.requests += 1;
    timers.after(20, asking);
  };
  asking();
  await rig.pass(2_000);
  const before = scrubber.status(POOL)!;
  await rig.pass(10_000);
  expect(scrubber.status(POOL)!.now.bytes - before.now.bytes).toBeLessThan(64 * KIB);
  expect(scrubber.status(POOL)!.passes).toBe(before.passes);
  await scrubber.stop();
});

test("after a restart a pass goes on with the container that it was at", async () => {
  const rig = await ScrubRig.create(8);
  const all = [1, 2, 3, 4, 5, 6, 7, 8];
  rig.scrubber.configure(POOL, all, TIMED);
  await rig.scrubber.command({ pool: POOL, action: "start" });
  await rig.pass(1_500);
  await rig.scrubber.stop();
  const mark = rig.marks.get(POOL)!;
  expect(mark.container).toBeGreaterThan(2);
  expect(mark.container).toBeLessThan(8);
  rig.start();
  rig.scrubber.configure(POOL, all, TIMED);
  expect(rig.scrubber.status(POOL)).toMatchObject({ state: "running", passes: 0 });
  await rig.pass(5_000);
  const { last, passes } = rig.scrubber.status(POOL)!;
  expect(passes).toBe(1);
  // What was half done of one container is done again.
  expect(last.bytes).toBeLessThan(700 * KIB);
  await rig.scrubber.stop();
});

test("a pool that is gone is forgotten, and one that is not known refused", async () => {
  const rig = await ScrubRig.create(1);
  rig.scrubber.configure(POOL, [1], TIMED);
  await rig.scrubber.command({ pool: POOL, action: "start" });
  await rig.scrubber.forget(POOL);
  expect(rig.scrubber.status(POOL)).toBeUndefined();
  await rig.pass(1_000);
  expect(rig.marks.has(POOL)).toBe(false);
  expect(await codeOf(rig.scrubber.command({ pool: POOL, action: "start" }))).toBe("NOT_FOUND");
  await rig.scrubber.stop();
});
