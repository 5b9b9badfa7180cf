/**
 * Large answers received in the caller's memory: it is filled in place, and is the caller's again the moment its call ends.
 */
import { expect, test } from "bun:test";
import type { DaosError } from "../../src/base/errors.ts";
import { KIB } from "../../src/base/limits.ts";
import { FrameFlag } from "../../src/format/frame.ts";
import type { RpcConnection } from "../../src/rpc/connection.ts";
import type { RpcCompletion } from "../../src/rpc/pending-call.ts";
import { BareServer } from "./bare-server.ts";
import { frameBytes, NOTHING, TestOpcode } from "./harness.ts";

const SIZE_BYTES = 256 * KIB;

/** A call whose answer is to come into `place`; what became of it. */
class PlacedCall implements RpcCompletion {
  readonly place = Buffer.alloc(SIZE_BYTES, 0xee);
  code: string | undefined;
  payload: Buffer | undefined;

  start(connection: RpcConnection, signal?: AbortSignal): this {
    connection.start(TestOpcode.echo, 0, { encode: () => {} }, undefined, { signal, timeoutMs: 1_000 }, this);
    return this;
  }

  payloadPlace(sizeBytes: number): Uint8Array | undefined {
    return sizeBytes === SIZE_BYTES ? this.place : undefined;
  }

  answered(body: { payload(): Buffer }): void {
    this.payload = body.payload();
  }

  failed(error: DaosError): void {
    this.code = error.code;
  }
}

function answer(server: BareServer, index: number, payload: Buffer): Buffer {
  const { requestId } = server.requests[index]!;
  return frameBytes({ opcode: TestOpcode.echo, requestId, flags: FrameFlag.response }, NOTHING, payload);
}

async function rig() {
  const server = new BareServer();
  server.world.bufferBytes = 4 * SIZE_BYTES;
  const connection = await server.connect();
  return { server, connection, world: server.world };
}

test("answers that follow each other are each received where their calls say", async () => {
  const { server, connection, world } = await rig();
  const calls = [1, 2, 3].map(() => new PlacedCall().start(connection));
  await world.settle();
  const payloads = [1, 2, 3].map((byte) => Buffer.alloc(SIZE_BYTES, byte));
  server.socket.write(Buffer.concat(payloads.map((payload, index) => answer(server, index, payload))));
  await world.settle();
  for (const [index, call] of calls.entries()) {
    expect(call.place.equals(payloads[index]!)).toBe(true);
    expect(call.payload!.buffer).toBe(call.place.buffer);
  }
});

test("an answer of another size gets a buffer, and the place stays as it was", async () => {
  const { server, connection, world } = await rig();
  const call = new PlacedCall().start(connection);
  await world.settle();
  server.socket.write(answer(server, 0, Buffer.alloc(SIZE_BYTES / 2, 1)));
  await world.settle();
  expect(call.payload!.length).toBe(SIZE_BYTES / 2);
  expect(call.place.every((byte) => byte === 0xee)).toBe(true);
});

test("a call that is given up amid its answer gets no byte any more, and the connection goes on", async () => {
  for (const way of ["abort", "time"] as const) {
    const { server, connection, world } = await rig();
    const controller = new AbortController();
    const call = new PlacedCall().start(connection, controller.signal);
    await world.settle();
    const frame = answer(server, 0, Buffer.alloc(SIZE_BYTES, 1));
    server.socket.write(frame.subarray(0, SIZE_BYTES / 2));
    await world.settle();
    expect(call.place[1000]).toBe(1);
    if (way === "abort") controller.abort();
    else await world.advance(1_500);
    expect(call.code).toBe(way === "abort" ? "CANCELED" : "TIMEOUT");
    call.place.fill(0xee);
    server.socket.write(frame.subarray(SIZE_BYTES / 2));
    await world.settle();
    expect(call.place.every((byte) => byte === 0xee)).toBe(true);
    const next = new PlacedCall().start(connection);
    await world.settle();
    server.socket.write(answer(server, 1, Buffer.alloc(SIZE_BYTES, 2)));
    await world.settle();
    expect(next.place.every((byte) => byte === 2)).toBe(true);
    expect(connection.isClosed).toBe(false);
  }
});

test("a damaged answer, and a lost connection, leave the place to the caller", async () => {
  const { server, connection, world } = await rig();
  const [damaged, lost] = [new PlacedCall().start(connection), new PlacedCall().start(connection)];
  await world.settle();
  const frame = answer(server, 0, Buffer.alloc(SIZE_BYTES, 1));
  frame[frame.length - 1] = 9;
  server.socket.write(frame);
  server.socket.write(answer(server, 1, Buffer.alloc(SIZE_BYTES, 2)).subarray(0, SIZE_BYTES / 2));
  await world.settle();
  expect(damaged.code).toBe("UNAVAILABLE");
  connection.close();
  expect(lost.code).toBe("UNAVAILABLE");
  lost.place.fill(0xee);
  await world.settle();
  expect(lost.place.every((byte) => byte === 0xee)).toBe(true);
});
