/**
 * A cluster in one process for tests of erasure-coded objects: real targets on simulated media and network, a real client
 * session, and nodes that are stopped and started by the test. Nothing else goes wrong.
 */
import { type Epoch, EPOCH_NONE } from "../../src/base/epoch.ts";
import { objectClassByName } from "../../src/base/object-class.ts";
import { objectId } from "../../src/base/object-id.ts";
import type { ContainerSession } from "../../src/client/container-session.ts";
import { ObjectHandle } from "../../src/client/object-handle.ts";
import { ObjectOperations } from "../../src/client/object-operations.ts";
import { agreeOnEpoch } from "../../src/control/snapshot-epoch.ts";
import { SimulatedClock } from "./clock.ts";
import { openSession } from "./cluster/client.ts";
import { ControlPlane } from "./cluster/control-plane.ts";
import { ClusterNetwork } from "./cluster/network.ts";
import { NodeClock } from "./cluster/node-clock.ts";
import { ClusterNode, CONTAINER, type PlantedBug, POOL } from "./cluster/node.ts";
import { SimulatedRandom } from "./random.ts";
import { SimulatedTimers } from "./timers.ts";

/** How far ahead of now a snapshot's epoch is, so that all nodes can still make it. */
const SNAPSHOT_LEAD_US = 10_000;
/** Simulated time within which everything is to be filled. */
const FILL_LIMIT_MS = 60_000;

export class ErasureRig {
  readonly clock = new SimulatedClock();
  readonly timers = new SimulatedTimers(this.clock);
  readonly random: SimulatedRandom;
  readonly network: ClusterNetwork;
  readonly nodes: readonly ClusterNode[];
  readonly control: ControlPlane;
  #session: ContainerSession | undefined;
  #objects = 0;

  constructor(seed: number, nodeCount = 6, bug: PlantedBug = {}) {
    this.random = new SimulatedRandom(seed);
    const { clock, timers, random } = this;
    this.network = new ClusterNetwork(random.fork(), timers, clock);
    const { network } = this;
    this.nodes = Array.from({ length: nodeCount }, (_, index) => {
      return new ClusterNode(index, { clock, timers, random: random.fork(), network, bug, log: () => {} });
    });
    const objectClass = "EC_2P1G1";
    this.control = new ControlPlane({
      clock,
      timers,
      random: random.fork(),
      network,
      nodes: this.nodes,
      leastLeft: 1,
      isElastic: false,
      spareNodes: 0,
      leastServing: Math.max(1, nodeCount - 4),
      mostDown: 2,
      objectClass,
      policySeed: seed,
      log: () => {},
    });
  }

  async start(): Promise<void> {
    await Promise.all(this.nodes.map(async (node) => this.control.serve(node, (await node.start(true))!)));
    await this.timers.advance(2_000);
    const { timers, network, control } = this;
    const parts = { timers, network, control, random: this.random.fork() };
    this.#session = openSession("client", new NodeClock(this.clock), parts);
  }

  end(): void {
    this.timers.end();
  }

  get session(): ContainerSession {
    return this.#session!;
  }

  get operations(): ObjectOperations {
    return this.at(EPOCH_NONE);
  }

  at(epoch: Epoch): ObjectOperations {
    return new ObjectOperations(this.session, epoch);
  }

  /** A new object of a class. */
  object(className: string): ObjectHandle {
    this.#objects += 1;
    const id = objectId("MULTI_HASHED", objectClassByName(className), this.random.nextUint32(), BigInt(this.#objects));
    return new ObjectHandle(this.operations, id);
  }

  /** Keeps the container as it is now; the epoch to see it at. All nodes are up that are not excluded. */
  async snapshot(): Promise<Epoch> {
    const create = async (at: Epoch): Promise<void> => {
      const lives = this.nodes.flatMap(({ life, index }) => (this.control.isExcluded(index) ? [] : [life!]));
      await Promise.all(lives.map(({ objects }) => objects.createSnapshot(CONTAINER, at)));
    };
    return agreeOnEpoch(this.clock, SNAPSHOT_LEAD_US, create);
  }

  /** Stops a node as a power cut does; its connections break at once. */
  stop(index: number): void {
    this.nodes[index]!.kill(0);
  }

  /** Has the control plane exclude the nodes that are stopped; updates then go on without them. */
  async exclude(): Promise<void> {
    this.control.excludes = true;
    await this.timers.advance(4_000);
    this.control.excludes = false;
  }

  async restart(index: number): Promise<void> {
    const node = this.nodes[index]!;
    this.control.serve(node, (await node.restart())!);
    await this.timers.advance(1_000);
  }

  /** Resolves when nothing is being filled any more. `takesBack`: what was excluded, and is there, is taken back first. */
  async filled(takesBack = false): Promise<void> {
    const { control, timers } = this;
    const isUnderWay = (): boolean => control.map.targets.some(({ state }) => state === "DOWN" || state === "UP");
    const isOut = (): boolean =>
      control.map.targets.some(({ index, state }) => state === "DOWNOUT" && this.nodes[index]!.isUp);
    control.reintegrates = takesBack;
    for (let waited = 0; isUnderWay() || (takesBack && isOut()); waited += 100) {
      if (waited > FILL_LIMIT_MS) throw new Error(`what is missing is not filled: ${this.#fillStates()}`);
      await timers.advance(100);
    }
    control.reintegrates = false;
  }

  #fillStates(): string {
    const states = this.control.map.targets.map(({ index, state }) => {
      const status = this.nodes[index]!.life?.replication.fillStatus(POOL, [CONTAINER]);
      return `n${index} ${state} ${JSON.stringify(status)}`;
    });
    return states.join(", ");
  }
}
