/**
 * What the device needs of a ring of requests and of the memory it works on: the seam between the logic of this plugin,
 * which is all TypeScript, and io_uring. The real ring is native-ring.ts; tests script others.
 *
 * A request is named by an id that its owner chooses; its memory must stay until its completion was taken out.
 */
import type { World } from "../../../src/contracts/world.ts";

/** As in native/uring/ring.h. */
export const RingOperation = {
  read: 1,
  write: 2,
  /** Durable when completed. */
  durableWrite: 3,
  /** Every write completed before it is durable. */
  flush: 4,
  /** The range's blocks go back to the file system; it reads as zeros. */
  punchHole: 5,
  /** The block device may forget the range. */
  discard: 6,
} as const;
export type RingOperation = (typeof RingOperation)[keyof typeof RingOperation];

/** Memory of the ring: page aligned, zeroed when made. */
export interface RingMemory {
  readonly bytes: ArrayBuffer;
  readonly address: number;
  /** What requests in this memory name as `region`; -1 when the kernel would not register it. */
  readonly region: number;
}

export interface Ring {
  /** Most requests that may be unanswered at a time. */
  readonly depth: number;
  /**
   * Adds a request to the next turn. Offset, length (under 2 GiB) and address in bytes; address and length are 0 for a
   * flush, the address is 0 for holes and discards. `region` is -1 for memory that is not the ring's.
   */
  push(operation: RingOperation, id: number, offset: number, length: number, address: number, region: number): void;
  /**
   * Submits what was pushed and takes completions out; when there are none it blocks up to `waitUs` for some.
   * Returns their count; they stay readable until the next turn. Throws DaosError IO when the ring itself fails.
   */
  turn(waitUs: number): number;
  completedId(index: number): number;
  /** Bytes transferred (0 for a flush, hole or discard), or a negative errno. */
  completedResult(index: number): number;
  /** True: the ring will call its `wake` once something completes. False: a turn is due at once. */
  arm(): boolean;
  /** After an `arm` that returned true. */
  disarm(): void;
  /** Memory for I/O. Throws DaosError OVERLOADED when the machine has none. */
  map(sizeBytes: number): RingMemory;
  /** Forgets a region; nothing may be in flight in it. The memory itself goes when its last view does. */
  unmap(memory: RingMemory): void;
  addressOf(bytes: Uint8Array): number;
  /** Nothing may be in flight. Closes the file too. */
  close(): void;
}

/** What was found where a device was looked for. */
export interface RingFile {
  readonly isBlockDevice: boolean;
  readonly sizeBytes: number;
  /** Offsets and lengths are multiples of it. */
  readonly blockBytes: number;
  /** Addresses are multiples of it. */
  readonly memoryAlignmentBytes: number;
  /** Makes the ring. `wake` is called some time after each `arm` that returned true, and perhaps once more. */
  open(wake: () => void): Ring;
  /** Instead of `open`. */
  close(): void;
}

/** Finds and opens the file or device at a path; throws DaosError. */
export type OpenRingFile = (path: string, world: World) => RingFile;
