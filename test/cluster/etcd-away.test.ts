/**
 * Three engine processes whose etcd goes away for longer than all leases, for all of them or for the leader only, while a client reads and
 * writes.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { System } from "../../src/library.ts";
import { ETCD_MISSING } from "../fixtures/etcd-cluster.ts";
import { ElectedSystem, ENGINES } from "./elected-system.ts";
import { until } from "./system-process.ts";

if (ETCD_MISSING !== undefined) console.error(`etcd that goes away: skipped, ${ETCD_MISSING}`);
/** How long etcd is away after a change was refused, which takes a client's patience: 10 s. Leases are 2 and 3 s. */
const AWAY_MS = Number(process.env["DAOS_TEST_ETCD_AWAY_MS"] ?? 3_000);
setDefaultTimeout(120_000 + 2 * AWAY_MS);
const POOL_BYTES = 192 << 20;
/** An operation that waited for etcd to come back took longer: leases end 5 s after it went. */
const MOST_MS = 6_000;

interface Load {
  /** Ends it: the longest operation, milliseconds, and how many there were. What was written is there, or it rejects. */
  readonly end: () => Promise<{ longestMs: number; count: number }>;
}

describe.skipIf(ETCD_MISSING !== undefined)("three engines whose etcd goes away", () => {
  let elected: ElectedSystem;
  let system: System;

  beforeAll(async () => {
    elected = await ElectedSystem.start();
    system = elected.system;
    await system.createPool({ label: "tank", sizeBytes: POOL_BYTES, properties: { rd_fac: "1" } });
    await system.pool("tank").createContainer({ label: "things", type: "kv" });
  });
  afterAll(() => elected.stop());

  /** A client that puts and gets until it is told to end. */
  const load = async (): Promise<Load> => {
    const kv = (await system.pool("tank").openContainer("things")).kv();
    let [isOver, count, longestMs] = [false, 0, 0];
    const working = (async () => {
      for (; !isOver; count += 1) {
        const startedMs = performance.now();
        const [key, value] = [`key ${count % 300}`, `value ${count}`];
        await kv.put(key, Buffer.from(value));
        expect(Buffer.from((await kv.get(key))!.value).toString()).toBe(value);
        longestMs = Math.max(longestMs, performance.now() - startedMs);
      }
    })();
    return {
      end: async () => {
        isOver = true;
        await working;
        return { longestMs, count };
      },
    };
  };

  test("for all: reads and writes go on for as long as it is away, changes of the system wait, then go on", async () => {
    const before = await elected.leader();
    const running = await load();
    await elected.etcd.killMember(0);
    const admin = await elected.clientOf((before + 1) % ENGINES);
    await expect(admin.createPool({ label: "refused", sizeBytes: POOL_BYTES })).rejects.toThrow();
    await Bun.sleep(AWAY_MS);
    // What only reads needs no etcd: a client that comes now opens the container.
    const late = await elected.clientOf(before);
    const container = await late.pool("tank").openContainer("things");
    expect((await container.kv().get("key 0"))!.value.length).toBeGreaterThan(0);
    expect((await late.pool("tank").query()).containers).toBe(1);
    await late.close();
    elected.etcd.startMember(0);
    await elected.etcd.untilReady();
    await system.pool("tank").createContainer({ label: "after", type: "kv" });
    const { longestMs, count } = await running.end();
    console.log(`etcd away: ${count} puts and gets, the longest ${longestMs.toFixed(0)} ms`);
    expect(longestMs).toBeLessThan(MOST_MS);
    await elected.untilJoined();
    await admin.close();
  });

  test("for the leader alone: another one leads, the old one follows, reads and writes go on", async () => {
    const before = await elected.leader();
    const running = await load();
    elected.relays[before]!.isCut = true;
    const others = await elected.admin((before + 1) % ENGINES);
    await until(
      async () => (await others.query()).pid !== elected.engines[before]!.pid,
      () => elected.outputs,
    );
    await others.pool("tank").createContainer({ label: "meanwhile", type: "kv" });
    await until(
      async () => (await others.query()).engines!.every(({ state }) => state === "joined"),
      () => elected.outputs,
    );
    elected.relays[before]!.isCut = false;
    const { longestMs, count } = await running.end();
    console.log(`leader cut off: ${count} puts and gets, the longest ${longestMs.toFixed(0)} ms`);
    expect(longestMs).toBeLessThan(MOST_MS);
    expect(await elected.leader()).not.toBe(before);
    await others.close();
  });
});
