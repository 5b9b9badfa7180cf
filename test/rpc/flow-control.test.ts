/**
 * Bounds of what a server holds: for one connection, for all together, for peers that stall, and for how many there are.
 */
import { describe, expect, test } from "bun:test";
import { KIB, MIB } from "../../src/base/limits.ts";
import type { RpcPeer } from "../../src/rpc/request.ts";
import { BarePeer, frameBytes, NOTHING, startServer, TestOpcode } from "./harness.ts";

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function keepRequests(count: number, payload: Uint8Array = NOTHING): Buffer {
  return Buffer.concat(
    Array.from({ length: count }, (_, index) =>
      frameBytes({ opcode: TestOpcode.keep, requestId: index + 1 }, NOTHING, payload),
    ),
  );
}

describe("one connection", () => {
  test("over its number of requests in flight is not read from until half are replied to; order is kept", async () => {
    const bench = startServer({ connectionInflightRequests: 8 });
    const peer = await BarePeer.greet(bench);
    await peer.send(bench, keepRequests(20));
    expect(bench.handler.kept.length).toBe(8);
    expect(peer.socket.peer!.isPaused).toBe(true);
    for (const { reply } of bench.handler.kept.slice(0, 3)) reply.send(NOTHING);
    await bench.world.settle();
    expect(bench.handler.kept.length).toBe(8);
    bench.handler.kept[3]!.reply.send(NOTHING);
    await bench.world.settle();
    expect(bench.handler.kept.length).toBe(12);
    for (let index = 4; index < bench.handler.kept.length; index += 1) {
      bench.handler.kept[index]!.reply.send(NOTHING);
      await bench.world.settle();
    }
    expect(bench.handler.kept.map(({ request }) => request.requestId)).toEqual(
      Array.from({ length: 20 }, (_, index) => index + 1),
    );
    expect(peer.frames.length).toBe(20);
    expect(peer.socket.peer!.isPaused).toBe(false);
    expect(bench.server.heldBytes).toBe(0);
  });

  test("over its request bytes in flight is not read from", async () => {
    const bench = startServer({ connectionInflightBytes: 100 * KIB });
    const peer = await BarePeer.greet(bench);
    await peer.send(bench, keepRequests(10, Buffer.alloc(30 * KIB)));
    expect(bench.handler.kept.length).toBe(4);
    expect(bench.server.heldBytes).toBe(120 * KIB);
    for (const { reply } of bench.handler.kept.splice(0)) reply.send(NOTHING);
    await bench.world.settle();
    expect(bench.handler.kept.length).toBe(4);
  });

  test("bytes that arrive after the pause wait behind those that wait already", async () => {
    const bench = startServer({ connectionInflightRequests: 1 });
    const peer = await BarePeer.greet(bench);
    const serverSide = peer.socket.peer!;
    await peer.send(bench, Buffer.concat([keepRequests(2), keepRequests(3).subarray(0, 100)]));
    serverSide.isPaused = false;
    await peer.send(bench, keepRequests(3).subarray(100));
    expect(bench.handler.kept.length).toBe(1);
    for (let index = 0; index < 5; index += 1) {
      bench.handler.kept[index]!.reply.send(NOTHING);
      await bench.world.settle();
    }
    expect(bench.handler.kept.map(({ request }) => request.requestId)).toEqual([1, 2, 1, 2, 3]);
  });

  test("a client that never reads makes the server hold its queue limit and one reply, no more", async () => {
    const bench = startServer({ connectionQueuedReplyBytes: MIB });
    bench.handler.holdsReads = false;
    bench.world.bufferBytes = 64 * KIB;
    const peer = await BarePeer.greet(bench);
    peer.socket.pause();
    const reads = Array.from({ length: 500 }, (_, index) =>
      frameBytes({ opcode: TestOpcode.read, requestId: index + 1 }, uint32(100 * KIB)),
    );
    await peer.send(bench, Buffer.concat(reads));
    expect(bench.server.heldBytes).toBeLessThan(MIB + 101 * KIB);
    expect(bench.handler.handled).toBeLessThan(15);
    expect(peer.socket.peer!.isPaused).toBe(true);
    peer.socket.resume();
    await bench.world.settle();
    expect(peer.frames.length).toBe(500);
    expect(bench.server.heldBytes).toBe(0);
  });

  test("what a handler says a request will hold counts at once", async () => {
    const bench = startServer({ connectionInflightBytes: MIB });
    const peer = await BarePeer.greet(bench);
    await peer.send(bench, keepRequests(1));
    bench.handler.kept[0]!.reply.hold(2 * MIB);
    await peer.send(bench, keepRequests(5));
    expect(bench.handler.kept.length).toBe(2);
    expect(bench.server.heldBytes).toBe(2 * MIB);
    bench.handler.kept[0]!.reply.send(NOTHING);
    await bench.world.settle();
    expect(bench.handler.kept.length).toBe(6);
    expect(bench.server.heldBytes).toBe(0);
    bench.handler.kept[1]!.reply.hold(2 ** 53 * 2 ** 32);
    expect(bench.server.heldBytes).toBe(9 * MIB);
    for (const { reply } of bench.handler.kept.slice(1)) reply.send(NOTHING);
    await bench.world.settle();
    expect(bench.server.heldBytes).toBe(0);
  });
});

describe("all connections", () => {
  test("frames that there is no memory to collect are answered OVERLOADED and skipped", async () => {
    const bench = startServer({ heldBytes: 10 * MIB });
    const [first, second] = [await BarePeer.greet(bench), await BarePeer.greet(bench)];
    const large = frameBytes({ opcode: TestOpcode.echo, requestId: 7 }, NOTHING, Buffer.alloc(6 * MIB, 1));
    await first.send(bench, large.subarray(0, MIB));
    expect(bench.server.heldBytes).toBe(6 * MIB);
    await second.send(bench, large);
    expect(second.lastError?.code).toBe("OVERLOADED");
    expect(second.frames.length).toBe(1);
    await second.send(bench, frameBytes({ opcode: TestOpcode.echo }, Buffer.from("small")));
    expect(second.frames.at(-1)?.args.toString()).toBe("small");
    await first.send(bench, large.subarray(MIB));
    await bench.world.settle();
    expect(first.frames.at(-1)?.payload.length).toBe(6 * MIB);
    await second.send(bench, large);
    await bench.world.settle();
    expect(second.frames.at(-1)?.payload.length).toBe(6 * MIB);
    expect(bench.server.heldBytes).toBe(0);
  });

  test("buffers that cannot be had are answered OVERLOADED; every buffer handed out comes back", async () => {
    let allocated = 0;
    let released = 0;
    const bench = startServer(
      {},
      {
        allocate: (sizeBytes) => {
          if (allocated === 2) return undefined;
          allocated += 1;
          return Buffer.alloc(sizeBytes);
        },
        release: () => {
          released += 1;
        },
      },
    );
    const peer = await BarePeer.greet(bench);
    const damaged = frameBytes({ opcode: TestOpcode.echo }, NOTHING, Buffer.alloc(50 * KIB));
    damaged[1000] = 1;
    await peer.send(bench, damaged);
    expect(peer.lastError?.code).toBe("DAMAGED");
    expect([allocated, released]).toEqual([1, 1]);
    const other = await BarePeer.greet(bench);
    await other.send(bench, damaged.subarray(0, 20 * KIB));
    await peer.send(bench, frameBytes({ opcode: TestOpcode.echo }, NOTHING, Buffer.alloc(50 * KIB)));
    expect(peer.lastError?.code).toBe("OVERLOADED");
    other.socket.terminate();
    await bench.world.settle();
    expect([allocated, released]).toEqual([2, 2]);
    expect(bench.server.heldBytes).toBe(0);
  });

  test("under pressure, those that hold much wait and those that hold little go on", async () => {
    const bench = startServer({ heldBytes: MIB });
    const [greedy, modest] = [await BarePeer.greet(bench), await BarePeer.greet(bench)];
    await greedy.send(bench, keepRequests(20, Buffer.alloc(100 * KIB)));
    expect(bench.handler.kept.length).toBe(5);
    await modest.send(bench, frameBytes({ opcode: TestOpcode.echo }, Buffer.from("hi")));
    expect(modest.frames.at(-1)?.args.toString()).toBe("hi");
    for (let index = 0; index < 20; index += 1) {
      bench.handler.kept[index]!.reply.send(NOTHING);
      await bench.world.settle();
    }
    expect(greedy.frames.length).toBe(20);
    expect(bench.server.heldBytes).toBe(0);
  });

  test("one connection too many is told OVERLOADED and closed; there is room again when one goes", async () => {
    const bench = startServer({ connections: 2 });
    const first = await BarePeer.greet(bench);
    await BarePeer.greet(bench);
    const third = await BarePeer.connect(bench);
    await bench.world.settle();
    expect(third.lastError?.code).toBe("OVERLOADED");
    expect(third.isClosed).toBe(true);
    expect(bench.server.connections).toBe(2);
    first.socket.terminate();
    await bench.world.settle();
    const fourth = await BarePeer.greet(bench);
    await fourth.send(bench, frameBytes({ opcode: TestOpcode.echo }, Buffer.from("in")));
    expect(fourth.frames.at(-1)?.args.toString()).toBe("in");
  });
});

describe("stalled peers", () => {
  const limits = { frameStallTimeoutMs: 5_000, clientStallTimeoutMs: 8_000 };

  test.each([
    ["a part of a header", 10],
    ["a header without its body", 40],
    ["a part of a body", 45],
    ["a part of a large body", 300],
  ])("a frame that stalls after %s ends the connection", async (_what, length) => {
    const bench = startServer(limits);
    const peer = await BarePeer.greet(bench);
    const payload = Buffer.alloc(length > 100 ? 50 * KIB : 10);
    await peer.send(bench, frameBytes({ opcode: TestOpcode.echo }, NOTHING, payload).subarray(0, length));
    await bench.world.advance(4_900);
    expect(peer.isClosed).toBe(false);
    await bench.world.advance(3_000);
    expect(peer.lastError?.code).toBe("TIMEOUT");
    expect(peer.isClosed).toBe(true);
    expect(bench.server.counters.cuts).toBe(1);
    expect(bench.server.heldBytes).toBe(0);
  });

  test("a frame that trickles is cut, one that makes progress is not, and idle connections stay", async () => {
    const bench = startServer(limits);
    const idle = await BarePeer.greet(bench);
    const silent = await BarePeer.connect(bench);
    const trickling = await BarePeer.greet(bench);
    const slow = await BarePeer.greet(bench);
    const bytes = frameBytes({ opcode: TestOpcode.echo }, NOTHING, Buffer.alloc(4 * MIB));
    for (let second = 0; second < 30; second += 1) {
      await trickling.send(bench, bytes.subarray(second, second + 1));
      await slow.send(bench, bytes.subarray(second * 100 * KIB, (second + 1) * 100 * KIB));
      await bench.world.advance(1_000);
    }
    expect(trickling.isClosed).toBe(true);
    expect(slow.isClosed).toBe(false);
    await slow.send(bench, bytes.subarray(30 * 100 * KIB));
    await bench.world.settle();
    expect(slow.frames.at(-1)?.payload.length).toBe(4 * MIB);
    await bench.world.advance(3_600_000);
    expect([idle.isClosed, silent.isClosed]).toEqual([false, false]);
  });

  test("a frame whose connection the server itself does not read from is not cut", async () => {
    const bench = startServer({ ...limits, connectionInflightRequests: 1 });
    const peer = await BarePeer.greet(bench);
    await peer.send(bench, Buffer.concat([keepRequests(1), keepRequests(2).subarray(0, 60)]));
    await bench.world.advance(60_000);
    expect(peer.isClosed).toBe(false);
    const other = startServer({ ...limits, connectionInflightBytes: MIB });
    const caught = await BarePeer.greet(other);
    await caught.send(other, Buffer.concat([keepRequests(1), keepRequests(2).subarray(0, 60)]));
    other.handler.kept[0]!.reply.hold(2 * MIB);
    await caught.send(other, keepRequests(2).subarray(60, 70));
    expect(caught.socket.peer!.isPaused).toBe(true);
    await other.world.advance(60_000);
    expect(caught.isClosed).toBe(false);
  });

  test("a peer that always has a frame open, each time another, is not cut", async () => {
    const bench = startServer(limits);
    const peer = await BarePeer.greet(bench);
    const bytes = frameBytes({ opcode: TestOpcode.echo }, Buffer.from("abc"));
    await peer.send(bench, bytes.subarray(0, 20));
    for (let second = 0; second < 30; second += 1) {
      await bench.world.advance(1_000);
      await peer.send(bench, Buffer.concat([bytes.subarray(20), bytes.subarray(0, 20)]));
    }
    expect(peer.isClosed).toBe(false);
    expect(peer.frames.length).toBe(30);
  });

  test("a client that takes nothing with a full queue is cut, one that takes a little is not", async () => {
    const bench = startServer({ ...limits, connectionQueuedReplyBytes: 200 * KIB });
    bench.world.bufferBytes = 64 * KIB;
    const [stuck, slow] = [await BarePeer.greet(bench), await BarePeer.greet(bench)];
    stuck.socket.pause();
    slow.socket.pause();
    const reads = Array.from({ length: 10 }, (_, index) =>
      frameBytes({ opcode: TestOpcode.read, requestId: index + 1 }, uint32(100 * KIB)),
    );
    await stuck.send(bench, Buffer.concat(reads));
    await slow.send(bench, Buffer.concat(reads));
    for (let second = 0; second < 12; second += 1) {
      await bench.world.advance(1_000);
      slow.socket.resume();
      slow.socket.step();
      slow.socket.pause();
    }
    expect(stuck.isClosed).toBe(true);
    expect(slow.isClosed).toBe(false);
    slow.socket.resume();
    await bench.world.settle();
    expect(slow.frames.length).toBe(10);
    expect(bench.server.heldBytes).toBe(0);
  });

  test("a client with an empty queue may be silent for ever, and no timer runs without connections", async () => {
    const bench = startServer(limits);
    const peer = await BarePeer.greet(bench);
    await peer.send(bench, keepRequests(1));
    await bench.world.advance(3_600_000);
    bench.handler.kept[0]!.reply.send(Buffer.from("late"));
    await bench.world.settle();
    expect(peer.frames.at(-1)?.args.toString()).toBe("late");
    peer.socket.terminate();
    await bench.world.settle();
    expect(bench.world.timers).toBe(0);
  });

  test("a peer that does not take its farewell is terminated", async () => {
    const bench = startServer(limits);
    bench.world.bufferBytes = 64 * KIB;
    const peer = await BarePeer.greet(bench);
    peer.socket.pause();
    await peer.send(bench, frameBytes({ opcode: TestOpcode.read }, uint32(300 * KIB)));
    await peer.send(bench, Buffer.alloc(40, 1));
    await bench.world.settle();
    expect(bench.server.connections).toBe(1);
    await bench.world.advance(10_000);
    expect(bench.server.connections).toBe(0);
    expect(bench.server.heldBytes).toBe(0);
  });
});

describe("close", () => {
  test("replies to what runs, then ends the connections", async () => {
    const bench = startServer();
    const peer = await BarePeer.greet(bench);
    const idle = await BarePeer.greet(bench);
    await peer.send(bench, keepRequests(2));
    let isClosed = false;
    const closing = bench.server.close(10_000).then(() => {
      isClosed = true;
    });
    await bench.world.settle();
    expect(idle.isClosed).toBe(true);
    await peer.send(bench, keepRequests(1));
    expect(bench.handler.kept.length).toBe(2);
    for (const { reply } of bench.handler.kept) reply.send(Buffer.from("done"));
    await bench.world.settle();
    expect(peer.frames.map((frame) => frame.args.toString())).toEqual(["done", "done"]);
    expect(isClosed).toBe(true);
    await closing;
    expect(peer.isClosed).toBe(true);
    expect(bench.world.timers).toBe(0);
    await expect(bench.world.connect("loopback", bench.server.port, () => peer)).rejects.toThrow("refused");
  });

  test("cuts what is not done in time", async () => {
    const bench = startServer();
    const peer = await BarePeer.greet(bench);
    await peer.send(bench, keepRequests(1));
    const closing = bench.server.close(500);
    await bench.world.advance(600);
    await closing;
    expect(peer.isClosed).toBe(true);
    expect(bench.server.connections).toBe(0);
    bench.handler.kept[0]!.reply.send(NOTHING);
    expect(bench.server.heldBytes).toBe(0);
  });

  test("a handler may cut a connection from within a request", async () => {
    const bench = startServer();
    const peer = await BarePeer.greet(bench);
    const closed: RpcPeer[] = bench.handler.closed;
    bench.handler.handle = (request, reply) => {
      request.connection.terminate();
      reply.send(Buffer.from("nobody hears"));
    };
    await peer.send(bench, keepRequests(3));
    expect(peer.isClosed).toBe(true);
    expect(peer.frames.length).toBe(0);
    expect(closed.length).toBe(1);
    expect(bench.server.heldBytes).toBe(0);
  });
});
