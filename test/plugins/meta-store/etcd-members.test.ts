/**
 * The suite on three members of etcd, of which one after the other dies or is stopped for a while, the leader too, while
 * others count: nothing counted is lost or doubled, and a watcher is told each count once.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { basename } from "node:path";
import metaStoreEtcd from "../../../plugins/meta-store/etcd/index.ts";
import { etcdSettings } from "../../../plugins/meta-store/etcd/settings.ts";
import { realWorld } from "../../../src/world/index.ts";
import { metaStoreConformance } from "../../conformance/meta-store.ts";
import { ETCD_MISSING, EtcdCluster } from "../../fixtures/etcd-cluster.ts";
import { EtcdCounters, EtcdTrouble } from "../../fixtures/etcd-counters.ts";

if (ETCD_MISSING !== undefined) console.error(`meta-store etcd on three members: skipped, ${ETCD_MISSING}`);

describe.skipIf(ETCD_MISSING !== undefined)("three members", () => {
  let cluster: EtcdCluster;
  let counters: EtcdCounters;
  let trouble: EtcdTrouble;
  const provider = (prefix: string) =>
    metaStoreEtcd.create(etcdSettings.parse({ endpoints: cluster.endpoints, prefix, request_timeout_ms: 20_000 }));

  beforeAll(async () => {
    cluster = await EtcdCluster.start({ members: 3 });
    const open = () => provider("counters/").open(realWorld(), { folder: "" });
    counters = new EtcdCounters(await Promise.all([open(), open(), open()]), await open());
    trouble = new EtcdTrouble(cluster);
  }, 60_000);
  afterAll(() => cluster.stop());

  metaStoreConformance("etcd", (folder) => provider(`${basename(folder)}/`), { service: true });

  test("nothing that was counted meanwhile is lost or doubled, and the watcher was told each count once", async () => {
    await trouble.stop();
    const { acknowledged, refused, unknown, marks, value, told, failures } = await counters.finish();
    const happened = new Set(marks);
    expect(trouble.rounds).toBeGreaterThan(3);
    expect(failures).toEqual([]);
    expect(unknown).toEqual([]);
    expect(acknowledged.filter((mark) => !happened.has(mark))).toEqual([]);
    expect(refused.filter((mark) => happened.has(mark))).toEqual([]);
    expect(value).toBe(acknowledged.length);
    expect(marks).toHaveLength(value);
    expect(told).toEqual(Array.from({ length: value }, (_, index) => index + 1));
  }, 60_000);
});
