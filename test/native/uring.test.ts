/**
 * block-device `uring` over the real io_uring: on the file system of the temporary folder, on memory (/dev/shm), and on
 * loop devices with sectors of 512 and 4096 bytes where this user may make them. Also what only a kernel can refuse.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { uringAddon } from "../../native/uring/addon.ts";
import blockDeviceUring from "../../plugins/block-device/uring/index.ts";
import { nativeProblem } from "../../plugins/block-device/uring/native-file.ts";
import { UringBlockDeviceProvider } from "../../plugins/block-device/uring/provider.ts";
import { realWorld } from "../../src/world/index.ts";
import { blockDeviceConformance } from "../conformance/block-device.ts";
import { expectBytes, expectCode, inTemporaryFolder, pattern } from "../conformance/support.ts";

const ADDON_PATH = join(import.meta.dir, "..", "..", "native", "uring", "build", "Release", "uring.node");
const isBuilt = existsSync(ADDON_PATH);
const SIZE_BYTES = 8 * 1024 * 1024;
const DEFAULTS = { preallocate: false, discard: true };

const open = (path: string | undefined, folder: string, create = true, sizeBytes = SIZE_BYTES) =>
  new UringBlockDeviceProvider({ ...DEFAULTS, path }).open(realWorld(), { folder, sizeBytes, create });

/** The message of the DaosError with this code that `call` rejects with. */
async function messageOf(code: string, call: () => Promise<unknown>): Promise<string> {
  const error = await call().then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toMatchObject({ name: "DaosError", code });
  return (error as Error).message;
}

function run(...command: string[]): { ok: boolean; output: string } {
  const { success, stdout, stderr } = Bun.spawnSync(command, { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  return { ok: success, output: `${stdout.toString()}${stderr.toString()}`.trim() };
}

describe.skipIf(!isBuilt)("the addon (skipped where it is not built)", () => {
  test("is loaded, and the kernel gives rings", () => {
    expect(uringAddon()).toHaveProperty("addon");
    expect(nativeProblem()).toBeUndefined();
    expect(blockDeviceUring.probe()).toEqual({ available: true });
  });
  if (!isBuilt) return;

  blockDeviceConformance("uring, temporary folder", () => new UringBlockDeviceProvider(DEFAULTS));
  blockDeviceConformance(
    "uring, preallocated",
    () => new UringBlockDeviceProvider({ preallocate: true, discard: true }),
  );
  fileTests();
  refusalTests();
  memoryFileTests();
  for (const sectorBytes of [512, 4096]) loopDeviceTests(sectorBytes);
});

function fileTests(): void {
  test("a discard gives the space of a sparse file back", () =>
    inTemporaryFolder(async (folder) => {
      const device = await open(undefined, folder);
      await device.write(0, pattern(SIZE_BYTES, 1), { durable: true });
      const before = statSync(`${folder}/nvme`).blocks;
      await device.discard(0, SIZE_BYTES);
      expect(device.health().discardErrors).toBe(0);
      expect(statSync(`${folder}/nvme`).blocks).toBeLessThan(before / 2);
      await device.close();
    }));

  test("a truncated file: reads reject with IO instead of being short", () =>
    inTemporaryFolder(async (folder) => {
      const device = await open(undefined, folder);
      truncateSync(`${folder}/nvme`, 4096);
      await expectCode("IO", () => device.read(0, device.allocate(8192)));
      await expectCode("IO", () => device.read(65_536, new Uint8Array(8193).subarray(1)));
      expect(device.health().readErrors).toBe(2);
      await device.close();
    }));

  test("idle time between operations, and operations that begin while the thread sleeps, cost nothing but time", () =>
    inTemporaryFolder(async (folder) => {
      const device = await open(undefined, folder);
      const buffer = device.allocate(65_536);
      for (let round = 0; round < 300; round += 1) {
        buffer.set(pattern(64, round));
        const writing = device.write(0, buffer, { durable: true });
        // Falls into any moment of the ring's rhythm: submission, looks, waits, sleep.
        for (let turn = 0; turn < round % 40; turn += 1) await new Promise((resolve) => setImmediate(resolve));
        const flushing = device.flush();
        await writing;
        await flushing;
      }
      await device.close();
    }));

  test("closing leaves no descriptor, thread or lock behind", () =>
    inTemporaryFolder(async (folder) => {
      const count = (what: string) => Number(run("sh", "-c", `ls /proc/${process.pid}/${what} | wc -l`).output);
      const round = async (create: boolean) => {
        const device = await open(undefined, folder, create);
        await Promise.all(Array.from({ length: 64 }, () => device.write(0, device.allocate(4096), { durable: true })));
        await device.close();
      };
      await round(true);
      const [descriptors, threads] = [count("fd"), count("task")];
      for (let times = 0; times < 30; times += 1) await round(false);
      expect(count("fd")).toBeLessThanOrEqual(descriptors + 2);
      expect(count("task")).toBeLessThanOrEqual(threads + 4);
    }));

  test("a buffer that was given out stays readable after close", () =>
    inTemporaryFolder(async (folder) => {
      const device = await open(undefined, folder);
      const buffer = device.allocate(4096).fill(7);
      await device.close();
      Bun.gc(true);
      expect(buffer.every((byte) => byte === 7)).toBe(true);
      device.release(buffer);
    }));
}

function refusalTests(): void {
  test("no such file, a folder, something else: said in words", () =>
    inTemporaryFolder(async (folder) => {
      expect(await messageOf("NOT_FOUND", () => open(`${folder}/none`, folder, false))).toContain("no such file");
      mkdirSync(`${folder}/nested`);
      expect(await messageOf("CONFIGURATION", () => open(`${folder}/nested`, folder))).toContain("it is a folder");
      expect(await messageOf("CONFIGURATION", () => open("/dev/null", folder))).toContain("neither a file nor");
      writeFileSync(`${folder}/plain`, "x");
      await messageOf("NOT_FOUND", () => open(`${folder}/plain/below`, folder, false));
    }));

  test("a file that another target has open: BUSY, and nothing is overwritten", () =>
    inTemporaryFolder(async (folder) => {
      const device = await open(`${folder}/shared`, folder);
      await device.write(0, pattern(4096, 5), { durable: true });
      for (const create of [true, false]) {
        expect(await messageOf("BUSY", () => open(`${folder}/shared`, folder, create))).toContain("another target");
      }
      const into = device.allocate(4096);
      await device.read(0, into);
      expectBytes(into, pattern(4096, 5));
      await device.close();
      await (await open(`${folder}/shared`, folder, false)).close();
    }));

  test("a file that is let go of meanwhile, as one of a process that was killed is, is waited for", () =>
    inTemporaryFolder(async (folder) => {
      await (await open(undefined, folder)).close();
      const holder = Bun.spawn(["flock", join(folder, "nvme"), "sh", "-c", "echo held; sleep 0.3"], { stdout: "pipe" });
      await holder.stdout.getReader().read();
      await (await open(undefined, folder, false)).close();
      expect(await holder.exited).toBe(0);
    }));

  test("a file system without direct I/O: UNSUPPORTED", () =>
    // The files of /proc have none.
    inTemporaryFolder(async (folder) => {
      const message = await messageOf("UNSUPPORTED", () => open("/proc/self/comm", folder, false));
      expect(message).toContain("O_DIRECT");
    }));

  test("a file system that is read-only: READ_ONLY", async () => {
    const mount = mkdtempSync(join(tmpdir(), "daos-test-"));
    try {
      // In a name space of its own, so that nothing is left mounted whatever happens.
      const script = `mount -t tmpfs none ${mount} && truncate -s ${SIZE_BYTES} ${mount}/f && mount -o remount,ro ${mount}`;
      const probe = run("unshare", "-m", "sh", "-c", `${script} && ${process.execPath} -e '${readOnlyProgram(mount)}'`);
      if (!probe.ok && /unshare|mount:/.test(probe.output)) return;
      expect(probe.output).toContain("READ_ONLY");
    } finally {
      rmSync(mount, { recursive: true, force: true });
    }
  });
}

function readOnlyProgram(mount: string): string {
  const root = join(import.meta.dir, "..", "..");
  return (
    `const { openNativeFile } = await import("${root}/plugins/block-device/uring/native-file.ts");` +
    `try { openNativeFile("${mount}/f"); console.log("opened"); } catch (error) { console.log(error.code); }`
  );
}

/** Whether files in shared memory take direct I/O (tmpfs, kernel 6.6). */
function memoryFolder(): string | undefined {
  if (!existsSync("/dev/shm")) return undefined;
  return mkdtempSync("/dev/shm/daos-test-");
}

function memoryFileTests(): void {
  test("files in memory: requests that complete at once, ten thousand times", async () => {
    const folder = memoryFolder();
    if (folder === undefined) return;
    try {
      const device = await open(undefined, folder);
      const buffers = Array.from({ length: 32 }, () => device.allocate(4096));
      for (const [index, buffer] of buffers.entries()) {
        await device.write(index * 4096, buffer.fill(index), { durable: true });
      }
      const worker = async (index: number) => {
        for (let round = 0; round < 320; round += 1) {
          const place = (index + round) % 32;
          await device.read(place * 4096, buffers[index]!);
          expect(buffers[index]![round]).toBe(place);
        }
      };
      await Promise.all(buffers.map((_, index) => worker(index)));
      await device.close();
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
}

/** A loop device over a file; undefined where this user may make none. */
function makeLoopDevice(file: string, sectorBytes: number): string | undefined {
  writeFileSync(file, "");
  truncateSync(file, 2 * SIZE_BYTES);
  const { ok, output } = run("losetup", "--find", "--show", "--direct-io=on", `--sector-size=${sectorBytes}`, file);
  return ok ? output : undefined;
}

function loopDeviceTests(sectorBytes: number): void {
  describe(`a block device with sectors of ${sectorBytes} bytes`, () => {
    const folder = mkdtempSync(join(tmpdir(), "daos-test-"));
    let device: string | undefined;
    beforeAll(() => {
      device = makeLoopDevice(`${folder}/backing`, sectorBytes);
      if (device === undefined) console.warn("no loop devices for this user: block devices are not tested");
    });
    afterAll(() => {
      if (device !== undefined) run("losetup", "--detach", device);
      rmSync(folder, { recursive: true, force: true });
    });

    test("blocks of that size, written, read, discarded, kept over close", async () => {
      if (device === undefined) return;
      const first = await open(device, folder);
      expect(first.blockBytes).toBe(sectorBytes);
      const bytes = pattern(64 * sectorBytes, sectorBytes);
      await first.write(0, bytes, { durable: true });
      await first.write(SIZE_BYTES - bytes.length, bytes, { durable: false });
      await first.flush();
      await expectCode("INVALID_ARGUMENT", () => first.read(sectorBytes / 2, first.allocate(sectorBytes)));
      await first.discard(8 * sectorBytes, 8 * sectorBytes);
      expect(first.health()).toMatchObject({ state: "normal", discardErrors: 0 });
      await first.close();
      const second = await open(device, folder, false);
      const into = second.allocate(bytes.length);
      await second.read(0, into);
      expectBytes(into.subarray(0, 8 * sectorBytes), bytes.subarray(0, 8 * sectorBytes));
      expectBytes(into.subarray(16 * sectorBytes), bytes.subarray(16 * sectorBytes));
      await second.read(SIZE_BYTES - bytes.length, into);
      expectBytes(into, bytes);
      await second.close();
      expect(readFileSync(`${folder}/backing`).subarray(0, sectorBytes).equals(bytes.subarray(0, sectorBytes))).toBe(
        true,
      );
    });

    test("too small, in use, mounted: refused, said in words", async () => {
      if (device === undefined) return;
      const path = device;
      expect(await messageOf("NO_SPACE", () => open(path, folder, true, 4 * SIZE_BYTES))).toContain("smaller size");
      const holder = await open(path, folder);
      expect(await messageOf("BUSY", () => open(path, folder, false))).toContain("in use");
      await holder.close();
      if (!run("mkfs.ext4", "-q", "-F", path).ok) return;
      mkdirSync(`${folder}/mount`);
      if (!run("mount", path, `${folder}/mount`).ok) return;
      try {
        expect(await messageOf("BUSY", () => open(path, folder))).toContain("it is mounted");
      } finally {
        run("umount", `${folder}/mount`);
      }
    });

    test("read-only: refused", async () => {
      if (device === undefined || !run("blockdev", "--setro", device).ok) return;
      const path = device;
      try {
        await messageOf("READ_ONLY", () => open(path, folder));
      } finally {
        run("blockdev", "--setrw", path);
      }
    });
  });
}
