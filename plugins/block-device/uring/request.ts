/**
 * One operation of a caller on its way through the ring. It may take several requests to the kernel: a short transfer is
 * followed by one for the rest, a large operation goes in steps. Objects of this class are used again and again.
 */
import type { RingOperation } from "./ring.ts";

const NO_BYTES = new Uint8Array(0);
const nothing = (): void => undefined;

export class Request {
  /** The action in the words of error messages. */
  action: "read" | "write" | "flush" | "discard" = "read";
  operation: RingOperation = 1;
  offset = 0;
  length = 0;
  /** The caller's memory: kept reachable, so that it stays where it is. Empty for flush and discard. */
  buffer: Uint8Array = NO_BYTES;
  /** Address of the caller's memory; region -1 for memory that is not the ring's. */
  address = 0;
  region = -1;
  /** The memory is not aligned for the device: transfers go through `bounce`. */
  isBounced = false;
  bounce: Uint8Array | undefined;
  /** Bytes transferred by earlier steps, and those that the step in flight asks for. */
  doneBytes = 0;
  stepBytes = 0;
  /** Steps in a row that the kernel wanted to be asked again. */
  retries = 0;
  startNs = 0;
  resolve: () => void = nothing;
  reject: (error: unknown) => void = nothing;
  /** The next in the queue. */
  next: Request | undefined;

  /** Lets go of what belongs to the caller. */
  clear(): void {
    this.buffer = NO_BYTES;
    this.resolve = nothing;
    this.reject = nothing;
    this.doneBytes = 0;
    this.retries = 0;
    this.next = undefined;
  }
}

/** First in, first out, without memory of its own. */
export class RequestQueue {
  #first: Request | undefined;
  #last: Request | undefined;

  push(request: Request): void {
    if (this.#last === undefined) this.#first = request;
    else this.#last.next = request;
    this.#last = request;
  }

  shift(): Request | undefined {
    const request = this.#first;
    if (request === undefined) return undefined;
    this.#first = request.next;
    if (this.#first === undefined) this.#last = undefined;
    request.next = undefined;
    return request;
  }
}
