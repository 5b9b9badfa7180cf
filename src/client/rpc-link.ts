/**
 * What the client needs of a connection, and how it gets one. src/rpc's RpcConnection is an RpcLink; the seam keeps the
 * retry logic testable without sockets.
 */
import type { Opcode } from "../format/operations.ts";
import type { ArgumentEncoder, RequestPayload, RpcAnswer, RpcCompletion } from "../rpc/pending-call.ts";

export type { RpcAnswer } from "../rpc/pending-call.ts";

export interface RpcCallOptions {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
  /** Version of the pool map the caller works with. */
  readonly mapVersion?: number | undefined;
}

/** See RpcConnection for what each method promises. */
export interface RpcLink {
  readonly isClosed: boolean;
  call(opcode: Opcode, args: Uint8Array, payload?: Uint8Array, options?: RpcCallOptions): Promise<RpcAnswer>;
  start(
    opcode: Opcode,
    argsLength: number,
    encoder: ArgumentEncoder,
    payload: RequestPayload | undefined,
    options: RpcCallOptions | undefined,
    completion: RpcCompletion,
  ): void;
  /** Gives the call up that this one waits for: it fails with CANCELED. Nothing happens when it has ended. */
  abandon(completion: RpcCompletion): void;
  close(): void;
}

export interface DialOptions {
  readonly timeoutMs: number;
  /** See RpcConnectOptions. */
  readonly silent?: () => void;
}

/** Opens a connection and says hello. Rejects with UNAVAILABLE, TIMEOUT, CANCELED, VERSION, OVERLOADED or PROTOCOL. */
export type Dial = (host: string, port: number, options: DialOptions) => Promise<RpcLink>;
