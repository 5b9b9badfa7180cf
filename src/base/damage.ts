/**
 * Errors of bytes whose checksum, which goes with them from the client to the medium and back (docs/checksums.md), no
 * longer holds somewhere in between.
 */
import { crc32 } from "./checksum.ts";
import { checksumOfPart, joinChecksums } from "./checksum-join.ts";
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

/**
 * The CRC-32 of each of these runs of `bytes`, which follow one another and are all of it; `whole`: that of all, undefined
 * where nobody has made it. Throws DAMAGED when the bytes are not what it says.
 */
export function splitChecksum(
  bytes: Uint8Array,
  whole: number | undefined,
  runs: readonly { readonly start: number; readonly end: number }[],
): number[] {
  if (runs.length === 1 && whole !== undefined) return [whole];
  const origin = runs[0]?.start ?? 0;
  const checksums = runs.map(({ start, end }) => crc32(bytes.subarray(start - origin, end - origin)));
  if (whole !== undefined && joinRuns(runs, checksums) !== whole) throw damagedBeforeStore("when they were cut");
  return checksums;
}

/** The CRC-32 of runs that follow one another. */
export function joinRuns(
  runs: readonly { readonly start: number; readonly end: number }[],
  checksums: readonly number[],
): number {
  return runs.reduce((joined, { start, end }, index) => joinChecksums(joined, checksums[index]!, end - start), 0);
}

/** That of the bytes from `start` to `end`. Throws DAMAGED. */
export function partOfSent(bytes: Uint8Array, whole: number | undefined, start: number, end: number): number {
  const part = whole === undefined ? crc32(bytes.subarray(start, end)) : checksumOfPart(bytes, whole, start, end);
  if (part === undefined) throw damagedBeforeStore("when they were cut");
  return part;
}
