/**
 * Versioned objects against their definition, on the model store: it settles, aggregates and reclaims at random moments,
 * and damages every view that is held too long. DAOS_TEST_SEED and DAOS_TEST_RUNS make it another or a longer test.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Comparison, HISTORY_LIMITS, operation } from "./history.ts";
import { MAX_DATA_THRESHOLD_BYTES, MIN_DATA_THRESHOLD_BYTES } from "../../src/base/limits.ts";
import { windowLead } from "../../src/vos/array-window.ts";
import { makeRig } from "./rig.ts";

function makeComparison(rig = makeRig({ strict: true, maxObjectStates: 2, limits: HISTORY_LIMITS })): Comparison {
  return new Comparison({
    store: rig.store,
    get objects() {
      return rig.objects;
    },
    settle: (lazily) => rig.store.settle(lazily),
    reopen: () => rig.reopen(),
    congest: () => {
      rig.store.congestion = 3;
    },
  });
}

describe("VersionedObjects", () => {
  test("agree with their definition over random histories", async () => {
    let operations = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { minLength: 40, maxLength: 80 }), async (history) => {
        const comparison = makeComparison();
        for (const [index, one] of history.entries()) {
          await comparison.apply(one);
          if (index % 40 === 39) await comparison.compare();
        }
        await comparison.compare();
        operations += history.length;
      }),
      {
        numRuns: Number(process.env["DAOS_TEST_RUNS"] ?? 30),
        seed: Number(process.env["DAOS_TEST_SEED"] ?? 20_261_122),
      },
    );
    expect(operations).toBeGreaterThan(1000);
  }, 120_000);

  test("agree with it when settling moves array data of every size to extents", async () => {
    let destagedBytes = 0;
    let reads = 0;
    let deviceReads = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { minLength: 40, maxLength: 80 }), async (history) => {
        const options = { strict: true, maxObjectStates: 2, limits: HISTORY_LIMITS, destageRule: windowLead };
        const rig = makeRig(options);
        const comparison = makeComparison(rig);
        for (const [index, one] of history.entries()) {
          await comparison.apply(one);
          if (index % 10 === 9) rig.store.settle();
        }
        await comparison.compare();
        destagedBytes += rig.store.destagedBytes;
        reads += rig.store.reads;
        deviceReads += rig.store.deviceReads;
      }),
      {
        numRuns: Number(process.env["DAOS_TEST_RUNS"] ?? 20),
        seed: Number(process.env["DAOS_TEST_SEED"] ?? 20_261_130),
      },
    );
    expect(destagedBytes).toBeGreaterThan(100_000);
    expect(deviceReads).toBeLessThan(reads);
  }, 120_000);

  test("agree with it whatever the threshold is, and when SCM is crowded for a while", async () => {
    const history = fc.array(operation, { minLength: 30, maxLength: 60 });
    const threshold = fc.constantFrom(MIN_DATA_THRESHOLD_BYTES, 3000, MAX_DATA_THRESHOLD_BYTES);
    await fc.assert(
      fc.asyncProperty(history, threshold, async (operations, thresholdBytes) => {
        const rig = makeRig({ strict: true, maxObjectStates: 2, limits: HISTORY_LIMITS, thresholdBytes });
        const comparison = makeComparison(rig);
        for (const [index, one] of operations.entries()) {
          rig.store.isScmCrowded = index % 11 > 6;
          await comparison.apply(one);
        }
        await comparison.compare();
      }),
      {
        numRuns: Number(process.env["DAOS_TEST_RUNS"] ?? 20),
        seed: Number(process.env["DAOS_TEST_SEED"] ?? 20_261_122),
      },
    );
  }, 120_000);
});
