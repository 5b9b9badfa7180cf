/** A disagreement as the comparisons find it: what it is about, for people, and for those who do something about it. */
import type { DtxId } from "../../base/dtx-id.ts";
import type { Epoch } from "../../base/epoch.ts";
import type { CheckAction, CheckClassName } from "../../format/check-classes.ts";
import type { ContainerRecord, PoolRecord } from "../../format/meta-record.ts";

/** What the actions need; each class has the members that its actions use. */
export interface Subject {
  readonly pool?: PoolRecord;
  /** Of a pool without a record. */
  readonly poolId?: string;
  readonly container?: ContainerRecord;
  readonly number?: number;
  readonly rank?: number;
  readonly target?: number;
  readonly key?: string;
  readonly epoch?: Epoch;
  readonly ids?: readonly DtxId[];
  readonly targets?: readonly { readonly rank: number; readonly target: number }[];
  readonly oid?: Uint8Array;
  readonly dkey?: Uint8Array;
}

export interface Difference {
  readonly class: CheckClassName;
  /** With the class it names the disagreement. */
  readonly place: string;
  readonly state: string;
  /** What is done unless something else is asked for, where that is not the default of the class. */
  readonly action?: CheckAction;
  readonly advice?: string;
  readonly subject: Subject;
}

/** One target of an engine. */
export interface TargetName {
  readonly rank: number;
  readonly target: number;
}

/** What a target that answered said. */
export interface Answered<Answer> extends TargetName {
  readonly answer: Answer;
}

export function targetName({ rank, target }: TargetName): string {
  return `rank ${rank} target ${target}`;
}
