/**
 * Scrubbing as engines, clients and the medium have it: when a pool is scrubbed (its properties), how far each target is, and
 * what a target remembers of it.
 *
 * A mark is 14 u64 numbers, little-endian: of the pass that runs when it began (0: none runs), the next container, bytes, places
 * damaged, repaired, lost; of the last pass when it ended, bytes, damaged, repaired, lost; passes; since when the pool is scrubbed
 * here; 1 while nothing begins by itself. Times are milliseconds since 1970.
 */
import { DaosError } from "../base/errors.ts";
import type { ScrubPropertyValues } from "../base/scrub-properties.ts";
import { readUint64, writeUint64 } from "./uint64.ts";

export type ScrubSettings = ScrubPropertyValues;

export interface ScrubCounts {
  /** Looked at, bytes. */
  readonly bytes: number;
  /** Places that were damaged: rows, log records, blocks of 4 KiB. */
  readonly damaged: number;
  readonly repaired: number;
  /** Nobody has what they were. */
  readonly lost: number;
}

export const NOTHING_SCRUBBED: ScrubCounts = { bytes: 0, damaged: 0, repaired: 0, lost: 0 };

/** One target's share of a pool. `stopped`: by the admin, until he starts it. */
export interface TargetScrubStatus {
  readonly state: "idle" | "running" | "stopped";
  /** When the pass that runs began, milliseconds since 1970; 0: none runs. */
  readonly startedAtMs: number;
  /** Of it. */
  readonly now: ScrubCounts;
  /** When the last pass ended; 0: never. */
  readonly finishedAtMs: number;
  readonly last: ScrubCounts;
  readonly passes: number;
}

/** `start` begins a pass at once, at its own pace when one is given. `stop` ends it; nothing begins by itself then before the next start. */
export interface PoolScrubArguments {
  readonly pool: string;
  readonly action: "start" | "stop" | "status";
  readonly bytesPerSecond?: number;
}

export interface PoolScrubReply extends ScrubSettings {
  readonly pool: string;
  /** Of those that take part; without `status` the engine does not answer. */
  readonly targets: readonly {
    readonly index: number;
    readonly rank: number;
    readonly status?: TargetScrubStatus;
  }[];
}

export interface ScrubMark {
  readonly startedAtMs: number;
  /** Containers below it are done. */
  readonly container: number;
  readonly now: ScrubCounts;
  readonly finishedAtMs: number;
  readonly last: ScrubCounts;
  readonly passes: number;
  readonly sinceMs: number;
  readonly isStopped: boolean;
}

const NUMBERS = 14;

export function encodeScrubMark(mark: ScrubMark): Buffer {
  const { startedAtMs, container, now, finishedAtMs, last, passes, sinceMs, isStopped } = mark;
  const counts = ({ bytes, damaged, repaired, lost }: ScrubCounts): number[] => [bytes, damaged, repaired, lost];
  const numbers = [startedAtMs, container, ...counts(now), finishedAtMs, ...counts(last), passes, sinceMs];
  const bytes = Buffer.alloc(8 * NUMBERS);
  [...numbers, isStopped ? 1 : 0].forEach((number, index) => writeUint64(bytes, number, 8 * index));
  return bytes;
}

/** Throws CORRUPT. */
export function decodeScrubMark(bytes: Buffer): ScrubMark {
  const numbers = Array.from({ length: NUMBERS }, (_, index) =>
    bytes.length === 8 * NUMBERS ? readUint64(bytes, 8 * index) : Number.NaN,
  );
  if (!numbers.every(Number.isSafeInteger)) {
    throw new DaosError("CORRUPT", "Cannot read the mark of a scrub: it is damaged. Run a scrub of the pool.");
  }
  const counts = (at: number): ScrubCounts => {
    const [looked, damaged, repaired, lost] = numbers.slice(at, at + 4) as [number, number, number, number];
    return { bytes: looked, damaged, repaired, lost };
  };
  return {
    startedAtMs: numbers[0]!,
    container: numbers[1]!,
    now: counts(2),
    finishedAtMs: numbers[6]!,
    last: counts(7),
    passes: numbers[11]!,
    sinceMs: numbers[12]!,
    isStopped: numbers[13] === 1,
  };
}
