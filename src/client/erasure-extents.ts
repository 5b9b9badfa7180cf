/**
 * Which records of an erasure-coded array hold data: from one parity shard of its dkey, which knows all stripes, or, when none
 * answers, from all data shards. These tell of their local arrays in bytes; the scheme says where that is in the object's.
 */
import type { AkeyPlace } from "../base/key-place.ts";
import { EPOCH_NONE, type Epoch } from "../base/epoch.ts";
import { type ExtentRun, joinRuns } from "../base/extent-runs.ts";
import { MIB } from "../base/limits.ts";
import type { RedundancyScheme } from "../contracts/redundancy.ts";
import type { ExtentListReply } from "../format/operations.ts";
import { redundancyGroup } from "../redundancy/redundancy-group.ts";
import type { ContainerSession } from "./container-session.ts";
import { extentPage, type ReadMoment } from "./extent-page.ts";
import { ObjectCover, overTargets } from "./object-targets.ts";
import { queryTarget } from "./target-query.ts";

export interface RecordRun {
  readonly index: number;
  readonly count: number;
}

interface DatedRecords extends RecordRun {
  readonly epoch: Epoch;
}

/** One shard of the dkey, as it lies now. */
interface PlacedShard {
  readonly target: number;
  readonly number: number;
  readonly scheme: RedundancyScheme;
}

/** What a shard, or all of them together, list from a stripe on: all extents of the array before `end`, and some after it. */
interface ExtentWindow {
  readonly extents: readonly ExtentRun[];
  /** Byte of the array; infinite when nothing follows. */
  readonly end: number;
  readonly recordBytes: number;
}

/** Target of the request as a shard of the dkey. It is one. */
function shardAt(session: ContainerSession, { oid, dkey }: AkeyPlace, target: number): PlacedShard {
  const shards = redundancyGroup(session.placement, oid, dkey).shards!;
  return { target, number: shards.numberOf.get(target)!, scheme: session.schemeOf(shards.word) };
}

/**
 * The run that contains the greatest or least record, as far as it reaches within 1 MiB of the array and is known; undefined
 * without one.
 */
export async function outermostRecords(
  session: ContainerSession,
  place: AkeyPlace,
  direction: "max" | "min",
  terms: ReadMoment,
): Promise<RecordRun | undefined> {
  const { oid, dkey } = place;
  const found = await overTargets(session, { oid, dkey }, terms.signal, (target) =>
    outermostOfShard(session, place, direction, terms, shardAt(session, place, target)),
  );
  const runs = joinRuns(found.flatMap(({ extents }) => extents));
  const run = direction === "max" ? runs.at(-1) : runs[0];
  if (run === undefined) return undefined;
  const end = run.address + run.length;
  const block = Math.floor((direction === "max" ? end - 1 : run.address) / MIB) * MIB;
  const { recordBytes } = found.find(({ extents }) => extents.length > 0)!;
  return recordsOf(Math.max(run.address, block), Math.min(end, block + MIB), recordBytes);
}

async function outermostOfShard(
  session: ContainerSession,
  { oid, dkey, akey }: AkeyPlace,
  direction: "max" | "min",
  terms: ReadMoment,
  { target, number, scheme }: PlacedShard,
): Promise<{ readonly extents: readonly ExtentRun[]; readonly recordBytes: number }> {
  const spaces = scheme.addressSpaces(number);
  const extents: ExtentRun[] = [];
  let recordBytes = 0;
  // One after the other: see addressSpaces.
  for (const space of spaces) {
    const within = spaces.length === 1 ? undefined : space;
    const query = { direction, levels: ["extent"], dkey, akey, within } as const;
    const found = await queryTarget(session, oid, query, terms, target, true);
    if (found?.extent === undefined) continue;
    const { index, count } = found.extent;
    extents.push(...scheme.arrayExtents(number, [{ address: index, length: count, epoch: EPOCH_NONE }]));
    recordBytes = found.recordBytes;
  }
  return { extents, recordBytes };
}

/**
 * All runs of records from record `from` on, ascending. Goes through the array stripe by stripe as far as the pages of all
 * shards reach, with one page of each in memory.
 */
export async function* erasureExtents(
  session: ContainerSession,
  place: AkeyPlace,
  from: number,
  terms: ReadMoment,
): AsyncGenerator<DatedRecords, void, void> {
  const { oid, dkey } = place;
  const cover = new ObjectCover(session, { oid, dkey }, terms.signal);
  const records = new RecordRuns(from);
  // No record lies before its index; where the first one is turns out with the first answer.
  let position = from;
  let isPlaced = false;
  while (position < Number.POSITIVE_INFINITY) {
    const targets = await cover.targets();
    let window: ExtentWindow;
    try {
      const read = (target: number): Promise<ExtentWindow> =>
        cover.ask(target, windowOfShard(session, place, position, terms, shardAt(session, place, target)));
      window = united(await Promise.all(targets.map(read)));
    } catch (error) {
      await cover.failed(error);
      continue;
    }
    cover.progressed();
    if (!isPlaced && window.recordBytes > 1) {
      position = from * window.recordBytes;
      isPlaced = true;
      continue;
    }
    yield* records.take(window);
    position = window.end;
  }
  yield* records.rest();
}

async function windowOfShard(
  session: ContainerSession,
  place: AkeyPlace,
  position: number,
  terms: ReadMoment,
  { target, number, scheme }: PlacedShard,
): Promise<ExtentWindow> {
  const extents: ExtentRun[] = [];
  const leastEnd = (Math.floor(position / scheme.stripeBytes) + 1) * scheme.stripeBytes;
  let end = Number.POSITIVE_INFINITY;
  let recordBytes = 0;
  // One after the other: see addressSpaces.
  for (const space of scheme.addressSpaces(number, position)) {
    for (let from: number | undefined = space.start; from !== undefined && from < space.end;) {
      const page: ExtentListReply = await extentPage(session, place, target, { from, to: space.end }, terms);
      const local = page.extents.map(({ index, count, epoch }) => ({ address: index, length: count, epoch }));
      extents.push(...scheme.arrayExtents(number, local));
      recordBytes = page.recordBytes;
      from = page.done ? undefined : page.next!;
      if (from === undefined) break;
      const reached = scheme.arrayExtents(number, [{ address: from, length: 1, epoch: EPOCH_NONE }])[0]!.address;
      if (reached < leastEnd) continue;
      end = Math.min(end, reached);
      break;
    }
  }
  return { extents, end: wholeStripes(end, scheme), recordBytes };
}

/** What all of them list: up to where each has. */
function united(windows: readonly ExtentWindow[]): ExtentWindow {
  const end = Math.min(...windows.map((window) => window.end));
  const recordBytes = Math.max(...windows.map((window) => window.recordBytes));
  const runs = joinRuns(windows.flatMap(({ extents }) => extents));
  const extents = runs
    .filter(({ address }) => address < end)
    .map((run) => ({ ...run, length: Math.min(run.length, end - run.address) }));
  return { extents, end, recordBytes };
}

function wholeStripes(end: number, { stripeBytes }: RedundancyScheme): number {
  return end - (end % stripeBytes || 0);
}

function recordsOf(start: number, end: number, recordBytes: number): RecordRun {
  const index = Math.floor(start / recordBytes);
  return { index, count: Math.ceil(end / recordBytes) - index };
}

/** Runs of bytes, which come ascending, as runs of records, none of which is in two. */
class RecordRuns {
  #nextIndex: number;
  #open: DatedRecords | undefined;

  constructor(from: number) {
    this.#nextIndex = from;
  }

  /** Those that are complete. */
  *take({ extents, recordBytes }: ExtentWindow): Generator<DatedRecords, void, void> {
    for (const { address, length, epoch } of extents) {
      const run = recordsOf(address, address + length, recordBytes);
      const index = Math.max(run.index, this.#nextIndex);
      const count = run.index + run.count - index;
      if (count <= 0) continue;
      this.#nextIndex = index + count;
      const open = this.#open;
      if (open !== undefined && open.epoch === epoch && open.index + open.count === index) {
        this.#open = { ...open, count: open.count + count };
        continue;
      }
      this.#open = { index, count, epoch };
      if (open !== undefined) yield open;
    }
  }

  *rest(): Generator<DatedRecords, void, void> {
    if (this.#open !== undefined) yield this.#open;
  }
}
