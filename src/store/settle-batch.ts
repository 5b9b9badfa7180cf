/**
 * Settling: replays sealed log segments into the settled index, in transactions of some segments, each in key order. It is
 * the same replay that recovery would do: after a crash at any point what is not settled is still in the log.
 *
 * Pure but for the index and the log it is given: it runs inline (tests, simulation) or in a thread of its own.
 */
import type { ByteString } from "../base/bytes.ts";
import { asBuffer } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";
import { DaosError, hasCode } from "../base/errors.ts";
import type { LoggedWrite, LogRecord } from "../format/log-record.ts";
import { segmentSeed } from "../format/segment-header.ts";
import { decodeNumbers, encodeNumbers, SETTLED_ROW, uint32OfKey } from "../format/settled-row.ts";
import { decodeSettledVersion } from "../format/settled-version.ts";
import type { GateRule, ReclaimRange } from "./cell.ts";
import {
  aggregatedKey,
  type CellChanges,
  CellRewriter,
  type OriginVersion,
  settledOrigins,
  snapshotsKey,
} from "./cell-rewriter.ts";
import { type DestagedList, DestagedVersions } from "./destaged.ts";
import type { SegmentSpan } from "./log.ts";
import { alignUp } from "./log-layout.ts";
import { type KeptViews, waitsForGate } from "./kept-views.ts";
import { LoggedCells, type LoggedContent, NO_WRITE } from "./logged-cells.ts";
import { addReclaim } from "./reclaim-table.ts";
import { RequestRows, writeDecisions } from "./request-rows.ts";
import { SegmentReader } from "./segment-reader.ts";
import type { IndexReader, IndexSpace, IndexTransaction, SettledIndex } from "./settled-index.ts";

/** Reads durable bytes of the region. The result is the caller's. */
export type ReadLog = (offset: number, length: number) => Uint8Array;

/**
 * A transaction takes whole segments until they change so many pages of the index, about. It keeps them in memory, and the
 * cost of a page grows with their number; but cells that share pages are the cheaper the more there are.
 */
export interface TransactionPages {
  readonly usual: number;
  /** An index of up to so many pages may change all at once: there cells share pages. Not below `usual`. */
  readonly smallIndex: number;
}

export interface SettleRequest {
  readonly storeId: ByteString;
  readonly granularityBytes: number;
  /** Sealed, durable, oldest first, without a gap. The first ones may be settled already. */
  readonly spans: readonly SegmentSpan[];
  readonly transactionPages: TransactionPages;
  readonly views: KeptViews;
  /** Sequences of records that are passed over: aborted ones, and such as were appended again later. Ascending. */
  readonly skipped: Float64Array;
  /** Clients whose requests are remembered no longer. */
  readonly forgottenClients: Float64Array;
  /** See Requests.forgottenTo: of these clients, and of those before. */
  readonly forgottenTo: Epoch;
  /** Decisions to remember, client, sequence, kind, client, ...; and those that go, client, sequence, client, ... */
  readonly decided: Float64Array;
  readonly forgotten: Float64Array;
  /** Of versions in the spans. Those in the segments that are settled belong to the index then, or are freed by the result. */
  readonly destaged: DestagedList;
}

export interface SettleResult extends CellChanges {
  /** Of the last segment that is settled: not the last one asked for when the index became full on the way. */
  readonly lastOrdinal: number;
  /** Of the last record that is settled. */
  readonly lastSequence: number;
  readonly reclaimsAdded: number;
  readonly space: IndexSpace;
}

/** What the index has reached. */
export interface SettledState {
  readonly settledSequence: number;
  /** Ordinal of the first segment that is not settled. */
  readonly nextOrdinal: number;
}

/** Throws CORRUPT when the row is not there. */
export function settledState(index: IndexReader): SettledState {
  const row = index.get("meta", SETTLED_ROW);
  if (row === undefined) {
    throw new DaosError("CORRUPT", 'Cannot open "settled index": its state is gone. Restore the target.');
  }
  const [settledSequence, nextOrdinal] = decodeNumbers(SETTLED_ROW, row, 2) as [number, number];
  return { settledSequence, nextOrdinal };
}

/**
 * Settles the segments. Throws NO_SPACE, CORRUPT, IO; nothing has changed then, except that CORRUPT and IO may come when
 * some are settled. When the index becomes full behind the first transaction, what is settled until then is the result.
 */
export function settleBatch(
  request: SettleRequest,
  index: SettledIndex,
  readLog: ReadLog,
  isGated: GateRule,
): SettleResult {
  const { nextOrdinal } = settledState(index);
  const spans = request.spans.filter(({ ordinal }) => ordinal >= nextOrdinal);
  const destaged = new DestagedVersions(request.destaged);
  let settled: SettleResult | undefined;
  let space = index.space();
  for (let place = 0; place < spans.length;) {
    const batch = new Batch(request, destaged, isGated);
    const start = place;
    const limit = pageLimit(request, space);
    while (place < spans.length && (place === start || changedPages(batch.cells, space) < limit)) {
      readSpan(request, spans[place]!, readLog, batch);
      place += 1;
    }
    try {
      settled = joined(settled, settleSpans(request, [spans[start]!, spans[place - 1]!], batch, index, isGated));
      space = settled.space;
    } catch (error) {
      if (settled === undefined || !hasCode(error, "NO_SPACE")) throw error;
      return settled;
    }
  }
  if (settled !== undefined) return settled;
  throw new DaosError(
    "CORRUPT",
    `Cannot settle "segment ${request.spans[0]?.ordinal}": the index is at ${nextOrdinal}.`,
  );
}

/** Pages that the next transaction is to change, about. */
function pageLimit({ transactionPages }: SettleRequest, space: IndexSpace): number {
  const isSmall = space.usedBytes <= transactionPages.smallIndex * space.pageBytes;
  return isSmall ? transactionPages.smallIndex : transactionPages.usual;
}

/** Pages that writing the cells changes, about: those that they lie in by chance, and what new ones need. */
function changedPages(cells: LoggedCells, space: IndexSpace): number {
  const pages = Math.max(1, space.usedBytes / space.pageBytes);
  return pages * (1 - Math.exp(-cells.cellCount / pages)) + cells.writeBytes / space.pageBytes;
}

/** One transaction: the batch that these segments and those between them hold. */
function settleSpans(
  request: SettleRequest,
  [first, last]: readonly [SegmentSpan, SegmentSpan],
  batch: Batch,
  index: SettledIndex,
  isGated: GateRule,
): SettleResult {
  const result = index.transact((transaction) => {
    const state = settledState(transaction);
    if (state.nextOrdinal !== first.ordinal || state.settledSequence + 1 !== first.firstSequence) {
      throw new DaosError("CORRUPT", `Cannot settle "segment ${first.ordinal}": the index is at ${state.nextOrdinal}.`);
    }
    batch.addReclaims(transaction);
    const rewriter = new CellRewriter(transaction, request.views, isGated);
    batch.apply(transaction, rewriter);
    batch.requests.apply(transaction, request.forgottenClients, request.forgottenTo);
    writeDecisions(transaction, request);
    transaction.put("meta", SETTLED_ROW, encodeNumbers(SETTLED_ROW, [last.lastSequence, last.ordinal + 1]));
    return rewriter.finish();
  });
  return { ...result, ...lastOf(last), reclaimsAdded: batch.reclaimCount, space: index.space() };
}

function lastOf({ ordinal, lastSequence }: SegmentSpan): Pick<SettleResult, "lastOrdinal" | "lastSequence"> {
  return { lastOrdinal: ordinal, lastSequence };
}

/** The result of two transactions, one after the other. */
function joined(before: SettleResult | undefined, after: SettleResult): SettleResult {
  if (before === undefined) return after;
  const freed = new Float64Array(before.freed.length + after.freed.length);
  freed.set(before.freed);
  freed.set(after.freed, before.freed.length);
  const usage = [...new Map([...before.usage, ...after.usage])];
  const keptForGates = [...before.keptForGates, ...after.keptForGates];
  return { ...after, freed, usage, keptForGates, reclaimsAdded: before.reclaimsAdded + after.reclaimsAdded };
}

function readSpan(request: SettleRequest, span: SegmentSpan, readLog: ReadLog, batch: Batch): void {
  const length = alignUp(span.endOffset - span.offset, request.granularityBytes);
  const bytes = asBuffer(readLog(span.offset, length));
  const seed = segmentSeed(request.storeId, span.ordinal, span.generation);
  const reader = new SegmentReader(bytes, 0, length, request.granularityBytes, seed, span.firstSequence);
  batch.beginSegment(bytes, span.offset);
  for (let record = reader.next(); record !== undefined; record = reader.next()) batch.add(record);
  if (reader.nextSequence !== span.lastSequence + 1) {
    throw new DaosError(
      "CORRUPT",
      `Cannot settle "log": records ${reader.nextSequence} to ${span.lastSequence} are damaged on the medium. ` +
        "Restore the target from its redundancy or a backup.",
    );
  }
}

/** All that the segments hold, by cell. */
class Batch {
  readonly cells = new LoggedCells();
  readonly requests = new RequestRows();
  readonly #reclaims: { range: ReclaimRange; sequence: number; place: number }[] = [];
  readonly #snapshots = new Map<number, readonly Epoch[]>();
  readonly #highestEpochs = new Map<number, { epoch: Epoch }>();
  #lastContainer = -1;
  #lastHighest = { epoch: 0 as Epoch };
  readonly #views: KeptViews;
  readonly #isGated: GateRule;
  readonly #skipped: ReadonlySet<number>;
  readonly #destaged: DestagedVersions;
  /** Region offset of the segment that is being added. */
  #segmentStart = 0;

  constructor({ views, skipped }: SettleRequest, destaged: DestagedVersions, isGated: GateRule) {
    this.#views = views;
    this.#isGated = isGated;
    this.#skipped = new Set(skipped);
    this.#destaged = destaged;
  }

  /** The records added from now on lie in `bytes`, which begin at this offset of the region. */
  beginSegment(bytes: Buffer, regionStart: number): void {
    this.#segmentStart = regionStart;
    this.cells.beginSegment(bytes);
  }

  add(record: LogRecord): void {
    if (this.#skipped.size > 0 && this.#skipped.has(record.sequence)) return;
    this.requests.add(record);
    const { writes } = record;
    for (let place = 0; place < writes.length; place += 1) {
      const write = this.#relocated(writes[place]!);
      const container = uint32OfKey(write.key);
      this.#count(container, write.epoch);
      this.cells.add(write, this.#views.snapshots.has(container) || this.#isGated(write.key));
    }
    record.reclaims.forEach((range, place) => this.#reclaims.push({ range, sequence: record.sequence, place }));
    for (const { container, epochs } of record.snapshots) this.#snapshots.set(container, epochs);
  }

  #relocated(write: LoggedWrite): LoggedWrite {
    if (this.#destaged.count === 0 || write.inlineLength < 0) return write;
    return this.#destaged.relocated(write, this.#segmentStart);
  }

  #count(container: number, epoch: Epoch): void {
    if (container !== this.#lastContainer) {
      this.#lastContainer = container;
      this.#lastHighest = this.#highestEpochs.get(container) ?? { epoch };
      this.#highestEpochs.set(container, this.#lastHighest);
    }
    if (epoch > this.#lastHighest.epoch) this.#lastHighest.epoch = epoch;
  }

  get reclaimCount(): number {
    return this.#reclaims.length;
  }

  addReclaims(transaction: IndexTransaction): void {
    for (const { range, sequence, place } of this.#reclaims) {
      // It could free next to nothing before the gate has passed it.
      const parked = waitsForGate(range, this.#views.gates, this.#isGated);
      addReclaim(transaction, range, { sequence, place, parked });
    }
  }

  apply(transaction: IndexTransaction, rewriter: CellRewriter): void {
    const { cells } = this;
    for (const extent of cells.hiddenExtents) rewriter.dropLogged(extent);
    for (const key of cells.sortedKeys()) applyCell(transaction, rewriter, cells, key);
    for (const [container, epochs] of this.#snapshots) {
      const key = snapshotsKey(container);
      if (epochs.length === 0) transaction.remove("meta", key);
      else transaction.put("meta", key, encodeNumbers(key, epochs));
    }
    for (const [container, { epoch }] of this.#highestEpochs) {
      const key = aggregatedKey(container);
      const row = transaction.get("meta", key);
      if (row !== undefined && decodeNumbers(key, row, 1)[0]! >= epoch) continue;
      transaction.put("meta", key, encodeNumbers(key, [epoch]));
    }
  }
}

function applyCell(transaction: IndexTransaction, rewriter: CellRewriter, cells: LoggedCells, key: ByteString): void {
  const row = transaction.get("cells", key);
  const settled = row === undefined ? undefined : decodeSettledVersion(key, row);
  const place = cells.newest(key);
  const newest = cells.content(place, key);
  const older = cells.older(place);
  const hidesSettled = settled === undefined || (!settled.hasOlder && settled.epoch <= newest.epoch);
  if (hidesSettled && rewriter.showsLatestOnly(key) && cells.hides(newest.write, older)) {
    for (const hidden of chain(cells, key, older)) rewriter.dropLogged(hidden.extent);
    rewriter.supersede(key, newest.bytes, newest.write, settled);
    return;
  }
  const logged = [newest, ...chain(cells, key, older)];
  const versions = merged(rewriter, key, settledOrigins(transaction, key, settled), logged);
  rewriter.rewrite(key, versions, settled !== undefined, 0 as Epoch);
}

const NO_CONTENTS: readonly LoggedContent[] = [];

/** The cell's writes from `newest` on down. */
function chain(cells: LoggedCells, key: ByteString, newest: number): readonly LoggedContent[] {
  if (newest === NO_WRITE) return NO_CONTENTS;
  const contents: LoggedContent[] = [];
  for (let place = newest; place !== NO_WRITE; place = cells.older(place)) contents.push(cells.content(place, key));
  return contents;
}

/** The cell's versions of index and log (`logged`: last written first), newest first. Of equal epochs the last written stays, the others are dropped. */
function merged(
  rewriter: CellRewriter,
  key: ByteString,
  settled: readonly OriginVersion[],
  logged: readonly LoggedContent[],
): readonly OriginVersion[] {
  const all: OriginVersion[] = logged.map((content) => ({ content, origin: "log" }));
  // The sort is stable: of equal epochs the last written stays first.
  all.push(...settled);
  all.sort((left, right) => right.content.epoch - left.content.epoch);
  const versions: OriginVersion[] = [];
  for (const version of all) {
    if (versions.at(-1)?.content.epoch === version.content.epoch) rewriter.drop(key, version);
    else versions.push(version);
  }
  return versions;
}
