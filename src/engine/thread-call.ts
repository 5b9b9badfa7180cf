/**
 * Calls between an engine's threads: one request message, one answer message, matched by a number. Used by the control
 * side to command its targets; nothing of the data path passes here. Errors keep their code. When the other thread ends,
 * every open call fails with UNAVAILABLE.
 */
import { DaosError, type ErrorCode } from "../base/errors.ts";
import type { Thread } from "../contracts/world.ts";

interface CallMessage {
  readonly call: number;
  readonly name: string;
  readonly value: unknown;
}
interface AnswerMessage {
  readonly answer: number;
  readonly value?: unknown;
  readonly error?: { readonly code: ErrorCode; readonly message: string };
}

/** The calling side. `Calls` maps each call's name to its argument and result. */
export class ThreadCaller<Calls extends { [Name in keyof Calls]: (value: never) => unknown }> {
  readonly #thread: Thread;
  readonly #open = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  #next = 1;
  #ended: Error | undefined;

  /** Takes over the thread's message and exit handlers. `exited` hears of the end, once. */
  constructor(thread: Thread, exited: (error?: Error) => void) {
    this.#thread = thread;
    thread.onMessage((message) => this.#answered(message as AnswerMessage));
    thread.onExit((error) => {
      this.#ended = error ?? new DaosError("UNAVAILABLE", "Cannot reach the target: its thread has ended.");
      for (const { reject } of this.#open.values()) reject(this.#ended);
      this.#open.clear();
      exited(error);
    });
  }

  /** Rejects with the callee's DaosError. */
  call<Name extends keyof Calls & string>(
    name: Name,
    value: Parameters<Calls[Name]>[0],
  ): Promise<Awaited<ReturnType<Calls[Name]>>> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    const call = this.#next++;
    return new Promise((resolve, reject) => {
      this.#open.set(call, { resolve: resolve as (value: unknown) => void, reject });
      this.#thread.post({ call, name, value } satisfies CallMessage);
    });
  }

  #answered(message: AnswerMessage): void {
    const open = this.#open.get(message.answer);
    if (open === undefined) return;
    this.#open.delete(message.answer);
    if (message.error === undefined) open.resolve(message.value);
    else open.reject(new DaosError(message.error.code, message.error.message));
  }
}

/** The called side: answers each call with what its handler returns or throws. A throw that is no DaosError is a bug. */
export function serveThreadCalls<Calls extends { [Name in keyof Calls]: (value: never) => unknown }>(
  parent: Thread,
  handlers: Calls,
): void {
  parent.onMessage((message) => {
    const { call, name, value } = message as CallMessage;
    const handler = handlers[name as keyof Calls] as unknown as ((value: unknown) => unknown) | undefined;
    if (handler === undefined) {
      parent.post({
        answer: call,
        error: { code: "UNSUPPORTED", message: `No call "${name}".` },
      } satisfies AnswerMessage);
      return;
    }
    const failed = (error: unknown): void => {
      if (!(error instanceof DaosError)) throw error;
      parent.post({ answer: call, error: { code: error.code, message: error.message } } satisfies AnswerMessage);
    };
    void Promise.resolve()
      .then(() => handler(value))
      .then((result) => parent.post({ answer: call, value: result } satisfies AnswerMessage), failed);
  });
}
