/**
 * What a check asks one target of an engine (engineCall `check`), by name: what it holds, what is left over on it, and
 * what it is to do about it. All but the last group only read. check-arguments.ts checks what arrives.
 */
import type { DtxId } from "../base/dtx-id.ts";
import type { Epoch } from "../base/epoch.ts";

/** A pool that a target serves, or has a note of. */
export interface HeldPool {
  readonly pool: string;
  /** 0: its map is not known. */
  readonly mapVersion: number;
  /** Index of the target in the map; -1: it is not in it. */
  readonly own: number;
  /** Null: none is set. */
  readonly quota: { readonly sizeBytes: number; readonly containers: number } | null;
  /** Null: none. */
  readonly note: Uint8Array | null;
  /** The note of its map. */
  readonly map: Uint8Array | null;
}

/** A container that a target serves, or has a note of. */
export interface HeldContainer {
  readonly number: number;
  /** By which pool's map it is served; null: by none. */
  readonly pool: string | null;
  /** 0: it is not served. */
  readonly cellBytes: number;
  readonly note: Uint8Array | null;
  /** Versions of cells. */
  readonly versions: number;
}

/** A container's snapshots on a target. */
export interface HeldSnapshots {
  readonly epochs: readonly Epoch[];
  /** Of older epochs that no snapshot kept something may be gone. */
  readonly aggregatedTo: Epoch;
}

export interface UndecidedUpdate extends DtxId {
  readonly container: number;
  readonly ageMs: number;
}

export interface TargetLeftovers {
  /** Updates that are prepared and not decided, the oldest ones; null: everything that was decided is durable. */
  readonly undecided: readonly UndecidedUpdate[];
  readonly undecidedCount: number;
  /** Decisions that are remembered, some of them. */
  readonly remembered: readonly DtxId[];
  readonly rememberedCount: number;
}

/** A disagreement about a dkey. */
export interface DkeyDifference {
  readonly kind: "damaged" | "missing" | "differs" | "misplaced" | "shard-missing" | "shard-differs";
  readonly oid: Uint8Array;
  readonly dkey: Uint8Array;
  /** Index in the pool map of the target that is wrong; -1: one of them, nobody can say which. */
  readonly target: number;
  readonly detail: string;
  /** Misplaced: all targets have it where it belongs. */
  readonly isElsewhere: boolean;
}

export interface DkeyPage {
  /** By which all of it was judged. */
  readonly mapVersion: number;
  readonly differences: readonly DkeyDifference[];
  readonly dkeys: number;
  readonly bytes: number;
  /** Dkeys that were being changed or filled, or whose targets did not answer: they were not judged. */
  readonly unjudged: number;
  /** Null: there are no more. */
  readonly next: Uint8Array | null;
}

export interface TargetQuestions {
  /** All pools that it has notes of, or serves. */
  pools(value: object): { pools: readonly string[] };
  /** A page of containers behind a number, ascending. `next`: null when there are no more. */
  holdings(value: { after: number }): { containers: readonly HeldContainer[]; next: number | null };
  containers(value: { containers: readonly number[] }): { containers: readonly HeldContainer[] };
  /** Null for a container that is not served. */
  snapshots(value: { containers: readonly number[] }): { containers: readonly (HeldSnapshots | null)[] };
  /** Null: it is not known. */
  pool(value: { pool: string }): { held: HeldPool | null };
  leftovers(value: object): TargetLeftovers;
  /** Whether any of these is undecided here; what was decided is durable before the answer. */
  areUndecided(value: { ids: readonly DtxId[] }): { areUndecided: readonly boolean[] };
  /**
   * A page of the container's dkeys here, behind a place: those that this target leads are compared with what the others have,
   * those of others looked for there.
   */
  dkeys(value: { container: number; after?: Uint8Array }): DkeyPage;

  /** What the control plane knows of what the target holds. */
  keepNotes(value: {
    pools: readonly { readonly pool: string; readonly note: Uint8Array; readonly map: Uint8Array }[];
    containers: readonly { readonly container: number; readonly note: Uint8Array }[];
  }): object;
  forgetPool(value: { pool: string }): object;
  adoptSnapshots(value: { container: number; epochs: readonly Epoch[] }): object;
  /** Asks those who lead about what is undecided, and undoes what is of containers that nobody has. */
  settle(value: { orphans: readonly DtxId[] }): object;
  forgetDecisions(value: { ids: readonly DtxId[] }): object;
  /** Removes a dkey that does not belong here. BUSY when it does, or when not all have it where it belongs. */
  dropDkey(value: { container: number; oid: Uint8Array; dkey: Uint8Array }): object;
}
export type TargetQuestionName = keyof TargetQuestions;

/** One question and its target. */
export interface TargetQuestion {
  /** Of the engine, from 0. */
  readonly target: number;
  readonly name: TargetQuestionName;
  readonly value: unknown;
}
