/**
 * Extension point `block-device`: the NVMe tier of one target. Any number of operations may be in flight, in any order;
 * operations on overlapping ranges are the caller's to keep apart. A range that is empty, off the blocks or off the
 * device rejects with INVALID_ARGUMENT and touches nothing; all I/O after `close` rejects with UNAVAILABLE.
 */
import type { World } from "./world.ts";

/** Of the operations of late, from the call to its end, microseconds. */
export interface DeviceLatency {
  readonly averageUs: number;
  readonly p99Us: number;
}

export interface DeviceHealth {
  readonly state: "normal" | "faulty" | "unplugged";
  readonly readErrors: number;
  readonly writeErrors: number;
  readonly flushErrors: number;
  readonly discardErrors: number;
  /**
   * When the device came back after it was away, nanoseconds of the world's monotonic clock; Infinity while it is away and
   * its plugin, within a limit of its own, lets operations wait for it. Their waiting is no slowness of the device. Absent
   * when it was never away.
   */
  readonly backSinceNs?: number;
  /** Absent before the first operation, and where a plugin does not measure. */
  readonly readLatency?: DeviceLatency;
  readonly writeLatency?: DeviceLatency;
}

/** What new memory holds: "anything", also what was in it before, is for who fills all of it. */
export type MemoryContent = "zeros" | "anything";

export interface BlockDevice {
  readonly sizeBytes: number;
  /** Offsets and lengths are multiples of this, bytes (512 or 4096). */
  readonly blockBytes: number;
  /** Memory that needs no bounce copy for this device; zeroed unless `content` says otherwise. Give it back with `release`. */
  allocate(sizeBytes: number, content?: MemoryContent): Uint8Array;
  release(buffer: Uint8Array): void;
  /** Fills `buffer` from `offset`; never short: rejects with IO. The buffer is the device's until settled. */
  read(offset: number, buffer: Uint8Array): Promise<void>;
  /**
   * Writes all of `buffer`. Durable when resolved if `durable` (FUA), else after the next `flush`. On rejection (IO,
   * NO_SPACE, READ_ONLY) the range is undefined.
   */
  write(offset: number, buffer: Uint8Array, options: { durable: boolean }): Promise<void>;
  /** Every write that resolved before the call is durable. Once it has failed (IO) it fails for good: data may be lost. */
  flush(): Promise<void>;
  /** The range's content is no longer needed; it reads as anything until written. Advisory. */
  discard(offset: number, length: number): Promise<void>;
  /** What was read at `offset` fails its checksum, also when read again. Who watches the device counts it. */
  reportDamage?(offset: number): void;
  health(): DeviceHealth;
  /** Nothing may be in flight. Closing twice is harmless. */
  close(): Promise<void>;
}

export interface BlockDeviceOpenOptions {
  readonly folder: string;
  readonly sizeBytes: number;
  readonly create: boolean;
  /** The admin said that whatever the device holds may be overwritten. Only with `create`. */
  readonly overwrite?: boolean;
}

export interface BlockDeviceProvider {
  open(world: World, options: BlockDeviceOpenOptions): Promise<BlockDevice>;
}
