/**
 * The keys of an engine's configuration: one table from which the file is checked, the environment is read, messages are
 * made and docs/admin.md is tested. Nothing else knows which keys there are.
 */
import { z } from "zod";
import { checkDomainPath } from "../base/domain-path.ts";
import { labelPattern } from "../base/label.ts";
import { MAX_ENGINE_TARGETS, MAX_HOST_ENGINES, MAX_LABEL_BYTES } from "../base/limits.ts";
import { parseSize } from "../base/size.ts";
import { deviceListSchema } from "./device-configuration.ts";
import { detectorSchema } from "./detector-settings.ts";
import { faultSettingsSchema } from "./device-faults.ts";
import { parseListenAddress } from "./listen-address.ts";

export const LOG_LEVELS = ["error", "warn", "info", "debug"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface ConfigurationKey {
  /** With dots, such as `scm.size`. */
  readonly path: string;
  /** Name of the environment variable; undefined: from the file only. */
  readonly environment: string | undefined;
  /** Flag of `daos server start`, where there is one. */
  readonly flag?: string;
  /** What may stand there, for messages: `expected <...>`. */
  readonly expected: string;
  /** What it is when nobody gives it, in words. */
  readonly defaultText: string;
  readonly description: string;
  readonly schema: z.ZodType;
  /** The value in an environment variable's text. */
  readonly fromText: (text: string) => unknown;
}

/** Stands for the best plugin that serves on this machine (plugin-choice.ts). */
export const AUTO_PLUGIN = "auto";

const asText = (text: string): unknown => text;
const asList = (text: string): unknown =>
  text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
const asSwitch = (text: string): unknown => (text === "true" ? true : text === "false" ? false : text);
const asNumber = (text: string): unknown => (/^\d+$/.test(text.trim()) ? Number(text) : text);

const asSeconds = (text: string): unknown => (/^\d+(\.\d+)?$/.test(text.trim()) ? Number(text) : text.trim());

function isDomainPath(text: string): boolean {
  try {
    checkDomainPath(text);
    return true;
  } catch {
    return false;
  }
}

const path = z
  .string()
  .min(1)
  .refine((value) => !value.includes("\0"));
const pluginName = z.string().regex(/^[a-z][a-z0-9-]*$/);
const pluginConfig = z.record(z.string(), z.unknown());
const size = z.union([z.string(), z.number()]).transform((value, context) => {
  try {
    return parseSize(value);
  } catch {
    context.addIssue({ code: "custom" });
    return z.NEVER;
  }
});
const listen = z.string().refine((value) => parseListenAddress(value) !== undefined);

const SIZE_EXPECTED = "a size such as 4GiB";
const PLUGIN_EXPECTED = "the name of a plugin, see `daos server plugins`";
const CONFIG_EXPECTED = "the plugin's own settings, as keys and values";

function tierKeys(tier: "scm" | "nvme", kind: string, sizeDefault: string, words: string): ConfigurationKey[] {
  const environment = `DAOS_${tier.toUpperCase()}`;
  return [
    {
      path: `${tier}.plugin`,
      environment: `${environment}_PLUGIN`,
      expected: PLUGIN_EXPECTED,
      defaultText: AUTO_PLUGIN,
      description: `Plugin of kind ${kind} that holds ${words}; auto takes the best that serves here. Fixed at format.`,
      schema: pluginName,
      fromText: asText,
    },
    {
      path: `${tier}.size`,
      environment: `${environment}_SIZE`,
      flag: `--${tier}-size`,
      expected: SIZE_EXPECTED,
      defaultText: sizeDefault,
      description: "Size of this tier on this engine, shared equally by its targets. Fixed at format.",
      schema: size,
      fromText: asText,
    },
    {
      path: `${tier}.config`,
      environment: undefined,
      expected: CONFIG_EXPECTED,
      defaultText: "none",
      description: "Settings of that plugin; docs/plugins.md has those of the built-in ones.",
      schema: pluginConfig,
      fromText: asText,
    },
  ];
}

export const CONFIGURATION_KEYS: readonly ConfigurationKey[] = [
  {
    path: "name",
    environment: "DAOS_NAME",
    expected: `1 to ${MAX_LABEL_BYTES} of A-Z a-z 0-9 : . _ -`,
    defaultText: "daos",
    description: "Name of the system. Fixed at format.",
    schema: z.string().max(MAX_LABEL_BYTES).regex(labelPattern),
    fromText: asText,
  },
  {
    path: "listen",
    environment: "DAOS_LISTEN",
    flag: "--listen",
    expected: "HOST:PORT, such as 127.0.0.1:10001",
    defaultText: "127.0.0.1:10001",
    description:
      "Address of the management listener. Target n listens on PORT + 1 + n; port 0 lets the system choose all.",
    schema: listen,
    fromText: asText,
  },
  {
    path: "storage",
    environment: "DAOS_STORAGE",
    flag: "--storage",
    expected: "the path of a folder",
    defaultText: "$XDG_DATA_HOME/daos, else ~/.local/share/daos",
    description: "Folder that holds everything. A relative path starts at the configuration file's folder.",
    schema: path,
    fromText: asText,
  },
  {
    path: "targets",
    environment: "DAOS_TARGETS",
    flag: "--targets",
    expected: `a whole number from 1 to ${MAX_ENGINE_TARGETS}`,
    defaultText: "cores - 1, at least 1",
    description: "Targets of this engine: each has a thread, a listener and a share of each tier. Fixed at format.",
    schema: z.int().min(1).max(MAX_ENGINE_TARGETS),
    fromText: asNumber,
  },
  {
    path: "engines",
    environment: "DAOS_ENGINES",
    flag: "--engines",
    expected: `a whole number from 1 to ${MAX_HOST_ENGINES}`,
    defaultText: "as many as the storage folder holds, 1 when it is new",
    description: "Engines on this host, each a process with a part of the storage folder and ports 100 further on.",
    schema: z.int().min(1).max(MAX_HOST_ENGINES),
    fromText: asNumber,
  },
  {
    path: "join",
    environment: "DAOS_JOIN",
    flag: "--join",
    expected: "HOST:PORT of an engine of the system",
    defaultText: "none: this engine begins a system",
    description: "System that this engine joins. Once it has joined, it finds the system again by itself.",
    schema: listen,
    fromText: asText,
  },
  {
    path: "fault_domain",
    environment: "DAOS_FAULT_DOMAIN",
    flag: "--fault-domain",
    expected: "a path such as /rack1/node2",
    defaultText: "/",
    description: "What fails together with this engine: copies of data are kept in different domains.",
    schema: z.string().refine(isDomainPath),
    fromText: asText,
  },
  {
    path: "lease",
    environment: "DAOS_LEASE",
    expected: "seconds from 1 to 60",
    defaultText: "3",
    description: "Time for which an engine serves without an answer of the control plane. The first engine's counts.",
    schema: z.number().min(1).max(60),
    fromText: asSeconds,
  },
  {
    path: "exclude_after",
    environment: "DAOS_EXCLUDE_AFTER",
    expected: "seconds, more than lease, or never",
    defaultText: "60",
    description: "Silence after which an engine that others still reach is excluded. The first engine's counts.",
    schema: z.union([z.number().min(1).max(86_400), z.literal("never")]),
    fromText: asSeconds,
  },
  {
    path: "exclude_dead_after",
    environment: "DAOS_EXCLUDE_DEAD_AFTER",
    expected: "seconds",
    defaultText: "0",
    description: "Time after which an engine that the others find dead is excluded, once its lease is over.",
    schema: z.number().min(0).max(86_400),
    fromText: asSeconds,
  },
  {
    path: "swim",
    environment: undefined,
    expected: "period_ms, ping_timeout_ms, indirect_timeout_ms, suspicion_ms and others",
    defaultText: "what finds a killed engine in 2 s",
    description: "Times of the failure detection, the same on all engines; docs/membership.md explains each.",
    schema: detectorSchema,
    fromText: asText,
  },
  ...tierKeys("scm", "scm", "4 GiB, or 20 % of what is free when that is less", "the log, the index and small values"),
  ...tierKeys("nvme", "block-device", "16 GiB, or 60 % of what is free when that is less", "bulk data"),
  {
    path: "nvme.devices",
    environment: undefined,
    expected: "a list of devices, each with plugin and config, or class and bdev_list",
    defaultText: "one device of nvme.plugin",
    description:
      "Devices of this tier, instead of nvme.plugin. Targets take them in turn. Number and plugins are fixed at format.",
    schema: deviceListSchema,
    fromText: asText,
  },
  {
    path: "nvme.faulty",
    environment: undefined,
    expected: "enable, max_io_errs, max_csum_errs, max_latency_ms, timeout_ms",
    defaultText: "10 errors, 16 operations over 5 s in a row, 30 s for one",
    description: "When a device counts as faulty; docs/admin.md explains each.",
    schema: faultSettingsSchema,
    fromText: asText,
  },
  {
    path: "meta_store.plugin",
    environment: "DAOS_META_STORE_PLUGIN",
    expected: PLUGIN_EXPECTED,
    defaultText: "sqlite",
    description: "Plugin of kind meta-store that holds pools, containers and snapshots. Fixed at format.",
    schema: pluginName,
    fromText: asText,
  },
  {
    path: "meta_store.config",
    environment: undefined,
    expected: CONFIG_EXPECTED,
    defaultText: "none",
    description: "Settings of that plugin.",
    schema: pluginConfig,
    fromText: asText,
  },
  {
    path: "plugins",
    environment: "DAOS_PLUGINS",
    expected: "a list of paths or package names",
    defaultText: "none",
    description: "Further plugins to load. A path begins with / or . and starts at the configuration file's folder.",
    schema: z.array(path),
    fromText: asList,
  },
  {
    path: "transport_config.allow_insecure",
    environment: "DAOS_ALLOW_INSECURE",
    expected: "true or false",
    defaultText: "false",
    description: "Listen beyond this machine without certificates: everybody who reaches the port may read and write.",
    schema: z.boolean(),
    fromText: asSwitch,
  },
  {
    path: "log_level",
    environment: "DAOS_LOG_LEVEL",
    expected: `one of ${LOG_LEVELS.join(", ")}`,
    defaultText: "info",
    description: "What the engine tells on standard error.",
    schema: z.enum(LOG_LEVELS),
    fromText: asText,
  },
];

/** The key of this path. */
export function configurationKey(keyPath: string): ConfigurationKey | undefined {
  return CONFIGURATION_KEYS.find((key) => key.path === keyPath);
}
