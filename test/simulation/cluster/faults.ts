/** What goes wrong in a simulated cluster, and its end. */
import type { SimulatedRandom } from "../random.ts";
import type { Cluster } from "./cluster.ts";
import type { ClusterNode } from "./node.ts";

/** Longest time between two faults, and longest outage, milliseconds. */
const PAUSE_MS = 1_500;
const OUTAGE_MS = 4_000;
/** Within how long the others hear that a process ended, and that a host lost power. */
const KILL_NOTICE_MS = 2;
const POWER_NOTICE_MS = 2_000;

export class Faults {
  readonly #cluster: Cluster;
  readonly #random: SimulatedRandom;
  readonly #counts: Map<string, number>;
  #isOver = false;

  constructor(cluster: Cluster, random: SimulatedRandom, counts: Map<string, number>) {
    this.#cluster = cluster;
    this.#random = random;
    this.#counts = counts;
  }

  start(): void {
    this.#cluster.control.excludes = this.#random.next() < 0.5;
    this.#next();
  }

  #next(): void {
    this.#cluster.timers.after(this.#random.next() * PAUSE_MS, () => {
      if (this.#isOver) return;
      this.#strike();
      this.#next();
    });
  }

  #strike(): void {
    const { nodes } = this.#cluster;
    const node = nodes[this.#random.below(nodes.length)]!;
    const draw = this.#random.next();
    if (draw < 0.8) this.#crash(node, "crash", KILL_NOTICE_MS);
    else if (draw < 0.9) this.#crash(node, "power loss", POWER_NOTICE_MS);
    else for (const each of nodes) this.#crash(each, "power loss of all", POWER_NOTICE_MS);
  }

  #note(name: string, what: string): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
    this.#cluster.log(`${name} ${what}`);
  }

  #crash(node: ClusterNode, name: string, noticeMs: number): void {
    if (!node.isUp) return;
    this.#note(name, node.name);
    node.kill(noticeMs);
    const outageMs = this.#random.next() < 0.5 ? this.#random.next() * 50 : this.#random.next() * OUTAGE_MS;
    this.#cluster.timers.after(outageMs, () => void this.#restart(node));
  }

  async #restart(node: ClusterNode): Promise<void> {
    this.#cluster.log(`restart ${node.name}`);
    await this.#cluster.started(node, node.restart());
  }

  /** Ends what goes on; resolves when all targets are up. */
  async heal(): Promise<void> {
    this.#isOver = true;
    const { network, control, nodes, timers } = this.#cluster;
    network.healAll();
    control.cutOff.clear();
    while (nodes.some(({ isUp }) => !isUp)) await timers.advance(50);
  }
}
