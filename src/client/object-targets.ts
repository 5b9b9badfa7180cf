/**
 * Targets that together have all of an object, or of a dkey. With redundancy each group has several to choose from, so that one
 * that does not answer is left out for others; when a group has too few left, all are tried again until the session's
 * retry window is over.
 *
 * Of copies, any target of a group has everything. Of erasure code, the parity shards of a dkey know all of its keys, a data
 * shard those that it has data of; and which shards these are differs by dkey. So an object is on all targets of its groups
 * that answer, as long as no more are away than the class may lose; a dkey is on one of its parity shards, or on all of its
 * data shards.
 */
import type { ByteString } from "../base/bytes.ts";
import { DaosError, hasCode } from "../base/errors.ts";
import { isErasureCoded, isRedundant, type ObjectId } from "../base/object-id.ts";
import type { Placement } from "../placement/placement.ts";
import { redundancyGroup } from "../redundancy/redundancy-group.ts";
import type { ContainerSession } from "./container-session.ts";
import type { Retry } from "./retry.ts";

/** Errors that say that a target cannot be reached, or has not what others have. */
const UNREACHABLE = new Set(["UNAVAILABLE", "TIMEOUT", "IO", "CORRUPT", "PROTOCOL", "DAMAGED"]);

/** Whether the error says that others should be asked. */
export function isUnreachable(error: unknown): error is DaosError {
  return error instanceof DaosError && UNREACHABLE.has(error.code);
}

/** What was answered goes by a map that is not the client's any more. */
export function placementChanged(): DaosError {
  return new DaosError("STALE", "Cannot use the answer: the pool map has changed meanwhile. Retry.");
}

/** A target of several that have the same does not answer. */
class UnreachableTarget extends Error {
  readonly target: number;

  constructor(target: number, cause: unknown) {
    super(`target ${target} does not answer`, { cause });
    this.target = target;
  }
}

/** What is to be covered: a dkey, or without one the object. */
export interface CoverSubject {
  readonly oid: ObjectId;
  readonly dkey?: ByteString | undefined;
}

/** The choice of targets for one read of an object with redundancy. */
export class ObjectCover {
  readonly #session: ContainerSession;
  readonly #subject: CoverSubject;
  readonly #signal: AbortSignal | undefined;
  #retry: Retry;
  readonly #unreachable = new Set<number>();
  #latestCause: unknown;
  #placement: Placement;

  constructor(session: ContainerSession, subject: CoverSubject, signal: AbortSignal | undefined) {
    this.#session = session;
    this.#subject = subject;
    this.#signal = signal;
    this.#retry = session.newRetry(signal);
    this.#placement = session.placement;
  }

  /** Targets with everything of it. Rejects with UNAVAILABLE when a group has too few, to the end of the window. */
  async targets(): Promise<readonly number[]> {
    for (;;) {
      this.#placement = this.#session.placement;
      const cover = this.#inTime() ?? coverOf(this.#placement, this.#subject, this.#unreachable);
      if (cover !== undefined) return cover;
      await this.#again(tooFewLeft(this.#latestCause));
    }
  }

  /** Targets that are not late; undefined when there are none late, or the others do not have everything. */
  #inTime(): readonly number[] | undefined {
    if (!this.#session.hasLate) return undefined;
    const late = this.#placement.targets.filter((target) => this.#session.isLate(target));
    return coverOf(this.#placement, this.#subject, new Set([...this.#unreachable, ...late]));
  }

  /** What a target answers, if it was chosen by the map by which it answered. */
  async ask<T>(target: number, reading: Promise<T>): Promise<T> {
    let answer: T;
    try {
      answer = await reading;
    } catch (error) {
      if (isUnreachable(error)) throw new UnreachableTarget(target, error);
      throw error;
    }
    if (this.#session.placement === this.#placement) return answer;
    throw placementChanged();
  }

  /** After a failure of `ask`: resolves when other `targets` may do better, else rejects with it. */
  async failed(error: unknown): Promise<void> {
    if (error instanceof UnreachableTarget) {
      this.#unreachable.add(error.target);
      this.#latestCause = error.cause;
    } else if (hasCode(error, "STALE")) await this.#again(error);
    else throw error;
  }

  /** Something was read: the retry window begins anew. */
  progressed(): void {
    this.#retry = this.#session.newRetry(this.#signal);
  }

  async #again(error: DaosError): Promise<void> {
    await this.#retry.afterFailure(error, "refused");
    this.#unreachable.clear();
    await this.#session.renew(this.#placement, error, this.#signal);
  }
}

/** Undefined when a group has too few left. */
function coverOf(
  placement: Placement,
  { oid, dkey }: CoverSubject,
  without: ReadonlySet<number>,
): readonly number[] | undefined {
  if (dkey !== undefined) return coverOfDkey(placement, oid, dkey, without);
  const { groups, objectClass } = placement.layout(oid);
  const { kind, dataShards } = objectClass.redundancy;
  const cover = new Set<number>();
  for (const shards of groups) {
    const usable = shards.filter(({ target, state }) => target >= 0 && state === "serving" && !without.has(target));
    if (kind === "erasure") {
      if (usable.length < dataShards) return undefined;
      for (const { target } of usable) cover.add(target);
      continue;
    }
    if (usable.some(({ target }) => cover.has(target))) continue;
    if (usable.length === 0) return undefined;
    cover.add(usable[0]!.target);
  }
  return [...cover];
}

function coverOfDkey(
  placement: Placement,
  oid: ObjectId,
  dkey: ByteString,
  without: ReadonlySet<number>,
): readonly number[] | undefined {
  const { readable, shards } = redundancyGroup(placement, oid, dkey);
  const usable = readable.filter((target) => !without.has(target));
  if (shards === undefined) return usable.length === 0 ? undefined : usable.slice(0, 1);
  const { dataShards } = placement.layout(oid).objectClass.redundancy;
  if (usable.length < dataShards) return undefined;
  const parity = usable.find((target) => shards.numberOf.get(target)! >= dataShards);
  return parity === undefined ? usable : [parity];
}

function tooFewLeft(cause: unknown): DaosError {
  const state = "too many targets that have a part of it are unreachable";
  return new DaosError("UNAVAILABLE", `Cannot read the object: ${state}. Retry when an engine is back.`, {
    cause,
  });
}

/** Whether what is read of it has to be asked for at several targets, or at others when one does not answer. */
export function needsCover({ oid, dkey }: CoverSubject): boolean {
  // Any copy of a dkey has all of it: the session goes round them.
  return dkey === undefined ? isRedundant(oid) : isErasureCoded(oid);
}

/** Asks all targets that together have the subject; `ask` is told whether others could answer in its place. */
export async function overTargets<T>(
  session: ContainerSession,
  subject: CoverSubject,
  signal: AbortSignal | undefined,
  ask: (target: number, firm: boolean) => Promise<T>,
): Promise<T[]> {
  if (!isRedundant(subject.oid)) {
    return Promise.all(session.placement.targetsOf(subject.oid).map((target) => ask(target, false)));
  }
  const cover = new ObjectCover(session, subject, signal);
  for (;;) {
    const targets = await cover.targets();
    try {
      return await Promise.all(targets.map((target) => cover.ask(target, ask(target, true))));
    } catch (error) {
      await cover.failed(error);
    }
  }
}
