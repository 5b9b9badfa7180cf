/**
 * Large updates of redundant objects between real processes: their bytes are staged by the client at every member, also when
 * an engine is killed in the middle, and what was acknowledged is read whatever engine is away afterwards.
 */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ArrayHandle, connect, type Container, type System } from "../../src/library.ts";
import { ClusterProcess } from "./cluster-process.ts";
import { until } from "./system-process.ts";

const SIZES = { scmSize: "128MiB", nvmeSize: "512MiB" };
const MIB = 2 ** 20;
/** Members hear of a decision 5 ms after the client; before that they ask the leader, who must not be away then. */
const DECIDED_MS = 1_000;
const WRITES = 24;
/** Offset and length of each write: whole stripes, parts of stripes, both; on and off the 64 KiB from which it is staged. */
const PLACES = [
  [0, 4 * MIB],
  [5 * MIB + 1000, MIB + 333],
  [3 * MIB - 70_000, 140_000],
  [7 * MIB, 60_000],
  [6 * MIB + 512, 256 * 1024],
] as const;

/** An array, and what it is to hold. */
class Mirror {
  readonly #array: ArrayHandle;
  readonly #bytes = Buffer.alloc(8 * MIB);
  #writes = 0;

  constructor(container: Container) {
    this.#array = container.array(container.newObjectId("ARRAY_BYTE"));
  }

  async write(): Promise<void> {
    const [offset, length] = PLACES[this.#writes % PLACES.length]!;
    this.#writes += 1;
    const bytes = Buffer.alloc(length);
    for (let at = 0; at < length; at += 1) bytes[at] = (at * 31 + (at >> 12) + this.#writes * 17) & 255;
    await this.#array.write(offset, bytes);
    this.#bytes.set(bytes, offset);
  }

  async expectAll(): Promise<void> {
    expect(Buffer.compare(await this.#array.read(0, this.#bytes.length), this.#bytes)).toBe(0);
  }
}

async function stagedBytes(system: System): Promise<number> {
  const { targets } = await system.metrics();
  return targets.reduce((sum, counters) => sum + counters["stagedBytes"]!, 0);
}

async function untilJoined(system: System, cluster: ClusterProcess): Promise<void> {
  await until(
    async () => (await system.query()).engines!.every(({ state }) => state === "joined"),
    () => cluster.output,
  );
}

for (const oclass of ["RP_3G1", "EC_2P1G1"]) {
  test(`large updates of ${oclass} are staged, and survive an engine that is killed among them`, async () => {
    const folder = mkdtempSync(join(tmpdir(), "daos-cluster-"));
    const config = { exclude_after: "never" };
    const cluster = await ClusterProcess.start({ storage: join(folder, "storage"), engines: 3, ...SIZES, config });
    const system = await connect({ system: cluster.address, timeoutMs: 5_000, retryWindowMs: 60_000 });
    try {
      await system.createPool({ label: "tank", sizeBytes: 2 ** 30 });
      const pool = system.pool("tank");
      await pool.createContainer({ label: "box", type: "object", properties: { oclass, rd_fac: 1 } });
      const container = await pool.openContainer("box", { readOnly: false });
      const mirror = new Mirror(container);
      for (let count = 0; count < PLACES.length; count += 1) await mirror.write();
      // More than half of the bytes of a third of the shards.
      expect(await stagedBytes(system)).toBeGreaterThan(MIB);
      await mirror.expectAll();
      const restarts = cluster.restarts(2);
      const killed = cluster.kill(2);
      for (let count = 0; count < WRITES; count += 1) await mirror.write();
      await killed;
      await cluster.untilRestarted(2, restarts);
      await untilJoined(system, cluster);
      await mirror.expectAll();
      const value = Buffer.alloc(3 * MIB + 5, "large value");
      const id = container.newObjectId("MULTI_HASHED");
      await container.object(id).update("dkey", "akey", value);
      cluster.hold();
      for (const engine of [1, 2]) {
        const before = cluster.restarts(engine);
        // A member that was away hears first what was decided: it takes part in updates when it has.
        for (let count = 0; count < PLACES.length; count += 1) await mirror.write();
        await Bun.sleep(DECIDED_MS);
        await cluster.kill(engine);
        await mirror.expectAll();
        expect(Buffer.compare((await container.object(id).fetch("dkey", "akey"))!.value, value)).toBe(0);
        cluster.release();
        await cluster.untilRestarted(engine, before);
        await untilJoined(system, cluster);
        cluster.hold();
      }
      cluster.release();
    } finally {
      await system.close();
      await cluster.killAll();
      rmSync(folder, { recursive: true, force: true });
    }
  }, 240_000);
}
