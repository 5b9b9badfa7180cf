/**
 * Hosts as network namespaces on one bridge, each behind a veth pair, and what networks do to them: a link that is down,
 * packets that are dropped in one direction or at random, a slow line. To be made in a network namespace and a mount
 * namespace of the caller's own (sandbox.ts): all of it goes with the caller's process, and nothing outside sees it.
 *
 *     h0: eth0 --- v0 \
 *     h1: eth0 --- v1  bridge "hosts", the caller's
 */
import { mkdirSync } from "node:fs";
import { run, succeeds } from "./shell.ts";

const NAMESPACES = "/run/netns";
const BRIDGE = "hosts";
/** Of the range for measurements (RFC 2544), which nobody routes. */
const PREFIX = "198.18.0.";
const FIRST_HOST = 10;
/** Bytes that a slow line takes at once, and how long a packet waits before it is dropped. */
const BURST = "64kb";
const LATENCY = "400ms";

/** `in`: the host hears nothing; `out`: nobody hears it. */
export type Direction = "in" | "out";

export class FaultNetwork {
  readonly #hosts: number;

  private constructor(hosts: number) {
    this.#hosts = hosts;
  }

  static create(hosts: number): FaultNetwork {
    mkdirSync(NAMESPACES, { recursive: true });
    run("mount", "-t", "tmpfs", "none", NAMESPACES);
    run("ip", "link", "set", "lo", "up");
    run("ip", "link", "add", BRIDGE, "type", "bridge");
    run("ip", "address", "add", `${PREFIX}1/24`, "dev", BRIDGE);
    run("ip", "link", "set", BRIDGE, "up");
    const network = new FaultNetwork(hosts);
    for (let host = 0; host < hosts; host += 1) network.#add(host);
    return network;
  }

  address(host: number): string {
    return `${PREFIX}${FIRST_HOST + host}`;
  }

  /** The beginning of a command that runs on the host. */
  enter(host: number): string[] {
    return ["nsenter", `--net=${NAMESPACES}/h${host}`];
  }

  /** Pulls the host's plug. */
  unplug(host: number): void {
    run("ip", "link", "set", `v${host}`, "down");
  }

  /** Drops all packets of the host in this direction, or those of one other host. */
  cut(host: number, direction: Direction, other?: number): void {
    const chain = direction === "in" ? ["INPUT", "-i"] : ["OUTPUT", "-o"];
    const address = direction === "in" ? "-s" : "-d";
    const peer = other === undefined ? [] : [address, this.address(other)];
    this.#on(host, "iptables", "-A", ...chain, "eth0", ...peer, "-j", "DROP");
  }

  /** Drops packets of the host at random, in both directions. */
  lose(host: number, probability: number): void {
    const chance = ["-m", "statistic", "--mode", "random", "--probability", String(probability), "-j", "DROP"];
    this.#on(host, "iptables", "-A", "INPUT", "-i", "eth0", ...chance);
    this.#on(host, "iptables", "-A", "OUTPUT", "-o", "eth0", ...chance);
  }

  /** Slows the host's line down, in both directions. */
  slow(host: number, megabits: number): void {
    const shape = ["root", "tbf", "rate", `${megabits}mbit`, "burst", BURST, "latency", LATENCY];
    this.#on(host, "tc", "qdisc", "add", "dev", "eth0", ...shape);
    run("tc", "qdisc", "add", "dev", `v${host}`, ...shape);
  }

  /** Undoes all of that. */
  repair(host: number): void {
    this.#on(host, "iptables", "-F");
    succeeds(...this.enter(host), "tc", "qdisc", "del", "dev", "eth0", "root");
    succeeds("tc", "qdisc", "del", "dev", `v${host}`, "root");
    run("ip", "link", "set", `v${host}`, "up");
  }

  #add(host: number): void {
    run("ip", "netns", "add", `h${host}`);
    run("ip", "link", "add", `v${host}`, "type", "veth", "peer", "name", "eth0", "netns", `h${host}`);
    run("ip", "link", "set", `v${host}`, "master", BRIDGE, "up");
    this.#on(host, "ip", "address", "add", `${this.address(host)}/24`, "dev", "eth0");
    this.#on(host, "ip", "link", "set", "eth0", "up");
    this.#on(host, "ip", "link", "set", "lo", "up");
  }

  #on(host: number, ...command: string[]): void {
    if (host >= this.#hosts) throw new Error(`there is no host ${host}`);
    run(...this.enter(host), ...command);
  }
}
