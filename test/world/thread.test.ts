import { expect, test } from "bun:test";
import type { Thread } from "../../src/contracts/world.ts";
import { spawnThread } from "../../src/world/index.ts";

const SCRIPT = new URL("./thread-fixture.ts", import.meta.url);

/** The next messages of a thread, one a call. */
function messages(thread: Thread): () => Promise<unknown> {
  const arrived: unknown[] = [];
  const waiting: ((message: unknown) => void)[] = [];
  thread.onMessage((message) => {
    const waiter = waiting.shift();
    if (waiter === undefined) arrived.push(message);
    else waiter(message);
  });
  return () => new Promise((resolve) => (arrived.length > 0 ? resolve(arrived.shift()) : waiting.push(resolve)));
}

function exit(thread: Thread): Promise<Error | undefined> {
  return new Promise((resolve) => thread.onExit(resolve));
}

test("messages go both ways in order, also those sent before anybody listens", async () => {
  const thread = spawnThread(SCRIPT, "echo");
  for (let index = 0; index < 10; index += 1) thread.post(index);
  const next = messages(thread);
  expect(await next()).toBe("ready");
  for (let index = 0; index < 10; index += 1) expect(await next()).toEqual({ echo: index });
  thread.terminate();
});

test("messages are kept until somebody listens, even past the end of the thread", async () => {
  const thread = spawnThread(SCRIPT, "ending");
  const ended = exit(thread);
  thread.post("end");
  await ended;
  expect(await messages(thread)()).toBe("ready");
});

test("transferred buffers move, shared memory is shared", async () => {
  const thread = spawnThread(SCRIPT, "echo");
  const next = messages(thread);
  await next();
  const buffer = new ArrayBuffer(8);
  thread.post(buffer, [buffer]);
  expect(buffer.byteLength).toBe(0);
  expect((await next()) as ArrayBuffer).toHaveProperty("byteLength", 8);
  const shared = new SharedArrayBuffer(8);
  thread.post(shared);
  const { echo } = (await next()) as { echo: SharedArrayBuffer };
  new Uint8Array(shared)[3] = 7;
  expect(new Uint8Array(echo)[3]).toBe(7);
  thread.terminate();
});

test("the exit of a thread is told: without an error when it ends, with its error when it throws", async () => {
  const ending = spawnThread(SCRIPT, "ending");
  const ended = exit(ending);
  ending.post("end");
  expect(await ended).toBeUndefined();
  expect(await exit(ending)).toBeUndefined();
  const throwing = spawnThread(SCRIPT, "throwing");
  const thrown = exit(throwing);
  throwing.post("throw");
  expect((await thrown)?.message).toContain("thrown in the thread");
});

test("a script that is not there: the exit has an error", async () => {
  const thread = spawnThread(new URL("./absent-thread.ts", import.meta.url), "absent");
  expect(await exit(thread)).toBeInstanceOf(Error);
});
