/**
 * How calls end other than by an answer: time limits, aborts, loss of the connection; and calls that wait for room.
 */
import { describe, expect, test } from "bun:test";
import { DaosError } from "../../src/base/errors.ts";
import { KIB, MAX_CLIENT_QUEUED_BYTES, MIB } from "../../src/base/limits.ts";
import { encodeErrorReply } from "../../src/format/error-reply.ts";
import { FRAME_HEADER_BYTES, FrameFlag } from "../../src/format/frame.ts";
import { BareServer } from "./bare-server.ts";
import { callText, connectClient, failure, frameBytes, NOTHING, startServer, TestOpcode } from "./harness.ts";
import { settled } from "./loopback.ts";

const RESPONSE = FrameFlag.response;
const ERROR = FrameFlag.response | FrameFlag.error;

describe("time limits", () => {
  test("a call without an answer fails TIMEOUT, never early, at most two ticks late; its late answer is dropped", async () => {
    for (const offsetMs of [0, 30, 99]) {
      const bench = startServer();
      const connection = await connectClient(bench);
      void callText(connection, TestOpcode.keep, "other").catch(() => {});
      await bench.world.advance(offsetMs);
      let code: string | undefined;
      callText(connection, TestOpcode.keep, "x", { timeoutMs: 1_000 }).catch((error: DaosError) => {
        code = error.code;
      });
      await bench.world.advance(999);
      expect(code).toBeUndefined();
      await bench.world.advance(201);
      expect(code).toBe("TIMEOUT");
      bench.handler.kept[1]!.reply.send(Buffer.from("too late"));
      await bench.world.settle();
      expect(connection.isClosed).toBe(false);
      await settled(bench.world, callText(connection, TestOpcode.echo, "on"));
    }
  });

  test("many calls with different limits each end in their time", async () => {
    const bench = startServer();
    const connection = await connectClient(bench);
    const endedMs = new Map<number, number>();
    const startMs = bench.world.nowMs;
    for (const timeoutMs of [5_000, 300, 2_000, 700, 60_000, 300]) {
      callText(connection, TestOpcode.keep, "", { timeoutMs }).catch(() =>
        endedMs.set(timeoutMs, bench.world.nowMs - startMs),
      );
    }
    await bench.world.advance(10_000);
    expect([...endedMs.keys()]).toEqual([300, 700, 2_000, 5_000]);
    for (const [timeoutMs, tookMs] of endedMs) {
      expect(tookMs).toBeGreaterThanOrEqual(timeoutMs);
      expect(tookMs).toBeLessThanOrEqual(timeoutMs + 200);
    }
  });

  test("no timer runs while no call is open", async () => {
    const bench = startServer();
    const connection = await connectClient(bench);
    await settled(bench.world, callText(connection, TestOpcode.echo, ""));
    await bench.world.advance(500);
    expect(bench.world.timers).toBe(1);
    connection.close();
    await bench.world.settle();
    expect(bench.world.timers).toBe(0);
  });
});

describe("abort", () => {
  test("fails CANCELED at once; the late answer is dropped; other calls go on", async () => {
    const bench = startServer();
    const connection = await connectClient(bench);
    const controller = new AbortController();
    const calls = [1, 2].map((index) =>
      callText(connection, TestOpcode.keep, `${index}`, { signal: controller.signal }),
    );
    const other = callText(connection, TestOpcode.keep, "other");
    await bench.world.settle();
    controller.abort();
    for (const call of calls) expect((await failure(bench.world, call)).code).toBe("CANCELED");
    for (const { reply } of bench.handler.kept) reply.send(Buffer.from("late"));
    expect(Buffer.from((await settled(bench.world, other)).args).toString()).toBe("late");
    expect(connection.openCalls).toBe(0);
  });

  test("before the call starts nothing is sent; after it ended nothing happens", async () => {
    const bench = startServer();
    const connection = await connectClient(bench);
    const canceled = callText(connection, TestOpcode.echo, "", { signal: AbortSignal.abort() });
    expect((await failure(bench.world, canceled)).code).toBe("CANCELED");
    expect(bench.handler.handled).toBe(0);
    const controller = new AbortController();
    await settled(bench.world, callText(connection, TestOpcode.echo, "", { signal: controller.signal }));
    controller.abort();
    await bench.world.settle();
    expect(connection.isClosed).toBe(false);
  });

  test("ids of calls given up are not used for others until their answers came", async () => {
    const server = new BareServer();
    const connection = await server.connect();
    const controller = new AbortController();
    const call = callText(connection, TestOpcode.echo, "", { signal: controller.signal });
    await server.world.settle();
    controller.abort();
    await failure(server.world, call);
    const id = server.requests[0]!.requestId;
    server.answer(id, "late");
    await server.world.settle();
    expect(connection.isClosed).toBe(false);
    server.answer(id, "twice");
    await server.world.settle();
    expect(connection.isClosed).toBe(true);
  });
});

describe("every call", () => {
  test("ends exactly once, also when its answer comes after it was given up", async () => {
    const bench = startServer();
    const connection = await connectClient(bench);
    const endings: string[] = [];
    const completion = {
      answered: () => void endings.push("answered"),
      failed: (error: DaosError, wasSent: boolean) => void endings.push(`${error.code} ${wasSent}`),
    };
    const controller = new AbortController();
    for (const options of [{ signal: controller.signal }, { timeoutMs: 300 }, {}]) {
      connection.start(TestOpcode.keep, 0, { encode: () => {} }, undefined, options, completion);
    }
    await bench.world.settle();
    controller.abort();
    await bench.world.advance(1_000);
    for (const { reply } of bench.handler.kept) reply.send(NOTHING);
    await bench.world.settle();
    connection.close();
    await bench.world.settle();
    expect(endings).toEqual(["CANCELED true", "TIMEOUT true", "answered"]);
  });
});

describe("loss", () => {
  test("fails every open call UNAVAILABLE, tells the listeners once, and further calls at once", async () => {
    const bench = startServer();
    const connection = await connectClient(bench);
    const errors: DaosError[] = [];
    connection.onClose((error) => errors.push(error));
    const calls = Array.from({ length: 50 }, () => callText(connection, TestOpcode.keep, ""));
    await bench.world.settle();
    bench.world.sockets[0]!.breakDown(new Error("ECONNRESET"));
    for (const call of calls) expect((await failure(bench.world, call)).code).toBe("UNAVAILABLE");
    expect(errors.map((error) => error.code)).toEqual(["UNAVAILABLE"]);
    expect(errors[0]!.message).toContain("ECONNRESET");
    expect((await failure(bench.world, callText(connection, TestOpcode.echo, ""))).code).toBe("UNAVAILABLE");
    connection.onClose((error) => errors.push(error));
    expect(errors.length).toBe(2);
    expect(connection.openCalls).toBe(0);
  });

  test("close fails open calls; the server drops the connection and its late replies", async () => {
    const bench = startServer();
    const connection = await connectClient(bench);
    const call = callText(connection, TestOpcode.keep, "");
    await bench.world.settle();
    connection.close();
    connection.close();
    expect((await failure(bench.world, call)).code).toBe("UNAVAILABLE");
    expect(bench.server.connections).toBe(0);
    bench.handler.kept[0]!.reply.send(NOTHING);
  });

  test("a server's farewell frame is the error of every open call", async () => {
    const server = new BareServer();
    const connection = await server.connect();
    const call = callText(connection, TestOpcode.echo, "");
    await server.world.settle();
    const farewell = encodeErrorReply(new DaosError("OVERLOADED", "Cannot go on: full. Wait."));
    server.socket.write(frameBytes({ opcode: 0, requestId: 0, flags: ERROR }, farewell));
    expect((await failure(server.world, call)).code).toBe("OVERLOADED");
    expect(connection.isClosed).toBe(true);
  });

  test.each([
    ["to a request never made", { opcode: TestOpcode.echo, requestId: 999, flags: RESPONSE }],
    ["of another operation", { opcode: TestOpcode.fail, requestId: 2, flags: RESPONSE }],
    ["that is not marked as one", { opcode: TestOpcode.echo, requestId: 2, flags: 0 }],
    ["with id 0 that is no error", { opcode: 0, requestId: 0, flags: RESPONSE }],
  ])("an answer %s ends the connection with PROTOCOL", async (_what, header) => {
    const server = new BareServer();
    const connection = await server.connect();
    const call = callText(connection, TestOpcode.echo, "");
    await server.world.settle();
    expect(server.requests[0]!.requestId).toBe(2);
    server.socket.write(frameBytes(header));
    expect((await failure(server.world, call)).code).toBe("PROTOCOL");
    expect(connection.isClosed).toBe(true);
  });

  test("any damage to an answer's header ends the connection with a typed error", async () => {
    for (let at = 0; at < FRAME_HEADER_BYTES; at += 1) {
      const server = new BareServer();
      const connection = await server.connect();
      const call = callText(connection, TestOpcode.echo, "");
      await server.world.settle();
      const bytes = frameBytes({ opcode: TestOpcode.echo, requestId: 2, flags: RESPONSE });
      bytes[at]! ^= 0x10;
      server.socket.write(bytes);
      const { code, cause } = await failure(server.world, call);
      expect([code, (cause as DaosError).code]).toEqual(["UNAVAILABLE", "DAMAGED"]);
      expect(connection.isClosed).toBe(true);
    }
  });
});

describe("back-pressure", () => {
  test("calls wait while much is queued, then go out in order; all are answered", async () => {
    const bench = startServer();
    const connection = await connectClient(bench);
    const serverSide = bench.world.sockets[1]!;
    serverSide.pause();
    const payloads = Array.from({ length: 20 }, (_, index) => Buffer.alloc(MIB, index));
    const calls = payloads.map((payload) => connection.call(TestOpcode.echo, Buffer.from("a"), payload));
    const last = callText(connection, TestOpcode.echo, "last");
    await bench.world.settle();
    expect(connection.openCalls).toBe(21);
    expect(connection.queuedBytes).toBeLessThan(MAX_CLIENT_QUEUED_BYTES + 2 * MIB);
    serverSide.resume();
    const answers = await settled(bench.world, Promise.all(calls));
    for (const [index, answer] of answers.entries()) expect(payloads[index]!.equals(answer.payload)).toBe(true);
    expect(Buffer.from((await settled(bench.world, last)).args).toString()).toBe("last");
    expect(connection.queuedBytes).toBe(0);
  });

  test("a small payload may change when the call is made, also while that waits for room", async () => {
    const bench = startServer();
    const connection = await connectClient(bench);
    const serverSide = bench.world.sockets[1]!;
    serverSide.pause();
    const calls = Array.from({ length: 20 }, () => connection.call(TestOpcode.echo, NOTHING, Buffer.alloc(MIB)));
    const payload = Buffer.from("as it was");
    const last = connection.call(TestOpcode.echo, NOTHING, payload);
    payload.fill("x");
    await bench.world.settle();
    serverSide.resume();
    await settled(bench.world, Promise.all(calls));
    expect(Buffer.from((await settled(bench.world, last)).payload).toString()).toBe("as it was");
  });

  test("a waiting call that is canceled is never sent; later calls do not overtake those that wait", async () => {
    const bench = startServer();
    const connection = await connectClient(bench);
    const [client, serverSide] = bench.world.sockets;
    serverSide!.pause();
    const calls = Array.from({ length: 20 }, () => connection.call(TestOpcode.echo, NOTHING, Buffer.alloc(MIB)));
    const controller = new AbortController();
    const canceled = callText(connection, TestOpcode.keep, "canceled", { signal: controller.signal });
    void callText(connection, TestOpcode.keep, "first").catch(() => {});
    await bench.world.settle();
    controller.abort();
    expect((await failure(bench.world, canceled)).code).toBe("CANCELED");
    serverSide!.resume();
    while (connection.queuedBytes > 6 * MIB) {
      serverSide!.step();
      client!.step();
    }
    void callText(connection, TestOpcode.keep, "second").catch(() => {});
    await settled(bench.world, Promise.all(calls));
    expect(bench.handler.kept.map(({ request }) => request.args.toString())).toEqual(["first", "second"]);
  });

  test("a waiting call can time out or be canceled, is then never sent, and is known not to have been", async () => {
    const bench = startServer();
    const connection = await connectClient(bench);
    const serverSide = bench.world.sockets[1]!;
    serverSide.pause();
    const calls = Array.from({ length: 10 }, () => connection.call(TestOpcode.echo, NOTHING, Buffer.alloc(MIB)));
    const controller = new AbortController();
    const canceled = callText(connection, TestOpcode.keep, "", { signal: controller.signal });
    const late = callText(connection, TestOpcode.keep, "", { timeoutMs: 500 });
    const seen: boolean[] = [];
    const completion = { answered: () => {}, failed: (_error: DaosError, wasSent: boolean) => void seen.push(wasSent) };
    connection.start(TestOpcode.keep, 0, { encode: () => {} }, undefined, { timeoutMs: 500 }, completion);
    controller.abort();
    expect((await failure(bench.world, canceled)).code).toBe("CANCELED");
    const outcome = failure(bench.world, late);
    await bench.world.advance(1_000);
    expect((await outcome).code).toBe("TIMEOUT");
    expect(seen).toEqual([false]);
    serverSide.resume();
    await settled(bench.world, Promise.all(calls));
    expect(bench.handler.kept.length).toBe(0);
  });

  test("loss fails waiting calls too", async () => {
    const bench = startServer();
    const connection = await connectClient(bench);
    bench.world.sockets[1]!.pause();
    const calls = Array.from({ length: 20 }, () => connection.call(TestOpcode.echo, NOTHING, Buffer.alloc(MIB)));
    await bench.world.settle();
    bench.world.sockets[0]!.breakDown(undefined);
    for (const call of calls) expect((await failure(bench.world, call)).code).toBe("UNAVAILABLE");
    expect(connection.queuedBytes).toBe(0);
  });

  test("a payload that changes after an abort only makes the server refuse that request", async () => {
    const server = new BareServer();
    server.world.bufferBytes = 64 * KIB;
    const connection = await server.connect();
    server.socket.pause();
    const payload = Buffer.alloc(MIB, 1);
    const controller = new AbortController();
    const call = connection.call(TestOpcode.echo, NOTHING, payload, { signal: controller.signal });
    await server.world.settle();
    controller.abort();
    await failure(server.world, call);
    payload.fill(2);
    server.socket.resume();
    await server.world.settle();
    expect(server.refusals).toEqual(["DAMAGED"]);
    expect(server.requests.length).toBe(0);
    expect(connection.isClosed).toBe(false);
  });
});
