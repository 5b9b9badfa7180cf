/**
 * A call that has not ended, as the client's end of a connection keeps it. It ends once: answered, failed, given up.
 */
import { crc32 } from "../base/checksum.ts";
import { DaosError } from "../base/errors.ts";
import { OWNED_PAYLOAD_BYTES } from "../base/limits.ts";
import type { FrameBody } from "./frame-body.ts";

/** Who waits for a call. Exactly one of the two is called, once, never from within the call that started it. */
export interface RpcCompletion {
  /** `body` is valid until this returns, except that a large payload's buffer may be kept. Must not throw. */
  answered(body: FrameBody): void;
  /** `wasSent`: the request may have reached the server; an answer that says so has. Must not throw. */
  failed(error: DaosError, wasSent: boolean): void;
  /** Memory of exactly so many bytes to receive a large payload in, written to until the call ends; undefined: a buffer. */
  payloadPlace?(sizeBytes: number): Uint8Array | undefined;
}

/** An answer whose bytes are the receiver's. */
export interface RpcAnswer {
  readonly args: Uint8Array;
  readonly payload: Uint8Array;
  /** CRC-32 of the payload as its sender made it. */
  readonly payloadChecksum?: number;
}

/**
 * Bytes that leave one after the other as one payload, with the CRC-32 that all of them had where they come from: the peer holds
 * them against it. A large payload leaves from where it is; no part of it may change until the call ends.
 */
export interface SummedPayload {
  readonly length: number;
  readonly views: readonly Uint8Array[];
  readonly checksum: number;
}

export type RequestPayload = Uint8Array | SummedPayload;

/** Bytes as a payload, with a checksum that is made now. */
export function summed(bytes: Uint8Array): SummedPayload {
  return { length: bytes.length, views: [bytes], checksum: crc32(bytes) };
}

/** What writes a request's arguments. */
export interface ArgumentEncoder {
  /** Writes all of them to `buffer` from `offset` on. */
  encode(buffer: Buffer, offset: number): void;
}

export class PendingCall {
  readonly opcode: number;
  readonly completion: RpcCompletion;
  /** Tick at which the call fails with TIMEOUT. */
  readonly deadlineTick: number;
  /** 0 until the request is written. */
  requestId = 0;
  isDone = false;
  #signal: AbortSignal | undefined = undefined;
  #aborted: (() => void) | undefined = undefined;

  constructor(opcode: number, completion: RpcCompletion, deadlineTick: number) {
    this.opcode = opcode;
    this.completion = completion;
    this.deadlineTick = deadlineTick;
  }

  /** Calls `aborted` when the signal is, until the call ends. */
  watch(signal: AbortSignal, aborted: () => void): void {
    this.#signal = signal;
    this.#aborted = aborted;
    signal.addEventListener("abort", aborted);
  }

  /** Marks the end. The caller then tells `completion`. */
  end(): void {
    this.isDone = true;
    if (this.#aborted !== undefined) this.#signal?.removeEventListener("abort", this.#aborted);
  }

  /** Ends the call with an error, unless it has ended. */
  fail(error: DaosError, wasSent: boolean): void {
    if (this.isDone) return;
    this.end();
    this.completion.failed(error, wasSent);
  }
}

/** A call that waits for room in the output queue. */
export interface WaitingCall {
  readonly call: PendingCall;
  readonly argsLength: number;
  readonly encoder: ArgumentEncoder;
  readonly payload: RequestPayload | undefined;
  readonly mapVersion: number;
}

/** Settles a promise with an answer that has memory of its own. */
export class PromiseCompletion implements RpcCompletion {
  readonly #resolve: (answer: RpcAnswer) => void;
  readonly #reject: (error: DaosError) => void;

  constructor(resolve: (answer: RpcAnswer) => void, reject: (error: DaosError) => void) {
    this.#resolve = resolve;
    this.#reject = reject;
  }

  answered(body: FrameBody): void {
    let payload: Uint8Array;
    try {
      payload = body.ownPayload();
    } catch (error) {
      this.#reject(error as DaosError);
      return;
    }
    this.#resolve({ args: Buffer.from(body.args()), payload, payloadChecksum: body.payloadChecksum });
  }

  failed(error: DaosError): void {
    this.#reject(error);
  }
}

/** What a call fails with whose encoder threw `cause`: that, when it is an error of ours. */
export function notEncoded(cause: unknown): DaosError {
  if (cause instanceof DaosError) return cause;
  const state = cause instanceof Error ? cause.message : String(cause);
  const message = `Cannot send request: its arguments cannot be encoded (${state}). Check them.`;
  return new DaosError("INVALID_ARGUMENT", message, { cause });
}

/** The payload of a call that waits for room: a small one may lie in memory that is used again, and is copied. */
export function keptPayload(payload: RequestPayload | undefined): RequestPayload | undefined {
  if (payload === undefined || payload.length >= OWNED_PAYLOAD_BYTES) return payload;
  if ("views" in payload) return { ...payload, views: [Buffer.concat(payload.views)] };
  return new Uint8Array(payload);
}
