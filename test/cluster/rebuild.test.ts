/**
 * Engines that are lost one after the other, more of them than the class tolerates at a time, and come back: the others are
 * filled in between, so nothing is lost, and the engines that come back are filled with what they missed.
 */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type Container, type ContainerView, type System } from "../../src/library.ts";
import { ClusterProcess } from "./cluster-process.ts";
import { until } from "./system-process.ts";

const SIZES = { scmSize: "128MiB", nvmeSize: "512MiB" };
const KEYS = 60;
const ROUNDS = 3;

/** What the container is to hold, and what its snapshots show. */
class Ledger {
  readonly values = new Map<string, string>();
  readonly #snapshots = new Map<string, ReadonlyMap<string, string>>();
  readonly #container: Container;

  constructor(container: Container) {
    this.#container = container;
  }

  /** Writes most keys anew, some large, and removes the rest. */
  async change(round: number): Promise<void> {
    for (let index = 0; index < KEYS; index += 1) {
      const key = `key ${index}`;
      if ((index + round) % 5 === 0) {
        if (!this.values.delete(key)) continue;
        await this.#container.kv().delete(key);
      } else if (round === 0 || index % 2 === round % 2) {
        const value = `${key} in round ${round} `.repeat(index % 28 === 0 ? 60_000 : index % 7 === 0 ? 1000 : 1);
        await this.#container.kv().put(key, Buffer.from(value));
        this.values.set(key, value);
      }
    }
  }

  async snapshot(label: string): Promise<void> {
    await this.#container.createSnapshot(label);
    this.#snapshots.set(label, new Map(this.values));
  }

  /** Everything is there, and nothing else. */
  async expectAll(): Promise<void> {
    await expectValues(this.#container, this.values);
    for (const [label, values] of this.#snapshots) {
      await expectValues(await this.#container.at(label), values);
    }
  }
}

async function expectValues(container: ContainerView, values: ReadonlyMap<string, string>): Promise<void> {
  const wrong: string[] = [];
  for (let index = 0; index < KEYS; index += 1) {
    const key = `key ${index}`;
    const found = await container.kv().get(key);
    const text = found === undefined ? undefined : Buffer.from(found.value).toString();
    if (text !== values.get(key)) wrong.push(key);
  }
  expect(wrong).toEqual([]);
  const listed = await Array.fromAsync(container.kv().list(), (key) => Buffer.from(key).toString());
  expect(listed).toEqual([...values.keys()].toSorted());
}

async function untilRebuild(system: System, state: string): Promise<void> {
  let seen = "";
  await until(
    async () => {
      const { rebuild } = await system.pool("tank").query();
      seen = JSON.stringify(rebuild);
      return rebuild?.state === state;
    },
    () => seen,
  );
}

test("engines that are lost one after the other lose nothing, and come back whole", async () => {
  const folder = mkdtempSync(join(tmpdir(), "daos-cluster-"));
  const config = { exclude_after: "never" };
  const cluster = await ClusterProcess.start({ storage: join(folder, "storage"), engines: 5, ...SIZES, config });
  const system = await connect({ system: cluster.address, timeoutMs: 15_000, retryWindowMs: 30_000 });
  try {
    await system.createPool({ label: "tank", sizeBytes: 2 ** 30 });
    const pool = system.pool("tank");
    const properties = { oclass: "RP_2GX", rd_preview: true };
    await pool.createContainer({ label: "box", type: "kv", properties });
    const container = await pool.openContainer("box", { readOnly: false });
    const ledger = new Ledger(container);
    await ledger.change(0);
    await ledger.snapshot("first");
    const lost = [3, 4, 2];
    const restarts = lost.map((engine) => cluster.restarts(engine));
    cluster.hold();
    for (let round = 1; round <= ROUNDS; round += 1) {
      const engine = lost[round - 1]!;
      await cluster.kill(engine);
      await pool.exclude({ ranks: [engine] });
      await ledger.change(round);
      await untilRebuild(system, "done");
      // With this rebuilt the next one may be lost.
      await ledger.expectAll();
      await ledger.snapshot(`round-${round}`);
    }
    cluster.release();
    await Promise.all(lost.map((engine, index) => cluster.untilRestarted(engine, restarts[index]!)));
    await until(
      async () => (await system.query()).engines!.every(({ state }) => state === "joined"),
      () => cluster.output,
    );
    await pool.reintegrate({ ranks: lost });
    await ledger.change(ROUNDS + 1);
    await untilRebuild(system, "idle");
    expect((await pool.queryTargets()).map.targets.every(({ state }) => state === "UPIN")).toBe(true);
    await ledger.expectAll();
    // What came back has all that it is read for.
    cluster.hold();
    await cluster.kill(1);
    await pool.exclude({ ranks: [1] });
    await ledger.expectAll();
    cluster.release();
  } finally {
    await system.close();
    await cluster.killAll();
    rmSync(folder, { recursive: true, force: true });
  }
}, 240_000);
