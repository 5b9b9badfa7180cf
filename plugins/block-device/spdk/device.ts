/**
 * A range of a vhost-user block device as a BlockDevice. Buffers that `allocate` gave are used where they are; any other
 * is copied once through the shared memory. A write is durable after a flush that began when it had completed; a device
 * without a flush is only taken where the configuration vouches for it. Failed flushes are never forgotten.
 *
 * Connecting, polling and reconnecting are the connection's; who runs the back-end is told when the device closes.
 */
import { DaosError, type ErrorCode } from "../../../src/base/errors.ts";
import { GIB, MIB } from "../../../src/base/limits.ts";
import type { BlockDevice, DeviceHealth } from "../../../src/contracts/block-device.ts";
import type { BlockRequest } from "./block-request.ts";
import type { Connection } from "./connection.ts";
import { Discard } from "./discard.ts";
import { Fifo } from "./fifo.ts";
import { FlushGroup, type FlushWaiter } from "./flush-group.ts";
import type { IoMemory } from "./io-memory.ts";
import { Piece, Transfer, type TransferHost } from "./transfer.ts";

/** Most bytes of one request: larger transfers are cut, so that small ones get between. */
export const MAX_REQUEST_BYTES = 1 * MIB;
const MAX_DISCARD_BYTES = 1 * GIB;
const SECTOR_BYTES = 512;
const STATUS_UNSUPPORTED = 2;
/** A device with this many failed reads is called faulty; one failed write or flush suffices. */
const FAULTY_READ_ERRORS = 8;

export interface VhostUserDeviceOptions {
  readonly connection: Connection;
  /** What the connection shares, divided. */
  readonly memory: IoMemory;
  /** What messages call it. */
  readonly name: string;
  /** Where on the device the range begins, whole blocks. */
  readonly startByte: number;
  readonly sizeBytes: number;
  readonly discard: boolean;
  /** Whoever runs the back-end says whether the device behind it was taken away. */
  isRemoved(): boolean;
  /** A request failed: time to look whether the device is there. */
  doubt(): void;
  /** The connection is closed: take the back-end down. */
  closed(): Promise<void>;
}

export class VhostUserDevice implements BlockDevice, TransferHost {
  readonly sizeBytes: number;
  readonly blockBytes: number;
  readonly #options: VhostUserDeviceOptions;
  readonly #connection: Connection;
  readonly #memory: IoMemory;
  readonly #maxRequestBytes: number;
  readonly #maxBouncedBytes: number;
  readonly #flushes: FlushGroup;
  /** Pieces that wait for bounce memory, oldest first. */
  readonly #starved = new Fifo<Piece>();
  #inFlight = 0;
  #readErrors = 0;
  #writeErrors = 0;
  #discardErrors = 0;
  #shrunk = false;
  #closed = false;

  constructor(options: VhostUserDeviceOptions) {
    const { connection } = options;
    const { description } = connection;
    this.#options = options;
    this.#connection = connection;
    this.sizeBytes = options.sizeBytes;
    this.blockBytes = description.blockBytes;
    this.#memory = options.memory;
    const largest = Math.min(description.segmentBytes * description.maxSegments, MAX_REQUEST_BYTES);
    this.#maxRequestBytes = wholeBlocks(largest, description.blockBytes);
    this.#maxBouncedBytes = wholeBlocks(Math.min(largest, this.#memory.maxBounceBytes), description.blockBytes);
    this.#flushes = new FlushGroup(
      (request) => connection.submit(request),
      (status) => this.#error("IO", "flush", statusText(status)),
    );
  }

  allocate(sizeBytes: number): Uint8Array {
    return this.#memory.allocate(sizeBytes);
  }

  release(buffer: Uint8Array): void {
    this.#memory.release(buffer);
  }

  read(offset: number, buffer: Uint8Array): Promise<void> {
    const problem = this.#problem("read", offset, buffer.length);
    if (problem !== undefined) return Promise.reject(problem);
    return this.#transfer(false, false, offset, buffer);
  }

  write(offset: number, buffer: Uint8Array, options: { durable: boolean }): Promise<void> {
    const problem = this.#problem("write", offset, buffer.length) ?? this.#readOnlyProblem();
    if (problem !== undefined) return Promise.reject(problem);
    return this.#transfer(true, options.durable && this.#connection.description.flush, offset, buffer);
  }

  flush(): Promise<void> {
    const problem = this.#closedProblem("flush");
    if (problem !== undefined) return Promise.reject(problem);
    if (!this.#connection.description.flush) return Promise.resolve();
    this.#inFlight += 1;
    return new Promise((resolve, reject) => {
      const end = (settle: () => void): void => {
        this.#inFlight -= 1;
        settle();
      };
      this.#flushes.join({ flushed: () => end(resolve), flushFailed: (error) => end(() => reject(error)) });
    });
  }

  discard(offset: number, length: number): Promise<void> {
    const problem = this.#problem("discard", offset, length);
    if (problem !== undefined) return Promise.reject(problem);
    const { description } = this.#connection;
    const maxBytes = wholeBlocks(
      Math.min(description.maxDiscardSectors * SECTOR_BYTES, MAX_DISCARD_BYTES),
      this.blockBytes,
    );
    if (!this.#options.discard || maxBytes === 0 || description.readOnly) return Promise.resolve();
    this.#inFlight += 1;
    return new Promise((resolve) => {
      const end = (): void => {
        this.#inFlight -= 1;
        resolve();
      };
      const discard = new Discard(end, () => (this.#discardErrors += 1));
      const submit = (request: BlockRequest): void => this.#connection.submit(request);
      discard.start(submit, this.#options.startByte + offset, length, maxBytes);
    });
  }

  health(): DeviceHealth {
    const flushErrors = this.#flushes.failures;
    const { state, backSinceNs } = this.#connection;
    const gone = state === "lost" || this.#options.isRemoved();
    const faulty =
      state === "failed" ||
      this.#shrunk ||
      this.#writeErrors + flushErrors > 0 ||
      this.#readErrors >= FAULTY_READ_ERRORS;
    return {
      state: gone ? "unplugged" : faulty ? "faulty" : "normal",
      readErrors: this.#readErrors,
      writeErrors: this.#writeErrors,
      flushErrors,
      discardErrors: this.#discardErrors,
      ...(backSinceNs !== undefined && { backSinceNs }),
    };
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    if (this.#inFlight > 0)
      throw this.#error("BUSY", "close", `${this.#inFlight} operations are in flight. Await them`);
    this.#closed = true;
    await this.#connection.close();
    await this.#options.closed();
  }

  /** The device behind the back-end has another size now; its beginning is what it was. */
  resized(capacityBytes: number): void {
    this.#shrunk = capacityBytes < this.#options.startByte + this.sizeBytes;
  }

  #transfer(isWrite: boolean, durable: boolean, offset: number, buffer: Uint8Array): Promise<void> {
    // The executor is one for all and leaves its arguments here: no closure for each transfer.
    const promise = new Promise<void>(takeSettlers);
    const transfer = new Transfer(this, isWrite, durable, buffer, takenResolve, takenReject);
    this.#inFlight += 1;
    const { length } = buffer;
    const deviceByte = this.#options.startByte + offset;
    const place = this.#memory.placeOf(buffer);
    const most = place < 0 ? this.#maxBouncedBytes : this.#maxRequestBytes;
    transfer.remaining = Math.ceil(length / most);
    for (let done = 0; done < length; done += most) {
      const size = Math.min(most, length - done);
      new Piece(transfer, deviceByte + done, place < 0 ? -1 : place + done, done, size).start();
    }
    return promise;
  }

  submit(request: BlockRequest): void {
    this.#connection.submit(request);
  }

  bounce(piece: Piece): number {
    // None overtakes one that waits: a large one would wait for ever.
    const place = this.#starved.length > 0 ? -1 : this.#memory.allocateBounce(piece.length);
    if (place < 0) this.#starved.push(piece);
    return place;
  }

  releaseBounce(place: number): void {
    this.#memory.releaseBounce(place);
    for (let piece = this.#starved.peek(); piece !== undefined; piece = this.#starved.peek()) {
      const next = this.#memory.allocateBounce(piece.length);
      if (next < 0) return;
      this.#starved.shift();
      piece.startBounced(next);
    }
  }

  copyIn(place: number, from: Uint8Array, start: number, length: number): void {
    this.#memory.copyIn(place, from, start, length);
  }

  copyOut(place: number, into: Uint8Array, start: number, length: number): void {
    this.#memory.copyOut(place, into, start, length);
  }

  statusError(transfer: Transfer, status: number): DaosError {
    this.#options.doubt();
    this.#connection.refresh();
    return this.#error("IO", transfer.isWrite ? "write" : "read", statusText(status));
  }

  makeDurable(waiter: FlushWaiter): void {
    this.#flushes.join(waiter);
  }

  ended(transfer: Transfer, error: DaosError | undefined): void {
    this.#inFlight -= 1;
    if (error === undefined) return;
    if (transfer.isWrite) this.#writeErrors += 1;
    else this.#readErrors += 1;
  }

  #problem(action: string, offset: number, length: number): DaosError | undefined {
    if (this.#closed) return this.#closedProblem(action);
    const block = this.blockBytes;
    const aligned = Number.isSafeInteger(offset) && offset % block === 0 && length % block === 0;
    if (aligned && offset >= 0 && length > 0 && offset + length <= this.sizeBytes) {
      return this.#shrunk ? this.#shrunkProblem(action, offset + length) : undefined;
    }
    const state = `offset ${offset} and length ${length} are not ${block} byte blocks of its ${this.sizeBytes} bytes`;
    return this.#error("INVALID_ARGUMENT", action, state);
  }

  #closedProblem(action: string): DaosError | undefined {
    return this.#closed ? this.#error("UNAVAILABLE", action, "the device is closed") : undefined;
  }

  #readOnlyProblem(): DaosError | undefined {
    if (!this.#connection.description.readOnly) return undefined;
    return this.#error("READ_ONLY", "write", "the back-end serves it read-only. Make it writable there");
  }

  #shrunkProblem(action: string, endByte: number): DaosError | undefined {
    const capacityBytes = this.#connection.description.capacityBytes;
    if (this.#options.startByte + endByte <= capacityBytes) return undefined;
    return this.#error("IO", action, `the device has shrunk to ${capacityBytes} bytes. Restore its size`);
  }

  #error(code: ErrorCode, action: string, state: string): DaosError {
    return new DaosError(code, `Cannot ${action} "${this.#options.name}": ${state}.`);
  }
}

let takenResolve: () => void;
let takenReject: (error: DaosError) => void;
function takeSettlers(resolve: () => void, reject: (error: DaosError) => void): void {
  takenResolve = resolve;
  takenReject = reject;
}

function wholeBlocks(bytes: number, blockBytes: number): number {
  return Math.floor(bytes / blockBytes) * blockBytes;
}

function statusText(status: number): string {
  if (status === STATUS_UNSUPPORTED) return "the back-end does not support it";
  return `the back-end reports an I/O error (status ${status}). Check its log and the device`;
}
