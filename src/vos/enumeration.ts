/**
 * Enumeration of objects, dkeys and akeys: only those that hold something visible, in byte order, a page at a time. A call
 * looks at a bounded number of cells and then gives up its turn: it returns what it has with an anchor to go on from, or,
 * inside one key with very many hidden cells, lets other work run and goes on.
 */
import type { ByteString } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { MAX_ENUMERATION_KEYS } from "../base/limits.ts";
import { OBJECT_ID_BYTES, type ObjectId } from "../base/object-id.ts";
import { dkeyPrefix, nameOfPrefix, nameRange, objectOfPrefix, prefixEnd, snapshotStart } from "./cell-key.ts";
import { CellWalk } from "./cell-walk.ts";
import { LATEST } from "./condition.ts";
import type { Outcome } from "./single-value.ts";
import type { ContainerState } from "./snapshots.ts";
import { checkKeys, Seen, type TargetObjects } from "./target-objects.ts";

/** Whether a dkey is this target's to show. */
export type DkeyFilter = (oid: ObjectId, dkey: ByteString) => boolean;

export interface PageRequest {
  /** At most this many, 1..MAX_ENUMERATION_KEYS. */
  readonly limit: number;
  /** 0 for the latest. */
  readonly epoch: Epoch;
  /** The anchor of the page before, or any key: what follows it is listed. */
  readonly after?: ByteString;
  /** Undefined: all that lies here is. */
  readonly shown?: DkeyFilter | undefined;
}

export interface DkeyListRequest extends PageRequest {
  readonly oid: ObjectId;
  /** Only keys that start with this. */
  readonly prefix?: ByteString;
}

export interface AkeyListRequest extends DkeyListRequest {
  readonly dkey: ByteString;
}

export interface KeyPage extends Outcome {
  readonly keys: readonly ByteString[];
  /** Nothing follows. */
  readonly done: boolean;
  /** `after` of the next page when not done; may be set with no keys found. */
  readonly anchor: ByteString | undefined;
}

export interface ObjectPage extends Outcome {
  readonly objects: readonly ObjectId[];
  readonly done: boolean;
  readonly anchor: ByteString | undefined;
}

export function checkLimit(limit: number): void {
  if (Number.isInteger(limit) && limit >= 1 && limit <= MAX_ENUMERATION_KEYS) return;
  throw new DaosError(
    "INVALID_ARGUMENT",
    `Cannot list ${limit} keys at once: 1 to ${MAX_ENUMERATION_KEYS} are allowed.`,
  );
}

/** Checks again that an epoch may be read, for an operation that let others run in between. */
export function epochOf(target: TargetObjects, container: ContainerState, epoch: Epoch): Epoch {
  return epoch === 0 ? LATEST : target.containers.readEpoch(target.containers.get(container.number), epoch);
}

interface Page {
  readonly names: ByteString[];
  readonly done: boolean;
  readonly anchor: ByteString | undefined;
}

export class Enumerations {
  readonly #target: TargetObjects;

  constructor(target: TargetObjects) {
    this.#target = target;
  }

  /** Throws INVALID_ARGUMENT, TOO_LARGE, NOT_FOUND (container), EPOCH_AGGREGATED, CORRUPT. */
  listDkeys(container: number, request: DkeyListRequest): KeyPage | Promise<KeyPage> {
    checkLimit(request.limit);
    checkKeys(request.prefix ?? "", "");
    checkKeys(request.after ?? "", "");
    const target = this.#target;
    const state = target.object(container, request.oid);
    const epoch = epochOf(target, state.container, request.epoch);
    const seen = new Seen();
    seen.add(target.pending(state.sequence));
    const floor = target.states.punchEpochAt(state, epoch);
    const range = nameRange(state.prefix, request.prefix ?? "", request.after);
    const walk = new CellWalk(target, "dkey", range, epoch, seen, { object: state.prefix, floor });
    const { oid, shown } = request;
    return keyPage(
      this.#page(
        walk,
        state.container,
        request,
        (prefix) => nameOfPrefix(prefix, state.prefix),
        shown && ((dkey) => shown(oid, dkey)),
      ),
      seen,
    );
  }

  /** As listDkeys. */
  listAkeys(container: number, request: AkeyListRequest): KeyPage | Promise<KeyPage> {
    checkLimit(request.limit);
    checkKeys(request.dkey, request.prefix ?? "");
    checkKeys(request.dkey, request.after ?? "");
    const target = this.#target;
    const state = target.object(container, request.oid);
    const epoch = epochOf(target, state.container, request.epoch);
    const seen = new Seen();
    const dkey = dkeyPrefix(state.prefix, request.dkey);
    const floor = target.floor(state, dkey, epoch, seen);
    const range = nameRange(dkey, request.prefix ?? "", request.after);
    const walk = new CellWalk(target, "akey", range, epoch, seen, { object: state.prefix, dkey, floor });
    return keyPage(
      this.#page(walk, state.container, request, (prefix) => nameOfPrefix(prefix, dkey)),
      seen,
    );
  }

  /** Objects of the container that this target holds something of. `after`: 16 bytes. */
  listObjects(container: number, request: PageRequest): ObjectPage | Promise<ObjectPage> {
    checkLimit(request.limit);
    if (request.after !== undefined && request.after.length !== OBJECT_ID_BYTES) {
      throw new DaosError(
        "INVALID_ARGUMENT",
        `Cannot list objects after ${request.after.length} bytes: an object id has ${OBJECT_ID_BYTES}.`,
      );
    }
    const target = this.#target;
    const opened = target.containers.get(container);
    const epoch = epochOf(target, opened, request.epoch);
    const seen = new Seen();
    const from = request.after === undefined ? (opened.prefix as ByteString) : prefixEnd(opened.prefix + request.after);
    const walk = new CellWalk(target, "object", { from, to: snapshotStart(opened.prefix) }, epoch, seen);
    const page = this.#page(walk, opened, request, objectOfPrefix);
    if (request.shown !== undefined) return this.#shownObjects(container, request, page, seen);
    return page instanceof Promise ? page.then((settled) => objectPage(settled, seen)) : objectPage(page, seen);
  }

  /** Those of a page that have a dkey to be shown. */
  async #shownObjects(
    container: number,
    { epoch, shown }: PageRequest,
    page: Page | Promise<Page>,
    seen: Seen,
  ): Promise<ObjectPage> {
    const { objects, ...rest } = objectPage(await page, seen);
    const found: ObjectId[] = [];
    for (const oid of objects) {
      for (let after: ByteString | undefined, isOver = false; !isOver;) {
        const request = { oid, limit: 1, epoch, shown, ...(after !== undefined && { after }) };
        const { keys, done, anchor, sequence } = await this.listDkeys(container, request);
        seen.add(sequence);
        if (keys.length > 0) found.push(oid);
        isOver = done || keys.length > 0 || anchor === undefined;
        after = anchor;
        if (!isOver) await this.#target.pause();
      }
    }
    return { ...rest, objects: found, sequence: seen.sequence };
  }

  #page(
    walk: CellWalk,
    container: ContainerState,
    request: PageRequest,
    name: (prefix: string) => ByteString,
    isShown: (name: ByteString) => boolean = () => true,
  ): Page | Promise<Page> {
    const names: ByteString[] = [];
    const add = (prefix: string): boolean => {
      const found = name(prefix);
      if (isShown(found)) names.push(found);
      return names.length < request.limit;
    };
    const done = walk.step(this.#target.limits.stepCells, add);
    if (done) return { names, done, anchor: undefined };
    if (names.length < request.limit && walk.undecided) return this.#goOn(walk, container, request, names, name, add);
    return { names, done, anchor: this.#anchor(walk, names, name) };
  }

  /** Everything up to the unit looked at last is decided. */
  #anchor(walk: CellWalk, names: readonly ByteString[], name: (prefix: string) => ByteString): ByteString | undefined {
    return walk.lastUnit === "" ? names.at(-1) : name(walk.lastUnit);
  }

  async #goOn(
    walk: CellWalk,
    container: ContainerState,
    request: PageRequest,
    names: ByteString[],
    name: (prefix: string) => ByteString,
    add: (prefix: string) => boolean,
  ): Promise<Page> {
    let done = false;
    do {
      await this.#target.pause();
      refreshWalk(this.#target, walk, container, request.epoch);
      done = walk.step(this.#target.limits.stepCells, add);
    } while (!done && names.length < request.limit && walk.undecided);
    return { names, done, anchor: done ? undefined : this.#anchor(walk, names, name) };
  }
}

/** Makes a walk that paused see the store as it is now. */
export function refreshWalk(target: TargetObjects, walk: CellWalk, container: ContainerState, asked: Epoch): void {
  const epoch = epochOf(target, container, asked);
  walk.refresh(epoch, (object) =>
    target.states.punchEpochAt(target.states.get(container, objectOfPrefix(object)), epoch),
  );
}

function keyPage(page: Page | Promise<Page>, seen: Seen): KeyPage | Promise<KeyPage> {
  if (page instanceof Promise) return page.then((settled) => settledKeyPage(settled, seen));
  return settledKeyPage(page, seen);
}

function settledKeyPage({ names, done, anchor }: Page, seen: Seen): KeyPage {
  return { keys: names, done, anchor, sequence: seen.sequence, error: undefined };
}

function objectPage({ names, done, anchor }: Page, seen: Seen): ObjectPage {
  return {
    objects: names as readonly ByteString[] as readonly ObjectId[],
    done,
    anchor,
    sequence: seen.sequence,
    error: undefined,
  };
}
