/**
 * Threads that work with block-device `uring` are ended at any moment, with I/O in flight: no crash, no file left locked,
 * nothing torn but what was in flight, no memory, descriptor or thread kept.
 */
import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { UringBlockDeviceProvider } from "../../plugins/block-device/uring/provider.ts";
import { realWorld } from "../../src/world/index.ts";
import { inTemporaryFolder } from "../conformance/support.ts";
import { SimulatedRandom } from "../simulation/random.ts";

const THREAD = join(import.meta.dir, "uring-thread.ts");
const ADDON_PATH = join(import.meta.dir, "..", "..", "native", "uring", "build", "Release", "uring.node");
const SIZE_BYTES = 16 * 1024 * 1024;
const TRANSFER_BYTES = 65_536;
const ROUNDS = 25;
const WARM_UP_ROUNDS = 8;
/** What the runtime itself may keep of ended threads, found with threads that do nothing. */
const MOST_GROWTH_BYTES = 48 * 1024 * 1024;

/** Starts a thread and resolves when it has its device open and I/O in flight. */
function startThread(folder: string, depth: number): Promise<Worker> {
  const create = !existsSync(`${folder}/nvme`);
  return new Promise((resolve, reject) => {
    const thread = new Worker(THREAD);
    thread.onmessage = () => resolve(thread);
    thread.onerror = (event) => reject(new Error(event.message));
    thread.postMessage({ folder, create, depth });
  });
}

function ended(thread: Worker): Promise<void> {
  return new Promise((resolve) => {
    thread.addEventListener("close", () => resolve());
    thread.terminate();
  });
}

const countOf = (what: string) => readdirSync(`/proc/self/${what}`).length;

test.skipIf(!existsSync(ADDON_PATH))(
  "threads are ended with I/O in flight (skipped where the addon is not built)",
  () =>
    inTemporaryFolder(async (root) => {
      const folders = ["0", "1"].map((name) => join(root, name));
      for (const folder of folders) mkdirSync(folder);
      const random = new SimulatedRandom(1);
      const round = async () => {
        const depth = [1, 4, 64, 400][random.below(4)]!;
        const threads = await Promise.all(folders.map((folder) => startThread(folder, depth)));
        // Any number of turns: threads are met idle, submitting, reaping, asleep.
        for (let turns = random.below(2000); turns > 0; turns -= 1) {
          await new Promise((resolve) => setImmediate(resolve));
        }
        await Promise.all(threads.map(ended));
      };
      for (let count = 0; count < WARM_UP_ROUNDS; count += 1) await round();
      Bun.gc(true);
      const before = { rss: process.memoryUsage().rss, descriptors: countOf("fd"), threads: countOf("task") };
      for (let count = 0; count < ROUNDS; count += 1) await round();
      Bun.gc(true);
      expect(process.memoryUsage().rss - before.rss).toBeLessThan(MOST_GROWTH_BYTES);
      expect(countOf("fd")).toBeLessThanOrEqual(before.descriptors + 4);
      expect(countOf("task")).toBeLessThanOrEqual(before.threads + 4);
      for (const folder of folders) await checkContent(folder);
    }),
  60_000,
);

/** Every sector holds what a thread once wrote to its place, or zeros. */
async function checkContent(folder: string): Promise<void> {
  const provider = new UringBlockDeviceProvider({ preallocate: true, discard: false });
  const device = await provider.open(realWorld(), { folder, sizeBytes: SIZE_BYTES, create: false });
  const bytes = device.allocate(SIZE_BYTES);
  await device.read(0, bytes);
  let wrong = 0;
  let written = 0;
  for (let at = 0; at < SIZE_BYTES; at += 512) {
    const expected = (Math.floor(at / TRANSFER_BYTES) + 1) % 256;
    const value = bytes[at]!;
    const isWhole = bytes.subarray(at, at + 512).every((byte) => byte === value);
    if (!isWhole || (value !== 0 && value !== expected)) wrong += 1;
    if (value !== 0) written += 1;
  }
  expect({ folder, wrong }).toEqual({ folder, wrong: 0 });
  expect(written).toBeGreaterThan(0);
  await device.close();
}
