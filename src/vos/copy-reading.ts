/** What readers of the latest state and of snapshots see of a dkey, collected cell by cell; see dkey-copy.ts. */
import type { ByteString } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";
import { BLOCK_BYTES } from "../base/limits.ts";
import { type CopiedVersion, copiedVersionBytes } from "../format/fill-message.ts";
import { type ExtentRef, type Version, VersionKind } from "../store/cell.ts";
import { windowLead } from "./array-window.ts";
import { akeyPrefixOf, objectOfPrefix, ownCellKey } from "./cell-key.ts";
import { decodeArrayMeta, DKEY_PUNCH_META, MetaType } from "./cell-meta.ts";
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

interface FoundVersion extends Omit<CopiedVersion, "bytes" | "checksum"> {
  checksum?: number | undefined;
  bytes: Uint8Array | undefined;
}

/** Collects what the viewers see, cell by cell; the bytes come later. */
export class CopyReading {
  readonly seen = new Seen();
  sizeBytes = 0;
  readonly #target: TargetObjects;
  readonly #prefix: string;
  readonly #viewers: readonly Viewer[];
  readonly #found: FoundVersion[] = [];
  readonly #reads: Promise<void>[] = [];
  #akey = "";
  /** By viewer: of the akey's windows those before this epoch belong to an array that is gone. */
  #since: readonly number[] = [];

  /** Throws NOT_FOUND (container). */
  constructor(target: TargetObjects, container: number, prefix: string) {
    this.#target = target;
    this.#prefix = prefix;
    this.#viewers = viewersOf(target, container, prefix);
  }

  /** Adds what is seen of the dkey's own cell. What one viewer sees and a punch of the object hides from a later one, it hides. */
  addOwn(): void {
    const key = ownCellKey(this.#prefix);
    const versions = new Map<Epoch, FoundVersion>();
    this.#collect(key, versions, () => 0);
    for (const { floor, objectPunch } of this.#viewers) {
      const epoch = objectPunch as Epoch;
      if (objectPunch < floor || versions.has(epoch)) continue;
      const isOlder = this.#viewers.some((viewer) => viewer.epoch < epoch);
      if (isOlder)
        versions.set(epoch, { key, epoch, kind: VersionKind.value, meta: DKEY_PUNCH_META, bytes: undefined });
    }
    this.#addFound(versions);
  }

  /** Adds what is seen of a cell beneath the dkey. */
  add(key: ByteString): void {
    const akey = akeyPrefixOf(key, this.#prefix);
    const isWindow = key.length > akey.length + 1;
    if (isWindow && akey !== this.#akey) this.#enter(akey);
    const versions = new Map<Epoch, FoundVersion>();
    this.#collect(key, versions, (floor, index) => Math.max(floor, isWindow ? this.#since[index]! - 1 : 0));
    this.#addFound(versions);
  }

  #collect(
    key: ByteString,
    versions: Map<Epoch, FoundVersion>,
    hiddenFrom: (floor: number, index: number) => number,
  ): void {
    this.#viewers.forEach(({ epoch, floor }, index) => {
      const hidden = hiddenFrom(floor, index);
      this.#target.store.versions(key, epoch, (version) => {
        this.seen.add(version.sequence);
        if (version.epoch <= hidden) return false;
        if (!versions.has(version.epoch)) versions.set(version.epoch, this.#copy(key, version));
        return true;
      });
    });
  }

  #addFound(versions: ReadonlyMap<Epoch, FoundVersion>): void {
    const ascending = [...versions.values()].toSorted((left, right) => left.epoch - right.epoch);
    // A tombstone with nothing beneath hides nothing.
    const first = ascending.findIndex(({ kind }) => kind !== VersionKind.tombstone);
    if (first >= 0) this.#found.push(...ascending.slice(first));
  }

  /** Adds the newest version of a cell that no snapshot has anything to do with. */
  addLatest(key: ByteString): void {
    const version = this.#target.store.get(key, LATEST);
    if (version === undefined) return;
    this.seen.add(version.sequence);
    if (version.kind !== VersionKind.tombstone) {
      this.#found.push({ ...this.#copy(key, version), key: keyInDkey(key, this.#prefix) });
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

  #copy(key: ByteString, version: Version): FoundVersion {
    const { epoch, kind, inline, checksum, extent } = version;
    const copy: FoundVersion = {
      key,
      epoch,
      kind,
      meta: new Uint8Array(version.meta),
      bytes: inline === undefined ? undefined : new Uint8Array(inline),
      checksum: inline === undefined ? undefined : checksum,
    };
    if (extent !== undefined) {
      const lead = (windowLead(version) ?? 0) % BLOCK_BYTES;
      copy.bytes = new Uint8Array(extent.length - lead);
      this.#reads.push(this.#read(extent, lead, copy));
    }
    this.sizeBytes += copiedVersionBytes(this.#prefix, copy);
    return copy;
  }

  async #read(extent: ExtentRef, lead: number, copy: FoundVersion): Promise<void> {
    copy.checksum = await this.#target.store.readExtent(extent, lead, extent.length - lead, copy.bytes!);
  }

  /** All that was added, with its bytes. */
  async finish(): Promise<readonly CopiedVersion[]> {
    const outcomes = await Promise.allSettled(this.#reads);
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
    return this.#found;
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
