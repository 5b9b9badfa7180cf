/** Transactions over erasure-coded and other objects on a real system of engines, through the library and the command. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { objectClassByName } from "../../src/base/object-class.ts";
import { formatObjectId, type ObjectId, objectId } from "../../src/base/object-id.ts";
import { connect } from "../../src/library.ts";
import { runDaos } from "../engine/engine-rig.ts";
import { ClusterProcess } from "./cluster-process.ts";

const SIZES = { scmSize: "128MiB", nvmeSize: "512MiB" };
const ROUNDS = 6;

test("erasure-coded objects take part with others, through kill -9 of engines in the middle; also by the command", async () => {
  const folder = mkdtempSync(join(tmpdir(), "daos-cluster-"));
  const config = { exclude_after: "never" };
  const cluster = await ClusterProcess.start({ storage: join(folder, "storage"), engines: 3, ...SIZES, config });
  const system = await connect({ system: cluster.address, timeoutMs: 5_000, retryWindowMs: 30_000 });
  try {
    await system.createPool({ label: "tank", sizeBytes: 2 ** 30 });
    await system.pool("tank").createContainer({ label: "bank", type: "object", properties: { rd_fac: 1 } });
    const bank = await system.pool("tank").openContainer("bank", { readOnly: false });
    const [array, count, value] = ["EC_2P1G1", "RP_2G1", "EC_2P1G1"].map((name, index) =>
      objectId("MULTI_HASHED", objectClassByName(name), 0, BigInt(index + 1)),
    ) as [ObjectId, ObjectId, ObjectId];
    const large = new Uint8Array(300_000).fill(7);
    for (let round = 1; round <= ROUNDS; round += 1) {
      const victim = round % 3;
      const before = cluster.restarts(victim);
      const running = bank.runTransaction(async (transaction) => {
        const found = await transaction.object(count).fetch("d", "count");
        await transaction.object(count).update("d", "count", Buffer.of((found?.value[0] ?? 0) + 1));
        await transaction.object(value).update("d", "a", large.subarray(0, 50_000 * round));
        const at = { recordIndex: 1000 * round, recordBytes: 1 };
        await transaction.object(array).writeArray("d", "r", at, large);
      });
      if (round % 2 === 0) await cluster.kill(victim);
      // What was not acknowledged may have happened.
      await running.catch(() => {});
      if (round % 2 === 0) await cluster.untilRestarted(victim, before);
      const { sum, size, last } = await bank.runTransaction(async (transaction) => {
        const bytes = await transaction.object(array).readArray("d", "r", {
          recordIndex: 0,
          recordCount: 320_000,
          recordBytes: 1,
        });
        const found = await transaction.object(value).fetch("d", "a");
        const sum = (await transaction.object(count).fetch("d", "count"))?.value[0];
        return { sum, size: found?.value.length, last: bytes.lastIndexOf(7) + 1 };
      });
      // All of one round, or of the one before.
      expect(last).toBe(300_000 + (1000 * size!) / 50_000);
      expect([round, round - 1]).toContain(size! / 50_000);
      expect(sum).toBeLessThanOrEqual(round);
    }
    const script = join(folder, "script.json");
    const object = formatObjectId(array);
    const steps = [
      { do: "punchRecords", object, dkey: "d", akey: "r", index: 0, count: 300_000 },
      { do: "update", object: formatObjectId(value), dkey: "d", akey: "a", text: "small" },
      { do: "read", object, dkey: "d", akey: "r", index: 299_995, count: 10 },
    ];
    writeFileSync(script, JSON.stringify({ steps }));
    const outcome = await runDaos([
      "object",
      "tx",
      "tank",
      "bank",
      "-f",
      script,
      "--json",
      "--system",
      cluster.address,
    ]);
    expect([outcome.status, outcome.output]).toEqual([0, expect.stringContaining("results")]);
    const [read] = (JSON.parse(outcome.output) as { results: { value: string }[] }).results;
    expect(read!.value).toBe("\0".repeat(5) + "\x07".repeat(5));
    expect(Buffer.from((await bank.object(value).fetch("d", "a"))!.value).toString()).toBe("small");
    const extents = await Array.fromAsync(bank.object(array).listExtents("d", "r"));
    expect(extents[0]!.index).toBe(300_000);
  } finally {
    await system.close();
    await cluster.killAll();
    rmSync(folder, { recursive: true, force: true });
  }
}, 120_000);
