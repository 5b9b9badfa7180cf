/**
 * The network of a simulated cluster: every node has its own view of it, and every direction between two nodes is a link
 * that can be held (packets wait until it is released, as TCP sends them again) or slow. Packets of one connection stay in
 * order, those of several overtake each other. A node that ends takes its sockets with it.
 */
import { DaosError } from "../../../src/base/errors.ts";
import type { Listener, Network, Socket } from "../../../src/contracts/world.ts";
import type { SimulatedClock } from "../clock.ts";
import { type Accept, type Carrier, SimulatedSocket } from "../network.ts";
import type { SimulatedRandom } from "../random.ts";
import type { SimulatedTimers } from "../timers.ts";

/** Delay of one packet, uniform in this range, nanoseconds. */
const DELAY_NS: readonly [min: number, max: number] = [20_000, 300_000];
const CONNECT_TIMEOUT_MS = 2_000;

interface Link {
  isHeld: boolean;
  /** Longest further delay of a packet. */
  extraDelayNs: number;
  readonly held: (() => void)[];
}

interface End {
  readonly own: NodeNetwork;
  readonly other: NodeNetwork;
  lastArrivalNs: number;
}

export class ClusterNetwork implements Carrier {
  readonly #random: SimulatedRandom;
  readonly #timers: SimulatedTimers;
  readonly #clock: SimulatedClock;
  readonly #listeners = new Map<number, { node: NodeNetwork; accept: Accept }>();
  readonly #ends = new Map<SimulatedSocket, End>();
  readonly #links = new Map<string, Link>();
  /** Nodes, and which way the next packet of each goes in which a bit flips. */
  readonly #flips = new Map<string, { readonly way: "sent" | "received"; readonly random: SimulatedRandom }>();

  constructor(random: SimulatedRandom, timers: SimulatedTimers, clock: SimulatedClock) {
    this.#random = random;
    this.#timers = timers;
    this.#clock = clock;
  }

  /** The network as one life of a node sees it. */
  of(name: string): NodeNetwork {
    return new NodeNetwork(this, name);
  }

  /** Holds what goes from one node to another, from now on. */
  hold(from: string, to: string): void {
    this.#link(from, to).isHeld = true;
  }

  release(from: string, to: string): void {
    const link = this.#link(from, to);
    link.isHeld = false;
    link.extraDelayNs = 0;
    for (const send of link.held.splice(0)) send();
  }

  /** Each packet takes up to `extraDelayMs` longer, from now on. */
  slow(from: string, to: string, extraDelayMs: number): void {
    this.#link(from, to).extraDelayNs = extraDelayMs * 1e6;
  }

  /** Runs what a message brings that no socket carries, when it gets through. */
  pass(from: string, to: string, arrive: () => void): void {
    const link = this.#link(from, to);
    if (link.isHeld) link.held.push(() => this.pass(from, to, arrive));
    else if (link.extraDelayNs === 0) arrive();
    else this.#timers.afterNs(this.#random.next() * link.extraDelayNs, arrive);
  }

  isHeld(from: string, to: string): boolean {
    return this.#link(from, to).isHeld;
  }

  /** A bit of the next packet that a node sends, or of the next one that is for it, flips. */
  flipNext(name: string, way: "sent" | "received", random: SimulatedRandom): void {
    this.#flips.set(name, { way, random });
  }

  carry(from: SimulatedSocket, packet: Uint8Array): void {
    const end = this.#ends.get(from);
    if (end === undefined || this.#flips.size === 0) return;
    for (const [way, { name }] of [
      ["sent", end.own],
      ["received", end.other],
    ] as const) {
      const flip = this.#flips.get(name);
      if (flip?.way !== way) continue;
      this.#flips.delete(name);
      packet[flip.random.below(packet.length)]! ^= 1 << flip.random.below(8);
    }
  }

  healAll(): void {
    this.#flips.clear();
    for (const name of this.#links.keys()) {
      const [from, to] = name.split(" ");
      this.release(from!, to!);
    }
  }

  /** Breaks the connections between two nodes: each side is told, and what comes for it afterwards is lost. */
  reset(left: string, right: string): void {
    for (const [socket, { own, other }] of this.#ends) {
      const isBetween = (own.name === left && other.name === right) || (own.name === right && other.name === left);
      if (isBetween) this.#close(socket, own);
    }
    for (const [from, to] of [
      [left, right],
      [right, left],
    ] as const)
      this.#link(from, to).held.length = 0;
  }

  #close(socket: SimulatedSocket, own: NodeNetwork): void {
    this.#ends.delete(socket);
    this.#timers.afterNs(this.#delayNs(), () => {
      if (own.isAlive) socket.close(new Error("connection reset (ECONNRESET)"));
    });
  }

  // For sockets and nodes.

  deliver(from: SimulatedSocket, event: () => void): void {
    const end = this.#ends.get(from);
    if (end === undefined || !end.own.isAlive) return;
    const link = this.#link(end.own.name, end.other.name);
    const send = (): void => {
      const now = this.#clock.monotonicNs();
      const extraNs = link.extraDelayNs === 0 ? 0 : this.#random.next() * link.extraDelayNs;
      const arrival = Math.max(now + this.#delayNs() + extraNs, end.lastArrivalNs);
      end.lastArrivalNs = arrival;
      this.#timers.afterNs(arrival - now, () => {
        // What is on its way arrives also when its sender has ended.
        if (end.other.isAlive) event();
      });
    };
    if (link.isHeld) link.held.push(send);
    else send();
  }

  forget(): void {
    // What the socket has sent still arrives; both ends go with their nodes.
  }

  listen(node: NodeNetwork, host: string, port: number, accept: Accept): Listener {
    if (this.#listeners.has(port)) throw new DaosError("UNAVAILABLE", `Cannot listen on "${host}:${port}": in use.`);
    const entry = { node, accept };
    this.#listeners.set(port, entry);
    return {
      host,
      port,
      close: () => {
        if (this.#listeners.get(port) === entry) this.#listeners.delete(port);
      },
    };
  }

  connect(node: NodeNetwork, host: string, port: number, open: Accept, timeoutMs: number): Promise<Socket> {
    return new Promise((resolve, reject) => {
      this.#timers.afterNs(this.#delayNs(), () => {
        if (!node.isAlive) return;
        const found = this.#listeners.get(port);
        if (found === undefined) {
          reject(new DaosError("UNAVAILABLE", `Cannot connect to "${host}:${port}": refused. Check the server.`));
          return;
        }
        if (this.isHeld(node.name, host) || this.isHeld(host, node.name)) {
          this.#timers.after(timeoutMs, () => {
            if (node.isAlive) reject(new DaosError("UNAVAILABLE", `Cannot connect to "${host}:${port}": timed out.`));
          });
          return;
        }
        resolve(this.#join(node, found.node, port, open, found.accept));
      });
    });
  }

  /** A node's life is over; the others hear of it within `noticeMs`. */
  end(node: NodeNetwork, noticeMs: number): void {
    for (const [port, { node: owner }] of this.#listeners) if (owner === node) this.#listeners.delete(port);
    for (const [socket, { own, other }] of this.#ends) {
      if (own === node) this.#ends.delete(socket);
      if (other !== node) continue;
      const notice = (): void => {
        this.#ends.delete(socket);
        if (own.isAlive) socket.close(new Error("connection reset (ECONNRESET)"));
      };
      this.#timers.afterNs(this.#random.next() * noticeMs * 1e6, () => this.pass(node.name, own.name, notice));
    }
  }

  #join(from: NodeNetwork, to: NodeNetwork, port: number, open: Accept, accept: Accept): Socket {
    const client = new SimulatedSocket(this, `${to.name}:${port}`, port);
    const server = new SimulatedSocket(this, `${from.name}:1`, port);
    client.peer = server;
    server.peer = client;
    this.#ends.set(client, { own: from, other: to, lastArrivalNs: 0 });
    this.#ends.set(server, { own: to, other: from, lastArrivalNs: 0 });
    server.handlers = accept(server);
    client.handlers = open(client);
    return client;
  }

  #link(from: string, to: string): Link {
    const name = `${from} ${to}`;
    let link = this.#links.get(name);
    if (link === undefined) {
      link = { isHeld: false, extraDelayNs: 0, held: [] };
      this.#links.set(name, link);
    }
    return link;
  }

  #delayNs(): number {
    return DELAY_NS[0] + Math.floor(this.#random.next() * (DELAY_NS[1] - DELAY_NS[0]));
  }
}

/** The network of one life of a node; its name is its host. */
export class NodeNetwork implements Network {
  readonly name: string;
  isAlive = true;
  readonly #cluster: ClusterNetwork;

  constructor(cluster: ClusterNetwork, name: string) {
    this.#cluster = cluster;
    this.name = name;
  }

  listen(host: string, port: number, accept: Accept): Listener {
    return this.#cluster.listen(this, host, port, accept);
  }

  connect(host: string, port: number, open: Accept, options: { timeoutMs?: number } = {}): Promise<Socket> {
    return this.#cluster.connect(this, host, port, open, options.timeoutMs ?? CONNECT_TIMEOUT_MS);
  }

  end(noticeMs: number): void {
    this.isAlive = false;
    this.#cluster.end(this, noticeMs);
  }
}
