/**
 * Numbers of a client's updates (RequestId): 1, 2, 3, ... under a random client number. A number stays open until the
 * update's caller has its answer, whatever it is: then it is never sent again, and the servers may forget its result.
 */
import { type Epoch, EPOCH_NONE } from "../base/epoch.ts";
import type { Random } from "../contracts/world.ts";

/** Bits of a client number: a JavaScript number holds them exactly. */
const CLIENT_BYTES = 6;

/** The newest epoch that was heard where the requests are served: no later message of ours is behind it. */
export interface EpochSource {
  now(): Epoch;
}

export class RequestNumbers {
  readonly client: number;
  #next = 1;
  #first = 1;
  /** When each open number was given. */
  readonly #open = new Map<number, Epoch>();
  readonly #served: EpochSource;

  constructor(random: Random, served: EpochSource) {
    this.#served = served;
    const bytes = Buffer.alloc(CLIENT_BYTES);
    random.fill(bytes);
    this.client = bytes.readUIntLE(0, CLIENT_BYTES) + 1;
  }

  /** The least open number, or the next one. */
  get firstIncomplete(): number {
    return this.#first;
  }

  begin(): number {
    const sequence = this.#next;
    this.#next += 1;
    this.#open.set(sequence, this.#served.now());
    return sequence;
  }

  /** See ObjectRequest.issued. */
  issued(sequence: number): Epoch {
    return this.#open.get(sequence) ?? EPOCH_NONE;
  }

  end(sequence: number): void {
    this.#open.delete(sequence);
    while (this.#first < this.#next && !this.#open.has(this.#first)) this.#first += 1;
  }
}
