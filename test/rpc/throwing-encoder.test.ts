/** A request whose arguments cannot be encoded fails alone: the connection, and the calls around it, go on. */
import { describe, expect, test } from "bun:test";
import { KIB, MIB } from "../../src/base/limits.ts";
import { OutputBlocks, OutputQueue } from "../../src/rpc/output-queue.ts";
import type { RpcConnection } from "../../src/rpc/connection.ts";
import { PromiseCompletion } from "../../src/rpc/pending-call.ts";
import { callText, connectClient, failure, NOTHING, startServer, TestOpcode } from "./harness.ts";
import { settled } from "./loopback.ts";

const BROKEN = new RangeError("the value is out of range");

function callBroken(connection: RpcConnection, payload?: Uint8Array, signal?: AbortSignal): Promise<unknown> {
  const encode = (buffer: Buffer, offset: number): void => {
    buffer.fill(0xee, offset, offset + 100);
    throw BROKEN;
  };
  return new Promise((resolve, reject) => {
    const completion = new PromiseCompletion(resolve, reject);
    connection.start(TestOpcode.echo, 100, { encode }, payload, { signal }, completion);
  });
}

describe("an encoder that throws", () => {
  test("fails its call with the error as cause; calls before and behind it in the same turn are answered", async () => {
    const bench = startServer();
    const connection = await connectClient(bench);
    for (const payload of [undefined, NOTHING, Buffer.alloc(10), Buffer.alloc(100 * KIB)]) {
      const handled = bench.handler.handled;
      const before = callText(connection, TestOpcode.echo, "before");
      const broken = callBroken(connection, payload, new AbortController().signal);
      const behind = callText(connection, TestOpcode.echo, "behind");
      expect(connection.openCalls).toBe(2);
      const error = await failure(bench.world, broken);
      expect([error.code, error.cause]).toEqual(["INVALID_ARGUMENT", BROKEN]);
      for (const [call, text] of [
        [before, "before"],
        [behind, "behind"],
      ] as const) {
        expect(Buffer.from((await settled(bench.world, call)).args).toString()).toBe(text);
      }
      expect(bench.handler.handled).toBe(handled + 2);
      expect([connection.openCalls, connection.queuedBytes, connection.isClosed]).toEqual([0, 0, false]);
    }
  });

  test("alone in its turn sends nothing, and never ends its call from within the call", async () => {
    const bench = startServer();
    const connection = await connectClient(bench);
    let failures = 0;
    const throwing = (): void => {
      throw BROKEN;
    };
    connection.start(TestOpcode.echo, 8, { encode: throwing }, undefined, undefined, {
      answered: () => {},
      failed: (_error, wasSent) => {
        expect(wasSent).toBe(false);
        failures += 1;
      },
    });
    expect([failures, connection.queuedBytes]).toEqual([0, 0]);
    await bench.world.settle();
    connection.close();
    expect(failures).toBe(1);
    expect(bench.handler.handled).toBe(0);
  });

  test("among calls that wait for room fails alone", async () => {
    const bench = startServer();
    const connection = await connectClient(bench);
    const large = Array.from({ length: 6 }, () => connection.call(TestOpcode.echo, NOTHING, Buffer.alloc(4 * MIB, 1)));
    const broken = callBroken(connection);
    const last = callText(connection, TestOpcode.echo, "last");
    expect((await failure(bench.world, broken)).code).toBe("INVALID_ARGUMENT");
    expect(Buffer.from((await settled(bench.world, last)).args).toString()).toBe("last");
    for (const call of large) expect((await settled(bench.world, call)).payload.length).toBe(4 * MIB);
    expect([connection.openCalls, connection.queuedBytes]).toEqual([0, 0]);
  });
});

test("room given back is given again, and a queue left empty writes nothing", () => {
  const written: string[] = [];
  const socket = {
    remoteAddress: "test",
    write: (bytes: Uint8Array) => {
      written.push(Buffer.from(bytes).toString());
      return bytes.length;
    },
    receive: () => 0,
    pause: () => {},
    resume: () => {},
    end: () => {},
    terminate: () => {},
  };
  const queue = new OutputQueue(socket, new OutputBlocks());
  queue.reserve(10);
  queue.unreserve(10);
  expect([queue.block, queue.queuedBytes, queue.flush()]).toEqual([undefined, 0, true]);
  expect(written).toEqual([]);
  let at = queue.reserve(3);
  queue.block!.write("abc", at);
  queue.reserve(200 * KIB);
  queue.unreserve(200 * KIB);
  at = queue.reserve(3);
  queue.block!.write("def", at);
  queue.flush();
  expect(written.join("")).toBe("abcdef");
  expect(queue.queuedBytes).toBe(0);
  queue.reserve(5);
  queue.close();
  queue.unreserve(5);
  expect(queue.queuedBytes).toBe(0);
});
