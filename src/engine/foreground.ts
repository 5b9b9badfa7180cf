/** The requests that filling makes way for: those of clients, and what leaders have this target do for clients. */
import type { Foreground } from "../dtx/fill-pace.ts";
import { Opcode } from "../format/operations.ts";
import type { RpcReply } from "../rpc/request.ts";

/** What targets want of each other on their own account. */
const BACKGROUND: ReadonlySet<number> = new Set([
  Opcode.dtxAttach,
  Opcode.dtxDecide,
  Opcode.dtxRefresh,
  Opcode.dtxResync,
  Opcode.dtxShardArrayRead,
  Opcode.dtxShardValueFetch,
  Opcode.dtxShardExtents,
  Opcode.dtxFold,
  Opcode.dtxFoldedTo,
  Opcode.dtxFill,
  Opcode.transactionState,
]);

export class ForegroundRequests implements Foreground {
  count = 0;
  #newest: RpcReply | undefined;

  /** A request has come. */
  note(opcode: number, reply: RpcReply): void {
    if (BACKGROUND.has(opcode)) return;
    this.count += 1;
    this.#newest = reply;
  }

  get isBusy(): boolean {
    return this.#newest?.isDone === false;
  }
}
