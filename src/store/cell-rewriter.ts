/**
 * Writes merged cells into the settled index within one transaction, and keeps the accounts that go with it: block
 * bitmap, usage of each container, and the blocks that became free.
 */
import type { ByteString } from "../base/bytes.ts";
import { EPOCH_MAX, type Epoch } from "../base/epoch.ts";
import { BLOCK_BYTES } from "../base/limits.ts";
import {
  AGGREGATED_ROWS,
  decodeNumbers,
  encodeNumbers,
  GATE_ROWS,
  SNAPSHOT_ROWS,
  uint32Key,
  uint32OfKey,
} from "../format/settled-row.ts";
import type { LoggedWrite, RecordExtent } from "../format/log-record.ts";
import {
  encodeSettledVersion,
  encodeSettledWrite,
  historyKey,
  type SettledContent,
  type SettledVersion,
  settledVersionBytes,
  settledWriteBytes,
} from "../format/settled-version.ts";
import type { CellUsage, GateRule } from "./cell.ts";
import { type MergeRule, type MergeVersion, versionsToKeep } from "./cell-merge.ts";
import type { KeptViews } from "./kept-views.ts";
import { allSettled } from "./settled-cells.ts";
import { hasReclaim, noReclaims } from "./reclaim-table.ts";
import type { IndexReader, IndexTransaction } from "./settled-index.ts";
import { SpaceTable } from "./space-table.ts";

/** A version with where it is now: in the log, or in one of the index's tables. */
export interface OriginVersion {
  readonly content: SettledContent;
  readonly origin: "log" | "cells" | "history";
  /** For one in table `cells`: its row says that history has older ones. */
  readonly hasOlder?: boolean;
}

interface MutableUsage {
  scmBytes: number;
  nvmeBytes: number;
  versions: number;
}

/** What one transaction did with the gate of a container. */
interface GateUse {
  /** Something may have been dropped that a lower gate would keep. */
  isUsed: boolean;
  /** See CellChanges.keptForGates; 0: nothing. */
  keptTo: Epoch;
}

/** What a transaction changed beside the rows. */
export interface CellChanges {
  /** Blocks that are free once it is durable: offset, length, offset, length, ... */
  readonly freed: Float64Array;
  /** New usage of the containers that changed. */
  readonly usage: readonly [number, CellUsage][];
  /** By container, the gate at which all versions can go that it kept for the gate only. */
  readonly keptForGates: readonly (readonly [number, Epoch])[];
}

const NO_SNAPSHOTS: readonly Epoch[] = [];

/** Bytes that a version counts for in a container's usage. */
export function versionBytes(key: ByteString, content: SettledContent): number {
  return key.length + settledVersionBytes(content);
}

export class CellRewriter {
  readonly #transaction: IndexTransaction;
  readonly #views: KeptViews;
  readonly isGated: GateRule;
  readonly #gateUses = new Map<number, GateUse>();
  readonly #space: SpaceTable;
  readonly #usage = new Map<number, MutableUsage>();
  readonly #noReclaims: boolean;
  readonly #freed: number[] = [];

  /** The transaction's own reclaims have been added. */
  constructor(transaction: IndexTransaction, views: KeptViews, isGated: GateRule) {
    this.#transaction = transaction;
    this.#views = views;
    this.isGated = isGated;
    this.#space = new SpaceTable(transaction);
    this.#noReclaims = noReclaims(transaction);
  }

  /**
   * Brings the cell's rows to what must be kept of `versions` (newest first, epochs descending; all that the index has of
   * the cell, and new ones). `hasRow`: table `cells` has the cell. `punchedTo`: see MergeRule. Returns how many at or
   * before `punchedTo` stay.
   */
  rewrite(key: ByteString, versions: readonly OriginVersion[], hasRow: boolean, punchedTo: Epoch): number {
    const container = uint32OfKey(key);
    const contents = versions.map((version) => version.content);
    const rule: MergeRule = {
      snapshots: this.#views.snapshots.get(container) ?? NO_SNAPSHOTS,
      punchedTo,
      gate: this.isGated(key) ? this.gate(container) : EPOCH_MAX,
      holdsTombstone: (epoch) => !this.#noReclaims && hasReclaim(this.#transaction, container, epoch),
    };
    const keep = versionsToKeep(contents, rule);
    if (rule.gate < EPOCH_MAX) this.#noteGated(container, contents, rule, keep);
    const kept = versions.filter((_, index) => keep[index] === true);
    versions.forEach((version, index) => {
      if (keep[index] !== true) this.drop(key, version);
    });
    kept.forEach((version, index) => this.#store(key, version, index === 0, kept.length > 1));
    if (kept.length === 0 && hasRow) this.#transaction.remove("cells", key);
    return kept.filter((version) => version.content.epoch <= punchedTo).length;
  }

  #noteGated(container: number, versions: readonly MergeVersion[], rule: MergeRule, keep: readonly boolean[]): void {
    if (keep.includes(false)) this.useGate(container);
    const newest = versions[0]?.epoch ?? rule.gate;
    if (newest <= rule.gate) return;
    // A reclaim that holds a tombstone waits for the same gate.
    const later = versionsToKeep(versions, { ...rule, gate: EPOCH_MAX, holdsTombstone: () => false });
    if (keep.every((isKept, index) => isKept === later[index])) return;
    const use = this.#gateUse(container);
    if (newest > use.keptTo) use.keptTo = newest;
  }

  /** Has the transaction remember the container's gate: something is done that a lower one would not have allowed. */
  useGate(container: number): void {
    this.#gateUse(container).isUsed = true;
  }

  #gateUse(container: number): GateUse {
    let use = this.#gateUses.get(container);
    if (use === undefined) {
      use = { isUsed: false, keptTo: 0 as Epoch };
      this.#gateUses.set(container, use);
    }
    return use;
  }

  gate(container: number): Epoch {
    return this.#views.gates.get(container) ?? (0 as Epoch);
  }

  /** Whether nothing but the latest view counts in this cell. */
  showsLatestOnly(key: ByteString): boolean {
    return !this.#views.snapshots.has(uint32OfKey(key)) && !this.isGated(key);
  }

  /**
   * The usual case of `rewrite`, without its lists: a complete value from the log in the place of all that the index has,
   * which is `settled` or nothing, of a cell that only the latest view counts of. `bytes`: the memory the write lies in.
   */
  supersede(key: ByteString, bytes: Buffer, write: LoggedWrite, settled: SettledVersion | undefined): void {
    if (settled !== undefined) {
      this.#add(key, settled.rowBytes, settled.extent, -1);
      if (settled.extent !== undefined) this.#space.free(settled.extent);
      this.dropLogged(settled.extent);
    }
    this.#add(key, settledWriteBytes(write), write.extent, 1);
    if (write.extent !== undefined) this.#space.take(write.extent);
    this.#transaction.put("cells", key, encodeSettledWrite(key, bytes, write));
  }

  /** Gives back the blocks of an extent that the bitmap does not have. */
  dropLogged(extent: RecordExtent | undefined): void {
    if (extent !== undefined) this.#freed.push(extent.offset, extent.length);
  }

  #store(key: ByteString, version: OriginVersion, isNewest: boolean, hasOlder: boolean): void {
    const { content, origin } = version;
    if (origin === "log") this.#count(key, content, 1);
    if (origin === "log" && content.extent !== undefined) this.#space.take(content.extent);
    if (isNewest) {
      if (origin === "cells" && version.hasOlder === hasOlder) return;
      if (origin === "history") this.#transaction.remove("history", historyKey(key, content.epoch));
      this.#transaction.put("cells", key, encodeSettledVersion(key, content, hasOlder));
    } else if (origin !== "history") {
      this.#transaction.put("history", historyKey(key, content.epoch), encodeSettledVersion(key, content, false));
    }
  }

  /**
   * Accounts for a version that is not kept; one in history is removed there. One in table `cells` is left to `rewrite`,
   * which overwrites or removes the row.
   */
  drop(key: ByteString, version: OriginVersion): void {
    const { content, origin } = version;
    if (origin === "history") this.#transaction.remove("history", historyKey(key, content.epoch));
    if (origin !== "log") this.#count(key, content, -1);
    if (origin !== "log" && content.extent !== undefined) this.#space.free(content.extent);
    this.dropLogged(content.extent);
  }

  /** Removes the cell, of which these are all versions. */
  purge(key: ByteString, versions: readonly OriginVersion[]): void {
    for (const version of versions) this.drop(key, version);
    this.#transaction.remove("cells", key);
  }

  #count(key: ByteString, content: SettledContent, sign: 1 | -1): void {
    this.#add(key, settledVersionBytes(content), content.extent, sign);
  }

  #add(key: ByteString, rowBytes: number, extent: RecordExtent | undefined, sign: 1 | -1): void {
    const container = uint32OfKey(key);
    let usage = this.#usage.get(container);
    if (usage === undefined) {
      usage = { ...settledUsage(this.#transaction, container) };
      this.#usage.set(container, usage);
    }
    usage.scmBytes += sign * (key.length + rowBytes);
    usage.versions += sign;
    if (extent === undefined) return;
    usage.nvmeBytes += sign * Math.ceil(extent.length / BLOCK_BYTES) * BLOCK_BYTES;
  }

  /** Writes bitmap, usage and gates. Called once, last. */
  finish(): CellChanges {
    this.#space.flush();
    for (const [container, usage] of this.#usage) {
      const key = uint32Key(container);
      if (usage.versions === 0) this.#transaction.remove("usage", key);
      else this.#transaction.put("usage", key, encodeNumbers(key, [usage.scmBytes, usage.nvmeBytes, usage.versions]));
    }
    const keptForGates: [number, Epoch][] = [];
    for (const [container, use] of this.#gateUses) {
      this.#storeGate(container, use);
      if (use.keptTo > 0) keptForGates.push([container, use.keptTo]);
    }
    return { freed: new Float64Array(this.#freed), usage: [...this.#usage], keptForGates };
  }

  #storeGate(container: number, { isUsed, keptTo }: GateUse): void {
    const key = gateKey(container);
    const row = this.#transaction.get("meta", key);
    const [used, kept] = row === undefined ? [0, 0] : (decodeNumbers(key, row, 2) as [number, number]);
    const next = [Math.max(used, isUsed ? this.gate(container) : 0), Math.max(kept, keptTo)] as const;
    if (next[0] > used || next[1] > kept) this.#transaction.put("meta", key, encodeNumbers(key, next));
  }
}

/** All that the index has of a cell, newest first; `newest` is the version of table `cells`, if the cell is there. */
export function settledOrigins(
  index: IndexReader,
  key: ByteString,
  newest: SettledVersion | undefined,
): OriginVersion[] {
  if (newest === undefined) return [];
  return allSettled(index, key, newest).map((content, place) => ({
    content,
    origin: place === 0 ? "cells" : "history",
    hasOlder: content.hasOlder,
  }));
}

/** What the index says a container uses. */
export function settledUsage(index: IndexReader, container: number): CellUsage {
  const key = uint32Key(container);
  const row = index.get("usage", key);
  return row === undefined ? { scmBytes: 0, nvmeBytes: 0, versions: 0 } : usageOfRow(key, row);
}

/** The usage in a row of table `usage`. Throws CORRUPT. */
export function usageOfRow(key: ByteString, row: Uint8Array): CellUsage {
  const [scmBytes, nvmeBytes, versions] = decodeNumbers(key, row, 3) as [number, number, number];
  return { scmBytes, nvmeBytes, versions };
}

export function aggregatedKey(container: number): ByteString {
  return (AGGREGATED_ROWS + uint32Key(container)) as ByteString;
}

function gateKey(container: number): ByteString {
  return (GATE_ROWS + uint32Key(container)) as ByteString;
}

export function snapshotsKey(container: number): ByteString {
  return (SNAPSHOT_ROWS + uint32Key(container)) as ByteString;
}
