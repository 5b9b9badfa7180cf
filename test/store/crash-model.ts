/**
 * What a store must show, kept beside it: cells with all versions, punches and snapshots, as a base that is known to be
 * durable and the operations since. After a crash the operations up to the recovered sequence become the base.
 */
import { bytesEqual, type ByteString } from "../../src/base/bytes.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import { uint32OfKey } from "../../src/format/settled-row.ts";
import {
  type CellStore,
  type CellWrite,
  type ExtentRef,
  type ReclaimRange,
  type Version,
  VersionKind,
} from "../../src/store/cell.ts";

import type { Decision } from "../../src/base/dtx-id.ts";
import { recordEpoch } from "../../src/store/record-check.ts";
import { undecidedMembers } from "../../src/store/stability.ts";
import { type ModelTransaction, ModelTransactions, REQUEST_WINDOW } from "./crash-transactions.ts";

export interface ModelVersion {
  readonly epoch: Epoch;
  readonly kind: VersionKind;
  readonly meta: Uint8Array;
  /** Inline or in the extent. */
  readonly bytes: Uint8Array | undefined;
  readonly extent: ExtentRef | undefined;
}

/** What an extent must hold from byte `lead` on. */
export interface ExtentContent {
  readonly extent: ExtentRef;
  readonly lead: number;
  readonly bytes: Uint8Array;
}

/** The harness's DestageRule: three quarters of the versions that have meta, beginning anywhere in the first quarter of a block. */
export function destageLead({ metaType, meta }: Pick<Version, "metaType" | "meta">): number | undefined {
  return metaType % 4 === 0 ? undefined : (meta[1] ?? 0) * 4;
}

/** The harness's GateRule: a third of the cells, and of the ranges. */
export function isGatedCell(key: ByteString): boolean {
  return key.charCodeAt(key.length - 1) % 3 === 0;
}

interface ModelCell {
  /** Newest first. */
  readonly versions: readonly ModelVersion[];
  /** Epochs of the punches that cover it, ascending. */
  readonly punches: readonly Epoch[];
}

export interface ModelSnapshot {
  readonly container: number;
  readonly epoch: Epoch;
  readonly createdBy: number;
  removedBy: number | undefined;
}

export interface ModelOperation {
  readonly sequence: number;
  readonly writes: readonly { key: ByteString; version: ModelVersion }[];
  readonly reclaims: readonly ReclaimRange[];
}

/** An operation that is undecided, and the punches since that cover its cells. */
interface OpenOperation {
  readonly operation: ModelOperation;
  readonly punches: ReclaimRange[];
}

const NOTHING: ModelCell = { versions: [], punches: [] };
/** Punches that are watched. */
const MAX_PUNCHES = 20;
const LATEST = Number.MAX_SAFE_INTEGER as Epoch;

function insert(versions: readonly ModelVersion[], version: ModelVersion): ModelVersion[] {
  const kept = versions.filter((other) => other.epoch !== version.epoch);
  const place = kept.findIndex((other) => other.epoch < version.epoch);
  return place < 0 ? [...kept, version] : kept.toSpliced(place, 0, version);
}

/** Without tombstones that hide nothing. */
function trimmed(versions: ModelVersion[]): ModelVersion[] {
  while (versions.at(-1)?.kind === VersionKind.tombstone) versions.pop();
  return versions;
}

export class CrashModel {
  #base = new Map<ByteString, ModelCell>();
  #live = new Map<ByteString, ModelCell>();
  #operations: ModelOperation[] = [];
  /** From before the last crash and undecided after it: not in the base. */
  #open: OpenOperation[] = [];
  readonly transactions = new ModelTransactions();
  snapshots: ModelSnapshot[] = [];
  /** Epoch gates by container: as set, after a crash as the store has them. */
  readonly gates = new Map<number, Epoch>();
  /** Extents that log records name, by sequence: until they are settled. */
  logged: { sequence: number; extent: ExtentRef; operation: ModelOperation }[] = [];
  punches: {
    from: ByteString;
    to: ByteString;
    epoch: Epoch;
    marker: ByteString;
    sequence: number;
    operation: ModelOperation;
  }[] = [];
  /** Highest sequence the store called durable. */
  acknowledged = 0;
  lastEpoch = 0 as Epoch;
  /** Below this epoch the model remembers only what snapshots see. */
  prunedTo = 0 as Epoch;

  nextEpoch(): Epoch {
    this.lastEpoch = (this.lastEpoch + 1) as Epoch;
    return this.lastEpoch;
  }

  keys(): ByteString[] {
    return [...this.#live.keys()].sort();
  }

  /** The newest version of the cell, unless a punch hides it. */
  newest(key: ByteString): ModelVersion | undefined {
    const cell = this.#live.get(key) ?? NOTHING;
    return visible(cell, LATEST)[0];
  }

  /**
   * A punch is known by its tombstone, which hides other cells: it must stay while the store shows anything of them. Checks
   * that for the last punches.
   */
  checkPunches(store: CellStore): void {
    for (const { from, to, epoch, marker } of this.punches) {
      const hidden = this.keys().find((key) => {
        const newest = key >= from && key < to ? store.get(key, LATEST) : undefined;
        return newest !== undefined && newest.epoch <= epoch;
      });
      if (hidden === undefined || store.get(marker, LATEST)?.epoch === epoch) continue;
      throw new Error(`the punch at ${epoch} is forgotten while ${JSON.stringify(hidden)} is there`);
    }
  }

  /** Appends to the store and remembers. `contents`: the bytes of the extents, by write. */
  append(
    store: CellStore,
    writes: readonly CellWrite[],
    reclaims: readonly ReclaimRange[],
    contents: readonly (Uint8Array | undefined)[] = [],
    isPrepared = false,
  ): ModelOperation {
    const origin = isPrepared ? this.transactions.nextId() : undefined;
    const firstIncomplete = Math.max(1, (origin?.sequence ?? 0) - REQUEST_WINDOW + 1);
    const options = origin === undefined ? undefined : { origin, firstIncomplete, prepared: true };
    const stability = store.append(writes, reclaims, options);
    const sequence = undecidedMembers(stability)![0] ?? stability;
    const versions = writes.map((write, index) => ({
      key: write.key,
      version: {
        epoch: write.epoch,
        kind: write.kind,
        meta: write.meta.slice(),
        bytes: write.inline?.slice() ?? contents[index],
        extent: write.extent,
      },
    }));
    const operation = { sequence, writes: versions, reclaims };
    this.#operations.push(operation);
    apply(this.#live, operation);
    if (origin !== undefined) this.transactions.add(origin, operation, recordEpoch(writes, reclaims));
    for (const { extent } of writes) if (extent !== undefined) this.logged.push({ sequence, extent, operation });
    store.whenDurable(stability, (error) => {
      if (error === undefined) this.acknowledged = Math.max(this.acknowledged, sequence);
    });
    return operation;
  }

  /** Decides on an undecided record; what an aborted one wrote was never there. */
  decide(store: CellStore, transaction: ModelTransaction, decision: Decision): void {
    this.transactions.decide(store, transaction, decision);
    if (decision === "commit") return;
    this.punches = this.punches.filter(({ operation }) => operation !== transaction.operation);
    this.#show();
  }

  /** What happened up to `sequence` has happened; the rest has not. */
  recoverTo(store: CellStore, sequence: number): void {
    if (sequence < this.acknowledged) {
      throw new Error(`acknowledged ${this.acknowledged}, recovered only ${sequence}`);
    }
    this.transactions.recoverTo(store, sequence);
    const open: OpenOperation[] = [];
    const replay = (operation: ModelOperation, punches: readonly ReclaimRange[]): void => {
      const state = this.transactions.of(operation)?.state;
      if (state === "prepared") open.push({ operation, punches: [...punches] });
      else if (state !== "aborted") {
        apply(this.#base, operation);
        applyPunches(this.#base, operation, punches);
      }
      if (state === undefined || state === "committed") for (const one of open) one.punches.push(...operation.reclaims);
    };
    for (const { operation, punches } of this.#open) replay(operation, punches);
    for (const operation of this.#operations) if (operation.sequence <= sequence) replay(operation, []);
    this.#operations = [];
    this.#open = open;
    this.logged = this.logged.filter(
      (entry) => entry.operation.sequence <= sequence && !this.#isAborted(entry.operation),
    );
    this.punches = this.punches
      .filter((punch) => punch.sequence <= sequence && !this.#isAborted(punch.operation))
      .slice(-MAX_PUNCHES);
    this.snapshots = this.snapshots.filter((snapshot) => snapshot.createdBy <= sequence);
    for (const snapshot of this.snapshots) {
      if (snapshot.removedBy !== undefined && snapshot.removedBy > sequence) snapshot.removedBy = undefined;
    }
    this.snapshots = this.snapshots.filter((snapshot) => snapshot.removedBy === undefined);
    for (const [container, gate] of this.gates) {
      const recovered = store.gate(container);
      if (recovered > gate) throw new Error(`gate ${recovered} of container ${container} is above ${gate}`);
      this.gates.set(container, recovered);
    }
    this.#prune();
    this.prunedTo = this.lastEpoch;
    this.#show();
  }

  /** Records that a crash left undecided were decided again. */
  redecided(): void {
    this.punches = this.punches.filter(({ operation }) => !this.#isAborted(operation));
    this.#show();
  }

  #isAborted(operation: ModelOperation): boolean {
    return this.transactions.of(operation)?.state === "aborted";
  }

  /** What the store must show now. */
  #show(): void {
    this.#live = new Map(this.#base);
    for (const { operation, punches } of this.#open) {
      if (this.#isAborted(operation)) continue;
      apply(this.#live, operation);
      applyPunches(this.#live, operation, punches);
    }
    for (const operation of this.#operations) if (!this.#isAborted(operation)) apply(this.#live, operation);
  }

  /** Forgets versions that no viewer sees. */
  #prune(): void {
    for (const [key, cell] of this.#base) {
      const seen = new Set<ModelVersion>();
      const viewers = this.#cellViewers(key, cell);
      for (const viewer of viewers) {
        for (const version of visible(cell, viewer)) seen.add(version);
      }
      const versions = cell.versions.filter((version) => seen.has(version));
      // The store may still show what a punch hides: the punches that viewers go by are remembered.
      const floors = new Set(viewers.map((viewer) => floorOf(cell, viewer)));
      const punches = cell.punches.filter((epoch) => floors.has(epoch));
      if (versions.length === 0 && punches.length === 0) this.#base.delete(key);
      else this.#base.set(key, { versions, punches });
    }
  }

  /** Epochs of the container that must be readable. */
  viewers(container: number): Epoch[] {
    const own = this.snapshots.filter((snapshot) => snapshot.container === container);
    return [LATEST, ...own.map((snapshot) => snapshot.epoch)];
  }

  gate(container: number): Epoch {
    return this.gates.get(container) ?? (0 as Epoch);
  }

  /** Epochs at which the cell must be readable; of those above the gate all that may differ. */
  cellViewers(key: ByteString): Epoch[] {
    return this.#cellViewers(key, this.#live.get(key) ?? NOTHING);
  }

  #cellViewers(key: ByteString, { versions, punches }: ModelCell): Epoch[] {
    const container = uint32OfKey(key);
    const viewers = this.viewers(container);
    if (!isGatedCell(key)) return viewers;
    const gate = this.gate(container);
    const above = [...versions.map(({ epoch }) => epoch), ...punches].filter((epoch) => epoch > gate);
    return [...viewers, gate, ...above];
  }

  /** Epochs of the snapshots that count, ascending. */
  snapshotEpochs(container: number): Epoch[] {
    return this.viewers(container)
      .slice(1)
      .sort((left, right) => left - right);
  }

  /** Compares what the store shows of the cell at `viewer`; returns the extents whose bytes are still to be compared. */
  check(store: CellStore, key: ByteString, viewer: Epoch): ExtentContent[] {
    const cell = this.#live.get(key) ?? NOTHING;
    const expected = trimmed(visible(cell, viewer));
    const floor = floorOf(cell, viewer);
    const found: Version[] = [];
    store.versions(key, viewer, (version) => {
      if (version.epoch > viewer) throw new Error(`version ${version.epoch} is newer than ${viewer}`);
      if (version.epoch > floor) found.push(version);
      return true;
    });
    while (found.at(-1)?.kind === VersionKind.tombstone) found.pop();
    const where = `cell ${JSON.stringify(key)} at ${viewer}`;
    if (found.length !== expected.length) {
      const list = (versions: readonly { epoch: number; kind: number }[]): string =>
        versions.map((version) => `${version.epoch}/${version.kind}`).join(" ");
      throw new Error(`${where}: expected [${list(expected)}], found [${list(found)}]`);
    }
    return found.flatMap((version, index) => compare(where, expected[index]!, version));
  }

  /** Compares a scan of the whole container with the cells that must be in it, as far as they can be read there. */
  checkScan(store: CellStore, container: number, viewer: Epoch, reverse: boolean): void {
    const isReadable = this.viewers(container).includes(viewer) ? () => true : isGatedCell;
    const prefix = String.fromCharCode(0, 0, 0, container) as ByteString;
    const end = String.fromCharCode(0, 0, 0, container + 1) as ByteString;
    const found: ByteString[] = [];
    store.scan(
      prefix,
      end,
      viewer,
      (key, version) => {
        const floor = floorOf(this.#live.get(key) ?? NOTHING, viewer);
        if (version.epoch > floor && version.kind !== VersionKind.tombstone && isReadable(key)) found.push(key);
        return true;
      },
      { reverse },
    );
    const expected = this.keys().filter((key) => {
      const newest = visible(this.#live.get(key)!, viewer)[0];
      if (!key.startsWith(prefix) || !isReadable(key)) return false;
      return newest !== undefined && newest.kind !== VersionKind.tombstone;
    });
    if (reverse) expected.reverse();
    if (JSON.stringify(found) !== JSON.stringify(expected)) {
      throw new Error(`scan at ${viewer}: expected ${JSON.stringify(expected)}, found ${JSON.stringify(found)}`);
    }
  }
}

function apply(cells: Map<ByteString, ModelCell>, operation: ModelOperation): void {
  for (const { key, version } of operation.writes) {
    const cell = cells.get(key) ?? NOTHING;
    cells.set(key, { versions: insert(cell.versions, version), punches: cell.punches });
  }
  for (const { from, to, epoch } of operation.reclaims) {
    for (const [key, cell] of cells) {
      if (key >= from && key < to) cells.set(key, punched(cell, epoch));
    }
  }
}

function punched(cell: ModelCell, epoch: Epoch): ModelCell {
  const punches = [...cell.punches, epoch].sort((left, right) => left - right);
  return { versions: cell.versions, punches };
}

/** Punches that came later than the operation's writes, which the map knew nothing of then. */
function applyPunches(
  cells: Map<ByteString, ModelCell>,
  operation: ModelOperation,
  punches: readonly ReclaimRange[],
): void {
  for (const { key } of operation.writes) {
    for (const { from, to, epoch } of punches) {
      if (key >= from && key < to) cells.set(key, punched(cells.get(key)!, epoch));
    }
  }
}

/** Versions at or before it are hidden from the viewer. */
function floorOf(cell: ModelCell, viewer: Epoch): number {
  return cell.punches.findLast((epoch) => epoch <= viewer) ?? -1;
}

function visible(cell: ModelCell, viewer: Epoch): ModelVersion[] {
  const floor = floorOf(cell, viewer);
  const seen: ModelVersion[] = [];
  for (const version of cell.versions) {
    if (version.epoch > viewer) continue;
    if (version.epoch <= floor) break;
    seen.push(version);
    if (version.kind !== VersionKind.part) break;
  }
  return seen;
}

function compare(where: string, expected: ModelVersion, found: Version): ExtentContent[] {
  // What was written inline may have been destaged: then it begins where the rule says.
  const lead = expected.extent === undefined && expected.bytes !== undefined ? destageLead(found) : undefined;
  if (found.extent !== undefined && lead !== undefined) {
    const isWhole = found.extent.length === lead + expected.bytes!.length && found.inline === undefined;
    if (!isWhole || expected.epoch !== found.epoch || !bytesEqual(expected.meta, found.meta)) {
      throw new Error(`${where}: a destaged version of epoch ${found.epoch} differs from ${expected.epoch}`);
    }
    return [{ extent: found.extent, lead, bytes: expected.bytes! }];
  }
  const same =
    expected.epoch === found.epoch &&
    expected.kind === found.kind &&
    bytesEqual(expected.meta, found.meta) &&
    expected.extent?.offset === found.extent?.offset &&
    expected.extent?.length === found.extent?.length;
  if (!same) throw new Error(`${where}: expected epoch ${expected.epoch}, found ${found.epoch} or other content`);
  if (found.extent !== undefined) return [{ extent: found.extent, lead: 0, bytes: expected.bytes! }];
  if (expected.bytes === undefined ? found.inline !== undefined : !bytesEqual(expected.bytes, found.inline!)) {
    throw new Error(`${where}: bytes differ`);
  }
  return [];
}
