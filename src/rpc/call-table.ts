/**
 * The calls of one connection that wait for their answers, by request id. The id of a call that was given up stays taken
 * until its answer has come after all, so that no answer is ever taken for another request's.
 */
import type { PendingCall } from "./pending-call.ts";

const MAX_REQUEST_ID = 0xffff_ffff;

export class CallTable {
  readonly #calls = new Map<number, PendingCall>();
  readonly #abandoned = new Set<number>();
  readonly #maxRequestId: number;
  #lastRequestId = 0;

  /** Ids are given upwards from 1 to `maxRequestId` and then from 1 again; 0 is no id. */
  constructor(maxRequestId = MAX_REQUEST_ID) {
    this.#maxRequestId = maxRequestId;
  }

  get size(): number {
    return this.#calls.size;
  }

  /** Calls given up whose answers have not come. */
  get abandonedCount(): number {
    return this.#abandoned.size;
  }

  /** Gives the call its id. */
  add(call: PendingCall): number {
    let id = this.#lastRequestId;
    do id = id === this.#maxRequestId ? 1 : id + 1;
    while (this.#calls.has(id) || this.#abandoned.has(id));
    this.#lastRequestId = id;
    call.requestId = id;
    this.#calls.set(id, call);
    return id;
  }

  /** Takes out the call that a frame with this id and opcode answers. */
  take(requestId: number, opcode: number): PendingCall | undefined {
    const call = this.#calls.get(requestId);
    if (call === undefined || call.opcode !== opcode) return undefined;
    this.#calls.delete(requestId);
    return call;
  }

  /** Nobody waits for this call any more. */
  abandon(call: PendingCall): void {
    this.#calls.delete(call.requestId);
    this.#abandoned.add(call.requestId);
  }

  /** True, once, when the call of this id was given up. */
  takeAbandoned(requestId: number): boolean {
    return this.#abandoned.delete(requestId);
  }

  /** Those waiting now. */
  list(): PendingCall[] {
    return [...this.#calls.values()];
  }

  clear(): void {
    this.#calls.clear();
    this.#abandoned.clear();
  }
}
