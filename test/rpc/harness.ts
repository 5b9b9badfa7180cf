/**
 * A server, clients and a bare peer on the loopback, as the tests of connections want them.
 */
import { DaosError } from "../../src/base/errors.ts";
import { crc32 } from "../../src/base/checksum.ts";
import type { Socket, SocketHandlers } from "../../src/contracts/world.ts";
import { decodeErrorReply } from "../../src/format/error-reply.ts";
import {
  emptyFrameHeader,
  encodeFrameHeader,
  FRAME_HEADER_BYTES,
  FrameFlag,
  type FrameHeader,
} from "../../src/format/frame.ts";
import { Opcode } from "../../src/format/operations.ts";
import { RpcConnection } from "../../src/rpc/connection.ts";
import type { RpcCallOptions, RpcConnectOptions } from "../../src/rpc/connection-options.ts";
import { FrameBody } from "../../src/rpc/frame-body.ts";
import { FrameReader } from "../../src/rpc/frame-reader.ts";
import { encodeHello } from "../../src/rpc/hello.ts";
import type { RpcLimits } from "../../src/rpc/listener-state.ts";
import type { PayloadBuffers } from "../../src/rpc/payload-buffers.ts";
import type { RpcHandler, RpcPeer, RpcReply, RpcRequest } from "../../src/rpc/request.ts";
import { RpcServer } from "../../src/rpc/server.ts";
import { type LoopbackSocket, LoopbackWorld, settled } from "./loopback.ts";

/** Operations of the test handler. */
export const TestOpcode = { echo: 1000, fail: 1001, keep: 1002, read: 1003, drop: 1004 } as const;

export const NOTHING = Buffer.alloc(0);

/** The body of a frame with these arguments and no payload. */
export function bodyOf(args: Buffer): FrameBody {
  const body = new FrameBody();
  body.bytes = args;
  body.argumentsEnd = args.length;
  return body;
}

/** echo answers args and payload; fail fails; keep waits to be answered by the test; read answers `u32` bytes. */
export class TestHandler implements RpcHandler {
  readonly kept: { request: RpcRequest; reply: RpcReply }[] = [];
  readonly closed: RpcPeer[] = [];
  /** Tells the server how much a read will return before it runs. */
  holdsReads = true;
  /** No connection may go on without a request of this kind. */
  needed: number | undefined;
  handled = 0;

  handle(request: RpcRequest, reply: RpcReply): void {
    this.handled += 1;
    switch (request.opcode) {
      case TestOpcode.echo:
        if (request.payloadOwned) request.retain();
        reply.send(request.args, request.payload);
        return;
      case TestOpcode.fail:
        throw new DaosError("NO_SPACE", "Cannot write: full. Remove something.");
      case TestOpcode.keep:
        request.retain();
        this.kept.push({ request, reply });
        return;
      case TestOpcode.read: {
        const bytes = request.args.readUInt32LE(0);
        if (this.holdsReads) reply.hold(bytes);
        reply.send(NOTHING, Buffer.alloc(bytes, 7));
        return;
      }
      default:
        reply.fail(new DaosError("UNSUPPORTED", `Cannot run operation ${request.opcode}: not known.`));
    }
  }

  mayMiss(_peer: RpcPeer, opcode: number): boolean {
    return opcode !== this.needed;
  }

  connectionClosed(peer: RpcPeer): void {
    this.closed.push(peer);
  }
}

export interface Bench {
  readonly world: LoopbackWorld;
  readonly server: RpcServer;
  readonly handler: TestHandler;
}

export function startServer(limits: Partial<RpcLimits> = {}, payloadBuffers?: PayloadBuffers): Bench {
  const world = new LoopbackWorld();
  const handler = new TestHandler();
  const server = new RpcServer({
    network: world,
    timers: world,
    clock: world.clock(),
    host: "loopback",
    port: 0,
    role: "target",
    software: "daos test",
    handler,
    limits,
    ...(payloadBuffers === undefined ? {} : { payloadBuffers }),
  });
  return { world, server, handler };
}

export async function connectClient(bench: Bench, options: Partial<RpcConnectOptions> = {}): Promise<RpcConnection> {
  const { world, server } = bench;
  const all = { timers: world, clock: world.clock(), ...options };
  return settled(world, RpcConnection.connect(world, "loopback", server.port, all));
}

/** A frame as bytes, with any header field replaced. */
export function frameBytes(
  header: Partial<FrameHeader> & { opcode: number },
  args: Uint8Array = NOTHING,
  payload: Uint8Array = NOTHING,
): Buffer {
  const bytes = Buffer.alloc(FRAME_HEADER_BYTES + args.length + payload.length);
  bytes.set(args, FRAME_HEADER_BYTES);
  bytes.set(payload, FRAME_HEADER_BYTES + args.length);
  encodeFrameHeader(bytes, 0, {
    ...emptyFrameHeader(),
    requestId: 1,
    argumentsLength: args.length,
    payloadLength: payload.length,
    bodyChecksum: crc32(bytes.subarray(FRAME_HEADER_BYTES)),
    ...header,
  });
  return bytes;
}

export interface ReceivedFrame {
  readonly header: FrameHeader;
  readonly args: Buffer;
  readonly payload: Buffer;
  /** Of an error reply. */
  readonly error: DaosError | undefined;
}

/** A peer that sends any bytes and keeps every frame it receives. */
export class BarePeer implements SocketHandlers {
  readonly frames: ReceivedFrame[] = [];
  isClosed = false;
  socket!: LoopbackSocket;
  #outgoing: Buffer = NOTHING;
  readonly #reader = new FrameReader({
    frame: (header, body) => {
      const args = body.args();
      const payload = body.payload();
      const error = (header.flags & FrameFlag.error) === 0 ? undefined : decodeErrorReply(args);
      this.frames.push({ header: { ...header }, args: Buffer.from(args), payload: Buffer.from(payload), error });
      return true;
    },
    refused: (_header, error) => {
      throw error;
    },
    admit: () => true,
    allocatePayload: (sizeBytes) => Buffer.alloc(sizeBytes),
    releasePayload: () => {},
  });

  static async connect(bench: Bench): Promise<BarePeer> {
    const peer = new BarePeer();
    const open = (socket: Socket): SocketHandlers => {
      peer.socket = socket as LoopbackSocket;
      return peer;
    };
    await bench.world.connect("loopback", bench.server.port, open);
    return peer;
  }

  /** Connects and says hello. */
  static async greet(bench: Bench): Promise<BarePeer> {
    const peer = await BarePeer.connect(bench);
    peer.socket.write(frameBytes({ opcode: Opcode.hello }, encodeHello("bare")));
    await bench.world.settle();
    peer.frames.length = 0;
    return peer;
  }

  received(bytes: Uint8Array): void {
    const own = Buffer.from(bytes);
    this.#reader.read(own, 0, own.length);
  }

  drain(): void {
    this.#push();
  }

  closed(): void {
    this.isClosed = true;
  }

  /** Sends the bytes, now and whenever the peer takes more, and lets the world come to rest. */
  async send(bench: Bench, bytes: Uint8Array): Promise<void> {
    this.#outgoing = Buffer.concat([this.#outgoing, bytes]);
    this.#push();
    await bench.world.settle();
  }

  #push(): void {
    const taken = this.socket.write(this.#outgoing);
    this.#outgoing = taken < 0 ? NOTHING : this.#outgoing.subarray(taken);
  }

  get lastError(): DaosError | undefined {
    return this.frames.at(-1)?.error;
  }
}

/** The error a promise is rejected with, once the world has come to rest. */
export async function failure(world: LoopbackWorld, promise: Promise<unknown>): Promise<DaosError> {
  try {
    await settled(world, promise);
  } catch (error) {
    if (error instanceof DaosError) return error;
    throw error;
  }
  throw new Error("expected a failure");
}

/** `call` with a text for arguments. */
export function callText(connection: RpcConnection, opcode: number, text: string, options?: RpcCallOptions) {
  return connection.call(opcode, Buffer.from(text), undefined, options);
}
