/**
 * One read or write of the device: cut into requests that the back-end takes, bounced where its buffer is not in the shared
 * memory, followed by a flush where it must be durable. Its promise settles once, when the last of its requests has ended:
 * only then does the buffer belong to its owner again.
 */
import { BlockRequestType } from "../../../native/vhost-user/addon.ts";
import type { DaosError } from "../../../src/base/errors.ts";
import type { BlockRequest } from "./block-request.ts";
import type { FlushWaiter } from "./flush-group.ts";

/** What a transfer needs of its device. */
export interface TransferHost {
  submit(request: BlockRequest): void;
  /** Room in the bounce memory; -1 when there is none now: `piece.startBounced` is called when there is. */
  bounce(piece: Piece): number;
  releaseBounce(place: number): void;
  copyIn(place: number, from: Uint8Array, start: number, length: number): void;
  copyOut(place: number, into: Uint8Array, start: number, length: number): void;
  statusError(transfer: Transfer, status: number): DaosError;
  /** The data is on the device; makes it durable. */
  makeDurable(waiter: FlushWaiter): void;
  /** The transfer has ended. */
  ended(transfer: Transfer, error: DaosError | undefined): void;
}

export class Transfer implements FlushWaiter {
  readonly host: TransferHost;
  readonly isWrite: boolean;
  readonly durable: boolean;
  readonly buffer: Uint8Array;
  remaining = 0;
  error: DaosError | undefined;
  readonly #resolve: () => void;
  readonly #reject: (error: DaosError) => void;

  constructor(
    host: TransferHost,
    isWrite: boolean,
    durable: boolean,
    buffer: Uint8Array,
    resolve: () => void,
    reject: (error: DaosError) => void,
  ) {
    this.host = host;
    this.isWrite = isWrite;
    this.durable = durable;
    this.buffer = buffer;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  pieceEnded(): void {
    this.remaining -= 1;
    if (this.remaining > 0) return;
    if (this.error !== undefined) this.#fail(this.error);
    else if (this.durable) this.host.makeDurable(this);
    else this.flushed();
  }

  flushed(): void {
    this.host.ended(this, undefined);
    this.#resolve();
  }

  flushFailed(error: DaosError): void {
    this.#fail(error);
  }

  #fail(error: DaosError): void {
    this.host.ended(this, error);
    this.#reject(error);
  }
}

/** One request of a transfer. */
export class Piece implements BlockRequest {
  readonly type: number;
  readonly deviceByte: number;
  readonly length: number;
  place: number;
  readonly #transfer: Transfer;
  /** Where in the transfer's buffer it begins. */
  readonly #start: number;
  #bounced = false;

  /** `place` -1: the buffer must be bounced. */
  constructor(transfer: Transfer, deviceByte: number, place: number, start: number, length: number) {
    this.type = transfer.isWrite ? BlockRequestType.write : BlockRequestType.read;
    this.deviceByte = deviceByte;
    this.length = length;
    this.place = place;
    this.#transfer = transfer;
    this.#start = start;
  }

  /** Submits it; when it must be bounced and there is no room now, the host calls `startBounced` later. */
  start(): void {
    if (this.place >= 0) {
      this.#transfer.host.submit(this);
      return;
    }
    const place = this.#transfer.host.bounce(this);
    if (place >= 0) this.startBounced(place);
  }

  /** Submits it with room of its own at `place`. */
  startBounced(place: number): void {
    const { host, isWrite, buffer } = this.#transfer;
    this.place = place;
    this.#bounced = true;
    if (isWrite) host.copyIn(place, buffer, this.#start, this.length);
    host.submit(this);
  }

  completed(status: number): void {
    const transfer = this.#transfer;
    if (status !== 0) transfer.error ??= transfer.host.statusError(transfer, status);
    else if (this.#bounced && !transfer.isWrite) {
      transfer.host.copyOut(this.place, transfer.buffer, this.#start, this.length);
    }
    this.#end();
  }

  failed(error: DaosError): void {
    this.#transfer.error ??= error;
    this.#end();
  }

  #end(): void {
    // The transfer first: with the last of the bounce memory given back, others start and may come back here.
    this.#transfer.pieceEnded();
    if (this.#bounced) this.#transfer.host.releaseBounce(this.place);
  }
}
