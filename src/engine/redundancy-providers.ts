/** The redundancy plugins of a registry that can serve, each with its defaults. */
import type { RedundancyProvider } from "../contracts/redundancy.ts";
import type { PluginRegistry } from "./plugin-registry.ts";

export function redundancyProviders(registry: PluginRegistry): Promise<RedundancyProvider[]> {
  return Promise.all(registry.available("redundancy").map((name) => registry.provider("redundancy", name)));
}
