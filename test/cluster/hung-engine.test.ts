/**
 * An engine process that stands still (SIGSTOP), as one whose disk hangs: what reads ask instead while nobody excludes it, and
 * what becomes of writes that it leads when it is excluded. No time limit of the client is to end a call here.
 */
import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ArrayHandle, connect, type Container, type System } from "../../src/library.ts";
import { ClusterProcess } from "./cluster-process.ts";

const SIZES = { scmSize: "128MiB", nvmeSize: "512MiB" };
const NEVER_MS = 280_000;
/** Not the one that leads the control plane. */
const STOPPED = 2;
const ARRAYS = 24;
const ARRAY_BYTES = 300_000;

function isStopped(pid: number): boolean {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  return stat.slice(stat.lastIndexOf(")") + 2).startsWith("T");
}

function content(array: number, round: number): Buffer {
  const bytes = Buffer.alloc(ARRAY_BYTES);
  for (let at = 0; at < bytes.length; at += 1) bytes[at] = (at * 31 + (at >> 12) + array * 17 + round * 5) & 255;
  return bytes;
}

async function filled(container: Container): Promise<ArrayHandle[]> {
  const arrays = Array.from({ length: ARRAYS }, () => container.array(container.newObjectId("ARRAY_BYTE")));
  await writeAll(arrays, 0);
  await readAll(arrays, 0);
  return arrays;
}

async function writeAll(arrays: readonly ArrayHandle[], round: number): Promise<void> {
  await Promise.all(arrays.map((array, index) => array.write(0, content(index, round))));
}

async function readAll(arrays: readonly ArrayHandle[], round: number): Promise<void> {
  await Promise.all(
    arrays.map(async (array, index) => {
      const bytes = await array.read(0, ARRAY_BYTES);
      expect(Buffer.compare(bytes, content(index, round))).toBe(0);
    }),
  );
}

async function withEngines(
  oclass: string,
  config: Readonly<Record<string, unknown>>,
  run: (cluster: ClusterProcess, container: Container, system: System) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "daos-cluster-"));
  const cluster = await ClusterProcess.start({ storage: join(folder, "storage"), engines: 3, ...SIZES, config });
  const system = await connect({ system: cluster.address, timeoutMs: NEVER_MS, retryWindowMs: NEVER_MS });
  try {
    await system.createPool({ label: "tank", sizeBytes: 2 ** 30 });
    const pool = system.pool("tank");
    await pool.createContainer({ label: "box", type: "object", properties: { oclass, rd_fac: 1 } });
    await run(cluster, await pool.openContainer("box", { readOnly: false }), system);
  } finally {
    await system.close();
    await cluster.killAll();
    rmSync(folder, { recursive: true, force: true });
  }
}

for (const oclass of ["RP_3G1", "EC_2P1G1"]) {
  test(`${oclass}: reads are answered by others while an engine stands still and is not excluded`, async () => {
    await withEngines(oclass, { exclude_after: "never" }, async (cluster, container, system) => {
      const arrays = await filled(container);
      const pid = cluster.pidOf(STOPPED);
      process.kill(pid, "SIGSTOP");
      for (let round = 0; round < 3; round += 1) await readAll(arrays, 0);
      // A client that comes now was never attached there.
      const other = await connect({ system: cluster.address, timeoutMs: NEVER_MS, retryWindowMs: NEVER_MS });
      const opened = await other.pool("tank").openContainer("box", { readOnly: true });
      await readAll(
        arrays.map(({ id }) => opened.array(id)),
        0,
      );
      await other.close();
      expect(isStopped(pid)).toBe(true);
      expect((await system.pool("tank").queryTargets()).map.version).toBe(1);
      process.kill(pid, "SIGCONT");
      await writeAll(arrays, 1);
      await readAll(arrays, 1);
    });
  }, 300_000);

  test(`${oclass}: writes that an engine leads which stands still are done by others when it is excluded`, async () => {
    await withEngines(oclass, {}, async (cluster, container, system) => {
      const arrays = await filled(container);
      const pid = cluster.pidOf(STOPPED);
      process.kill(pid, "SIGSTOP");
      await writeAll(arrays, 1);
      await readAll(arrays, 1);
      expect(isStopped(pid)).toBe(true);
      expect((await system.pool("tank").queryTargets()).map.version).toBeGreaterThan(1);
      process.kill(pid, "SIGCONT");
      await writeAll(arrays, 2);
      await readAll(arrays, 2);
    });
  }, 300_000);
}
