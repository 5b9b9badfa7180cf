/** What a store is made of: put together by open-store.ts, used by target-store.ts. */
import type { ByteString } from "../base/bytes.ts";
import type { DtxId } from "../base/dtx-id.ts";
import type { Epoch } from "../base/epoch.ts";
import type { BlockDevice } from "../contracts/block-device.ts";
import type { ScmRegion } from "../contracts/scm.ts";
import type { Timers } from "../contracts/world.ts";
import type { RecordDecision } from "../format/log-record-transaction.ts";
import type { CellUsage, DestageRule } from "./cell.ts";
import type { Extents } from "./extents.ts";
import type { GateTable } from "./gate-table.ts";
import type { Generations } from "./generations.ts";
import type { SegmentSpan } from "./log.ts";
import type { LogLayout } from "./log-layout.ts";
import type { PreparedTable } from "./prepared-table.ts";
import type { RequestTable } from "./request-table.ts";
import type { TransactionPages } from "./settle-batch.ts";
import type { SettledIndex } from "./settled-index.ts";
import type { Settler } from "./settler.ts";
import type { SnapshotRegistry } from "./snapshot-lists.ts";

export interface SettledDecision {
  readonly id: DtxId;
  readonly kind: 1 | 2;
}

/** What recovery found and the caller gave. All of it is the store's from now on. */
export interface TargetStoreParts {
  readonly timers: Timers;
  readonly region: ScmRegion;
  readonly device: BlockDevice;
  readonly index: SettledIndex;
  readonly settler: Settler;
  readonly storeId: ByteString;
  readonly generation: number;
  readonly layout: LogLayout;
  readonly spans: SegmentSpan[];
  readonly nextOrdinal: number;
  readonly lastSequence: number;
  readonly generations: Generations;
  readonly prepared: PreparedTable;
  readonly requests: RequestTable;
  /** Decisions found in the index. */
  readonly decided: readonly SettledDecision[];
  /** Decisions found in the log, the last of each id, with the sequences of their records. */
  readonly decisions: readonly (readonly [RecordDecision, number])[];
  /** See SettleRequest. */
  readonly transactionPages: TransactionPages;
  readonly snapshots: SnapshotRegistry;
  readonly gates: GateTable;
  readonly extents: Extents;
  /** What may be destaged; absent: nothing. */
  readonly destageRule?: DestageRule;
  /** Settled usage, by container. */
  readonly usage: Map<number, CellUsage>;
  /** Highest epoch that may have been aggregated, by container. */
  readonly aggregatedTo: Map<number, Epoch>;
}
