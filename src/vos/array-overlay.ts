/**
 * Which of many pieces shows at each byte: the newest. Pure.
 */
import { isHole, type Piece } from "./array-window.ts";
import type { ByteRun } from "./cell-meta.ts";

/** The bytes [start, end) come from this piece. */
export interface Fill extends ByteRun {
  readonly piece: Piece;
}

export interface Overlay {
  /** Data, ascending, not overlapping. */
  readonly fills: readonly Fill[];
  /** The rest: punched or never written; ascending. */
  readonly gaps: readonly ByteRun[];
}

/** Lays the pieces over [start, end), later epochs over earlier ones. Sorts `pieces`. */
export function overlay(pieces: Piece[], start: number, end: number): Overlay {
  const only = pieces[0];
  if (pieces.length === 1 && !isHole(only!) && only!.start <= start && only!.end >= end) {
    return { fills: [{ piece: only!, start, end }], gaps: [] };
  }
  pieces.sort((left, right) => right.epoch - left.epoch);
  const fills: Fill[] = [];
  let open: ByteRun[] = end > start ? [{ start, end }] : [];
  for (const piece of pieces) {
    if (open.length === 0) break;
    open = place(piece, open, fills);
  }
  fills.sort((left, right) => left.start - right.start);
  const gaps: ByteRun[] = [];
  let at = start;
  for (const fill of fills) {
    if (fill.start > at) gaps.push({ start: at, end: fill.start });
    at = fill.end;
  }
  if (at < end) gaps.push({ start: at, end });
  return { fills, gaps };
}

/** Fills what is open with the piece; returns what stays open. */
function place(piece: Piece, open: ByteRun[], fills: Fill[]): ByteRun[] {
  const first = open.findIndex((run) => run.end > piece.start);
  if (first === -1 || open[first]!.start >= piece.end) return open;
  const left: ByteRun[] = open.slice(0, first);
  for (let index = first; index < open.length; index += 1) {
    const run = open[index]!;
    const start = Math.max(run.start, piece.start);
    const end = Math.min(run.end, piece.end);
    if (start >= end) {
      left.push(run);
      continue;
    }
    if (!isHole(piece)) fills.push({ piece, start, end });
    if (run.start < start) left.push({ start: run.start, end: start });
    if (end < run.end) left.push({ start: end, end: run.end });
  }
  return left;
}

/** Neighbouring runs of data as one, whatever pieces they come from. */
export function joinRuns(fills: readonly ByteRun[]): ByteRun[] {
  const runs: { start: number; end: number }[] = [];
  for (const fill of fills) {
    const last = runs.at(-1);
    if (last?.end === fill.start) last.end = fill.end;
    else runs.push({ start: fill.start, end: fill.end });
  }
  return runs;
}
