/**
 * The device of block-device `file`. Any number of operations may be in flight. Small reads that the page cache holds
 * are answered in the calling thread; everything else goes through the runtime's thread pool, or blocks for a moment
 * where that was measured to be quicker (io-strategy.ts). A failed flush is never forgotten: every later one fails too.
 */
import { DaosError, hasCode } from "../../../src/base/errors.ts";
import { KIB } from "../../../src/base/limits.ts";
import type { BlockDevice, DeviceHealth, MemoryContent } from "../../../src/contracts/block-device.ts";
import type { DiskFile, Timers, World } from "../../../src/contracts/world.ts";
import { IoStrategy } from "../../io-strategy.ts";
import { BufferPool } from "./buffer-pool.ts";
import type { FileBlockDeviceConfig } from "./provider.ts";

export const BLOCK_BYTES = 4 * KIB;
/** I/O over this size goes through the thread pool whatever the latency. */
const MAX_SYNC_BYTES = 64 * KIB;
/** A device with this many failed reads is called faulty; one failed write or flush suffices. */
const FAULTY_READ_ERRORS = 8;

export class FileBlockDevice implements BlockDevice {
  readonly sizeBytes: number;
  readonly blockBytes = BLOCK_BYTES;
  readonly #readFile: DiskFile;
  readonly #writeFile: DiskFile;
  readonly #durableFile: DiskFile;
  readonly #discards: boolean;
  readonly #strategy: IoStrategy;
  readonly #pool = new BufferPool();
  readonly #directReads: boolean;
  readonly #timers: Timers;
  readonly #endTurn = (): void => {
    this.#blockedThisTurn = false;
  };
  #blockedThisTurn = false;
  #inFlight = 0;
  #readErrors = 0;
  #writeErrors = 0;
  #flushErrors = 0;
  #discardErrors = 0;
  #closed = false;

  constructor(world: World, path: string, sizeBytes: number, config: FileBlockDeviceConfig) {
    const { disk } = world;
    this.sizeBytes = sizeBytes;
    this.#writeFile = disk.openFile(path, { direct: true });
    this.#durableFile = disk.openFile(path, { direct: true, durable: true });
    this.#timers = world.timers;
    this.#directReads = config.reads === "direct";
    this.#readFile = this.#directReads ? this.#writeFile : disk.openFile(path, { readOnly: true });
    // A preallocated file keeps its blocks: giving them back would make a later write fail with NO_SPACE.
    this.#discards = config.discard && !config.preallocate;
    this.#strategy = new IoStrategy(config.mode, world.clock, MAX_SYNC_BYTES);
  }

  allocate(sizeBytes: number, content?: MemoryContent): Uint8Array {
    return this.#pool.allocate(sizeBytes, content);
  }

  release(buffer: Uint8Array): void {
    this.#pool.release(buffer);
  }

  async read(offset: number, buffer: Uint8Array): Promise<void> {
    this.#check("read", offset, buffer.length);
    const mayBlock = this.#directReads && this.#mayBlock(buffer.length);
    this.#inFlight += 1;
    try {
      const count = mayBlock ? this.#readBlocking(offset, buffer) : await this.#readFile.read(buffer, offset);
      if (count !== buffer.length) throw this.#error("IO", "read", `the file ends at byte ${offset + count}. Check it`);
    } catch (error) {
      this.#readErrors += 1;
      throw error;
    } finally {
      this.#inFlight -= 1;
    }
  }

  async write(offset: number, buffer: Uint8Array, options: { durable: boolean }): Promise<void> {
    this.#check("write", offset, buffer.length);
    const file = options.durable ? this.#durableFile : this.#writeFile;
    const mayBlock = this.#mayBlock(buffer.length);
    this.#inFlight += 1;
    try {
      if (mayBlock) this.#writeBlocking(file, offset, buffer);
      else await file.write(buffer, offset);
    } catch (error) {
      // A full file system is no fault of the device.
      if (!hasCode(error, "NO_SPACE")) this.#writeErrors += 1;
      throw error;
    } finally {
      this.#inFlight -= 1;
    }
  }

  async flush(): Promise<void> {
    this.#checkOpen("flush");
    this.#inFlight += 1;
    try {
      await this.#writeFile.sync();
    } catch (error) {
      this.#flushErrors += 1;
      throw error;
    } finally {
      this.#inFlight -= 1;
    }
  }

  async discard(offset: number, length: number): Promise<void> {
    this.#check("discard", offset, length);
    if (this.#discards && !this.#writeFile.punchHole(offset, length)) this.#discardErrors += 1;
  }

  health(): DeviceHealth {
    const faulty = this.#writeErrors + this.#flushErrors > 0 || this.#readErrors >= FAULTY_READ_ERRORS;
    return {
      state: faulty ? "faulty" : "normal",
      readErrors: this.#readErrors,
      writeErrors: this.#writeErrors,
      flushErrors: this.#flushErrors,
      discardErrors: this.#discardErrors,
    };
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    if (this.#inFlight > 0)
      throw this.#error("BUSY", "close", `${this.#inFlight} operations are in flight. Await them`);
    this.#closed = true;
    this.#durableFile.close();
    if (this.#readFile !== this.#writeFile) this.#readFile.close();
    this.#writeFile.close();
  }

  /** Blocking is for an operation that is alone: in company the thread pool has more in flight. */
  #mayBlock(sizeBytes: number): boolean {
    if (this.#inFlight > 0 || this.#blockedThisTurn || !this.#strategy.blocks(sizeBytes)) return false;
    this.#blockedThisTurn = true;
    this.#timers.soon(this.#endTurn);
    return true;
  }

  #readBlocking(offset: number, buffer: Uint8Array): number {
    const startNs = this.#strategy.start();
    const count = this.#readFile.readSync(buffer, offset);
    this.#strategy.finished(startNs);
    return count;
  }

  #writeBlocking(file: DiskFile, offset: number, buffer: Uint8Array): void {
    const startNs = this.#strategy.start();
    file.writeSync(buffer, offset);
    this.#strategy.finished(startNs);
  }

  #check(action: string, offset: number, length: number): void {
    this.#checkOpen(action);
    const aligned = Number.isSafeInteger(offset) && offset % BLOCK_BYTES === 0 && length % BLOCK_BYTES === 0;
    if (aligned && offset >= 0 && length > 0 && offset + length <= this.sizeBytes) return;
    const state = `offset ${offset} and length ${length} are not ${BLOCK_BYTES} byte blocks of its ${this.sizeBytes} bytes`;
    throw this.#error("INVALID_ARGUMENT", action, state);
  }

  #checkOpen(action: string): void {
    if (this.#closed) throw this.#error("UNAVAILABLE", action, "the device is closed");
  }

  #error(code: "IO" | "BUSY" | "INVALID_ARGUMENT" | "UNAVAILABLE", action: string, state: string): DaosError {
    return new DaosError(code, `Cannot ${action} "${this.#writeFile.path}": ${state}.`);
  }
}
