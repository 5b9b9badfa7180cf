/**
 * A connection to another engine's management listener, opened when it is needed and again after it was lost. One attempt
 * to open runs at a time. Whatever keeps an engine from answering in time is UNAVAILABLE or TIMEOUT; the latter only when
 * it may have done what was asked.
 */
import type { HybridLogicalClock } from "../base/epoch.ts";
import { DaosError, hasCode } from "../base/errors.ts";
import { ENGINE_CALL_TIMEOUT_MS } from "../base/limits.ts";
import type { Hmac } from "../control/capability-authority.ts";
import type { EngineLink } from "../control/members.ts";
import type { Clock, Network, Timers } from "../contracts/world.ts";
import { decodeCbor } from "../format/cbor.ts";
import type {
  EngineAddress,
  EngineCallArguments,
  EngineCallName,
  EngineCalls,
  EngineMessage,
} from "../format/engine-operations.ts";
import { Opcode } from "../format/operations.ts";
import { RpcConnection } from "../rpc/connection.ts";
import type { RpcAnswer } from "../rpc/pending-call.ts";
import { sealMessage } from "./engine-messages.ts";

const CONNECT_TIMEOUT_MS = 1_000;
/** How often a message is sent that is damaged on its way. */
const MAX_SENDINGS = 3;
/** A question that an engine answers from memory, milliseconds. */
const QUESTION_TIMEOUT_MS = 5_000;
const QUESTIONS: ReadonlySet<string> = new Set([
  "ping",
  "space",
  "usage",
  "countHandles",
  "fillStatus",
  "scrubStatus",
  "faultyTargets",
]);
/** The leader has lost it when a pledge takes longer. */
const PLEDGE_TIMEOUT_MS = 1_500;

export interface PeerParts {
  readonly network: Network;
  readonly timers: Timers;
  readonly clock: Clock;
  readonly epochs: HybridLogicalClock;
  readonly hmac: Hmac;
  /** Names this engine in the other's messages. */
  readonly software: string;
}

export class PeerLink implements EngineLink {
  readonly address: EngineAddress;
  readonly #parts: PeerParts;
  readonly #key: Uint8Array | undefined;
  readonly #term: number | undefined;
  #connection: RpcConnection | undefined;
  #opening: Promise<RpcConnection> | undefined;
  #isClosed = false;

  /** Without `key` messages are not signed. `term`: of the control plane that commands, where several engines may run it. */
  constructor(address: EngineAddress, key: Uint8Array | undefined, parts: PeerParts, term?: number) {
    this.address = address;
    this.#key = key;
    this.#parts = parts;
    this.#term = term;
  }

  async call<Name extends EngineCallName>(
    name: Name,
    value: Parameters<EngineCalls[Name]>[0],
  ): Promise<ReturnType<EngineCalls[Name]>> {
    const longestMs = QUESTIONS.has(name) ? QUESTION_TIMEOUT_MS : ENGINE_CALL_TIMEOUT_MS;
    const timeoutMs = name === "pledge" ? PLEDGE_TIMEOUT_MS : longestMs;
    const body = this.#term === undefined ? { name, value } : { name, value, term: this.#term };
    return (await this.send<EngineCallArguments>(Opcode.engineCall, body, timeoutMs)) as ReturnType<EngineCalls[Name]>;
  }

  /** One operation among engines; `body` without its time. The answer is not checked. */
  async send<Body extends EngineMessage>(
    opcode: Opcode,
    body: Omit<Body, "sentAtMs">,
    timeoutMs: number,
  ): Promise<unknown> {
    const { hmac, clock } = this.#parts;
    const { args, payload } = sealMessage(opcode, { ...body, sentAtMs: clock.wallMs() }, hmac, this.#key);
    return decodeCbor((await this.#ask(opcode, args, payload, timeoutMs)).payload);
  }

  /** A client's request as it came. */
  forward(opcode: Opcode, args: Uint8Array, timeoutMs: number): Promise<RpcAnswer> {
    return this.#ask(opcode, args, undefined, timeoutMs);
  }

  /** Sends again what was damaged on its way: it was not done. */
  async #ask(opcode: Opcode, args: Uint8Array, payload: Uint8Array | undefined, timeoutMs: number): Promise<RpcAnswer> {
    for (let sendings = 1; ; sendings += 1) {
      const connection = await this.#open();
      try {
        return await connection.call(opcode, args, payload, { timeoutMs });
      } catch (error) {
        if (!hasCode(error, "DAMAGED")) throw error;
        if (sendings === MAX_SENDINGS) throw new DaosError("UNAVAILABLE", error.message, { cause: error });
      }
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#connection?.close();
  }

  async #open(): Promise<RpcConnection> {
    if (this.#connection?.isClosed === false) return this.#connection;
    this.#opening ??= this.#connect().finally(() => (this.#opening = undefined));
    return this.#opening;
  }

  async #connect(): Promise<RpcConnection> {
    const { network, timers, epochs, software } = this.#parts;
    const { host, port } = this.address;
    const options = { timers, clock: epochs, timeoutMs: CONNECT_TIMEOUT_MS, peer: software };
    const connection = await RpcConnection.connect(network, host, port, options).catch(notReached);
    if (this.#isClosed) connection.close();
    this.#connection = connection;
    return connection;
  }
}

/** Nothing was sent yet. */
function notReached(error: unknown): never {
  if (!hasCode(error, "TIMEOUT")) throw error;
  throw new DaosError("UNAVAILABLE", error.message, { cause: error });
}
