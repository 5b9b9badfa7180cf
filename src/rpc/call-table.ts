/**
 * The calls of one connection that wait for their answers, by request id. The id of a call that was given up stays taken
 * until its answer has come after all, so that no answer is ever taken for another request's.
 *
 * Ids go up, so the calls lie in a ring: one is at its id modulo the ring's size, which doubles before it is half full.
 */
import type { PendingCall } from "./pending-call.ts";

const MAX_REQUEST_ID = 0xffff_ffff;
/** Power of two. */
const SMALLEST_RING = 64;

export class CallTable {
  #ring: (PendingCall | undefined)[] = emptyRing(SMALLEST_RING);
  readonly #abandoned = new Set<number>();
  readonly #maxRequestId: number;
  #lastRequestId = 0;
  #size = 0;

  /** Ids are given upwards from 1 to `maxRequestId` and then from 1 again; 0 is no id. */
  constructor(maxRequestId = MAX_REQUEST_ID) {
    this.#maxRequestId = maxRequestId;
  }

  get size(): number {
    return this.#size;
  }

  /** Calls given up whose answers have not come. */
  get abandonedCount(): number {
    return this.#abandoned.size;
  }

  /** Gives the call its id. An id whose place in the ring a long call holds is left out. */
  add(call: PendingCall): number {
    if (this.#size * 2 >= this.#ring.length) this.#grow();
    let id = this.#lastRequestId;
    do id = id === this.#maxRequestId ? 1 : id + 1;
    while (this.#ring[this.#place(id)] !== undefined || (this.#abandoned.size > 0 && this.#abandoned.has(id)));
    this.#lastRequestId = id;
    call.requestId = id;
    this.#ring[this.#place(id)] = call;
    this.#size += 1;
    return id;
  }

  /** The open call of this id. */
  find(requestId: number): PendingCall | undefined {
    const call = this.#ring[this.#place(requestId)];
    return call?.requestId === requestId ? call : undefined;
  }

  /** Takes out the call that a frame with this id and opcode answers. */
  take(requestId: number, opcode: number): PendingCall | undefined {
    const call = this.#ring[this.#place(requestId)];
    if (call === undefined || call.requestId !== requestId || call.opcode !== opcode) return undefined;
    this.#remove(call);
    return call;
  }

  /** Nobody waits for this call any more. */
  abandon(call: PendingCall): void {
    this.#remove(call);
    this.#abandoned.add(call.requestId);
  }

  /** True, once, when the call of this id was given up. */
  takeAbandoned(requestId: number): boolean {
    return this.#abandoned.delete(requestId);
  }

  /** Those waiting now, in the order of their ids. */
  list(): PendingCall[] {
    return this.#ring.filter((call) => call !== undefined).toSorted((a, b) => a.requestId - b.requestId);
  }

  clear(): void {
    this.#ring = emptyRing(SMALLEST_RING);
    this.#size = 0;
    this.#abandoned.clear();
  }

  #place(id: number): number {
    return id & (this.#ring.length - 1);
  }

  #remove(call: PendingCall): void {
    const place = this.#place(call.requestId);
    if (this.#ring[place] !== call) return;
    this.#ring[place] = undefined;
    this.#size -= 1;
  }

  /** Calls that lay apart lie apart in a ring of twice the size. */
  #grow(): void {
    const calls = this.list();
    this.#ring = emptyRing(this.#ring.length * 2);
    for (const call of calls) this.#ring[this.#place(call.requestId)] = call;
  }
}

function emptyRing(size: number): (PendingCall | undefined)[] {
  return Array.from({ length: size }, () => undefined);
}
