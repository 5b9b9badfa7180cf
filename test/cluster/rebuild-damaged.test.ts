/**
 * Copies that rot on the medium while an engine is excluded: what else there is gets its copies back, and the admin is
 * told.
 */
import { expect, test } from "bun:test";
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { SystemProcess, until } from "./system-process.ts";

const DKEYS = 150;
const SETTLED_MS = 3_000;

function valueOf(index: number): Buffer {
  return Buffer.from(`value ${index} `.repeat(1_000));
}

/** Turns a bit of the value on the medium of an engine; false when it does not have it. */
function damage(storage: string, engine: number, value: Buffer): boolean {
  const path = join(storage, `engine${engine}`, "target-0", "nvme");
  const at = readFileSync(path).indexOf(value.subarray(0, 100));
  if (at < 0) return false;
  const file = openSync(path, "r+");
  writeSync(file, Buffer.from([value[50]! ^ 1]), 0, 1, at + 50);
  closeSync(file);
  return true;
}

test("one damaged dkey holds up no other one, and is told of", async () => {
  const cluster = await SystemProcess.start(3, { environment: { DAOS_EXCLUDE_AFTER: "never" } });
  try {
    await cluster.system.createPool({ label: "tank", sizeBytes: 2 ** 28 });
    const pool = cluster.system.pool("tank");
    await pool.createContainer({ label: "box", type: "object", properties: { oclass: "RP_2G1" } });
    const container = await pool.openContainer("box");
    const object = container.object(container.newObjectId("MULTI_LEXICAL"));
    const name = (index: number): string => `dkey ${String(index).padStart(3, "0")}`;
    const indexes = Array.from({ length: DKEYS }, (_, index) => index);
    await Promise.all(indexes.map((index) => object.update(name(index), "v", valueOf(index))));
    await Bun.sleep(SETTLED_MS);
    const holders = [0, 1, 2].filter((engine) => damage(cluster.storage, engine, valueOf(0)));
    expect(holders).toHaveLength(2);
    await pool.exclude({ ranks: [holders[1]!] });
    const rebuild = async () => (await pool.query()).rebuild!;
    await until(
      async () => (await rebuild()).state === "stuck",
      () => cluster.process.output,
    );
    expect((await rebuild()).dkeys).toBe(DKEYS - 1);
    expect(cluster.process.output).toContain("1 dkey(s) that target");
    const damaged = object.fetch(name(0), "v").catch((error: { code: string }) => error.code);
    expect(await damaged).toBe("CORRUPT");
    const updated = object.update(name(0), "v", valueOf(1)).catch((error: { code: string }) => error.code);
    expect(await updated).toBe("CORRUPT");
    await object.update(name(DKEYS - 1), "v", valueOf(1));
  } finally {
    await cluster.remove();
  }
}, 90_000);
