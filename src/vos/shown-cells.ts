/**
 * What viewers see of a dkey, cell by cell: readers at snapshots, and of the latest state. What is made of each version is the
 * caller's.
 */
import type { ByteString } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";
import { type Version, VersionKind } from "../store/cell.ts";
import { akeyPrefixOf, objectOfPrefix, ownCellKey } from "./cell-key.ts";
import { decodeArrayMeta, MetaType } from "./cell-meta.ts";
import { LATEST } from "./condition.ts";
import { Seen, type TargetObjects } from "./target-objects.ts";
import { keyInDkey } from "./transaction-cells.ts";

/** A reader of the dkey: at a snapshot, or of the latest state. */
interface Viewer {
  readonly epoch: Epoch;
  /** What is at or before it is punched with the dkey, or its object. */
  readonly floor: number;
  /** Epoch of the newest punch of the object; 0 for none. */
  readonly objectPunch: number;
}

export interface MadeVersion {
  readonly epoch: Epoch;
  readonly kind: VersionKind;
}

export interface VersionMaker<Made extends MadeVersion> {
  /** The version is the store's: it is looked at in this turn only. */
  of(key: ByteString, version: Version): Made;
  /** The dkey is punched at this epoch with its object. */
  punch(key: ByteString, epoch: Epoch): Made;
}

export class ShownCells<Made extends MadeVersion> {
  readonly seen = new Seen();
  /** Of each cell from the oldest on. */
  readonly found: Made[] = [];
  readonly #target: TargetObjects;
  readonly #prefix: string;
  readonly #viewers: readonly Viewer[];
  readonly #maker: VersionMaker<Made>;
  #akey = "";
  /** By viewer: of the akey's windows those before this epoch belong to an array that is gone. */
  #since: readonly number[] = [];

  /** Throws NOT_FOUND (container). */
  constructor(target: TargetObjects, container: number, prefix: string, maker: VersionMaker<Made>) {
    this.#target = target;
    this.#prefix = prefix;
    this.#viewers = viewersOf(target, container, prefix);
    this.#maker = maker;
  }

  /** Adds what is seen of the dkey's own cell. What one viewer sees and a punch of the object hides from a later one, it hides. */
  addOwn(): void {
    const key = ownCellKey(this.#prefix);
    const versions = new Map<Epoch, Made>();
    this.#collect(key, versions, () => 0);
    for (const { floor, objectPunch } of this.#viewers) {
      const epoch = objectPunch as Epoch;
      if (objectPunch < floor || versions.has(epoch)) continue;
      const isOlder = this.#viewers.some((viewer) => viewer.epoch < epoch);
      if (isOlder) versions.set(epoch, this.#maker.punch(key, epoch));
    }
    this.#addFound(versions);
  }

  /** Adds what is seen of a cell beneath the dkey. */
  add(key: ByteString): void {
    const akey = akeyPrefixOf(key, this.#prefix);
    const isWindow = key.length > akey.length + 1;
    if (isWindow && akey !== this.#akey) this.#enter(akey);
    const versions = new Map<Epoch, Made>();
    this.#collect(key, versions, (floor, index) => Math.max(floor, isWindow ? this.#since[index]! - 1 : 0));
    this.#addFound(versions);
  }

  #collect(key: ByteString, versions: Map<Epoch, Made>, hiddenFrom: (floor: number, index: number) => number): void {
    this.#viewers.forEach(({ epoch, floor }, index) => {
      const hidden = hiddenFrom(floor, index);
      this.#target.store.versions(key, epoch, (version) => {
        this.seen.add(version.sequence);
        if (version.epoch <= hidden) return false;
        if (!versions.has(version.epoch)) versions.set(version.epoch, this.#maker.of(key, version));
        return true;
      });
    });
  }

  #addFound(versions: ReadonlyMap<Epoch, Made>): void {
    const ascending = [...versions.values()].toSorted((left, right) => left.epoch - right.epoch);
    // A tombstone with nothing beneath hides nothing.
    const first = ascending.findIndex(({ kind }) => kind !== VersionKind.tombstone);
    if (first >= 0) this.found.push(...ascending.slice(first));
  }

  /** Adds the newest version of a cell that no snapshot has anything to do with. */
  addLatest(key: ByteString): void {
    const version = this.#target.store.get(key, LATEST);
    if (version === undefined) return;
    this.seen.add(version.sequence);
    if (version.kind !== VersionKind.tombstone) {
      this.found.push(this.#maker.of(keyInDkey(key, this.#prefix), version));
    }
  }

  #enter(akey: string): void {
    this.#akey = akey;
    this.#since = this.#viewers.map(({ epoch, floor }) => {
      const version = this.#target.store.get(ownCellKey(akey), epoch);
      if (version !== undefined) this.seen.add(version.sequence);
      const isArray = version?.kind === VersionKind.value && version.metaType === MetaType.array;
      return isArray && version.epoch > floor ? decodeArrayMeta(version).since : Number.POSITIVE_INFINITY;
    });
  }
}

function viewersOf(target: TargetObjects, container: number, prefix: string): Viewer[] {
  const { containers, states, store } = target;
  const epochs = [...containers.keptSnapshots(containers.get(container)), LATEST];
  const object = target.object(container, objectOfPrefix(prefix));
  return epochs.map((epoch) => {
    const own = store.get(ownCellKey(prefix), epoch);
    const dkeyPunch = own === undefined || own.kind === VersionKind.tombstone ? 0 : own.epoch;
    const objectPunch = states.punchEpochAt(object, epoch);
    return { epoch, floor: Math.max(dkeyPunch, objectPunch), objectPunch };
  });
}
