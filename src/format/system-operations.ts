/**
 * Operations on the system as a whole: who leads it, its engines in all pools at once, and what it does by itself.
 * docs/protocol.md is the prose of this file.
 */
import type { ErrorCode } from "../base/errors.ts";

/** The engine that runs the control plane. */
export interface SystemLeaderReply {
  readonly rank: number;
  /** Its management listener, as the other engines reach it. */
  readonly address: string;
  /** Grows with each change of the leader; absent where only the first engine may lead. */
  readonly term?: number;
  /** How long it has led, milliseconds. */
  readonly leadsMs: number;
}

/** systemExclude, systemDrain, systemReintegrate: as the pool's, in all pools; some pools an answer. */
export interface SystemRanksArguments {
  readonly ranks: readonly number[];
  /** Exclude: also what has no other copy. */
  readonly force?: boolean;
  /** `anchor` of the answer before. */
  readonly after?: string;
}
export interface PoolOutcome {
  readonly pool: string;
  /** `unchanged`: its targets are so already. */
  readonly outcome: "changed" | "unchanged" | "failed";
  /** The pool's map then; absent when it failed. */
  readonly mapVersion?: number;
  readonly code?: ErrorCode;
  readonly message?: string;
}
export interface SystemRanksReply {
  /** Pools that have targets of these ranks, in the order of their labels. */
  readonly pools: readonly PoolOutcome[];
  /** Present: more pools follow, ask again with it as `after`. */
  readonly anchor?: string;
}

export interface SelfHealReply {
  readonly flags: readonly string[];
}
export interface SelfHealSetArguments {
  /** Those that are on from now on; all others are off. */
  readonly flags: readonly string[];
}
/** selfHealEval: what was not done while flags were off is looked at again. */
export interface SelfHealEvalReply {
  /** Ranks that are excluded from the system. */
  readonly excluded: readonly number[];
  /** Pools that still had targets of them in service. */
  readonly pools: readonly PoolOutcome[];
}

export interface SystemStopArguments {
  /** All engines of the system without it. */
  readonly ranks?: readonly number[];
  /** Without finishing what runs: what was acknowledged is in the log. */
  readonly force?: boolean;
  /** Their supervisors start them again. */
  readonly restart?: boolean;
}
export interface SystemStartArguments {
  /** All that are not here without it. */
  readonly ranks?: readonly number[];
}
export interface SystemStartReply {
  /** Ranks that are not here; those that a supervisor has are being started. */
  readonly missing: readonly number[];
  /** Engines that have passed it on to their supervisor. */
  readonly supervisors: number;
}

/** A piece of a backup (meta-backup.ts). */
export interface SystemBackupArguments {
  /** Of the reply before; a new backup without it. */
  readonly id?: number;
  /** From this byte on. */
  readonly offset?: number;
}
export interface SystemBackupReply {
  readonly id: number;
  readonly sizeBytes: number;
  readonly records: number;
  readonly takenAtMs: number;
  readonly bytes: Uint8Array;
}
