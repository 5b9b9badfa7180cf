/**
 * The real randomness: `next` is quick and good enough for back-off and sampling; `fill` comes from the operating
 * system's generator and is fit for identifiers and secrets.
 */
import { randomFillSync } from "node:crypto";
import type { Random } from "../contracts/world.ts";

export class RealRandom implements Random {
  next(): number {
    return Math.random();
  }

  fill(bytes: Uint8Array): void {
    randomFillSync(bytes);
  }
}
