/**
 * Flushes of one device, shared: all who ask while one is running wait for the next, which covers whatever completed
 * before it was sent. A flush that failed is never forgotten: nobody knows what the device's cache has lost.
 */
import { BlockRequestType } from "../../../native/vhost-user/addon.ts";
import type { DaosError } from "../../../src/base/errors.ts";
import type { BlockRequest } from "./block-request.ts";

export interface FlushWaiter {
  flushed(): void;
  flushFailed(error: DaosError): void;
}

export class FlushGroup implements BlockRequest {
  readonly type = BlockRequestType.flush;
  readonly deviceByte = 0;
  readonly place = 0;
  readonly length = 0;
  readonly #submit: (request: BlockRequest) => void;
  readonly #statusError: (status: number) => DaosError;
  #running: FlushWaiter[] = [];
  #waiting: FlushWaiter[] = [];
  #inFlight = false;
  #failure: DaosError | undefined;
  #failures = 0;

  /** `statusError` makes the error for a status of the back-end. */
  constructor(submit: (request: BlockRequest) => void, statusError: (status: number) => DaosError) {
    this.#submit = submit;
    this.#statusError = statusError;
  }

  /** Calls that ended in an error. */
  get failures(): number {
    return this.#failures;
  }

  join(waiter: FlushWaiter): void {
    if (this.#failure !== undefined) {
      this.#failures += 1;
      waiter.flushFailed(this.#failure);
      return;
    }
    this.#waiting.push(waiter);
    if (!this.#inFlight) this.#start();
  }

  #start(): void {
    const idle = this.#running;
    this.#running = this.#waiting;
    this.#waiting = idle;
    this.#inFlight = true;
    this.#submit(this);
  }

  completed(status: number): void {
    if (status !== 0) {
      this.failed(this.#statusError(status));
      return;
    }
    this.#inFlight = false;
    const done = this.#running;
    for (const waiter of done) waiter.flushed();
    done.length = 0;
    if (this.#waiting.length > 0) this.#start();
  }

  failed(error: DaosError): void {
    this.#failure = error;
    this.#inFlight = false;
    for (const waiters of [this.#running, this.#waiting]) {
      this.#failures += waiters.length;
      for (const waiter of waiters) waiter.flushFailed(error);
      waiters.length = 0;
    }
  }
}
