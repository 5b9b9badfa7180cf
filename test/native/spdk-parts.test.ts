/**
 * The parts of block-device `spdk` that need no back-end: configuration, placement, label, memory, polling, arguments.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { parse } from "yaml";
import { BuddyAllocator, PAGE_BYTES } from "../../plugins/block-device/spdk/buddy-allocator.ts";
import { hugePagesOf, spdkConfigSchema } from "../../plugins/block-device/spdk/configuration.ts";
import { decodeDeviceLabel, encodeDeviceLabel, LABEL_BYTES } from "../../plugins/block-device/spdk/device-label.ts";
import { devicePlace } from "../../plugins/block-device/spdk/device-place.ts";
import { Fifo } from "../../plugins/block-device/spdk/fifo.ts";
import { PollPolicy } from "../../plugins/block-device/spdk/poll-policy.ts";
import { LONE_PER_TURN, SPIN_BUDGET_NS, SPIN_NS, SpinPolicy } from "../../plugins/block-device/spdk/spin-policy.ts";
import {
  FIRST_PAUSE_MS,
  MAX_PAUSE_MS,
  RestartPause,
  SERVED_MS,
} from "../../plugins/block-device/spdk/restart-pause.ts";
import { daemonArguments } from "../../plugins/block-device/spdk/qemu-storage-daemon.ts";
import type { Uuid } from "../../src/base/uuid.ts";
import { realWorld } from "../../src/world/index.ts";
import { codeOf, expectCode } from "../conformance/support.ts";

const MIB = 1024 * 1024;
const NVME = { bdev_list: ["0000:81:00.0", "0000:82:00.0"] };

function issues(config: object): string[] {
  const parsed = spdkConfigSchema.safeParse(config);
  return parsed.success ? [] : parsed.error.issues.map(({ path }) => path.join("."));
}

test("configuration: what contradicts itself is refused by key", () => {
  expect(issues(NVME)).toEqual([]);
  expect(issues({})).toEqual(["bdev_list"]);
  expect(issues({ bdev_list: ["81:00.0"] })).toEqual(["bdev_list"]);
  expect(issues({ bdev_list: ["0000:81:00.0", "0000:81:00.0"] })).toEqual(["bdev_list"]);
  expect(issues({ class: "kdev", bdev_list: ["sda"], back_end: "qemu-storage-daemon" })).toEqual(["bdev_list"]);
  expect(issues({ class: "file" })).toEqual(["back_end"]);
  expect(issues({ class: "file", back_end: "qemu-storage-daemon", bdev_list: ["/x"] })).toEqual(["bdev_list"]);
  expect(issues({ back_end: "socket" })).toEqual(["socket"]);
  expect(issues({ ...NVME, socket: "/x" })).toEqual(["socket"]);
  expect(issues({ ...NVME, queue_depth: 100 })).toEqual(["queue_depth"]);
  expect(issues({ ...NVME, bdev_roles: ["wal"] })).toEqual(["bdev_roles.0"]);
  expect(issues({ ...NVME, no_such_key: 1 })).toEqual([""]);
});

test("config/spdk.yml is accepted, and shows the defaults", async () => {
  const text = await Bun.file(`${import.meta.dir}/../../config/spdk.yml`).text();
  const { nvme } = parse(text) as { nvme: { plugin: string; config: Record<string, unknown> } };
  expect(nvme.plugin).toBe("spdk");
  const shown = spdkConfigSchema.parse(nvme.config);
  const chosen = ["bdev_list", "nr_hugepages", "hugepages"];
  const defaults = spdkConfigSchema.parse({ bdev_list: shown.bdev_list });
  for (const key of Object.keys(nvme.config).filter((name) => !chosen.includes(name))) {
    expect({ key, value: shown[key as keyof typeof shown] }).toEqual({
      key,
      value: defaults[key as keyof typeof defaults],
    });
  }
  const everyKey = Object.keys(defaults).filter((key) => !new RegExp(`^ {4}(# )?${key}:`, "m").test(text));
  expect(everyKey).toEqual([]);
});

test("configuration: huge pages are required where SPDK drives NVMe, unless told otherwise", () => {
  const choice = (config: object) => hugePagesOf(spdkConfigSchema.parse(config));
  expect(choice(NVME)).toBe("require");
  expect(choice({ ...NVME, hugepages: "off" })).toBe("off");
  expect(choice({ ...NVME, back_end: "qemu-storage-daemon" })).toBe("prefer");
});

test("placement: targets take the devices in turn, then ranges behind one another that do not overlap", () => {
  const config = spdkConfigSchema.parse(NVME);
  const sizeBytes = 10 * MIB + 4096;
  const places = [0, 1, 2, 3, 4].map((target) => devicePlace(config, `/storage/target-${target}`, sizeBytes));
  expect(places.map(({ device }) => device)).toEqual([0, 1, 0, 1, 0].map((index) => NVME.bdev_list[index]));
  expect(places.map(({ startByte }) => startByte)).toEqual([0, 0, 12 * MIB, 12 * MIB, 24 * MIB]);
});

test("placement: qemu-storage-daemon serves an NVMe device to one target only: CONFIGURATION", () => {
  const config = spdkConfigSchema.parse({ ...NVME, back_end: "qemu-storage-daemon" });
  devicePlace(config, "/storage/target-1", MIB);
  expect(() => devicePlace(config, "/storage/target-2", MIB)).toThrow("Cannot use");
});

const LABEL = {
  id: "00112233-4455-4677-8899-aabbccddeeff" as Uuid,
  startByte: 0x12_3450_0000,
  sizeBytes: 0x9_8765_4000,
  blockBytes: 4096,
};
const GOLDEN =
  "44414f5356485531010000007228f16a00112233445546778899aabbccddeeff" + "00005034120000000040658709000000" + "00100000";

test("label: golden bytes of version 1", () => {
  const bytes = encodeDeviceLabel(LABEL);
  expect(Buffer.from(bytes.subarray(0, 52)).toString("hex")).toBe(GOLDEN);
  expect(decodeDeviceLabel(bytes, "x")).toEqual(LABEL);
  const golden = new Uint8Array(LABEL_BYTES);
  golden.set(Buffer.from(GOLDEN, "hex"));
  expect(decodeDeviceLabel(golden, "x")).toEqual(LABEL);
});

test("label: whichever bit flipped, it is none, of another version, or damaged", async () => {
  for (let bit = 0; bit < LABEL_BYTES * 8; bit += bit < 1000 ? 1 : 97) {
    const bytes = Uint8Array.from(encodeDeviceLabel(LABEL));
    bytes[bit >>> 3]! ^= 1 << (bit & 7);
    const wanted = bit < 64 ? "no error" : bit < 96 ? "VERSION" : "CORRUPT";
    expect({ bit, code: await codeOf(() => decodeDeviceLabel(bytes, "x")) }).toEqual({ bit, code: wanted });
    if (bit < 64) expect(decodeDeviceLabel(bytes, "x")).toBeUndefined();
  }
  await expectCode("CORRUPT", () => decodeDeviceLabel(wrongButChecksummed(), "x"));
});

/** A label of no size whose checksum is right. */
function wrongButChecksummed(): Uint8Array {
  return encodeDeviceLabel({ ...LABEL, sizeBytes: 0 });
}

test("memory: blocks never overlap, are whole pages, and all comes free again", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 300 }),
      fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 40 * PAGE_BYTES })), { maxLength: 200 }),
      (pages, steps) => {
        const allocator = new BuddyAllocator(PAGE_BYTES, pages * PAGE_BYTES);
        const whole = allocator.freeBytes;
        expect(whole).toBe(pages * PAGE_BYTES);
        const held: { start: number; end: number }[] = [];
        for (const [takes, size] of steps) {
          const start = takes ? allocator.allocate(size) : -1;
          if (!takes && held.length > 0) allocator.release(held.splice(size % held.length, 1)[0]!.start);
          if (start < 0) continue;
          const block = { start, end: start + size };
          expect(start % PAGE_BYTES).toBe(0);
          expect(start >= PAGE_BYTES && block.end <= (pages + 1) * PAGE_BYTES).toBe(true);
          expect(held.some((other) => start < other.end && other.start < block.end)).toBe(false);
          held.push(block);
        }
        for (const { start } of held) allocator.release(start);
        expect(allocator.freeBytes).toBe(whole);
        // Joined again: the largest block fits.
        expect(allocator.allocate(2 ** Math.floor(Math.log2(pages)) * PAGE_BYTES)).toBe(PAGE_BYTES);
      },
    ),
  );
});

test("memory: releasing twice, or what was never given, is a bug", () => {
  const allocator = new BuddyAllocator(0, 16 * PAGE_BYTES);
  const start = allocator.allocate(3 * PAGE_BYTES);
  expect(() => allocator.release(start + PAGE_BYTES)).toThrow("released once");
  allocator.release(start);
  expect(() => allocator.release(start)).toThrow("released once");
  expect(() => allocator.release(17 * PAGE_BYTES)).toThrow("released once");
});

test("Fifo: first in, first out, through many cuts", () => {
  const fifo = new Fifo<{ readonly value: number }>();
  let next = 0;
  let expected = 0;
  for (let round = 0; round < 5_000; round += 1) {
    for (let count = 0; count < 3; count += 1) fifo.push({ value: next++ });
    for (let count = 0; count < 2; count += 1) {
      expect(fifo.peek()).toEqual({ value: expected });
      expect(fifo.shift()).toEqual({ value: expected++ });
    }
  }
  expect(fifo.length).toBe(next - expected);
  expect(fifo.takeAll().map(({ value }) => value)).toEqual(
    Array.from({ length: next - expected }, (_, at) => expected + at),
  );
  expect(fifo.shift()).toBeUndefined();
});

test("PollPolicy polls for quick devices, with patience, and not for slow ones, and notices a change", () => {
  const policy = new PollPolicy(100);
  let nowNs = 0;
  const wait = (us: number): void => {
    policy.started(nowNs);
    nowNs += us * 1000;
    policy.completed(nowNs);
  };
  for (let count = 0; count < 20; count += 1) wait(20);
  expect(policy.polls(nowNs + 100_000)).toBe(true);
  expect(policy.polls(nowNs + 201_000)).toBe(false);
  for (let count = 0; count < 20; count += 1) wait(400);
  expect(policy.polls(nowNs)).toBe(false);
  for (let count = 0; count < 20; count += 1) wait(20);
  expect(policy.polls(nowNs)).toBe(true);
  expect(new PollPolicy(0).polls(0)).toBe(false);
});

test("SpinPolicy waits for requests that come alone, within its budget, and not again soon when it was in vain", () => {
  const policy = new SpinPolicy(true);
  const turn = (): number[] => {
    policy.turned();
    return Array.from({ length: LONE_PER_TURN + 1 }, () => policy.lone());
  };
  const waits = Array.from({ length: LONE_PER_TURN - 4 }, () => SPIN_NS);
  expect(turn()).toEqual([0, 0, 0, 0, ...waits, -1]);
  policy.company();
  expect(turn()).toEqual([0, 0, 0, 0, ...waits, -1]);
  policy.turned();
  policy.waited(SPIN_BUDGET_NS - 1, false);
  expect(policy.lone()).toBe(SPIN_NS);
  policy.waited(1, false);
  expect(policy.lone()).toBe(-1);
  policy.turned();
  expect(policy.lone()).toBe(SPIN_NS);
  // In vain: each time twice as many requests go without, until one was not in vain.
  const pause = (): number => {
    let count = 0;
    for (policy.turned(); policy.lone() !== SPIN_NS; policy.turned()) count += 1;
    return count;
  };
  const pauses = [1, 2, 3].map(() => {
    policy.waited(SPIN_NS, true);
    return pause();
  });
  expect(pauses).toEqual([6, 8, 12]);
  policy.waited(SPIN_NS, false);
  policy.waited(SPIN_NS, true);
  expect(pause()).toBe(6);
  const never = new SpinPolicy(false);
  for (let count = 0; count < 20; count += 1) {
    never.turned();
    expect(never.lone()).toBe(0);
  }
});

test("the daemon's arguments are JSON: no character of a path has a meaning", () => {
  const { timers, clock } = realWorld();
  const path = '/a, "b"=c';
  const args = daemonArguments({
    timers,
    clock,
    program: "p",
    deviceName: "d",
    blockdev: { driver: "file", filename: path },
    socketPath: path,
    queues: 2,
    blockBytes: 512,
    writable: true,
    pollMaxNs: 5,
  });
  const [object, node, exported] = [1, 3, 5].map((at) => JSON.parse(args[at]!) as Record<string, unknown>);
  expect(object).toMatchObject({ "poll-max-ns": 5 });
  expect(node).toMatchObject({ filename: path, "node-name": "device" });
  expect(exported).toMatchObject({ addr: { path }, "num-queues": 2, "logical-block-size": 512 });
});

test("RestartPause doubles while the process ends soon, and is short again once it has served", () => {
  const pause = new RestartPause();
  expect([0, 0, 0].map((ranMs) => pause.after(ranMs))).toEqual([50, 100, 200]);
  expect(pause.after(SERVED_MS)).toBe(FIRST_PAUSE_MS);
  for (let deaths = 0; deaths < 20; deaths += 1) pause.after(SERVED_MS - 1);
  expect(pause.after(0)).toBe(MAX_PAUSE_MS);
  expect(pause.after(SERVED_MS)).toBe(FIRST_PAUSE_MS);
  expect(pause.after(0)).toBe(2 * FIRST_PAUSE_MS);
});

test("RestartPause stays short for a process that dies again and again after it has served, now and then sooner", () => {
  const pause = new RestartPause();
  for (let deaths = 0; deaths < 100; deaths += 1) {
    const ranMs = deaths % 4 === 3 ? 900 : 2_000;
    expect(pause.after(ranMs)).toBeLessThanOrEqual(2 * FIRST_PAUSE_MS);
  }
});
