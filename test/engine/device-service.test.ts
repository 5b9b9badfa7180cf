import { describe, expect, test } from "bun:test";
import { DaosError } from "../../src/base/errors.ts";
import { MIB } from "../../src/base/limits.ts";
import type { Uuid } from "../../src/base/uuid.ts";
import type { DeviceReport } from "../../src/engine/device-report.ts";
import { DeviceService } from "../../src/engine/device-service.ts";
import { DeviceTable } from "../../src/engine/device-table.ts";
import type { TargetCalls } from "../../src/engine/target-calls.ts";
import { Targets } from "../../src/engine/targets.ts";
import { serveThreadCalls, ThreadCaller } from "../../src/engine/thread-call.ts";
import type { StorageSuperblock } from "../../src/format/storage-superblock.ts";
import { simulatedWorld } from "../simulation/world.ts";
import { codeOf } from "./engine-rig.ts";
import { threadPair } from "./thread-pair.ts";

const IDS = [1, 2, 3].map((digit) => `${String(digit).repeat(8)}-2222-4333-8444-555555555555` as Uuid);
const [DEVICE_A, DEVICE_B, NEW] = IDS as [Uuid, Uuid, Uuid];
const SUPERBLOCK: StorageSuperblock = {
  id: IDS[0]!,
  engine: IDS[0]!,
  system: "daos",
  state: "ready",
  createdAtMs: 0,
  targets: 3,
  scm: { plugin: "file", targetSizeBytes: MIB },
  nvme: { plugin: "file", targetSizeBytes: MIB },
  metaStore: { plugin: "sqlite" },
  devices: [
    { id: DEVICE_A, plugin: "file", targets: [0, 2], labelled: true, state: "normal", reason: "" },
    { id: DEVICE_B, plugin: "file", targets: [1], labelled: true, state: "normal", reason: "" },
  ],
};
const REPORT: DeviceReport = {
  state: "normal",
  reason: "",
  inFlight: 1,
  readErrors: 1,
  writeErrors: 2,
  flushErrors: 0,
  discardErrors: 0,
  checksumErrors: 0,
  slowOperations: 0,
};

class StandIn {
  report = REPORT;
  /** Calls are never answered, as by a thread that its device blocks. */
  hangs = false;
  readonly marks: string[] = [];
  fail!: (reason: string) => void;
  readonly #fault = new Promise<string>((resolve) => {
    this.fail = resolve;
  });

  caller(): ThreadCaller<TargetCalls> {
    const { thread, parent } = threadPair();
    const answer = <Result>(result: () => Result): Promise<Result> =>
      this.hangs ? new Promise(() => {}) : Promise.resolve(result());
    const space = {
      scmTotalBytes: 10,
      scmUsedBytes: 1,
      logTotalBytes: 5,
      logUsedBytes: 1,
      nvmeTotalBytes: 100,
      nvmeUsedBytes: 7,
    };
    const calls = {
      device: () => answer(() => this.report),
      space: () => answer(() => space),
      deviceFault: () => this.#fault,
      markDevice: (reason: string) =>
        answer(() => {
          if (this.report.inFlight > 1 && reason === "") throw new DaosError("BUSY", "Cannot use it: it hangs.");
          this.marks.push(reason);
          this.report = { ...this.report, state: reason === "" ? "normal" : "faulty", reason };
        }),
    };
    serveThreadCalls(parent, calls as unknown as TargetCalls);
    return new ThreadCaller<TargetCalls>(thread, () => {});
  }
}

function rig() {
  const world = simulatedWorld(1);
  const standIns = [new StandIn(), new StandIn(), new StandIn()];
  const saved: StorageSuperblock[] = [];
  const events: string[] = [];
  const lamps: string[] = [];
  const table = new DeviceTable(SUPERBLOCK, (superblock) => saved.push(superblock));
  const targets = new Targets(
    standIns.map((standIn) => standIn.caller()),
    world.clock,
    world.timers,
  );
  const service = new DeviceService({
    table,
    targets,
    configured: [
      { plugin: "file", config: { path: "/dev/a" } },
      { plugin: "file", config: {} },
    ],
    rank: 0,
    newId: () => NEW,
    event: (level, message) => events.push(`${level}: ${message}`),
    identify: async (path) => void lamps.push(path),
  });
  service.watch();
  return { world, standIns, saved, events, lamps, table, targets, service };
}

describe("DeviceService", () => {
  test("a query joins what the targets of each device say", async () => {
    const { service } = rig();
    const { devices } = await service.query();
    expect(devices.map(({ id, targets, state, path }) => [id, targets, state, path])).toEqual([
      [DEVICE_A, [0, 2], "normal", "/dev/a"],
      [DEVICE_B, [1], "normal", ""],
    ]);
    expect(devices[0]).toMatchObject({ writeErrors: 4, inFlight: 2, totalBytes: 200, usedBytes: 14 });
  });

  test("a target that hangs is reported as such; the others and the space of all are still told", async () => {
    const { service, standIns, targets } = rig();
    await targets.space();
    standIns[1]!.hangs = true;
    const { devices } = await service.query();
    expect(devices.map(({ state }) => state)).toEqual(["normal", "unresponsive"]);
    expect((await targets.space()).nvmeTotalBytes).toBe(300);
  });

  test("a fault that one target finds is written down, told to the device's other targets and to nobody else", async () => {
    const { service, standIns, saved, events, world } = rig();
    standIns[2]!.fail("an operation did not end within 1000 ms");
    await world.timers.advance(1);
    const { devices } = await service.query();
    expect(devices.map(({ state }) => state)).toEqual(["faulty", "normal"]);
    expect(saved.at(-1)!.devices.map(({ state }) => state)).toEqual(["faulty", "normal"]);
    const reason = "target 2: an operation did not end within 1000 ms";
    expect(standIns.map(({ marks }) => marks)).toEqual([[reason], [], [reason]]);
    expect(events[0]).toContain(`device_faulty: device ${DEVICE_A} is faulty (${reason})`);
    standIns[0]!.fail("10 operations failed");
    await world.timers.advance(1);
    expect([saved.length, events.length]).toEqual([1, 1]);
  });

  test("set-faulty needs force, because there is one copy; the state is durable first", async () => {
    const { service, saved } = rig();
    expect(await codeOf(service.setFaulty(DEVICE_A, false))).toBe("BUSY");
    expect(await codeOf(service.setFaulty(NEW, true))).toBe("NOT_FOUND");
    expect(saved.length).toBe(0);
    expect((await service.setFaulty(DEVICE_A, true)).state).toBe("faulty");
    expect(saved.at(-1)!.devices[0]).toMatchObject({ state: "faulty", reason: "marked by the administrator" });
  });

  test("the same id twice brings a device back, but not one that still hangs", async () => {
    const { service, saved, standIns } = rig();
    await service.setFaulty(DEVICE_A, true);
    standIns[2]!.report = { ...standIns[2]!.report, inFlight: 5 };
    expect(await codeOf(service.replace(DEVICE_A, DEVICE_A, false))).toBe("BUSY");
    expect(saved.at(-1)!.devices[0]!.state).toBe("faulty");
    standIns[2]!.report = { ...standIns[2]!.report, inFlight: 0 };
    expect((await service.replace(DEVICE_A, DEVICE_A, false)).state).toBe("normal");
    expect(saved.at(-1)!.devices[0]).toMatchObject({ state: "normal", reason: "" });
  });

  test("another device takes the place at the next start, and only if its loss is accepted", async () => {
    const { service, table, saved } = rig();
    const refused = await service.replace(DEVICE_A, "new", false).catch((error: Error) => error.message);
    expect(refused).toContain("14 B on it would be lost (targets 0, 2)");
    expect(await codeOf(service.replace(DEVICE_A, DEVICE_B, true))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(service.replace(DEVICE_A, "nvme0", true))).toBe("INVALID_ARGUMENT");
    expect(saved.length).toBe(0);
    expect((await service.replace(DEVICE_A, "new", true)).successor).toBe(NEW);
    expect(saved.at(-1)!.devices[0]).toMatchObject({ id: DEVICE_A, successor: NEW });
    table.completeSuccession();
    expect(saved.at(-1)!.devices[0]).toEqual({ ...SUPERBLOCK.devices[0]!, id: NEW });
  });

  test("identify lights the lamp of a device that has a path", async () => {
    const { service, lamps } = rig();
    await service.identify(DEVICE_A);
    expect(lamps).toEqual(["/dev/a"]);
    expect(await codeOf(service.identify(DEVICE_B))).toBe("UNSUPPORTED");
  });
});
