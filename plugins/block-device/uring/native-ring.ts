/**
 * The ring of io_uring, through the addon `uring`. Requests and completions travel in a block of memory that both sides
 * see, so that one call a turn moves any number of them. Checks nothing that the device has checked already.
 */
import type { UringAddon } from "../../../native/uring/addon.ts";
import { DaosError } from "../../../src/base/errors.ts";
import { errnoName } from "./errno.ts";
import type { Ring, RingMemory, RingOperation } from "./ring.ts";

/** Requests in flight on one device: four times what disks gain from, and 256 x 1 MiB of bounce memory at worst. */
export const RING_DEPTH = 256;
/** Regions that the addon's table takes. */
const MOST_REGIONS = 1024;

/** So many requests go to the device at once, while the turn that makes more of them goes on. */
const SUBMIT_BATCH = 4;

// The layout of the shared block: native/uring/ring.h.
const CONTROL_BYTES = 64;
const SUBMISSION_BYTES = 32;
const COMPLETION_BYTES = 8;
const COUNT_WORD = 0;
const WAIT_WORD = 1;

export class NativeRing implements Ring {
  readonly depth = RING_DEPTH;
  readonly #addon: UringAddon;
  readonly #path: string;
  readonly #id: number;
  readonly #words: Uint32Array;
  readonly #doubles: Float64Array;
  readonly #completions: Int32Array;
  readonly #freeRegions: number[] = [];
  #regions = 0;
  #pushed = 0;
  #closed = false;

  /** Takes over the descriptor, also when it throws. */
  constructor(addon: UringAddon, path: string, descriptor: number, wake: () => void) {
    this.#addon = addon;
    this.#path = path;
    const opened = addon.openRing(descriptor, RING_DEPTH, wake);
    if (typeof opened === "number") {
      throw new DaosError(
        "UNSUPPORTED",
        `Cannot open "${path}": the kernel gives no io_uring (${errnoName(opened)}). ` +
          "Raise the limits on locked memory and open files, or configure block-device file.",
      );
    }
    this.#id = opened.id;
    this.#words = new Uint32Array(opened.shared);
    this.#doubles = new Float64Array(opened.shared);
    const completionsAt = CONTROL_BYTES + RING_DEPTH * SUBMISSION_BYTES;
    this.#completions = new Int32Array(opened.shared, completionsAt, (RING_DEPTH * COMPLETION_BYTES) / 4);
  }

  push(operation: RingOperation, id: number, offset: number, length: number, address: number, region: number): void {
    const at = CONTROL_BYTES + this.#pushed * SUBMISSION_BYTES;
    const words = this.#words;
    const word = at >> 2;
    words[word] = operation;
    words[word + 1] = id;
    words[word + 2] = length;
    words[word + 3] = region;
    const double = (at >> 3) + 2;
    this.#doubles[double] = offset;
    this.#doubles[double + 1] = address;
    this.#pushed += 1;
    if (this.#pushed === SUBMIT_BATCH) this.#submit();
  }

  turn(waitUs: number): number {
    this.#words[COUNT_WORD] = this.#pushed;
    this.#words[WAIT_WORD] = waitUs;
    this.#pushed = 0;
    return this.#checked(this.#addon.turn(this.#id));
  }

  completedId(index: number): number {
    return this.#completions[2 * index]!;
  }

  completedResult(index: number): number {
    return this.#completions[2 * index + 1]!;
  }

  arm(): boolean {
    return this.#addon.arm(this.#id) === 1;
  }

  disarm(): void {
    this.#addon.disarm(this.#id);
  }

  map(sizeBytes: number): RingMemory {
    const bytes = this.#addon.mapMemory(sizeBytes);
    if (bytes === undefined) {
      throw new DaosError(
        "OVERLOADED",
        `Cannot allocate ${sizeBytes} bytes for I/O on "${this.#path}": no memory. Free memory.`,
      );
    }
    const view = new Uint8Array(bytes);
    return { bytes, address: this.#addon.addressOf(view), region: this.#register(view) };
  }

  unmap(memory: RingMemory): void {
    if (memory.region < 0 || this.#closed) return;
    // A table that cannot forget keeps the pages until the ring is closed; the place is then not used again.
    if (this.#addon.registerMemory(this.#id, memory.region, new Uint8Array(0)) === 0) {
      this.#freeRegions.push(memory.region);
    }
  }

  addressOf(bytes: Uint8Array): number {
    return this.#addon.addressOf(bytes);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#addon.closeRing(this.#id);
  }

  #submit(): void {
    this.#words[COUNT_WORD] = this.#pushed;
    this.#pushed = 0;
    this.#checked(this.#addon.submit(this.#id));
  }

  /** A ring that the kernel refuses was misused, or is lost. */
  #checked(result: number): number {
    if (result >= 0) return result;
    throw new DaosError(
      "IO",
      `Cannot use "${this.#path}": its io_uring failed (${errnoName(-result)}). Look at the system's log and restart.`,
    );
  }

  /** The region of the new memory. -1 over a limit: such memory costs a page look-up for each request, nothing else. */
  #register(view: Uint8Array): number {
    const region = this.#freeRegions.pop() ?? this.#regions;
    if (region >= MOST_REGIONS) return -1;
    if (this.#addon.registerMemory(this.#id, region, view) !== 0) {
      if (region < this.#regions) this.#freeRegions.push(region);
      return -1;
    }
    if (region === this.#regions) this.#regions += 1;
    return region;
  }
}
