/** Two ends of a channel between threads, in one thread: messages are cloned and arrive in a later turn, in order. */
import type { Thread } from "../../src/contracts/world.ts";

class ThreadEnd implements Thread {
  peer!: ThreadEnd;
  isEnded = false;
  #message: (message: unknown) => void = () => {};
  #exit: (error?: Error) => void = () => {};

  post(message: unknown): void {
    const clone: unknown = structuredClone(message);
    queueMicrotask(() => {
      if (!this.peer.isEnded) this.peer.#message(clone);
    });
  }

  onMessage(handler: (message: unknown) => void): void {
    this.#message = handler;
  }

  onExit(handler: (error?: Error) => void): void {
    this.#exit = handler;
  }

  /** The thread behind this end is gone. */
  terminate(error?: Error): void {
    this.peer.isEnded = true;
    this.#exit(error);
  }
}

/** What the parent holds, and what the thread sees. */
export function threadPair(): { thread: ThreadEnd; parent: ThreadEnd } {
  const [thread, parent] = [new ThreadEnd(), new ThreadEnd()];
  thread.peer = parent;
  parent.peer = thread;
  return { thread, parent };
}
