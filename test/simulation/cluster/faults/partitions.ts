/**
 * Networks that do not carry everything: links that hold what they are given, in one direction or both, links that are slow
 * for every packet by another time, and connections that break.
 */
import { CONTROL } from "../control-plane.ts";
import type { ClusterNode } from "../node.ts";
import { type FaultKind, type FaultParts, spanMs } from "./fault-kind.ts";

/** Longest time for which something is held, usually and now and then, and for which it is slow, milliseconds. */
const HELD_MS = 6_000;
const LONG_HELD_MS = 50_000;
const SLOW_MS = 4_000;
/** Longest further delay of a packet on a slow link, milliseconds. */
const DELAY_MS = 800;

type Way = readonly [from: string, to: string];

interface Cut {
  readonly what: string;
  readonly side: readonly string[];
  readonly others: readonly string[];
}

export function partitionKinds(parts: FaultParts): FaultKind[] {
  const links = new Links(parts);
  return [
    { name: "partition", weight: 5, strike: (node) => links.part(node), heal: () => parts.cluster.network.healAll() },
    { name: "slow network", weight: 3, strike: (node) => links.slow(node) },
    { name: "reset", weight: 2, strike: (node) => links.reset(node) },
  ];
}

class Links {
  readonly #parts: FaultParts;

  constructor(parts: FaultParts) {
    this.#parts = parts;
  }

  part(node: ClusterNode): void {
    const { random, note, cluster } = this.#parts;
    const { what, side, others } = this.#cut(node);
    const isOneWay = random.next() < 0.5;
    const isInwards = random.next() < 0.5;
    const ways = side
      .flatMap((own) => others.flatMap((other) => bothWays(own, other)))
      .filter(([from]) => !isOneWay || side.includes(from) !== isInwards);
    note(`partition ${what}${isOneWay ? ", one way" : ""}`, ways.map((way) => way.join(" to ")).join(", "));
    for (const way of ways) cluster.network.hold(...way);
    const longestMs = random.next() < 0.95 ? HELD_MS : LONG_HELD_MS;
    cluster.timers.after(spanMs(random, 5, longestMs), () => this.#release(ways));
  }

  /** Those on the node's side of something that goes wrong, and those on the other one. */
  #cut({ name }: ClusterNode): Cut {
    const { random, cluster } = this.#parts;
    const targets = cluster.nodes.map((node) => node.name).filter((other) => other !== name);
    const clients = cluster.clients.map((client) => client.name);
    const half = (names: readonly string[]): string[] => names.filter(() => random.next() < 0.5);
    const draw = random.next();
    if (draw < 0.2) return { what: "of a target from the others", side: [name], others: targets };
    if (draw < 0.3) {
      const near = half(targets.slice(1));
      return {
        what: "between targets",
        side: [name, ...near],
        others: targets.filter((other) => !near.includes(other)),
      };
    }
    if (draw < 0.5) return { what: "of two targets", side: [name], others: [targets[random.below(targets.length)]!] };
    if (draw < 0.65)
      return { what: "of a target from clients", side: [name], others: [clients[0]!, ...half(clients.slice(1))] };
    if (draw < 0.8) return { what: "from control", side: [name], others: [CONTROL] };
    if (draw < 0.9)
      return { what: "of a target and clients from control", side: [name, ...half(clients)], others: [CONTROL] };
    return { what: "of a target from all", side: [name], others: [CONTROL, ...targets, ...clients] };
  }

  #release(ways: readonly Way[]): void {
    const { random, cluster } = this.#parts;
    cluster.log(`healed ${ways.map((way) => way.join(" to ")).join(", ")}`);
    const [own, other] = ways[0]!;
    // What was given up meanwhile on one side is closed on the other.
    if (random.next() < 0.3) cluster.network.reset(own, other);
    for (const way of ways) cluster.network.release(...way);
  }

  slow(node: ClusterNode): void {
    const { random, note, cluster } = this.#parts;
    const { what, side, others } = this.#cut(node);
    const delayMs = spanMs(random, 5, DELAY_MS);
    note("slow network", `${what}, ${side.join(", ")}: ${delayMs.toFixed(0)} ms`);
    const ways = side.flatMap((own) => others.flatMap((other) => bothWays(own, other)));
    for (const way of ways) cluster.network.slow(...way, delayMs);
    cluster.timers.after(spanMs(random, 50, SLOW_MS), () => {
      for (const way of ways) cluster.network.slow(...way, 0);
    });
  }

  reset(node: ClusterNode): void {
    const { side, others } = this.#cut(node);
    this.#parts.note("reset", `${side.join(", ")} and ${others.join(", ")}`);
    for (const own of side) for (const other of others) this.#parts.cluster.network.reset(own, other);
  }
}

function bothWays(left: string, right: string): Way[] {
  return [
    [left, right],
    [right, left],
  ];
}
