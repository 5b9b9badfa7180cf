/**
 * A CellStore in memory, for tests: versions in plain arrays, every rule of the contract checked or used against the
 * caller. Views given out are poisoned at the end of the turn; extents are read later than asked for; records become
 * durable only when `persist` is called (or at once); `settle` drops whatever the rules allow to drop.
 */
import { assert } from "../../src/base/assert.ts";
import type { ByteString } from "../../src/base/bytes.ts";
import { crc32 } from "../../src/base/checksum.ts";
import { type Epoch, EPOCH_NONE } from "../../src/base/epoch.ts";
import { DaosError } from "../../src/base/errors.ts";
import { BLOCK_BYTES, MAX_CELL_KEY_BYTES } from "../../src/base/limits.ts";
import { containerOf, isGatedKey } from "../../src/vos/cell-key.ts";
import {
  type CellStore,
  type CellUsage,
  type CellWrite,
  type DestageRule,
  type ExtentRef,
  type KeyRange,
  MAX_VERSION_META_BYTES,
  type ReclaimRange,
  type StoreSpace,
  type Transactions,
  type Version,
  VersionKind,
} from "../../src/store/cell.ts";

interface StoredVersion {
  readonly epoch: Epoch;
  readonly kind: VersionKind;
  readonly metaType: number;
  readonly meta: Uint8Array;
  readonly inline: Uint8Array | undefined;
  readonly extent: ExtentRef | undefined;
  readonly sequence: number;
}

interface StoredExtent {
  readonly offset: number;
  readonly bytes: Uint8Array;
  /** Slices named by versions, plus one while it was written and not appended. */
  references: number;
}

export interface ModelOptions {
  /** Records are durable at once. */
  readonly durable?: boolean;
  /** Poison views at the end of the turn. Slow; off for measurements. */
  readonly strict?: boolean;
  /** What settling moves to extents, of every size. */
  readonly destageRule?: DestageRule;
}

export class ModelStore implements CellStore {
  readonly #options: ModelOptions;
  readonly #cells = new Map<ByteString, StoredVersion[]>();
  readonly #snapshots = new Map<number, readonly Epoch[]>();
  readonly #aggregatedTo = new Map<number, Epoch>();
  readonly #gates = new Map<number, Epoch>();
  readonly #extents = new Map<number, StoredExtent>();
  readonly #callbacks: { sequence: number; callback: (error?: Error) => void }[] = [];
  #keys: ByteString[] = [];
  #sorted = true;
  #sequence = 0;
  #nextExtent = BLOCK_BYTES;
  #lent: Uint8Array[] = [];
  #visiting = 0;
  #reclaims: ReclaimRange[] = [];
  durableSequence = 0;
  /** Calls of get, versions and scan. */
  lookups = 0;
  appends = 0;
  /** Of records that are to come. */
  promisedBytes = 0;
  /** The next this many admits make the caller wait. */
  congestion = 0;
  /** Ends the next operation that needs space. */
  full = false;
  destagedBytes = 0;
  /** Extents that were read, and how many reads it took: fewer where neighbours were read as one. */
  reads = 0;
  deviceReads = 0;

  constructor(options: ModelOptions = {}) {
    this.#options = options;
  }

  admit(_recordBytes: number, options?: { punch?: boolean }): undefined | Promise<void> {
    if (this.full && options?.punch !== true) throw new DaosError("NO_SPACE", "Cannot write: the model is full.");
    if (this.congestion === 0) return undefined;
    this.congestion -= 1;
    return Promise.resolve();
  }

  promise(totalBytes: number): void {
    this.promisedBytes = totalBytes;
  }

  append(writes: readonly CellWrite[], reclaims: readonly ReclaimRange[] = []): number {
    assert(this.#visiting === 0, "no write during a visit");
    this.#sequence += 1;
    this.appends += 1;
    if (this.#options.durable === true) this.durableSequence = this.#sequence;
    for (const write of writes) this.#put(write);
    this.#reclaims.push(...reclaims);
    return this.#sequence;
  }

  #put(write: CellWrite): void {
    assert(write.key.length <= MAX_CELL_KEY_BYTES, "key within its limit");
    assert(write.meta.length <= MAX_VERSION_META_BYTES, "meta within its limit");
    assert(write.inline === undefined || write.extent === undefined, "inline or extent");
    const { inline, checksum } = write;
    assert(
      inline === undefined || checksum === undefined || checksum === crc32(inline),
      "inline bytes have their checksum",
    );
    let versions = this.#cells.get(write.key);
    if (versions === undefined) {
      versions = [];
      this.#cells.set(write.key, versions);
      this.#keys.push(write.key);
      this.#sorted = false;
    }
    const newest = versions[0];
    assert(newest === undefined || newest.epoch <= write.epoch, "epochs of a key never go back");
    if (newest?.epoch === write.epoch) this.#release(versions.shift()!);
    if (write.extent !== undefined) this.#extentOf(write.extent.offset).references += 1;
    versions.unshift({
      epoch: write.epoch,
      kind: write.kind,
      metaType: write.meta[0] ?? 0,
      meta: Uint8Array.from(write.meta),
      inline: write.inline && Uint8Array.from(write.inline),
      extent: write.extent,
      sequence: this.#sequence,
    });
  }

  #extentOf(offset: number): StoredExtent {
    for (const [start, extent] of this.#extents) {
      if (offset >= start && offset < start + Math.max(extent.bytes.length, 1)) return extent;
    }
    throw new Error(`extent ${offset} is freed or never was`);
  }

  #release(version: StoredVersion): void {
    if (version.extent === undefined) return;
    this.#dereference(version.extent.offset);
  }

  #dereference(offset: number): void {
    const extent = this.#extentOf(offset);
    extent.references -= 1;
    if (extent.references > 0) return;
    for (const [start, candidate] of this.#extents) if (candidate === extent) this.#extents.delete(start);
  }

  /** Makes everything appended so far durable and calls back. */
  persist(): void {
    this.durableSequence = this.#sequence;
    for (const { sequence, callback } of this.#callbacks.splice(0)) {
      if (sequence <= this.durableSequence) callback();
      else this.#callbacks.push({ sequence, callback });
    }
  }

  whenDurable(sequence: number, callback: (error?: Error) => void): void {
    if (sequence <= this.durableSequence) return callback();
    this.#callbacks.push({ sequence, callback });
    queueMicrotask(() => this.persist());
  }

  whenStable(sequence: number, callback: (error?: Error) => void): void {
    this.whenDurable(sequence, callback);
  }

  pending(sequence: number): number {
    return sequence > this.durableSequence ? sequence : 0;
  }

  /** The model takes no prepared records and remembers no requests. */
  readonly transactions: Transactions = {
    decide: () => false,
    logDecisions: () => 0,
    stateOf: () => undefined,
    forget: () => {},
    undecided: () => [],
    undecidedRecord: () => undefined,
    decided: () => [],
    onAborted: () => {},
    onPersist: () => {},
  };
  readonly requests = {
    completed: () => undefined,
    forgottenTo: EPOCH_NONE,
    forget: () => {},
    remembered: function* () {},
  };

  #lend(version: StoredVersion): Version {
    const sequence = version.sequence > this.durableSequence ? version.sequence : 0;
    const checksum = version.inline === undefined ? 0 : crc32(version.inline);
    if (this.#options.strict !== true) return { ...version, checksum, sequence };
    const meta = version.meta.slice();
    const inline = version.inline?.slice();
    if (this.#lent.length === 0) queueMicrotask(() => this.#poison());
    this.#lent.push(meta);
    if (inline !== undefined) this.#lent.push(inline);
    return { ...version, meta, inline, checksum, sequence };
  }

  #poison(): void {
    for (const bytes of this.#lent) bytes.fill(0xee);
    this.#lent = [];
  }

  get(key: ByteString, epoch: Epoch): Version | undefined {
    this.lookups += 1;
    const versions = this.#cells.get(key);
    if (versions === undefined) return undefined;
    for (const version of versions) if (version.epoch <= epoch) return this.#lend(version);
    return undefined;
  }

  versions(key: ByteString, epoch: Epoch, visit: (version: Version) => boolean | undefined): void {
    this.lookups += 1;
    for (const version of this.#cells.get(key) ?? []) {
      if (version.epoch > epoch) continue;
      if (visit(this.#lend(version)) === false || version.kind !== VersionKind.part) return;
    }
  }

  scan(
    from: ByteString,
    to: ByteString,
    epoch: Epoch,
    visit: (key: ByteString, version: Version) => boolean | undefined,
    options?: { reverse?: boolean },
  ): void {
    this.lookups += 1;
    const keys = this.#sortedKeys();
    const reverse = options?.reverse === true;
    this.#visiting += 1;
    try {
      for (
        let at = reverse ? lowerBound(keys, to) - 1 : lowerBound(keys, from);
        at >= 0 && at < keys.length;
        at += reverse ? -1 : 1
      ) {
        const key = keys[at]!;
        if (reverse ? key < from : key >= to) return;
        const version = this.#cells.get(key)!.find((candidate) => candidate.epoch <= epoch);
        if (version !== undefined && visit(key, this.#lend(version)) === false) return;
      }
    } finally {
      this.#visiting -= 1;
    }
  }

  #sortedKeys(): ByteString[] {
    if (!this.#sorted) this.#keys.sort((left, right) => (left < right ? -1 : left > right ? 1 : 0));
    this.#sorted = true;
    return this.#keys;
  }

  async writeExtent(buffer: Uint8Array, checksum?: number): Promise<ExtentRef> {
    assert(checksum === undefined || checksum === crc32(buffer), "bytes of an extent have their checksum");
    if (this.full) throw new DaosError("NO_SPACE", "Cannot write: the model is full.");
    await Promise.resolve();
    const bytes = Uint8Array.from(buffer);
    const offset = this.#nextExtent;
    this.#nextExtent += Math.ceil(bytes.length / BLOCK_BYTES) * BLOCK_BYTES + BLOCK_BYTES;
    this.#extents.set(offset, { offset, bytes, references: 1 });
    setImmediate(() => setImmediate(() => this.#endGrace(offset)));
    return { offset, length: bytes.length, checksums: checksumsOf(bytes) };
  }

  /** The writer's own reference ends when it had time to append or abandon. */
  #endGrace(offset: number): void {
    if (this.#extents.has(offset)) this.#dereference(offset);
  }

  sliceExtent(extent: ExtentRef, offset: number, length: number): ExtentRef {
    assert(offset % BLOCK_BYTES === 0 && offset + length <= extent.length && length > 0, "slices begin at blocks");
    assert(length % BLOCK_BYTES === 0 || offset + length === extent.length, "slices end at blocks or with the extent");
    const first = offset / BLOCK_BYTES;
    return {
      offset: extent.offset + offset,
      length,
      checksums: extent.checksums.slice(first, first + Math.ceil(length / BLOCK_BYTES)),
    };
  }

  abandoned = 0;
  abandonExtent(_extent: ExtentRef): void {
    this.abandoned += 1;
  }

  async readExtent(extent: ExtentRef, offset: number, length: number, into: Uint8Array): Promise<number> {
    assert(offset >= 0 && offset + length <= extent.length && into.length >= length, "reads stay within the extent");
    assert(extent.checksums.length === Math.ceil(extent.length / BLOCK_BYTES), "each chunk has a checksum");
    const pieces: { stored: StoredExtent; start: number; end: number }[] = [];
    const end = extent.offset + offset + length;
    for (let at = extent.offset + offset; at < end; at = pieces.at(-1)!.end) {
      const stored = this.#extentOf(at);
      stored.references += 1;
      const next = Math.ceil((stored.offset + stored.bytes.length) / BLOCK_BYTES) * BLOCK_BYTES;
      pieces.push({ stored, start: at, end: Math.min(end, next) });
    }
    await new Promise((resolve) => setImmediate(resolve));
    for (const { stored, start, end: stop } of pieces) {
      const bytes = stored.bytes.subarray(start - stored.offset, stop - stored.offset);
      into.set(bytes, start - extent.offset - offset);
      this.#dereference(stored.offset);
    }
    this.reads += pieces.length;
    this.deviceReads += 1;
    return crc32(into.subarray(0, length));
  }

  viewExtent(): undefined {
    return undefined;
  }

  dropCache(): void {
    // Nothing is kept besides.
  }

  setSnapshots(container: number, epochs: readonly Epoch[]): void {
    assert(
      epochs.every((epoch, index) => index === 0 || epochs[index - 1]! < epoch),
      "snapshots ascend",
    );
    this.#snapshots.set(container, [...epochs]);
  }

  get highestEpoch(): Epoch {
    let highest = 0;
    for (const versions of this.#cells.values()) highest = Math.max(highest, versions[0]!.epoch);
    for (const epoch of this.#aggregatedTo.values()) highest = Math.max(highest, epoch);
    return highest as Epoch;
  }

  aggregatedTo(container: number): Epoch {
    return this.#aggregatedTo.get(container) ?? (0 as Epoch);
  }

  setGate(container: number, epoch: Epoch): void {
    if (epoch > this.gate(container)) this.#gates.set(container, epoch);
  }

  gate(container: number): Epoch {
    return this.#gates.get(container) ?? (0 as Epoch);
  }

  async purge(ranges: readonly KeyRange[]): Promise<void> {
    const purged = this.#sortedKeys().filter((key) => ranges.some(({ from, to }) => key >= from && key < to));
    for (const key of purged) {
      for (const version of this.#cells.get(key)!) this.#release(version);
      this.#cells.delete(key);
    }
    this.#keys = this.#keys.filter((key) => this.#cells.has(key));
  }

  async aggregate(_container: number): Promise<void> {
    this.settle();
  }

  /** Moves inline bytes to extents of their own, side by side in the order of their keys. */
  #destage(): void {
    const rule = this.#options.destageRule;
    if (rule === undefined) return;
    this.#nextExtent += BLOCK_BYTES;
    for (const key of this.#sortedKeys()) {
      const versions = this.#cells.get(key)!;
      const [newest] = versions;
      const lead = newest?.inline === undefined ? undefined : rule(newest);
      if (lead === undefined || newest!.inline!.length === 0) continue;
      const bytes = new Uint8Array(lead + newest!.inline!.length).fill(0xdd, 0, lead);
      bytes.set(newest!.inline!, lead);
      const offset = this.#nextExtent;
      this.#nextExtent += Math.ceil(bytes.length / BLOCK_BYTES) * BLOCK_BYTES;
      this.#extents.set(offset, { offset, bytes, references: 1 });
      versions[0] = {
        ...newest!,
        inline: undefined,
        extent: { offset, length: bytes.length, checksums: checksumsOf(bytes) },
      };
      this.destagedBytes += bytes.length;
    }
    this.#nextExtent += BLOCK_BYTES;
  }

  /** Settles everything: drops what neither snapshots nor the latest state show. `keepReclaims`: leave them for later. */
  settle(keepReclaims = false): void {
    this.persist();
    for (const [key, versions] of this.#cells) {
      const container = containerOf(key);
      const newest = versions[0]!.epoch;
      if (newest > this.aggregatedTo(container)) this.#aggregatedTo.set(container, newest);
      const viewers = [Number.MAX_SAFE_INTEGER, ...(this.#snapshots.get(container) ?? [])];
      this.#keep(key, versions, this.#needed(versions, [...viewers, ...this.#gateViewers(key, versions)]));
    }
    this.#destage();
    if (keepReclaims) return;
    for (const range of this.#reclaims.splice(0)) {
      this.#reclaim(range);
      if (isGatedKey(range.from) && range.epoch > this.gate(containerOf(range.from))) this.#reclaims.push(range);
    }
  }

  /** Of a gated cell the gate, and every version above it. */
  #gateViewers(key: ByteString, versions: readonly StoredVersion[]): number[] {
    if (!isGatedKey(key)) return [];
    const gate = this.gate(containerOf(key));
    return [gate, ...versions.map(({ epoch }) => epoch).filter((epoch) => epoch > gate)];
  }

  #needed(versions: readonly StoredVersion[], epochs: readonly number[]): Set<StoredVersion> {
    const needed = new Set<StoredVersion>();
    for (const epoch of epochs) {
      for (const version of versions) {
        if (version.epoch > epoch) continue;
        needed.add(version);
        if (version.kind !== VersionKind.part) break;
      }
    }
    return needed;
  }

  #reclaim(range: ReclaimRange): void {
    for (const [key, versions] of this.#cells) {
      if (key < range.from || key >= range.to) continue;
      const viewers = [...(this.#snapshots.get(containerOf(key)) ?? []), ...this.#gateViewers(key, versions)];
      const older = viewers.filter((epoch) => epoch < range.epoch);
      const needed = this.#needed(versions, older);
      const newest = versions.find((version) => version.epoch <= range.epoch);
      if (newest?.kind === VersionKind.tombstone && needed.size > 0) needed.add(newest);
      this.#keep(
        key,
        versions,
        new Set(versions.filter((version) => version.epoch > range.epoch || needed.has(version))),
      );
    }
  }

  #keep(key: ByteString, versions: StoredVersion[], needed: ReadonlySet<StoredVersion>): void {
    for (const version of versions) if (!needed.has(version)) this.#release(version);
    const kept = versions.filter((version) => needed.has(version));
    const gate = isGatedKey(key) ? this.gate(containerOf(key)) : Number.MAX_SAFE_INTEGER;
    while (kept.at(-1)?.kind === VersionKind.tombstone && kept.at(-1)!.epoch <= gate) kept.pop();
    if (kept.length > 0) this.#cells.set(key, kept);
    else {
      this.#cells.delete(key);
      this.#keys = this.#keys.filter((candidate) => candidate !== key);
    }
  }

  get cellCount(): number {
    return this.#cells.size;
  }

  get extentCount(): number {
    return this.#extents.size;
  }

  get versionCount(): number {
    return [...this.#cells.values()].reduce((sum, versions) => sum + versions.length, 0);
  }

  usage(container: number): CellUsage {
    let versions = 0;
    let scmBytes = 0;
    for (const [key, list] of this.#cells) {
      if (containerOf(key) !== container) continue;
      versions += list.length;
      for (const version of list) scmBytes += key.length + (version.inline?.length ?? 0);
    }
    return { scmBytes, nvmeBytes: 0, versions };
  }

  isScmCrowded = false;

  space(): StoreSpace {
    return {
      scmTotalBytes: 0,
      scmUsedBytes: 0,
      logTotalBytes: 0,
      logUsedBytes: 0,
      nvmeTotalBytes: 0,
      nvmeUsedBytes: 0,
    };
  }

  async close(): Promise<void> {
    this.persist();
  }
}

function lowerBound(keys: readonly ByteString[], key: ByteString): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (keys[middle]! < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

function checksumsOf(bytes: Uint8Array): Uint32Array {
  const checksums = new Uint32Array(Math.ceil(bytes.length / BLOCK_BYTES));
  for (let chunk = 0; chunk < checksums.length; chunk += 1) {
    checksums[chunk] = crc32(bytes.subarray(chunk * BLOCK_BYTES, (chunk + 1) * BLOCK_BYTES));
  }
  return checksums;
}
