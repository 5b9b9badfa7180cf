/**
 * The cells of a dkey and of its akeys as each viewer sees them: a reader at a snapshot, or of the latest state. Without what
 * lies beneath an akey, and without the bytes of values: of erasure code each shard has something else there.
 */
import type { ByteString } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";
import { type Version, VersionKind } from "../store/cell.ts";
import { isUndecided } from "../store/stability.ts";
import { akeyPrefixOf, beneathStart, nameOfPrefix, ownCellKey, prefixEnd } from "./cell-key.ts";
import { LATEST } from "./condition.ts";
import { Seen, type TargetObjects } from "./target-objects.ts";
import { firstKey } from "./first-key.ts";

/** Akeys of a page. */
const PAGE_AKEYS = 64;

export interface KeyVersion {
  readonly epoch: Epoch;
  readonly kind: VersionKind;
  readonly meta: Uint8Array;
}

export interface KeyView {
  /** The snapshot; LATEST for the latest state. */
  readonly viewer: Epoch;
  /** Undefined: there is nothing, or it is punched with the dkey. */
  readonly version: KeyVersion | undefined;
}

export interface AkeyHistory {
  readonly akey: ByteString;
  /** Of its cells. */
  readonly prefix: string;
  /** Ascending by viewer, the latest state last. */
  readonly views: readonly KeyView[];
}

export interface KeyHistory {
  /** Of the dkey's own cell. */
  readonly own: readonly KeyView[];
  readonly akeys: readonly AkeyHistory[];
  /** Where the next page begins; undefined: this is the last one. */
  readonly next: ByteString | undefined;
  /** See CellStore.whenStable. */
  readonly sequence: number;
  /** Something in it is not decided. */
  readonly isUndecided: boolean;
}

export class KeyHistories {
  readonly #target: TargetObjects;

  constructor(target: TargetObjects) {
    this.#target = target;
  }

  /** A page of the dkey with this prefix. Throws NOT_FOUND (container). */
  read(container: number, prefix: string, from: ByteString = beneathStart(prefix)): KeyHistory {
    const { containers, store } = this.#target;
    const viewers = [...containers.keptSnapshots(containers.get(container)), LATEST];
    const seen = new Seen();
    const viewsOf = (key: ByteString, floors: readonly number[]): KeyView[] =>
      viewers.map((viewer, index) => {
        const version = store.get(key, viewer);
        if (version !== undefined) seen.add(version.sequence);
        return {
          viewer,
          version: version === undefined || version.epoch <= floors[index]! ? undefined : copy(version),
        };
      });
    const own = viewsOf(
      ownCellKey(prefix),
      viewers.map(() => 0),
    );
    const floors = own.map(({ version }) => (version?.kind === VersionKind.value ? version.epoch : 0));
    const akeys: AkeyHistory[] = [];
    let next: ByteString | undefined = from;
    while (next !== undefined && akeys.length < PAGE_AKEYS) {
      const key = firstKey(this.#target.store, next, prefixEnd(prefix));
      if (key === undefined) next = undefined;
      else {
        const akey = akeyPrefixOf(key, prefix);
        akeys.push({ akey: nameOfPrefix(akey, prefix), prefix: akey, views: viewsOf(ownCellKey(akey), floors) });
        next = prefixEnd(akey);
      }
    }
    return { own, akeys, next, sequence: seen.sequence, isUndecided: isUndecided(seen.sequence) };
  }
}

function copy({ epoch, kind, meta }: Version): KeyVersion {
  return { epoch, kind, meta: new Uint8Array(meta) };
}
