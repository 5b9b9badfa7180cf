/**
 * RpcConnection, the client's end, against a real server and against a bare one that answers as the test says.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { DaosError } from "../../src/base/errors.ts";
import { KIB, MAX_FRAME_BODY_BYTES } from "../../src/base/limits.ts";
import { encodeCbor } from "../../src/format/cbor.ts";
import { FRAME_HEADER_BYTES, FrameFlag } from "../../src/format/frame.ts";
import { Opcode } from "../../src/format/operations.ts";
import type { FrameBody } from "../../src/rpc/frame-body.ts";
import { RpcConnection } from "../../src/rpc/connection.ts";
import { GATHERED_SEND_BYTES } from "../../src/rpc/output-queue.ts";
import { summed } from "../../src/rpc/pending-call.ts";
import { BareServer } from "./bare-server.ts";
import { callText, connectClient, failure, frameBytes, NOTHING, startServer, TestOpcode } from "./harness.ts";
import { LoopbackWorld, settled } from "./loopback.ts";

const RESPONSE = FrameFlag.response;

describe("connect", () => {
  test("greets and knows what the server is", async () => {
    const connection = await connectClient(startServer());
    expect(connection.server).toEqual({ protocol: 1, software: "daos test", role: "target" });
    expect(connection.isClosed).toBe(false);
  });

  test("to nobody fails UNAVAILABLE; canceled before fails CANCELED", async () => {
    const world = new LoopbackWorld();
    const options = { timers: world, clock: world.clock() };
    expect((await failure(world, RpcConnection.connect(world, "nobody", 9, options))).code).toBe("UNAVAILABLE");
    const bench = startServer();
    const signal = AbortSignal.abort();
    const connecting = RpcConnection.connect(bench.world, "x", bench.server.port, {
      ...options,
      timers: bench.world,
      signal,
    });
    expect((await failure(bench.world, connecting)).code).toBe("CANCELED");
  });

  test("to a full server fails OVERLOADED, to one of another version VERSION", async () => {
    const bench = startServer({ connections: 0 });
    const options = { timers: bench.world, clock: bench.world.clock() };
    const connecting = RpcConnection.connect(bench.world, "x", bench.server.port, options);
    expect((await failure(bench.world, connecting)).code).toBe("OVERLOADED");
    const server = new BareServer();
    server.hello = frameBytes(
      { opcode: Opcode.hello, requestId: 1, flags: RESPONSE },
      encodeCbor({ protocol: 2, software: "new", role: "target" }),
    );
    expect((await failure(server.world, server.connect())).code).toBe("VERSION");
    expect(server.socket.isClosed).toBe(true);
  });

  test.each([
    ["a web server", Buffer.from("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"), "PROTOCOL"],
    [
      "a malformed greeting",
      frameBytes({ opcode: 1, requestId: 1, flags: RESPONSE }, encodeCbor({ protocol: 1 })),
      "PROTOCOL",
    ],
    [
      "a greeting that is not CBOR",
      frameBytes({ opcode: 1, requestId: 1, flags: RESPONSE }, Buffer.from([0xff])),
      "PROTOCOL",
    ],
  ])("to %s fails %s", async (_what, hello, code) => {
    const server = new BareServer();
    server.hello = hello;
    expect((await failure(server.world, server.connect())).code).toBe(code as "PROTOCOL");
  });

  test("to a server that does not answer fails TIMEOUT, within its limit and not before", async () => {
    const server = new BareServer();
    server.hello = NOTHING;
    const options = { timers: server.world, clock: server.world.clock(), timeoutMs: 1_000 };
    const connecting = RpcConnection.connect(server.world, "bare", 1, options);
    let code: string | undefined;
    connecting.catch((error: DaosError) => {
      code = error.code;
    });
    await server.world.advance(1_000);
    expect(code).toBeUndefined();
    await server.world.advance(200);
    expect(code).toBe("TIMEOUT");
    expect(server.socket.isClosed).toBe(true);
  });

  test("with a clock ahead of the server's fails INVALID_ARGUMENT", async () => {
    const bench = startServer();
    const options = { timers: bench.world, clock: bench.world.clock(5_000) };
    const error = await failure(bench.world, RpcConnection.connect(bench.world, "x", bench.server.port, options));
    expect(error.code).toBe("INVALID_ARGUMENT");
    expect(error.message).toContain("5 s ahead");
  });
});

describe("call", () => {
  test("round trips arguments and payload of any size, however the bytes are cut", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(2_000), fc.oneof(fc.nat(300), fc.nat(60_000))), { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 20, max: 3_000 }),
        fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })),
        async (sizes, pieceBytes, random) => {
          const bench = startServer();
          bench.world.split = () => Math.ceil(random.next().value * pieceBytes * 10);
          const connection = await connectClient(bench);
          const calls = sizes.map(([argsBytes, payloadBytes], index) =>
            connection.call(TestOpcode.echo, Buffer.alloc(argsBytes, index), Buffer.alloc(payloadBytes, index + 1)),
          );
          const answers = await settled(bench.world, Promise.all(calls));
          for (const [index, answer] of answers.entries()) {
            const [argsBytes, payloadBytes] = sizes[index]!;
            expect(Buffer.alloc(argsBytes, index).equals(answer.args)).toBe(true);
            expect(Buffer.alloc(payloadBytes, index + 1).equals(answer.payload)).toBe(true);
          }
          expect(bench.server.heldBytes).toBe(0);
        },
      ),
      { numRuns: 40 },
    );
  });

  test("bytes one by one", async () => {
    const bench = startServer();
    bench.world.split = () => 1;
    const connection = await connectClient(bench);
    const calls = ["a", "bc", "", "def"].map((text) => callText(connection, TestOpcode.echo, text));
    const answers = await settled(bench.world, Promise.all(calls));
    expect(answers.map(({ args }) => Buffer.from(args).toString())).toEqual(["a", "bc", "", "def"]);
  });

  test("interleaves large and small; a body of the largest size passes, one byte more fails TOO_LARGE", async () => {
    const bench = startServer();
    const connection = await connectClient(bench);
    const large = Buffer.alloc(MAX_FRAME_BODY_BYTES - 4, 1);
    large.write("the end", large.length - 7);
    const calls = [
      callText(connection, TestOpcode.echo, "1"),
      connection.call(TestOpcode.echo, Buffer.from("args"), large),
      callText(connection, TestOpcode.echo, "2"),
      connection.call(TestOpcode.echo, Buffer.alloc(256 * KIB, 8), Buffer.alloc(64 * KIB, 9)),
      callText(connection, TestOpcode.echo, "3"),
    ];
    const answers = await settled(bench.world, Promise.all(calls));
    expect(answers[1]!.payload.length).toBe(large.length);
    expect(large.equals(answers[1]!.payload)).toBe(true);
    expect(answers[3]!.args.length).toBe(256 * KIB);
    const over = connection.call(TestOpcode.echo, Buffer.alloc(5), large);
    expect((await failure(bench.world, over)).code).toBe("TOO_LARGE");
    const overArgs = connection.call(TestOpcode.echo, Buffer.alloc(256 * KIB + 1));
    expect((await failure(bench.world, overArgs)).code).toBe("TOO_LARGE");
    expect(connection.isClosed).toBe(false);
  });

  test("answers keep their bytes while later ones arrive", async () => {
    const bench = startServer();
    const connection = await connectClient(bench);
    const first = await settled(bench.world, callText(connection, TestOpcode.echo, "first"));
    await settled(
      bench.world,
      Promise.all(["2", "3", "4"].map((text) => callText(connection, TestOpcode.echo, text.repeat(9)))),
    );
    expect(Buffer.from(first.args).toString()).toBe("first");
  });

  test("requests of one turn leave in one write, and answers may come in any order", async () => {
    const bench = startServer();
    const connection = await connectClient(bench);
    const [client] = bench.world.sockets;
    const before = client!.writes;
    const calls = ["a", "b", "c"].map((text) => callText(connection, TestOpcode.keep, text));
    await bench.world.settle();
    expect(client!.writes - before).toBe(1);
    for (const { request, reply } of bench.handler.kept.toReversed()) reply.send(request.args);
    const answers = await settled(bench.world, Promise.all(calls));
    expect(answers.map(({ args }) => Buffer.from(args).toString())).toEqual(["a", "b", "c"]);
    expect(connection.openCalls).toBe(0);
  });

  test("carries map version and clock, and observes the server's clock", async () => {
    const server = new BareServer();
    const connection = await server.connect();
    const call = callText(connection, TestOpcode.echo, "", { mapVersion: 77 });
    await server.world.settle();
    const [request] = server.requests;
    expect(request!.mapVersion).toBe(77);
    const ahead = request!.epoch + 500_000;
    server.socket.write(
      frameBytes({ opcode: TestOpcode.echo, requestId: request!.requestId, flags: RESPONSE, epoch: ahead }),
    );
    await settled(server.world, call);
    void callText(connection, TestOpcode.echo, "").catch(() => {});
    await server.world.settle();
    expect(server.requests[1]!.epoch).toBeGreaterThanOrEqual(ahead);
  });

  test("fails with the server's error and goes on", async () => {
    const bench = startServer();
    const connection = await connectClient(bench);
    const error = await failure(bench.world, callText(connection, TestOpcode.fail, ""));
    expect([error.code, error.message]).toEqual(["NO_SPACE", "Cannot write: full. Remove something."]);
    await settled(bench.world, callText(connection, TestOpcode.echo, "on"));
  });

  test("whose answer is damaged fails UNAVAILABLE, alone", async () => {
    const server = new BareServer();
    const connection = await server.connect();
    const calls = [callText(connection, TestOpcode.echo, ""), callText(connection, TestOpcode.echo, "")];
    await server.world.settle();
    const bytes = frameBytes(
      { opcode: TestOpcode.echo, requestId: server.requests[0]!.requestId, flags: RESPONSE },
      Buffer.from("abc"),
    );
    bytes[FRAME_HEADER_BYTES]! ^= 1;
    server.socket.write(bytes);
    server.answer(server.requests[1]!.requestId, "good");
    const { code, cause } = await failure(server.world, calls[0]!);
    expect([code, (cause as DaosError).code]).toEqual(["UNAVAILABLE", "DAMAGED"]);
    expect(Buffer.from((await settled(server.world, calls[1]!)).args).toString()).toBe("good");
  });

  test.each([1, 100, 20 * KIB, 100 * KIB])(
    "with a payload of %d bytes that changed since it was summed up is refused with DAMAGED, alone",
    async (size) => {
      const bench = startServer();
      const connection = await connectClient(bench);
      const bytes = Buffer.alloc(size, 3);
      const payload = { ...summed(bytes), views: [bytes.subarray(0, size >> 1), bytes.subarray(size >> 1)] };
      const answer = await settled(bench.world, connection.call(TestOpcode.echo, Buffer.from("args"), payload));
      expect(Buffer.from(answer.payload).equals(bytes)).toBe(true);
      expect(answer.payloadChecksum).toBe(payload.checksum);
      bytes[size >> 1]! ^= 8;
      const call = connection.call(TestOpcode.echo, Buffer.from("args"), payload);
      expect((await failure(bench.world, call)).code).toBe("DAMAGED");
      await settled(bench.world, callText(connection, TestOpcode.echo, "on"));
    },
  );

  test("start gives the answer in place", async () => {
    const bench = startServer();
    const connection = await connectClient(bench);
    const seen: string[] = [];
    const completion = {
      answered: (body: FrameBody) =>
        void seen.push(`${body.args().toString()} ${body.payload().length} ${body.payloadBuffer !== undefined}`),
      failed: (error: DaosError, wasSent: boolean) => void seen.push(`${error.code} ${wasSent}`),
    };
    const encode = (buffer: Buffer, offset: number): void => void buffer.write("hey", offset);
    connection.start(TestOpcode.echo, 3, { encode }, Buffer.alloc(10), undefined, completion);
    connection.start(TestOpcode.echo, 3, { encode }, Buffer.alloc(20 * KIB), undefined, completion);
    connection.start(TestOpcode.fail, 3, { encode }, undefined, undefined, completion);
    expect(seen).toEqual([]);
    await bench.world.settle();
    expect(seen).toEqual(["hey 10 false", "hey 20480 true", "NO_SPACE true"]);
    connection.close();
    connection.start(TestOpcode.echo, 3, { encode }, undefined, undefined, completion);
    expect(seen.length).toBe(3);
    await bench.world.settle();
    expect(seen[3]).toBe("UNAVAILABLE false");
  });
});

test("requests that gather leave with flush, with another request, or when they are many; then in one write", async () => {
  const bench = startServer();
  const connection = await connectClient(bench);
  const client = bench.world.sockets[0]!;
  const call = (sizeBytes: number, gather: boolean): Promise<unknown> =>
    connection.call(TestOpcode.echo, NOTHING, Buffer.alloc(sizeBytes), { gather });
  const gathered = [call(12 * KIB, true), call(12 * KIB, true)];
  await bench.world.settle();
  expect(bench.handler.handled).toBe(0);
  const { writes } = client;
  connection.flush();
  await settled(bench.world, Promise.all(gathered));
  expect(client.writes).toBe(writes + 1);
  await settled(bench.world, Promise.all([call(1, true), call(1, false)]));
  const many = Array.from({ length: 100 }, () => call(KIB, true));
  await bench.world.settle();
  expect(bench.handler.handled).toBeGreaterThan(4 + GATHERED_SEND_BYTES / KIB - 10);
  connection.flush();
  await settled(bench.world, Promise.all(many));
});
