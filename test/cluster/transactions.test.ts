/** Transactions over erasure-coded objects through the client library and the command, on real engines that are killed. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { formatObjectId } from "../../src/base/object-id.ts";
import { connect, objectClassByName, type ObjectId, objectId } from "../../src/library.ts";
import { runDaos } from "../engine/engine-rig.ts";
import { ClusterProcess } from "./cluster-process.ts";

const SIZES = { scmSize: "256MiB", nvmeSize: "1GiB" };

test("erasure-coded objects take part, with others, and are there after kill -9; also by the command", async () => {
  const folder = mkdtempSync(join(tmpdir(), "daos-cluster-"));
  const cluster = await ClusterProcess.start({ storage: join(folder, "storage"), engines: 3, ...SIZES });
  const system = await connect({ system: cluster.address, retryWindowMs: 60_000 });
  try {
    await system.createPool({ label: "tank", sizeBytes: 2 ** 30 });
    await system.pool("tank").createContainer({ label: "bank", type: "object" });
    const bank = await system.pool("tank").openContainer("bank");
    const names = ["EC_2P1G1", "S1", "EC_2P1G1"] as const;
    const [array, plain, value] = names.map((name, index) =>
      objectId("MULTI_HASHED", objectClassByName(name), 0, BigInt(index + 1)),
    ) as [ObjectId, ObjectId, ObjectId];
    const large = new Uint8Array(300_000).fill(7);
    for (let round = 1; round <= 3; round += 1) {
      await bank.runTransaction(async (transaction) => {
        const count = Number(
          Buffer.from((await transaction.object(plain).fetch("d", "count"))?.value ?? []).toString(),
        );
        expect(count).toBe(round - 1);
        await transaction.object(plain).update("d", "count", Buffer.from(String(round)));
        await transaction.object(value).update("d", "a", large.subarray(0, 100_000 * round));
        const at = { recordIndex: 1000 * round, recordBytes: 1 };
        await transaction.object(array).writeArray("d", "r", at, large);
      });
    }
    for (const engine of [0, 1, 2]) {
      const before = cluster.restarts(engine);
      await cluster.kill(engine);
      await cluster.untilRestarted(engine, before);
    }
    expect((await bank.object(value).fetch("d", "a"))!.value).toEqual(large);
    const range = { recordIndex: 0, recordCount: 303_001, recordBytes: 1 };
    const bytes = await bank.object(array).readArray("d", "r", range);
    expect([bytes.indexOf(7), bytes.lastIndexOf(7)]).toEqual([1_000, 302_999]);
    const script = join(folder, "script.json");
    const object = formatObjectId(array);
    const steps = [
      { do: "punchRecords", object, dkey: "d", akey: "r", index: 0, count: 302_995 },
      { do: "update", object: formatObjectId(value), dkey: "d", akey: "a", text: "small" },
      { do: "read", object, dkey: "d", akey: "r", index: 302_990, count: 10 },
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
    expect(outcome.status).toBe(0);
    const [read] = (JSON.parse(outcome.output) as { results: { value: string }[] }).results;
    expect(read!.value).toContain("\0\0\0\0\0" + "\x07".repeat(5));
    expect(Buffer.from((await bank.object(value).fetch("d", "a"))!.value).toString()).toBe("small");
  } finally {
    await system.close();
    await cluster.killAll();
    rmSync(folder, { recursive: true, force: true });
  }
}, 90_000);
