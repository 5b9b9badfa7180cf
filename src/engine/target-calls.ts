/**
 * What the control side of an engine asks of a target's thread, and what a target is started with. Everything here is
 * structured-cloned between threads.
 */
import type { RebuildPolicy, ServedContainer, TargetFillStatus } from "../format/engine-operations.ts";
import type { PoolScrubArguments, ScrubSettings, TargetScrubStatus } from "../format/scrub.ts";
import type { Epoch } from "../base/epoch.ts";
import type { TargetQuestionName } from "../format/check-questions.ts";
import type { TargetDeviceSettings } from "./device-opening.ts";
import type { DeviceReport } from "./device-report.ts";
import type { TargetMap } from "./pool-map-table.ts";
import type { TierSpeed } from "./storage-speed.ts";
import type { CellUsage, StoreSpace } from "../store/cell.ts";

/** One storage tier as configured: the plugin's name and its own configuration. */
export interface TierSettings {
  readonly plugin: string;
  readonly sizeBytes: number;
  readonly config: Readonly<Record<string, unknown>>;
}

export interface TargetSettings {
  readonly index: number;
  /** The target's own folder. */
  readonly folder: string;
  /** Format a new store. */
  readonly create: boolean;
  /** Make the store anew, for it is damaged and nobody needs what it had; the device stays. */
  readonly renew: boolean;
  readonly host: string;
  /** 0 picks one. */
  readonly port: number;
  readonly scm: TierSettings;
  readonly nvme: TierSettings;
  readonly device: TargetDeviceSettings;
  /** Most bytes of the settled index. */
  readonly indexBytes: number;
  /** Paths or package names of foreign plugins. */
  readonly plugins: readonly string[];
  /** Key that capabilities are signed with. */
  readonly capabilityKey: Uint8Array;
  /** Release name told to clients. */
  readonly software: string;
}

export interface TargetReady {
  readonly host: string;
  readonly port: number;
  /** What the admin should know about the target's medium, one line each. */
  readonly notices: readonly string[];
  /** Measured when the target was formatted. */
  readonly speed?: TierSpeed;
}

/** A pool's share of one target: its containers together may take this much. */
export interface TargetQuota {
  readonly pool: string;
  readonly sizeBytes: number;
  readonly containers: readonly number[];
  /** Values of these containers up to this size live in SCM. */
  readonly thresholdBytes: number;
  /** Undefined: as it is. */
  readonly rebuild: RebuildPolicy | undefined;
  /** When it is scrubbed. */
  readonly scrub: ScrubSettings;
}

/** Of the data path. */
export interface ServiceCounters {
  readonly requests: number;
  readonly failures: number;
  readonly fetches: number;
  readonly updates: number;
  readonly punches: number;
  /** Bytes of updates that clients brought ahead of them. */
  readonly stagedBytes: number;
  /** Updates whose bytes changed between their receipt and the medium, and were not done; they are sent again. */
  readonly damagedWrites: number;
  /** Reads that met bytes in memory which are not what was stored. */
  readonly damagedReads: number;
}

export interface TargetCounters extends ServiceCounters {
  readonly connections: number;
  /** Array data that moved from SCM to NVMe when it was settled. */
  readonly destagedBytes: number;
  /** Places on its media that were found damaged since it was started, whoever found them: repaired, and of which nobody has what they were. */
  readonly damagedPlaces: number;
  readonly repairedPlaces: number;
  readonly lostPlaces: number;
  /** Frames from clients and other targets that arrived damaged. */
  readonly damagedFrames: number;
  /** 1 while SCM is over its watermark, else 0. */
  readonly scmCrowded: number;
  /** What was brought to others that are filled, and what others brought here. */
  readonly filledDkeys: number;
  readonly filledBytes: number;
  readonly receivedBytes: number;
}

export interface TargetSnapshot {
  readonly container: number;
  readonly at?: Epoch;
}

/** The calls; each may reject with any DaosError of the store. */
export interface TargetCalls {
  start(settings: TargetSettings): Promise<TargetReady>;
  /** Finishes what runs, settles, closes. */
  stop(value: undefined): Promise<void>;
  space(value: undefined): StoreSpace;
  usage(containers: readonly number[]): readonly CellUsage[];
  /** Of a pool whose map was set. */
  openContainer(value: { container: ServedContainer; pool: string }): void;
  /** The pool's map; opens its containers. */
  setMap(map: TargetMap): void;
  /** Resolves with the next pool whose map this target wants: a request came with a newer one. */
  mapWanted(value: undefined): Promise<string>;
  /** May serve until then, on the target's monotonic clock, which is the answer. */
  setLease(untilNs: number): number;
  /** Handles that connections hold on the container. */
  countHandles(container: number): number;
  /** At `at`, or at an epoch of the target's choice; CONFLICT when the target has newer writes than `at`. */
  createSnapshot(value: TargetSnapshot): Promise<Epoch>;
  listSnapshots(container: number): readonly Epoch[];
  destroySnapshot(value: { container: number; epoch: Epoch }): Promise<void>;
  destroyContainer(container: number): Promise<void>;
  /** Null when the target has no part in the pool. */
  fillStatus(value: { pool: string; containers: readonly number[] }): TargetFillStatus | null;
  /** Begins or ends a pass of a scrub. */
  scrub(value: PoolScrubArguments): Promise<void>;
  /** Null when the target has nothing of the pool. */
  scrubStatus(pool: string): TargetScrubStatus | null;
  /** Without containers: forget the pool. */
  setQuota(quota: TargetQuota): Promise<void>;
  /** What a check asks: the answer is that of the question (check-questions.ts). */
  check(question: { readonly name: TargetQuestionName; readonly value: unknown }): Promise<object>;
  counters(value: undefined): TargetCounters;
  /** How the target's device does. */
  device(value: undefined): DeviceReport;
  /** Resolves with the reason when the device becomes faulty by itself, once; until then it does not. */
  deviceFault(value: undefined): Promise<string>;
  /** Resolves with the reason when the store is found damaged so that it cannot be filled. */
  storeDamage(value: undefined): Promise<string>;
  /** Marks the device faulty for this reason, or, when it is empty, puts it back into service: BUSY while it hangs. */
  markDevice(reason: string): void;
}
