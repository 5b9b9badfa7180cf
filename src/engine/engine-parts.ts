/** What an engine is made of, and what its start gives. */
import type { Severity } from "../base/events.ts";
import type { Hmac } from "../control/capability-authority.ts";
import type { ResumeReport } from "../control/resumption.ts";
import type { Thread, World } from "../contracts/world.ts";
import type { ProcessUsage } from "./engine-metrics.ts";
import type { MemoryNamespace } from "./plugin-choice.ts";
import type { PluginRegistry } from "./plugin-registry.ts";
import type { OpenStorageOptions } from "./storage-folder.ts";

export interface EngineParts {
  readonly world: World;
  /** Release name told to clients, such as `daos 0.1.0`. */
  readonly software: string;
  readonly registry: PluginRegistry;
  readonly hmac: Hmac;
  readonly pid: number;
  readonly spawnTarget: (index: number) => Thread;
  /** Persistent memory of this machine, for the choice of plugins; none unless given. */
  readonly persistentMemory?: () => readonly MemoryNamespace[];
  /** Whether files of this folder can be read and written past the page cache; not so unless given. */
  readonly hasDirectIo?: (folder: string) => boolean;
  /** Shows what happens while the engine runs. */
  readonly event?: (severity: Severity, message: string) => void;
  /** How it ended before, when its supervisor has started it again. */
  readonly restartedAfter?: string;
  /** Has the supervisor start engines of these ranks that it has and that are stopped. */
  readonly startEngines?: (ranks: readonly number[]) => void;
  /** Lights the lamp of a device; without it there is none. */
  readonly identifyDevice?: (path: string) => Promise<void>;
  /** See OpenStorageOptions.format; `force` also overwrites what the devices hold. */
  readonly format?: NonNullable<OpenStorageOptions["format"]>;
  /** Port of the management listener, where it is not the configured one: the supervisor keeps one across restarts. */
  readonly managementPort?: number;
  /** An address of this machine that others reach, told in the place of a listener's that stands for all. */
  readonly hostAddress?: () => string | undefined;
  /** Engines on this host that share the file system; 1 unless given. */
  readonly sharers?: number;
  /** Ends a start that waits for the system it joins. */
  readonly canceled?: AbortSignal;
  readonly usage: () => ProcessUsage;
}

export interface Engine {
  readonly host: string;
  readonly port: number;
  readonly storage: string;
  readonly rank: number;
  /** Name of its system. */
  readonly system: string;
  /** The storage was formatted by this start. */
  readonly created: boolean;
  readonly resumed: ResumeReport;
  /** What the admin should know about the media of the targets, one line each. */
  readonly notices: readonly string[];
  /** Resolves when the engine has stopped: whether it is to be started again. Rejects when it ended because something failed. */
  readonly ended: Promise<{ readonly isRestarting: boolean }>;
  /** Finishes what runs, settles and closes. Resolves as `ended` does. */
  stop(): Promise<unknown>;
}
