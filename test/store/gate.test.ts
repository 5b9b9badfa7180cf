/** Epoch gates on a store: what they keep, when it goes, and what they cost where nothing is gated. */
import { expect, test } from "bun:test";
import type { ByteString } from "../../src/base/bytes.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import type { MaintenanceTask } from "../../src/store/maintenance.ts";
import { GATE_PASS_PAUSE_MS } from "../../src/store/maintenance-queue.ts";
import type { Settler } from "../../src/store/settler.ts";
import { key, put, StoreRig, tombstone } from "./store-rig.ts";

const CONTAINER = 1;
const isGated = (name: ByteString): boolean => name.charAt(4) === "g";

interface GateRig {
  readonly rig: StoreRig;
  /** What the settler was asked for. */
  readonly tasks: MaintenanceTask[];
}

async function gateRig(): Promise<GateRig> {
  const tasks: MaintenanceTask[] = [];
  const watching = (settler: Settler): Settler => ({
    settle: (request) => settler.settle(request),
    maintain: (request) => {
      tasks.push(request.task);
      return settler.maintain(request);
    },
    close: () => settler.close(),
  });
  const rig = new StoreRig({}, watching);
  rig.isGated = isGated;
  await rig.open(true);
  return { rig, tasks };
}

function raise(rig: StoreRig, epoch: number): void {
  rig.store.setGate(CONTAINER, epoch as Epoch);
}

function gateRows(rig: StoreRig): number {
  return [...rig.machine.tables.rows.get("meta")!.keys()].filter((row) => row.startsWith("gate")).length;
}

function aggregations(tasks: readonly MaintenanceTask[]): number {
  return tasks.filter(({ kind }) => kind === "aggregate").length;
}

test("setGate: the gate begins at 0, is raised, and never lowered; containers have their own", async () => {
  const { rig } = await gateRig();
  const gate = (container: number): number => rig.store.gate(container);
  expect(gate(CONTAINER)).toBe(0);
  raise(rig, 7);
  raise(rig, 5);
  expect([gate(CONTAINER), gate(2)]).toEqual([7, 0]);
  await rig.store.close();
});

test("setGate: what is above it stays whatever is settled and aggregated, and what is visible at it", async () => {
  const { rig } = await gateRig();
  for (let epoch = 1; epoch <= 6; epoch += 1) {
    await rig.write([put("g", epoch, `g${epoch}`), put("free", epoch, `f${epoch}`)]);
    if (epoch % 2 === 0) await rig.settle();
  }
  await rig.store.aggregate(CONTAINER);
  expect([1, 2, 3, 4, 5, 6].map((epoch) => rig.get("g", epoch))).toEqual(["g1", "g2", "g3", "g4", "g5", "g6"]);
  expect([5, 6].map((epoch) => rig.get("free", epoch))).toEqual([undefined, "f6"]);
  expect(gateRows(rig)).toBe(1);
  raise(rig, 4);
  await rig.store.aggregate(CONTAINER);
  expect([3, 4, 5, 6].map((epoch) => rig.get("g", epoch))).toEqual([undefined, "g4", "g5", "g6"]);
  await rig.crash();
  expect(rig.store.gate(CONTAINER)).toBe(4 as Epoch);
  await rig.store.close();
});

test("setGate: history that the gate has passed goes by itself, once, and also after a restart", async () => {
  const { rig, tasks } = await gateRig();
  for (let epoch = 1; epoch <= 3; epoch += 1) {
    await rig.write([put("g", epoch, "x")]);
    await rig.settle();
  }
  raise(rig, 2);
  await rig.machine.timers.advance(2 * GATE_PASS_PAUSE_MS);
  const versions = (): number => rig.store.usage(CONTAINER).versions;
  // The pass was due at 2, for that was kept first; what came later waits for its own.
  expect([versions(), aggregations(tasks)]).toEqual([2, 1]);
  await rig.crash();
  expect(versions()).toBe(2);
  raise(rig, 3);
  expect(versions()).toBe(2);
  await rig.machine.timers.advance(2 * GATE_PASS_PAUSE_MS);
  expect([versions(), aggregations(tasks)]).toEqual([1, 2]);
  raise(rig, 9);
  await rig.machine.timers.advance(2 * GATE_PASS_PAUSE_MS);
  expect(aggregations(tasks)).toBe(2);
  await rig.store.close();
});

test("setGate: a container that is written all the time gets its passes, one a pause at most", async () => {
  const { rig, tasks } = await gateRig();
  for (let epoch = 1; epoch <= 40; epoch += 1) {
    await rig.write([put(`g${epoch % 3}`, epoch, "x")]);
    await rig.settle();
    raise(rig, epoch - 1);
  }
  const passes = aggregations(tasks);
  expect(passes).toBeGreaterThan(4);
  expect(passes).toBeLessThanOrEqual(400_000 / GATE_PASS_PAUSE_MS);
  expect(rig.store.usage(CONTAINER).versions).toBeLessThan(15);
  await rig.store.close();
});

test("setGate: a punched range waits for its gate, with its tombstone, and is not looked at before", async () => {
  const { rig, tasks } = await gateRig();
  await rig.write([put("ga", 1, "a1"), put("gb", 2, "b2")]);
  await rig.write([put("ga", 3, "a3")]);
  const range = { from: key("ga"), to: key("gc"), epoch: 5 as Epoch };
  await rig.write([tombstone("g", 5)], [range]);
  await rig.settle();
  expect(tasks.filter(({ kind }) => kind === "reclaim").length).toBe(0);
  expect([rig.get("ga", 4), rig.get("ga", 2), rig.get("gb", 4)]).toEqual(["a3", "a1", "b2"]);
  for (const epoch of [2, 3, 4]) {
    raise(rig, epoch);
    await rig.settle();
  }
  // Only the wakes of the opening.
  expect(tasks.filter(({ kind }) => kind === "wake").length).toBe(1);
  await rig.machine.timers.advance(2 * GATE_PASS_PAUSE_MS);
  expect([rig.get("ga", 4), rig.get("gb", 4), rig.versions("g")]).toEqual(["a3", "b2", ["5"]]);
  raise(rig, 6);
  await rig.machine.timers.advance(2 * GATE_PASS_PAUSE_MS);
  expect(rig.names()).toEqual([]);
  expect(rig.machine.tables.rows.get("reclaim")!.size).toBe(0);
  await rig.store.close();
});

test("setGate: a snapshot that goes does not wake what waits for the gate", async () => {
  const { rig, tasks } = await gateRig();
  rig.store.setSnapshots(CONTAINER, [2 as Epoch]);
  await rig.write([put("ga", 1, "a1")]);
  await rig.write([tombstone("g", 5)], [{ from: key("ga"), to: key("gc"), epoch: 5 as Epoch }]);
  await rig.settle();
  rig.store.setSnapshots(CONTAINER, []);
  await rig.settle();
  expect(tasks.map(({ kind }) => kind).sort()).toEqual(["wake", "wake"]);
  expect(rig.get("ga", 4)).toBe("a1");
  await rig.store.close();
});

test("setGate: where nothing is gated nothing is written and nothing is passed", async () => {
  const { rig, tasks } = await gateRig();
  for (let epoch = 1; epoch <= 4; epoch += 1) {
    await rig.write([put("free", epoch, "x")], [{ from: key("f"), to: key("fa"), epoch: epoch as Epoch }]);
    await rig.settle();
    raise(rig, epoch);
  }
  await rig.machine.timers.advance(3 * GATE_PASS_PAUSE_MS);
  expect([gateRows(rig), aggregations(tasks), rig.store.usage(CONTAINER).versions]).toEqual([0, 0, 1]);
  expect(tasks.filter(({ kind }) => kind === "wake").length).toBe(1);
  await rig.crash();
  expect(rig.store.gate(CONTAINER)).toBe(0 as Epoch);
  await rig.store.close();
});
