/**
 * Destaging: before frozen generations are settled, bytes of their versions that are worth a block are copied to the block
 * device in key order, so that neighbours lie together and the index keeps a short row of each instead of the bytes. SCM is
 * the write-back tier of NVMe.
 *
 * What goes: of each cell the newest version, where the rule lets it, unless a younger generation or a punch hides it by
 * now. Nothing refers to the extents before the settle commits; whatever it does not take is given back. A device that
 * fails or is full costs nothing but that the rest is settled inline.
 *
 * It works in slices and holds one buffer, with one durable write in flight.
 */
import type { ByteString } from "../base/bytes.ts";
import { checksumOfChunks, checksumOfZeros, joinChecksums } from "../base/checksum-join.ts";
import { DaosError, hasCode } from "../base/errors.ts";
import { BLOCK_BYTES, KIB, MIB } from "../base/limits.ts";
import type { BlockDevice } from "../contracts/block-device.ts";
import type { Timers } from "../contracts/world.ts";
import type { DestageRule, ExtentRef } from "./cell.ts";
import { type DestagedList, NOTHING_DESTAGED } from "./destaged.ts";
import { chunkChecksums, type Extents } from "./extents.ts";
import type { Generations } from "./generations.ts";
import type { LoggedVersion } from "./logged-version.ts";
import { Punches } from "./punches.ts";
import { SortedRuns } from "./sorted-runs.ts";

/** Versions go when they have more bytes than this for each block that they would take. */
export const DESTAGE_BLOCK_BYTES = 2 * KIB;
/** Most bytes of one write to the device. */
export const DESTAGE_RUN_BYTES = 1 * MIB;
/** Cells that are looked at, and sorted, before other work runs. */
const SLICE_CELLS = 2048;

interface Candidate {
  readonly key: ByteString;
  readonly version: LoggedVersion;
  /** Where its bytes begin in its first block. */
  readonly lead: number;
}

export interface DestagerOptions {
  readonly device: BlockDevice;
  readonly extents: Extents;
  readonly generations: Generations;
  readonly timers: Timers;
  /** Without it nothing goes. */
  readonly rule: DestageRule | undefined;
}

/** What was destaged for one settle. Kept as numbers: there are as many as a generation has cells. */
export class Destaging {
  readonly #extents: Extents;
  readonly #versions: LoggedVersion[] = [];
  readonly #offsets: number[] = [];
  readonly #lengths: number[] = [];
  readonly #checksums: number[] = [];

  constructor(extents: Extents) {
    this.#extents = extents;
  }

  add(version: LoggedVersion, { offset, length, checksums }: ExtentRef): void {
    this.#versions.push(version);
    this.#offsets.push(offset);
    this.#lengths.push(length);
    for (const checksum of checksums) this.#checksums.push(checksum);
  }

  get count(): number {
    return this.#versions.length;
  }

  list(): DestagedList {
    if (this.#versions.length === 0) return NOTHING_DESTAGED;
    return {
      places: Float64Array.from(this.#versions, ({ place }) => place),
      offsets: Float64Array.from(this.#offsets),
      lengths: Uint32Array.from(this.#lengths),
      checksums: Uint32Array.from(this.#checksums),
    };
  }

  /**
   * The settle has ended: what was destaged of records up to this sequence is the index's, the rest is given back. Returns
   * the bytes that stay. Called once.
   */
  settledTo(sequence: number): number {
    let bytes = 0;
    for (const [entry, version] of this.#versions.entries()) {
      const length = this.#lengths[entry]!;
      if (version.writtenSequence <= sequence) bytes += length;
      else this.#extents.abandon({ offset: this.#offsets[entry]!, length });
    }
    return bytes;
  }
}

export class Destager {
  readonly #options: DestagerOptions;

  constructor(options: DestagerOptions) {
    this.#options = options;
  }

  /**
   * Destages what the generations up to the segment of this ordinal have; they are frozen, and stay until it is done. Of
   * records up to `settledSequence` the index has everything. Failures of the device end it early.
   */
  async destage(lastOrdinal: number, settledSequence: number): Promise<Destaging> {
    const { device, extents, rule } = this.#options;
    const destaging = new Destaging(extents);
    if (rule === undefined || device.health().state !== "normal") return destaging;
    const candidates = await this.#candidates(rule, lastOrdinal, settledSequence);
    if (candidates.peek() === undefined) return destaging;
    try {
      await this.#write(candidates, lastOrdinal, destaging);
    } catch (error) {
      if (!(error instanceof DaosError)) throw error;
    }
    return destaging;
  }

  /** The newest version of each cell that is worth it, by key. */
  async #candidates(rule: DestageRule, lastOrdinal: number, settledSequence: number): Promise<SortedRuns<Candidate>> {
    const runs = new SortedRuns<Candidate>();
    const frozen = this.#options.generations.frozenUpTo(lastOrdinal);
    let visits = 0;
    for (const [place, memtable] of frozen.entries()) {
      let run: Candidate[] = [];
      for (const [key, version] of memtable.cells()) {
        visits += 1;
        if (visits % SLICE_CELLS === 0) {
          runs.add(run);
          run = [];
          await this.#pause();
        }
        const { writtenSequence } = version;
        if (version.inlineLength <= DESTAGE_BLOCK_BYTES || writtenSequence <= settledSequence) continue;
        if (writtenSequence === Number.POSITIVE_INFINITY) continue;
        if (frozen.some((younger, before) => before < place && younger.newest(key) !== undefined)) continue;
        const lead = rule(version);
        if (lead === undefined || !isWorthIt(version, lead)) continue;
        run.push({ key, version, lead });
      }
      runs.add(run);
    }
    return runs;
  }

  async #write(candidates: SortedRuns<Candidate>, lastOrdinal: number, destaging: Destaging): Promise<void> {
    const { device } = this.#options;
    const punches = new Punches(this.#options.generations.punches());
    const buffer = device.allocate(DESTAGE_RUN_BYTES);
    try {
      while (candidates.peek() !== undefined) {
        const packed = this.#pack(candidates, lastOrdinal, punches, buffer);
        if (packed.length === 0) await this.#pause();
        else await this.#writePacked(packed, 0, packed.length, buffer, destaging);
      }
    } finally {
      device.release(buffer);
    }
  }

  /** Lays the next candidates, as many as fit and a slice has, into the buffer, one behind the other. */
  #pack(
    candidates: SortedRuns<Candidate>,
    lastOrdinal: number,
    punches: Punches,
    buffer: Uint8Array,
  ): readonly Packed[] {
    const packed: Packed[] = [];
    let position = 0;
    for (let visits = 0; visits < SLICE_CELLS; visits += 1) {
      const next = candidates.peek();
      if (next === undefined) break;
      const { key, version, lead } = next;
      const end = position + blocksOf(version, lead) * BLOCK_BYTES;
      if (end > buffer.length) break;
      candidates.take();
      const isHidden =
        this.#options.generations.isOverwrittenAfter(lastOrdinal, key) || punches.hide(key, version.epoch);
      if (isHidden) continue;
      const length = lead + version.inlineLength;
      buffer.fill(0, position, position + lead);
      buffer.set(version.inline!, position + lead);
      buffer.fill(0, position + length, end);
      const checksums = chunkChecksums(buffer.subarray(position, position + length));
      // What is not what was stored stays in the log, where it is found out when it is settled.
      const expected = joinChecksums(checksumOfZeros(lead), version.checksum, version.inlineLength);
      if (checksumOfChunks(checksums, 0, length) !== expected) continue;
      packed.push({ version, position, end, length, checksums });
      position = end;
    }
    return packed;
  }

  /** Writes packed versions [from, to) in one piece, or, where there is no room for that, in halves. */
  async #writePacked(
    packed: readonly Packed[],
    from: number,
    to: number,
    buffer: Uint8Array,
    destaging: Destaging,
  ): Promise<void> {
    const start = packed[from]!.position;
    try {
      const offset = await this.#options.extents.writeRun(buffer.subarray(start, packed[to - 1]!.end));
      for (const { version, position, length, checksums } of packed.slice(from, to)) {
        destaging.add(version, { offset: offset + position - start, length, checksums });
      }
    } catch (error) {
      if (to - from === 1 || !hasCode(error, "NO_SPACE")) throw error;
      const middle = (from + to) >> 1;
      await this.#writePacked(packed, from, middle, buffer, destaging);
      await this.#writePacked(packed, middle, to, buffer, destaging);
    }
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => this.#options.timers.soon(resolve));
  }
}

/** A version as it lies in the buffer. */
interface Packed {
  readonly version: LoggedVersion;
  readonly position: number;
  /** Of its last block. */
  readonly end: number;
  /** Bytes of its extent. */
  readonly length: number;
  readonly checksums: Uint32Array;
}

function blocksOf(version: LoggedVersion, lead: number): number {
  return Math.ceil((lead + version.inlineLength) / BLOCK_BYTES);
}

function isWorthIt(version: LoggedVersion, lead: number): boolean {
  const blocks = blocksOf(version, lead);
  return version.inlineLength > blocks * DESTAGE_BLOCK_BYTES && blocks * BLOCK_BYTES <= DESTAGE_RUN_BYTES;
}
