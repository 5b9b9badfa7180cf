/**
 * What all connections of one listener share: options, memory in use, counters, and the list of connections that have
 * replies to send. Replies given outside of a received chunk are sent together, once the running callbacks and promise
 * continuations are through.
 */
import type { HybridLogicalClock } from "../base/epoch.ts";
import {
  CLIENT_STALL_TIMEOUT_MS,
  FRAME_STALL_TIMEOUT_MS,
  MAX_CONNECTION_INFLIGHT_BYTES,
  MAX_CONNECTION_INFLIGHT_REQUESTS,
  MAX_CONNECTION_QUEUED_REPLY_BYTES,
  MAX_CONNECTIONS,
  MAX_LISTENER_HELD_BYTES,
} from "../base/limits.ts";
import type { HelloReply } from "../format/operations.ts";
import type { DamageCount } from "./frame-reader.ts";
import { InputBlock } from "./input-block.ts";
import { OutputBlocks } from "./output-queue.ts";
import type { PayloadBuffers } from "./payload-buffers.ts";
import type { RpcHandler } from "./request.ts";

/** Bounds of one listener; tests make them small. */
export interface RpcLimits {
  readonly connections: number;
  readonly connectionInflightBytes: number;
  readonly connectionInflightRequests: number;
  readonly connectionQueuedReplyBytes: number;
  readonly heldBytes: number;
  readonly frameStallTimeoutMs: number;
  readonly clientStallTimeoutMs: number;
}

export const DEFAULT_RPC_LIMITS: RpcLimits = {
  connections: MAX_CONNECTIONS,
  connectionInflightBytes: MAX_CONNECTION_INFLIGHT_BYTES,
  connectionInflightRequests: MAX_CONNECTION_INFLIGHT_REQUESTS,
  connectionQueuedReplyBytes: MAX_CONNECTION_QUEUED_REPLY_BYTES,
  heldBytes: MAX_LISTENER_HELD_BYTES,
  frameStallTimeoutMs: FRAME_STALL_TIMEOUT_MS,
  clientStallTimeoutMs: CLIENT_STALL_TIMEOUT_MS,
};

/** Counters since the listener began. */
export interface RpcCounters extends DamageCount {
  requests: number;
  failures: number;
  /** Connections cut because of what the peer did. */
  cuts: number;
  receivedBytes: number;
  sentBytes: number;
}

const RESOLVED = Promise.resolve();

/** A connection with something to send. */
export interface Flushable {
  flush(): void;
}

export interface ListenerStateOptions {
  readonly clock: HybridLogicalClock;
  readonly handler: RpcHandler;
  readonly role: HelloReply["role"];
  readonly software: string;
  readonly payloadBuffers: PayloadBuffers;
  readonly limits: RpcLimits;
}

export class ListenerState {
  readonly clock: HybridLogicalClock;
  readonly handler: RpcHandler;
  readonly role: HelloReply["role"];
  readonly software: string;
  readonly payloadBuffers: PayloadBuffers;
  readonly limits: RpcLimits;
  readonly input = new InputBlock();
  readonly blocks = new OutputBlocks();
  readonly counters: RpcCounters = {
    requests: 0,
    failures: 0,
    cuts: 0,
    damagedFrames: 0,
    receivedBytes: 0,
    sentBytes: 0,
  };
  /** Bytes held for all connections: frames being collected, requests in flight, replies queued. */
  heldBytes = 0;
  #dirty: Flushable[] = [];
  #flushing: Flushable[] = [];

  constructor(options: ListenerStateOptions) {
    this.clock = options.clock;
    this.handler = options.handler;
    this.role = options.role;
    this.software = options.software;
    this.payloadBuffers = options.payloadBuffers;
    this.limits = options.limits;
  }

  /** The listener holds so much that connections which hold some of it have to wait. */
  get isPressed(): boolean {
    return this.heldBytes > this.limits.heldBytes / 2;
  }

  /** `connection.flush` will be called soon. The connection sees to it that it is listed once. */
  flushSoon(connection: Flushable): void {
    this.#dirty.push(connection);
    if (this.#dirty.length === 1) void RESOLVED.then(this.#flushDirty);
  }

  readonly #flushDirty = (): void => {
    const list = this.#dirty;
    this.#dirty = this.#flushing;
    for (const connection of list) connection.flush();
    list.length = 0;
    this.#flushing = list;
  };
}
