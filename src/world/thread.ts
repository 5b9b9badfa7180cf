/**
 * Threads on Bun's Worker: both ends of the channel have the same shape. Messages that arrive before `onMessage` is
 * called are kept for it. The composition roots spawn; everything else is given a Thread.
 */
import type { Thread } from "../contracts/world.ts";

/** Messages kept for a handler that is not there yet. */
class Mailbox {
  #handler: ((message: unknown) => void) | undefined;
  #waiting: unknown[] = [];

  deliver(message: unknown): void {
    if (this.#handler === undefined) this.#waiting.push(message);
    else this.#handler(message);
  }

  open(handler: (message: unknown) => void): void {
    this.#handler = handler;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const message of waiting) this.#handler(message);
  }
}

class SpawnedThread implements Thread {
  readonly #worker: Worker;
  readonly #mailbox = new Mailbox();
  readonly #exitHandlers: ((error?: Error) => void)[] = [];
  #error: Error | undefined;
  #exited = false;

  constructor(script: string | URL, name: string) {
    this.#worker = new Worker(script, { name });
    this.#worker.onmessage = (event: MessageEvent) => this.#mailbox.deliver(event.data);
    this.#worker.onerror = (event: ErrorEvent) => {
      this.#error ??= event.error instanceof Error ? event.error : new Error(event.message);
    };
    this.#worker.addEventListener("close", (event) => {
      const status = (event as Event & { code?: number }).code ?? 0;
      if (status !== 0) this.#error ??= new Error(`thread "${name}" ended with status ${status}`);
      this.#exited = true;
      for (const handler of this.#exitHandlers) handler(this.#error);
    });
  }

  post(message: unknown, transfer: ArrayBuffer[] = []): void {
    this.#worker.postMessage(message, transfer);
  }

  onMessage(handler: (message: unknown) => void): void {
    this.#mailbox.open(handler);
  }

  onExit(handler: (error?: Error) => void): void {
    if (this.#exited) handler(this.#error);
    else this.#exitHandlers.push(handler);
  }

  terminate(): void {
    this.#worker.terminate();
  }
}

/** What a worker sees of its global scope; the type library for it is not loaded. */
interface WorkerScope {
  onmessage: ((event: MessageEvent) => void) | null;
  postMessage(message: unknown, transfer: ArrayBuffer[]): void;
}

class ParentThread implements Thread {
  readonly #scope = globalThis as unknown as WorkerScope;
  readonly #mailbox = new Mailbox();

  constructor() {
    this.#scope.onmessage = (event) => this.#mailbox.deliver(event.data);
  }

  post(message: unknown, transfer: ArrayBuffer[] = []): void {
    this.#scope.postMessage(message, transfer);
  }

  onMessage(handler: (message: unknown) => void): void {
    this.#mailbox.open(handler);
  }

  /** A worker does not outlive its parent: nothing to tell. */
  onExit(): void {}

  /** Ends this worker. */
  terminate(): void {
    process.exit(0);
  }
}

/** Starts `script` (path or URL of a module) in a thread of its own. */
export function spawnThread(script: string | URL, name: string): Thread {
  return new SpawnedThread(script, name);
}

/** The parent's end, in a module started by `spawnThread`. Call once, at the top of that module. */
export function parentThread(): Thread {
  return new ParentThread();
}
