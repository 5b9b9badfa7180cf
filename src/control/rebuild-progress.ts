/**
 * How far a pool's rebuild is, from what its targets say again and again: sums, how fast it goes, and how long it will take
 * when it goes on so. Each target has its own share to bring, so the slowest says when the end is.
 */
import type { TargetFillStatus } from "../format/engine-operations.ts";
import type { PoolRebuild } from "../format/pool-state.ts";

/** Time in which the weight of what was faster or slower before is halved, milliseconds. */
const HALF_LIFE_MS = 5_000;

/** What one target has said, and how fast it has been lately. */
interface Pace {
  readonly mapVersion: number;
  readonly atMs: number;
  readonly passed: number;
  readonly bytes: number;
  readonly dkeysPerMs: number;
  readonly bytesPerMs: number;
}

export type RebuildFigures = Omit<PoolRebuild, "state">;

export class RebuildProgress {
  readonly #paces = new Map<number, Pace>();
  figures: RebuildFigures = {
    dkeys: 0,
    bytes: 0,
    targetsDone: 0,
    targets: 0,
    bytesPerSecond: 0,
    dkeysPerSecond: 0,
  };

  /** What the targets say that take part, by index; undefined: it does not answer, or goes by another map. */
  note(statuses: ReadonlyMap<number, TargetFillStatus | undefined>, nowMs: number): void {
    for (const index of this.#paces.keys()) if (!statuses.has(index)) this.#paces.delete(index);
    const known = new Map<number, TargetFillStatus>();
    for (const [index, status] of statuses) {
      if (status === undefined) continue;
      known.set(index, status);
      this.#paces.set(index, paceOf(this.#paces.get(index), status, nowMs));
    }
    this.figures = this.#figures(statuses.size, known);
  }

  #figures(targets: number, statuses: ReadonlyMap<number, TargetFillStatus>): RebuildFigures {
    const known = [...statuses.values()];
    const sum = (of: (status: TargetFillStatus) => number): number =>
      known.reduce((total, status) => total + of(status), 0);
    const paces = [...this.#paces.values()];
    const dkeys = sum((status) => status.dkeys);
    const bytes = sum((status) => status.bytes);
    const common = {
      dkeys,
      bytes,
      targetsDone: known.filter(({ isDone }) => isDone).length,
      targets,
      bytesPerSecond: Math.round(1_000 * paces.reduce((total, { bytesPerMs }) => total + bytesPerMs, 0)),
      dkeysPerSecond: Math.round(1_000 * paces.reduce((total, { dkeysPerMs }) => total + dkeysPerMs, 0)),
    };
    if (known.length < targets || known.some(({ isCounted }) => isCounted !== true)) return common;
    const dkeysToBring = sum(({ toBring = 0 }) => toBring);
    const dkeysLeft = sum(leftOf);
    const secondsLeft = this.#secondsLeft(statuses);
    return {
      ...common,
      dkeysToBring,
      dkeysLeft,
      ...(dkeys > 0 && { bytesLeft: Math.round((dkeysLeft * bytes) / dkeys) }),
      ...(secondsLeft !== undefined && { secondsLeft }),
    };
  }

  #secondsLeft(statuses: ReadonlyMap<number, TargetFillStatus>): number | undefined {
    let slowestMs = 0;
    for (const [index, status] of statuses) {
      const left = leftOf(status);
      if (left === 0) continue;
      const { dkeysPerMs } = this.#paces.get(index)!;
      if (dkeysPerMs <= 0) return undefined;
      slowestMs = Math.max(slowestMs, left / dkeysPerMs);
    }
    return Math.ceil(slowestMs / 1_000);
  }
}

function leftOf({ toBring = 0, passed = 0 }: TargetFillStatus): number {
  return Math.max(0, toBring - passed);
}

function paceOf(before: Pace | undefined, { mapVersion, passed = 0, bytes }: TargetFillStatus, nowMs: number): Pace {
  const now = { mapVersion, atMs: nowMs, passed, bytes };
  if (before?.mapVersion !== mapVersion) return { ...now, dkeysPerMs: 0, bytesPerMs: 0 };
  const spanMs = nowMs - before.atMs;
  if (spanMs <= 0) return before;
  // Until it has been at it for a while, the whole of that is what counts.
  const kept = before.dkeysPerMs === 0 && before.bytesPerMs === 0 ? 0 : 0.5 ** (spanMs / HALF_LIFE_MS);
  // What was begun again is not gone backwards.
  const rate = (from: number, to: number): number => Math.max(0, to - from) / spanMs;
  return {
    ...now,
    dkeysPerMs: kept * before.dkeysPerMs + (1 - kept) * rate(before.passed, passed),
    bytesPerMs: kept * before.bytesPerMs + (1 - kept) * rate(before.bytes, bytes),
  };
}
