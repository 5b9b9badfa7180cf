/**
 * What `daos system check` looks for: classes of disagreement, named as DAOS's checker names them where it has them
 * (src/include/daos/chk.h), and what may be done about each. The default loses nothing; what destroys data is among the
 * others, and has to be asked for by name. docs/admin.md is the prose of this file.
 */
import { DaosError } from "../base/errors.ts";
import { didYouMean } from "../base/suggestion.ts";

/**
 * IGNORE: nothing. READD: what lacks is given, or made again from what is there. TRUST_MS, TRUST_TARGET: as the meta store,
 * or the targets, have it. FINISH: what was begun is ended. DISCARD: what is found is removed.
 */
export type CheckAction = "IGNORE" | "READD" | "TRUST_MS" | "TRUST_TARGET" | "FINISH" | "DISCARD";

interface CheckClass {
  readonly default: CheckAction;
  readonly others: readonly CheckAction[];
  /** What an admin can do where the check does nothing by itself. */
  readonly advice: string;
}

const DAMAGE_ADVICE = "`daos pool scrub start` repairs what the others have of it.";
const SHARD_ADVICE =
  "It cannot be repaired in place yet: exclude the target from the pool, wait for the rebuild, and reintegrate it; " +
  "it is filled from the others then.";

export const CHECK_CLASSES = {
  ENGINE_UNREACHABLE: { default: "IGNORE", others: [], advice: "Start the engine, or exclude it, and check again." },
  ENGINE_FOREIGN: { default: "IGNORE", others: [], advice: "Stop it and start the engine on its own storage folder." },
  ENGINE_DUPLICATE: { default: "IGNORE", others: ["DISCARD"], advice: "DISCARD forgets the rank that no pool names." },
  ENGINE_NONEXIST_IN_MAP: { default: "IGNORE", others: ["DISCARD"], advice: "DISCARD removes it from that engine." },
  DEVICE_ABSENT: {
    default: "IGNORE",
    others: [],
    advice: "Look at `daos storage query`, then `daos storage replace`.",
  },

  POOL_NONEXIST_ON_ENGINE: { default: "READD", others: [], advice: "" },
  POOL_NONEXIST_ON_MS: { default: "READD", others: ["DISCARD"], advice: "DISCARD removes it with all its data." },
  POOL_BAD_MAP: { default: "TRUST_MS", others: [], advice: "" },
  POOL_OLD_MAP: { default: "TRUST_TARGET", others: [], advice: "" },
  POOL_BAD_LABEL: { default: "TRUST_MS", others: [], advice: "" },
  POOL_BAD_COUNT: { default: "TRUST_MS", others: [], advice: "" },
  POOL_BAD_QUOTA: { default: "TRUST_MS", others: [], advice: "" },
  POOL_BAD_NOTE: { default: "TRUST_MS", others: [], advice: "" },
  POOL_OVERCOMMITTED: { default: "IGNORE", others: [], advice: "Shrink or destroy a pool, or add an engine." },
  POOL_HALF_REMOVED: { default: "FINISH", others: [], advice: "" },

  CONT_NONEXIST_ON_TARGET: { default: "READD", others: [], advice: "" },
  CONT_NONEXIST_ON_PS: { default: "READD", others: ["DISCARD"], advice: "DISCARD removes it with all its data." },
  CONT_BAD_LABEL: { default: "TRUST_MS", others: [], advice: "" },
  CONT_BAD_COUNT: { default: "TRUST_MS", others: [], advice: "" },
  CONT_BAD_NUMBER: { default: "TRUST_MS", others: [], advice: "" },
  CONT_BAD_NOTE: { default: "TRUST_MS", others: [], advice: "" },
  CONT_BAD_PROPERTY: {
    default: "IGNORE",
    others: ["TRUST_MS", "TRUST_TARGET"],
    advice: "Its objects were laid out by one of the two: name the right one.",
  },
  CONT_HALF_REMOVED: { default: "FINISH", others: [], advice: "" },
  CONT_WITHOUT_POOL: { default: "IGNORE", others: ["DISCARD"], advice: "It is of use once its pool is there again." },

  SNAP_NONEXIST_ON_PS: { default: "READD", others: ["DISCARD"], advice: "DISCARD gives up what only it keeps." },
  SNAP_NONEXIST_ON_TARGET: {
    default: "READD",
    others: ["DISCARD"],
    advice: "DISCARD removes its record, and it from all targets.",
  },
  SNAP_LOST: {
    default: "IGNORE",
    others: ["DISCARD"],
    advice: "What it kept may be gone there. Exclude and reintegrate the target, which fills it, or DISCARD it.",
  },
  SNAP_HALF_MADE: { default: "FINISH", others: [], advice: "" },

  DTX_ORPHAN: { default: "IGNORE", others: ["DISCARD"], advice: "DISCARD undoes the update: nobody can commit it." },
  DTX_UNDECIDED: { default: "FINISH", others: [], advice: "Bring the engines of the pool back: they decide it." },
  DTX_REMEMBERED: { default: "FINISH", others: [], advice: "" },

  CSUM_FAILURE: { default: "IGNORE", others: [], advice: DAMAGE_ADVICE },
  OBJ_LOST_REP: { default: "IGNORE", others: [], advice: SHARD_ADVICE },
  OBJ_DATA_INCONSIST: { default: "IGNORE", others: [], advice: SHARD_ADVICE },
  OBJ_LOST_EC_SHARD: { default: "IGNORE", others: [], advice: SHARD_ADVICE },
  OBJ_LOST_EC_DATA: { default: "IGNORE", others: [], advice: SHARD_ADVICE },
  OBJ_MISPLACED: {
    default: "IGNORE",
    others: ["DISCARD"],
    advice: "DISCARD removes it where it does not belong, if all targets have it where it does.",
  },
} as const satisfies Readonly<Record<string, CheckClass>>;

export type CheckClassName = keyof typeof CHECK_CLASSES;
export type CheckPolicies = Readonly<Partial<Record<CheckClassName, CheckAction>>>;

/** What may be done about a class; the first one is the default. */
export function actionsOf(name: CheckClassName): readonly CheckAction[] {
  const { default: usual, others } = CHECK_CLASSES[name];
  return [...new Set<CheckAction>([usual, ...others, "IGNORE"])];
}

/** Policies of class names and actions. Throws INVALID_ARGUMENT with what was meant. */
export function checkPolicies(given: Readonly<Record<string, string>>): CheckPolicies {
  for (const [name, action] of Object.entries(given)) {
    if (!Object.hasOwn(CHECK_CLASSES, name)) {
      throw wrong(`${name}=${action}`, `there is no such class.${didYouMean(name, Object.keys(CHECK_CLASSES))}`);
    }
    const actions = actionsOf(name as CheckClassName);
    if (!actions.includes(action as CheckAction)) {
      throw wrong(`${name}=${action}`, `what may be done about it is ${actions.join(", ")}.`);
    }
  }
  return given as CheckPolicies;
}

function wrong(policy: string, state: string): DaosError {
  return new DaosError("INVALID_ARGUMENT", `Cannot use policy "${policy.slice(0, 128)}": ${state}`);
}
