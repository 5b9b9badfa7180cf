/**
 * redundancy `none`: the S classes. Each group is one shard; losing it loses the data, so nothing is tolerated.
 */
import { z } from "zod";
import { DaosError } from "../../../src/base/errors.ts";
import { definePlugin } from "../../../src/contracts/plugin.ts";
import type { RedundancyProvider, RedundancyScheme } from "../../../src/contracts/redundancy.ts";

const ONLY_SHARD: readonly number[] = [0];

const scheme: RedundancyScheme = {
  shardCount: 1,
  toleratedFailures: 0,
  leader(_dkeyHash, aliveShards) {
    if (aliveShards[0] === 0) return 0;
    throw new DaosError("UNAVAILABLE", "Cannot order updates: the group's only shard is down. Bring its engine back.");
  },
  planRead(_dkeyHash, aliveShards) {
    return aliveShards[0] === 0 ? ONLY_SHARD : undefined;
  },
};

const provider: RedundancyProvider = {
  serves: ["none"],
  scheme(redundancy) {
    if (redundancy === "none") return scheme;
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
