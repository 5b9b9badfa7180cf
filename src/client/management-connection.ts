/**
 * The client's connection to the management side of a system. It goes through the listed addresses until one answers,
 * stays there while it does, and moves on when it is lost or gone without a word. Calls travel as CBOR maps.
 *
 * A call that only reads is sent again after a lost connection, and so is one that changes records: it has a number, by which
 * whoever leads the control plane then knows it again, and answers with the outcome. One that does something else is not
 * once it was sent: its error then says that it may have happened.
 */
import type { HybridLogicalClock } from "../base/epoch.ts";
import { DaosError, hasCode } from "../base/errors.ts";
import type { World } from "../contracts/world.ts";
import { encodeCbor } from "../format/cbor.ts";
import type { Opcode } from "../format/operations.ts";
import type { RequestId } from "../format/request-id.ts";
import type { RpcAnswer } from "../rpc/pending-call.ts";
import { RequestNumbers } from "../rpc/request-numbers.ts";
import { decodeReply, type ReplyShape } from "./reply.ts";
import { abortable, clientClosed, isDamage, pause, type Repetition, Retry } from "./retry.ts";
import type { Dial, RpcLink } from "./rpc-link.ts";
import { SilentLinks } from "./silent-link.ts";
import { formatAddress, type SystemAddress } from "./system-address.ts";

/** Numbers that a call takes, one after the other, while the servers have forgotten too much to accept the one before. */
const MAX_RENAMES = 8;
/** Half of the first pause before one of them, milliseconds; each is twice as long as the one before. */
const RENAME_DELAY_MS = 5;
/** How often an address is greeted whose answers arrive damaged. */
const MAX_GREETINGS = 3;

export interface ManagementCallOptions {
  /** `numbered`: the call changes records, and gets a number. */
  readonly repetition: Repetition;
  readonly signal?: AbortSignal | undefined;
}

export class ManagementConnection {
  readonly #world: World;
  readonly #addresses: readonly SystemAddress[];
  readonly #dial: Dial;
  readonly #timeoutMs: number;
  readonly #connectTimeoutMs: number;
  readonly #retryWindowMs: number;
  readonly #numbers: RequestNumbers;
  readonly #silentLinks = new SilentLinks();
  /** Index of the address that answered last. */
  #current = 0;
  #link: RpcLink | undefined;
  #opening: Promise<RpcLink> | undefined;
  #closed = false;

  constructor(
    world: World,
    addresses: readonly SystemAddress[],
    dial: Dial,
    limits: { readonly timeoutMs: number; readonly connectTimeoutMs: number; readonly retryWindowMs: number },
    clock: HybridLogicalClock,
  ) {
    this.#numbers = new RequestNumbers(world.random, { now: () => clock.peek() });
    this.#world = world;
    this.#addresses = addresses;
    this.#dial = dial;
    this.#timeoutMs = limits.timeoutMs;
    this.#connectTimeoutMs = limits.connectTimeoutMs;
    this.#retryWindowMs = limits.retryWindowMs;
  }

  /** Goes through the addresses once. Rejects with the last one's error when none answers. */
  open(signal?: AbortSignal): Promise<RpcLink> {
    if (this.#link?.isClosed === false) return Promise.resolve(this.#link);
    this.#opening ??= this.#open().finally(() => (this.#opening = undefined));
    return abortable(this.#opening, signal);
  }

  /** One request and its answer, which must have this shape. */
  async call<Reply>(
    opcode: Opcode,
    what: string,
    args: object,
    shape: ReplyShape,
    options: ManagementCallOptions,
  ): Promise<Reply> {
    const numbers = options.repetition === "numbered" ? this.#numbers : undefined;
    const call = { opcode, args, sequence: numbers?.begin() ?? 0 };
    try {
      return decodeReply<Reply>((await this.#answer(call, numbers, options)).args, what, shape);
    } finally {
      numbers?.end(call.sequence);
    }
  }

  async #answer(
    call: { readonly opcode: Opcode; readonly args: object; sequence: number },
    numbers: RequestNumbers | undefined,
    { repetition, signal }: ManagementCallOptions,
  ): Promise<RpcAnswer> {
    const retry = new Retry(this.#world, this.#retryWindowMs, repetition, signal);
    const endNs = this.#world.clock.monotonicNs() + this.#timeoutMs * 1e6;
    let sendings = 0;
    let renames = 0;
    for (;;) {
      let reach: "refused" | "sent" = "refused";
      try {
        const link = await this.open(signal);
        reach = "sent";
        sendings += 1;
        const args = encodeCbor(numbers === undefined ? call.args : { ...call.args, request: idOf(call, numbers) });
        return await link.call(call.opcode, args, undefined, {
          timeoutMs: this.#timeoutMs,
          ...(signal !== undefined && { signal }),
        });
      } catch (error) {
        if (numbers !== undefined && hasCode(error, "OLD_REQUEST") && sendings === 1 && renames < MAX_RENAMES) {
          // That answers its first sending: it was not done.
          numbers.end(call.sequence);
          call.sequence = numbers.begin();
          sendings = 0;
          renames += 1;
          await pause(this.#world, RENAME_DELAY_MS << renames, signal);
          continue;
        }
        // The time limit is the caller's, over all attempts.
        const isLate = reach === "sent" && this.#world.clock.monotonicNs() < endNs;
        await retry.afterFailure(error, isLate ? "late" : reach);
      }
    }
  }

  close(): void {
    this.#closed = true;
    this.#link?.close();
    this.#link = undefined;
  }

  /** The engine is silent. One that is gone is left for the next one. */
  async #check(): Promise<void> {
    const link = this.#link;
    await this.#silentLinks.check(link);
    if (link?.isClosed === true && link === this.#link) {
      this.#link = undefined;
      this.#current = (this.#current + 1) % this.#addresses.length;
    }
  }

  async #open(): Promise<RpcLink> {
    let failure: unknown;
    for (let attempt = 0; attempt < this.#addresses.length; attempt += 1) {
      if (this.#closed) throw clientClosed();
      const { host, port } = this.#addresses[this.#current]!;
      try {
        const link = await this.#greet(host, port);
        if (this.#closed) {
          link.close();
          throw clientClosed();
        }
        this.#link = link;
        return link;
      } catch (error) {
        failure = error;
        this.#current = (this.#current + 1) % this.#addresses.length;
      }
    }
    throw this.#unreachable(failure);
  }

  /** Connects, also when the greeting is damaged on its way, now and then. */
  async #greet(host: string, port: number): Promise<RpcLink> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#dial(host, port, { timeoutMs: this.#connectTimeoutMs, silent: () => void this.#check() });
      } catch (error) {
        const mayRepeat = error instanceof DaosError && isDamage(error) && attempt < MAX_GREETINGS;
        if (!mayRepeat) throw error;
      }
    }
  }

  #unreachable(failure: unknown): unknown {
    if (!(failure instanceof DaosError) || (failure.code !== "UNAVAILABLE" && failure.code !== "TIMEOUT"))
      return failure;
    const names = this.#addresses.map(formatAddress).join(",");
    const advice = "Start an engine with `daos server start`, or name a running one with --system or DAOS_SYSTEM.";
    return new DaosError("UNAVAILABLE", `Cannot reach system "${names}": no engine answers. ${advice}`, {
      cause: failure,
    });
  }
}

function idOf({ sequence }: { readonly sequence: number }, numbers: RequestNumbers): RequestId {
  const { client, firstIncomplete } = numbers;
  return { client, sequence, firstIncomplete, issued: numbers.issued(sequence) };
}
