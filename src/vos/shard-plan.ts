/**
 * What one shard stores of its parts of an update, before anything is written: pieces in windows, each in the log or on
 * the device.
 */
import { assert } from "../base/assert.ts";
import { checksumOfZeros, joinChecksums } from "../base/checksum-join.ts";
import { joinRuns, partOfSent, splitChecksum } from "../base/damage.ts";
import { MAX_RECORD_BYTES, MIB } from "../base/limits.ts";
import type { PartBytes } from "../format/prepare-request.ts";
import { cutIntoWindows, type WindowPiece } from "./array-window.ts";
import { type ByteRun, MAX_META_SEGMENTS } from "./cell-meta.ts";
import { type AkeyRequest, RECORD_OVERHEAD_BYTES } from "./single-value.ts";

/** Class of the window that is a whole block. */
const BLOCK_CLASS = 20;
/** Bytes of pieces that one record holds: a quarter of what it may have. */
const MAX_LOGGED_BYTES = MAX_RECORD_BYTES / 4;

/** A piece of data for one window, and where its bytes are. */
export interface PlannedPiece extends WindowPiece {
  readonly bytes: Uint8Array;
  /** CRC-32 of the bytes, as follows from that of the parts. */
  readonly checksum: number;
  /** Runs of data within the window, which has nothing else then. Undefined: a run of data, older ones show beside it. */
  readonly segments: readonly ByteRun[] | undefined;
  /** Which of the plan's bulks has the bytes, and where that begins; undefined: they go into the record. */
  readonly bulk: { readonly index: number; readonly start: number } | undefined;
}

/** Bytes that go to one extent. */
export interface Bulk extends ByteRun {
  readonly bytes: Uint8Array;
  readonly checksum: number;
}

export interface ShardPlan {
  /** It has writes, maybe of nothing: then there is an array. */
  readonly isWrite: boolean;
  readonly pieces: readonly PlannedPiece[];
  readonly bulks: readonly Bulk[];
  readonly holes: readonly ByteRun[];
  readonly logBytes: number;
}

/** As planParts; where so many small pieces come together that no record holds them they go to the device, too. */
export function planFitting(
  parts: readonly PartBytes[],
  inlineBytes: number,
  { dkey, akey }: Pick<AkeyRequest, "dkey" | "akey">,
): ShardPlan {
  const keyBytes = dkey.length + akey.length;
  const plan = planParts(parts, inlineBytes, keyBytes);
  const logged = plan.pieces.reduce((sum, { bulk, bytes }) => (bulk === undefined ? sum + bytes.length : sum), 0);
  return logged <= MAX_LOGGED_BYTES ? plan : planParts(parts, 0, keyBytes);
}

/** `keyBytes`: of dkey and akey together. Throws DAMAGED when bytes are not what the checksum of their part says. */
function planParts(parts: readonly PartBytes[], inlineBytes: number, keyBytes: number): ShardPlan {
  const bulks: Bulk[] = [];
  const pieces: PlannedPiece[] = [];
  const shared = sharedBlocks(parts);
  for (const [block, runs] of shared) {
    const piece = sharedPiece(block, runs);
    pieces.push(asStored(piece, inlineBytes, bulks));
  }
  for (const part of parts) {
    if (part.kind !== "write") continue;
    for (const run of outside(shared, part.address, part.address + part.length)) {
      pieces.push(...piecesOf(runOf(part, run.start, run.end), inlineBytes, bulks));
    }
  }
  const punched = parts.filter(({ kind }) => kind === "punch");
  const holes = punched.flatMap(({ address, length }) => outside(shared, address, address + length));
  // A key takes up to twice its length; object and akey cell may be part of the record, and holes, which are not known yet.
  const cellBytes = RECORD_OVERHEAD_BYTES + 2 * keyBytes;
  let logBytes = (2 + 4 * holes.length) * cellBytes;
  for (const { bulk, bytes } of pieces) {
    logBytes += bulk === undefined ? cellBytes + bytes.length : 5 * cellBytes + bytes.length / 1024;
  }
  return { isWrite: parts.some(({ kind }) => kind !== "punch"), pieces, bulks, holes, logBytes };
}

/**
 * The blocks of a MiB that are replaced: those of a `block`, and in which a write meets another part; the writes of each.
 */
function sharedBlocks(parts: readonly PartBytes[]): Map<number, PartBytes[]> {
  const shared = new Map<number, PartBytes[]>();
  for (const part of parts) {
    if (part.bytes.length === 0) continue;
    const last = Math.floor((part.address + part.length - 1) / MIB);
    for (let block = Math.floor(part.address / MIB); block <= last; block += 1) {
      const within = parts.filter((other) => meets(other, block * MIB, (block + 1) * MIB));
      if (within.length === 1 && part.kind !== "block") continue;
      shared.set(
        block,
        within.filter(({ bytes }) => bytes.length > 0),
      );
    }
  }
  return shared;
}

function meets({ address, length }: PartBytes, start: number, end: number): boolean {
  return address < end && address + length > start;
}

/** All that the block holds, as one piece. */
function sharedPiece(block: number, writes: readonly PartBytes[]): Omit<PlannedPiece, "bulk"> {
  const base = block * MIB;
  const runs = writes
    .map((part) => runOf(part, Math.max(part.address, base), Math.min(part.address + part.length, base + MIB)))
    .toSorted((left, right) => left.start - right.start);
  const start = runs[0]!.start;
  const end = runs.at(-1)!.end;
  const isAlone = runs.length === 1;
  const bytes = isAlone ? runs[0]!.bytes : new Uint8Array(end - start);
  const segments: { start: number; end: number }[] = [];
  let checksum = 0;
  let at = start;
  for (const run of runs) {
    checksum = joinChecksums(checksum, checksumOfZeros(run.start - at), run.start - at);
    checksum = joinChecksums(checksum, run.checksum, run.end - run.start);
    at = run.end;
    if (!isAlone) bytes.set(run.bytes, run.start - start);
    const last = segments.at(-1);
    if (last?.end === run.start - base) last.end = run.end - base;
    else segments.push({ start: run.start - base, end: run.end - base });
  }
  assert(segments.length <= MAX_META_SEGMENTS, "a plan has few parts in one block");
  return { windowClass: BLOCK_CLASS, window: block, start, end, bytes, checksum, segments };
}

/** The bytes [start, end) of the array, which lie in the part. */
function runOf({ address, bytes, checksum }: PartBytes, start: number, end: number): Bulk {
  const [from, to] = [start - address, end - address];
  return { start, end, bytes: bytes.subarray(from, to), checksum: partOfSent(bytes, checksum, from, to) };
}

/** What of [start, end) lies outside the shared blocks. */
function outside(shared: ReadonlyMap<number, unknown>, start: number, end: number): ByteRun[] {
  const runs: ByteRun[] = [];
  let at = start;
  for (const block of [...shared.keys()].toSorted((left, right) => left - right)) {
    const from = block * MIB;
    if (from + MIB <= at || from >= end) continue;
    if (from > at) runs.push({ start: at, end: from });
    at = from + MIB;
  }
  if (at < end) runs.push({ start: at, end });
  return runs;
}

/** A run of data cut into windows; what is large goes to one extent. */
function piecesOf({ bytes, ...run }: Bulk, inlineBytes: number, bulks: Bulk[]): PlannedPiece[] {
  const windows = cutIntoWindows(run.start, run.end);
  const checksums = splitChecksum(bytes, run.checksum, windows);
  const cut = windows.map((piece, index) => ({ ...piece, checksum: checksums[index]! }));
  const large = cut.filter(({ start, end }) => end - start > inlineBytes);
  const first = large[0];
  const bulk = first === undefined ? undefined : { index: bulks.length, start: first.start };
  if (first !== undefined) {
    const { start } = first;
    const { end } = large.at(-1)!;
    const within = cut.filter((piece) => piece.start >= start && piece.end <= end);
    const checksum = joinRuns(
      within,
      within.map((piece) => piece.checksum),
    );
    bulks.push({ start, end, bytes: bytes.subarray(start - run.start, end - run.start), checksum });
  }
  return cut.map((piece) => {
    const isLarge = piece.end - piece.start > inlineBytes;
    return {
      ...piece,
      bytes: bytes.subarray(piece.start - run.start, piece.end - run.start),
      segments: undefined,
      bulk: isLarge ? bulk : undefined,
    };
  });
}

function asStored(piece: Omit<PlannedPiece, "bulk">, inlineBytes: number, bulks: Bulk[]): PlannedPiece {
  const { start, end, bytes, checksum } = piece;
  if (end - start <= inlineBytes) return { ...piece, bulk: undefined };
  bulks.push({ start, end, bytes, checksum });
  return { ...piece, bulk: { index: bulks.length - 1, start } };
}
