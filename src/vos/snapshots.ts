/**
 * The containers open on a target and their snapshots. A snapshot is an epoch whose view of the container is kept; it has
 * a cell of its own, so it survives every restart with the data it keeps. The store is told of a snapshot before anything
 * newer than it can be settled, and of its end only after the end is durable.
 */
import { byteString, bytesOf, type ByteString } from "../base/bytes.ts";
import { EPOCH_MAX, EPOCH_NONE, type Epoch, type HybridLogicalClock } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { MAX_SNAPSHOTS } from "../base/limits.ts";
import { type CellStore, type CellWrite, VersionKind } from "../store/cell.ts";
import { containerOf, containerPrefix, prefixEnd, snapshotKey, snapshotStart, successor } from "./cell-key.ts";
import { NO_META, SNAPSHOT_META } from "./cell-meta.ts";
import { durable } from "./durable.ts";
import { filledAt, forgottenTo, gatedTo } from "./fill-marks.ts";
import { endOfNote } from "./holding-notes.ts";
import { ReadBound } from "./read-bound.ts";
import { transactionRange } from "./transaction-cells.ts";

/** Snapshot cells that one record ends when a container is destroyed. */
const DESTROY_BATCH = 256;
const ADMIT_BYTES = 128;
/** Of a snapshot cell's key. */
const EPOCH_BYTES = 8;

/** A container as this target knows it. */
export interface ContainerState {
  readonly number: number;
  readonly prefix: string;
  /** Ascending. Every one may be read at. */
  snapshots: SnapshotEntry[];
  /** Reads at older epochs are for snapshots only: something was filled then, without what came before. */
  filledAt: Epoch;
  /** No operation is served any more. */
  destroyed: boolean;
}

interface SnapshotEntry {
  readonly epoch: Epoch;
  state: "creating" | "ready" | "destroying";
}

export class Containers {
  readonly #store: CellStore;
  readonly #clock: HybridLogicalClock;
  readonly reads: ReadBound;
  readonly #byNumber = new Map<number, ContainerState>();
  /** Highest epoch given to a write of this target. */
  lastWriteEpoch = 0;

  /** Loads the snapshots of every container that has some. */
  constructor(store: CellStore, clock: HybridLogicalClock) {
    this.#store = store;
    this.#clock = clock;
    this.reads = new ReadBound(store, clock);
    for (let from = "" as ByteString | undefined; from !== undefined;) {
      const container = this.#firstContainer(from);
      if (container === undefined) break;
      if (this.#loadSnapshots(container).length > 0) this.open(container);
      from = container === 0xffff_ffff ? undefined : (containerPrefix(container + 1) as ByteString);
    }
  }

  #firstContainer(from: ByteString): number | undefined {
    let container: number | undefined;
    this.#store.scan(from, "\xff".repeat(64) as ByteString, EPOCH_MAX, (key) => {
      container = containerOf(key);
      return false;
    });
    return container;
  }

  #loadSnapshots(container: number): SnapshotEntry[] {
    const start = snapshotStart(containerPrefix(container));
    const entries: SnapshotEntry[] = [];
    this.#store.scan(start, successor(start) as ByteString, EPOCH_MAX, (key, version) => {
      // Fill marks lie behind.
      if (version.kind === VersionKind.tombstone || key.length !== start.length + EPOCH_BYTES) return;
      const bytes = bytesOf(byteString(bytesOf(key), start.length));
      const epoch = Buffer.from(bytes).readUInt32BE(0) * 0x1_0000_0000 + Buffer.from(bytes).readUInt32BE(4);
      entries.push({ epoch: epoch as Epoch, state: "ready" });
    });
    return entries;
  }

  /** Serves the container from now on. Opening it again changes nothing. */
  open(container: number): ContainerState {
    const known = this.#byNumber.get(container);
    if (known !== undefined) return known;
    const opened: ContainerState = {
      number: container,
      prefix: containerPrefix(container),
      snapshots: this.#loadSnapshots(container),
      filledAt: filledAt(this.#store, containerPrefix(container)),
      destroyed: false,
    };
    this.#byNumber.set(container, opened);
    this.#tellStore(opened);
    const gate = gatedTo(this.#store, opened.prefix);
    if (gate > 0) this.#store.setGate(container, gate);
    this.#store.requests.forget(forgottenTo(this.#store, opened.prefix));
    return opened;
  }

  /** Throws NOT_FOUND for a container that is not open here. */
  get(container: number): ContainerState {
    const found = this.#byNumber.get(container);
    if (found !== undefined && !found.destroyed) return found;
    throw new DaosError(
      "NOT_FOUND",
      `Cannot use container ${container}: not open on this target. Open the container again.`,
    );
  }

  #tellStore(container: ContainerState): void {
    this.#store.setSnapshots(
      container.number,
      container.snapshots.map((entry) => entry.epoch),
    );
  }

  /**
   * The epoch to read at: EPOCH_MAX for 0. Later writes get epochs above it. Throws INVALID_ARGUMENT (in the future) and
   * EPOCH_AGGREGATED.
   */
  readEpoch(container: ContainerState, epoch: Epoch): Epoch {
    if (epoch === 0) return EPOCH_MAX;
    this.checkReadEpoch(epoch);
    this.guardReadEpoch(epoch);
    if (epoch >= this.#store.aggregatedTo(container.number) && epoch >= container.filledAt) return epoch;
    if (container.snapshots.some((entry) => entry.epoch === epoch)) return epoch;
    throw new DaosError(
      "EPOCH_AGGREGATED",
      `Cannot read at epoch ${epoch}: its versions are aggregated. Read at a snapshot or the latest epoch.`,
    );
  }

  /** Throws INVALID_ARGUMENT for an epoch in the future. */
  checkReadEpoch(epoch: Epoch): void {
    if (epoch <= this.#clock.peek()) return;
    throw new DaosError(
      "INVALID_ARGUMENT",
      `Cannot read at epoch ${epoch}: it is in the future. Read at a snapshot or the latest epoch.`,
    );
  }

  /** Nothing is written at or before this epoch any more. */
  guardReadEpoch(epoch: Epoch): void {
    this.#clock.observe(epoch);
    this.reads.raise(epoch);
  }

  /** Epochs of the snapshots, also of those that are being made or ended; ascending. */
  keptSnapshots(container: ContainerState): Epoch[] {
    return container.snapshots.map((entry) => entry.epoch);
  }

  /** A new epoch for a write that is appended in this turn. */
  writeEpoch(): Epoch {
    const epoch = this.#clock.next();
    this.lastWriteEpoch = epoch;
    return epoch;
  }

  /** A write is appended in this turn at an epoch that the leader of its group gave. */
  noteWrite(epoch: Epoch): void {
    this.#clock.restore(epoch);
    if (epoch > this.lastWriteEpoch) this.lastWriteEpoch = epoch;
  }

  /** Something of the container was filled, with what the latest state and snapshots show. */
  noteFilled(container: number, epoch: Epoch): void {
    const opened = this.get(container);
    if (epoch > opened.filledAt) opened.filledAt = epoch;
  }

  /** See ContainerState; 0 for a container that is not open. */
  filledAt(container: number): Epoch {
    return this.#byNumber.get(container)?.filledAt ?? EPOCH_NONE;
  }

  /** Takes over snapshots that were made while this target was away. Durable when resolved. */
  async adoptSnapshots(number: number, epochs: readonly Epoch[]): Promise<void> {
    for (const epoch of epochs) {
      await this.#admit(ADMIT_BYTES + 8 * epochs.length, false);
      const container = this.get(number);
      if (container.snapshots.some((entry) => entry.epoch === epoch)) continue;
      this.#clock.restore(epoch);
      await this.#keep(container, epoch);
    }
  }

  /** Ascending; only those whose creation is durable. */
  listSnapshots(container: number): Epoch[] {
    return this.get(container)
      .snapshots.filter((entry) => entry.state === "ready")
      .map((entry) => entry.epoch);
  }

  /**
   * Keeps the view of the container at a new epoch, or at `at`, which must be above every write of this target (CONFLICT
   * otherwise) and within the clock's skew. Durable, with everything before it, when resolved. TOO_LARGE over MAX_SNAPSHOTS.
   */
  async createSnapshot(number: number, at?: Epoch): Promise<Epoch> {
    await this.#admit(ADMIT_BYTES + 8 * this.get(number).snapshots.length, false);
    const container = this.get(number);
    if (container.snapshots.length >= MAX_SNAPSHOTS) {
      throw new DaosError(
        "TOO_LARGE",
        `Cannot create snapshot of container ${number}: it has ${MAX_SNAPSHOTS}. Destroy one first.`,
      );
    }
    return this.#keep(container, at === undefined ? this.#clock.next() : this.#snapshotEpoch(number, at));
  }

  /** In the turn in which it was admitted. */
  async #keep(container: ContainerState, epoch: Epoch): Promise<Epoch> {
    const entry: SnapshotEntry = { epoch, state: "creating" };
    container.snapshots.push(entry);
    container.snapshots.sort((left, right) => left.epoch - right.epoch);
    this.#tellStore(container);
    const key = snapshotKey(container.prefix, epoch);
    const sequence = this.#store.append([
      { key, epoch: this.writeEpoch(), kind: VersionKind.value, meta: SNAPSHOT_META, inline: new Uint8Array(0) },
    ]);
    await durable(this.#store, sequence);
    if (entry.state === "creating") entry.state = "ready";
    return epoch;
  }

  #snapshotEpoch(number: number, at: Epoch): Epoch {
    if (at <= this.lastWriteEpoch || at < this.#store.aggregatedTo(number)) {
      throw new DaosError(
        "CONFLICT",
        `Cannot create snapshot at epoch ${at}: the target has newer writes. Retry with a newer epoch.`,
      );
    }
    if (!this.#clock.observe(at)) {
      throw new DaosError(
        "INVALID_ARGUMENT",
        `Cannot create snapshot at epoch ${at}: too far in the future. Check the clocks of the system.`,
      );
    }
    return at;
  }

  /** Lets aggregation have what only this snapshot keeps. Durable when resolved. NOT_FOUND when there is no such snapshot. */
  async destroySnapshot(number: number, epoch: Epoch): Promise<void> {
    await this.#admit(ADMIT_BYTES, true);
    const container = this.get(number);
    const entry = container.snapshots.find((candidate) => candidate.epoch === epoch);
    if (entry === undefined) {
      throw new DaosError(
        "NOT_FOUND",
        `Cannot destroy snapshot ${epoch} of container ${number}: there is none. List the snapshots.`,
      );
    }
    entry.state = "destroying";
    await durable(this.#store, this.#store.append([this.#end(container, epoch)]));
    await this.#admit(ADMIT_BYTES + 8 * container.snapshots.length, true);
    container.snapshots = container.snapshots.filter((candidate) => candidate !== entry);
    this.#tellStore(container);
  }

  #end(container: ContainerState, epoch: Epoch): CellWrite {
    return {
      key: snapshotKey(container.prefix, epoch),
      epoch: this.writeEpoch(),
      kind: VersionKind.tombstone,
      meta: NO_META,
    };
  }

  /**
   * Ends the container on this target: its operations fail from now on, its space is reclaimed in the background. May be
   * called again after a crash in the middle; the number must not be used for another container.
   */
  async destroyContainer(number: number): Promise<void> {
    const container = this.open(number);
    container.destroyed = true;
    while (container.snapshots.length > 0) {
      const batch = container.snapshots.slice(0, DESTROY_BATCH);
      await this.#admit(ADMIT_BYTES * batch.length, true);
      await durable(this.#store, this.#store.append(batch.map((entry) => this.#end(container, entry.epoch))));
      await this.#admit(ADMIT_BYTES + 8 * container.snapshots.length, true);
      container.snapshots = container.snapshots.filter((entry) => !batch.includes(entry));
      this.#tellStore(container);
    }
    await this.#admit(2 * ADMIT_BYTES, true);
    const note = endOfNote(this.#store, this, number);
    const to = (number === 0xffff_ffff ? prefixEnd("\xff".repeat(20)) : containerPrefix(number + 1)) as ByteString;
    const reclaim = { from: container.prefix as ByteString, to, epoch: this.writeEpoch() };
    const transactions = { ...transactionRange(number), epoch: reclaim.epoch };
    await durable(this.#store, this.#store.append(note === undefined ? [] : [note], [reclaim, transactions]));
  }

  async #admit(bytes: number, punch: boolean): Promise<void> {
    await this.#store.admit(bytes, { punch });
  }
}
