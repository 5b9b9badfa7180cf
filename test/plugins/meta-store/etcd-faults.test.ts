/**
 * What happens to etcd under a store: wiped, put back, full, compacted while nobody was connected.
 */
import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import metaStoreEtcd from "../../../plugins/meta-store/etcd/index.ts";
import { etcdSettings } from "../../../plugins/meta-store/etcd/settings.ts";
import { bytesOf } from "../../../src/base/bytes.ts";
import type { MetaEvent, MetaStore } from "../../../src/contracts/meta-store.ts";
import { realWorld } from "../../../src/world/index.ts";
import { codeOf, expectCode } from "../../conformance/support.ts";
import { ETCD_MISSING, EtcdCluster } from "../../fixtures/etcd-cluster.ts";
import { TcpRelay } from "../../fixtures/tcp-relay.ts";

if (ETCD_MISSING !== undefined) console.error(`meta-store etcd, faults: skipped, ${ETCD_MISSING}`);
setDefaultTimeout(30_000);

describe.skipIf(ETCD_MISSING !== undefined)("etcd in trouble", () => {
  let cluster: EtcdCluster;
  let store: MetaStore;

  const open = (endpoints = cluster.endpoints): Promise<MetaStore> =>
    metaStoreEtcd.create(etcdSettings.parse({ endpoints })).open(realWorld(), { folder: "" });
  const put = (key: string, by = store): Promise<number> => by.commit([], [{ put: key, value: bytesOf("1") }]);

  beforeEach(async () => {
    cluster = await EtcdCluster.start({ flags: ["--quota-backend-bytes", String(16 * 1024 * 1024)] });
    store = await open();
  });
  afterEach(async () => {
    await store.close();
    await cluster.stop();
  });

  async function restartEmpty(): Promise<void> {
    await cluster.killMember(0);
    cluster.wipeMember(0);
    cluster.startMember(0);
    await cluster.untilReady();
  }

  test("wiped while it is open: reads and commits are refused with CORRUPT, not taken for an empty store", async () => {
    await put("a");
    await restartEmpty();
    await expectCode("CORRUPT", () => store.get("a"));
    await expectCode("CORRUPT", () => store.range(""));
    await expectCode("CORRUPT", () => store.commit([{ key: "a", revision: 0 }], [{ put: "a", value: bytesOf("2") }]));
    const fresh = await open();
    expect(await fresh.range("")).toEqual([]);
    await fresh.close();
  });

  test("wiped, and filled by others with the same keys at the same revisions: still CORRUPT", async () => {
    const revision = await put("a");
    await restartEmpty();
    const fresh = await open();
    for (let commits = 0; commits < 5; commits += 1) await put("a", fresh);
    expect((await fresh.get("a"))!.revision).toBeGreaterThan(revision);
    await expectCode("CORRUPT", () => store.get("a"));
    await expectCode("CORRUPT", () => put("b"));
    expect(await fresh.get("b")).toBeUndefined();
    await fresh.close();
  });

  test("wiped before anybody had committed: nothing was lost, it goes on", async () => {
    await restartEmpty();
    expect(await store.range("")).toEqual([]);
    await put("a");
    expect(await store.range("")).toHaveLength(1);
  });

  test("full: NO_SPACE with what to do; reads go on; with room again commits do", async () => {
    const value = new Uint8Array(1024 * 1024);
    let refused: unknown;
    for (let index = 0; index < 40 && refused === undefined; index += 1) {
      refused = await store.commit([], [{ put: "a", value }]).then(
        () => undefined,
        (error: unknown) => error,
      );
    }
    expect((refused as { code?: unknown }).code).toBe("NO_SPACE");
    expect((refused as Error).message).toContain("alarm disarm");
    const entry = await store.get("a");
    expect(entry?.value.length).toBe(value.length);
    await cluster.post("kv/compaction", { revision: String(entry!.revision), physical: true });
    await cluster.post("maintenance/defragment", {});
    const { header } = await cluster.post<{ header: { member_id: string } }>("maintenance/status", {});
    await cluster.post("maintenance/alarm", { action: "DEACTIVATE", memberID: header.member_id, alarm: "NOSPACE" });
    await put("b");
  });

  test("a watcher that was cut off is told what it missed, each change once, in order", async () => {
    const relay = new TcpRelay(Number(cluster.endpoints[0]!.split(":")[1]));
    const watching = await open([relay.endpoint]);
    const told: MetaEvent[] = [];
    watching.watch("w/", (event) => told.push(event));
    const expected = [await put("w/1")];
    await untilTold(told, 1);
    relay.isClosed = true;
    relay.cutAll();
    for (const key of ["w/2", "w/3", "x", "w/2"]) {
      const revision = await put(key);
      if (key !== "x") expected.push(revision);
    }
    relay.isClosed = false;
    expected.push(await put("w/4"));
    await untilTold(told, expected.length);
    expect(told.map(({ revision }) => revision)).toEqual(expected);
    await watching.close();
    relay.stop();
  });

  test("what was compacted while it was cut off is told as the difference: changes by revision, then removals", async () => {
    const relay = new TcpRelay(Number(cluster.endpoints[0]!.split(":")[1]));
    for (const key of ["w/old", "w/gone", "w/same"]) await put(key);
    const watching = await open([relay.endpoint]);
    const told: MetaEvent[] = [];
    watching.watch("w/", (event) => told.push(event));
    await put("w/first");
    await untilTold(told, 1);
    relay.isClosed = true;
    relay.cutAll();
    await put("w/new");
    await put("w/old");
    await put("w/brief");
    await store.commit([], [{ remove: "w/gone" }, { remove: "w/brief" }, { remove: "w/first" }]);
    const last = await put("w/new");
    await cluster.post("kv/compaction", { revision: String(last), physical: true });
    relay.isClosed = false;
    await untilTold(told, 5);
    await put("w/end");
    await untilTold(told, 6);
    const shown = told.map(({ key, value }) => `${key}${value === undefined ? " gone" : ""}`);
    expect(shown.slice(0, 3)).toEqual(["w/first", "w/old", "w/new"]);
    expect(shown.slice(3, 5).toSorted()).toEqual(["w/first gone", "w/gone gone"]);
    expect(shown.slice(5)).toEqual(["w/end"]);
    const revisions = told.map(({ revision }) => revision);
    expect(revisions).toEqual(revisions.toSorted((left, right) => left - right));
    await watching.close();
    relay.stop();
  });

  test("closing while etcd is gone takes no longer than a moment", async () => {
    await put("a");
    await cluster.killMember(0);
    const startedNs = Bun.nanoseconds();
    await store.close();
    expect((Bun.nanoseconds() - startedNs) / 1e6).toBeLessThan(3_000);
    expect(await codeOf(() => store.get("a"))).toBe("UNAVAILABLE");
  });
});

async function untilTold(told: readonly MetaEvent[], count: number): Promise<void> {
  for (let waits = 0; waits < 400 && told.length < count; waits += 1) await Bun.sleep(25);
  expect(told.length).toBe(count);
}
