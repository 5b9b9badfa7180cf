/**
 * Tiers for crash tests: settings with which a plugin runs on any machine, and why one does not run on this machine.
 */
import { BUILT_IN_PLUGINS } from "../../plugins/registry.ts";
import type { TierOptions } from "./engine-process.ts";

const DAEMON = "qemu-storage-daemon";

/** The page cache outlives a process, which is all that these tests kill: ordinary memory and files will do. */
const SETTINGS: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  pmdk: { force_granularity: "cache_line" },
  spdk: { class: "file", back_end: DAEMON },
};

/** The plugin with settings that run anywhere, or with these. */
export function tierOptions(plugin: string, config?: Readonly<Record<string, unknown>>): TierOptions {
  return { plugin, config: config ?? SETTINGS[plugin] ?? {} };
}

/** Why the plugin cannot serve here with those settings; undefined when it can. */
export function tierProblem(kind: "scm" | "block-device", name: string): string | undefined {
  const plugin = BUILT_IN_PLUGINS.find((known) => known.kind === kind && known.name === name);
  if (plugin === undefined) return `no plugin ${name} of kind ${kind}`;
  const availability = plugin.probe();
  if (!availability.available) return availability.reason;
  return name === "spdk" && Bun.which(DAEMON) === null ? `no ${DAEMON}: install qemu-system-common` : undefined;
}
