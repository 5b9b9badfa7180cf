/**
 * Conditions of an operation (DAOS_COND_*), and what they rest on: whether an object, dkey or akey holds something visible.
 */
import { EPOCH_MAX, type Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { formatObjectId } from "../base/object-id.ts";
import { missing } from "../base/object-refusals.ts";
import { ObjectFlag } from "../format/object-request.ts";
import { beneathStart, ownCellKey, prefixEnd } from "./cell-key.ts";
import { CellWalk, type WalkUnit } from "./cell-walk.ts";
import type { ObjectState } from "./object-state.ts";
import type { Seen, TargetObjects } from "./target-objects.ts";

/** Cells that one decision may look at; more are hidden cells whose reclaim is under way. */
export const MAX_DECISION_CELLS = 100_000;

const FLAGS_ABSENT = ObjectFlag.ifDkeyAbsent | ObjectFlag.ifAkeyAbsent;

/** Which conditions make sense: those of the levels that the operation names. Throws INVALID_ARGUMENT. */
export function checkFlags(flags: number, allowed: number): void {
  const both = (flags & 3) === 3 || (flags & 12) === 12;
  if (!both && (flags & ~allowed) === 0) return;
  const why = both ? "a level is to be both absent and there" : "this operation has no such condition";
  throw new DaosError("INVALID_ARGUMENT", `Cannot use conditions ${flags}: ${why}. Name one condition a level.`);
}

export const FETCH_FLAGS = ObjectFlag.ifObjectExists | ObjectFlag.ifDkeyExists | ObjectFlag.ifAkeyExists;
export const UPDATE_FLAGS = FETCH_FLAGS | FLAGS_ABSENT;

/** Whether anything visible is in the subtree of an object, dkey or akey. OVERLOADED when that takes too long to find out. */
export function anythingVisible(
  target: TargetObjects,
  state: ObjectState,
  prefix: string,
  unit: WalkUnit,
  floor: number,
  epoch: Epoch,
  seen: Seen,
): boolean {
  let found = false;
  const within =
    unit === "object"
      ? { object: state.prefix, floor }
      : { object: state.prefix, dkey: dkeyWithin(prefix, unit), floor };
  const from = unit === "akey" ? ownCellKey(prefix) : beneathStart(prefix);
  const walk = new CellWalk(target, unit, { from, to: prefixEnd(prefix) }, epoch, seen, within);
  const decided = walk.step(MAX_DECISION_CELLS, () => {
    found = true;
    return false;
  });
  if (found || decided) return found;
  throw new DaosError(
    "OVERLOADED",
    `Cannot decide what is in object "${formatObjectId(state.oid)}": more than ${MAX_DECISION_CELLS} punched cells await their reclaim. Retry later.`,
  );
}

/** The dkey's prefix: `prefix` itself, or what an akey's prefix starts with. */
function dkeyWithin(prefix: string, unit: WalkUnit): string {
  return unit === "dkey" ? prefix : prefix.slice(0, prefix.indexOf("\x00\x01", 21) + 2);
}

/**
 * Checks the conditions in `flags` at `epoch` for an akey (or, without one, a dkey; without that, the object). Returns the
 * error to answer with, ALREADY_EXISTS or DOES_NOT_EXIST, or undefined.
 */
export function checkConditions(
  target: TargetObjects,
  state: ObjectState,
  flags: number,
  epoch: Epoch,
  seen: Seen,
  dkey: string,
  akey: string,
): DaosError | undefined {
  const objectFloor = state.epoch === 0 ? 0 : target.states.punchEpochAt(state, epoch);
  if (state.epoch !== 0) seen.add(target.pending(state.sequence));
  const dkeyFloor = dkey === "" ? objectFloor : target.floor(state, dkey, epoch, seen);
  const hasAkey = akey !== "" && anythingVisible(target, state, akey, "akey", dkeyFloor, epoch, seen);
  if ((flags & ObjectFlag.ifAkeyAbsent) !== 0 && hasAkey) return exists("akey");
  if ((flags & ObjectFlag.ifAkeyExists) !== 0 && !hasAkey) return missing("akey");
  if ((flags & (ObjectFlag.ifDkeyAbsent | ObjectFlag.ifDkeyExists)) !== 0) {
    const hasDkey = hasAkey || anythingVisible(target, state, dkey, "dkey", dkeyFloor, epoch, seen);
    if ((flags & ObjectFlag.ifDkeyAbsent) !== 0 && hasDkey) return exists("dkey");
    if ((flags & ObjectFlag.ifDkeyExists) !== 0 && !hasDkey) return missing("dkey");
  }
  if ((flags & ObjectFlag.ifObjectExists) === 0 || hasAkey) return undefined;
  return anythingVisible(target, state, state.prefix, "object", objectFloor, epoch, seen)
    ? undefined
    : missing("object");
}

function exists(what: string): DaosError {
  return new DaosError(
    "ALREADY_EXISTS",
    `Cannot write: the ${what} exists already. Drop the condition to overwrite it.`,
  );
}

/** The latest epoch, for decisions of writes. */
export const LATEST = EPOCH_MAX;
