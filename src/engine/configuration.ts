/**
 * Configuration of an engine: flags over environment over file over defaults. Every value is checked wherever it comes
 * from, all that is wrong is told at once, each with its place, and unknown keys are errors with a suggestion.
 *
 * Pure: the file's text, the environment and what is known of the machine are arguments.
 */
import { DaosError } from "../base/errors.ts";
import { MAX_CONFIGURATION_BYTES, MAX_ENGINE_TARGETS } from "../base/limits.ts";
import type { MembershipSettings } from "../control/membership.ts";
import {
  DEFAULT_EXCLUDE_AFTER_MS,
  DEFAULT_LEASE_MS,
  GIB,
  MIN_TARGET_NVME_BYTES,
  MIN_TARGET_SCM_BYTES,
} from "../base/limits.ts";
import { formatSize } from "../base/size.ts";
import { ROOT_DOMAIN } from "../format/pool-map.ts";
import { didYouMean } from "../base/suggestion.ts";
import type { SwimSettings } from "../membership/settings.ts";
import { readConfigurationFile } from "./configuration-file.ts";
import { type DeviceConfiguration, MAX_DEVICES } from "./device-configuration.ts";
import { DEFAULT_DETECTOR, swimSettings } from "./detector-settings.ts";
import { DEFAULT_FAULT_SETTINGS, type FaultSettings } from "./device-faults.ts";
import { AUTO_PLUGIN, type ConfigurationKey, CONFIGURATION_KEYS, type LogLevel } from "./configuration-keys.ts";
import { isLoopback, type ListenAddress, parseListenAddress } from "./listen-address.ts";

export interface PluginConfiguration {
  readonly plugin: string;
  /** The plugin's own settings, not checked yet: its configSchema does. */
  readonly config: Readonly<Record<string, unknown>>;
}
export interface TierConfiguration extends PluginConfiguration {
  /** Of the whole engine, bytes. */
  readonly sizeBytes: number;
}

export interface NvmeConfiguration extends TierConfiguration {
  /** At least one; target n is served by device n modulo their number. */
  readonly devices: readonly DeviceConfiguration[];
  readonly faults: FaultSettings;
}

export interface Configuration {
  readonly name: string;
  readonly listen: ListenAddress;
  /** Absolute. */
  readonly storage: string;
  readonly targets: number;
  /** Engines that one start runs on this host; 0: as many as the storage holds, one when it is new. */
  readonly engines: number;
  /** An engine of the system to join. */
  readonly join: ListenAddress | undefined;
  /** Path of the fault domain. */
  readonly faultDomain: string;
  readonly membership: MembershipSettings;
  readonly swim: SwimSettings;
  readonly scm: TierConfiguration;
  readonly nvme: NvmeConfiguration;
  readonly metaStore: PluginConfiguration;
  /** Absolute paths or package names. */
  readonly plugins: readonly string[];
  readonly allowInsecure: boolean;
  readonly logLevel: LogLevel;
  /** Paths of the keys that somebody gave; the others hold defaults, to which a formatted storage need not agree. */
  readonly given: ReadonlySet<string>;
}

/** One thing that is wrong. */
export interface ConfigurationProblem {
  /** The key, or what takes its place, such as `scm.size`. Absent when it belongs to none. */
  readonly path?: string;
  /** In the file, counted from 1; absent when it does not come from a line of it. */
  readonly line?: number;
  readonly message: string;
}

/** What is known of the place where the engine starts. */
export interface Surroundings {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly cores: number;
  /** Absolute; relative paths in flags and environment start here. */
  readonly workingFolder: string;
}

export interface ConfigurationSources extends Surroundings {
  readonly file?: { readonly text: string; readonly path: string };
  /** By key path, such as `{ "scm.size": "1GiB" }`; undefined values are not given. */
  readonly flags?: Readonly<Record<string, string | number | undefined>>;
}

export type ConfigurationCheck =
  | { readonly configuration: Configuration; readonly problems?: undefined }
  | { readonly problems: readonly ConfigurationProblem[] };

/** Variables of that prefix which are the client's, or the supervisor's for its engines. */
const CLIENT_VARIABLES = ["DAOS_SYSTEM", "DAOS_SUPERVISOR"];
const ENVIRONMENT_PREFIX = "DAOS_";

/** Sizes of the whole engine where nobody gives one; formatting takes less where less is free. */
export const DEFAULT_SCM_BYTES = 4 * GIB;
/** Ports between the management listeners of the engines of one host: more than an engine has targets. */
export const ENGINE_PORT_SPACING = 100;
export const DEFAULT_NVME_BYTES = 16 * GIB;

/** A value as given. */
interface Given {
  readonly value: unknown;
  /** The folder that a relative path in it starts at. */
  readonly folder: string;
  readonly line?: number;
}

/** Values by key path, and what was wrong on the way. */
class Gathering {
  readonly values = new Map<string, Given>();
  readonly problems: ConfigurationProblem[] = [];

  /** The given value, or the default. */
  get<Value>(path: string, defaultValue: Value): Value {
    return this.values.has(path) ? (this.values.get(path)!.value as Value) : defaultValue;
  }

  /** A problem with the value of `path`, wherever it came from. */
  reject(path: string, message: string): void {
    const line = this.values.get(path)?.line;
    this.problems.push(line === undefined ? { path, message } : { path, line, message });
  }
}

/** Checks everything and says all that is wrong. */
export function resolveConfiguration(sources: ConfigurationSources): ConfigurationCheck {
  const gathering = new Gathering();
  gatherFile(gathering, sources);
  gatherEnvironment(gathering, sources);
  gatherFlags(gathering, sources);
  if (gathering.problems.length > 0) return { problems: gathering.problems };
  const configuration = assemble(gathering, sources);
  checkMeaning(gathering, configuration);
  return gathering.problems.length > 0 ? { problems: gathering.problems } : { configuration };
}

/** As resolveConfiguration; throws CONFIGURATION with every problem in its message. */
export function loadConfiguration(sources: ConfigurationSources): Configuration {
  const check = resolveConfiguration(sources);
  if (check.problems === undefined) return check.configuration;
  const where = sources.file?.path ?? "flags and environment";
  const problems = check.problems.map(formatProblem).join("; ");
  throw new DaosError(
    "CONFIGURATION",
    `Cannot use configuration "${where}": ${problems}. Correct it; \`daos server config example\` shows every key.`,
  );
}

/** Checks a file by itself, as `daos server config check` does. `path` is where it lies, absolute. */
export function checkConfiguration(text: string, path: string, cores = 1): ConfigurationCheck {
  return resolveConfiguration({ file: { text, path }, environment: {}, cores, workingFolder: folderOf(path) });
}

/** `line 3: targets: expected ...`. */
export function formatProblem({ path, line, message }: ConfigurationProblem): string {
  return [line === undefined ? undefined : `line ${line}`, path, message]
    .filter((part) => part !== undefined)
    .join(": ");
}

/** The port of target `index`; 0 when the system chooses. */
export function targetPort({ listen }: Configuration, index: number): number {
  return listen.port === 0 ? 0 : listen.port + 1 + index;
}

function gatherFile(gathering: Gathering, { file }: ConfigurationSources): void {
  if (file === undefined) return;
  if (Buffer.byteLength(file.text) > MAX_CONFIGURATION_BYTES) {
    gathering.problems.push({ message: `the file is larger than ${formatSize(MAX_CONFIGURATION_BYTES)}` });
    return;
  }
  const { values, problems } = readConfigurationFile(file.text);
  gathering.problems.push(...problems);
  for (const { path, value, line } of values) gathering.values.set(path, { value, line, folder: folderOf(file.path) });
}

function gatherEnvironment(gathering: Gathering, { environment, workingFolder }: ConfigurationSources): void {
  for (const key of CONFIGURATION_KEYS) {
    const text = key.environment === undefined ? undefined : environment[key.environment];
    if (text === undefined || text === "") continue;
    gatherValue(gathering, key, key.fromText(text), { shown: text, place: key.environment!, folder: workingFolder });
  }
  const suffixes = [...CONFIGURATION_KEYS.flatMap((key) => key.environment ?? []), ...CLIENT_VARIABLES].map((name) =>
    name.slice(ENVIRONMENT_PREFIX.length),
  );
  for (const name of Object.keys(environment)) {
    const suffix = name.slice(ENVIRONMENT_PREFIX.length);
    if (!name.startsWith(ENVIRONMENT_PREFIX) || suffixes.includes(suffix)) continue;
    const meant = didYouMean(suffix, suffixes);
    if (meant === "") continue;
    const message = `unknown variable.${meant.replace('"', `"${ENVIRONMENT_PREFIX}`)}`;
    gathering.problems.push({ path: `environment ${name}`, message });
  }
}

function gatherFlags(gathering: Gathering, { flags, workingFolder }: ConfigurationSources): void {
  for (const [path, value] of Object.entries(flags ?? {})) {
    if (value === undefined) continue;
    const key = CONFIGURATION_KEYS.find((candidate) => candidate.path === path);
    if (key === undefined) gathering.problems.push({ path, message: "unknown key" });
    else gatherValue(gathering, key, value, { shown: value, place: key.flag ?? path, folder: workingFolder });
  }
}

function gatherValue(
  gathering: Gathering,
  key: ConfigurationKey,
  value: unknown,
  source: { readonly shown: string | number; readonly place: string; readonly folder: string },
): void {
  const parsed = key.schema.safeParse(value);
  if (parsed.success) gathering.values.set(key.path, { value: parsed.data, folder: source.folder });
  else {
    const shown = JSON.stringify(source.shown).slice(0, 80);
    gathering.problems.push({ path: source.place, message: `expected ${key.expected}, got ${shown}` });
  }
}

function assemble(gathering: Gathering, { environment, cores, workingFolder }: ConfigurationSources): Configuration {
  const targets = gathering.get("targets", Math.min(Math.max(1, cores - 1), MAX_ENGINE_TARGETS));
  const home = environment["HOME"] ?? workingFolder;
  const dataHome = environment["XDG_DATA_HOME"] || `${home}/.local/share`;
  const absolute = (path: string, from: string): string => absolutePath(path, gathering.values.get(from)?.folder, home);
  const plugins = gathering.get<readonly string[]>("plugins", []);
  return {
    name: gathering.get("name", "daos"),
    listen: parseListenAddress(gathering.get("listen", "127.0.0.1"))!,
    storage: absolute(gathering.get("storage", `${dataHome}/daos`), "storage"),
    targets,
    engines: gathering.get("engines", 0),
    join: gathering.values.has("join") ? parseListenAddress(gathering.get("join", "")) : undefined,
    faultDomain: gathering.get("fault_domain", ROOT_DOMAIN),
    membership: membershipOf(gathering),
    swim: swimSettings(gathering.get("swim", DEFAULT_DETECTOR)),
    scm: {
      plugin: gathering.get("scm.plugin", AUTO_PLUGIN),
      sizeBytes: gathering.get("scm.size", DEFAULT_SCM_BYTES),
      config: gathering.get("scm.config", {}),
    },
    nvme: nvmeOf(gathering),
    metaStore: {
      plugin: gathering.get("meta_store.plugin", "sqlite"),
      config: gathering.get("meta_store.config", {}),
    },
    plugins: plugins.map((plugin) => (/^[./~]/.test(plugin) ? absolute(plugin, "plugins") : plugin)),
    allowInsecure: gathering.get("transport_config.allow_insecure", false),
    logLevel: gathering.get<LogLevel>("log_level", "info"),
    given: new Set(gathering.values.keys()),
  };
}

function membershipOf(gathering: Gathering): MembershipSettings {
  const excludeAfter = gathering.get<number | "never">("exclude_after", DEFAULT_EXCLUDE_AFTER_MS / 1000);
  return {
    leaseMs: Math.round(gathering.get("lease", DEFAULT_LEASE_MS / 1000) * 1000),
    excludeAfterMs: excludeAfter === "never" ? undefined : Math.round(excludeAfter * 1000),
    excludeDeadAfterMs: Math.round(gathering.get("exclude_dead_after", 0) * 1000),
  };
}

function nvmeOf(gathering: Gathering): NvmeConfiguration {
  const plugin = gathering.get("nvme.plugin", AUTO_PLUGIN);
  const config = gathering.get<PluginConfiguration["config"]>("nvme.config", {});
  const devices = gathering.get<readonly DeviceConfiguration[]>("nvme.devices", [{ plugin, config }]);
  return {
    plugin: devices[0]!.plugin,
    sizeBytes: gathering.get("nvme.size", DEFAULT_NVME_BYTES),
    config: devices[0]!.config,
    devices,
    faults: gathering.get("nvme.faulty", DEFAULT_FAULT_SETTINGS),
  };
}

/** What each value allows by itself and all of them together do not. */
function checkMeaning(gathering: Gathering, configuration: Configuration): void {
  const { listen, targets, scm, nvme, allowInsecure } = configuration;
  if (!isLoopback(listen.host) && !allowInsecure) {
    gathering.reject(
      "listen",
      `${listen.host} can be reached from other machines, and there are no certificates: everybody there could read ` +
        "and write. Listen on 127.0.0.1, or set transport_config.allow_insecure: true",
    );
  }
  if (listen.port > 0 && listen.port + targets > 0xffff) {
    gathering.reject("listen", `no ports are left above ${listen.port} for ${targets} targets. Use a lower port`);
  }
  checkMembership(gathering, configuration);
  for (const other of ["nvme.plugin", "nvme.config"]) {
    if (!gathering.values.has("nvme.devices") || !gathering.values.has(other)) continue;
    gathering.reject(other, "nvme.devices says it for each device. Leave one of them out");
  }
  if (nvme.devices.length > targets) {
    const state = `${nvme.devices.length} devices for ${targets} target(s): some would serve none`;
    gathering.reject("nvme.devices", `${state}. Have at least as many targets, at most ${MAX_DEVICES} devices`);
  }
  const least = [
    ["scm.size", scm.sizeBytes, MIN_TARGET_SCM_BYTES],
    ["nvme.size", nvme.sizeBytes, MIN_TARGET_NVME_BYTES],
  ] as const;
  for (const [path, sizeBytes, targetBytes] of least) {
    if (sizeBytes >= targets * targetBytes) continue;
    const need = `${targets} target(s) need at least ${formatSize(targets * targetBytes)}`;
    gathering.reject(path, `${formatSize(sizeBytes)} is too small: ${need}. Use a larger size or fewer targets`);
  }
}

/** The engines beside the first take ports ENGINE_PORT_SPACING further on. */
function checkMembership(gathering: Gathering, { engines, listen, targets, join, membership }: Configuration): void {
  const { leaseMs, excludeAfterMs } = membership;
  if (listen.port > 0 && listen.port + Math.max(0, engines - 1) * ENGINE_PORT_SPACING + targets > 0xffff) {
    gathering.reject("engines", `no ports are left above ${listen.port} for ${engines} engines. Use a lower port`);
  }
  if (engines > 1 && join !== undefined) {
    gathering.reject("join", "only one engine joins at a time, and engines says more. Leave one of them out");
  }
  if (excludeAfterMs !== undefined && excludeAfterMs <= leaseMs) {
    const state = `${excludeAfterMs / 1000} s are not more than the lease of ${leaseMs / 1000} s`;
    gathering.reject("exclude_after", `${state}: an engine might still serve. Use a longer time, or never`);
  }
}

function folderOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? "." : slash === 0 ? "/" : path.slice(0, slash);
}

/** `path` from `folder`, or from home when it begins with `~`; without `.`, `..` and double slashes. */
function absolutePath(path: string, folder: string | undefined, home: string): string {
  const expanded = path === "~" || path.startsWith("~/") ? home + path.slice(1) : path;
  const joined = expanded.startsWith("/") ? expanded : `${folder ?? ""}/${expanded}`;
  const parts: string[] = [];
  for (const part of joined.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}
