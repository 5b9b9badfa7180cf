/**
 * A check of a real engine with three targets, each in a thread: finds nothing while a client writes; takes up again what the
 * meta store has lost, with its snapshots. With several engines, and copies: test/cluster/check.test.ts.
 */
import { Database } from "bun:sqlite";
import { afterEach, expect, test } from "bun:test";
import { join } from "node:path";
import type { CheckFinding } from "../../src/format/check-operations.ts";
import { EngineRig, runDaos } from "./engine-rig.ts";

const DKEYS = 12;

let rig: EngineRig | undefined;
afterEach(async () => {
  await rig?.remove();
  rig = undefined;
});

function valueOf(index: number): Buffer {
  return Buffer.from(`value ${index} `.repeat(1_000));
}

async function check(own: EngineRig, repair = false): Promise<{ findings: CheckFinding[]; looked: number }> {
  const findings: CheckFinding[] = [];
  let looked = 0;
  for (let after: string | undefined, isDone = false; !isDone;) {
    const reply = await own.system.check({ repair, ...(after !== undefined && { after }) });
    findings.push(...reply.findings);
    looked += reply.looked;
    after = reply.next;
    isDone = after === undefined;
  }
  return { findings, looked };
}

test("check: a real engine in use has nothing to find; lost records are found, and made again", async () => {
  const own = await EngineRig.start({ targets: 3, poolBytes: 2 ** 28 });
  rig = own;
  const pool = own.system.pool("tank");
  await pool.createContainer({ label: "box", type: "object", properties: { oclass: "SX" } });
  const container = await pool.openContainer("box");
  const object = container.object(container.newObjectId("MULTI_LEXICAL"));
  for (let index = 0; index < DKEYS; index += 1) await object.update(`dkey ${index}`, "v", valueOf(index));
  const { epoch } = await container.createSnapshot("dawn");
  let isWriting = true;
  const writing = (async () => {
    for (let round = 0; isWriting; round += 1) {
      await object.update(`hot ${round % 3}`, "v", valueOf(round));
      await object.writeArray(`hot ${round % 3}`, "a", { recordIndex: round % 90, recordBytes: 1 }, valueOf(round));
    }
  })();
  writing.catch(() => {});
  const busy = await check(own);
  isWriting = false;
  await writing;
  expect(busy.findings).toEqual([]);
  expect(busy.looked).toBeGreaterThan(DKEYS);
  await own.stop();

  const database = new Database(join(own.storage, "meta", "meta.sqlite"));
  const lost = "key LIKE 'pool%' OR key LIKE 'map/%' OR key LIKE 'container%' OR key LIKE 'snapshot/%'";
  expect(database.run(`DELETE FROM entry WHERE ${lost}`).changes).toBeGreaterThan(5);
  database.close();
  await expect(own.startAgain()).rejects.toThrow("tank");
  const address = ["--system", own.engine.address];
  const found = await runDaos(["system", "check", ...address]);
  expect(found).toMatchObject({ status: 3, output: expect.stringContaining("POOL_NONEXIST_ON_MS pool tank") });
  const { findings } = await check(own, true);
  expect(findings.length).toBeGreaterThan(2);
  expect(findings.filter(({ outcome }) => outcome !== "repaired")).toEqual([]);
  const taken = await own.system.pool("tank").openContainer("box");
  const read = taken.object(object.id);
  for (let index = 0; index < DKEYS; index += 1) {
    expect(Buffer.from((await read.fetch(`dkey ${index}`, "v"))!.value).equals(valueOf(index))).toBe(true);
  }
  expect((await taken.listSnapshots()).map((snapshot) => snapshot.epoch)).toEqual([epoch]);
  const again = await runDaos(["system", "check", "--pool", "tank", ...address]);
  expect(again).toEqual({ status: 0, output: "Nothing is wrong.\n" });
}, 60_000);
