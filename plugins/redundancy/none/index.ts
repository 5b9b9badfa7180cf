/**
 * redundancy `none`: the S classes. Each group is one shard; losing it loses the data, so nothing is tolerated.
 */
import { z } from "zod";
import { DaosError } from "../../../src/base/errors.ts";
import { definePlugin } from "../../../src/contracts/plugin.ts";
import type { RedundancyProvider } from "../../../src/contracts/redundancy.ts";
import { copiesScheme } from "../copies.ts";

const provider: RedundancyProvider = {
  serves: ["none"],
  scheme(redundancy) {
    if (redundancy === "none") return copiesScheme(redundancy, 1);
    throw new DaosError("UNSUPPORTED", `Cannot use redundancy "${redundancy}": this plugin serves "none" only.`);
  },
};

export default definePlugin({
  kind: "redundancy",
  name: "none",
  description: "one shard a group, as the S classes have it: no copies",
  supports: ["none"],
  configSchema: z.strictObject({}),
  probe: () => ({ available: true }),
  create: () => provider,
});
