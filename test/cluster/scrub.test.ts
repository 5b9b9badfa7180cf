/** With processes: bytes that change on the medium of one engine are found by a scrub, and are there again. */
import { expect, test } from "bun:test";
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { connect } from "../../src/library.ts";
import { SystemProcess, until } from "./system-process.ts";

const VALUES = 20;
const SETTLED_MS = 3_000;

function valueOf(index: number): Buffer {
  return Buffer.from(`value ${index} `.repeat(1_000));
}

function medium(storage: string, engine: number): string {
  return join(storage, `engine${engine}`, "target-0", "nvme");
}

/** Turns a bit of the value on the medium of an engine; false when it does not have it. */
function damage(path: string, value: Buffer): boolean {
  const at = readFileSync(path).indexOf(value.subarray(0, 100));
  if (at < 0) return false;
  const file = openSync(path, "r+");
  writeSync(file, Buffer.from([value[50]! ^ 1]), 0, 1, at + 50);
  closeSync(file);
  return true;
}

/** Of the devices of the engine with this address. */
async function checksumErrors(address: string): Promise<number> {
  const system = await connect({ system: address });
  try {
    return (await system.devices()).reduce((sum, device) => sum + device.checksumErrors, 0);
  } finally {
    await system.close();
  }
}

test("a scrub finds what has changed on a medium and writes it anew, and says so", async () => {
  const cluster = await SystemProcess.start(3, { environment: { DAOS_EXCLUDE_AFTER: "never" } });
  try {
    await cluster.system.createPool({ label: "tank", sizeBytes: 2 ** 28, properties: { scrub: "off" } });
    const pool = cluster.system.pool("tank");
    await pool.createContainer({ label: "box", type: "object", properties: { oclass: "RP_2G1" } });
    const container = await pool.openContainer("box");
    const object = container.object(container.newObjectId("MULTI_LEXICAL"));
    const indexes = Array.from({ length: VALUES }, (_, index) => index);
    await Promise.all(indexes.map((index) => object.update(`dkey ${index}`, "v", valueOf(index))));
    await Bun.sleep(SETTLED_MS);
    const holder = [0, 1, 2].find((engine) => damage(medium(cluster.storage, engine), valueOf(7)))!;
    expect(holder).toBeDefined();
    const started = await pool.scrub("start", { bytesPerSecond: 2 ** 30 });
    expect(started.targets.map(({ status }) => status?.state)).not.toContain(undefined);
    const passes = async () => (await pool.scrub("status")).targets.map(({ status }) => status!.passes);
    await until(
      async () => (await passes()).every((count) => count === 1),
      () => cluster.process.output,
    );
    const { targets } = await pool.scrub("status");
    const found = targets.map(({ status }) => [status!.last.damaged, status!.last.repaired, status!.last.lost]);
    expect(found).toEqual([0, 1, 2].map((engine) => (engine === holder ? [1, 1, 0] : [0, 0, 0])));
    const path = medium(cluster.storage, holder);
    expect(readFileSync(path).includes(valueOf(7).subarray(0, 4096))).toBe(true);
    const { engines } = await cluster.system.query();
    const errors = await Promise.all(engines!.map(({ address }) => checksumErrors(address)));
    expect(errors.toSorted()).toEqual([0, 0, 1]);
  } finally {
    await cluster.remove();
  }
}, 90_000);
