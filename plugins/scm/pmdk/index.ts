/**
 * scm `pmdk`: storage class memory that is memory: a file on a DAX file system or a devdax device, mapped, and made
 * durable by libpmem2 within a microsecond. Any other file serves too where the settings allow it, for trying out.
 */
import { loadPmdkAddon } from "../../../native/pmdk/addon.ts";
import { DaosError } from "../../../src/base/errors.ts";
import { definePlugin } from "../../../src/contracts/plugin.ts";
import { PmdkScmProvider } from "./provider.ts";
import { pmdkSettings, type PmdkSettings } from "./settings.ts";

export default definePlugin({
  kind: "scm",
  name: "pmdk",
  description: "persistent memory through libpmem2: a DAX file system or a devdax device",
  supports: [],
  configSchema: pmdkSettings,
  probe: () => {
    const result = loadPmdkAddon();
    return "addon" in result ? { available: true } : { available: false, reason: result.reason };
  },
  create: (settings: PmdkSettings) => {
    const result = loadPmdkAddon();
    if ("addon" in result) return new PmdkScmProvider(result.addon, settings);
    throw new DaosError("UNSUPPORTED", result.reason);
  },
});
