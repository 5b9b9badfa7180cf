/**
 * `daos system check` on engine processes: finds nothing while a client writes; and once the records of a pool are lost and a copy
 * has rotted finds both, takes the pool up again from what the targets know, and finds nothing when the target was filled anew.
 */
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { SystemProcess, until } from "./system-process.ts";

const DKEYS = 40;
const SETTLED_MS = 3_000;

interface Finding {
  readonly class: string;
  readonly place: string;
  readonly outcome: string;
}

function valueOf(index: number): Buffer {
  return Buffer.from(`value ${index} `.repeat(1_000));
}

const nameOf = (index: number): string => `dkey ${index}`;

async function check(cluster: SystemProcess, ...args: string[]): Promise<{ status: number; findings: Finding[] }> {
  const { status, output } = await cluster.daos("system", "check", "--json", ...args);
  const lines = output.split("\n").filter((line) => line.startsWith("{"));
  const values = lines.map((line) => JSON.parse(line) as Finding & { summary?: object });
  if (values.at(-1)?.summary === undefined) throw new Error(`the check did not end: ${output}`);
  return { status, findings: values.slice(0, -1) };
}

/** Turns a bit of the value on the medium of the first engine that has it; the engine. */
function damage(storage: string, value: Buffer): number {
  for (const engine of [0, 1, 2]) {
    const path = join(storage, `engine${engine}`, "target-0", "nvme");
    const at = readFileSync(path).indexOf(value.subarray(0, 100));
    if (at < 0) continue;
    const file = openSync(path, "r+");
    writeSync(file, Buffer.from([value[50]! ^ 1]), 0, 1, at + 50);
    closeSync(file);
    return engine;
  }
  throw new Error("no engine has the value on its device");
}

/** What the meta store has of pools and containers is gone. */
function loseRecords(storage: string): void {
  const database = new Database(join(storage, "engine0", "meta", "meta.sqlite"));
  const { changes } = database.run(
    "DELETE FROM entry WHERE key LIKE 'pool%' OR key LIKE 'map/%' OR key LIKE 'container%' OR key LIKE 'snapshot/%'",
  );
  database.close();
  expect(changes).toBeGreaterThan(5);
}

test("what is in order is not found while it is written; lost records and a rotten copy are found, and made good", async () => {
  let cluster = await SystemProcess.start(3);
  const { storage } = cluster;
  try {
    await cluster.system.createPool({ label: "tank", sizeBytes: 2 ** 28 });
    const pool = cluster.system.pool("tank");
    await pool.createContainer({ label: "box", type: "object", properties: { oclass: "RP_2G1" } });
    const container = await pool.openContainer("box");
    const object = container.object(container.newObjectId("MULTI_LEXICAL"));
    for (let index = 0; index < DKEYS; index += 1) await object.update(nameOf(index), "v", valueOf(index));
    const { epoch } = await container.createSnapshot("dawn");
    let isWriting = true;
    const writing = (async () => {
      for (let round = 0; isWriting; round += 1) {
        await object.update(`hot ${round % 7}`, "v", valueOf(round));
        await object.writeArray(`hot ${round % 5}`, "a", { recordIndex: round % 900, recordBytes: 1 }, valueOf(round));
        if (round % 50 === 49) await container.createSnapshot(`round-${round}`);
      }
    })();
    writing.catch(() => {});
    expect(await check(cluster)).toEqual({ status: 0, findings: [] });
    isWriting = false;
    await writing;
    await Bun.sleep(SETTLED_MS);
    await cluster.stop();

    loseRecords(storage);
    const rank = damage(storage, valueOf(0));
    cluster = await SystemProcess.start(3, { storage });
    await until(
      async () => (await cluster.states()).every((state) => state === "joined"),
      () => cluster.process.output,
    );
    expect(await cluster.system.listPools()).toEqual([]);
    const found = await check(cluster);
    expect(found.status).toBe(3);
    expect([...new Set(found.findings.map((finding) => finding.class))].toSorted()).toEqual([
      "CONT_NONEXIST_ON_PS",
      "POOL_NONEXIST_ON_MS",
    ]);
    expect(await cluster.system.listPools()).toEqual([]);

    const repaired = await check(cluster, "--repair");
    // What is taken up again is looked at, too: the rotten copy is found, and cannot be repaired in place.
    expect(repaired.status).toBe(3);
    const left = repaired.findings.filter(({ outcome }) => outcome !== "repaired");
    expect(left.map((finding) => finding.class)).toEqual(["CSUM_FAILURE"]);
    expect(left[0]!.place).toContain(`dkey "${nameOf(0)}"`);
    expect(left[0]!.place).toContain(`(rank ${rank})`);
    const again = cluster.system.pool("tank");
    const taken = await again.openContainer("box");
    const read = taken.object(object.id);
    for (let index = 0; index < DKEYS; index += 1) {
      const value = await read.fetch(nameOf(index), "v");
      expect(Buffer.from(value!.value).equals(valueOf(index))).toBe(true);
    }
    expect((await taken.listSnapshots()).map((snapshot) => snapshot.epoch)).toContain(epoch);

    // As its advice says.
    const passes = async (): Promise<number[]> => {
      return (await again.scrub("status")).targets.map(({ status }) => status!.passes);
    };
    const before = await passes();
    await again.scrub("start", { bytesPerSecond: 2 ** 30 });
    await until(
      async () => (await passes()).every((count, index) => count > before[index]!),
      () => cluster.process.output,
    );
    expect(await check(cluster)).toEqual({ status: 0, findings: [] });
  } finally {
    await cluster.remove();
  }
}, 300_000);
