/**
 * What the client's end of a connection can be told: once for the connection, and for each call.
 */
import type { HybridLogicalClock } from "../base/epoch.ts";
import type { Timers } from "../contracts/world.ts";
import type { DamageCount } from "./frame-reader.ts";
import type { PayloadBuffers } from "./payload-buffers.ts";

export const DEFAULT_CALL_TIMEOUT_MS = 60_000;
export const DEFAULT_CONNECT_TIMEOUT_MS = 5_000;

export interface RpcConnectOptions {
  readonly timers: Timers;
  readonly clock: HybridLogicalClock;
  /** Limit of connecting and of the greeting, each. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** Limit of calls that name none; Infinity for no limit. */
  readonly callTimeoutMs?: number;
  /** Names this program in the server's messages. */
  readonly peer?: string;
  /** Where payloads of OWNED_PAYLOAD_BYTES and more are received. */
  readonly payloadBuffers?: PayloadBuffers;
  /** Where frames that arrive damaged are counted. */
  readonly damage?: DamageCount;
  /** Called when nothing has come for SILENCE_MS though calls are open, again and again while that lasts. */
  readonly silent?: () => void;
}

export interface RpcCallOptions {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
  /** Version of the pool map the caller works with; 0 for none. */
  readonly mapVersion?: number | undefined;
  /** The request may stay queued until `flush`, another request, or GATHERED_SEND_BYTES send it on. */
  readonly gather?: boolean | undefined;
}
