/**
 * The prepared records of a store, as they lie in its memtables: undecided ones, and those that were moved to the head of
 * the log and are not settled there yet. Recovery fills it, then prepared-records.ts works with it.
 *
 * Guarantees: an undecided or moved record's versions are in exactly one memtable, and read where its newest copy is; of a
 * record of which several copies were logged only the newest is settled.
 */
import { assert } from "../base/assert.ts";
import type { DtxId } from "../base/dtx-id.ts";
import type { Generations } from "./generations.ts";
import type { CarriedCell } from "./maintenance.ts";
import { DtxMap } from "./dtx-map.ts";
import type { LoggedVersion } from "./logged-version.ts";
import type { PlacedWrite, PreparedRecord } from "./prepared-record.ts";

/** Aborted records that outcomes which rest on them are told of. Older ones count as committed: nobody waits so long. */
const MAX_ABORTED_REMEMBERED = 65_536;

export class PreparedTable {
  readonly #generations: Generations;
  readonly #undecided = new DtxMap<PreparedRecord>();
  /** The same by their sequences, in the order of their newest copies: of those that share a cell, as first appended. */
  readonly #bySequence = new Map<number, PreparedRecord>();
  readonly #moved = new Set<PreparedRecord>();
  /** Sequences of the log's records that are not to be settled. */
  readonly #skipped = new Set<number>();
  readonly #aborted = new Set<number>();
  /** What the undecided ones take in the log. */
  bytes = 0;

  constructor(generations: Generations) {
    this.#generations = generations;
  }

  get size(): number {
    return this.#bySequence.size;
  }

  find(id: DtxId): PreparedRecord | undefined {
    return this.#undecided.get(id);
  }

  bySequence(sequence: number): PreparedRecord | undefined {
    return this.#bySequence.get(sequence);
  }

  /** Oldest first. */
  undecided(): Iterable<PreparedRecord> {
    return this.#bySequence.values();
  }

  wasAborted(sequence: number): boolean {
    return this.#aborted.has(sequence);
  }

  /** Takes a new record and puts its writes into the active memtable. */
  add(record: PreparedRecord, writes: readonly PlacedWrite[]): void {
    const generations = this.#generations;
    this.#enter(record, writes);
    record.home = generations.active;
    for (const write of writes) write.replaced = generations.put(write.key, write.version, write.bytes);
  }

  /** Takes a record of which a moved copy was found, and none before it. */
  addMoved(record: PreparedRecord, writes: readonly PlacedWrite[]): void {
    this.#enter(record, writes);
    this.#moved.add(record);
    this.#carry(record);
  }

  #enter(record: PreparedRecord, writes: readonly PlacedWrite[]): void {
    record.writes = writes;
    this.#undecided.add(record.id, record);
    this.#bySequence.set(record.sequence, record);
    this.bytes += record.lengthBytes;
  }

  #carry(record: PreparedRecord): void {
    const generations = this.#generations;
    record.home = generations.carried;
    for (const write of record.writes) write.version.older = undefined;
    for (const write of record.writes) write.replaced = generations.carry(write.key, write.version, write.bytes);
  }

  /**
   * Another copy of the record was logged: it takes the place of the one before. `metaOffsets`: where the bytes of each
   * write are in it.
   */
  copied(record: PreparedRecord, copySequence: number, metaOffsets: readonly number[]): void {
    this.#skipped.add(record.copySequence);
    record.copySequence = copySequence;
    this.#bySequence.delete(record.sequence);
    this.#bySequence.set(record.sequence, record);
    this.#moved.delete(record);
    this.#moved.add(record);
    for (let place = 0; place < metaOffsets.length; place += 1)
      record.writes[place]!.version.moveTo(metaOffsets[place]!);
    if (record.home === undefined) this.#carry(record);
  }

  /** The record of this sequence in the log counts for nothing. */
  skip(sequence: number): void {
    this.#skipped.add(sequence);
  }

  #remove(record: PreparedRecord): void {
    const { writes, home } = record;
    for (let place = writes.length - 1; place >= 0; place -= 1) {
      const { key, version, bytes, replaced } = writes[place]!;
      if (!this.#generations.remove(home!, key, version, bytes, replaced)) this.#unlink(version, replaced);
    }
    record.home = undefined;
  }

  /** Who replaced the version is not to bring it back, but what it replaced itself. */
  #unlink(version: LoggedVersion, replaced: LoggedVersion | undefined): void {
    for (const records of [this.#bySequence.values(), this.#moved]) {
      for (const { writes } of records) {
        for (const write of writes) if (write.replaced === version) write.replaced = replaced;
      }
    }
  }

  /** Recovery takes the record's versions out, to carry them in the order of its next copies. */
  uncarry(record: PreparedRecord): void {
    if (record.home === this.#generations.carried) this.#remove(record);
  }

  /** The record counts from now on. */
  commit(record: PreparedRecord): void {
    this.#decided(record);
    record.state = "committed";
  }

  /** The record never was. */
  abort(record: PreparedRecord): void {
    this.#decided(record);
    record.state = "aborted";
    this.#remove(record);
    this.#moved.delete(record);
    this.#skipped.add(record.copySequence);
    this.#aborted.add(record.sequence);
    if (this.#aborted.size <= MAX_ABORTED_REMEMBERED) return;
    for (const oldest of this.#aborted) {
      this.#aborted.delete(oldest);
      break;
    }
  }

  #decided(record: PreparedRecord): void {
    assert(record.state === "prepared", "a record is decided once");
    this.#undecided.delete(record.id);
    this.#bySequence.delete(record.sequence);
    this.bytes -= record.lengthBytes;
  }

  /** True when a record at or before `sequence` is undecided. */
  holds(sequence: number): boolean {
    for (const { copySequence } of this.#bySequence.values()) if (copySequence <= sequence) return true;
    return false;
  }

  /**
   * The undecided records at or before `sequence`, and later ones that write a cell of theirs: those must stay behind
   * them. Oldest first.
   */
  toMove(sequence: number): PreparedRecord[] {
    const keys = new Set<string>();
    const found: PreparedRecord[] = [];
    for (const record of this.#bySequence.values()) {
      if (record.copySequence > sequence && !record.writes.some(({ key }) => keys.has(key))) continue;
      found.push(record);
      for (const { key } of record.writes) keys.add(key);
    }
    return found;
  }

  /** What moved records write, with the epochs. */
  carriedCells(): CarriedCell[] {
    const found: CarriedCell[] = [];
    for (const record of this.#moved) {
      for (const { key, version } of record.writes) found.push({ key, epoch: version.epoch });
    }
    return found;
  }

  /** Sequences up to this one that are not to be settled, ascending. */
  skipped(upTo: number): Float64Array {
    const found = [...this.#skipped].filter((sequence) => sequence <= upTo);
    return new Float64Array(found).sort();
  }

  /**
   * The generations up to this segment were dropped, whose last record is this one. Versions that they held of moved
   * records are carried from now on; those whose newest copies are settled are no longer needed. Returns the first cell of
   * each of those.
   */
  dropped(lastOrdinal: number, lastSequence: number): PlacedWrite[] {
    for (const sequence of this.#skipped) if (sequence <= lastSequence) this.#skipped.delete(sequence);
    const settled: PlacedWrite[] = [];
    for (const record of this.#moved) {
      const isCarried = record.home === this.#generations.carried;
      if (record.copySequence <= lastSequence) {
        assert(record.state === "committed", "only what is decided is settled");
        if (isCarried) this.#remove(record);
        this.#moved.delete(record);
        if (record.writes.length > 0) settled.push(record.writes[0]!);
      } else if (!isCarried && record.home!.lastOrdinal <= lastOrdinal) {
        this.#carry(record);
      }
    }
    return settled;
  }
}
