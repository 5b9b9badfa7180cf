/**
 * Commits whose answer is lost, or that arrive long after they were given up: each happens once, and the caller is told
 * what became of it.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import metaStoreEtcd from "../../../plugins/meta-store/etcd/index.ts";
import { etcdSettings } from "../../../plugins/meta-store/etcd/settings.ts";
import { bytesOf } from "../../../src/base/bytes.ts";
import type { MetaStore } from "../../../src/contracts/meta-store.ts";
import { realWorld } from "../../../src/world/index.ts";
import { codeOf, expectCode } from "../../conformance/support.ts";
import { ETCD_MISSING, EtcdCluster } from "../../fixtures/etcd-cluster.ts";
import { TcpRelay } from "../../fixtures/tcp-relay.ts";

if (ETCD_MISSING !== undefined) console.error(`meta-store etcd, commits: skipped, ${ETCD_MISSING}`);
setDefaultTimeout(30_000);

describe.skipIf(ETCD_MISSING !== undefined)("commits to etcd", () => {
  let cluster: EtcdCluster;
  let relay: TcpRelay;
  let tests = 0;
  /** Through the relay first, then straight. */
  let store: MetaStore;
  let other: MetaStore;

  const openAt = (endpoints: readonly string[], prefix: string, timeoutMs = 10_000) =>
    metaStoreEtcd
      .create(etcdSettings.parse({ endpoints, prefix, request_timeout_ms: timeoutMs }))
      .open(realWorld(), { folder: "" });

  beforeAll(async () => {
    cluster = await EtcdCluster.start();
  });
  afterAll(() => cluster.stop());
  beforeEach(async () => {
    tests += 1;
    relay = new TcpRelay(Number(cluster.endpoints[0]!.split(":")[1]));
    store = await openAt([relay.endpoint, ...cluster.endpoints], `t${tests}/`);
    other = await openAt(cluster.endpoints, `t${tests}/`);
    await store.commit([], [{ put: "first", value: bytesOf("1") }]);
  });
  afterEach(async () => {
    await Promise.all([store.close(), other.close()]);
    relay.stop();
  });

  const settled = () => Bun.sleep(300);

  test("an answer is lost: the commit is acknowledged with its revision, and happened once", async () => {
    await other.get("first");
    const told: number[] = [];
    other.watch("", ({ revision }) => told.push(revision));
    const lost = relay.loseNextAnswer();
    const revision = await store.commit([{ key: "a", revision: 0 }], [{ put: "a", value: bytesOf("1") }]);
    await lost;
    expect((await other.get("a"))?.revision).toBe(revision);
    const next = await store.commit([{ key: "a", revision }], [{ put: "a", value: bytesOf("2") }]);
    await settled();
    expect(told).toEqual([revision, next]);
  });

  test("the answer of a commit that conflicts is lost: CONFLICT", async () => {
    const lost = relay.loseNextAnswer();
    await expectCode("CONFLICT", () =>
      store.commit([{ key: "first", revision: 0 }], [{ put: "a", value: bytesOf("1") }]),
    );
    await lost;
    expect(await other.get("a")).toBeUndefined();
  });

  test("a first copy that comes late, after the second was applied, does nothing", async () => {
    const held = relay.holdNextRequest();
    await store.commit([], [{ put: "a", value: bytesOf("1") }]);
    await held;
    const later = await other.commit([], [{ put: "a", value: bytesOf("2") }]);
    relay.release();
    await settled();
    expect((await other.get("a"))?.revision).toBe(later);
    await store.commit([], [{ put: "b", value: bytesOf("3") }]);
  });

  test("a first copy that comes late, after CONFLICT was said, does nothing though its compares hold again", async () => {
    await other.commit([], [{ put: "a", value: bytesOf("other") }]);
    await settled();
    const held = relay.holdNextRequest();
    await expectCode("CONFLICT", () =>
      store.commit([{ key: "a", revision: 0 }], [{ put: "a", value: bytesOf("late") }]),
    );
    await held;
    await other.commit([], [{ remove: "a" }]);
    relay.release();
    await settled();
    expect(await other.get("a")).toBeUndefined();
  });

  test("with a lease that ended meanwhile: NOT_FOUND, and a late copy does nothing", async () => {
    const lease = await store.grantLease(60_000);
    await other.revokeLease(lease);
    await settled();
    const held = relay.holdNextRequest();
    const operations = [
      { put: "a", value: bytesOf("1"), lease },
      { put: "b", value: bytesOf("2") },
    ];
    await expectCode("NOT_FOUND", () => store.commit([], operations));
    await held;
    relay.release();
    await settled();
    expect(await other.range("")).toHaveLength(1);
  });

  test("nobody answers in time: TIMEOUT, and from the next commit on a late copy does nothing", async () => {
    const lonely = await openAt([relay.endpoint], `t${tests}/`, 1_000);
    await lonely.commit([], [{ put: "first", value: bytesOf("2") }]);
    await settled();
    const held = relay.holdNextRequest();
    relay.isClosed = true;
    const commit = codeOf(() => lonely.commit([], [{ put: "a", value: bytesOf("1") }]));
    await held;
    expect(await commit).toBe("TIMEOUT");
    await expectCode("UNAVAILABLE", () => lonely.get("a"));
    relay.isClosed = false;
    // Until the connection stands again.
    while ((await codeOf(() => lonely.get("a"))) === "UNAVAILABLE") await Bun.sleep(50);
    await lonely.commit([], [{ put: "b", value: bytesOf("2") }]);
    relay.release();
    await settled();
    expect(await other.get("a")).toBeUndefined();
    await lonely.close();
  });

  test("nobody is there: UNAVAILABLE, and nothing happened", async () => {
    await cluster.killMember(0);
    const lonely = codeOf(() => openAt(cluster.endpoints, "none/", 500));
    expect(await lonely).toBe("UNAVAILABLE");
    cluster.startMember(0);
    await cluster.untilReady();
  });

  test("a store whose bookkeeping others removed goes on", async () => {
    const stores = await Promise.all(Array.from({ length: 70 }, () => openAt(cluster.endpoints, `t${tests}/`)));
    for (const [index, one] of stores.entries()) await one.commit([], [{ put: `s${index}`, value: bytesOf("1") }]);
    await store.commit([], [{ put: "a", value: bytesOf("1") }]);
    await Promise.all(stores.map((one) => one.commit([], [{ put: "b", value: bytesOf("1") }])));
    expect(await other.get("a")).toBeDefined();
    await Promise.all(stores.map((one) => one.close()));
    const key = Buffer.from(`t${tests}/slot/`).toString("base64");
    const end = Buffer.from(`t${tests}/slot0`).toString("base64");
    const { count } = await cluster.post<{ count?: string }>("kv/range", { key, range_end: end, count_only: true });
    expect(Number(count ?? 0)).toBeLessThanOrEqual(2);
  });
});
