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
import type { LoggedWrite, LogRecord, RecordExtent } from "../format/log-record.ts";
import { segmentSeed } from "../format/segment-header.ts";
import { decodeNumbers, encodeNumbers, SETTLED_ROW, uint32OfKey } from "../format/settled-row.ts";
import { decodeSettledVersion, type SettledContent, type SettledVersion } from "../format/settled-version.ts";
import { type CellUsage, type ReclaimRange, VersionKind } from "./cell.ts";
import {
  aggregatedKey,
  CellRewriter,
  type OriginVersion,
  settledOrigins,
  type SnapshotLists,
  snapshotsKey,
} from "./cell-rewriter.ts";
import type { SegmentSpan } from "./log.ts";
import { alignUp } from "./log-layout.ts";
import { addReclaim } from "./reclaim-table.ts";
import { SegmentReader } from "./segment-reader.ts";
import type { IndexReader, IndexSpace, IndexTransaction, SettledIndex } from "./settled-index.ts";

/** Reads durable bytes of the region. The result is the caller's. */
export type ReadLog = (offset: number, length: number) => Uint8Array;

export interface SettleRequest {
  readonly storeId: ByteString;
  readonly granularityBytes: number;
  /** Sealed, durable, oldest first, without a gap. The first ones may be settled already. */
  readonly spans: readonly SegmentSpan[];
  /**
   * A transaction takes whole segments until they have so many cells. LMDB keeps the pages of a transaction in memory, and
   * sorted by insertion: the cost of a page grows with their number.
   */
  readonly transactionCells: number;
  /** Views to keep. */
  readonly snapshots: SnapshotLists;
}

export interface SettleResult {
  /** Of the last segment that is settled: not the last one asked for when the index became full on the way. */
  readonly lastOrdinal: number;
  /** Blocks that are free now: offset, length, offset, length, ... */
  readonly freed: Float64Array;
  /** New usage of the containers that changed. */
  readonly usage: readonly [number, CellUsage][];
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
export function settleBatch(request: SettleRequest, index: SettledIndex, readLog: ReadLog): SettleResult {
  const { nextOrdinal } = settledState(index);
  const spans = request.spans.filter(({ ordinal }) => ordinal >= nextOrdinal);
  let settled: SettleResult | undefined;
  for (let place = 0; place < spans.length;) {
    const batch = new Batch();
    const start = place;
    while (place < spans.length && (place === start || batch.cellCount < request.transactionCells)) {
      readSpan(request, spans[place]!, readLog, batch);
      place += 1;
    }
    try {
      settled = joined(settled, settleSpans(request, spans[start]!, spans[place - 1]!, batch, index));
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

/** One transaction: the batch that these segments and those between them hold. */
function settleSpans(
  request: SettleRequest,
  first: SegmentSpan,
  last: SegmentSpan,
  batch: Batch,
  index: SettledIndex,
): SettleResult {
  const result = index.transact((transaction) => {
    const state = settledState(transaction);
    if (state.nextOrdinal !== first.ordinal || state.settledSequence + 1 !== first.firstSequence) {
      throw new DaosError("CORRUPT", `Cannot settle "segment ${first.ordinal}": the index is at ${state.nextOrdinal}.`);
    }
    batch.addReclaims(transaction);
    const rewriter = new CellRewriter(transaction, request.snapshots);
    batch.apply(transaction, rewriter);
    transaction.put("meta", SETTLED_ROW, encodeNumbers(SETTLED_ROW, [last.lastSequence, last.ordinal + 1]));
    return rewriter.finish();
  });
  return { ...result, lastOrdinal: last.ordinal, reclaimsAdded: batch.reclaimCount, space: index.space() };
}

/** The result of two transactions, one after the other. */
function joined(before: SettleResult | undefined, after: SettleResult): SettleResult {
  if (before === undefined) return after;
  const freed = new Float64Array(before.freed.length + after.freed.length);
  freed.set(before.freed);
  freed.set(after.freed, before.freed.length);
  const usage = [...new Map([...before.usage, ...after.usage])];
  return { ...after, freed, usage, reclaimsAdded: before.reclaimsAdded + after.reclaimsAdded };
}

function readSpan(request: SettleRequest, span: SegmentSpan, readLog: ReadLog, batch: Batch): void {
  const length = alignUp(span.endOffset - span.offset, request.granularityBytes);
  const bytes = asBuffer(readLog(span.offset, length));
  const seed = segmentSeed(request.storeId, span.ordinal, span.generation);
  const reader = new SegmentReader(bytes, 0, length, request.granularityBytes, seed, span.firstSequence);
  for (let record = reader.next(); record !== undefined; record = reader.next()) batch.add(record, bytes);
  if (reader.nextSequence !== span.lastSequence + 1) {
    throw new DaosError(
      "CORRUPT",
      `Cannot settle "log": records ${reader.nextSequence} to ${span.lastSequence} are damaged on the medium. ` +
        "Restore the target from its redundancy or a backup.",
    );
  }
}

/** A write of the batch; its bytes are in the segment that was read. */
class LoggedContent implements SettledContent {
  readonly epoch: Epoch;
  readonly kind: 1 | 2 | 3;
  readonly extent: RecordExtent | undefined;
  readonly bytes: Buffer;
  readonly write: LoggedWrite;
  /** The write before it to the same cell. */
  readonly previous: LoggedContent | undefined;

  constructor(bytes: Buffer, write: LoggedWrite, previous: LoggedContent | undefined) {
    this.epoch = write.epoch;
    this.kind = write.kind;
    this.extent = write.extent;
    this.bytes = bytes;
    this.write = write;
    this.previous = previous;
  }

  get meta(): Uint8Array {
    return this.bytes.subarray(this.write.metaOffset, this.write.metaOffset + this.write.metaLength);
  }

  get inline(): Uint8Array | undefined {
    const { metaOffset, metaLength, inlineLength } = this.write;
    if (inlineLength < 0) return undefined;
    return this.bytes.subarray(metaOffset + metaLength, metaOffset + metaLength + inlineLength);
  }
}

/** All that the segments hold, by cell. */
class Batch {
  readonly #cells = new Map<ByteString, LoggedContent>();
  readonly #reclaims: { range: ReclaimRange; sequence: number; place: number }[] = [];
  readonly #snapshots = new Map<number, readonly Epoch[]>();
  readonly #highestEpochs = new Map<number, Epoch>();

  add(record: LogRecord, bytes: Buffer): void {
    for (const write of record.writes) {
      this.#cells.set(write.key, new LoggedContent(bytes, write, this.#cells.get(write.key)));
      const container = uint32OfKey(write.key);
      if (write.epoch > (this.#highestEpochs.get(container) ?? -1)) this.#highestEpochs.set(container, write.epoch);
    }
    record.reclaims.forEach((range, place) => this.#reclaims.push({ range, sequence: record.sequence, place }));
    for (const { container, epochs } of record.snapshots) this.#snapshots.set(container, epochs);
  }

  get cellCount(): number {
    return this.#cells.size;
  }

  get reclaimCount(): number {
    return this.#reclaims.length;
  }

  addReclaims(transaction: IndexTransaction): void {
    for (const { range, sequence, place } of this.#reclaims) addReclaim(transaction, range, sequence, place);
  }

  apply(transaction: IndexTransaction, rewriter: CellRewriter): void {
    for (const key of [...this.#cells.keys()].sort()) applyCell(transaction, rewriter, key, this.#cells.get(key)!);
    for (const [container, epochs] of this.#snapshots) {
      const key = snapshotsKey(container);
      if (epochs.length === 0) transaction.remove("meta", key);
      else transaction.put("meta", key, encodeNumbers(key, epochs));
    }
    for (const [container, epoch] of this.#highestEpochs) {
      const key = aggregatedKey(container);
      const row = transaction.get("meta", key);
      if (row !== undefined && decodeNumbers(key, row, 1)[0]! >= epoch) continue;
      transaction.put("meta", key, encodeNumbers(key, [epoch]));
    }
  }
}

function applyCell(
  transaction: IndexTransaction,
  rewriter: CellRewriter,
  key: ByteString,
  newest: LoggedContent,
): void {
  const row = transaction.get("cells", key);
  const settled = row === undefined ? undefined : decodeSettledVersion(key, row);
  if (!rewriter.hasSnapshots(uint32OfKey(key)) && supersedesAll(newest, settled)) {
    for (let older = newest.previous; older !== undefined; older = older.previous) rewriter.dropLogged(older.extent);
    rewriter.supersede(key, newest.bytes, newest.write, settled);
    return;
  }
  const versions = merged(rewriter, key, settledOrigins(transaction, key, settled), newest);
  rewriter.rewrite(key, versions, settled !== undefined, 0 as Epoch);
}

/** Whether a logged value hides every other version of its cell. */
function supersedesAll(newest: LoggedContent, settled: SettledVersion | undefined): boolean {
  if (newest.kind !== VersionKind.value) return false;
  if (settled !== undefined && (settled.hasOlder || settled.epoch > newest.epoch)) return false;
  for (let older = newest.previous; older !== undefined; older = older.previous) {
    if (older.epoch > newest.epoch) return false;
  }
  return true;
}

/** The cell's versions of index and log, newest first. Of equal epochs the last written stays, the others are dropped. */
function merged(
  rewriter: CellRewriter,
  key: ByteString,
  settled: readonly OriginVersion[],
  newest: LoggedContent,
): readonly OriginVersion[] {
  const all: OriginVersion[] = [];
  for (let logged: LoggedContent | undefined = newest; logged !== undefined; logged = logged.previous) {
    all.push({ content: logged, origin: "log" });
  }
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
