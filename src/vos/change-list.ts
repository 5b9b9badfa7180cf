/**
 * What two epochs of a container differ in, akey by akey: `snapshot diff`. Walks the cells in order, a bounded number a
 * turn; a page ends at an anchor.
 */
import type { ByteString } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { MAX_CELL_KEY_BYTES } from "../base/limits.ts";
import type { ObjectId } from "../base/object-id.ts";
import {
  akeyPrefixOf,
  beneathStart,
  dkeyPrefixOf,
  nameOfPrefix,
  OBJECT_PREFIX_BYTES,
  objectOfPrefix,
  ownCellKey,
  prefixEnd,
  snapshotStart,
} from "./cell-key.ts";
import { corruptMeta, decodeArrayMeta, MetaType } from "./cell-meta.ts";
import { anythingVisible } from "./condition.ts";
import { checkLimit, type DkeyFilter, epochOf } from "./enumeration.ts";
import type { Outcome } from "./single-value.ts";
import { isLive, Seen, type TargetObjects } from "./target-objects.ts";

/** Akeys compared in one turn. */
const AKEYS_PER_TURN = 200;
/** Windows of one array that are passed one by one before a seek past all of them. */
const SKIP_BEFORE_SEEK = 8;

export interface ChangeListRequest {
  readonly fromEpoch: Epoch;
  /** 0 for the latest. */
  readonly toEpoch: Epoch;
  readonly limit: number;
  /** See PageRequest. */
  readonly shown?: DkeyFilter | undefined;
  /** Anchor of the page before; opaque. */
  readonly after?: ByteString;
}

export interface Change {
  /** `changed`: written, or partly punched, in between, even if the bytes are the same. */
  readonly change: "added" | "removed" | "changed";
  readonly oid: ObjectId;
  readonly dkey: ByteString;
  readonly akey: ByteString;
}

export interface ChangePage extends Outcome {
  readonly changes: readonly Change[];
  readonly done: boolean;
  readonly anchor: ByteString | undefined;
}

/** What an akey shows at one epoch. */
interface AkeyView {
  readonly holds: "nothing" | "single" | "array";
  /** Epoch of the single value, or at which the array began. */
  readonly epoch: number;
}
const NOTHING: AkeyView = { holds: "nothing", epoch: 0 };

export class ChangeLists {
  readonly #target: TargetObjects;

  constructor(target: TargetObjects) {
    this.#target = target;
  }

  /** Rejects with INVALID_ARGUMENT, NOT_FOUND (container), EPOCH_AGGREGATED, CORRUPT, OVERLOADED. */
  async list(container: number, request: ChangeListRequest): Promise<ChangePage> {
    checkLimit(request.limit);
    const target = this.#target;
    const asked = request.toEpoch;
    if (request.fromEpoch === 0 || (asked !== 0 && request.fromEpoch > asked)) {
      throw new DaosError(
        "INVALID_ARGUMENT",
        `Cannot compare epochs ${request.fromEpoch} and ${request.toEpoch}: name the earlier one first.`,
      );
    }
    const { prefix } = target.containers.get(container);
    const seen = new Seen();
    const changes: Change[] = [];
    let position = this.#start(prefix, request.after);
    let anchor: ByteString | undefined;
    for (let turn = 0; ; turn += 1) {
      if (turn > 0) await target.pause();
      const epochs = this.#epochs(container, request.fromEpoch, asked);
      const batch = this.#nextAkeys(position, snapshotStart(prefix), epochs.to);
      for (const akey of batch.akeys) {
        const isShown = request.shown === undefined || isShownAkey(akey, request.shown);
        const change = isShown ? await this.#compare(container, akey, request.fromEpoch, asked, seen) : undefined;
        if (change !== undefined) changes.push(change);
        anchor = akey.slice(prefix.length) as ByteString;
        if (changes.length === request.limit)
          return { changes, done: false, anchor, sequence: seen.sequence, error: undefined };
      }
      if (batch.next === undefined)
        return { changes, done: true, anchor: undefined, sequence: seen.sequence, error: undefined };
      position = batch.next;
      if (anchor !== undefined) return { changes, done: false, anchor, sequence: seen.sequence, error: undefined };
    }
  }

  #epochs(container: number, from: Epoch, to: Epoch): { from: Epoch; to: Epoch } {
    const opened = this.#target.containers.get(container);
    return { from: epochOf(this.#target, opened, from), to: epochOf(this.#target, opened, to) };
  }

  #start(prefix: string, after: ByteString | undefined): ByteString {
    if (after === undefined) return prefix as ByteString;
    if (after.length > MAX_CELL_KEY_BYTES || after.length < OBJECT_PREFIX_BYTES) {
      throw new DaosError(
        "INVALID_ARGUMENT",
        "Cannot go on after this anchor: it is not one. Use the anchor of the page before.",
      );
    }
    return prefixEnd(prefix + after);
  }

  /** Prefixes of the next akeys that have a cell, and where to go on. */
  #nextAkeys(from: ByteString, to: ByteString, epoch: Epoch): { akeys: string[]; next: ByteString | undefined } {
    const akeys: string[] = [];
    let cells = 0;
    let next: ByteString | undefined = from;
    while (next !== undefined) {
      const start: ByteString = next;
      next = undefined;
      let full = false;
      let windows = 0;
      this.#target.store.scan(start, to, epoch, (key) => {
        if (cells >= this.#target.limits.stepCells || akeys.length >= AKEYS_PER_TURN) {
          next = key;
          full = true;
          return false;
        }
        cells += 1;
        const akey = akeyOfCell(key);
        if (akey === undefined) return true;
        if (key.length === akey.length + 1) {
          akeys.push(akey);
          windows = 0;
          return true;
        }
        windows += 1;
        if (windows < SKIP_BEFORE_SEEK) return true;
        next = prefixEnd(akey);
        return false;
      });
      if (full) break;
    }
    return { akeys, next };
  }

  async #compare(container: number, akey: string, from: Epoch, to: Epoch, seen: Seen): Promise<Change | undefined> {
    const epochs = this.#epochs(container, from, to);
    const before = this.#view(container, akey, epochs.from, seen);
    const after = this.#view(container, akey, epochs.to, seen);
    const dkey = dkeyPrefixOf(akey);
    const object = akey.slice(0, OBJECT_PREFIX_BYTES);
    const keys = { oid: objectOfPrefix(akey), dkey: nameOfPrefix(dkey, object), akey: nameOfPrefix(akey, dkey) };
    if (before.holds === "nothing") return after.holds === "nothing" ? undefined : { change: "added", ...keys };
    if (after.holds === "nothing") return { change: "removed", ...keys };
    if (before.holds !== after.holds || before.epoch !== after.epoch) return { change: "changed", ...keys };
    if (before.holds === "single") return undefined;
    return (await this.#windowsChanged(container, akey, from, to, seen)) ? { change: "changed", ...keys } : undefined;
  }

  #view(container: number, akey: string, epoch: Epoch, seen: Seen): AkeyView {
    const target = this.#target;
    const state = target.object(container, objectOfPrefix(akey));
    const floor = target.floor(state, dkeyPrefixOf(akey), epoch, seen);
    const version = target.store.get(ownCellKey(akey), epoch);
    if (version === undefined) return NOTHING;
    seen.add(version.sequence);
    if (!isLive(version, floor)) return NOTHING;
    if (version.metaType === MetaType.single) return { holds: "single", epoch: version.epoch };
    if (version.metaType !== MetaType.array) throw corruptMeta();
    const { since } = decodeArrayMeta(version);
    return anythingVisible(target, state, akey, "akey", floor, epoch, seen)
      ? { holds: "array", epoch: since }
      : NOTHING;
  }

  async #windowsChanged(container: number, akey: string, from: Epoch, to: Epoch, seen: Seen): Promise<boolean> {
    for (let position: ByteString | undefined = beneathStart(akey); position !== undefined;) {
      const epochs = this.#epochs(container, from, to);
      const start: ByteString = position;
      position = undefined;
      let cells = 0;
      let changed = false;
      this.#target.store.scan(start, prefixEnd(akey), epochs.to, (key, version) => {
        if (cells >= this.#target.limits.stepCells) {
          position = key;
          return false;
        }
        cells += 1;
        seen.add(version.sequence);
        changed = version.epoch > from;
        return !changed;
      });
      if (changed) return true;
      if (position !== undefined) await this.#target.pause();
    }
    return false;
  }
}

function isShownAkey(akey: string, shown: DkeyFilter): boolean {
  return shown(objectOfPrefix(akey), nameOfPrefix(dkeyPrefixOf(akey), akey.slice(0, OBJECT_PREFIX_BYTES)));
}

/** Prefix of the akey a cell belongs to; undefined for cells of objects and dkeys. */
function akeyOfCell(key: string): string | undefined {
  if (key.length <= OBJECT_PREFIX_BYTES + 1) return undefined;
  const dkey = dkeyPrefixOf(key);
  return key.charCodeAt(dkey.length) === 0 ? undefined : akeyPrefixOf(key, dkey);
}
