/**
 * redundancy `erasure` on ISA-L: the whole suite, and the same parts as the portable codec gives. Where the addon was not
 * built this is skipped; one that was built must load.
 */
import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { loadIsalAddon } from "../../native/isal/addon.ts";
import { isalCodec } from "../../native/isal/isal-codec.ts";
import { portableCodec } from "../../native/isal/portable-codec.ts";
import { erasureProvider } from "../../plugins/redundancy/erasure/index.ts";
import { KIB } from "../../src/base/limits.ts";
import type { RedundancyProvider } from "../../src/contracts/redundancy.ts";
import { redundancyConformance } from "../conformance/redundancy.ts";
import { GOLDEN_PARITY, goldenStripe } from "../plugins/redundancy/golden-parity.ts";

const isBuilt = existsSync(join(import.meta.dir, "..", "..", "native", "isal", "build", "Release", "isal.node"));

function isalProvider(): RedundancyProvider {
  const result = loadIsalAddon();
  if ("reason" in result) throw new Error(result.reason);
  return erasureProvider(isalCodec(result.addon));
}

if (isBuilt) redundancyConformance("erasure on ISA-L", isalProvider);

describe.skipIf(!isBuilt)("erasure on ISA-L", () => {
  test("every class gives the golden parity, and all of the portable codec's bytes", () => {
    for (const [word, expected] of Object.entries(GOLDEN_PARITY)) {
      const [isal, portable] = [isalProvider(), erasureProvider(portableCodec)].map((provider) => {
        const scheme = provider.scheme(word, { cellBytes: 64 * KIB });
        const stripe = goldenStripe(scheme.dataShards, 64 * KIB);
        return scheme.planWrite(0, stripe.length, stripe);
      });
      expect(isal!.map((part) => Buffer.concat(part.views))).toEqual(
        portable!.map((part) => Buffer.concat(part.views)),
      );
      const parity = isal!.filter((part) => part.holds === "parity");
      expect(parity.map((part) => Buffer.from(part.views[0]!.subarray(0, 8)).toString("hex"))).toEqual([...expected]);
    }
  });
});
