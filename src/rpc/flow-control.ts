/**
 * What one connection holds of its listener's memory, and whether it may hold more: bytes of the frame being collected,
 * requests in flight with what they hold, replies queued. Over a limit a connection is not read from; it is again when
 * half of that is gone.
 *
 * When the listener as a whole holds much, connections that hold a good part of it wait too, whatever their own limits.
 */
import { KIB } from "../base/limits.ts";
import type { ListenerState } from "./listener-state.ts";

/** A connection that holds no more than this goes on however much the listener holds. */
export const SMALL_HOLDING_BYTES = 64 * KIB;

export class FlowControl {
  inflightRequests = 0;
  inflightBytes = 0;
  #collectingBytes = 0;
  #queuedBytes = 0;
  readonly #state: ListenerState;

  constructor(state: ListenerState) {
    this.#state = state;
  }

  /** A request begins. */
  begin(bytes: number): void {
    this.inflightRequests += 1;
    this.hold(bytes);
  }

  /** A request that runs holds more. */
  hold(bytes: number): void {
    this.inflightBytes += bytes;
    this.#state.heldBytes += bytes;
  }

  /** A request is replied to. */
  end(bytes: number): void {
    this.inflightRequests -= 1;
    this.hold(-bytes);
  }

  /** Whether a body of this size may be collected now; `endCollecting` follows when it may. */
  collect(bytes: number): boolean {
    if (this.#state.heldBytes + bytes > this.#state.limits.heldBytes) return false;
    this.#collectingBytes = bytes;
    this.#state.heldBytes += bytes;
    return true;
  }

  endCollecting(): void {
    this.#state.heldBytes -= this.#collectingBytes;
    this.#collectingBytes = 0;
  }

  /** So much is queued for the peer now. */
  queued(bytes: number): void {
    this.#state.heldBytes += bytes - this.#queuedBytes;
    this.#queuedBytes = bytes;
  }

  /** Over a limit, with `queuedBytes` of replies. */
  isOver(queuedBytes: number): boolean {
    const { limits } = this.#state;
    return (
      this.inflightRequests >= limits.connectionInflightRequests ||
      this.inflightBytes > limits.connectionInflightBytes ||
      queuedBytes > limits.connectionQueuedReplyBytes ||
      this.isPressed(queuedBytes)
    );
  }

  /** At most half of each limit. */
  isLow(queuedBytes: number): boolean {
    const { limits } = this.#state;
    return (
      this.inflightRequests <= limits.connectionInflightRequests / 2 &&
      this.inflightBytes <= limits.connectionInflightBytes / 2 &&
      queuedBytes <= limits.connectionQueuedReplyBytes / 2 &&
      !this.isPressed(queuedBytes)
    );
  }

  /** The listener holds much, and a good part of it for this connection. */
  isPressed(queuedBytes: number): boolean {
    return this.#state.isPressed && this.inflightBytes + queuedBytes > SMALL_HOLDING_BYTES;
  }

  /** The connection is gone, and with it all it held. */
  close(): void {
    this.endCollecting();
    this.queued(0);
    this.hold(-this.inflightBytes);
  }
}
