/** Clusters from seeds, in a short version; `npm run simulate` runs more of them. */
import { expect, test } from "bun:test";
import { runCluster } from "./cluster/cluster.ts";
import type { PlantedBug } from "./cluster/node.ts";
import { Opcode } from "../../src/format/operations.ts";

const FAULTY_MS = 6_000;

test("clusters keep what they acknowledged, explainably, through crashes and power losses", async () => {
  let operations = 0;
  for (let seed = 1; seed <= 13; seed += 1) operations += (await runCluster({ seed, faultyMs: FAULTY_MS })).operations;
  expect(operations).toBeGreaterThan(500);
}, 60_000);

test("the seeds that showed leaders undoing what they had acknowledged, after a restart", async () => {
  for (const seed of [4, 5, 6, 7, 10]) await runCluster({ seed });
}, 60_000);

// Not understood yet: a fetch sees what no order of the updates explains. Remove `failing` with the fix.
test.failing(
  "seed 14: what was seen of RP_3GX dkey 1 can be explained",
  async () => {
    await runCluster({ seed: 14, faultyMs: FAULTY_MS });
  },
  60_000,
);

/** The first seed that shows the bug, and nothing without it. */
async function foundBy(bug: PlantedBug): Promise<number> {
  for (let seed = 1; seed <= 200; seed += 1) {
    try {
      await runCluster({ seed, faultyMs: FAULTY_MS, bug });
    } catch {
      const isWell = await runCluster({ seed, faultyMs: FAULTY_MS }).then(
        () => true,
        () => false,
      );
      if (isWell) return seed;
    }
  }
  return Number.POSITIVE_INFINITY;
}

test("canary: a target that says it has an update before it is durable is found", async () => {
  const bug: PlantedBug = {
    store: (store) => ({ ...store, whenDurable: (_sequence, callback) => callback() }),
  };
  expect(await foundBy(bug)).toBeLessThanOrEqual(200);
}, 120_000);

test("canary: a leader that commits before all have prepared is found", async () => {
  const bug: PlantedBug = {
    connection: (connection) => ({
      get isClosed() {
        return connection.isClosed;
      },
      call: (...call) => connection.call(...call),
      onClose: (listener) => connection.onClose(listener),
      close: () => connection.close(),
      start: (opcode, length, encoder, payload, options, completion) => {
        const isPrepare = opcode === Opcode.dtxPrepare;
        const ignored = { answered: () => {}, failed: () => {} };
        connection.start(opcode, length, encoder, payload, options, isPrepare ? ignored : completion);
        if (isPrepare) completion.answered(undefined as never);
      },
    }),
  };
  expect(await foundBy(bug)).toBeLessThanOrEqual(200);
}, 120_000);
