/**
 * Up to which epoch a target may have shown what it has: nothing is written at or before that any more, so what was read
 * there stays as it was. The memory of it outlives a crash, after which the wall clock may be behind: a cell holds an
 * epoch a little ahead of what was read, and no read at a later epoch is answered before that cell has been moved on.
 * (The timestamp cache of Reed, 1983, with a low-water mark that is durable.)
 *
 *     FF FF FF FD      value, meta: type, u64 epoch
 */
import type { ByteString } from "../base/bytes.ts";
import { EPOCH_MAX, EPOCH_NONE, type Epoch, type HybridLogicalClock } from "../base/epoch.ts";
import { type CellStore, VersionKind } from "../store/cell.ts";
import { TARGET_REGION } from "./cell-key.ts";
import { decodeReadBoundMeta, encodeReadBoundMeta } from "./cell-meta.ts";
import { durable } from "./durable.ts";

const KEY = TARGET_REGION as ByteString;
/** How far the durable bound is moved ahead of what was read, microseconds: a record of the log each time. */
const AHEAD_US = 100_000;
/** Of such a record, more than enough. */
const RECORD_BYTES = 128;
const NO_BYTES = new Uint8Array(0);

export class ReadBound {
  readonly #store: CellStore;
  readonly #clock: HybridLogicalClock;
  #durable: Epoch;
  #last: Epoch;
  #moving: Promise<void> | undefined;

  /** Moves the clock past what was read before the store was opened. Throws CORRUPT. */
  constructor(store: CellStore, clock: HybridLogicalClock) {
    this.#store = store;
    this.#clock = clock;
    const version = store.get(KEY, EPOCH_MAX);
    this.#durable = version === undefined ? EPOCH_NONE : decodeReadBoundMeta(version);
    this.#last = this.#durable;
    clock.restore(this.#durable);
  }

  /** The latest epoch that was read at, or later. */
  get last(): Epoch {
    return this.#last;
  }

  /** Whether all that was read so far may be answered. */
  get isDurable(): boolean {
    return this.#last <= this.#durable;
  }

  /** From now on nothing is written at or before this epoch, which is not ahead of the clock. */
  raise(epoch: Epoch): void {
    if (epoch > this.#last) this.#last = epoch;
  }

  /** Resolves when what was read so far may be answered. Rejects with NO_SPACE, READ_ONLY, IO, UNAVAILABLE (closing). */
  async durable(): Promise<void> {
    const last = this.#last;
    while (this.#durable < last) {
      this.#moving ??= this.#move().finally(() => (this.#moving = undefined));
      await this.#moving;
    }
  }

  async #move(): Promise<void> {
    // Reads are served also when there is no room for anything else.
    await this.#store.admit(RECORD_BYTES, { punch: true });
    const bound = (this.#last + AHEAD_US) as Epoch;
    const meta = encodeReadBoundMeta(bound);
    const cell = { key: KEY, epoch: this.#clock.next(), kind: VersionKind.value, meta, inline: NO_BYTES };
    await durable(this.#store, this.#store.append([cell]));
    this.#durable = bound;
  }
}
