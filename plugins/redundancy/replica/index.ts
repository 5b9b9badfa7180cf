/**
 * redundancy `replica`: the RP classes. Each shard of a group holds everything; all but one may be lost.
 */
import { z } from "zod";
import { DaosError } from "../../../src/base/errors.ts";
import { definePlugin } from "../../../src/contracts/plugin.ts";
import type { RedundancyProvider } from "../../../src/contracts/redundancy.ts";
import { copiesScheme } from "../copies.ts";

const COPIES: ReadonlyMap<string, number> = new Map([2, 3, 4, 5, 6].map((copies) => [`RP_${copies}`, copies]));

const provider: RedundancyProvider = {
  serves: [...COPIES.keys()],
  scheme(redundancy) {
    const copies = COPIES.get(redundancy);
    if (copies !== undefined) return copiesScheme(redundancy, copies);
    const known = [...COPIES.keys()].join(", ");
    throw new DaosError("UNSUPPORTED", `Cannot use redundancy "${redundancy}": this plugin serves ${known}.`);
  },
};

export default definePlugin({
  kind: "redundancy",
  name: "replica",
  description: "the same data on every shard of a group, as the RP classes have it: 2 to 6 copies",
  supports: [...COPIES.keys()],
  configSchema: z.strictObject({}),
  probe: () => ({ available: true }),
  create: () => provider,
});
