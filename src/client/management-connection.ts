/**
 * The client's connection to the management side of a system. It goes through the listed addresses until one answers,
 * stays there while it does, and moves on when it is lost or gone without a word. Calls travel as CBOR maps.
 *
 * A call that only reads is sent again after a lost connection; one that changes something is not once it was sent: its
 * error then says that it may have happened.
 */
import { DaosError } from "../base/errors.ts";
import type { World } from "../contracts/world.ts";
import { encodeCbor } from "../format/cbor.ts";
import type { Opcode } from "../format/operations.ts";
import type { ReplyShape } from "./reply.ts";
import { decodeReply } from "./reply.ts";
import { abortable, clientClosed, Retry } from "./retry.ts";
import type { Dial, RpcLink } from "./rpc-link.ts";
import { SilentLinks } from "./silent-link.ts";
import { formatAddress, type SystemAddress } from "./system-address.ts";

export interface ManagementCallOptions {
  /** The call changes nothing, or nothing more when it happens twice. */
  readonly repeatable: boolean;
  readonly signal?: AbortSignal | undefined;
}

export class ManagementConnection {
  readonly #world: World;
  readonly #addresses: readonly SystemAddress[];
  readonly #dial: Dial;
  readonly #timeoutMs: number;
  readonly #connectTimeoutMs: number;
  readonly #retryWindowMs: number;
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
  ) {
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
    const { signal } = options;
    const retry = new Retry(this.#world, this.#retryWindowMs, options.repeatable, signal);
    const callOptions = { timeoutMs: this.#timeoutMs, ...(signal !== undefined && { signal }) };
    const encoded = encodeCbor(args);
    for (;;) {
      let reach: "refused" | "sent" = "refused";
      try {
        const link = await this.open(signal);
        reach = "sent";
        const answer = await link.call(opcode, encoded, undefined, callOptions);
        return decodeReply<Reply>(answer.args, what, shape);
      } catch (error) {
        await retry.afterFailure(error, reach);
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
        const link = await this.#dial(host, port, {
          timeoutMs: this.#connectTimeoutMs,
          silent: () => void this.#check(),
        });
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
