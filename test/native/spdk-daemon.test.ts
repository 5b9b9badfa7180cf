/**
 * block-device `spdk` on real qemu-storage-daemons: killed in the middle of I/O, started again, left behind by a killed
 * process; and the worker that uses it terminated at any moment.
 */
import { expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, readFileSync, rmSync } from "node:fs";
import { spdkConfigSchema } from "../../plugins/block-device/spdk/configuration.ts";
import blockDeviceSpdk from "../../plugins/block-device/spdk/index.ts";
import { QemuStorageDaemon } from "../../plugins/block-device/spdk/qemu-storage-daemon.ts";
import type { BlockDevice } from "../../src/contracts/block-device.ts";
import type { World } from "../../src/contracts/world.ts";
import { realWorld } from "../../src/world/index.ts";
import { expectBytes, inTemporaryFolder, pattern } from "../conformance/support.ts";
import { SimulatedRandom } from "../simulation/random.ts";
import { builtAddon } from "../fixtures/vhost-user-rig.ts";

const built = builtAddon() !== undefined && Bun.which("qemu-storage-daemon") !== null;
if (!built) console.warn("skipped: block-device spdk needs its addon and qemu-storage-daemon (qemu-system-common)");
const run = test.skipIf(!built);
const BLOCK = 4096;
const SIZE_BYTES = 8 * 1024 * 1024;
/** How often a daemon gets each signal. On SIGTERM it hangs up and, with requests in flight, often never ends. */
const BLOWS = { SIGKILL: 6, SIGTERM: 2 };

function open(folder: string, create: boolean): Promise<BlockDevice> {
  const config = { class: "file", back_end: "qemu-storage-daemon", hugepages: "off", nr_hugepages: 8 };
  const provider = blockDeviceSpdk.create(spdkConfigSchema.parse(config));
  return provider.open(realWorld(), { folder, sizeBytes: SIZE_BYTES, create });
}

const daemonPid = (folder: string): number => Number(readFileSync(`${folder}/nvme.sock.pid`, "utf8"));

function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}

async function survives(signal: keyof typeof BLOWS): Promise<void> {
  await inTemporaryFolder(async (folder) => {
    const device = await open(folder, true);
    const workers = 16;
    const blocks = SIZE_BYTES / BLOCK / workers;
    let running = true;
    let operations = 0;
    const work = async (worker: number): Promise<void> => {
      const random = new SimulatedRandom(worker);
      const model = new Map<number, number>();
      const buffer = device.allocate(BLOCK);
      while (running) {
        const block = random.below(blocks);
        const offset = (worker * blocks + block) * BLOCK;
        if (random.next() < 0.5) {
          const content = random.below(1e9);
          buffer.set(pattern(BLOCK, content));
          await device.write(offset, buffer, { durable: random.next() < 0.5 });
          model.set(block, content);
        } else {
          await device.read(offset, buffer);
          const content = model.get(block);
          if (content !== undefined) expectBytes(buffer, pattern(BLOCK, content), `worker ${worker}, block ${block}`);
        }
        operations += 1;
      }
      for (const [block, content] of model) {
        await device.read((worker * blocks + block) * BLOCK, buffer);
        expectBytes(buffer, pattern(BLOCK, content), `worker ${worker}, block ${block}, at the end`);
      }
      device.release(buffer);
    };
    const all = Promise.all(Array.from({ length: workers }, (_, worker) => work(worker)));
    for (let kill = 0; kill < BLOWS[signal]; kill += 1) {
      const before = operations;
      await until(() => operations > before + 200);
      const pid = daemonPid(folder);
      process.kill(pid, signal);
      await until(() => daemonPid(folder) !== pid);
    }
    const before = operations;
    await until(() => operations > before + 200);
    running = false;
    await all;
    expect(device.health()).toEqual({
      state: "normal",
      readErrors: 0,
      writeErrors: 0,
      flushErrors: 0,
      discardErrors: 0,
      backSinceNs: expect.any(Number),
    });
    const pid = daemonPid(folder);
    await device.close();
    expect(isAlive(pid)).toBe(false);
    expect(existsSync(`${folder}/nvme.sock`)).toBe(false);
  });
}

for (const signal of ["SIGKILL", "SIGTERM"] as const) {
  run(`the daemon gets ${signal} in the middle of verified I/O, again and again: nothing fails, nothing is lost`, () =>
    survives(signal),
  );
}

run("the daemon is out of reach of a terminal's Ctrl-C: it has a session of its own", () =>
  inTemporaryFolder(async (folder) => {
    const device = await open(folder, true);
    const pid = daemonPid(folder);
    const [, , group, session] = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
    await device.close();
    expect([Number(group), Number(session)]).toEqual([pid, pid]);
  }),
);

for (const recorded of [true, false]) {
  const pidFile = recorded ? "" : ", even before its pid was written down";
  run(`a daemon left behind by a killed process${pidFile} is ended, and its data are there`, () =>
    inTemporaryFolder(async (folder) => {
      const child = spawn(process.execPath, [`${import.meta.dir}/../fixtures/spdk-writer-process.ts`, folder], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      await once(child.stdout!, "data");
      child.kill("SIGKILL");
      await once(child, "exit");
      const orphan = daemonPid(folder);
      expect(isAlive(orphan)).toBe(true);
      if (!recorded) rmSync(`${folder}/nvme.sock.pid`);
      const device = await open(folder, false).finally(() => isAlive(orphan) && process.kill(orphan));
      expect(isAlive(orphan)).toBe(false);
      const buffer = device.allocate(64 * BLOCK);
      await device.read(0, buffer);
      expectBytes(buffer, pattern(64 * BLOCK, 1));
      await device.close();
    }),
  );
}

run("a process that only names the socket is no daemon left behind", () =>
  inTemporaryFolder(async (folder) => {
    const bystander = spawn("sh", ["-c", "read line", `${folder}/nvme.sock`], { stdio: ["pipe", "ignore", "ignore"] });
    expect(bystander.pid).toBeDefined();
    await (await open(folder, true)).close();
    expect(bystander.exitCode ?? bystander.signalCode).toBeNull();
    bystander.kill();
  }),
);

run("a worker is terminated at any moment of its I/O, ten times: no crash, and the next one serves", () =>
  inTemporaryFolder(async (folder) => {
    await (await open(folder, true)).close();
    for (let round = 0; round < 10; round += 1) {
      const worker = new Worker(new URL("../fixtures/spdk-worker-thread.ts", import.meta.url));
      const ready = Promise.withResolvers<void>();
      worker.onmessage = () => ready.resolve();
      worker.onerror = (event) => ready.reject(new Error(event.message));
      worker.postMessage({ folder, sizeBytes: SIZE_BYTES });
      await ready.promise;
      worker.terminate();
    }
    const device = await open(folder, false);
    await device.read(0, new Uint8Array(BLOCK));
    await device.close();
  }),
);

/** A world in which time passes so many times faster. */
function fasterWorld(factor: number): Pick<World, "timers" | "clock"> {
  const { timers, clock } = realWorld();
  return {
    timers: {
      after: (delayMs, callback) => timers.after(delayMs / factor, callback),
      soon: (callback) => timers.soon(callback),
    },
    clock: { wallMs: () => clock.wallMs() * factor, monotonicNs: () => clock.monotonicNs() * factor },
  };
}

/** A daemon that hangs in its first `hangs` starts, on a null device. */
async function hangingDaemon(folder: string, hangs: number): Promise<QemuStorageDaemon> {
  const program = `${folder}/program`;
  const script = `#!/bin/sh
echo x >> "${folder}/starts"
[ "$(wc -l < "${folder}/starts")" -gt ${hangs} ] && exec qemu-storage-daemon "$@"
exec sleep 1000
`;
  await Bun.write(program, script);
  chmodSync(program, 0o755);
  return new QemuStorageDaemon({
    ...fasterWorld(20),
    program,
    deviceName: "device",
    blockdev: { driver: "null-co" },
    socketPath: `${folder}/socket`,
    queues: 1,
    blockBytes: 512,
    writable: true,
    pollMaxNs: 0,
  });
}

run("a daemon that hangs in its start is killed and started again; one that always does: UNAVAILABLE", () =>
  inTemporaryFolder(async (folder) => {
    const starts = (): number => readFileSync(`${folder}/starts`, "utf8").trim().split("\n").length;
    const daemon = await hangingDaemon(folder, 1);
    await daemon.start();
    expect(starts()).toBe(2);
    await daemon.stop();
    const never = await hangingDaemon(folder, 1000);
    await expect(never.start()).rejects.toMatchObject({ code: "UNAVAILABLE" });
    expect(starts()).toBe(5);
    expect(never.pid).toBeUndefined();
  }),
);
