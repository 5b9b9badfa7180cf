import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Epoch, EPOCH_NONE } from "../../src/base/epoch.ts";
import { DaosError } from "../../src/base/errors.ts";
import { KIB, MIB } from "../../src/base/limits.ts";
import type { ScmRegion } from "../../src/contracts/scm.ts";
import type { Thread } from "../../src/contracts/world.ts";
import type { CellStore } from "../../src/store/cell.ts";
import { NOTHING_DESTAGED } from "../../src/store/destaged.ts";
import { openLmdbIndex } from "../../src/store/lmdb-index.ts";
import { openStore } from "../../src/store/open-store.ts";
import type { SettleRequest } from "../../src/store/settle-batch.ts";
import { serveSettle } from "../../src/store/settle-service.ts";
import { ThreadSettler } from "../../src/store/thread-settler.ts";
import { RealRandom } from "../../src/world/random.ts";
import { spawnThread } from "../../src/world/thread.ts";
import { RealTimers } from "../../src/world/timers.ts";
import { CrashMachine } from "./crash-machine.ts";
import { expectRejection } from "./expect-code.ts";
import { key, LATEST, put, text, tombstone } from "./store-rig.ts";

const REQUEST: SettleRequest = {
  storeId: "x" as never,
  granularityBytes: 64,
  spans: [],
  transactionPages: { usual: 1, smallIndex: 1 },
  views: { snapshots: new Map([[1, [2 as Epoch]]]), gates: new Map([[1, 3 as Epoch]]) },
  skipped: new Float64Array(0),
  forgottenClients: new Float64Array(0),
  forgottenTo: EPOCH_NONE,
  decided: new Float64Array(0),
  forgotten: new Float64Array(0),
  destaged: NOTHING_DESTAGED,
};

/** Two ends of a channel in one thread. */
function channel(): { near: Thread; far: Thread; end: (error?: Error) => void } {
  const ends: ((message: unknown) => void)[] = [() => {}, () => {}];
  let exited: (error?: Error) => void = () => {};
  const make = (own: number): Thread => ({
    post: (message) => queueMicrotask(() => ends[1 - own]!(structuredClone(message))),
    onMessage: (handler) => {
      ends[own] = handler;
    },
    onExit: (handler) => {
      exited = handler;
    },
    terminate: () => exited(),
  });
  const near = make(0);
  return { near, far: make(1), end: (error) => exited(error) };
}

test("ThreadSettler: errors of the other side come back with their code", async () => {
  const { near, far } = channel();
  const settler = new ThreadSettler(near);
  serveSettle(far, {
    openIndex: () => {
      throw new DaosError("CORRUPT", "Cannot open index: planted. Restore it.");
    },
    openLog: () => () => new Uint8Array(0),
  });
  const error = await expectRejection("CORRUPT", settler.settle(REQUEST));
  expect(error.message).toContain("planted");
});

test("ThreadSettler: when the thread ends, calls that run and calls that follow are UNAVAILABLE", async () => {
  const { near, end } = channel();
  const settler = new ThreadSettler(near);
  const running = settler.settle(REQUEST);
  end(new Error("out of memory"));
  expect((await expectRejection("UNAVAILABLE", running)).message).toContain("out of memory");
  await expectRejection(
    "UNAVAILABLE",
    settler.maintain({
      task: { kind: "wake", parked: { container: 1, from: 0 as Epoch, to: 5 as Epoch } },
      views: REQUEST.views,
      carried: [],
    }),
  );
  await settler.close();
});

function sharedRegion(bytes: Uint8Array): ScmRegion {
  return { bytes, granularityBytes: 64, persist: () => undefined, close() {} };
}

interface OpenedStore {
  readonly store: CellStore;
  readonly machine: CrashMachine;
}

/** A store whose index is LMDB, settled by a real thread. */
async function openThreaded(folder: string, bytes: Uint8Array, create: boolean): Promise<OpenedStore> {
  const path = join(folder, "index.lmdb");
  const index = openLmdbIndex({ path, sizeBytes: 64 * MIB });
  const thread = spawnThread(new URL("./settle-worker.ts", import.meta.url), "settle");
  thread.post({ path, log: bytes });
  const machine = new CrashMachine({ seed: 1 });
  const store = await openStore({
    world: { timers: new RealTimers(), random: new RealRandom() },
    region: sharedRegion(bytes),
    device: machine.openDevice(),
    index,
    settler: new ThreadSettler(thread),
    create,
  });
  return { store, machine };
}

test("a store on LMDB with a settle thread: log recycled many times, closed, opened, all there", async () => {
  const folder = mkdtempSync(join(tmpdir(), "daos-settle-"));
  const bytes = new Uint8Array(new SharedArrayBuffer(1 * MIB));
  try {
    const { store } = await openThreaded(folder, bytes, true);
    store.setSnapshots(1, [1 as Epoch]);
    store.setGate(1, 2 as Epoch);
    for (let round = 1; round <= 3; round += 1) {
      for (let index = 0; index < 2000; index += 1) {
        const name = `key ${(index * 7919) % 2000}`;
        await store.admit(400);
        store.append([put(name, round, `${round} ${"x".repeat(200)}`), put("gated", round, `${round}`)]);
      }
    }
    await store.admit(400);
    store.append([tombstone("key 5", 4)], [{ from: key("key 10"), to: key("key 11"), epoch: 4 as Epoch }]);
    await store.aggregate(1);
    expect(text(store.get(key("key 7"), LATEST))).toStartWith("3 ");
    expect(text(store.get(key("key 7"), 1 as Epoch))).toStartWith("1 ");
    expect(store.get(key("key 5"), LATEST)?.kind ?? 3).toBe(3);
    expect(store.space().scmUsedBytes).toBeGreaterThan(800 * KIB);
    const usage = store.usage(1);
    await store.close();
    const again = await openThreaded(folder, bytes, false);
    const names: string[] = [];
    again.store.scan(key(""), key("", 2), LATEST, (name, version) => {
      if (version.kind !== 3) names.push(name);
      return true;
    });
    expect(names.length).toBe(2000);
    expect([1, 2, 3].map((epoch) => text(again.store.get(key("gated"), epoch as Epoch)))).toEqual(["1", "2", "3"]);
    expect(text(again.store.get(key("key 7"), 1 as Epoch))).toStartWith("1 ");
    expect(again.store.usage(1).versions).toBe(usage.versions);
    await again.store.close();
  } finally {
    rmSync(folder, { recursive: true });
  }
}, 30_000);
