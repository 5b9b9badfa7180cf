/**
 * The store's side of a settle thread (settle-service.ts is the thread's). When the thread ends unasked, whatever runs and
 * whatever follows fails with UNAVAILABLE.
 */
import { DaosError } from "../base/errors.ts";
import type { Thread } from "../contracts/world.ts";
import type { MaintenanceRequest, MaintenanceResult } from "./maintenance.ts";
import type { SettleRequest, SettleResult } from "./settle-batch.ts";
import type { SettleAnswer, SettleCall } from "./settle-service.ts";
import type { Settler } from "./settler.ts";

type Result = SettleResult | MaintenanceResult | undefined;
type SettleCallBody =
  | { readonly call: "settle"; readonly request: SettleRequest }
  | { readonly call: "maintain"; readonly request: MaintenanceRequest }
  | { readonly call: "close" };

interface PendingCall {
  resolve(result: Result): void;
  reject(error: Error): void;
}

export class ThreadSettler implements Settler {
  readonly #thread: Thread;
  readonly #pending = new Map<number, PendingCall>();
  #nextId = 1;
  #gone: DaosError | undefined;

  constructor(thread: Thread) {
    this.#thread = thread;
    thread.onMessage((message) => this.#answered(message as SettleAnswer));
    thread.onExit((error) => this.#exited(error));
  }

  async settle(request: SettleRequest): Promise<SettleResult> {
    return (await this.#call({ call: "settle", request })) as SettleResult;
  }

  async maintain(request: MaintenanceRequest): Promise<MaintenanceResult> {
    return (await this.#call({ call: "maintain", request })) as MaintenanceResult;
  }

  /** Closes the thread's index and ends the thread. */
  async close(): Promise<void> {
    if (this.#gone === undefined) await this.#call({ call: "close" });
    this.#thread.terminate();
  }

  #call(body: SettleCallBody): Promise<Result> {
    if (this.#gone !== undefined) return Promise.reject(this.#gone);
    const id = this.#nextId;
    this.#nextId += 1;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#thread.post({ ...body, id } satisfies SettleCall);
    });
  }

  #answered(answer: SettleAnswer): void {
    const pending = this.#pending.get(answer.id);
    if (pending === undefined) return;
    this.#pending.delete(answer.id);
    if ("code" in answer) pending.reject(new DaosError(answer.code, answer.message));
    else pending.resolve(answer.result);
  }

  #exited(cause: Error | undefined): void {
    const reason = cause === undefined ? "it ended" : cause.message;
    this.#gone = new DaosError(
      "UNAVAILABLE",
      `Cannot settle: the settle thread is gone (${reason}). Restart the target.`,
      {
        cause,
      },
    );
    for (const pending of this.#pending.values()) pending.reject(this.#gone);
    this.#pending.clear();
  }
}
