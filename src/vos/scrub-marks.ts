/**
 * What a target remembers of scrubbing, in a cell of its own for each pool, so that a pass goes on where it was:
 *
 *     FF FF FF FD "s" pool    value, meta: type; the mark (src/format/scrub.ts)
 */
import type { ByteString } from "../base/bytes.ts";
import { EPOCH_MAX } from "../base/epoch.ts";
import { decodeScrubMark, encodeScrubMark, type ScrubMark } from "../format/scrub.ts";
import { VersionKind } from "../store/cell.ts";
import { TARGET_REGION } from "./cell-key.ts";
import { expectMeta, MetaType, NO_META, SCRUB_META } from "./cell-meta.ts";
import { durable } from "./durable.ts";
import type { TargetObjects } from "./target-objects.ts";

/** Of a record with such a cell, more than enough. */
const RECORD_BYTES = 512;

export class ScrubMarks {
  readonly #target: TargetObjects;

  constructor(target: TargetObjects) {
    this.#target = target;
  }

  /** Undefined when nothing is remembered. Throws CORRUPT. */
  get(pool: string): ScrubMark | undefined {
    const version = this.#target.store.get(keyOf(pool), EPOCH_MAX);
    if (version?.inline === undefined) return undefined;
    expectMeta(version, MetaType.scrub, 1);
    return decodeScrubMark(Buffer.from(version.inline));
  }

  /** Durable when resolved. Rejects as CellStore.admit. */
  async put(pool: string, mark: ScrubMark): Promise<void> {
    const { store, containers } = this.#target;
    await this.#target.admit(RECORD_BYTES, false);
    const epoch = containers.writeEpoch();
    const write = { key: keyOf(pool), epoch, kind: VersionKind.value, meta: SCRUB_META, inline: encodeScrubMark(mark) };
    await durable(store, store.append([write]));
  }

  /** The pool is gone. Rejects as CellStore.admit. */
  async forget(pool: string): Promise<void> {
    const { store, containers } = this.#target;
    if (store.get(keyOf(pool), EPOCH_MAX)?.inline === undefined) return;
    await this.#target.admit(RECORD_BYTES, true);
    const epoch = containers.writeEpoch();
    await durable(store, store.append([{ key: keyOf(pool), epoch, kind: VersionKind.tombstone, meta: NO_META }]));
  }
}

function keyOf(pool: string): ByteString {
  return `${TARGET_REGION}s${pool}` as ByteString;
}
