/**
 * Key query (daos_obj_query_key): the greatest or least dkey, akey, or record extent. Levels not asked for are given by
 * the caller; a candidate counts only if it holds what the levels below ask for, as in DAOS.
 */
import type { ByteString } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { MIB } from "../base/limits.ts";
import type { ObjectId } from "../base/object-id.ts";
import { accessArray, type RecordExtent } from "./array-read.ts";
import { akeyPrefixOf, beneathStart, dkeyPrefix, dkeyPrefixOf, nameOfPrefix, prefixEnd } from "./cell-key.ts";
import type { ByteRun } from "./cell-meta.ts";
import { anythingVisible } from "./condition.ts";
import { type DkeyFilter, epochOf } from "./enumeration.ts";
import type { ExtentLists } from "./extent-list.ts";
import type { Outcome } from "./single-value.ts";
import { checkKeys, Seen, type TargetObjects } from "./target-objects.ts";

/** Akeys tried in one turn. */
const AKEYS_PER_TURN = 200;

export interface KeyQueryRequest {
  readonly oid: ObjectId;
  readonly direction: "max" | "min";
  /** What is asked for; a level that is not must be given when a level below it is asked for. */
  readonly levels: readonly ("dkey" | "akey" | "extent")[];
  readonly dkey?: ByteString;
  readonly akey?: ByteString;
  readonly epoch: Epoch;
  /** See PageRequest. */
  readonly shown?: DkeyFilter | undefined;
  /** Only extents in these bytes of the array, whole MiB. */
  readonly within?: ByteRun | undefined;
}

export interface KeyQueryOutcome extends Outcome {
  readonly found: boolean;
  readonly dkey?: ByteString;
  readonly akey?: ByteString;
  /** The extent that holds the greatest (least) record, as far as it reaches within 1 MiB of the array. */
  readonly extent?: RecordExtent;
  readonly recordBytes?: number;
}

interface Found {
  dkey: ByteString;
  akey?: ByteString;
  extent?: RecordExtent;
  recordBytes?: number;
}

export class KeyQueries {
  readonly #target: TargetObjects;
  readonly #extents: ExtentLists;

  constructor(target: TargetObjects, extents: ExtentLists) {
    this.#target = target;
    this.#extents = extents;
  }

  /** Rejects with INVALID_ARGUMENT, TOO_LARGE, NOT_FOUND (container), EPOCH_AGGREGATED, CORRUPT, OVERLOADED. */
  async query(container: number, request: KeyQueryRequest): Promise<KeyQueryOutcome> {
    checkRequest(request);
    const seen = new Seen();
    const found = request.levels.includes("dkey")
      ? await this.#overDkeys(container, request, seen)
      : await this.#inDkey(container, request, request.dkey!, seen);
    if (found === undefined) return { found: false, sequence: seen.sequence, error: undefined };
    return { found: true, ...found, sequence: seen.sequence, error: undefined };
  }

  async #overDkeys(container: number, request: KeyQueryRequest, seen: Seen): Promise<Found | undefined> {
    const { prefix } = this.#target.object(container, request.oid);
    for (let after: string | undefined; ;) {
      const next = this.#neighbour(container, request, prefix, after, dkeyPrefixOf);
      if (next === undefined) return undefined;
      const dkey = nameOfPrefix(next, prefix);
      const isShown = request.shown?.(request.oid, dkey) ?? true;
      const found = isShown ? await this.#inDkey(container, request, dkey, seen) : undefined;
      if (found !== undefined) return found;
      after = next;
      await this.#target.pause();
    }
  }

  /** The nearest dkey or akey beneath `parent` beyond `after` that has a cell, visible or not; as a prefix. */
  #neighbour(
    container: number,
    request: KeyQueryRequest,
    parent: string,
    after: string | undefined,
    prefixOf: (key: string) => string,
  ): string | undefined {
    const target = this.#target;
    const epoch = epochOf(target, target.containers.get(container), request.epoch);
    const max = request.direction === "max";
    const from = max || after === undefined ? beneathStart(parent) : prefixEnd(after);
    const to = max && after !== undefined ? (after as ByteString) : prefixEnd(parent);
    let next: string | undefined;
    target.store.scan(
      from,
      to,
      epoch,
      (key) => {
        next = prefixOf(key);
        return false;
      },
      { reverse: max },
    );
    return next;
  }

  async #inDkey(container: number, request: KeyQueryRequest, dkey: ByteString, seen: Seen): Promise<Found | undefined> {
    const target = this.#target;
    if (request.levels.includes("akey")) return this.#overAkeys(container, request, dkey, seen);
    if (request.levels.includes("extent")) return this.#inAkey(container, request, dkey, request.akey!, seen);
    const state = target.object(container, request.oid);
    const epoch = epochOf(target, state.container, request.epoch);
    const prefix = dkeyPrefix(state.prefix, dkey);
    const floor = target.floor(state, prefix, epoch, seen);
    return anythingVisible(target, state, prefix, "dkey", floor, epoch, seen) ? { dkey } : undefined;
  }

  async #overAkeys(
    container: number,
    request: KeyQueryRequest,
    dkey: ByteString,
    seen: Seen,
  ): Promise<Found | undefined> {
    const prefix = dkeyPrefix(this.#target.object(container, request.oid).prefix, dkey);
    for (let after: string | undefined, tries = 1; ; tries += 1) {
      const next = this.#neighbour(container, request, prefix, after, (key) => akeyPrefixOf(key, prefix));
      if (next === undefined) return undefined;
      const found = this.#inAkey(container, request, dkey, nameOfPrefix(next, prefix), seen);
      if (found !== undefined) return found;
      after = next;
      if (tries % AKEYS_PER_TURN === 0) await this.#target.pause();
    }
  }

  #inAkey(
    container: number,
    request: KeyQueryRequest,
    dkey: ByteString,
    akey: ByteString,
    seen: Seen,
  ): Found | undefined {
    const target = this.#target;
    const epoch = epochOf(target, target.containers.get(container), request.epoch);
    const access = accessArray(target, container, { oid: request.oid, dkey, akey }, epoch, seen);
    if (!request.levels.includes("extent")) {
      const there = anythingVisible(target, access.state, access.akey, "akey", access.floor, epoch, seen);
      return there ? { dkey, akey } : undefined;
    }
    if (access.header === undefined) return undefined;
    const extent = this.#extents.outermost(access, access.header, epoch, request.direction, request.within, seen);
    return extent === undefined ? undefined : { dkey, akey, extent, recordBytes: access.header.recordBytes };
  }
}

function checkRequest(request: KeyQueryRequest): void {
  const { levels } = request;
  checkKeys(request.dkey ?? "", request.akey ?? "");
  const bad =
    levels.length === 0 ||
    (!levels.includes("dkey") && request.dkey === undefined) ||
    (levels.includes("extent") && !levels.includes("akey") && request.akey === undefined) ||
    (request.direction !== "max" && request.direction !== "min");
  if (request.within !== undefined && !isWholeBlocks(request.within)) throw noBlocks(request.within);
  if (!bad) return;
  throw new DaosError(
    "INVALID_ARGUMENT",
    `Cannot query keys "${levels.join(", ")}": ask for max or min of at least one level, and give the dkey and akey that are not asked for.`,
  );
}

function isWholeBlocks({ start, end }: ByteRun): boolean {
  return start < end && start % MIB === 0 && end % MIB === 0;
}

function noBlocks({ start, end }: ByteRun): DaosError {
  return new DaosError("INVALID_ARGUMENT", `Cannot query extents within ${start} to ${end}: these are no whole MiB.`);
}
