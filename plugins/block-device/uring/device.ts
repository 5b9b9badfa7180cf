/**
 * The device of block-device `uring`: operations become requests on a ring, as many at a time as the ring takes; what is
 * over waits its turn. Memory of `allocate` and aligned memory of others is worked on in place, other memory through a
 * bounce buffer. Transfers that come back short are continued; a failed flush is never forgotten.
 *
 * When the ring is turned is the reaper's business, what its error numbers mean is errno.ts.
 */
import { DaosError, hasCode } from "../../../src/base/errors.ts";
import { GIB, MIB } from "../../../src/base/limits.ts";
import type { BlockDevice, DeviceHealth, MemoryContent } from "../../../src/contracts/block-device.ts";
import type { Clock, World } from "../../../src/contracts/world.ts";
import { Errno, errnoError, meansGone } from "./errno.ts";
import { LatencyHistogram } from "./latency-histogram.ts";
import { Reaper } from "./reaper.ts";
import { Request, RequestQueue } from "./request.ts";
import { type Ring, type RingFile, RingOperation } from "./ring.ts";
import { SlabPool } from "./slab-pool.ts";

/** Most bytes of one request to the kernel. */
const MAX_STEP_BYTES = 1 * GIB;
/** Most bytes of one bounce buffer: larger transfers go in steps. */
const MAX_BOUNCE_BYTES = 1 * MIB;
/** Times in a row that the kernel may ask to be asked again (EAGAIN, EINTR). */
const MAX_RETRIES = 64;
/** A device with this many failed reads is called faulty; one failed write or flush suffices. */
const FAULTY_READ_ERRORS = 8;

export class UringBlockDevice implements BlockDevice {
  readonly sizeBytes: number;
  readonly blockBytes: number;
  readonly #path: string;
  readonly #alignmentBytes: number;
  readonly #clock: Clock;
  readonly #ring: Ring;
  readonly #reaper: Reaper;
  readonly #pool: SlabPool;
  /** Requests at the kernel, by id; ids that are free. */
  readonly #running: (Request | undefined)[];
  readonly #freeIds: number[];
  readonly #waiting = new RequestQueue();
  readonly #spare: Request[] = [];
  readonly #readLatency = new LatencyHistogram();
  readonly #writeLatency = new LatencyHistogram();
  /** What discards are made of; undefined when there are none. */
  #discardOperation: RingOperation | undefined;
  /** Operations of callers that have not settled. */
  #unsettled = 0;
  #readErrors = 0;
  #writeErrors = 0;
  #flushErrors = 0;
  #discardErrors = 0;
  #flushFailure: DaosError | undefined;
  #isGone = false;
  #isClosed = false;
  /** Takes a new promise's ends: an executor that is made once. */
  #resolve: () => void = () => undefined;
  #reject: (error: unknown) => void = () => undefined;
  readonly #capture = (resolve: () => void, reject: (error: unknown) => void): void => {
    this.#resolve = resolve;
    this.#reject = reject;
  };

  /** Takes over the open file. `discards`: freed ranges go back to the file system or device. */
  constructor(world: World, path: string, file: RingFile, sizeBytes: number, discards: boolean) {
    this.sizeBytes = sizeBytes;
    this.blockBytes = file.blockBytes;
    this.#path = path;
    this.#alignmentBytes = file.memoryAlignmentBytes;
    this.#clock = world.clock;
    this.#ring = file.open(() => this.#reaper.woken());
    const settle = (id: number, result: number, nowNs: number): void => this.#completed(id, result, nowNs);
    this.#reaper = new Reaper(this.#ring, world.clock, world.timers, settle);
    this.#pool = new SlabPool(this.#ring);
    this.#running = new Array<Request | undefined>(this.#ring.depth).fill(undefined);
    this.#freeIds = Array.from({ length: this.#ring.depth }, (_, id) => id);
    const discardOperation = file.isBlockDevice ? RingOperation.discard : RingOperation.punchHole;
    this.#discardOperation = discards ? discardOperation : undefined;
  }

  allocate(sizeBytes: number, content?: MemoryContent): Uint8Array {
    this.#checkOpen("allocate memory for");
    return this.#pool.allocate(sizeBytes, content);
  }

  release(buffer: Uint8Array): void {
    this.#pool.release(buffer);
  }

  read(offset: number, buffer: Uint8Array): Promise<void> {
    return this.#transfer("read", RingOperation.read, offset, buffer);
  }

  write(offset: number, buffer: Uint8Array, options: { durable: boolean }): Promise<void> {
    const operation = options.durable ? RingOperation.durableWrite : RingOperation.write;
    return this.#transfer("write", operation, offset, buffer);
  }

  flush(): Promise<void> {
    try {
      this.#checkOpen("flush");
    } catch (error) {
      return Promise.reject(error);
    }
    if (this.#flushFailure !== undefined) {
      this.#flushErrors += 1;
      return Promise.reject(this.#flushFailure);
    }
    return this.#start("flush", RingOperation.flush, 0, 0);
  }

  discard(offset: number, length: number): Promise<void> {
    try {
      this.#check("discard", offset, length);
    } catch (error) {
      return Promise.reject(error);
    }
    if (this.#discardOperation === undefined) return Promise.resolve();
    return this.#start("discard", this.#discardOperation, offset, length);
  }

  health(): DeviceHealth {
    const isFaulty = this.#writeErrors + this.#flushErrors > 0 || this.#readErrors >= FAULTY_READ_ERRORS;
    const readLatency = this.#readLatency.summary();
    const writeLatency = this.#writeLatency.summary();
    return {
      state: this.#isGone ? "unplugged" : isFaulty ? "faulty" : "normal",
      readErrors: this.#readErrors,
      writeErrors: this.#writeErrors,
      flushErrors: this.#flushErrors,
      discardErrors: this.#discardErrors,
      ...(readLatency === undefined ? {} : { readLatency }),
      ...(writeLatency === undefined ? {} : { writeLatency }),
    };
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    if (this.#unsettled > 0) {
      throw this.#error("BUSY", "close", `${this.#unsettled} operations are in flight. Await them`);
    }
    this.#isClosed = true;
    this.#ring.close();
  }

  #transfer(action: "read" | "write", operation: RingOperation, offset: number, buffer: Uint8Array): Promise<void> {
    try {
      this.#check(action, offset, buffer.length);
    } catch (error) {
      return Promise.reject(error);
    }
    const request = this.#takeRequest();
    const memory = this.#pool.memoryOf(buffer);
    request.buffer = buffer;
    request.region = memory === undefined ? -1 : memory.region;
    request.address = memory === undefined ? this.#ring.addressOf(buffer) : memory.address + buffer.byteOffset;
    request.isBounced = request.address % this.#alignmentBytes !== 0;
    return this.#begin(request, action, operation, offset, buffer.length);
  }

  #start(action: "flush" | "discard", operation: RingOperation, offset: number, length: number): Promise<void> {
    const request = this.#takeRequest();
    request.address = 0;
    request.region = -1;
    request.isBounced = false;
    return this.#begin(request, action, operation, offset, length);
  }

  #begin(
    request: Request,
    action: Request["action"],
    operation: RingOperation,
    offset: number,
    length: number,
  ): Promise<void> {
    request.action = action;
    request.operation = operation;
    request.offset = offset;
    request.length = length;
    request.startNs = this.#clock.monotonicNs();
    const promise = new Promise<void>(this.#capture);
    request.resolve = this.#resolve;
    request.reject = this.#reject;
    this.#unsettled += 1;
    this.#submit(request);
    return promise;
  }

  /** Sends the next step of a request, or lets it wait for a free place in the ring. */
  #submit(request: Request): void {
    const id = this.#freeIds.pop();
    if (id === undefined) {
      this.#waiting.push(request);
      return;
    }
    try {
      this.#prepareStep(request);
    } catch (error) {
      this.#freeIds.push(id);
      this.#settle(request, error);
      return;
    }
    this.#running[id] = request;
    const { bounce } = request;
    const offset = request.offset + request.doneBytes;
    if (bounce === undefined) {
      const address = request.address === 0 ? 0 : request.address + request.doneBytes;
      this.#ring.push(request.operation, id, offset, request.stepBytes, address, request.region);
    } else {
      const memory = this.#pool.memoryOf(bounce)!;
      const address = memory.address + bounce.byteOffset;
      this.#ring.push(request.operation, id, offset, request.stepBytes, address, memory.region);
    }
    this.#reaper.inFlight += 1;
    this.#reaper.kick();
  }

  #prepareStep(request: Request): void {
    const mostBytes = request.isBounced ? MAX_BOUNCE_BYTES : MAX_STEP_BYTES;
    request.stepBytes = Math.min(request.length - request.doneBytes, mostBytes);
    if (!request.isBounced) return;
    request.bounce = this.#pool.allocate(request.stepBytes);
    if (request.action !== "write") return;
    request.bounce.set(request.buffer.subarray(request.doneBytes, request.doneBytes + request.stepBytes));
  }

  #completed(id: number, result: number, nowNs: number): void {
    const request = this.#running[id]!;
    this.#running[id] = undefined;
    this.#freeIds.push(id);
    if (request.bounce !== undefined) this.#unbounce(request, result);
    if (result < 0) this.#stepFailed(request, -result);
    else if (request.action === "read" || request.action === "write") this.#stepTransferred(request, result, nowNs);
    else this.#stepDone(request, request.stepBytes, nowNs);
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) this.#submit(waiting);
  }

  #unbounce(request: Request, result: number): void {
    const bounce = request.bounce!;
    if (request.action === "read" && result > 0) {
      request.buffer.set(bounce.subarray(0, Math.min(result, request.stepBytes)), request.doneBytes);
    }
    request.bounce = undefined;
    this.#pool.release(bounce);
  }

  #stepTransferred(request: Request, result: number, nowNs: number): void {
    // What lies beyond the last whole block is transferred again: direct I/O begins at blocks.
    const transferredBytes = result - (result % this.blockBytes);
    if (transferredBytes > 0 && transferredBytes <= request.stepBytes) {
      this.#stepDone(request, transferredBytes, nowNs);
      return;
    }
    const end = request.offset + request.doneBytes + result;
    this.#fail(request, this.#error("IO", request.action, `it ends at byte ${end}. Restore the size it was made with`));
  }

  #stepDone(request: Request, bytes: number, nowNs: number): void {
    request.doneBytes += bytes;
    request.retries = 0;
    if (request.doneBytes < request.length) {
      this.#submit(request);
      return;
    }
    if (request.action === "read") this.#readLatency.record((nowNs - request.startNs) / 1000);
    else if (request.action === "write") this.#writeLatency.record((nowNs - request.startNs) / 1000);
    this.#settle(request, undefined);
  }

  #stepFailed(request: Request, errno: number): void {
    if ((errno === Errno.EAGAIN || errno === Errno.EINTR) && request.retries < MAX_RETRIES) {
      request.retries += 1;
      this.#submit(request);
      return;
    }
    if (request.action === "discard") {
      this.#discardFailed(request, errno);
      return;
    }
    this.#isGone ||= meansGone(errno);
    this.#fail(request, errnoError(request.action, this.#path, errno));
  }

  /** A discard is advice: what the device cannot do is left, what fails is counted. */
  #discardFailed(request: Request, errno: number): void {
    const isUnknown =
      errno === Errno.EOPNOTSUPP || errno === Errno.EINVAL || errno === Errno.ENOTTY || errno === Errno.ENOSYS;
    if (isUnknown && request.operation === RingOperation.discard) {
      // Kernels before 6.12 have no discard on a ring; a hole in a device is one that also reads as zeros.
      if (this.#discardOperation === RingOperation.discard) this.#discardOperation = RingOperation.punchHole;
      request.operation = RingOperation.punchHole;
      this.#submit(request);
      return;
    }
    if (isUnknown) this.#discardOperation = undefined;
    else this.#discardErrors += 1;
    this.#settle(request, undefined);
  }

  #fail(request: Request, error: DaosError): void {
    if (request.action === "read") this.#readErrors += 1;
    // A full file system is no fault of the device.
    if (request.action === "write" && !hasCode(error, "NO_SPACE")) this.#writeErrors += 1;
    if (request.action === "flush") {
      this.#flushErrors += 1;
      this.#flushFailure = error;
    }
    this.#settle(request, error);
  }

  /** The end of an operation. `error` undefined: it succeeded. */
  #settle(request: Request, error: unknown): void {
    this.#unsettled -= 1;
    const { resolve, reject } = request;
    request.clear();
    this.#spare.push(request);
    if (error === undefined) resolve();
    else reject(error);
  }

  #takeRequest(): Request {
    return this.#spare.pop() ?? new Request();
  }

  #check(action: string, offset: number, length: number): void {
    this.#checkOpen(action);
    const block = this.blockBytes;
    const isAligned = Number.isSafeInteger(offset) && offset % block === 0 && length % block === 0;
    if (isAligned && offset >= 0 && length > 0 && offset + length <= this.sizeBytes) return;
    const state = `offset ${offset} and length ${length} are not ${block} byte blocks of its ${this.sizeBytes} bytes`;
    throw this.#error("INVALID_ARGUMENT", action, `${state}. Align them`);
  }

  #checkOpen(action: string): void {
    if (this.#isClosed) throw this.#error("UNAVAILABLE", action, "the device is closed. Open it");
  }

  #error(code: "IO" | "BUSY" | "INVALID_ARGUMENT" | "UNAVAILABLE", action: string, state: string): DaosError {
    return new DaosError(code, `Cannot ${action} "${this.#path}": ${state}.`);
  }
}
