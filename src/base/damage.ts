/**
 * Errors of bytes whose checksum, which goes with them from the client to the medium and back (docs/checksums.md), no
 * longer holds somewhere in between.
 */
import { DaosError } from "./errors.ts";

/** Bytes on their way to the medium; nothing is stored. `place`: where it was noticed. */
export function damagedBeforeStore(place: string): DaosError {
  const state = `they are not what was sent, as was noticed ${place}`;
  return new DaosError("DAMAGED", `Cannot store the bytes: ${state}. Send them again.`);
}

/** Bytes that were good on the medium, or when they came to `place`. */
export function damagedAfterStore(place: string): DaosError {
  const state = `they are not what was stored, as was noticed ${place}`;
  return new DaosError("CORRUPT", `Cannot return the bytes: ${state}. Read them again; check the engine's memory.`);
}
