/**
 * JSON-RPC 2.0 to a running spdk_tgt over its unix socket, one connection a call. There is no framing: an answer ends where
 * its JSON value closes. Size and time of an answer are bounded; an answer that is no answer to the call is refused. What
 * the methods mean is left to spdk-target.ts.
 */
import { connect } from "node:net";
import { z } from "zod";
import { DaosError } from "../../../src/base/errors.ts";
import { MIB } from "../../../src/base/limits.ts";
import type { Timers } from "../../../src/contracts/world.ts";

const MAX_REPLY_BYTES = 1 * MIB;
const errorSchema = z.object({ code: z.number(), message: z.string() });

/** The target refused a method. `number` is a negative errno, or a code of JSON-RPC. */
export class SpdkRpcError extends DaosError {
  readonly number: number;

  constructor(method: string, number: number, message: string) {
    super("IO", `Cannot call SPDK method "${method}": ${message} (${number}). See the log of spdk_tgt.`);
    this.number = number;
  }
}

export class SpdkRpc {
  readonly #timers: Timers;
  readonly #socketPath: string;
  readonly #timeoutMs: number;
  #nextId = 1;

  constructor(timers: Timers, socketPath: string, timeoutMs: number) {
    this.#timers = timers;
    this.#socketPath = socketPath;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * The result of a method. Rejects with SpdkRpcError when the target refused, UNAVAILABLE when there is none, TIMEOUT, and
   * PROTOCOL for what is no answer.
   */
  call(method: string, params?: Readonly<Record<string, unknown>>): Promise<unknown> {
    const id = this.#nextId;
    this.#nextId += 1;
    // Methods without parameters refuse an empty object.
    const question = JSON.stringify({ jsonrpc: "2.0", id, method, ...(params === undefined ? {} : { params }) });
    return new Promise((resolve, reject) => {
      const socket = connect(this.#socketPath);
      const scanner = new JsonScanner();
      const end = (settle: () => void): void => {
        cancel();
        socket.destroy();
        settle();
      };
      const fail = (code: "TIMEOUT" | "PROTOCOL" | "UNAVAILABLE", state: string): void =>
        end(() => reject(this.#error(code, method, state)));
      const cancel = this.#timers.after(this.#timeoutMs, () =>
        fail("TIMEOUT", `no answer within ${this.#timeoutMs / 1000} s`),
      );
      socket.on("error", (error) => fail("UNAVAILABLE", error.message));
      socket.on("close", () => fail("UNAVAILABLE", "the connection was closed without an answer"));
      socket.on("connect", () => socket.write(question));
      socket.on("data", (chunk: Buffer) => {
        const text = scanner.push(chunk);
        if (text !== undefined) end(() => settleWith(text, id, method, resolve, reject));
        else if (scanner.sizeBytes > MAX_REPLY_BYTES) fail("PROTOCOL", "the answer is too long");
      });
    });
  }

  #error(code: "TIMEOUT" | "PROTOCOL" | "UNAVAILABLE", method: string, state: string): DaosError {
    const advice = code === "UNAVAILABLE" ? "Start spdk_tgt, or set spdk.rpc_socket" : "Check spdk_tgt and its log";
    return new DaosError(code, `Cannot call SPDK "${method}" on "${this.#socketPath}": ${state}. ${advice}.`);
  }
}

function settleWith(
  text: string,
  id: number,
  method: string,
  resolve: (result: unknown) => void,
  reject: (error: DaosError) => void,
): void {
  const answer = parseAnswer(text);
  if (answer === undefined || answer["id"] !== id) {
    reject(new DaosError("PROTOCOL", `Cannot call SPDK "${method}": its answer is none. Check spdk.rpc_socket.`));
    return;
  }
  const error = errorSchema.safeParse(answer["error"]);
  if (answer["error"] === undefined) resolve(answer["result"]);
  else reject(new SpdkRpcError(method, error.data?.code ?? 0, error.data?.message ?? "no reason given"));
}

function parseAnswer(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** Finds the end of the first JSON object in a stream of bytes. */
export class JsonScanner {
  readonly #chunks: Buffer[] = [];
  #sizeBytes = 0;
  #depth = 0;
  #inString = false;
  #escaped = false;

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** The text of the object once it is whole. What comes first and is no object ends at once, as it is. */
  push(chunk: Buffer): string | undefined {
    this.#chunks.push(chunk);
    this.#sizeBytes += chunk.length;
    for (const byte of chunk) {
      if (this.#step(byte)) return Buffer.concat(this.#chunks).toString("utf8").trim();
    }
    return undefined;
  }

  /** Whether the value ends with this byte. Bytes of other characters than ASCII's are never mistaken for these. */
  #step(byte: number): boolean {
    if (this.#inString) {
      if (this.#escaped) this.#escaped = false;
      else if (byte === 0x5c) this.#escaped = true;
      else if (byte === 0x22) this.#inString = false;
      return false;
    }
    if (byte === 0x22) this.#inString = true;
    else if (byte === 0x7b || byte === 0x5b) this.#depth += 1;
    else if (byte === 0x7d || byte === 0x5d) {
      this.#depth -= 1;
      return this.#depth <= 0;
    }
    return false;
  }
}
