/**
 * Walks cells in key order and says which objects, dkeys or akeys hold something visible. One unit (an object, a dkey or
 * an akey) is reported once; the rest of its cells is skipped, by a seek when there are many. The work is done in steps
 * of a bounded number of cells; between two steps the store may change: `refresh` first.
 */
import { assert } from "../base/assert.ts";
import type { ByteString } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";
import { type Version, VersionKind } from "../store/cell.ts";
import { joinRuns, overlay } from "./array-overlay.ts";
import { addPieces, type Piece, windowBytes } from "./array-window.ts";
import { akeyPrefixOf, dkeyPrefixOf, OBJECT_PREFIX_BYTES, ownCellKey, prefixEnd } from "./cell-key.ts";
import { type ByteRun, decodeArrayMeta, MetaType, objectMetaPunchEpoch } from "./cell-meta.ts";
import type { Seen, TargetObjects } from "./target-objects.ts";

export type WalkUnit = "object" | "dkey" | "akey";

/** Cells of a decided unit that are passed one by one before a seek past all of them: a seek costs about six steps. */
const SKIP_BEFORE_SEEK = 8;

export class CellWalk {
  readonly #target: TargetObjects;
  readonly #unit: WalkUnit;
  readonly #to: ByteString;
  readonly #seen: Seen;
  #epoch: Epoch;
  #position: ByteString;
  #done = false;
  /** The object, dkey and akey of the cell looked at last, as prefixes; empty when not known. */
  #object = "";
  #objectFloor = 0;
  #dkey = "";
  #dkeyFloor = 0;
  #akey = "";
  /** Epoch the array of #akey began, 0 when there is no visible array. */
  #since = 0;
  /** Cells with this prefix need no look: their unit is reported, or they are hidden. */
  #skip = "";
  #skipped = 0;
  #decided = "";
  /** A window whose newest version is a hole: whether there is data beneath has to be looked up outside the scan. */
  #deeper: ByteString | undefined;

  /** Looks at the cells in [from, to), which all are beneath `object` or `dkey` when those are given, or start an object. */
  constructor(
    target: TargetObjects,
    unit: WalkUnit,
    range: { from: ByteString; to: ByteString },
    epoch: Epoch,
    seen: Seen,
    within?: { object: string; dkey?: string; floor: number },
  ) {
    this.#target = target;
    this.#unit = unit;
    this.#position = range.from;
    this.#to = range.to;
    this.#epoch = epoch;
    this.#seen = seen;
    if (within === undefined) return;
    this.#object = within.object;
    this.#objectFloor = within.floor;
    this.#dkey = within.dkey ?? "";
    this.#dkeyFloor = within.floor;
  }

  /** Where the next step begins. */
  get position(): ByteString {
    return this.#position;
  }

  /** Prefix of the unit that was looked at last; empty when none was. */
  get lastUnit(): string {
    return this.#unit === "object" ? this.#object : this.#unit === "dkey" ? this.#dkey : this.#akey;
  }

  /** True when a unit was begun, nothing visible was found in it yet, and more of its cells may follow. */
  get undecided(): boolean {
    const unit = this.lastUnit;
    return !this.#done && unit !== "" && unit !== this.#decided && this.#position < prefixEnd(unit);
  }

  /**
   * Looks at up to `cells` cells and calls `found` with the prefix of each visible unit, until it returns false. Returns
   * true at the end of the range.
   */
  step(cells: number, found: (prefix: string) => boolean): boolean {
    let left = cells;
    while (!this.#done) {
      let stopped = false;
      let again = false;
      this.#target.store.scan(this.#position, this.#to, this.#epoch, (key, version) => {
        if (left <= 0) {
          this.#position = key;
          stopped = true;
          return false;
        }
        left -= 1;
        const verdict = this.#visit(key, version);
        if (verdict === "pass") return true;
        if (verdict === "visible") {
          stopped = !this.#report(found);
          return !stopped;
        }
        again = true;
        return false;
      });
      if (this.#deeper !== undefined) stopped = !this.#lookDeeper(found);
      if (stopped) return false;
      if (!again) this.#done = true;
    }
    return true;
  }

  #lookDeeper(found: (prefix: string) => boolean): boolean {
    const key = this.#deeper!;
    this.#deeper = undefined;
    this.#position = (key + "\x00") as ByteString;
    const windowClass = key.charCodeAt(this.#akey.length + 1);
    const hasData = windowData(this.#target, key, windowClass, this.#since, this.#epoch).length > 0;
    return !hasData || this.#report(found);
  }

  #report(found: (prefix: string) => boolean): boolean {
    const unit = this.lastUnit;
    assert(unit !== "", "a visible cell has a unit");
    this.#decided = unit;
    this.#skipAll(unit);
    this.#position = prefixEnd(unit);
    return found(unit);
  }

  #skipAll(prefix: string): void {
    this.#skip = prefix;
    this.#skipped = 0;
  }

  /** `seek`: go on at #position. `deeper`: see #deeper. */
  #visit(key: ByteString, version: Version): "pass" | "visible" | "seek" | "deeper" {
    if (this.#skip !== "" && key.startsWith(this.#skip)) {
      this.#skipped += 1;
      if (this.#skipped < SKIP_BEFORE_SEEK) return "pass";
      this.#position = prefixEnd(this.#skip);
      return "seek";
    }
    this.#skip = "";
    if (version.sequence !== 0) this.#seen.add(version.sequence);
    if (this.#object === "" || !key.startsWith(this.#object)) this.#enterObject(key);
    if (key.length === OBJECT_PREFIX_BYTES + 1) {
      if (version.kind !== VersionKind.tombstone) this.#objectFloor = objectMetaPunchEpoch(version);
      return "pass";
    }
    if (this.#dkey === "" || !key.startsWith(this.#dkey)) {
      this.#dkey = dkeyPrefixOf(key);
      this.#dkeyFloor = this.#objectFloor;
      this.#akey = "";
    }
    if (key.charCodeAt(this.#dkey.length) === 0) {
      if (version.kind !== VersionKind.tombstone) this.#dkeyFloor = Math.max(this.#objectFloor, version.epoch);
      return "pass";
    }
    if (this.#akey === "" || !key.startsWith(this.#akey)) {
      this.#akey = akeyPrefixOf(key, this.#dkey);
      this.#since = 0;
    }
    if (key.charCodeAt(this.#akey.length) === 0) return this.#visitAkeyCell(version);
    return this.#visitWindow(key, version);
  }

  #enterObject(key: string): void {
    this.#object = key.slice(0, OBJECT_PREFIX_BYTES);
    this.#objectFloor = 0;
    this.#dkey = "";
    this.#akey = "";
  }

  #visitAkeyCell(version: Version): "pass" | "visible" {
    if (version.kind === VersionKind.tombstone || version.epoch <= this.#dkeyFloor) return "pass";
    if (version.metaType === MetaType.single) return "visible";
    this.#since = decodeArrayMeta(version).since;
    return "pass";
  }

  #visitWindow(key: ByteString, version: Version): "pass" | "visible" | "deeper" {
    if (this.#since === 0) {
      this.#skipAll(this.#akey);
      return "pass";
    }
    if (version.kind === VersionKind.tombstone || version.epoch < this.#since) return "pass";
    const type = version.metaType;
    if (type === MetaType.whole || type === MetaType.part) return "visible";
    this.#deeper = key;
    return "deeper";
  }

  /** Reads again what the walk knows of the object, dkey and akey it stands in: call it after anything may have changed. */
  refresh(epoch: Epoch, floorOfObject: (object: string) => number): void {
    this.#epoch = epoch;
    if (this.#object === "") return;
    const store = this.#target.store;
    this.#objectFloor = floorOfObject(this.#object);
    if (this.#dkey === "") return;
    const punch = store.get(ownCellKey(this.#dkey), epoch);
    if (punch?.sequence) this.#seen.add(punch.sequence);
    const punched = punch !== undefined && punch.kind !== VersionKind.tombstone ? punch.epoch : 0;
    this.#dkeyFloor = Math.max(this.#objectFloor, punched);
    if (this.#akey === "" || this.#since === 0) return;
    const own = store.get(ownCellKey(this.#akey), epoch);
    const live = own !== undefined && own.kind !== VersionKind.tombstone && own.epoch > this.#dkeyFloor;
    this.#since = live && own.metaType === MetaType.array ? decodeArrayMeta(own).since : 0;
  }
}

/** The runs of data that a window cell shows of its own at `epoch`, ascending, as offsets within the window. */
export function windowData(
  target: TargetObjects,
  key: ByteString,
  windowClass: number,
  since: number,
  epoch: Epoch,
): ByteRun[] {
  const pieces: Piece[] = [];
  target.store.versions(key, epoch, (version) => version.epoch >= since && addPieces(pieces, version, windowClass, 0));
  return joinRuns(overlay(pieces, 0, windowBytes(windowClass)).fills);
}
