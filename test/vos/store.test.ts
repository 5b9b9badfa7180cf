/**
 * Versioned objects on the real store, on a machine that loses power: random histories with crashes between operations,
 * compared with their definition. What was acknowledged is there after every restart, as are the snapshots.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { EPOCH_NONE, HybridLogicalClock } from "../../src/base/epoch.ts";
import { MIB } from "../../src/base/limits.ts";
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
        numRuns: Number(process.env["DAOS_TEST_RUNS"] ?? 8),
        seed: Number(process.env["DAOS_TEST_SEED"] ?? 20_261_122),
      },
    );
    expect(crashes).toBeGreaterThan(8);
    expect(destagedBytes).toBeGreaterThan(100_000);
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
});
