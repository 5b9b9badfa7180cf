/**
 * meta-store `etcd`: the control plane's store in an etcd cluster of release 3.4 or later. It outlives each engine, and
 * any number of engines may have it open. The gRPC client is loaded when a store is opened, not before.
 */
import { definePlugin } from "../../../src/contracts/plugin.ts";
import { type EtcdSettings, etcdSettings } from "./settings.ts";

export default definePlugin({
  kind: "meta-store",
  name: "etcd",
  description: "an etcd cluster (3.4 or later): outlives the engine, shared by many",
  supports: ["lease", "watch", "shared"],
  configSchema: etcdSettings,
  probe: () => ({ available: true }),
  create: (settings: EtcdSettings) => ({
    open: async (world) => {
      const { EtcdMetaStore } = await import("./store.ts");
      return EtcdMetaStore.open(world, settings);
    },
  }),
});
