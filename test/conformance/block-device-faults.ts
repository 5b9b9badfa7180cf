/**
 * Of the block-device suite: a device that fails on demand. For plugins whose test can disturb what lies below them,
 * whatever that is: `FaultyDevice` says how. Entry point of the suite: block-device.ts.
 */
import { expect, test } from "bun:test";
import type { BlockDevice } from "../../src/contracts/block-device.ts";
import { readBack } from "./block-device-rig.ts";
import { codeOf, expectBytes, expectCode, pattern } from "./support.ts";

/**
 * The next requests of an operation fail: by an I/O error; for lack of space; because the device was removed; or they
 * transfer only their first block (`short`: no error, the rest must follow).
 */
export interface DeviceFault {
  readonly operation: "read" | "write" | "flush" | "discard";
  readonly kind: "error" | "full" | "removed" | "short";
  /** Requests that fail; default one. */
  readonly times?: number;
}

export interface FaultyDevice {
  /** The kinds that it can bring about. */
  readonly kinds: readonly DeviceFault["kind"][];
  /** A new device, of at least 1 MiB. */
  open(): Promise<BlockDevice>;
  inject(fault: DeviceFault): void;
}

type MakeFaulty = () => FaultyDevice;

export function scriptedFaultTests(makeFaulty: MakeFaulty): void {
  const { kinds } = makeFaulty();
  if (kinds.includes("short")) shortTests(makeFaulty);
  if (kinds.includes("error")) errorTests(makeFaulty);
  if (kinds.includes("full")) fullTests(makeFaulty);
  if (kinds.includes("removed")) removedTests(makeFaulty);
}

function shortTests(makeFaulty: MakeFaulty): void {
  test("short reads and writes are continued until all is transferred", async () => {
    const faulty = makeFaulty();
    const device = await faulty.open();
    const bytes = pattern(8 * device.blockBytes, 40);
    for (const memory of [device.allocate(bytes.length), new Uint8Array(bytes.length + 1).subarray(1)]) {
      memory.set(bytes);
      faulty.inject({ operation: "write", kind: "short", times: 3 });
      await device.write(0, memory, { durable: true });
      memory.fill(0);
      faulty.inject({ operation: "read", kind: "short", times: 3 });
      await device.read(0, memory);
      expectBytes(memory, bytes);
    }
    expect(device.health().state).toBe("normal");
    await device.close();
  });
}

function errorTests(makeFaulty: MakeFaulty): void {
  test("one failed read among many rejects alone, and is counted", async () => {
    const faulty = makeFaulty();
    const device = await faulty.open();
    const bytes = pattern(64 * device.blockBytes, 41);
    await device.write(0, bytes, { durable: true });
    faulty.inject({ operation: "read", kind: "error" });
    const reads = await Promise.allSettled(
      Array.from({ length: 64 }, (_, index) => readBack(device, index * device.blockBytes, device.blockBytes)),
    );
    expect(reads.filter(({ status }) => status === "rejected")).toHaveLength(1);
    for (const [index, read] of reads.entries()) {
      const start = index * device.blockBytes;
      if (read.status === "fulfilled") expectBytes(read.value, bytes.subarray(start, start + device.blockBytes));
      else expect(read.reason).toMatchObject({ code: "IO" });
    }
    expect(device.health()).toMatchObject({ state: "normal", readErrors: 1, writeErrors: 0 });
    await device.close();
  });

  test("a failed write makes the device faulty, and it goes on", async () => {
    const faulty = makeFaulty();
    const device = await faulty.open();
    for (const durable of [true, false]) {
      faulty.inject({ operation: "write", kind: "error" });
      await expectCode("IO", () => device.write(0, pattern(device.blockBytes, 42), { durable }));
      // What was injected for the other kind of write.
      await codeOf(() => device.write(0, pattern(device.blockBytes, 42), { durable: !durable }));
      await device.write(0, pattern(device.blockBytes, 43), { durable });
      expectBytes(await readBack(device, 0, device.blockBytes), pattern(device.blockBytes, 43));
    }
    expect(device.health().state).toBe("faulty");
    expect(device.health().writeErrors).toBeGreaterThanOrEqual(2);
    await device.close();
  });

  test("after a failed flush every flush fails, also those that were in flight with it later", async () => {
    const faulty = makeFaulty();
    const device = await faulty.open();
    await device.write(0, pattern(device.blockBytes, 44), { durable: false });
    faulty.inject({ operation: "flush", kind: "error" });
    await expectCode("IO", () => device.flush());
    for (let round = 0; round < 3; round += 1) await expectCode("IO", () => device.flush());
    expect(device.health()).toMatchObject({ state: "faulty", flushErrors: 4 });
    await device.close();
  });

  test("many failed reads make the device faulty", async () => {
    const faulty = makeFaulty();
    const device = await faulty.open();
    faulty.inject({ operation: "read", kind: "error", times: 100 });
    for (let round = 0; round < 100; round += 1) await expectCode("IO", () => readBack(device, 0, device.blockBytes));
    expect(device.health()).toMatchObject({ state: "faulty", readErrors: 100 });
    await device.close();
  });
}

function fullTests(makeFaulty: MakeFaulty): void {
  test("no space: the write rejects with NO_SPACE, and the device is as good as before", async () => {
    const faulty = makeFaulty();
    const device = await faulty.open();
    faulty.inject({ operation: "write", kind: "full" });
    await expectCode("NO_SPACE", () => device.write(0, pattern(device.blockBytes, 45), { durable: true }));
    expect(device.health()).toMatchObject({ state: "normal", writeErrors: 0 });
    await device.write(0, pattern(device.blockBytes, 46), { durable: true });
    expectBytes(await readBack(device, 0, device.blockBytes), pattern(device.blockBytes, 46));
    await device.close();
  });
}

function removedTests(makeFaulty: MakeFaulty): void {
  test("a device that is gone: everything rejects with IO, health says so, and it can be closed", async () => {
    const faulty = makeFaulty();
    const device = await faulty.open();
    for (const operation of ["read", "write", "flush"] as const) {
      faulty.inject({ operation, kind: "removed", times: 1000 });
    }
    const block = device.blockBytes;
    const all = await Promise.allSettled([
      ...Array.from({ length: 50 }, (_, index) => device.read(index * block, device.allocate(block))),
      ...Array.from({ length: 50 }, (_, index) =>
        device.write((50 + index) * block, device.allocate(block), { durable: index % 2 === 0 }),
      ),
      device.flush(),
    ]);
    for (const one of all) expect(one).toMatchObject({ status: "rejected", reason: { code: "IO" } });
    expect(device.health().state).toBe("unplugged");
    await device.close();
  });
}
