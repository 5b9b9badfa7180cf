/**
 * The settle thread's side of a ThreadSettler: takes requests from a message channel, works on the index and the log it
 * was given, and answers. Messages in: { call, id, request }; out: { id, result } or { id, code, message }.
 */
import { DaosError, type ErrorCode } from "../base/errors.ts";
import type { Thread } from "../contracts/world.ts";
import { type GateRule, NOTHING_GATED } from "./cell.ts";
import { type MaintenanceRequest, type MaintenanceResult, maintainSlice } from "./maintenance.ts";
import { type ReadLog, settleBatch, type SettleRequest, type SettleResult } from "./settle-batch.ts";
import type { SettledIndex } from "./settled-index.ts";

export type SettleCall =
  | { readonly call: "settle"; readonly id: number; readonly request: SettleRequest }
  | { readonly call: "maintain"; readonly id: number; readonly request: MaintenanceRequest }
  | { readonly call: "close"; readonly id: number };

export type SettleAnswer =
  | { readonly id: number; readonly result: SettleResult | MaintenanceResult | undefined }
  | { readonly id: number; readonly code: ErrorCode; readonly message: string };

/** What the thread works on; both are its own. */
export interface SettleOpeners {
  openIndex(): SettledIndex;
  openLog(): ReadLog;
  /** Gives back what `openLog` took. */
  closeLog?(): void;
}

/** Serves until the channel ends. What cannot be opened is reported to the first call. */
export function serveSettle(
  channel: Pick<Thread, "post" | "onMessage">,
  openers: SettleOpeners,
  isGated: GateRule = NOTHING_GATED,
): void {
  const service = new SettleService(openers, isGated);
  channel.onMessage((message) => {
    const call = message as SettleCall;
    void service.answer(call).then((answer) => channel.post(answer));
  });
}

class SettleService {
  readonly #openers: SettleOpeners;
  readonly #isGated: GateRule;
  #index: SettledIndex | undefined;
  #readLog: ReadLog | undefined;

  constructor(openers: SettleOpeners, isGated: GateRule) {
    this.#openers = openers;
    this.#isGated = isGated;
  }

  async answer(call: SettleCall): Promise<SettleAnswer> {
    try {
      return { id: call.id, result: await this.#run(call) };
    } catch (error) {
      if (error instanceof DaosError) return { id: call.id, code: error.code, message: error.message };
      const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
      return { id: call.id, code: "IO", message: `Cannot run "${call.call}" of the store: ${message}.` };
    }
  }

  async #run(call: SettleCall): Promise<SettleResult | MaintenanceResult | undefined> {
    if (call.call === "close") {
      await this.#index?.close();
      this.#index = undefined;
      this.#readLog = undefined;
      this.#openers.closeLog?.();
      return undefined;
    }
    this.#index ??= this.#openers.openIndex();
    this.#readLog ??= this.#openers.openLog();
    if (call.call === "settle") return settleBatch(call.request, this.#index, this.#readLog, this.#isGated);
    return maintainSlice(call.request, this.#index, this.#isGated);
  }
}
