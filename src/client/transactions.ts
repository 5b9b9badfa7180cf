/** The transactions of an open container: begun one by one, or run until they succeed. */
import { DaosError } from "../base/errors.ts";
import type { ContainerSession } from "./container-session.ts";
import { DEFAULT_ATTEMPTS, untilNoConflict } from "./conflict-retry.ts";
import { Transaction, type TransactionOptions } from "./transaction.ts";

export interface RunTransactionOptions extends TransactionOptions {
  /** How often it is run, at most. */
  readonly attempts?: number | undefined;
}

export class Transactions {
  readonly #session: ContainerSession;
  readonly #settling = new Set<Promise<void>>();

  constructor(session: ContainerSession) {
    this.#session = session;
  }

  begin(options: TransactionOptions = {}): Transaction {
    const settling = (settled: Promise<void>): void => {
      const watched = settled.finally(() => this.#settling.delete(watched));
      this.#settling.add(watched);
    };
    return new Transaction(this.#session, settling, options);
  }

  /**
   * Runs `body` and commits, and does both again after a conflict, with growing pauses. What `body` returned. Whatever else
   * goes wrong ends it, with nothing done unless `commit` says that it may have been.
   */
  async run<T>(body: (transaction: Transaction) => Promise<T>, options: RunTransactionOptions = {}): Promise<T> {
    const { attempts = DEFAULT_ATTEMPTS, signal } = options;
    if (!Number.isInteger(attempts) || attempts < 1) throw noAttempts(attempts);
    return untilNoConflict(this.#session, attempts, signal, async () => {
      const transaction = this.begin(options);
      try {
        const result = await body(transaction);
        await transaction.commit();
        return result;
      } catch (error) {
        transaction.abort();
        throw error;
      }
    });
  }

  /** Resolves when what was committed is told to everybody, or left to the targets to tell. */
  async settled(): Promise<void> {
    await Promise.all(this.#settling);
  }
}

function noAttempts(attempts: unknown): DaosError {
  const state = `attempts is "${String(attempts)}"`;
  return new DaosError("INVALID_ARGUMENT", `Cannot run the transaction: ${state}. Give a whole number from 1.`);
}
