/**
 * redundancy `erasure`: Reed-Solomon over GF(2^8), the EC classes. ISA-L computes where its addon is built, else the portable
 * twin, which gives the same bytes. Where bytes lie and what each plan guarantees: geometry.ts and stripe-state.ts.
 */
import { z } from "zod";
import { checkErasureCellBytes } from "../../../src/base/erasure-cell.ts";
import { DaosError } from "../../../src/base/errors.ts";
import { definePlugin } from "../../../src/contracts/plugin.ts";
import type { RedundancyProvider } from "../../../src/contracts/redundancy.ts";
import type { Codec } from "../../../native/isal/codec.ts";
import { bestCodec } from "../../../native/isal/isal-codec.ts";
import { portableCodec } from "../../../native/isal/portable-codec.ts";
import { Geometry } from "./geometry.ts";
import { ErasureScheme } from "./scheme.ts";

/** Data and parity shards by the class's word, as DAOS has them. */
const CLASSES: ReadonlyMap<string, readonly [number, number]> = new Map(
  [
    [2, 1],
    [2, 2],
    [4, 1],
    [4, 2],
    [4, 3],
    [8, 1],
    [8, 2],
    [8, 3],
    [16, 1],
    [16, 2],
    [16, 3],
  ].map(([data, parity]) => [`EC_${data}P${parity}`, [data!, parity!]]),
);

export function erasureProvider(codec: Codec): RedundancyProvider {
  return {
    serves: [...CLASSES.keys()],
    scheme(redundancy, options) {
      const shards = CLASSES.get(redundancy);
      if (shards === undefined) {
        const known = [...CLASSES.keys()].join(", ");
        throw new DaosError("UNSUPPORTED", `Cannot use redundancy "${redundancy}": this plugin serves ${known}.`);
      }
      const [data, parity] = shards;
      const geometry = new Geometry(data, parity, checkErasureCellBytes(options.cellBytes));
      const allocate = options.allocate ?? ((length) => new Uint8Array(length));
      return new ErasureScheme(redundancy, { geometry, code: codec.erasureCode(data, parity), allocate });
    },
  };
}

export default definePlugin({
  kind: "redundancy",
  name: "erasure",
  description: "data cut into cells with Reed-Solomon parity, as the EC classes have it: ISA-L, or portable",
  supports: [...CLASSES.keys()],
  configSchema: z.strictObject({ codec: z.enum(["auto", "portable"]).default("auto") }),
  probe: () => ({ available: true }),
  create: ({ codec }) => erasureProvider(codec === "portable" ? portableCodec : bestCodec().codec),
});
