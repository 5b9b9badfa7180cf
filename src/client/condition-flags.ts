/**
 * Conditions of an operation (DAOS_COND_*) as callers name them, at each level, and as the wire carries them. Each
 * operation takes those that make sense for it: a read or punch cannot require that something is absent.
 */
import { kindOf } from "../base/bytes-argument.ts";
import { DaosError } from "../base/errors.ts";
import type { Condition } from "../contracts/interface.ts";
import { ObjectFlag } from "../format/object-request.ts";

/** What must be there for a read or punch to happen, else it rejects with DOES_NOT_EXIST. Levels left out do not matter. */
export interface PresenceConditions {
  readonly object?: "ifExists" | undefined;
  readonly dkey?: "ifExists" | undefined;
  readonly akey?: "ifExists" | undefined;
}

/** What must be there (else DOES_NOT_EXIST) or absent (else ALREADY_EXISTS) for a write to happen. */
export interface LevelConditions {
  readonly object?: "ifExists" | undefined;
  readonly dkey?: "ifExists" | "ifAbsent" | undefined;
  readonly akey?: "ifExists" | "ifAbsent" | undefined;
}

/** The levels an operation has conditions for, and which. */
export const AllowedConditions = {
  read: ObjectFlag.ifObjectExists | ObjectFlag.ifDkeyExists | ObjectFlag.ifAkeyExists,
  write:
    ObjectFlag.ifObjectExists |
    ObjectFlag.ifDkeyExists |
    ObjectFlag.ifAkeyExists |
    ObjectFlag.ifDkeyAbsent |
    ObjectFlag.ifAkeyAbsent,
  punchAkey: ObjectFlag.ifObjectExists | ObjectFlag.ifDkeyExists | ObjectFlag.ifAkeyExists,
  punchDkey: ObjectFlag.ifObjectExists | ObjectFlag.ifDkeyExists,
  punchObject: ObjectFlag.ifObjectExists,
} as const;

const LEVELS = ["object", "dkey", "akey"] as const;
type Level = (typeof LEVELS)[number];

/** A level's flags; 0 for a condition that no operation has. */
const LEVEL_FLAGS = {
  object: { ifExists: ObjectFlag.ifObjectExists, ifAbsent: 0 },
  dkey: { ifExists: ObjectFlag.ifDkeyExists, ifAbsent: ObjectFlag.ifDkeyAbsent },
  akey: { ifExists: ObjectFlag.ifAkeyExists, ifAbsent: ObjectFlag.ifAkeyAbsent },
} as const;

/**
 * The ObjectFlags of `condition`, which is about `level`, and of `conditions`. Throws INVALID_ARGUMENT for what is no
 * condition, one outside `allowed`, and a level that is to be both absent and there.
 */
export function conditionFlags(
  condition: Condition | undefined,
  level: Level,
  conditions: LevelConditions | undefined,
  allowed: number,
): number {
  let flags = condition === undefined || condition === "always" ? 0 : levelFlag(level, condition, allowed);
  if (conditions === undefined) return flags;
  if (conditions === null || typeof conditions !== "object") {
    throw refused(`conditions are ${kindOf(conditions)}`, "Give { object, dkey, akey }");
  }
  const unknown = Object.keys(conditions).find((name) => !LEVELS.includes(name as Level));
  if (unknown !== undefined) throw refused(`there is no level "${unknown}"`, "Levels are object, dkey and akey");
  for (const each of LEVELS) {
    const wanted = conditions[each];
    if (wanted !== undefined) flags |= levelFlag(each, wanted, allowed);
  }
  const both = [LEVEL_FLAGS.dkey, LEVEL_FLAGS.akey].some(({ ifExists, ifAbsent }) => {
    return (flags & ifExists) !== 0 && (flags & ifAbsent) !== 0;
  });
  if (both) throw refused("a level is to be both absent and there", "Name one condition a level");
  return flags;
}

function levelFlag(level: Level, condition: unknown, allowed: number): number {
  if (condition !== "ifExists" && condition !== "ifAbsent") {
    throw refused(`"${String(condition)}" is no condition`, 'Conditions are "ifExists" and "ifAbsent"');
  }
  const flag = LEVEL_FLAGS[level][condition] & allowed;
  if (flag === 0) throw refused(`this operation has no "${condition}" for the ${level}`, "Drop it");
  return flag;
}

function refused(state: string, advice: string): DaosError {
  return new DaosError("INVALID_ARGUMENT", `Cannot use the condition: ${state}. ${advice}.`);
}
