/** Streams between commands and the outside: bounded memory, prompt cancellation, sources that are let go of. */
import { expect, test } from "bun:test";
import { hasCode } from "../../src/base/errors.ts";
import { countedChunks, untilAborted } from "../../src/cli/transfer.ts";

const CHUNKS = 300;

test("untilAborted keeps no chunk that was taken", async () => {
  const references: WeakRef<Uint8Array>[] = [];
  async function* source(): AsyncGenerator<Uint8Array> {
    for (let index = 0; index < CHUNKS; index++) {
      const chunk = new Uint8Array(64 * 1024);
      references.push(new WeakRef(chunk));
      yield chunk;
    }
  }
  let alive = CHUNKS;
  let taken = 0;
  for await (const _ of countedChunks(untilAborted(source(), new AbortController().signal), () => {})) {
    taken += 1;
    if (taken < CHUNKS) continue;
    // A weak reference that was just made or read holds until the turn ends.
    await new Promise<void>((resolve) => setImmediate(resolve));
    Bun.gc(true);
    alive = references.filter((reference) => reference.deref() !== undefined).length;
  }
  expect(taken).toBe(CHUNKS);
  expect(alive).toBeLessThan(CHUNKS / 10);
});

test("untilAborted ends at once while it waits, and lets go of the source", async () => {
  const abort = new AbortController();
  const asked = Promise.withResolvers<void>();
  let returned = 0;
  const source: AsyncIterable<Uint8Array> = {
    [Symbol.asyncIterator]: () => ({
      next: () => {
        asked.resolve();
        return new Promise(() => {});
      },
      return: () => {
        returned += 1;
        return new Promise(() => {});
      },
    }),
  };
  const reading = Array.fromAsync(untilAborted(source, abort.signal)).catch((error: unknown) => error);
  await asked.promise;
  abort.abort();
  expect(hasCode(await reading, "CANCELED")).toBe(true);
  expect(returned).toBe(1);
});

test("untilAborted with a signal that has fired takes nothing", async () => {
  let asked = 0;
  async function* source(): AsyncGenerator<Uint8Array> {
    asked += 1;
    yield new Uint8Array(1);
  }
  const reading = Array.fromAsync(untilAborted(source(), AbortSignal.abort())).catch((error: unknown) => error);
  expect(hasCode(await reading, "CANCELED")).toBe(true);
  expect(asked).toBe(0);
});

test("untilAborted passes the source's failure on, and ends the source when its reader stops", async () => {
  let ended = false;
  async function* source(): AsyncGenerator<Uint8Array> {
    try {
      yield new Uint8Array(1);
      yield new Uint8Array(2);
    } finally {
      ended = true;
    }
  }
  const { signal } = new AbortController();
  for await (const _ of untilAborted(source(), signal)) break;
  expect(ended).toBe(true);
  const failing: AsyncIterable<Uint8Array> = {
    [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(new Error("broken")) }),
  };
  await expect(Array.fromAsync(untilAborted(failing, signal))).rejects.toThrow("broken");
});
