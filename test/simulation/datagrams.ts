/**
 * Datagrams in memory: each is delayed at random, so that they overtake each other; some are lost or come twice; and what
 * goes from one port to another may be cut off, in one direction or both.
 */
import { DaosError } from "../../src/base/errors.ts";
import type { DatagramHandler, DatagramNetwork, DatagramSocket } from "../../src/contracts/world.ts";
import type { SimulatedRandom } from "./random.ts";
import type { SimulatedTimers } from "./timers.ts";

/** Delay of one datagram, uniform in this range, nanoseconds. */
const DELAY_NS: readonly [min: number, max: number] = [20_000, 2_000_000];
const FIRST_FREE_PORT = 50_000;

export class SimulatedDatagrams implements DatagramNetwork {
  /** Shares of datagrams that are lost, and that come twice. */
  loss = 0;
  duplicates = 0;
  /** True: nothing gets from the first to the second port. */
  cut: (from: number, to: number) => boolean = () => false;
  readonly #random: SimulatedRandom;
  readonly #timers: SimulatedTimers;
  readonly #handlers = new Map<number, DatagramHandler>();
  #nextPort = FIRST_FREE_PORT;

  constructor(random: SimulatedRandom, timers: SimulatedTimers) {
    this.#random = random;
    this.#timers = timers;
  }

  async bind(host: string, port: number, received: DatagramHandler): Promise<DatagramSocket> {
    await Promise.resolve();
    const own = port === 0 ? this.#nextPort : port;
    this.#nextPort += 1;
    if (this.#handlers.has(own)) {
      throw new DaosError("UNAVAILABLE", `Cannot receive datagrams on "${host}:${own}": the address is in use.`);
    }
    this.#handlers.set(own, received);
    let isClosed = false;
    return {
      host,
      port: own,
      send: (bytes, _host, to) => {
        if (!isClosed) this.#send(new Uint8Array(bytes), host, own, to);
      },
      close: () => {
        if (!isClosed) this.#handlers.delete(own);
        isClosed = true;
      },
    };
  }

  #send(bytes: Uint8Array, host: string, from: number, to: number): void {
    if (this.#random.next() < this.loss || this.cut(from, to)) return;
    const copies = this.#random.next() < this.duplicates ? 2 : 1;
    for (let copy = 0; copy < copies; copy += 1) {
      const delayNs = DELAY_NS[0] + this.#random.next() * (DELAY_NS[1] - DELAY_NS[0]);
      this.#timers.afterNs(delayNs, () => {
        const arrived = new Uint8Array(bytes);
        this.#handlers.get(to)?.(arrived, host, from);
        arrived.fill(0xee);
      });
    }
  }
}
