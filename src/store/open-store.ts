/**
 * Makes a new store or opens an existing one: superblock, index and log are checked against each other, then what is not
 * settled is replayed. A store of a newer format, or parts of different stores, are refused with a clear error.
 */
import { asBuffer, byteString, type ByteString } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { BLOCK_BYTES } from "../base/limits.ts";
import type { BlockDevice } from "../contracts/block-device.ts";
import type { ScmRegion } from "../contracts/scm.ts";
import type { Random, Timers } from "../contracts/world.ts";
import {
  AGGREGATED_ROWS,
  clientOfKey,
  DECISION_ROWS,
  decodeDecision,
  decodeNumbers,
  decodeRequests,
  decodeStoreRow,
  encodeNumbers,
  encodeStoreRow,
  GATE_ROWS,
  FORGOTTEN_ROW,
  REQUEST_ROWS,
  SETTLED_ROW,
  SNAPSHOT_ROWS,
  STORE_ROW,
  uint32OfKey,
} from "../format/settled-row.ts";
import {
  checkStoreVersion,
  decodeSuperblock,
  encodeSuperblock,
  STORE_FORMAT_VERSION,
  STORE_ID_BYTES,
  type Superblock,
} from "../format/superblock.ts";
import type { CellUsage, DestageRule } from "./cell.ts";
import { usageOfRow } from "./cell-rewriter.ts";
import { ExtentAllocator } from "./extent-allocator.ts";
import { Extents } from "./extents.ts";
import { GateTable } from "./gate-table.ts";
import { Generations } from "./generations.ts";
import { type LogLayout, planLayout, superblockOffset, unitBytesOf } from "./log-layout.ts";
import { recoverLog } from "./log-recovery.ts";
import { Replay } from "./log-replay.ts";
import { PreparedTable } from "./prepared-table.ts";
import { RequestTable } from "./request-table.ts";
import { settledState, type TransactionPages } from "./settle-batch.ts";
import type { SettledIndex } from "./settled-index.ts";
import type { Settler } from "./settler.ts";
import { SnapshotRegistry } from "./snapshot-lists.ts";
import type { CheckedStore } from "./store-checks.ts";
import { visitSpace } from "./space-table.ts";
import type { SettledDecision } from "./target-store-parts.ts";
import { TargetStore } from "./target-store.ts";

/** 16 MiB of memory usually, 64 MiB at most. */
const TRANSACTION_PAGES: TransactionPages = { usual: 4096, smallIndex: 16_384 };
const GENERATION_CELLS = 131_072;

export interface OpenStoreOptions {
  readonly world: { readonly timers: Timers; readonly random: Random };
  /** Region, device, index and settler are the store's once it is open: `close` closes them. After a failure they are not. */
  readonly region: ScmRegion;
  readonly device: BlockDevice;
  readonly index: SettledIndex;
  readonly settler: Settler;
  /** Format: the region and the index are new and empty. */
  readonly create: boolean;
  /** Size of a log segment when creating; a sixteenth of the region, at most 32 MiB, unless given. */
  readonly segmentBytes?: number;
  /** How large the transactions of a settle are. */
  readonly transactionPages?: TransactionPages;
  /** Which inline bytes may move to the device when they are settled; without it none do. */
  readonly destageRule?: DestageRule;
  /** A generation of the log has so many cells, and what else its last segment holds. */
  readonly generationCells?: number;
}

/**
 * Throws CORRUPT (damage, lost records, parts of different stores), VERSION (another format), ALREADY_EXISTS (create over
 * an existing index), INVALID_ARGUMENT (a region too small), IO.
 */
export async function openStore(options: OpenStoreOptions): Promise<CheckedStore> {
  const superblock = options.create ? await createStore(options) : await reopenSuperblock(options);
  return recover(options, superblock);
}

async function createStore(options: OpenStoreOptions): Promise<Superblock> {
  const { region, device, index, world } = options;
  if (index.get("meta", STORE_ROW) !== undefined) {
    throw new DaosError("ALREADY_EXISTS", 'Cannot create "store": its index has one already. Remove it or open it.');
  }
  const layout = planLayout(region.bytes.length, region.granularityBytes, options.segmentBytes);
  const idBytes = new Uint8Array(STORE_ID_BYTES);
  world.random.fill(idBytes);
  const superblock: Superblock = {
    storeId: byteString(idBytes),
    generation: 1,
    regionBytes: region.bytes.length,
    segmentBytes: layout.segmentBytes,
    segmentCount: layout.segmentCount,
    deviceBytes: device.sizeBytes,
  };
  index.transact((transaction) => {
    transaction.put("meta", STORE_ROW, encodeStoreRow(superblock.storeId, STORE_FORMAT_VERSION));
    transaction.put("meta", SETTLED_ROW, encodeNumbers(SETTLED_ROW, [0, 0]));
  });
  index.refresh();
  await writeSuperblock(region, 0, superblock);
  await writeSuperblock(region, 1, superblock);
  return superblock;
}

async function writeSuperblock(region: ScmRegion, copy: number, superblock: Superblock): Promise<void> {
  const unitBytes = unitBytesOf(region.granularityBytes);
  const offset = superblockOffset({ unitBytes }, copy);
  const bytes = asBuffer(region.bytes);
  bytes.fill(0, offset, offset + unitBytes);
  encodeSuperblock(bytes, offset, superblock);
  await region.persist(offset, unitBytes);
}

/** Finds the superblock and makes this opening's generation durable, in the copy that is not the newest. */
async function reopenSuperblock(options: OpenStoreOptions): Promise<Superblock> {
  const { region, device, index } = options;
  const unitBytes = unitBytesOf(region.granularityBytes);
  const copies = [0, 1].map((copy) => decodeSuperblock(region.bytes, superblockOffset({ unitBytes }, copy)));
  const found = copies.reduce((best, copy) => ((copy?.generation ?? 0) > (best?.generation ?? 0) ? copy : best));
  if (found === undefined) {
    throw corrupt("region", "it has no superblock");
  }
  if (found.regionBytes !== region.bytes.length) {
    throw corrupt("region", `it has ${region.bytes.length} bytes and was made with ${found.regionBytes}`);
  }
  if (found.deviceBytes > device.sizeBytes) {
    throw corrupt("device", `it has ${device.sizeBytes} bytes and was ${found.deviceBytes}`);
  }
  const row = index.get("meta", STORE_ROW);
  if (row === undefined) throw corrupt("settled index", "it is empty and the log is not");
  const { storeId, version } = decodeStoreRow(row);
  checkStoreVersion(version, "settled index");
  if (storeId !== found.storeId) throw corrupt("store", "its region and its index belong to different stores");
  const superblock = { ...found, generation: found.generation + 1 };
  // The superblock says the new version before anything else does.
  await writeSuperblock(region, copies[0] === found ? 1 : 0, superblock);
  if (version !== STORE_FORMAT_VERSION) {
    index.transact((transaction) => {
      transaction.put("meta", STORE_ROW, encodeStoreRow(storeId, STORE_FORMAT_VERSION));
    });
    index.refresh();
  }
  return superblock;
}

function layoutOf(superblock: Superblock, region: ScmRegion): LogLayout {
  const { segmentBytes, segmentCount } = superblock;
  const unitBytes = unitBytesOf(region.granularityBytes);
  const fits = 2 * unitBytes + segmentBytes * segmentCount <= region.bytes.length;
  if (!fits || segmentBytes % unitBytes !== 0 || segmentBytes === 0 || segmentCount === 0) {
    throw corrupt("region", `its ${segmentCount} segments of ${segmentBytes} bytes do not fit this device`);
  }
  return { granularityBytes: region.granularityBytes, unitBytes, segmentBytes, segmentCount };
}

async function recover(options: OpenStoreOptions, superblock: Superblock): Promise<CheckedStore> {
  const { region, index } = options;
  const { storeId } = superblock;
  const layout = layoutOf(superblock, region);
  const state = settledState(index);
  const transactionPages = options.transactionPages ?? TRANSACTION_PAGES;
  const generations = new Generations(options.generationCells ?? GENERATION_CELLS);
  const snapshots = new SnapshotRegistry();
  const gates = new GateTable();
  const allocator = new ExtentAllocator(Math.floor(options.device.sizeBytes / BLOCK_BYTES));
  const requests = new RequestTable();
  const settled = readSettled(index, { snapshots, gates, requests });
  takeSettledBlocks(index, allocator);
  const prepared = new PreparedTable(generations);
  const bytes = asBuffer(region.bytes);
  const replay = new Replay({ bytes, generations, snapshots, allocator, prepared, requests });
  const log = await recoverLog({
    region,
    layout,
    storeId,
    ...state,
    generation: superblock.generation,
    replay: (record) => replay.add(record),
    segmentEnded: (ordinal) => replay.segmentEnded(ordinal),
  });
  return new TargetStore({
    ...options,
    ...options.world,
    ...settled,
    ...log,
    storeId,
    layout,
    generations,
    prepared,
    requests,
    decisions: replay.decisions(),
    transactionPages,
    snapshots,
    gates,
    generation: superblock.generation,
    extents: new Extents(options.device, allocator),
  });
}

/** What the index knows of the containers. */
function readSettled(
  index: SettledIndex,
  { snapshots, gates, requests }: { snapshots: SnapshotRegistry; gates: GateTable; requests: RequestTable },
): { usage: Map<number, CellUsage>; aggregatedTo: Map<number, Epoch>; decided: readonly SettledDecision[] } {
  const usage = new Map<number, CellUsage>();
  const aggregatedTo = new Map<number, Epoch>();
  const decided: SettledDecision[] = [];
  const rows = index.cursor("usage", "" as ByteString, "" as ByteString, false);
  for (; rows.key !== undefined; rows.next()) usage.set(uint32OfKey(rows.key), usageOfRow(rows.key, rows.value));
  const meta = index.cursor("meta", "" as ByteString, "" as ByteString, false);
  for (; meta.key !== undefined; meta.next()) {
    if (meta.key.startsWith(AGGREGATED_ROWS)) {
      const [epoch] = decodeNumbers(meta.key, meta.value, 1) as [Epoch];
      aggregatedTo.set(uint32OfKey(meta.key, AGGREGATED_ROWS.length), epoch);
    } else if (meta.key.startsWith(SNAPSHOT_ROWS)) {
      const epochs = decodeNumbers(meta.key, meta.value) as Epoch[];
      snapshots.restore(uint32OfKey(meta.key, SNAPSHOT_ROWS.length), epochs);
    } else if (meta.key.startsWith(GATE_ROWS)) {
      const [used, keptTo] = decodeNumbers(meta.key, meta.value, 2) as [Epoch, Epoch];
      gates.restore(uint32OfKey(meta.key, GATE_ROWS.length), used, keptTo);
    } else if (meta.key.startsWith(DECISION_ROWS)) {
      decided.push(decodeDecision(meta.key, meta.value));
    } else if (meta.key === FORGOTTEN_ROW) {
      requests.forget(decodeNumbers(meta.key, meta.value, 1)[0] as Epoch);
    } else if (meta.key.startsWith(REQUEST_ROWS)) {
      requests.restore(clientOfKey(meta.key), decodeRequests(meta.key, meta.value));
    }
  }
  return { usage, aggregatedTo, decided };
}

function takeSettledBlocks(index: SettledIndex, allocator: ExtentAllocator): void {
  visitSpace(index, (firstBlock, bits) => {
    for (let place = 0; place < bits.length; place += 1) {
      const byte = bits[place]!;
      for (let bit = 0; byte >>> bit !== 0; bit += 1) {
        if (((byte >>> bit) & 1) === 1 && !allocator.take(firstBlock + place * 8 + bit, 1)) {
          throw corrupt("settled index", `block ${firstBlock + place * 8 + bit} is beyond the device`);
        }
      }
    }
  });
}

function corrupt(what: string, state: string): DaosError {
  return new DaosError(
    "CORRUPT",
    `Cannot open "${what}": ${state}. Restore the target from its redundancy or a backup.`,
  );
}
