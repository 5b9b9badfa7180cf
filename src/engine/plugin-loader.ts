/**
 * Brings the configured foreign plugins into a registry. One that cannot be loaded, or takes longer than
 * PLUGIN_LOAD_TIMEOUT_MS, is listed with its reason; the others and the server go on.
 */
import { PLUGIN_LOAD_TIMEOUT_MS } from "../base/limits.ts";
import type { PluginDefinition } from "../contracts/plugin.ts";
import type { Timers } from "../contracts/world.ts";
import { PluginRegistry } from "./plugin-registry.ts";

export interface PluginLoading {
  readonly builtIn: readonly PluginDefinition[];
  /** Paths or package names of foreign plugins; each once. */
  readonly references: readonly string[];
  /** Loads a module and gives its namespace; resolves relative paths and package names. */
  readonly importModule: (reference: string) => Promise<unknown>;
  readonly timers: Timers;
}

/** A registry of the built-in and the foreign plugins. Never rejects. */
export async function loadPlugins(loading: PluginLoading): Promise<PluginRegistry> {
  const registry = new PluginRegistry(loading.builtIn);
  for (const reference of new Set(loading.references)) {
    try {
      registry.add(await inTime(loading, reference), reference);
    } catch (error) {
      registry.refuse(reference, `it cannot be loaded: ${reasonOf(error)}`);
    }
  }
  return registry;
}

function inTime(loading: PluginLoading, reference: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const cancel = loading.timers.after(PLUGIN_LOAD_TIMEOUT_MS, () => {
      reject(new Error(`its module was not ready after ${PLUGIN_LOAD_TIMEOUT_MS / 1000} s`));
    });
    loading.importModule(reference).then(resolve, reject).finally(cancel);
  });
}

function reasonOf(error: unknown): string {
  const first: unknown = error instanceof AggregateError && error.errors.length > 0 ? error.errors[0] : error;
  const text = first instanceof Error ? first.message : String(first);
  return text.replaceAll(/\s+/g, " ").trim();
}
