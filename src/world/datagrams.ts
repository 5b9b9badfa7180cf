/**
 * UDP on Bun's sockets. Names are looked up when the first datagram goes to them, and that one is dropped; what is found
 * counts for a while. A socket whose peer is not there may hear an error: that is a datagram lost, nothing more.
 */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { DaosError } from "../base/errors.ts";
import type { DatagramHandler, DatagramNetwork, DatagramSocket } from "../contracts/world.ts";
import { errnoOf } from "./disk-error.ts";

/** A name is looked up again after this time, milliseconds. */
const NAME_LIFETIME_MS = 60_000;
/** Names that are remembered. */
const MAX_NAMES = 4_096;

/** Numeric addresses of names; undefined while one is looked up, and when it has none. */
class Names {
  readonly #known = new Map<string, { readonly address: string | undefined; readonly untilMs: number }>();

  address(name: string): string | undefined {
    const known = this.#known.get(name);
    const nowMs = performance.now();
    if (known !== undefined && nowMs < known.untilMs) return known.address;
    if (known === undefined && this.#known.size >= MAX_NAMES) this.#known.clear();
    // The old address serves until the new one is there.
    this.#known.set(name, { address: known?.address, untilMs: nowMs + NAME_LIFETIME_MS });
    lookup(name).then(
      ({ address }) => this.#known.set(name, { address, untilMs: performance.now() + NAME_LIFETIME_MS }),
      () => {},
    );
    return known?.address;
  }
}

class RealDatagramSocket implements DatagramSocket {
  readonly host: string;
  readonly port: number;
  readonly #socket: Bun.udp.Socket<"buffer">;
  readonly #names = new Names();
  #isClosed = false;

  constructor(host: string, socket: Bun.udp.Socket<"buffer">) {
    this.host = host;
    this.port = socket.port;
    this.#socket = socket;
  }

  send(bytes: Uint8Array, host: string, port: number): void {
    const address = isIP(host) === 0 ? this.#names.address(host) : host;
    if (this.#isClosed || address === undefined) return;
    try {
      this.#socket.send(bytes, port, address);
    } catch (error) {
      // The kernel refuses: no route, another address family, or an earlier datagram's answer that nobody listens there.
      if (errnoOf(error) === "") throw error;
    }
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#socket.close();
  }
}

export class RealDatagrams implements DatagramNetwork {
  async bind(host: string, port: number, received: DatagramHandler): Promise<DatagramSocket> {
    try {
      const socket = await Bun.udpSocket({
        hostname: host,
        port,
        socket: {
          data: (_socket, bytes, fromPort, fromHost) => received(bytes, fromHost.replace(/^::ffff:/, ""), fromPort),
          error: () => {},
        },
      });
      return new RealDatagramSocket(host, socket);
    } catch (error) {
      const errno = errnoOf(error);
      const state =
        errno === "EADDRINUSE"
          ? "the address is in use. Stop the program that has it or choose another port"
          : `${errno || String(error)}. Check the address`;
      throw new DaosError("UNAVAILABLE", `Cannot receive datagrams on "${host}:${port}" (UDP): ${state}.`, {
        cause: error,
      });
    }
  }
}
