/**
 * What one shard of an erasure-coded akey shows, as plans read it (src/contracts/redundancy.ts): bytes of its local array or
 * its single value, with the epochs they were written at.
 *
 * Cells of erasure-coded objects keep all versions above the container's gate (CellStore.gate), so that they can be read at
 * any epoch from there on, whatever was aggregated.
 */
import { EPOCH_NONE, type Epoch } from "../base/epoch.ts";
import { readableEpoch } from "../base/epoch-gate.ts";
import { DaosError } from "../base/errors.ts";
import type { ExtentRun } from "../base/extent-runs.ts";
import { MAX_ARRAY_IO_BYTES } from "../base/limits.ts";
import { ObjectFlag } from "../format/object-request.ts";
import { MAX_SHARD_EXTENTS } from "../format/shard-read.ts";
import { gather } from "./array-gather.ts";
import { type Fill, overlay } from "./array-overlay.ts";
import { accessArray, byteRange, collectPieces, holdsSingle } from "./array-read.ts";
import type { ByteRun } from "./cell-meta.ts";
import { LATEST } from "./condition.ts";
import { type AkeyReadRequest, mixed, NO_BYTES, type Outcome, type SingleValues } from "./single-value.ts";
import { checkKeys, Seen, type TargetObjects } from "./target-objects.ts";

export interface ShardReadOutcome extends Outcome {
  /** Epoch that was shown; of a read of the latest, the newest it rests on. */
  readonly shownAt: Epoch;
  /** Newest epoch of what the read rests on, holes and punches included. */
  readonly newest: Epoch;
  /** 0 without an array. */
  readonly recordBytes: number;
  readonly extents: readonly ExtentRun[];
  /** INVALID_ARGUMENT when the akey holds the other kind: then there is no data of this one. */
  readonly error: DaosError | undefined;
  /** All bytes of the range, holes as zeros; empty without data. From `allocate` when the outcome came as a promise. */
  readonly bytes: Uint8Array;
  /** CRC-32 that the bytes must have, made of what they were verified by when they were stored. */
  readonly checksum: number;
}

export interface ShardRange {
  /** Bytes of the shard's local array. */
  readonly address: number;
  readonly length: number;
}

export class ShardReads {
  readonly #target: TargetObjects;
  readonly #values: SingleValues;

  constructor(target: TargetObjects, values: SingleValues) {
    this.#target = target;
    this.#values = values;
  }

  /** Up to MAX_ARRAY_IO_BYTES. Throws or rejects with TOO_LARGE, NOT_FOUND (container), EPOCH_AGGREGATED, CORRUPT, IO. */
  readArray(
    container: number,
    request: AkeyReadRequest,
    { address, length }: ShardRange,
  ): ShardReadOutcome | Promise<ShardReadOutcome> {
    checkKeys(request.dkey, request.akey);
    const target = this.#target;
    const range = byteRange({ recordIndex: address, recordCount: length, recordBytes: 1 }, 1, MAX_ARRAY_IO_BYTES);
    const epoch = this.#epoch(container, request);
    const seen = new Seen();
    const { header, version, floor, akey } = accessArray(target, container, request, epoch, seen);
    seen.epoch = Math.max(seen.epoch, floor, version?.epoch ?? 0);
    if (header === undefined) {
      const error = holdsSingle(version, floor)
        ? mixed("read an array", "a single value. Fetch it as a value")
        : undefined;
      return { ...outcomeOf(epoch, seen, 0, [], NO_BYTES), error };
    }
    const { fills } = overlay(collectPieces(target, akey, header, epoch, range, seen), range.start, range.end);
    const extents = extentsOf(fills);
    if (extents.length === 0) return outcomeOf(epoch, seen, header.recordBytes, extents, NO_BYTES);
    const isWhole = fills.reduce((bytes, { start, end }) => bytes + end - start, 0) === length;
    const bytes = target.allocate(length, isWhole ? "anything" : "zeros");
    const outcome = outcomeOf(epoch, seen, header.recordBytes, extents, bytes);
    return settled(() => gather(target, fills, range.start, bytes)).then(
      (checksum) => ({ ...outcome, checksum }),
      (error: unknown) => {
        target.release(bytes);
        throw error;
      },
    );
  }

  /** Whether a reader at this epoch sees some of the bytes as they were written at `written`. Throws NOT_FOUND (container), CORRUPT. */
  showsWritten(container: number, request: AkeyReadRequest, { address, length }: ShardRange, written: Epoch): boolean {
    const epoch = request.epoch === EPOCH_NONE ? LATEST : request.epoch;
    const seen = new Seen();
    const { header, akey } = accessArray(this.#target, container, request, epoch, seen);
    if (header === undefined) return false;
    const range = { start: address, end: address + length };
    const { fills } = overlay(collectPieces(this.#target, akey, header, epoch, range, seen), range.start, range.end);
    return fills.some(({ piece }) => piece.epoch === written);
  }

  /** The single value, whole. Errors as readArray. */
  async readValue(container: number, request: AkeyReadRequest): Promise<ShardReadOutcome> {
    const epoch = this.#epoch(container, request);
    const seen = new Seen();
    const fetching = this.#values.fetchAt(container, request, epoch, seen);
    const isOwn = fetching instanceof Promise;
    const fetched = isOwn ? await fetching : fetching;
    seen.add(fetched.sequence);
    if (!fetched.found) return { ...outcomeOf(epoch, seen, 0, [], NO_BYTES), error: fetched.error };
    const extent = { address: 0, length: fetched.value.length, epoch: fetched.epoch };
    const { value, checksum } = fetched;
    return { ...outcomeOf(epoch, seen, 0, [extent], isOwn ? value : this.#copy(value)), checksum };
  }

  #copy(view: Uint8Array): Uint8Array {
    const bytes = this.#target.allocate(view.length, "anything");
    bytes.set(view);
    return bytes;
  }

  /** The epoch to show. Throws EPOCH_AGGREGATED, INVALID_ARGUMENT. */
  #epoch(container: number, { epoch, flags = 0 }: AkeyReadRequest): Epoch {
    const { containers, store } = this.#target;
    const opened = containers.get(container);
    if (epoch === EPOCH_NONE) return LATEST;
    containers.checkReadEpoch(epoch);
    if ((flags & ObjectFlag.asStored) !== 0) return epoch;
    // A later write must not go before what was read, unless none can be on its way.
    if ((flags & ObjectFlag.epochIsSeen) === 0) containers.guardReadEpoch(epoch);
    const shown = readableEpoch(epoch, store.gate(container), containers.keptSnapshots(opened));
    if (shown === epoch || (flags & ObjectFlag.orNextReadable) !== 0) return shown;
    throw new DaosError(
      "EPOCH_AGGREGATED",
      `Cannot read at epoch ${epoch}: its versions are aggregated. Read at a snapshot or the latest epoch.`,
    );
  }
}

/** What it gives or throws, as a promise. */
async function settled<T>(action: () => T | Promise<T>): Promise<T> {
  return action();
}

function outcomeOf(
  epoch: Epoch,
  seen: Seen,
  recordBytes: number,
  extents: readonly ExtentRun[],
  bytes: Uint8Array,
): ShardReadOutcome {
  const newest = seen.epoch as Epoch;
  const shownAt = epoch === LATEST ? newest : epoch;
  return { shownAt, newest, recordBytes, extents, bytes, checksum: 0, sequence: seen.sequence, error: undefined };
}

/** Neighbours of one epoch as one; when there are too many all neighbours, under the newer epoch. */
function extentsOf(fills: readonly Fill[]): ExtentRun[] {
  const dated = fills.map(({ start, end, piece }) => ({ start, end, epoch: piece.epoch as Epoch }));
  const exact = joined(dated, (left, right) => left === right);
  const extents = exact.length <= MAX_SHARD_EXTENTS ? exact : joined(dated, () => true);
  if (extents.length <= MAX_SHARD_EXTENTS) return extents;
  const state = `it has ${extents.length} runs of data there, one answer names ${MAX_SHARD_EXTENTS}`;
  throw new DaosError("TOO_LARGE", `Cannot read the shard: ${state}. Read smaller ranges.`);
}

function joined(
  runs: readonly (ByteRun & { readonly epoch: Epoch })[],
  mayJoin: (left: Epoch, right: Epoch) => boolean,
): ExtentRun[] {
  const extents: { address: number; length: number; epoch: Epoch }[] = [];
  for (const { start, end, epoch } of runs) {
    const last = extents.at(-1);
    if (last !== undefined && last.address + last.length === start && mayJoin(last.epoch, epoch)) {
      last.length += end - start;
      if (epoch > last.epoch) last.epoch = epoch;
    } else extents.push({ address: start, length: end - start, epoch });
  }
  return extents;
}
