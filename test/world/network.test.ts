import { expect, test } from "bun:test";
import type { Network, Socket } from "../../src/contracts/world.ts";
import { RealNetwork } from "../../src/world/network.ts";
import { expectBytes, expectCode, pattern } from "../conformance/support.ts";
import { simulatedWorld } from "../simulation/world.ts";

const HOST = "127.0.0.1";

/** Sends all of `bytes`, waiting for `drain` where the socket is full. Gives the function to call on drain. */
function sender(socket: Socket, bytes: Uint8Array, finished: () => void): () => void {
  let sent = 0;
  return () => {
    while (sent < bytes.length) {
      const taken = socket.write(bytes.subarray(sent));
      if (taken <= 0) return;
      sent += taken;
    }
    finished();
  };
}

function nothing(): void {}

for (const [name, makeNetwork] of [
  ["real", (): Network => new RealNetwork()],
  ["simulated", (): Network => simulatedWorld(1).network],
] as const) {
  test(`${name}: a stream arrives whole and in order, over partial writes and a pause`, async () => {
    const network = makeNetwork();
    const bytes = pattern(3_000_000, 1);
    const received = new Uint8Array(bytes.length);
    let length = 0;
    const done = Promise.withResolvers<void>();
    const listener = network.listen(HOST, 0, (socket) => ({
      received(chunk) {
        received.set(chunk, length);
        length += chunk.length;
        if (length === bytes.length) done.resolve();
        socket.pause();
        setImmediate(() => socket.resume());
      },
      drain: nothing,
      closed: nothing,
    }));
    let pump = nothing;
    const socket = await network.connect(HOST, listener.port, (opened) => {
      pump = sender(opened, bytes, nothing);
      return { received: nothing, drain: () => pump(), closed: nothing };
    });
    pump();
    await done.promise;
    expectBytes(received, bytes);
    socket.terminate();
    listener.close();
  });

  test(`${name}: end sends what was taken, then both sides are closed, once, without an error`, async () => {
    const network = makeNetwork();
    const closes: (Error | undefined)[] = [];
    const both = Promise.withResolvers<void>();
    const closed = (error?: Error): void => {
      closes.push(error);
      if (closes.length === 2) both.resolve();
    };
    let text = "";
    const listener = network.listen(HOST, 0, () => ({
      received: (chunk) => void (text += Buffer.from(chunk).toString()),
      drain: nothing,
      closed,
    }));
    const socket = await network.connect(HOST, listener.port, () => ({ received: nothing, drain: nothing, closed }));
    expect(socket.write(Buffer.from("last words"))).toBe(10);
    socket.end();
    await both.promise;
    expect(text).toBe("last words");
    expect(closes).toEqual([undefined, undefined]);
    expect(socket.write(Buffer.from("more"))).toBe(-1);
    socket.end();
    socket.terminate();
    listener.close();
  });

  test(`${name}: terminate closes the other side`, async () => {
    const network = makeNetwork();
    const closed = Promise.withResolvers<void>();
    const listener = network.listen(HOST, 0, () => ({
      received: nothing,
      drain: nothing,
      closed: () => closed.resolve(),
    }));
    const socket = await network.connect(HOST, listener.port, () => ({
      received: nothing,
      drain: nothing,
      closed: nothing,
    }));
    socket.terminate();
    await closed.promise;
    expect(socket.write(new Uint8Array(1))).toBe(-1);
    listener.close();
  });

  test(`${name}: nobody listens, or somebody does already: UNAVAILABLE`, async () => {
    const network = makeNetwork();
    const handlers = { received: nothing, drain: nothing, closed: nothing };
    const listener = network.listen(HOST, 0, () => handlers);
    await expectCode("UNAVAILABLE", () => network.listen(HOST, listener.port, () => handlers));
    listener.close();
    await expectCode("UNAVAILABLE", () => network.connect(HOST, listener.port, () => handlers));
  });
}

test("a signal that fires, before or while connecting: CANCELED, and a connection made meanwhile is closed", async () => {
  const network = new RealNetwork();
  const handlers = { received: nothing, drain: nothing, closed: nothing };
  const closed = Promise.withResolvers<void>();
  const listener = network.listen(HOST, 0, () => ({ ...handlers, closed: () => closed.resolve() }));
  const signal = AbortSignal.abort();
  await expectCode("CANCELED", () => network.connect(HOST, listener.port, () => handlers, { signal }));
  const controller = new AbortController();
  let opened = false;
  const open = () => {
    opened = true;
    return handlers;
  };
  const connecting = network.connect(HOST, listener.port, open, { signal: controller.signal });
  controller.abort();
  await expectCode("CANCELED", () => connecting);
  await closed.promise;
  expect(opened).toBe(false);
  listener.close();
});

test("an address that never answers: UNAVAILABLE after the time given", async () => {
  const network = new RealNetwork();
  const handlers = { received: nothing, drain: nothing, closed: nothing };
  // 192.0.2.0/24 is reserved for documentation (RFC 5737): no host has it.
  await expectCode("UNAVAILABLE", () => network.connect("192.0.2.1", 9, () => handlers, { timeoutMs: 50 }));
});

test("a name that cannot be resolved: UNAVAILABLE", async () => {
  const handlers = { received: nothing, drain: nothing, closed: nothing };
  await expectCode("UNAVAILABLE", () => new RealNetwork().connect("no-such-host.invalid", 9, () => handlers));
});

test("a handler that throws ends the process: it has a bug", () => {
  const script = `
    import { RealNetwork } from ${JSON.stringify(import.meta.resolve("../../src/world/network.ts"))};
    const network = new RealNetwork();
    const none = () => {};
    const listener = network.listen("127.0.0.1", 0, () => ({ received() { throw new Error("a bug"); }, drain: none, closed: none }));
    const socket = await network.connect("127.0.0.1", listener.port, () => ({ received: none, drain: none, closed: none }));
    socket.write(Buffer.from("x"));`;
  const child = Bun.spawnSync([process.execPath, "-e", script], { timeout: 10_000 });
  expect(child.stderr.toString()).toContain("a bug");
  expect(child.exitCode).toBe(1);
});
