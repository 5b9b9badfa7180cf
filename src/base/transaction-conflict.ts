/** A transaction lost against another one, or against a write: it did nothing, and is to be run again from the start. */
import { DaosError } from "./errors.ts";

export class TransactionConflict extends DaosError {
  constructor(state: string, options?: { cause?: unknown }) {
    super("CONFLICT", `Cannot commit the transaction: ${state}. Run it again from the start.`, options);
  }
}
