/**
 * A cluster in one process from one seed: targets with real stores and replication on simulated media and network, real
 * clients, and faults. Two phases: safety under faults, then liveness once everything is healed. What was found wrong is
 * thrown, with the seed.
 */
import { byteStringOfText } from "../../../src/base/bytes.ts";
import { EPOCH_NONE } from "../../../src/base/epoch.ts";
import { DaosError } from "../../../src/base/errors.ts";
import { scrubContainer, scrubStore } from "../../../src/dtx/scrub-walk.ts";
import { objectClassByName } from "../../../src/base/object-class.ts";
import { objectId } from "../../../src/base/object-id.ts";
import { Placement } from "../../../src/placement/placement.ts";
import { redundancyGroup } from "../../../src/redundancy/redundancy-group.ts";
import { SimulatedClock } from "../clock.ts";
import { SimulatedRandom } from "../random.ts";
import { SimulatedTimers } from "../timers.ts";
import { akeyOfValue, ARRAY_AKEY, ClusterClient, type Subject } from "./client.ts";
import { CODED_RECORD_BYTES, idOfValue, idsOfRecords, RECORD_BYTES } from "./content.ts";
import { ControlPlane } from "./control-plane.ts";
import { Faults } from "./faults.ts";
import { checkShards } from "./erasure-check.ts";
import { explain, RECORD_COUNT, VALUE_COUNT } from "./history.ts";
import { ClusterNetwork } from "./network.ts";
import { type TransactionCounts, TransactionWork } from "./transactions.ts";
import { ClusterNode, CONTAINER, type NodeLife, type PlantedBug } from "./node.ts";

const CLIENT_COUNT = 4;
/** Of the objects; every third seed has erasure-coded ones. Every fifth adds and drains targets. */
const COPIED_CLASSES = ["RP_2G1", "RP_3GX", "S1"];
const CODED_CLASSES = ["EC_2P1G1", "RP_2G1", "S1"];
/** Length of the first phase, simulated milliseconds. In a long one the longest time-outs pass. */
const FAULTY_MS = 12_000;
const LONG_FAULTY_MS = 70_000;
/** Simulated time within which everything is to be quiet and well once it is healed. */
const CALM_MS = 90_000;
/** Sets the draws of what rebuilding may do apart from the others. */
const POLICY_SEED = 0x5e1f_4ea1;
/** Pauses of 10 simulated milliseconds within which a read in the background ends. */
const MAX_READ_WAITS = 50;
/** Simulated time within which all targets are up again, and there is room on them. */
const HEAL_MS = 60_000;

export interface ClusterOptions {
  readonly seed: number;
  /** Length of the first phase, simulated milliseconds; every tenth seed is long unless given. */
  readonly faultyMs?: number;
  /** False: nothing goes wrong. A set: only these kinds of faults come, by name. */
  readonly faults?: boolean | ReadonlySet<string>;
  /** Of the objects; by the seed unless given. */
  readonly classes?: readonly string[];
  readonly bug?: PlantedBug;
  readonly log?: (line: string) => void;
}

export interface ClusterCounts {
  operations: number;
  unknown: number;
  faults: Map<string, number>;
  /** Histories too tangled to be searched to the end. */
  openHistories: number;
  /** Decisions that members still remember in the end, though everybody has them. */
  unforgotten: number;
  transactions: TransactionCounts;
  /** Failures that clients were told of, by code. */
  codes: Map<string, number>;
}

/** Runs one seed. Throws what was found wrong. */
export async function runCluster(options: ClusterOptions): Promise<ClusterCounts> {
  const cluster = new Cluster(options);
  try {
    return await cluster.run();
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    throw new Error(`seed ${options.seed}: ${text}`, { cause: error });
  }
}

export class Cluster {
  readonly seed: number;
  readonly clock = new SimulatedClock();
  readonly timers: SimulatedTimers;
  readonly random: SimulatedRandom;
  readonly network: ClusterNetwork;
  readonly nodes: readonly ClusterNode[];
  readonly control: ControlPlane;
  readonly clients: ClusterClient[] = [];
  readonly subjects: readonly Subject[];
  readonly log: (line: string) => void;
  readonly #options: ClusterOptions;
  /** Targets are added and drained. */
  readonly #isElastic: boolean;
  #failure: { readonly error: unknown } | undefined;
  #isOver = false;
  #lastId = 0;

  constructor(options: ClusterOptions) {
    this.#options = options;
    this.seed = options.seed;
    this.log = (line) => options.log?.(`${(this.clock.monotonicNs() / 1e6).toFixed(3).padStart(12)} ${line}`);
    this.random = new SimulatedRandom(options.seed);
    this.timers = new SimulatedTimers(this.clock);
    this.network = new ClusterNetwork(this.random.fork(), this.timers, this.clock);
    this.#isElastic = options.seed % 5 === 4;
    const classes = options.classes ?? (options.seed % 3 === 0 ? CODED_CLASSES : COPIED_CLASSES);
    const redundancies = classes.map((name) => objectClassByName(name).redundancy);
    // Transactions are of objects of three shards, too.
    const mostShards = Math.max(3, ...redundancies.map(({ shardCount }) => shardCount));
    const first = Math.max(3 + this.random.below(4), mostShards + (this.#isElastic ? 1 : 0));
    const spareNodes = this.#isElastic ? this.random.below(3) : 0;
    const count = first + spareNodes;
    const { clock, timers, network, random, log } = this;
    const bug = options.bug ?? {};
    this.nodes = Array.from(
      { length: count },
      (_, index) => new ClusterNode(index, { clock, timers, random: random.fork(), network, bug, log }),
    );
    this.control = new ControlPlane({
      clock,
      timers,
      random: random.fork(),
      network,
      nodes: this.nodes,
      spareNodes,
      isElastic: this.#isElastic,
      leastLeft: mostShards,
      leastServing: Math.max(2, ...redundancies.map(({ dataShards }) => dataShards)),
      // Transactions are of objects with two copies.
      mostDown: 1,
      objectClass: "RP_2G1",
      policySeed: options.seed ^ POLICY_SEED,
      log: (line) => log(line),
    });
    this.subjects = classes.flatMap((name, user) => {
      const oid = objectId("MULTI_HASHED", objectClassByName(name), this.random.nextUint32(), BigInt(user + 1));
      const count = name === "S1" ? 1 : 2;
      return Array.from({ length: count }, (_, index) => {
        const dkey = byteStringOfText(`dkey ${index}`);
        const recordBytes = name.startsWith("EC") ? CODED_RECORD_BYTES : RECORD_BYTES;
        return {
          name: `${name} dkey ${index}`,
          oid,
          dkey,
          recordBytes,
          history: [],
          past: new Map(),
          snapshots: new Map(),
        };
      });
    });
  }

  async run(): Promise<ClusterCounts> {
    const catchRejection = (error: unknown): void => this.fail(error);
    process.on("unhandledRejection", catchRejection);
    process.on("uncaughtException", catchRejection);
    try {
      return await this.#run();
    } finally {
      this.timers.end();
      process.off("unhandledRejection", catchRejection);
      process.off("uncaughtException", catchRejection);
    }
  }

  fail(error: unknown): void {
    if (error instanceof Error && error.name === "PowerLossError") return;
    this.#failure ??= { error };
  }

  async #run(): Promise<ClusterCounts> {
    const counts: ClusterCounts = {
      operations: 0,
      unknown: 0,
      faults: new Map(),
      openHistories: 0,
      unforgotten: 0,
      transactions: { committed: 0, conflicts: 0, unknown: 0, reads: 0 },
      codes: new Map(),
    };
    await this.#within(this.#startAll(), 10_000, "the targets do not start");
    const { clock, timers, network, control, subjects, log } = this;
    for (let number = 0; number < CLIENT_COUNT; number += 1) {
      const nextId = (): number => (this.#lastId += 1);
      const random = this.random.fork();
      this.clients.push(new ClusterClient(number, { clock, timers, random, network, control, subjects, nextId, log }));
    }
    const transactions = this.#transactions();
    this.#logGroups();
    const { faults: kinds } = this.#options;
    const faults = new Faults(this, this.random.fork(), counts.faults, typeof kinds === "object" ? kinds : undefined);
    if (kinds !== false) faults.start();
    const isOver = (): boolean => this.#isOver;
    const working = Promise.all([...this.clients.map((client) => client.work(isOver)), transactions.work(isOver)]);
    working.catch((error: unknown) => this.fail(error));
    const isLong = this.seed % 10 === 0;
    await this.#pass(this.#options.faultyMs ?? (isLong ? LONG_FAULTY_MS : FAULTY_MS));
    this.log("healing");
    await this.#within(faults.heal(), HEAL_MS, "targets do not start again");
    await this.#within(this.#whole(), CALM_MS, "not all targets serve again after everything is healed");
    await this.#pass(2_000);
    this.#isOver = true;
    await this.#within(working, CALM_MS, "operations do not end after everything is healed");
    await this.#checkLiveness();
    const what = "transactions that were left are not resolved, or none succeeds, after everything is healed";
    const partaking = this.nodes.filter(({ index }) => !this.control.isExcluded(index));
    if (!this.#isAnythingLost()) await this.#within(transactions.checkLiveness(partaking), CALM_MS, what);
    counts.transactions = transactions.check();
    await this.#checkQuiet(counts);
    await this.#within(this.#scrubRotten(), CALM_MS, "what has rotted is not scrubbed to its end");
    await this.#checkReplicas([...this.subjects, ...transactions.coded]);
    this.#checkHistories(counts);
    faults.end();
    for (const [what, count] of Object.entries(this.control.counts)) counts.faults.set(what, count);
    for (const client of this.clients) {
      counts.operations += client.counts.operations;
      counts.unknown += client.counts.unknown;
      for (const [code, count] of client.codes) counts.codes.set(code, (counts.codes.get(code) ?? 0) + count);
    }
    return counts;
  }

  #transactions(): TransactionWork {
    const { clock, timers, network, control, subjects, log } = this;
    const link = this.#options.bug?.link;
    const nextId = (): number => (this.#lastId += 1);
    const isCoded = subjects.some(({ name }) => name.startsWith("EC"));
    return new TransactionWork(isCoded, (number, spy) => {
      const random = this.random.fork();
      const wrapped = (plain: Parameters<typeof spy>[0]) => spy(link?.(plain) ?? plain);
      const parts = { clock, timers, random, network, control, subjects, nextId, log, wrapped };
      return { client: new ClusterClient(CLIENT_COUNT + number, parts), parts };
    });
  }

  /** A target was excluded that had the only copy of something. */
  #isAnythingLost(): boolean {
    return this.control.map.targets.some(
      ({ index, drained }) => this.control.isExcluded(index) && drained === undefined,
    );
  }

  async #startAll(): Promise<void> {
    await Promise.all(this.nodes.map((node) => this.started(node, node.start(true))));
    await this.timers.advance(2_000);
  }

  /** Has the control plane serve a life that begins. */
  async started(node: ClusterNode, starting: Promise<NodeLife | undefined>): Promise<void> {
    const life = await starting;
    if (life !== undefined) this.control.serve(node, life);
  }

  /** Lets simulated time pass. */
  async #pass(ms: number): Promise<void> {
    await this.#orFailure(this.timers.advance(ms));
  }

  async #within<T>(promise: Promise<T>, limitMs: number, message: string): Promise<T> {
    let cancel = (): void => {};
    const late = new Promise<never>((_, reject) => {
      cancel = this.timers.after(limitMs, () => reject(new Error(message)));
    });
    try {
      return await this.#orFailure(Promise.race([promise, late]));
    } finally {
      cancel();
    }
  }

  /** The promise's value; throws what went wrong elsewhere meanwhile. */
  async #orFailure<T>(promise: Promise<T>): Promise<T> {
    let isSettled = false;
    void promise.then(
      () => (isSettled = true),
      () => (isSettled = true),
    );
    while (!isSettled && this.#failure === undefined) await new Promise(setImmediate);
    if (this.#failure !== undefined) throw this.#failure.error;
    return promise;
  }

  /** Resolves when every target that was excluded is back, and filled. */
  async #whole(): Promise<void> {
    if (!this.control.reintegrates) return;
    const lost = new Set(this.nodes.filter(({ isLost }) => isLost).map(({ index }) => index));
    while (!this.control.isWhole(lost)) await this.timers.advance(100);
  }

  /** Every client can read and write everything that is not lost with an excluded target. */
  async #checkLiveness(): Promise<void> {
    const placement = new Placement(this.control.map);
    for (const subject of this.subjects) {
      if (placement.groupOf(subject.oid, subject.dkey).shards.every(({ state }) => state !== "serving")) continue;
      for (const client of this.clients) {
        for (let at = 0; at < VALUE_COUNT; at += 1) await this.#mustWork(client, subject, { kind: "fetch", at });
        await this.#mustWork(client, subject, { kind: "read", from: 0, to: RECORD_COUNT });
        await this.#mustWork(client, subject, { kind: "update", at: 0, id: (this.#lastId += 1) });
        await this.#mustWork(client, subject, { kind: "fetch", at: 0 });
        await this.#orFailure(client.readSnapshot(subject));
      }
    }
  }

  async #mustWork(client: ClusterClient, subject: Subject, action: Parameters<ClusterClient["run"]>[1]): Promise<void> {
    const what = `${client.name} cannot ${action.kind} ${subject.name} after everything is healed`;
    const outcome = await this.#within(client.run(subject, action), CALM_MS, what);
    if (outcome.kind !== "unknown") return;
    // What has rotted and has no other copy is gone, and is known to be.
    if (outcome.code.startsWith("CORRUPT") && this.#isOnlyCopyRotten(subject)) return;
    throw new Error(`${what}: ${outcome.code}`);
  }

  #isOnlyCopyRotten({ oid, dkey }: Subject): boolean {
    const { shards } = new Placement(this.control.map).groupOf(oid, dkey);
    return shards.length === 1 && this.nodes[shards[0]!.target]!.isRotten;
  }

  /** Whatever has rotted has a good copy elsewhere, where the object has redundancy: from then on every target is right by itself. */
  async #scrubRotten(): Promise<void> {
    for (const node of this.nodes) {
      if (!node.isRotten || node.life === undefined || this.control.isExcluded(node.index)) continue;
      const { store, repairs } = node.life;
      for await (const _ of scrubStore(store.checks, repairs)) await this.timers.advance(1);
      for await (const _ of scrubContainer(store.checks, repairs, CONTAINER)) await this.timers.advance(1);
      node.isRotten = false;
    }
  }

  /** Nothing is left undecided, and no decision on its way. */
  async #checkQuiet(counts: ClusterCounts): Promise<void> {
    await this.#pass(3_000);
    for (const { name, index, life } of this.nodes) {
      if (this.control.isExcluded(index)) continue;
      if (life === undefined) throw new Error(`${name} is not up in the end`);
      const undecided = life.store.transactions.undecided().length;
      const open = life.replication.openCount;
      if (undecided + open > 0) throw new Error(`${name} has ${undecided} undecided updates, ${open} open ones`);
      // A fold may be at it just now.
      for (let waits = 0; life.device.lent !== 0 && waits < MAX_READ_WAITS; waits += 1) await this.#pass(10);
      const { lent } = life.device;
      if (lent !== 0) throw new Error(`${name} has ${lent} buffers of its device that nobody uses`);
      // Known: a member that misses the word that it may forget a decision remembers it for good.
      counts.unforgotten += life.store.transactions.decided().length;
    }
  }

  /** What each readable member of a group shows is the same, and every part of it can be read from one of them. */
  async #checkReplicas(subjects: readonly Subject[]): Promise<void> {
    const placement = new Placement(this.control.map);
    for (const subject of subjects) {
      if (subject.name.startsWith("S")) continue;
      if (subject.name.startsWith("EC")) {
        await this.#orFailure(checkShards(subject, placement, this.nodes));
        continue;
      }
      const { readable } = redundancyGroup(placement, subject.oid, subject.dkey);
      const contents: (readonly (string | undefined)[])[] = [];
      for (const index of readable) contents.push(await this.#orFailure(this.#contentOf(index, subject)));
      for (let part = 0; part <= VALUE_COUNT; part += 1) {
        const shown = contents.map((content) => content[part]);
        if (new Set(shown.filter((text) => text !== undefined)).size === 1) continue;
        const text = readable.map((index, place) => `n${index}: ${shown[place] ?? "CORRUPT"}`).join("; ");
        throw new Error(`replicas of ${subject.name} differ in part ${part}: ${text}`);
      }
    }
  }

  /** The values, then the array; undefined for what has rotted. */
  async #contentOf(index: number, { oid, dkey }: Subject): Promise<(string | undefined)[]> {
    const node = this.nodes[index]!;
    const { objects } = node.life!;
    const common = { oid, dkey, epoch: EPOCH_NONE, flags: 0 };
    const readValue = async (at: number): Promise<string> => {
      const found = await objects.fetchValue(CONTAINER, { ...common, akey: akeyOfValue(at) });
      return String(found.found ? idOfValue(found.value) : 0);
    };
    const readArray = async (): Promise<string> => {
      const range = { recordIndex: 0, recordCount: RECORD_COUNT, recordBytes: RECORD_BYTES };
      const read = await objects.readArray(CONTAINER, { ...common, akey: ARRAY_AKEY, ...range });
      return idsOfRecords(read.found ? read.bytes : undefined, RECORD_COUNT, RECORD_BYTES).join(" ");
    };
    const parts: (string | undefined)[] = [];
    for (let at = 0; at < VALUE_COUNT; at += 1) parts.push(await orRotten(readValue(at), node));
    return [...parts, await orRotten(readArray(), node)];
  }

  #checkHistories(counts: ClusterCounts): void {
    this.#logGroups();
    for (const { name, history } of this.subjects) {
      const { isExplained, isOpen, stuckAt } = explain(history);
      if (isOpen) counts.openHistories += 1;
      if (isExplained) continue;
      throw new Error(`no order explains what was seen of ${name}; stuck at ${JSON.stringify(stuckAt)}`);
    }
  }

  #logGroups(): void {
    const placement = new Placement(this.control.map);
    for (const { name, oid, dkey } of this.subjects) {
      const { shards } = placement.groupOf(oid, dkey);
      this.log(`${name} lies on ${shards.map(({ target, state }) => `n${target} (${state})`).join(", ")}`);
    }
  }
}

/** Undefined when it cannot be read because it has rotted there. */
async function orRotten(text: Promise<string>, { isRotten }: ClusterNode): Promise<string | undefined> {
  try {
    return await text;
  } catch (error) {
    if (isRotten && error instanceof DaosError && error.code === "CORRUPT") return undefined;
    throw error;
  }
}
