/**
 * RpcServer and its connections against bare peers: what is refused, what is cut, what is kept within bounds.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { crc32 } from "../../src/base/checksum.ts";
import { KIB, MIB } from "../../src/base/limits.ts";
import { encodeCbor } from "../../src/format/cbor.ts";
import { FRAME_HEADER_BYTES } from "../../src/format/frame.ts";
import { Opcode } from "../../src/format/operations.ts";
import { encodeHello } from "../../src/rpc/hello.ts";
import { BarePeer, callText, connectClient, failure, frameBytes, NOTHING, startServer, TestOpcode } from "./harness.ts";
import { settled } from "./loopback.ts";

const hello = (): Buffer => frameBytes({ opcode: Opcode.hello }, encodeHello("bare"));

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

describe("greeting", () => {
  test("a request before hello is answered PROTOCOL and the connection goes on", async () => {
    const bench = startServer();
    const peer = await BarePeer.connect(bench);
    await peer.send(bench, frameBytes({ opcode: TestOpcode.echo, requestId: 5 }));
    await peer.send(bench, frameBytes({ opcode: Opcode.ping, requestId: 6 }));
    expect(peer.frames.map((frame) => [frame.header.requestId, frame.error?.code])).toEqual([
      [5, "PROTOCOL"],
      [6, "PROTOCOL"],
    ]);
    expect(bench.handler.handled).toBe(0);
    await peer.send(bench, hello());
    expect(peer.lastError).toBeUndefined();
    await peer.send(bench, frameBytes({ opcode: TestOpcode.echo, requestId: 7 }, Buffer.from("a")));
    expect(peer.frames.at(-1)?.args.toString()).toBe("a");
  });

  test("a second hello is answered PROTOCOL", async () => {
    const bench = startServer();
    const peer = await BarePeer.greet(bench);
    await peer.send(bench, hello());
    expect(peer.lastError?.code).toBe("PROTOCOL");
    expect(peer.isClosed).toBe(false);
  });

  test.each([
    [{ protocol: { min: 2, max: 9 }, peer: "new" }, "VERSION"],
    [{ protocol: { min: 0, max: 0 }, peer: "old" }, "VERSION"],
    [{ protocol: { min: 2, max: 1 }, peer: "x" }, "INVALID_ARGUMENT"],
    [{ protocol: 1, peer: "x" }, "INVALID_ARGUMENT"],
    [{ protocol: { min: 1, max: 1 } }, "INVALID_ARGUMENT"],
    [null, "INVALID_ARGUMENT"],
    [[], "INVALID_ARGUMENT"],
  ] as const)("hello %j is answered %s", async (args, code) => {
    const bench = startServer();
    const peer = await BarePeer.connect(bench);
    await peer.send(bench, frameBytes({ opcode: Opcode.hello }, encodeCbor(args)));
    expect(peer.lastError?.code).toBe(code);
  });

  test("hello that is not CBOR is answered PROTOCOL", async () => {
    const bench = startServer();
    const peer = await BarePeer.connect(bench);
    await peer.send(bench, frameBytes({ opcode: Opcode.hello }, Buffer.from([0xff])));
    expect(peer.lastError?.code).toBe("PROTOCOL");
  });
});

describe("requests", () => {
  test("ping answers its payload, small and large", async () => {
    const bench = startServer();
    const peer = await BarePeer.greet(bench);
    for (const size of [0, 5, 16 * KIB - 1, 16 * KIB, 200 * KIB, 9 * MIB]) {
      await peer.send(bench, frameBytes({ opcode: Opcode.ping, requestId: 9 }, NOTHING, Buffer.alloc(size, size)));
      await bench.world.settle();
      expect(peer.frames.at(-1)?.payload.equals(Buffer.alloc(size, size))).toBe(true);
    }
    expect(bench.server.heldBytes).toBe(0);
  });

  test("a handler's DaosError becomes the reply; an unknown operation is the handler's to refuse", async () => {
    const bench = startServer();
    const peer = await BarePeer.greet(bench);
    await peer.send(bench, frameBytes({ opcode: TestOpcode.fail, requestId: 2 }));
    await peer.send(bench, frameBytes({ opcode: 4242, requestId: 3 }));
    await peer.send(bench, frameBytes({ opcode: 0, requestId: 4 }));
    expect(peer.frames.map((frame) => frame.error?.code)).toEqual(["NO_SPACE", "UNSUPPORTED", "UNSUPPORTED"]);
    expect(peer.isClosed).toBe(false);
  });

  test("a reply too large for a frame becomes TOO_LARGE", async () => {
    const bench = startServer();
    const peer = await BarePeer.greet(bench);
    await peer.send(bench, frameBytes({ opcode: TestOpcode.read }, uint32(9 * MIB + 1)));
    expect(peer.lastError?.code).toBe("TOO_LARGE");
    await peer.send(bench, frameBytes({ opcode: TestOpcode.read }, uint32(9 * MIB)));
    await bench.world.settle();
    expect(peer.frames.at(-1)?.payload.length).toBe(9 * MIB);
  });

  test("a damaged body is answered DAMAGED and the connection goes on", async () => {
    for (const size of [10, 100 * KIB]) {
      const bench = startServer();
      const peer = await BarePeer.greet(bench);
      const bytes = frameBytes({ opcode: TestOpcode.echo, requestId: 8 }, Buffer.from("abc"), Buffer.alloc(size));
      bytes[FRAME_HEADER_BYTES + 5]! ^= 1;
      await peer.send(bench, bytes);
      expect(peer.lastError?.code).toBe("DAMAGED");
      expect(bench.server.counters.damagedFrames).toBe(1);
      expect(peer.frames.at(-1)?.header.requestId).toBe(8);
      await peer.send(bench, frameBytes({ opcode: TestOpcode.echo }, Buffer.from("on")));
      expect(peer.frames.at(-1)?.args.toString()).toBe("on");
      expect(bench.handler.handled).toBe(1);
      expect(bench.server.heldBytes).toBe(0);
    }
  });

  test("a damaged body that the connection may not go on without ends it: what follows is not served", async () => {
    const bench = startServer();
    bench.handler.needed = TestOpcode.keep;
    const peer = await BarePeer.greet(bench);
    const damaged = frameBytes({ opcode: TestOpcode.keep, requestId: 8 }, Buffer.from("abc"));
    damaged[FRAME_HEADER_BYTES]! ^= 1;
    await peer.send(bench, Buffer.concat([damaged, frameBytes({ opcode: TestOpcode.echo }, Buffer.from("on"))]));
    expect(peer.lastError?.code).toBe("DAMAGED");
    expect(peer.frames.at(-1)?.header.requestId).toBe(0);
    expect(bench.handler.handled).toBe(0);
    expect(bench.handler.closed.length).toBe(1);
  });

  test("an oversize body is answered TOO_LARGE without being stored, and the connection goes on", async () => {
    const bench = startServer();
    const peer = await BarePeer.greet(bench);
    for (const lengths of [
      { argumentsLength: 256 * KIB + 1, payloadLength: 0 },
      { argumentsLength: 1, payloadLength: 9 * MIB },
    ]) {
      await peer.send(bench, frameBytes({ opcode: TestOpcode.echo, requestId: 3, ...lengths }));
      expect(peer.lastError?.code).toBe("TOO_LARGE");
      expect(bench.server.heldBytes).toBe(0);
      await peer.send(bench, Buffer.alloc(lengths.argumentsLength + lengths.payloadLength));
      await peer.send(bench, frameBytes({ opcode: TestOpcode.echo, requestId: 4 }, Buffer.from("on")));
      expect(peer.frames.at(-1)?.args.toString()).toBe("on");
    }
  });

  test("request id 0 and frames marked as replies end the connection with an error frame", async () => {
    for (const header of [{ requestId: 0 }, { flags: 1 }, { flags: 3 }]) {
      const bench = startServer();
      const peer = await BarePeer.greet(bench);
      await peer.send(bench, frameBytes({ opcode: TestOpcode.echo, ...header }, NOTHING, Buffer.alloc(20 * KIB)));
      expect(peer.frames.at(-1)?.header.requestId).toBe(0);
      expect(peer.lastError?.code).toBe("PROTOCOL");
      expect(peer.isClosed).toBe(true);
      expect(bench.server.connections).toBe(0);
      expect(bench.server.heldBytes).toBe(0);
    }
  });

  test("any damage to any header byte is refused with a typed error and never reaches the handler", async () => {
    for (let at = 0; at < FRAME_HEADER_BYTES; at += 1) {
      for (const flip of [0x01, 0x80, 0xff]) {
        const bench = startServer();
        const peer = await BarePeer.greet(bench);
        const bytes = frameBytes({ opcode: TestOpcode.echo }, Buffer.from("abc"));
        bytes[at]! ^= flip;
        await peer.send(bench, bytes);
        expect(peer.lastError!.code).toBe("DAMAGED");
        expect(bench.server.counters.damagedFrames).toBe(1);
        expect(peer.frames.at(-1)?.header.requestId).toBe(0);
        expect(peer.isClosed).toBe(true);
        expect(bench.handler.handled).toBe(0);
      }
    }
  });

  test("every header field at its extremes, with good checksums, is answered or cut, never stuck or crashed", async () => {
    const word = fc.constantFrom(
      0,
      1,
      2,
      255,
      256,
      65_535,
      262_144,
      262_145,
      9_437_184,
      9_437_185,
      0x7fff_ffff,
      0xffff_ffff,
    );
    const header = fc.record({
      flags: fc.nat(255),
      opcode: fc.oneof(fc.nat(65_535), fc.constantFrom(...Object.values(TestOpcode).filter((code) => code !== 1002))),
      requestId: word,
      argumentsLength: word,
      payloadLength: word,
      mapVersion: word,
      epoch: fc.oneof(fc.nat(), fc.constant(Number.MAX_SAFE_INTEGER)),
      bodyChecksum: word,
    });
    await fc.assert(
      fc.asyncProperty(header, async (fields) => {
        const bench = startServer();
        const peer = await BarePeer.greet(bench);
        await peer.send(bench, frameBytes(fields));
        await peer.send(bench, Buffer.alloc(64));
        const isOpenFrame = fields.argumentsLength + fields.payloadLength > 0;
        expect(peer.isClosed || peer.frames.length > 0 || isOpenFrame).toBe(true);
        expect(bench.server.heldBytes).toBeLessThanOrEqual(9 * MIB);
        peer.socket.terminate();
        await bench.world.settle();
        expect(bench.server.heldBytes).toBe(0);
      }),
      { numRuns: 300 },
    );
  });

  test("random bytes end the connection with an error frame", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 40, maxLength: 200 }), async (bytes) => {
        const bench = startServer();
        const peer = await BarePeer.connect(bench);
        await peer.send(bench, bytes);
        expect(peer.lastError?.code).toBe("PROTOCOL");
        expect(peer.isClosed).toBe(true);
      }),
      { numRuns: 100 },
    );
  });

  test("a clock over a second ahead is refused, one within is observed", async () => {
    const bench = startServer();
    const peer = await BarePeer.greet(bench);
    const now = bench.world.clock().peek();
    await peer.send(bench, frameBytes({ opcode: TestOpcode.echo, epoch: now + 3_000_000 }));
    expect(peer.lastError?.code).toBe("INVALID_ARGUMENT");
    expect(peer.lastError?.message).toContain("clock is 3 s ahead");
    await peer.send(bench, frameBytes({ opcode: TestOpcode.echo, epoch: now + 900_000 }));
    expect(peer.lastError).toBeUndefined();
    expect(peer.frames.at(-1)?.header.epoch).toBeGreaterThanOrEqual(now + 900_000);
  });

  test("arguments and payload are valid in the call, and for good once retained", async () => {
    const bench = startServer();
    const peer = await BarePeer.greet(bench);
    const large = Buffer.alloc(20 * KIB, 3);
    await peer.send(
      bench,
      frameBytes({ opcode: TestOpcode.keep, requestId: 1 }, Buffer.from("one"), Buffer.from("small")),
    );
    await peer.send(bench, frameBytes({ opcode: TestOpcode.keep, requestId: 2 }, Buffer.from("two"), large));
    await peer.send(
      bench,
      frameBytes({ opcode: TestOpcode.echo, requestId: 3 }, Buffer.alloc(3, 9), Buffer.alloc(100, 9)),
    );
    const [first, second] = bench.handler.kept;
    expect([first!.request.args.toString(), first!.request.payload.toString()]).toEqual(["one", "small"]);
    expect(first!.request.payloadOwned).toBe(false);
    expect(second!.request.args.toString()).toBe("two");
    expect(second!.request.payload.equals(large)).toBe(true);
    expect(second!.request.payloadOwned).toBe(true);
    expect(second!.request.payloadBuffer!.length % 4096).toBe(0);
  });
});

describe("replies", () => {
  test("come in any order, at any later time, those of one turn in one write", async () => {
    const bench = startServer();
    const peer = await BarePeer.greet(bench);
    const requests = [1, 2, 3, 4].map((requestId) => frameBytes({ opcode: TestOpcode.keep, requestId }));
    await peer.send(bench, Buffer.concat(requests));
    expect(peer.frames.length).toBe(0);
    const before = peer.socket.peer!.writes;
    for (const { request, reply } of bench.handler.kept.toReversed()) reply.send(uint32(request.requestId));
    await bench.world.settle();
    expect(peer.frames.map((frame) => frame.args.readUInt32LE(0))).toEqual([4, 3, 2, 1]);
    expect(peer.frames.map((frame) => frame.header.requestId)).toEqual([4, 3, 2, 1]);
    expect(peer.socket.peer!.writes - before).toBe(1);
  });

  test("to requests of one chunk leave in one write", async () => {
    const bench = startServer();
    const peer = await BarePeer.greet(bench);
    const before = peer.socket.peer!.writes;
    const requests = Array.from({ length: 100 }, (_, index) =>
      frameBytes({ opcode: TestOpcode.echo, requestId: index + 1 }),
    );
    await peer.send(bench, Buffer.concat(requests));
    expect(peer.frames.length).toBe(100);
    expect(peer.socket.peer!.writes - before).toBe(1);
  });

  test("after the connection closed are dropped, and their buffers released", async () => {
    const bench = startServer();
    const peer = await BarePeer.greet(bench);
    await peer.send(
      bench,
      Buffer.concat([1, 2].map((requestId) => frameBytes({ opcode: TestOpcode.keep, requestId }))),
    );
    peer.socket.terminate();
    await bench.world.settle();
    expect(bench.handler.closed.length).toBe(1);
    const [first, second] = bench.handler.kept;
    expect(first!.reply.isVain).toBe(true);
    let released = 0;
    first!.reply.send(NOTHING, Buffer.alloc(MIB), () => {
      released += 1;
    });
    second!.reply.start(4, 4);
    second!.reply.finish();
    expect(released).toBe(1);
    expect(bench.server.heldBytes).toBe(0);
  });

  test("a second reply to the same request is a bug", async () => {
    const bench = startServer();
    const peer = await BarePeer.greet(bench);
    await peer.send(bench, frameBytes({ opcode: TestOpcode.keep }));
    const { reply } = bench.handler.kept[0]!;
    reply.send(NOTHING);
    expect(() => reply.send(NOTHING)).toThrow("replied to twice");
  });

  test.each([10, 20 * KIB])("a payload of %d bytes that is not what it should be is answered CORRUPT", async (size) => {
    const bench = startServer();
    const connection = await connectClient(bench);
    const bytes = Buffer.alloc(size, 5);
    for (const [checksum, code] of [
      [crc32(bytes), "ok"],
      [crc32(bytes) ^ 1, "CORRUPT"],
    ] as const) {
      const call = connection.call(TestOpcode.keep, NOTHING);
      await bench.world.settle();
      bench.handler.kept.at(-1)!.reply.send(Buffer.from("args"), bytes, undefined, checksum);
      const outcome = code === "ok" ? settled(bench.world, call) : failure(bench.world, call);
      expect(await outcome).toMatchObject(code === "ok" ? { payloadChecksum: checksum } : { code });
    }
    await settled(bench.world, callText(connection, TestOpcode.echo, "on"));
  });

  test("a large payload is sent from where it is and released once it is on its way", async () => {
    const bench = startServer();
    const peer = await BarePeer.greet(bench);
    await peer.send(bench, frameBytes({ opcode: TestOpcode.keep }));
    bench.world.bufferBytes = 100 * KIB;
    const payload = Buffer.alloc(MIB, 5);
    let released = 0;
    peer.socket.pause();
    bench.handler.kept[0]!.reply.send(Buffer.from("args"), payload, () => {
      released += 1;
    });
    await bench.world.settle();
    expect(released).toBe(0);
    peer.socket.resume();
    await bench.world.settle();
    expect(released).toBe(1);
    expect(peer.frames.at(-1)?.payload.equals(payload)).toBe(true);
    expect(bench.server.heldBytes).toBe(0);
  });
});
