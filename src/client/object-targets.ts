/**
 * Targets that together have all of an object. With redundancy each group has several to choose from, so that one that
 * does not answer is replaced by others.
 */
import { DaosError } from "../base/errors.ts";
import { isRedundant, type ObjectId } from "../base/object-id.ts";
import type { ContainerSession } from "./container-session.ts";

/** Errors that say that a target cannot be reached, or has not what others have. */
const UNREACHABLE = new Set(["UNAVAILABLE", "TIMEOUT", "IO", "CORRUPT"]);

/** A target of several that have the same does not answer. */
export class UnreachableTarget extends Error {
  readonly target: number;

  constructor(target: number, cause: unknown) {
    super(`target ${target} does not answer`, { cause });
    this.target = target;
  }
}

/** What `reading` gives; UnreachableTarget when the target does not answer. */
export async function orUnreachable<T>(target: number, reading: Promise<T>): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof DaosError && UNREACHABLE.has(error.code)) throw new UnreachableTarget(target, error);
    throw error;
  }
}

/** Targets with everything of an object with redundancy, without these. Throws UNAVAILABLE when a group has none left. */
export function coverOf(session: ContainerSession, oid: ObjectId, without: ReadonlySet<number>): number[] {
  const cover = new Set<number>();
  for (const shards of session.placement.layout(oid).groups) {
    const usable = shards.filter(({ target, state }) => target >= 0 && state === "serving" && !without.has(target));
    if (usable.some(({ target }) => cover.has(target))) continue;
    if (usable.length === 0) {
      const state = "all targets that have a part of it are unreachable";
      throw new DaosError("UNAVAILABLE", `Cannot read the object: ${state}. Retry when an engine is back.`);
    }
    cover.add(usable[0]!.target);
  }
  return [...cover];
}

/** Asks all targets that together have the object; `ask` is told whether others could answer in its place. */
export async function overObject<T>(
  session: ContainerSession,
  oid: ObjectId,
  ask: (target: number, firm: boolean) => Promise<T>,
): Promise<T[]> {
  if (!isRedundant(oid)) return Promise.all(session.placement.targetsOf(oid).map((target) => ask(target, false)));
  const unreachable = new Set<number>();
  for (;;) {
    const targets = coverOf(session, oid, unreachable);
    try {
      return await Promise.all(targets.map((target) => orUnreachable(target, ask(target, true))));
    } catch (error) {
      if (!(error instanceof UnreachableTarget)) throw error;
      unreachable.add(error.target);
    }
  }
}
