/**
 * meta-store `sqlite`: the control plane's store in one SQLite file of the engine's folder. For one machine, without
 * set-up. The engine that has it open holds it alone.
 */
import { z } from "zod";
import { definePlugin } from "../../../src/contracts/plugin.ts";
import { SqliteMetaStore } from "./store.ts";

export default definePlugin({
  kind: "meta-store",
  name: "sqlite",
  description: "one SQLite file; for one machine, no set-up",
  supports: ["lease", "watch"],
  configSchema: z.strictObject({}),
  probe: () => ({ available: true }),
  create: () => ({ open: async (world, options) => SqliteMetaStore.open(world, options.folder) }),
});
