/**
 * The whole of it over real sockets: what the runtime's own partial writes, pauses and buffers do.
 */
import { afterEach, describe, expect, test } from "bun:test";
import { HybridLogicalClock } from "../../src/base/epoch.ts";
import { KIB, MIB } from "../../src/base/limits.ts";
import type { Socket, SocketHandlers } from "../../src/contracts/world.ts";
import { RpcConnection } from "../../src/rpc/connection.ts";
import { encodeHello } from "../../src/rpc/hello.ts";
import { RpcServer } from "../../src/rpc/server.ts";
import { Opcode } from "../../src/format/operations.ts";
import { realWorld } from "../../src/world/index.ts";
import { frameBytes, NOTHING, TestHandler, TestOpcode } from "./harness.ts";

const world = realWorld();
const clock = new HybridLogicalClock(() => world.clock.wallMs());
let server: RpcServer;
let connections: RpcConnection[] = [];

function start(): TestHandler {
  const handler = new TestHandler();
  server = new RpcServer({
    network: world.network,
    timers: world.timers,
    clock,
    host: "127.0.0.1",
    port: 0,
    role: "target",
    software: "daos test",
    handler,
  });
  return handler;
}

async function connect(): Promise<RpcConnection> {
  const connection = await RpcConnection.connect(world.network, "127.0.0.1", server.port, {
    timers: world.timers,
    clock,
  });
  connections.push(connection);
  return connection;
}

/** Resolves when the condition holds; turns of the event loop, not time, are waited for. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise<void>((resolve) => world.timers.soon(resolve));
}

afterEach(async () => {
  for (const connection of connections) connection.close();
  connections = [];
  await server.close();
});

describe("real sockets", () => {
  test("large and small calls interleaved on many connections come back whole", async () => {
    start();
    const all = await Promise.all(Array.from({ length: 8 }, connect));
    const calls = all.flatMap((connection, of) =>
      Array.from({ length: 60 }, async (_, index) => {
        const size = index % 20 === 0 ? 3 * MIB + index : index * 37;
        const payload = Buffer.alloc(size, of * 60 + index);
        const answer = await connection.call(TestOpcode.echo, Buffer.from(`${of}/${index}`), payload);
        expect(Buffer.from(answer.args).toString()).toBe(`${of}/${index}`);
        expect(payload.equals(answer.payload)).toBe(true);
      }),
    );
    await Promise.all(calls);
    await until(() => server.heldBytes === 0);
  });

  test("1,000 idle connections are held, cost little, and do not disturb a busy one", async () => {
    start();
    const before = process.memoryUsage().rss;
    for (let batch = 0; batch < 20; batch += 1) await Promise.all(Array.from({ length: 50 }, connect));
    expect(server.connections).toBe(1_000);
    const grownBytes = process.memoryUsage().rss - before;
    expect(grownBytes / 1_000).toBeLessThan(64 * KIB);
    const [busy] = connections;
    for (let round = 0; round < 200; round += 1) await busy!.call(TestOpcode.echo, Buffer.from(`${round}`));
    expect(connections.every((connection) => !connection.isClosed)).toBe(true);
    for (const connection of connections) connection.close();
    await until(() => server.connections === 0);
  });

  test("a client that never reads is held back, and the server answers others meanwhile", async () => {
    const handler = start();
    handler.holdsReads = false;
    let stuck: Socket | undefined;
    const silent: SocketHandlers = { received: () => {}, drain: () => {}, closed: () => {} };
    await world.network.connect("127.0.0.1", server.port, (socket) => {
      stuck = socket;
      return silent;
    });
    stuck!.pause();
    const args = Buffer.alloc(4);
    args.writeUInt32LE(MIB);
    const reads = Array.from({ length: 400 }, (_, index) =>
      frameBytes({ opcode: TestOpcode.read, requestId: index + 1 }, args),
    );
    stuck!.write(Buffer.concat([frameBytes({ opcode: Opcode.hello }, encodeHello("stuck")), ...reads]));
    const other = await connect();
    await until(() => server.heldBytes > 16 * MIB);
    for (let round = 0; round < 50; round += 1) await other.call(TestOpcode.echo, Buffer.from("on"));
    expect(server.heldBytes).toBeLessThan(18 * MIB);
    expect(handler.handled).toBeLessThan(150);
    stuck!.terminate();
    await until(() => server.connections === 1);
    expect(server.heldBytes).toBe(0);
  });

  test("killing the server fails what is open; connecting to it then fails UNAVAILABLE", async () => {
    const handler = start();
    const connection = await connect();
    const call = connection.call(TestOpcode.keep, NOTHING);
    await until(() => handler.kept.length === 1);
    await server.close();
    await expect(call).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await until(() => connection.isClosed);
    await expect(connect()).rejects.toMatchObject({ code: "UNAVAILABLE" });
  });
});
