/**
 * Keeps the settled index's map from filling memory: what was read through it counts as resident until it is given back.
 * Looks a few times a second, and gives everything back when mapped files take more than the limit; the page cache
 * still has it, so the next read of a page costs a fault and no I/O.
 */
import { MIB } from "../base/limits.ts";
import type { Timers } from "../contracts/world.ts";

/** Mapped files may take so much of the process's resident memory before the index's part is given back, bytes. */
export const MAX_MAPPED_BYTES = 256 * MIB;
/** Reads can map some hundred MiB within this time. */
const CHECK_INTERVAL_MS = 100;

/** A file that is mapped into this process. */
export interface MappedMemory {
  /** Bytes of all mapped files that are resident, this one's among them; 0 when unknown. */
  residentBytes(): number;
  /** Gives this file's pages back. */
  release(): void;
}

export class IndexMemory {
  readonly #timers: Timers;
  readonly #mapped: MappedMemory;
  #cancel: () => void;

  constructor(timers: Timers, mapped: MappedMemory) {
    this.#timers = timers;
    this.#mapped = mapped;
    this.#cancel = this.#arm();
  }

  #arm(): () => void {
    return this.#timers.after(CHECK_INTERVAL_MS, () => {
      this.#cancel = this.#arm();
      if (this.#mapped.residentBytes() > MAX_MAPPED_BYTES) this.#mapped.release();
    });
  }

  stop(): void {
    this.#cancel();
  }
}
