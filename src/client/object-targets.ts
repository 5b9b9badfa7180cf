/**
 * Targets that together have all of an object. With redundancy each group has several to choose from, so that one that
 * does not answer is replaced by others; when a group has none left, all are tried again until the session's retry window
 * is over.
 */
import { DaosError, hasCode } from "../base/errors.ts";
import { isRedundant, type ObjectId } from "../base/object-id.ts";
import type { Placement } from "../placement/placement.ts";
import type { ContainerSession } from "./container-session.ts";
import type { Retry } from "./retry.ts";

/** Errors that say that a target cannot be reached, or has not what others have. */
const UNREACHABLE = new Set(["UNAVAILABLE", "TIMEOUT", "IO", "CORRUPT"]);

/** A target of several that have the same does not answer. */
class UnreachableTarget extends Error {
  readonly target: number;

  constructor(target: number, cause: unknown) {
    super(`target ${target} does not answer`, { cause });
    this.target = target;
  }
}

/** The choice of targets for one read of an object with redundancy. */
export class ObjectCover {
  readonly #session: ContainerSession;
  readonly #oid: ObjectId;
  readonly #signal: AbortSignal | undefined;
  #retry: Retry;
  readonly #unreachable = new Set<number>();
  #placement: Placement;

  constructor(session: ContainerSession, oid: ObjectId, signal: AbortSignal | undefined) {
    this.#session = session;
    this.#oid = oid;
    this.#signal = signal;
    this.#retry = session.newRetry(signal);
    this.#placement = session.placement;
  }

  /** Targets with everything of the object. Rejects with UNAVAILABLE when a group has none, to the end of the window. */
  async targets(): Promise<number[]> {
    for (;;) {
      this.#placement = this.#session.placement;
      const cover = coverOf(this.#placement, this.#oid, this.#unreachable);
      if (cover !== undefined) return cover;
      await this.#again(noneLeft());
    }
  }

  /** What a target answers, if it was chosen by the map by which it answered. */
  async ask<T>(target: number, reading: Promise<T>): Promise<T> {
    let answer: T;
    try {
      answer = await reading;
    } catch (error) {
      if (error instanceof DaosError && UNREACHABLE.has(error.code)) throw new UnreachableTarget(target, error);
      throw error;
    }
    if (this.#session.placement === this.#placement) return answer;
    throw new DaosError("STALE", "Cannot use the answer: the pool map has changed meanwhile. Retry.");
  }

  /** After a failure of `ask`: resolves when other `targets` may do better, else rejects with it. */
  async failed(error: unknown): Promise<void> {
    if (error instanceof UnreachableTarget) this.#unreachable.add(error.target);
    else if (hasCode(error, "STALE")) await this.#again(error);
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

/** Undefined when a group has none left. */
function coverOf(placement: Placement, oid: ObjectId, without: ReadonlySet<number>): number[] | undefined {
  const cover = new Set<number>();
  for (const shards of placement.layout(oid).groups) {
    const usable = shards.filter(({ target, state }) => target >= 0 && state === "serving" && !without.has(target));
    if (usable.some(({ target }) => cover.has(target))) continue;
    if (usable.length === 0) return undefined;
    cover.add(usable[0]!.target);
  }
  return [...cover];
}

function noneLeft(): DaosError {
  const state = "all targets that have a part of it are unreachable";
  return new DaosError("UNAVAILABLE", `Cannot read the object: ${state}. Retry when an engine is back.`);
}

/** Asks all targets that together have the object; `ask` is told whether others could answer in its place. */
export async function overObject<T>(
  session: ContainerSession,
  oid: ObjectId,
  signal: AbortSignal | undefined,
  ask: (target: number, firm: boolean) => Promise<T>,
): Promise<T[]> {
  if (!isRedundant(oid)) return Promise.all(session.placement.targetsOf(oid).map((target) => ask(target, false)));
  const cover = new ObjectCover(session, oid, signal);
  for (;;) {
    const targets = await cover.targets();
    try {
      return await Promise.all(targets.map((target) => cover.ask(target, ask(target, true))));
    } catch (error) {
      await cover.failed(error);
    }
  }
}
