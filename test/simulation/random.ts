/**
 * Seeded randomness: the same seed gives the same numbers on every machine (mulberry32).
 */
import type { Random } from "../../src/contracts/world.ts";

export class SimulatedRandom implements Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** 32 random bits. */
  nextUint32(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  next(): number {
    return this.nextUint32() / 2 ** 32;
  }

  /** Uniform integer in [0, limit). */
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  fill(bytes: Uint8Array): void {
    for (let index = 0; index < bytes.length; index += 1) bytes[index] = this.nextUint32() & 0xff;
  }

  /** An independent stream, so that one consumer's use does not shift another's numbers. */
  fork(): SimulatedRandom {
    return new SimulatedRandom(this.nextUint32());
  }
}
