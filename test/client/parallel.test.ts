/** The window's limit, and what a failure leaves behind. */
import { describe, expect, test } from "bun:test";
import { forEachParallel, Window } from "../../src/client/parallel.ts";

/** Work that ends when it is told to. */
class Manual {
  running = 0;
  most = 0;
  begun = 0;
  readonly #open: PromiseWithResolvers<void>[] = [];

  readonly work = async (): Promise<void> => {
    this.begun += 1;
    this.running += 1;
    this.most = Math.max(this.most, this.running);
    const settled = Promise.withResolvers<void>();
    this.#open.push(settled);
    await settled.promise.finally(() => (this.running -= 1));
  };

  async endOne(error?: Error): Promise<void> {
    const settled = this.#open.shift()!;
    if (error === undefined) settled.resolve();
    else settled.reject(error);
    for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
  }
}

describe("forEachParallel", () => {
  test("keeps to its limit and does all", async () => {
    const manual = new Manual();
    const all = forEachParallel(Array(10).keys(), 3, manual.work);
    for (let ended = 0; ended < 10; ended += 1) {
      for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
      expect(manual.running).toBe(Math.min(3, 10 - ended));
      await manual.endOne();
    }
    await all;
    expect([manual.begun, manual.most]).toEqual([10, 3]);
  });

  test("begins nothing after a failure, which comes out when all under way has settled", async () => {
    const manual = new Manual();
    let failure: unknown;
    const all = forEachParallel(Array(10).keys(), 3, manual.work).catch((error: unknown) => (failure = error));
    for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
    const first = new Error("first");
    await manual.endOne(first);
    await manual.endOne(new Error("second"));
    expect([failure, manual.begun]).toEqual([undefined, 3]);
    await manual.endOne();
    await all;
    expect(failure).toBe(first);
    expect([manual.begun, manual.running]).toEqual([3, 0]);
  });
});

test("a Window without work drains at once", async () => {
  await new Window(2).drain();
});
