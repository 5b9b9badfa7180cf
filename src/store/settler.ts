/**
 * Settler: who does the store's background work on the settled index. InlineSettler does it in the caller's thread, for
 * tests and simulation; ThreadSettler (thread-settler.ts) has it done elsewhere.
 */
import { type GateRule, NOTHING_GATED } from "./cell.ts";
import { type MaintenanceRequest, type MaintenanceResult, maintainSlice } from "./maintenance.ts";
import { type ReadLog, settleBatch, type SettleRequest, type SettleResult } from "./settle-batch.ts";
import type { SettledIndex } from "./settled-index.ts";

/** One call at a time. A rejected call has changed nothing: NO_SPACE, CORRUPT, IO, UNAVAILABLE (the thread is gone). */
export interface Settler {
  settle(request: SettleRequest): Promise<SettleResult>;
  maintain(request: MaintenanceRequest): Promise<MaintenanceResult>;
  /** No call may be running. */
  close(): Promise<void>;
}

export class InlineSettler implements Settler {
  readonly #index: SettledIndex;
  readonly #readLog: ReadLog;
  readonly #isGated: GateRule;

  constructor(index: SettledIndex, readLog: ReadLog, isGated: GateRule = NOTHING_GATED) {
    this.#index = index;
    this.#readLog = readLog;
    this.#isGated = isGated;
  }

  async settle(request: SettleRequest): Promise<SettleResult> {
    return settleBatch(request, this.#index, this.#readLog, this.#isGated);
  }

  async maintain(request: MaintenanceRequest): Promise<MaintenanceResult> {
    return maintainSlice(request, this.#index, this.#isGated);
  }

  async close(): Promise<void> {
    /* The index is the store's. */
  }
}
