/**
 * A system of hosts with an engine each, three of which also run a member of etcd: started, asked how it does, and given
 * what an admin gives it. Any engine may lead.
 */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DaosError } from "../../../src/base/errors.ts";
import { connect, type System } from "../../../src/library.ts";
import { EtcdCluster } from "../../fixtures/etcd-cluster.ts";
import { FaultHost } from "./fault-host.ts";
import { FaultNetwork } from "./network.ts";
import { delay, run } from "./shell.ts";

export const POOL = "tank";
const ETCD_MEMBERS = 3;
/** What etcd itself starts with: a machine that is shared stands still for longer than the quick times of tests. */
const ETCD_FLAGS = ["--heartbeat-interval", "100", "--election-timeout", "1000"];
/** Members are told apart from dead ones by their heartbeats: they come before whatever else the machine has to do. */
const AT_ONCE = ["nice", "-n", "-10"];
const POLL_MS = 1_000;
const CALL_TIMEOUT_MS = 30_000;
const LOOK_TIMEOUT_MS = 5_000;
const RETRY_WINDOW_MS = 60_000;
const START_TIMEOUT_MS = 180_000;

/** How a host's engine does: its rank, its state, and those of its targets in the pool. */
export interface EngineStatus {
  readonly rank: number;
  readonly state: string;
  readonly targets: readonly string[];
}

export class FaultSystem {
  readonly hosts: readonly FaultHost[];
  readonly network: FaultNetwork;
  readonly etcd: EtcdCluster;
  /** Of an admin who is patient. */
  readonly admin: System;

  /** Hosts whose storage has rotted and was not filled anew since. */
  readonly #rotten = new Set<number>();
  /** Ranks that were excluded to be filled anew. */
  readonly #excluded = new Set<number>();
  /** How often an admin did what the system would have done by itself, later. */
  readonly byHand = { refilled: 0 };

  /** Hears what is missing while the system heals, whenever that changes. */
  changed: (missing: string) => void = () => undefined;

  private constructor(network: FaultNetwork, etcd: EtcdCluster, hosts: FaultHost[], admin: System) {
    this.network = network;
    this.etcd = etcd;
    this.hosts = hosts;
    this.admin = admin;
  }

  /** Resolves when all engines have joined. */
  static async start(count: number, folder: string): Promise<FaultSystem> {
    const network = FaultNetwork.create(count);
    const etcdFolder = join(folder, "etcd");
    mkdirSync(etcdFolder);
    run("mount", "-t", "tmpfs", "none", etcdFolder);
    const places = Array.from({ length: ETCD_MEMBERS }, (_value, index) => {
      return { address: network.address(index), enter: [...network.enter(index), ...AT_ONCE] };
    });
    const etcd = await EtcdCluster.start({ members: ETCD_MEMBERS, places, folder: etcdFolder, flags: ETCD_FLAGS });
    const hosts: FaultHost[] = [];
    const addresses = (): string[] => hosts.map(({ address }) => address);
    for (let index = 0; index < count; index += 1) {
      const others = (): string[] => addresses().filter((_address, other) => other !== index);
      hosts.push(new FaultHost({ index, folder, network, etcd: etcd.endpoints, others }));
      hosts[index]!.engine.start();
      // The first one begins the system.
      if (index === 0) (await connected(hosts[0]!.address)).close().catch(() => undefined);
    }
    const admin = await connected(addresses().join());
    const system = new FaultSystem(network, etcd, hosts, admin);
    const areJoined = async (): Promise<boolean> => {
      const { engines = [] } = await admin.query();
      return engines.filter(({ state }) => state === "joined").length === count;
    };
    await until(areJoined, START_TIMEOUT_MS, async () => system.lastWords);
    return system;
  }

  get addresses(): string {
    return this.hosts.map(({ address }) => address).join();
  }

  get lastWords(): string {
    return this.hosts.map(({ index, lastWords }) => `--- h${index}:\n${lastWords}`).join("\n");
  }

  /** A client's connection. */
  connect(retryWindowMs: number): Promise<System> {
    return connect({ system: this.addresses, timeoutMs: CALL_TIMEOUT_MS, retryWindowMs });
  }

  /** Index of the host whose engine leads the control plane; undefined while none does. */
  async leader(): Promise<number | undefined> {
    const { pid } = await this.admin.query();
    const index = this.hosts.findIndex(({ engine }) => engine.pid === pid);
    return index < 0 ? undefined : index;
  }

  /** Of each host's newest engine; undefined when nobody tells. */
  async look(): Promise<readonly (EngineStatus | undefined)[] | undefined> {
    const signal = AbortSignal.timeout(LOOK_TIMEOUT_MS);
    try {
      const { engines = [] } = await this.admin.query({ signal });
      const { map } = await this.admin.pool(POOL).queryTargets({ signal });
      return this.hosts.map(({ address }) => {
        const found = engines.findLast((engine) => engine.address === address);
        if (found === undefined) return undefined;
        const { rank, state } = found;
        return {
          rank,
          state,
          targets: map.targets.filter((target) => target.rank === rank).map((target) => target.state),
        };
      });
    } catch (error) {
      if (error instanceof DaosError) return undefined;
      throw error;
    }
  }

  /** What is missing until all is as it was before the fault; undefined when nothing is. */
  async missing(): Promise<string | undefined> {
    const seen = await this.look();
    if (seen === undefined) return "nobody tells how the system does";
    const wrong = seen.flatMap((status, host) => {
      if (status === undefined) return [`h${host} is unknown`];
      const { rank, state, targets } = status;
      const serves = state === "joined" && targets.length > 0 && targets.every((target) => target === "UPIN");
      return serves ? [] : [`h${host} (rank ${rank}) is ${state}, its targets ${targets.join() || "not in the pool"}`];
    });
    const signal = AbortSignal.timeout(LOOK_TIMEOUT_MS);
    try {
      const { rebuild } = await this.admin.pool(POOL).query({ signal });
      if (rebuild?.state === "busy" || rebuild?.state === "stuck") wrong.push(`rebuild ${JSON.stringify(rebuild)}`);
    } catch (error) {
      wrong.push(`pool query: ${String(error)}`);
    }
    if (!(await this.etcd.serves())) wrong.push("a member of etcd does not serve");
    return wrong.length === 0 ? undefined : wrong.join("; ");
  }

  /**
   * Waits until nothing is missing, doing meanwhile what needs an admin. Rejects with what is missing when it does not end;
   * `check` rejects when going on makes no sense.
   */
  async untilWhole(timeoutMs: number, check: () => void): Promise<void> {
    let missing: string | undefined = "";
    const isWhole = async (): Promise<boolean> => {
      check();
      const before = missing;
      missing = await this.missing();
      if (missing !== before) this.changed(missing ?? "nothing is missing");
      if (missing === undefined && this.#rotten.size === 0) return true;
      if (missing === undefined) await this.#refillRotten();
      await this.#takeBack();
      await this.#extend();
      return false;
    };
    await until(isWhole, timeoutMs, async () => `${missing}\n${this.lastWords}`);
  }

  /** The host's storage has rotted: it is to be whole again before the next fault. */
  rots(host: number): void {
    this.#rotten.add(host);
  }

  /**
   * The next fault comes sooner than a scrub has read all there is: what has rotted is filled anew from other hosts. But what
   * could not be opened has been made anew, and filled, by then.
   */
  async #refillRotten(): Promise<void> {
    const seen = (await this.look()) ?? [];
    for (const host of this.#rotten) {
      const rank = seen[host]?.rank;
      if (rank === undefined) continue;
      const renewed = this.hosts[host]!.files("renewed");
      if (renewed.length > 0) {
        for (const path of renewed) rmSync(path);
        this.#rotten.delete(host);
        continue;
      }
      await unlessBusy(async () => {
        await this.admin.pool(POOL).exclude({ ranks: [rank] });
        this.#rotten.delete(host);
        this.#excluded.add(rank);
        this.byHand.refilled += 1;
      });
    }
  }

  /** What an admin has excluded an admin takes back. */
  async #takeBack(): Promise<void> {
    const seen = this.#excluded.size === 0 ? [] : ((await this.look()) ?? []);
    for (const status of seen) {
      if (status?.state !== "joined" || !this.#excluded.has(status.rank)) continue;
      if (!status.targets.includes("DOWNOUT")) continue;
      await unlessBusy(async () => {
        await this.admin.pool(POOL).reintegrate({ ranks: [status.rank] });
        this.#excluded.delete(status.rank);
      });
    }
  }

  /** A new engine becomes part of the pool: that is for an admin to decide. */
  async #extend(): Promise<void> {
    const seen = (await this.look()) ?? [];
    const isNew = (status: EngineStatus | undefined): boolean =>
      status?.state === "joined" && status.targets.length === 0;
    const ranks = seen.filter(isNew).map((status) => status!.rank);
    if (ranks.length > 0) await unlessBusy(() => this.admin.pool(POOL).extend(ranks));
  }
}

/** Not now is no failure: it is asked again. */
async function unlessBusy(change: () => Promise<unknown>): Promise<void> {
  try {
    await change();
  } catch (error) {
    if (!(error instanceof DaosError) || !["BUSY", "UNAVAILABLE", "TIMEOUT", "CONFLICT"].includes(error.code))
      throw error;
  }
}

/** Resolves when an engine answers there. */
async function connected(addresses: string): Promise<System> {
  const deadlineMs = performance.now() + START_TIMEOUT_MS;
  for (;;) {
    try {
      return await connect({ system: addresses, timeoutMs: CALL_TIMEOUT_MS, retryWindowMs: RETRY_WINDOW_MS });
    } catch (error) {
      if (performance.now() > deadlineMs) throw error;
      await delay(POLL_MS);
    }
  }
}

export async function until(
  condition: () => Promise<boolean>,
  timeoutMs: number,
  state: () => Promise<string>,
): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadlineMs) throw new Error(`not within ${timeoutMs / 1000} s: ${await state()}`);
    await delay(POLL_MS);
  }
}
