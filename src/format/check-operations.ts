/**
 * `systemCheck`: one step of a check of the system. The check keeps nothing on the server: each reply says where the next step
 * begins, so it can be ended, and gone on with, at any time, also when another engine leads meanwhile.
 */
import type { CheckAction, CheckClassName } from "./check-classes.ts";

export interface CheckArguments {
  /** Label or id: only what is of this pool. */
  readonly pool?: string;
  /** Carry out what is to be done about what is found; else only tell. */
  readonly repair: boolean;
  /** By class, what is to be done instead of its default. */
  readonly policies?: Readonly<Record<string, string>>;
  /** The `next` of the step before; absent: the check begins. */
  readonly after?: string;
}

/** A disagreement that was there when it was looked at again. */
export interface CheckFinding {
  readonly class: CheckClassName;
  /** What it is about, in words; with the class it names the finding. */
  readonly place: string;
  /** What is wrong. */
  readonly state: string;
  readonly action: CheckAction;
  /** `found`: nothing was done about it; `failed`: it was tried, `reason` says why not. */
  readonly outcome: "found" | "repaired" | "failed";
  readonly reason?: string;
  /** What an admin can do. */
  readonly advice?: string;
}

export interface CheckReply {
  readonly findings: readonly CheckFinding[];
  /** What this step has looked at: a phase, and what of it. */
  readonly phase: string;
  readonly looked: number;
  readonly bytes: number;
  /** Of those, what changed all the time, or was being moved: it could not be compared. */
  readonly unjudged: number;
  /** Absent: the check is done. */
  readonly next?: string;
}
