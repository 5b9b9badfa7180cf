import { afterAll, beforeAll, describe } from "bun:test";
import { basename } from "node:path";
import metaStoreEtcd from "../../../plugins/meta-store/etcd/index.ts";
import { etcdSettings } from "../../../plugins/meta-store/etcd/settings.ts";
import { metaStoreConformance } from "../../conformance/meta-store.ts";
import { ETCD_MISSING, EtcdCluster } from "../../fixtures/etcd-cluster.ts";

if (ETCD_MISSING !== undefined) console.error(`meta-store etcd: skipped, ${ETCD_MISSING}`);

describe.skipIf(ETCD_MISSING !== undefined)("one member", () => {
  let cluster: EtcdCluster;
  beforeAll(async () => {
    cluster = await EtcdCluster.start();
  }, 60_000);
  afterAll(() => cluster.stop());

  metaStoreConformance(
    "etcd",
    (folder) => {
      const { endpoints } = cluster;
      return metaStoreEtcd.create(etcdSettings.parse({ endpoints, prefix: `${basename(folder)}/` }));
    },
    { service: true },
  );
});
