/**
 * A server on the loopback that greets and then does with each request what the test says.
 */
import type { Socket, SocketHandlers } from "../../src/contracts/world.ts";
import { encodeCbor } from "../../src/format/cbor.ts";
import { encodeErrorReply } from "../../src/format/error-reply.ts";
import { FrameFlag } from "../../src/format/frame.ts";
import { Opcode } from "../../src/format/operations.ts";
import { RpcConnection } from "../../src/rpc/connection.ts";
import { FrameReader } from "../../src/rpc/frame-reader.ts";
import { frameBytes, TestOpcode } from "./harness.ts";
import { type LoopbackSocket, LoopbackWorld, settled } from "./loopback.ts";

const RESPONSE = FrameFlag.response;
const ERROR = FrameFlag.response | FrameFlag.error;

/** A server that greets and then does what the test says with each request. */
export class BareServer {
  readonly world = new LoopbackWorld();
  readonly requests: { opcode: number; requestId: number; mapVersion: number; epoch: number; payload: Buffer }[] = [];
  readonly refusals: string[] = [];
  socket!: LoopbackSocket;
  hello: Buffer | undefined;

  constructor() {
    this.world.listen("bare", 1, (socket) => this.#accept(socket));
  }

  connect(): Promise<RpcConnection> {
    return settled(
      this.world,
      RpcConnection.connect(this.world, "bare", 1, { timers: this.world, clock: this.world.clock() }),
    );
  }

  answer(requestId: number, text: string, opcode: number = TestOpcode.echo): void {
    this.socket.write(frameBytes({ opcode, requestId, flags: RESPONSE }, Buffer.from(text)));
  }

  #accept(socket: Socket): SocketHandlers {
    this.socket = socket as LoopbackSocket;
    const reader = new FrameReader({
      frame: (header, body) => {
        const { opcode, requestId, mapVersion, epoch } = header;
        if (opcode === Opcode.hello) {
          const reply = encodeCbor({ protocol: 1, software: "bare", role: "target" });
          socket.write(this.hello ?? frameBytes({ opcode, requestId, flags: RESPONSE }, reply));
        } else {
          this.requests.push({ opcode, requestId, mapVersion, epoch, payload: Buffer.from(body.payload()) });
        }
        return true;
      },
      refused: (header, error) => {
        this.refusals.push(error.code);
        const flags = ERROR;
        socket.write(
          frameBytes({ opcode: header.opcode, requestId: header.requestId, flags }, encodeErrorReply(error)),
        );
        return true;
      },
      admit: () => true,
      allocatePayload: (sizeBytes) => Buffer.alloc(sizeBytes),
      releasePayload: () => {},
    });
    return {
      received: (bytes) => void reader.read(Buffer.from(bytes), 0, bytes.length),
      drain: () => {},
      closed: () => {},
    };
  }
}
