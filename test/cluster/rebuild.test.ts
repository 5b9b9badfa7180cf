/**
 * Engines that are lost one after the other, more of them than the class tolerates at a time, and come back: the others are
 * filled in between, so nothing is lost, and the engines that come back are filled with what they missed.
 */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ObjectId } from "../../src/base/object-id.ts";
import { connect, type Container, type ContainerView, type System } from "../../src/library.ts";
import { ClusterProcess } from "./cluster-process.ts";
import { until } from "./system-process.ts";

const SIZES = { scmSize: "128MiB", nvmeSize: "512MiB" };
const KEYS = 60;
const ARRAY_BYTES = 3 * 1024 * 1024 + 4567;

interface Content {
  readonly values: ReadonlyMap<string, string>;
  readonly array: Buffer;
}

/** What the container is to hold, and what its snapshots show. */
class Ledger {
  readonly values = new Map<string, string>();
  readonly array = Buffer.alloc(ARRAY_BYTES);
  readonly #snapshots = new Map<string, Content>();
  readonly #container: Container;
  readonly #arrayId: ObjectId;

  constructor(container: Container) {
    this.#container = container;
    this.#arrayId = container.newObjectId("ARRAY_BYTE");
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
    await this.#changeArray(round);
  }

  /** Whole chunks, and pieces of stripes in others. */
  async #changeArray(round: number): Promise<void> {
    const array = this.#container.array(this.#arrayId);
    const ranges =
      round === 0
        ? [[0, ARRAY_BYTES]]
        : [
            [round * 700_001, 300_000],
            [round * 123_457, 7],
            [1_048_576, 2 ** 20],
          ];
    for (const [start, length] of ranges) {
      const bytes = Buffer.alloc(length!, `round ${round} at ${start} `);
      await array.write(start!, bytes);
      bytes.copy(this.array, start);
    }
  }

  async snapshot(label: string): Promise<void> {
    await this.#container.createSnapshot(label);
    this.#snapshots.set(label, { values: new Map(this.values), array: Buffer.from(this.array) });
  }

  /** Everything is there, and nothing else. */
  async expectAll(): Promise<void> {
    await this.#expect(this.#container, this);
    for (const [label, content] of this.#snapshots) await this.#expect(await this.#container.at(label), content);
  }

  async #expect(container: ContainerView, { values, array }: Content): Promise<void> {
    await expectValues(container, values);
    const found = Buffer.from(await container.array(this.#arrayId).read(0, ARRAY_BYTES));
    expect(found.equals(array)).toBe(true);
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

/** `lost`: engines that die one after the other, and come back in the end. `last` dies then. */
async function loseAndReturn(oclass: string, engines: number, lost: readonly number[], last: number): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "daos-cluster-"));
  const config = { exclude_after: "never" };
  const cluster = await ClusterProcess.start({ storage: join(folder, "storage"), engines, ...SIZES, config });
  const system = await connect({ system: cluster.address, timeoutMs: 15_000, retryWindowMs: 30_000 });
  try {
    await system.createPool({ label: "tank", sizeBytes: 2 ** 30 });
    const pool = system.pool("tank");
    const properties = { oclass };
    await pool.createContainer({ label: "box", type: "kv", properties });
    const container = await pool.openContainer("box", { readOnly: false });
    const ledger = new Ledger(container);
    await ledger.change(0);
    await ledger.snapshot("first");
    const restarts = lost.map((engine) => cluster.restarts(engine));
    cluster.hold();
    let round = 0;
    for (const engine of lost) {
      round += 1;
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
    await ledger.change(round + 1);
    await untilRebuild(system, "idle");
    expect((await pool.queryTargets()).map.targets.every(({ state }) => state === "UPIN")).toBe(true);
    await ledger.expectAll();
    // What came back has all that it is read for.
    cluster.hold();
    await cluster.kill(last);
    await pool.exclude({ ranks: [last] });
    await ledger.expectAll();
    cluster.release();
  } finally {
    await system.close();
    await cluster.killAll();
    rmSync(folder, { recursive: true, force: true });
  }
}

test("copies on engines that are lost one after the other lose nothing, and come back whole", async () => {
  await loseAndReturn("RP_2GX", 5, [3, 4, 2], 1);
}, 240_000);

test("erasure code on engines that are lost one after the other loses nothing, and comes back whole", async () => {
  await loseAndReturn("EC_2P1GX", 5, [3, 4], 1);
}, 240_000);
