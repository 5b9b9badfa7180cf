/**
 * One connection to one target, shared by all containers that a System has open. Opened when first asked for; when it is
 * lost the next request opens it again. Only one attempt to open runs at a time, however many ask.
 */
import { DaosError, hasCode } from "../base/errors.ts";
import type { PoolMap } from "../format/pool-map.ts";
import { clientClosed } from "./retry.ts";
import type { Dial, RpcLink } from "./rpc-link.ts";
import { SilentLinks } from "./silent-link.ts";
import { formatAddress, type SystemAddress } from "./system-address.ts";

export class TargetConnection {
  readonly address: SystemAddress;
  readonly #dial: Dial;
  readonly #timeoutMs: number;
  readonly #heardNothing: () => void;
  readonly #silentLinks = new SilentLinks();
  #link: RpcLink | undefined;
  #opening: Promise<RpcLink> | undefined;
  #closed = false;

  /** `silent` hears that the target is silent, again and again while that lasts. */
  constructor(address: SystemAddress, dial: Dial, timeoutMs: number, silent: () => void = () => {}) {
    this.address = address;
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

  /** Ends what is under way there with UNAVAILABLE. Whoever asks for it again opens it again. */
  drop(): void {
    this.#link?.close();
    this.#link = undefined;
  }

  close(): void {
    this.#closed = true;
    this.drop();
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
  readonly #dial: Dial;
  readonly #timeoutMs: number;
  readonly #silent: (() => void) | undefined;
  readonly #byAddress = new Map<string, TargetConnection>();

  /** `silent`: see TargetConnection. */
  constructor(dial: Dial, timeoutMs: number, silent?: () => void) {
    this.#dial = dial;
    this.#timeoutMs = timeoutMs;
    this.#silent = silent;
  }

  /** The connection to an address; made, not opened, when it is the first of its kind. */
  to(address: SystemAddress): TargetConnection {
    const name = formatAddress(address);
    let connection = this.#byAddress.get(name);
    if (connection === undefined) {
      connection = new TargetConnection(address, this.#dial, this.#timeoutMs, this.#silent);
      this.#byAddress.set(name, connection);
    }
    return connection;
  }

  /**
   * Waits no longer for targets that a map has newly out of service: one that stands still or cannot be reached would keep
   * requests until their time is over, and others have what it has. `seenVersion`: of the map before.
   */
  dropLost({ targets }: PoolMap, seenVersion: number): void {
    for (const { state, since, host, port } of targets) {
      const isLost = state === "DOWN" || (state === "DOWNOUT" && since > seenVersion);
      if (isLost) this.#byAddress.get(formatAddress({ host, port }))?.drop();
    }
  }

  close(): void {
    for (const connection of this.#byAddress.values()) connection.close();
  }
}
