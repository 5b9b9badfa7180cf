/**
 * One connection to one target, shared by all containers that a System has open. Opened when first asked for; when it is
 * lost the next request opens it again. Only one attempt to open runs at a time, however many ask.
 */
import { DaosError, hasCode } from "../base/errors.ts";
import type { Timers } from "../contracts/world.ts";
import { clientClosed } from "./retry.ts";
import type { Dial, RpcLink } from "./rpc-link.ts";
import { SilentLinks } from "./silent-link.ts";
import { formatAddress, type SystemAddress } from "./system-address.ts";
import { type TargetPace, TargetPaces } from "./target-pace.ts";

/** A target that is out of service and has answered nothing for so long, milliseconds, is not waited for. */
const SILENT_MS = 1_000;

export class TargetConnection {
  readonly address: SystemAddress;
  readonly pace: TargetPace;
  readonly #dial: Dial;
  readonly #timeoutMs: number;
  readonly #heardNothing: () => void;
  readonly #silentLinks = new SilentLinks();
  #link: RpcLink | undefined;
  #opening: Promise<RpcLink> | undefined;
  #closed = false;

  /** `silent` hears that the target is silent, again and again while that lasts. */
  constructor(address: SystemAddress, pace: TargetPace, dial: Dial, timeoutMs: number, silent: () => void = () => {}) {
    this.address = address;
    this.pace = pace;
    this.#dial = dial;
    this.#timeoutMs = timeoutMs;
    this.#heardNothing = silent;
  }

  /** An open link. Rejects with UNAVAILABLE when there is none to be had, VERSION, OVERLOADED or PROTOCOL. */
  open(): Promise<RpcLink> {
    if (this.#link?.isClosed === false) return Promise.resolve(this.#link);
    this.#opening ??= this.#open().finally(() => (this.#opening = undefined));
    return this.#opening;
  }

  /** The target is out of service: when it answers nothing either, what waits for it fails with UNAVAILABLE, and is sent elsewhere. */
  endIfSilent(): void {
    if (this.pace.isSilent(SILENT_MS)) this.#link?.close();
  }

  close(): void {
    this.#closed = true;
    this.#link?.close();
    this.#link = undefined;
  }

  #isSilent(): void {
    this.#heardNothing();
    void this.#silentLinks.check(this.#link);
  }

  async #open(): Promise<RpcLink> {
    const { host, port } = this.address;
    if (this.#closed) throw clientClosed();
    let link: RpcLink;
    try {
      link = await this.#dial(host, port, { timeoutMs: this.#timeoutMs, silent: () => this.#isSilent() });
    } catch (error) {
      if (!hasCode(error, "TIMEOUT")) throw error;
      const state = `no answer in ${this.#timeoutMs} ms`;
      const message = `Cannot reach "${formatAddress(this.address)}": ${state}. Check that the engine runs.`;
      throw new DaosError("UNAVAILABLE", message, { cause: error });
    }
    if (this.#closed) {
      link.close();
      throw clientClosed();
    }
    this.#link = link;
    return link;
  }
}

/** All targets a System talks to, by address. */
export class TargetConnections {
  readonly paces: TargetPaces;
  readonly #dial: Dial;
  readonly #timeoutMs: number;
  readonly #silent: (() => void) | undefined;
  readonly #byAddress = new Map<string, TargetConnection>();

  /** `silent`: see TargetConnection. */
  constructor(dial: Dial, timers: Timers, timeoutMs: number, silent?: () => void) {
    this.paces = new TargetPaces(timers);
    this.#dial = dial;
    this.#timeoutMs = timeoutMs;
    this.#silent = silent;
  }

  /** The connection to an address; made, not opened, when it is the first of its kind. */
  to(address: SystemAddress): TargetConnection {
    const name = formatAddress(address);
    let connection = this.#byAddress.get(name);
    if (connection === undefined) {
      connection = new TargetConnection(address, this.paces.newPace(), this.#dial, this.#timeoutMs, this.#silent);
      this.#byAddress.set(name, connection);
    }
    return connection;
  }

  close(): void {
    for (const connection of this.#byAddress.values()) connection.close();
  }
}
