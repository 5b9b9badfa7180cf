/**
 * Interface plugin `kv`: a container of type `kv` as one flat map (src/contracts/key-value.ts). Each key is a dkey of one
 * object with a fixed id; its value is the single value at the empty akey, as DAOS's KV objects have it.
 */
import { z } from "zod";
import { definePlugin } from "../../../src/contracts/plugin.ts";
import { KeyValueStore } from "./key-value-store.ts";

export default definePlugin({
  kind: "interface",
  name: "kv",
  description: "Key-value pairs: put, get, delete, list in key order",
  supports: ["condition", "epoch", "prefix"],
  configSchema: z.strictObject({}),
  probe: () => ({ available: true }),
  create: () => ({ containerTypes: ["kv"], open: (access) => new KeyValueStore(access) }),
});
