/** Clusters from seeds, in a short version; `npm run simulate` runs more of them. */
import { expect, test } from "bun:test";
import { hasCode } from "../../src/base/errors.ts";
import { type ClusterOptions, runCluster } from "./cluster/cluster.ts";
import type { PlantedBug } from "./cluster/node.ts";
import { EPOCH_NONE } from "../../src/base/epoch.ts";
import type { FillStore } from "../../src/dtx/fill-store.ts";
import type { CopiedVersion } from "../../src/format/fill-message.ts";
import { Opcode } from "../../src/format/operations.ts";
import {
  decodeStateQueries,
  decodeTransactionStep,
  encodeStates,
  UNKNOWN_STATE,
} from "../../src/format/transaction-part.ts";
import type { RpcCompletion } from "../../src/rpc/pending-call.ts";
import { VersionKind } from "../../src/store/cell.ts";
import { MetaType } from "../../src/vos/cell-meta.ts";
import type { DkeyCopies } from "../../src/vos/dkey-copy.ts";
import { payloadBytes } from "../fixtures/payload-bytes.ts";

const FAULTY_MS = 6_000;
const SEEDS = 10;
const CRASHES = new Set(["crash", "power loss", "power loss of all"]);
const COPIES = ["RP_2G1", "RP_3GX", "S1"];
const CODED = ["EC_2P1G1", "RP_2G1", "S1"];
const CODED_FILLS = { classes: ["EC_2P1G1"], faultyMs: 2 * FAULTY_MS };

test("clusters keep what they acknowledged, explainably, through faults of all kinds", async () => {
  let operations = 0;
  for (let seed = 1; seed <= SEEDS; seed += 1)
    operations += (await runCluster({ seed, faultyMs: FAULTY_MS })).operations;
  expect(operations).toBeGreaterThan(500);
}, 180_000);

test("the seeds that showed leaders undoing what they had acknowledged, after a restart", async () => {
  for (const seed of [4, 5, 6, 7, 10]) await runCluster({ seed, faultyMs: 12_000, faults: CRASHES, classes: COPIES });
}, 180_000);

test("the seeds that showed commits forgotten before all had heard, and asked of a target that came later", async () => {
  for (const seed of [1028, 1089, 1098]) await runCluster({ seed, faults: CRASHES, classes: COPIES });
}, 180_000);

test("the seeds that showed exceptions nobody caught on targets whose log had failed", async () => {
  for (const seed of [7018, 7030, 7033])
    await runCluster({ seed, faults: new Set(["rot of log", "crash"]), classes: COPIES });
}, 180_000);

test("the seed that showed an object punched once more, over what was written after", async () => {
  await runCluster({ seed: 7042 });
}, 180_000);

test("the seeds that showed updates committed before one of their dkey that was undone", async () => {
  for (const seed of [137, 145, 171, 215]) await runCluster({ seed });
}, 60_000);

/** The first seed that shows the bug, and nothing without it. */
async function foundBy(bug: PlantedBug, options: Partial<ClusterOptions> = {}): Promise<number> {
  for (let seed = 1; seed <= 200; seed += 1) {
    const cluster = { seed, faultyMs: FAULTY_MS, ...options };
    try {
      await runCluster({ ...cluster, bug });
    } catch {
      const isWell = await runCluster(cluster).then(
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
}, 300_000);

test("canary: a target that serves on when its lease is over is found", async () => {
  const options = { faults: new Set(["partition"]), faultyMs: 2 * FAULTY_MS, classes: COPIES };
  expect(await foundBy({ lease: () => undefined }, options)).toBeLessThanOrEqual(200);
}, 300_000);

/** A fill store whose copies do some things otherwise. */
function withCopies(store: FillStore, changed: Partial<DkeyCopies>): FillStore {
  const { copies } = store;
  const get = (_target: DkeyCopies, name: keyof DkeyCopies): unknown =>
    changed[name] ?? (copies[name] as (...args: never[]) => unknown).bind(copies);
  return { ...store, copies: new Proxy(copies, { get } as ProxyHandler<DkeyCopies>) };
}

test("canary: a target that keeps what it had when it is filled is found", async () => {
  const bug: PlantedBug = { fill: (store) => withCopies(store, { purge: async () => {} }) };
  expect(await foundBy(bug)).toBeLessThanOrEqual(200);
}, 300_000);

test("canary: a target that is filled without what was punched is found", async () => {
  const isPunch = ({ kind, meta }: CopiedVersion): boolean =>
    kind === VersionKind.tombstone || meta[0] === MetaType.hole || meta[0] === MetaType.dkeyPunch;
  const bug: PlantedBug = {
    fill: (store) =>
      withCopies(store, {
        write: (container, prefix, versions, mayWrite) =>
          store.copies.write(
            container,
            prefix,
            versions.filter((version) => !isPunch(version)),
            mayWrite,
          ),
      }),
  };
  expect(await foundBy(bug)).toBeLessThanOrEqual(200);
}, 300_000);

test("canary: a target that says it has an update of which nothing is staged there is found", async () => {
  const bug: PlantedBug = {
    run: (run, objects) => (request, payload, order) => {
      try {
        return run(request, payload, order);
      } catch (error) {
        if (!hasCode(error, "NOT_STAGED")) throw error;
        return objects.punchArray(request.container, { ...request.object, flags: 0, recordCount: 0, order });
      }
    },
  };
  expect(await foundBy(bug)).toBeLessThanOrEqual(200);
}, 240_000);

test("canary: a leader that commits before all have prepared is found", async () => {
  const bug: PlantedBug = {
    connection: (connection) => ({
      get isClosed() {
        return connection.isClosed;
      },
      call: (...call) => connection.call(...call),
      onClose: (listener) => connection.onClose(listener),
      flush: () => connection.flush(),
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
}, 300_000);

test("canary: aggregation that does not wait for the folding of stripes is found", async () => {
  const classes = ["EC_2P1G1"];
  expect(await foundBy({ isGated: () => false }, { classes })).toBeLessThanOrEqual(200);
}, 300_000);

test("canary: shards that are read before the gate is above what was filled are found", async () => {
  const bug: PlantedBug = { fill: (store) => ({ ...store, filledAt: () => EPOCH_NONE }) };
  expect(await foundBy(bug, CODED_FILLS)).toBeLessThanOrEqual(200);
}, 240_000);

test("canary: a dkey that undoes its part of a transaction without asking is found", async () => {
  const bug: PlantedBug = {
    connection: (connection) => ({
      get isClosed() {
        return connection.isClosed;
      },
      start: (...call) => connection.start(...call),
      onClose: (listener) => connection.onClose(listener),
      flush: () => connection.flush(),
      close: () => connection.close(),
      call: async (opcode, args, payload, options) => {
        const answer = await connection.call(opcode, args, payload, options);
        if (opcode !== Opcode.transactionState) return answer;
        return {
          args: answer.args,
          payload: encodeStates(decodeStateQueries(payloadBytes(payload)).map(() => UNKNOWN_STATE)),
        };
      },
    }),
  };
  expect(await foundBy(bug)).toBeLessThanOrEqual(200);
}, 300_000);

test("canary: a transaction whose epoch is below that of one of its locks is found", async () => {
  const bug: PlantedBug = {
    link: (link) => ({
      get isClosed() {
        return link.isClosed;
      },
      call: (...call) => link.call(...call),
      abandon: (completion) => link.abandon(completion),
      close: () => link.close(),
      start: (opcode, length, encoder, payload, options, completion) => {
        const step = opcode === Opcode.transactionStep ? decodeTransactionStep(payloadBytes(payload)) : undefined;
        const isSecond = step?.kind === "prepare" && step.part.primary !== undefined;
        link.start(opcode, length, encoder, payload, options, isSecond ? withoutEpoch(completion) : completion);
      },
    }),
  };
  expect(await foundBy(bug)).toBeLessThanOrEqual(200);
}, 300_000);

test("canary: a shard that ends a transaction without its part is found", async () => {
  const bug: PlantedBug = {
    objects: (objects, index) => {
      if (index !== 1) return;
      const step = objects.transactionStep.bind(objects);
      objects.transactionStep = (container, request, what) => {
        const { shard } = request;
        if (shard === undefined) return step(container, request, what);
        const idle: typeof shard = {
          footprint: (range) => shard.footprint(range),
          shapeOf: (write) => shard.shapeOf(write),
          partsOf: () => [],
        };
        return step(container, { ...request, shard: idle }, what);
      };
    },
  };
  expect(await foundBy(bug, { classes: CODED })).toBeLessThanOrEqual(200);
}, 120_000);

test("canary: a target whose reads do not wait for transactions is found", async () => {
  const bug: PlantedBug = {
    objects: (objects, index) => {
      if (index === 1) objects.locks.blocking = () => undefined;
    },
  };
  expect(await foundBy(bug, { classes: CODED })).toBeLessThanOrEqual(200);
}, 120_000);

/** Hears of the first epoch that there is instead of the one that is answered. */
function withoutEpoch(completion: RpcCompletion): RpcCompletion {
  return {
    answered: (body) => {
      body.bytes.writeBigUInt64LE(1n, body.argumentsStart);
      completion.answered(body);
    },
    failed: (...failure) => completion.failed(...failure),
  };
}
