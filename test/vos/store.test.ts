/**
 * Versioned objects on the real store, on a machine that loses power: random histories with crashes between operations,
 * compared with their definition. What was acknowledged is there after every restart, as are the snapshots.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { EPOCH_NONE, HybridLogicalClock } from "../../src/base/epoch.ts";
import { bytesEqual } from "../../src/base/bytes.ts";
import { KIB, MIB } from "../../src/base/limits.ts";
import { windowLead } from "../../src/vos/array-window.ts";
import { VersionedObjects } from "../../src/vos/versioned-objects.ts";
import { StoreRig } from "../store/store-rig.ts";
import { Comparison, HISTORY_LIMITS, type HistoryRig, operation } from "./history.ts";
import { bytes, CONTAINER, key, oid, settled } from "./rig.ts";

class StoreHistoryRig implements HistoryRig {
  readonly #rig: StoreRig;
  objects: VersionedObjects;
  crashes = 0;
  /** By the stores before the last crash. */
  #destagedBytes = 0;

  constructor(rig: StoreRig) {
    this.#rig = rig;
    this.objects = this.#open();
  }

  static async create(seed: number): Promise<StoreHistoryRig> {
    const rig = new StoreRig({ seed, regionBytes: MIB, deviceBytes: 32 * MIB });
    rig.destageRule = windowLead;
    await rig.open(true);
    return new StoreHistoryRig(rig);
  }

  get store() {
    return this.#rig.store;
  }

  #open(): VersionedObjects {
    const { machine, store, device } = this.#rig;
    const objects = new VersionedObjects({
      store,
      clock: new HybridLogicalClock(() => machine.clock.wallMs()),
      timers: machine.timers,
      allocate: (sizeBytes) => device.allocate(sizeBytes),
      release: () => device.release(),
      limits: HISTORY_LIMITS,
      maxObjectStates: 2,
    });
    objects.openContainer(CONTAINER);
    return objects;
  }

  async settle(lazily: boolean): Promise<void> {
    await this.#rig.machine.timers.advance(lazily ? 2500 : 10_000);
  }

  get destagedBytes(): number {
    return this.#destagedBytes + this.store.destagedBytes;
  }

  async reopen(): Promise<void> {
    this.#destagedBytes += this.store.destagedBytes;
    await this.#rig.crash();
    this.crashes += 1;
    this.objects = this.#open();
  }

  /** Counts the reads of the device from now on. */
  countReads(): { count: number } {
    const { device } = this.#rig;
    const reads = { count: 0 };
    const read = device.read.bind(device);
    device.read = (offset, buffer) => {
      reads.count += 1;
      return read(offset, buffer);
    };
    return reads;
  }

  /** Buffers of the device that are in use. */
  get lent(): number {
    return this.#rig.device.lent;
  }

  congest(): void {
    // The log of this store is small enough to fill by itself.
  }
}

describe("VersionedObjects on the store", () => {
  test("agree with their definition over random histories with crashes", async () => {
    let crashes = 0;
    let destagedBytes = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { minLength: 30, maxLength: 60 }), fc.nat(1e6), async (history, seed) => {
        const rig = await StoreHistoryRig.create(seed);
        const comparison = new Comparison(rig);
        for (const one of history) await comparison.apply(one);
        await comparison.compare();
        await rig.settle(false);
        await comparison.compare();
        await rig.reopen();
        await comparison.compare();
        crashes += rig.crashes;
        destagedBytes += rig.destagedBytes;
      }),
      {
        numRuns: Number(process.env["DAOS_TEST_RUNS"] ?? 16),
        seed: Number(process.env["DAOS_TEST_SEED"] ?? 20_261_122),
      },
    );
    expect(crashes).toBeGreaterThan(8);
    expect(destagedBytes).toBeGreaterThan(50_000);
  }, 120_000);

  test("leave no extent and no cell behind when all is punched", async () => {
    const rig = await StoreHistoryRig.create(1);
    const keys = { oid: oid(1), dkey: key("d"), akey: key("a"), epoch: EPOCH_NONE };
    const range = { recordIndex: 100, recordCount: 300_000, recordBytes: 1 };
    for (let round = 0; round < 5; round += 1) {
      await settled(rig.objects.writeArray(CONTAINER, { ...keys, ...range }, new Uint8Array(300_000).fill(round)));
      await settled(rig.objects.updateValue(CONTAINER, { ...keys, akey: key("single") }, bytes("x".repeat(9000))));
      await rig.settle(false);
    }
    expect(rig.store.space().nvmeUsedBytes).toBeGreaterThan(300_000);
    await settled(rig.objects.punchObject(CONTAINER, keys));
    for (let round = 0; round < 4; round += 1) await rig.settle(false);
    await rig.store.aggregate(CONTAINER);
    expect(rig.store.space().nvmeUsedBytes).toBe(0);
    expect(rig.objects.usage(CONTAINER).nvmeBytes).toBe(0);
    expect(rig.objects.usage(CONTAINER).versions).toBeLessThanOrEqual(1);
  });

  test("read back what was destaged, whole windows and parts that begin anywhere, in few device reads", async () => {
    const rig = await StoreHistoryRig.create(2);
    const keys = { oid: oid(1), dkey: key("d"), akey: key("a"), epoch: EPOCH_NONE };
    const expected = new Uint8Array(64 * KIB);
    const pieces = [...Array.from({ length: 16 }, (_, window) => [window * 4096, 4096]), [100, 3900], [9000, 3000]];
    // Last written first in the array.
    for (const [recordIndex, recordCount] of pieces.slice(0, 16).reverse().concat(pieces.slice(16)) as [
      number,
      number,
    ][]) {
      const bytesWritten = new Uint8Array(recordCount).map((_, index) => recordIndex + (index >>> 3));
      expected.set(bytesWritten, recordIndex);
      await settled(
        rig.objects.writeArray(CONTAINER, { ...keys, recordIndex, recordCount, recordBytes: 1 }, bytesWritten),
      );
    }
    await rig.settle(false);
    // Sixteen windows; of the parts in two of them one piece is too short for a block.
    expect(rig.objects.usage(CONTAINER).nvmeBytes).toBeGreaterThanOrEqual(16 * 4096);
    await rig.reopen();
    const reads = rig.countReads();
    const whole = { ...keys, recordIndex: 0, recordCount: 64 * KIB, recordBytes: 1 };
    const lent = rig.lent;
    const read = rig.objects.readArray(CONTAINER, whole);
    expect(read).toBeInstanceOf(Promise);
    expect(bytesEqual((await read).bytes, expected)).toBe(true);
    expect(reads.count).toBeLessThan(8);
    // Now it is cached: one window needs no promise, more are copied to memory that is the caller's.
    const before = reads.count;
    const window = rig.objects.readArray(CONTAINER, { ...whole, recordIndex: 5 * 4096 + 7, recordCount: 1000 });
    if (window instanceof Promise) throw new Error("a cached window was waited for");
    expect(bytesEqual(window.bytes, expected.subarray(5 * 4096 + 7, 5 * 4096 + 1007))).toBe(true);
    expect(rig.objects.readArray(CONTAINER, whole)).toBeInstanceOf(Promise);
    expect(reads.count).toBe(before);
    expect(rig.lent - lent).toBe(2);
  });
});
