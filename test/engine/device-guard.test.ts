import { describe, expect, test } from "bun:test";
import { hasCode } from "../../src/base/errors.ts";
import { MIB } from "../../src/base/limits.ts";
import { DEFAULT_FAULT_SETTINGS, SLOW_OPERATIONS_IN_A_ROW } from "../../src/engine/device-faults.ts";
import { DeviceGuard } from "../../src/engine/device-guard.ts";
import { simulatedWorld, type SimulatedWorld } from "../simulation/world.ts";
import { codeOf } from "./engine-rig.ts";
import { ScriptedDevice } from "./scripted-device.ts";

const SETTINGS = { ...DEFAULT_FAULT_SETTINGS, max_io_errs: 3, max_csum_errs: 2, timeout_ms: 1000, max_latency_ms: 100 };
const BLOCK = 4096;

interface Rig {
  readonly world: SimulatedWorld;
  readonly device: ScriptedDevice;
  readonly guard: DeviceGuard;
  readonly faults: string[];
}

function rig(settings = SETTINGS): Rig {
  const world = simulatedWorld(1);
  const device = new ScriptedDevice(2 * MIB);
  const faults: string[] = [];
  const guard = new DeviceGuard({
    device,
    name: "nvme0",
    dataOffset: MIB,
    dataBytes: 512 * 1024,
    settings,
    clock: world.clock,
    timers: world.timers,
    faulted: (reason) => faults.push(reason),
  });
  return { world, device, guard, faults };
}

describe("DeviceGuard", () => {
  test("its bytes are those behind the label, and no others", async () => {
    const { device, guard } = rig();
    const block = guard.allocate(BLOCK).fill(7);
    await guard.write(0, block, { durable: true });
    await guard.write(guard.sizeBytes - BLOCK, block, { durable: true });
    expect([device.content[MIB - 1], device.content[MIB], device.content[MIB + guard.sizeBytes - 1]]).toEqual([
      0, 7, 7,
    ]);
    const copy = guard.allocate(BLOCK);
    await guard.read(0, copy);
    expect(copy).toEqual(block);
    for (const offset of [-BLOCK, guard.sizeBytes, guard.sizeBytes - BLOCK + 512]) {
      expect(await codeOf(guard.write(offset, block, { durable: true }))).toBe("INVALID_ARGUMENT");
      expect(await codeOf(guard.read(offset, copy))).toBe("INVALID_ARGUMENT");
      expect(await codeOf(guard.discard(offset, BLOCK))).toBe("INVALID_ARGUMENT");
    }
  });

  test("errors up to the threshold are passed on; then writes are refused and reads still tried", async () => {
    const { device, guard, faults } = rig();
    const block = guard.allocate(BLOCK);
    device.failing = ["write"];
    for (let turn = 0; turn < SETTINGS.max_io_errs; turn += 1) {
      expect(faults).toEqual([]);
      expect(await codeOf(guard.write(0, block, { durable: true }))).toBe("IO");
    }
    expect(faults).toEqual(["3 operations failed"]);
    device.failing = [];
    const refused = await guard.write(0, block, { durable: true }).catch((error: unknown) => error);
    expect(hasCode(refused, "IO") && refused.message).toContain("it is faulty (3 operations failed)");
    await guard.read(0, block);
    expect([device.writes, guard.report().state, guard.report().writeErrors]).toEqual([0, "faulty", 3]);
    guard.markNormal();
    await guard.write(0, block, { durable: true });
    expect([guard.report().state, faults.length]).toEqual(["normal", 1]);
  });

  test("failed checksums count; a disabled policy marks nothing but a hang", async () => {
    const { guard, faults } = rig();
    for (let turn = 0; turn < 10; turn += 1) guard.reportDamage(BLOCK);
    expect([guard.report().state, guard.report().checksumErrors]).toEqual(["normal", 1]);
    guard.reportDamage(2 * BLOCK);
    expect(faults).toEqual(["2 places failed their checksum"]);
    const lenient = rig({ ...SETTINGS, enable: false });
    for (let turn = 0; turn < 10; turn += 1) lenient.guard.reportDamage(turn);
    expect([lenient.guard.report().state, lenient.faults.length]).toEqual(["normal", 0]);
  });

  test("slow operations in a row make a device faulty, single ones do not", async () => {
    const { world, device, guard, faults } = rig();
    const slow = async (): Promise<void> => {
      device.hangs = true;
      const done = guard.read(0, guard.allocate(BLOCK));
      await world.timers.advance(SETTINGS.max_latency_ms + 1);
      device.wake();
      await done;
    };
    for (let turn = 1; turn < SLOW_OPERATIONS_IN_A_ROW; turn += 1) await slow();
    await guard.read(0, guard.allocate(BLOCK));
    for (let turn = 1; turn < SLOW_OPERATIONS_IN_A_ROW; turn += 1) await slow();
    expect(faults).toEqual([]);
    await slow();
    expect(faults).toEqual([`${SLOW_OPERATIONS_IN_A_ROW} operations in a row took over 100 ms`]);
  });

  test("what waits for a device that is away is neither slow nor hung; what is slow after its return is", async () => {
    const { world, device, guard, faults } = rig();
    const outage = async (slowMs: number): Promise<void> => {
      device.hangs = true;
      const reads = Array.from({ length: SLOW_OPERATIONS_IN_A_ROW }, () => guard.read(0, guard.allocate(BLOCK)));
      device.backSinceNs = Infinity;
      await world.timers.advance(5 * SETTINGS.timeout_ms);
      device.backSinceNs = world.clock.monotonicNs();
      await world.timers.advance(slowMs);
      device.wake();
      await Promise.all(reads);
    };
    await outage(SETTINGS.max_latency_ms);
    expect([faults, guard.report().slowOperations]).toEqual([[], 0]);
    await outage(SETTINGS.max_latency_ms + 1);
    expect(faults).toEqual([`${SLOW_OPERATIONS_IN_A_ROW} operations in a row took over 100 ms`]);
  });

  test("an operation that does not end in time after the device's return hangs", async () => {
    const { world, device, guard, faults } = rig();
    device.hangs = true;
    const reading = codeOf(guard.read(0, guard.allocate(BLOCK)));
    device.backSinceNs = Infinity;
    await world.timers.advance(5 * SETTINGS.timeout_ms);
    device.backSinceNs = world.clock.monotonicNs();
    await world.timers.advance(SETTINGS.timeout_ms - 1);
    expect(faults).toEqual([]);
    await world.timers.advance(SETTINGS.timeout_ms);
    expect([await reading, faults]).toEqual(["IO", ["an operation did not end within 1000 ms"]]);
  });

  test("an operation that never ends fails in time, and all others with it", async () => {
    const { world, device, guard, faults } = rig();
    device.hangs = true;
    const buffers = [guard.allocate(BLOCK), guard.allocate(BLOCK)];
    const outcomes = [codeOf(guard.read(0, buffers[0]!)), codeOf(guard.write(0, buffers[1]!, { durable: true }))];
    await world.timers.advance(SETTINGS.timeout_ms - 1);
    expect(faults).toEqual([]);
    await world.timers.advance(SETTINGS.timeout_ms / 2 + 1);
    expect(await Promise.all(outcomes)).toEqual(["IO", "IO"]);
    expect(faults).toEqual(["an operation did not end within 1000 ms"]);
    expect(await codeOf(guard.read(0, guard.allocate(BLOCK)))).toBe("IO");
    expect(guard.report().inFlight).toBe(2);
    expect(() => guard.markNormal()).toThrow("2 operations still hang");
  });

  test("a thread that stood still finds nothing late: what had ended meanwhile is heard of first", async () => {
    const { world, device, guard, faults } = rig();
    device.hangs = true;
    const reading = guard.read(0, guard.allocate(BLOCK));
    world.clock.advance(10 * SETTINGS.timeout_ms * 1e6);
    await world.timers.advance(1);
    device.wake();
    await reading;
    await world.timers.advance(2 * SETTINGS.timeout_ms);
    expect([faults, guard.report().state]).toEqual([[], "normal"]);
  });

  test("memory of an operation that was given up is released when it has ended, and the device is not closed before", async () => {
    const { world, device, guard } = rig();
    device.hangs = true;
    const pool = guard.allocate(4 * BLOCK);
    const reading = codeOf(guard.read(0, pool.subarray(BLOCK, 2 * BLOCK)));
    await world.timers.advance(2 * SETTINGS.timeout_ms);
    expect(await reading).toBe("IO");
    const other = guard.allocate(BLOCK);
    guard.release(other);
    guard.release(pool);
    expect(device.released).toEqual([other]);
    await guard.close();
    expect(device.closed).toBe(0);
    device.wake();
    for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
    expect(device.released).toEqual([other, pool]);
    guard.markNormal();
    await guard.read(0, other);
    await guard.close();
    expect(device.closed).toBe(1);
  });

  test("a device that is pulled out is unplugged", async () => {
    const { device, guard, faults } = rig();
    device.failing = ["read"];
    device.state = "unplugged";
    expect(await codeOf(guard.read(0, guard.allocate(BLOCK)))).toBe("IO");
    expect([faults, guard.report().state]).toEqual([["it is unplugged"], "unplugged"]);
  });
});
