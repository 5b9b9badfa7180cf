/**
 * What engines of one system say to each other over their management listeners. The body travels as the frame's payload,
 * CBOR; the arguments are `{ tag }`: HMAC-SHA-256 under the system's key of the opcode (u16, little-endian) and the body.
 * An engine that was never part of the system has no key yet: its first `engineHello` has an empty tag.
 *
 * docs/protocol.md is the prose of this file; engine-arguments.ts checks what arrives.
 */
import type { Epoch } from "../base/epoch.ts";
import type { TargetQuestion } from "./check-questions.ts";
import type { PoolMap } from "./pool-map.ts";
import type { PoolScrubArguments, ScrubSettings, TargetScrubStatus } from "./scrub.ts";

/** Every body. */
export interface EngineMessage {
  /** Wall clock of the sender, milliseconds since 1970: an old message does not count. */
  readonly sentAtMs: number;
}

export interface EngineAddress {
  readonly host: string;
  readonly port: number;
}

/** engineHello: who is there. Any engine of the system may be asked. */
export interface EngineHelloArguments extends EngineMessage {
  /** The newest that it speaks (engine-version.ts), and the oldest; engines of version 2 speak no other. */
  readonly version: number;
  readonly oldest?: number;
  /** Id of the engine, from its superblock. */
  readonly engine: string;
  /** The system it belongs to; absent when it was never part of one. */
  readonly system?: { readonly id: string; readonly name: string };
  readonly domain: string;
  readonly targets: number;
}
/** Ask there instead: it runs the control plane. */
export interface EngineRedirect {
  readonly control: EngineAddress;
}
export interface EngineHelloReply {
  readonly rank: number;
  /** The newest that both speak; a control plane of version 2 does not say. */
  readonly version?: number;
  readonly system: {
    readonly id: string;
    readonly name: string;
    readonly createdAtMs: number;
    readonly capabilityKey: string;
  };
}

/** engineJoin: the engine's targets run; the control plane gives it its pools by engineCall, then answers. */
export interface EngineJoinArguments extends EngineMessage {
  readonly engine: string;
  readonly rank: number;
  /** Larger than at the engine's start before. */
  readonly incarnation: number;
  readonly domain: string;
  readonly address: EngineAddress;
  readonly targets: readonly EngineAddress[];
  readonly scmBytes: number;
  readonly nvmeBytes: number;
  /** As agreed by engineHello, and its release; engines of version 2 do not say. */
  readonly version?: number;
  readonly software?: string;
}

/** engineLeave, and part of engineHeartbeat. STALE: join again. */
export interface EngineReference extends EngineMessage {
  readonly rank: number;
  readonly incarnation: number;
}
export interface EngineHeartbeatArguments extends EngineReference {
  /** Version of the roster that it has; 0: none. */
  readonly roster: number;
}
export interface EngineHeartbeatReply {
  /** It may serve for this long, counted from when it sent the heartbeat; 0: it has to join again first. */
  readonly leaseMs: number;
  /** When it is another one than the engine has. */
  readonly roster?: EngineRoster;
}

/** The engines that look after each other: all that have joined, have not left and are not excluded. */
export interface EngineRoster {
  /** Another one for every other list. */
  readonly version: number;
  readonly members: readonly {
    readonly rank: number;
    readonly incarnation: number;
    readonly address: EngineAddress;
  }[];
}

/** engineMap: a target has met a newer map than it has. */
export interface EngineMapArguments extends EngineMessage {
  readonly rank: number;
  readonly pool: string;
}

/** engineRenew: these targets of an engine are damaged. May they be made anew? UNAVAILABLE: not yet. */
export interface EngineRenewArguments extends EngineMessage {
  readonly rank: number;
  /** By their numbers in the engine. */
  readonly targets: readonly number[];
}

/** A container as its targets must know it. */
export interface ServedContainer {
  readonly number: number;
  /** Its `ec_cell_sz`: the cell of what is erasure-coded in it. */
  readonly cellBytes: number;
}

/** What an engine must know of a pool that it holds a part of. */
export interface PoolAssignment {
  readonly pool: string;
  readonly map: PoolMap;
  /** For each target of the engine its index in the map; -1: it is not in it. */
  readonly own: readonly number[];
  readonly containers: readonly ServedContainer[];
}

/** One target's share of a pool. */
export interface PoolShare {
  readonly pool: string;
  readonly targetBytes: number;
  readonly containers: readonly number[];
  readonly thresholdBytes: number | "auto";
  /** A control plane of before does not say: then it is as by default. */
  readonly scrub?: ScrubSettings;
  /** What rebuilding may do; engines of before are not told. */
  readonly rebuild?: RebuildPolicy;
}

/** What rebuilding may do in a pool. */
export interface RebuildPolicy {
  /** Per cent of a target's time while requests of clients are there. */
  readonly share: number;
  readonly isPaused: boolean;
}

/** How far a target is with what it has to bring to others of a pool. */
export interface TargetFillStatus {
  readonly mapVersion: number;
  /** All is where it has to be under this map, of the containers that were asked for. */
  readonly isDone: boolean;
  /** Of something in them too few targets can be read, or it is damaged: it cannot be filled until some are back. */
  readonly isStuck: boolean;
  /** Dkeys in them that cannot be filled, for what is stored of them is damaged; engines of before do not say. */
  readonly damaged?: number;
  /** Brought under this map. */
  readonly dkeys: number;
  readonly bytes: number;
  /**
   * Dkeys to be brought under this map, all containers taken together, and those of them that it has come by; `isCounted`:
   * that is all. Engines of before do not say.
   */
  readonly toBring?: number;
  readonly passed?: number;
  readonly isCounted?: boolean;
}

/** How an engine is to end. */
export interface StopOrder {
  readonly force?: boolean;
  readonly restart?: boolean;
}

export interface EngineSelf {
  /** Ids from its superblock. */
  readonly engine: string;
  readonly system: string;
  readonly targets: number;
  /** Those that are not normal. */
  readonly devices: readonly { readonly id: string; readonly state: string; readonly reason: string }[];
}

/** engineCall: the control plane commands an engine. Each call may be repeated. Arguments and results by name. */
export interface EngineCalls {
  ping(value: object): { incarnation: number };
  space(value: object): {
    scmTotalBytes: number;
    scmUsedBytes: number;
    logTotalBytes: number;
    logUsedBytes: number;
    nvmeTotalBytes: number;
    nvmeUsedBytes: number;
  };
  usage(value: { containers: readonly number[] }): {
    usages: readonly { readonly scmBytes: number; readonly nvmeBytes: number }[];
  };
  /** Opens the containers. An older map than the engine has changes nothing. */
  setPool(value: PoolAssignment): object;
  setQuota(value: PoolShare): object;
  openContainer(value: { container: ServedContainer; pool: string }): object;
  countHandles(value: { container: number }): { count: number };
  /** At `at`, or at an epoch of the engine's choice; CONFLICT when it has newer writes than `at`. */
  createSnapshot(value: { container: number; at?: Epoch }): { epoch: Epoch };
  /** Of each container, ascending. */
  listSnapshots(value: { containers: readonly number[] }): { snapshots: readonly (readonly Epoch[])[] };
  destroySnapshot(value: { container: number; epoch: Epoch }): object;
  destroyContainer(value: { container: number }): object;
  /** For each target of the engine how far filling is in a pool; null: it has no part in it. */
  fillStatus(value: { pool: string; containers: readonly number[] }): {
    targets: readonly (TargetFillStatus | null)[];
  };
  /** One question of a check to one target; the answer is that of the question. */
  check(value: TargetQuestion): object;
  /** What the engine is, and its devices that are not well. */
  identity(value: object): EngineSelf;
  /** Begins or ends a pass of a scrub on all targets that have something of the pool. */
  scrub(value: PoolScrubArguments): object;
  /** For each target of the engine how far it is; null: it has nothing of the pool. */
  scrubStatus(value: { pool: string }): { targets: readonly (TargetScrubStatus | null)[] };
  /** Targets of the engine, by their numbers there, whose device is faulty. */
  faultyTargets(value: object): { targets: readonly number[] };
  /** Whether the engine promises not to lead for a while, so that the leader of this term can (src/control/leadership.ts). */
  pledge(value: { term: number }): { isPledged: boolean };
  /**
   * The engine ends after it has answered, in good order unless forced, and is started again by its supervisor if that is
   * wanted: UNSUPPORTED when it has none. One of version 2 knows neither.
   */
  stop(value: StopOrder): object;
  /** Those of these ranks that the engine's supervisor has are started, if they are stopped. */
  startEngines(value: { ranks: readonly number[] }): { isSupervised: boolean };
}
export type EngineCallName = keyof EngineCalls;

export interface EngineCallArguments extends EngineMessage {
  /** Of the control plane, where several engines may run it. */
  readonly term?: number;
  readonly name: string;
  readonly value: unknown;
}
