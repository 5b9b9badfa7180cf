/**
 * The order in which one engine probes the others: a random permutation, a new one each time round, so that each is probed
 * at least once in two rounds (Das et al. 2002, section 4.3). The permutation is computed, not stored: a Feistel network
 * of four rounds over the next power of four, walked until it lands within the size (Black and Rogaway 2002).
 */
import type { Random } from "../contracts/world.ts";

const ROUNDS = 4;

export class ProbeOrder {
  readonly #random: Pick<Random, "next">;
  readonly #keys = new Uint32Array(ROUNDS);
  #size = 0;
  #position = 0;
  #halfBits = 1;

  constructor(random: Pick<Random, "next">) {
    this.#random = random;
  }

  /** The next index below `size`, which is at least 1. Another size than before begins a new round. */
  next(size: number): number {
    if (size !== this.#size || this.#position === size) this.#shuffle(size);
    let index = this.#position;
    this.#position += 1;
    do index = this.#permuted(index);
    while (index >= size);
    return index;
  }

  #shuffle(size: number): void {
    this.#size = size;
    this.#position = 0;
    this.#halfBits = Math.max(1, Math.ceil(Math.log2(size) / 2));
    for (let round = 0; round < ROUNDS; round += 1) this.#keys[round] = this.#random.next() * 2 ** 32;
  }

  #permuted(index: number): number {
    const bits = this.#halfBits;
    let left = index >>> bits;
    let right = index & (2 ** bits - 1);
    for (let round = 0; round < ROUNDS; round += 1) {
      let mixed = Math.imul(right + this.#keys[round]!, 0x9e3779b1);
      mixed = Math.imul(mixed ^ (mixed >>> 15), 0x85ebca77);
      const next = left ^ (mixed >>> (32 - bits));
      left = right;
      right = next;
    }
    return (left << bits) | right;
  }
}
