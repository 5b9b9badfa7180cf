/**
 * The plugins compiled into the executable, in the order `daos server plugins` lists them.
 */
import type { PluginDefinition } from "../src/contracts/plugin.ts";
import blockDeviceFile from "./block-device/file/index.ts";
import blockDeviceUring from "./block-device/uring/index.ts";
import blockDeviceSpdk from "./block-device/spdk/index.ts";
import interfaceKv from "./interface/kv/index.ts";
import metaStoreEtcd from "./meta-store/etcd/index.ts";
import metaStoreSqlite from "./meta-store/sqlite/index.ts";
import redundancyErasure from "./redundancy/erasure/index.ts";
import redundancyNone from "./redundancy/none/index.ts";
import redundancyReplica from "./redundancy/replica/index.ts";
import scmFile from "./scm/file/index.ts";
import scmPmdk from "./scm/pmdk/index.ts";
import scmRam from "./scm/ram/index.ts";

export const BUILT_IN_PLUGINS: readonly PluginDefinition[] = [
  scmFile,
  scmPmdk,
  scmRam,
  blockDeviceFile,
  blockDeviceUring,
  blockDeviceSpdk,
  redundancyNone,
  redundancyReplica,
  redundancyErasure,
  interfaceKv,
  metaStoreSqlite,
  metaStoreEtcd,
];
