/**
 * The plugins of the tiers where the configuration names none (`auto`): at format the best that serves on this machine,
 * later what the storage was formatted with. Plugins that keep the same files stand in for each other: a storage opens
 * with the other one when the configuration names it, or when it says `auto` and the first cannot serve any more.
 *
 * Changes nothing: what is known of machine and storage are arguments.
 */
import { DaosError } from "../base/errors.ts";
import type { StorageSuperblock } from "../format/storage-superblock.ts";
import type { Configuration, PluginConfiguration } from "./configuration.ts";
import { AUTO_PLUGIN } from "./configuration-keys.ts";

type TierKind = "scm" | "block-device";

/** Plugins whose files are the same, byte for byte. */
const SAME_FILES: Readonly<Record<TierKind, readonly string[]>> = {
  scm: ["ram", "file"],
  "block-device": ["uring", "file"],
};

/** Persistent memory that may be used, as the machine tells it. */
export interface MemoryNamespace {
  readonly mode: string;
  /** `/dev/pmem0` or `/dev/dax0.0`. */
  readonly device?: string;
  readonly mount?: { readonly folder: string; readonly dax: boolean };
}

export interface ChoiceSources {
  /** Of a storage that is formatted. */
  readonly superblock: StorageSuperblock | undefined;
  /** Names of the plugins of a kind that can serve. */
  readonly available: (kind: TierKind) => readonly string[];
  /** Why a plugin cannot serve; undefined when it is not known at all. */
  readonly reason: (kind: TierKind, name: string) => string | undefined;
  readonly persistentMemory: readonly MemoryNamespace[];
  /** The storage folder's file system reads and writes past the page cache. */
  readonly hasDirectIo: () => boolean;
}

export interface PluginChoice {
  /** With a plugin's name wherever there was `auto`. */
  readonly configuration: Configuration;
  /** What was chosen and why, one line without a full stop. */
  readonly notice: string;
}

interface Pick extends PluginConfiguration {
  readonly why: string;
}

/** Whether either plugin opens what the other has formatted, both with the same settings about where it is. */
export function isInterchangeable(kind: TierKind, left: string, right: string): boolean {
  return left === right || (SAME_FILES[kind].includes(left) && SAME_FILES[kind].includes(right));
}

/** Throws CONFIGURATION when there are settings and no name of the plugin that they are for. */
export function choosePlugins(configuration: Configuration, sources: ChoiceSources): PluginChoice {
  const { scm, nvme } = configuration;
  const { superblock } = sources;
  const scmPick = pickOf("scm", "scm", scm, superblock?.scm, sources);
  const devicePicks = nvme.devices.map((device, index) =>
    pickOf("nvme", "block-device", device, superblock?.devices[index], sources),
  );
  const [first] = devicePicks;
  const names = [...new Set(devicePicks.map(({ plugin, why }) => `${plugin} (${why})`))];
  return {
    configuration: {
      ...configuration,
      scm: { ...scm, plugin: scmPick.plugin, config: scmPick.config },
      nvme: {
        ...nvme,
        plugin: first!.plugin,
        config: first!.config,
        devices: devicePicks.map(({ plugin, config }) => ({ plugin, config })),
      },
    },
    notice: `plugins: scm ${scmPick.plugin} (${scmPick.why}), nvme ${names.join(", ")}`,
  };
}

function pickOf(
  tier: "scm" | "nvme",
  kind: TierKind,
  configured: PluginConfiguration,
  formatted: { readonly plugin: string; readonly config?: PluginConfiguration["config"] } | undefined,
  sources: ChoiceSources,
): Pick {
  const { plugin, config } = configured;
  if (plugin !== AUTO_PLUGIN) return { plugin, config, why: "configured" };
  const isGiven = Object.keys(config).length > 0;
  if (formatted !== undefined) {
    return { ...standIn(kind, formatted.plugin, sources), config: isGiven ? config : (formatted.config ?? {}) };
  }
  if (isGiven) {
    throw new DaosError(
      "CONFIGURATION",
      `Cannot choose a plugin for ${tier}: there are settings in ${tier}.config and nobody said whose they are. ` +
        `Name the plugin in ${tier}.plugin, "file" say.`,
    );
  }
  return kind === "scm" ? bestScm(sources) : bestBlockDevice(sources);
}

/** What the storage was formatted with, or what keeps the same files when that cannot serve. */
function standIn(kind: TierKind, formatted: string, sources: ChoiceSources): Omit<Pick, "config"> {
  const available = sources.available(kind);
  const other = SAME_FILES[kind].find((name) => name !== formatted && available.includes(name));
  // Nothing stands in for it: whoever asks for it by name is told why it cannot serve.
  if (available.includes(formatted) || other === undefined || !isInterchangeable(kind, formatted, other)) {
    return { plugin: formatted, why: "as formatted" };
  }
  return {
    plugin: other,
    why: `instead of ${formatted}, which cannot serve now: ${reasonOf(sources, kind, formatted)}`,
  };
}

/** Why the plugin cannot serve, as a clause. */
function reasonOf({ reason }: ChoiceSources, kind: TierKind, name: string): string {
  return (reason(kind, name) ?? "there is no such plugin").replace(/\.$/, "");
}

function bestScm(sources: ChoiceSources): Pick {
  const { available, persistentMemory } = sources;
  const memory = memoryConfig(persistentMemory);
  const without =
    memory === undefined ? "no persistent memory here" : "the plugin for its persistent memory is missing";
  if (memory !== undefined && available("scm").includes("pmdk")) {
    return { plugin: "pmdk", config: memory.config, why: `persistent memory at ${memory.place}` };
  }
  const problem = uringProblem(sources);
  if (problem === undefined && available("scm").includes("ram")) {
    return { plugin: "ram", config: {}, why: `${without}; memory, its log on a file` };
  }
  return { plugin: "file", config: {}, why: `${without}; no io_uring` };
}

function bestBlockDevice(sources: ChoiceSources): Pick {
  const problem = uringProblem(sources);
  if (problem === undefined) return { plugin: "uring", config: {}, why: "through io_uring" };
  return { plugin: "file", config: {}, why: `not through io_uring: ${problem}` };
}

function uringProblem(sources: ChoiceSources): string | undefined {
  if (!sources.available("block-device").includes("uring")) {
    return reasonOf(sources, "block-device", "uring");
  }
  return sources.hasDirectIo() ? undefined : "the storage folder's file system has no direct I/O";
}

/** A file system on persistent memory before raw devices: it can hold other things as well. */
function memoryConfig(
  namespaces: readonly MemoryNamespace[],
): { readonly config: PluginConfiguration["config"]; readonly place: string } | undefined {
  const folder = namespaces.find(({ mode, mount }) => mode === "fsdax" && mount?.dax === true)?.mount?.folder;
  if (folder !== undefined) return { config: { path: folder }, place: folder };
  const devices = namespaces.flatMap(({ mode, device }) => (mode === "devdax" && device !== undefined ? device : []));
  return devices.length === 0 ? undefined : { config: { path: devices }, place: devices.join(", ") };
}
