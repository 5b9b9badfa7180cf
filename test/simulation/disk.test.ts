import { expect, test } from "bun:test";
import { codeOf, expectBytes, expectCode, isZero, pattern } from "../conformance/support.ts";
import { PowerLossError } from "./power-loss.ts";
import { powerCycle, simulatedWorld } from "./world.ts";

const PAGE = 4096;

function fresh(seed: number) {
  const world = simulatedWorld(seed);
  world.disk.makeFolder("/d");
  return world;
}

test("what was synced or written durably survives, whatever else happens", async () => {
  for (let seed = 1; seed <= 50; seed += 1) {
    const world = fresh(seed);
    const plain = world.disk.openFile("/d/plain", { create: true });
    const durable = world.disk.openFile("/d/durable", { create: true, durable: true });
    plain.writeSync(pattern(3 * PAGE, 1), 0);
    await plain.sync();
    plain.writeSync(pattern(PAGE, 2), 5 * PAGE);
    await durable.write(pattern(2 * PAGE, 3), 100);
    powerCycle(world);
    const bytes = new Uint8Array(3 * PAGE);
    world.disk.openFile("/d/plain").readSync(bytes, 0);
    expectBytes(bytes, pattern(3 * PAGE, 1));
    const again = new Uint8Array(2 * PAGE);
    expect(world.disk.openFile("/d/durable").readSync(again, 100)).toBe(2 * PAGE);
    expectBytes(again, pattern(2 * PAGE, 3));
  }
});

test("unsynced writes are lost, kept, and torn at sectors, over the seeds", () => {
  const outcomes = { old: 0, new: 0, torn: 0 };
  for (let seed = 1; seed <= 100; seed += 1) {
    const world = fresh(seed);
    const file = world.disk.openFile("/d/a", { create: true });
    file.writeSync(new Uint8Array(PAGE).fill(1), 0);
    file.syncSync();
    file.writeSync(new Uint8Array(PAGE).fill(2), 0);
    powerCycle(world);
    const bytes = new Uint8Array(PAGE);
    expect(world.disk.openFile("/d/a").readSync(bytes, 0)).toBe(PAGE);
    const sectors = Array.from({ length: 8 }, (_, index) => bytes.subarray(index * 512, (index + 1) * 512));
    for (const sector of sectors) expect(new Set(sector).size).toBe(1);
    const kinds = new Set(sectors.map((sector) => sector[0]!));
    for (const kind of kinds) expect([1, 2]).toContain(kind);
    if (kinds.size === 2) outcomes.torn += 1;
    else if (kinds.has(1)) outcomes.old += 1;
    else outcomes.new += 1;
  }
  expect(outcomes.old).toBeGreaterThan(5);
  expect(outcomes.new).toBeGreaterThan(5);
  expect(outcomes.torn).toBeGreaterThan(30);
});

test("a write in flight when power goes may be torn; its promise never settles; the file is dead", async () => {
  const results = new Set<string>();
  for (let seed = 1; seed <= 40; seed += 1) {
    const world = fresh(seed);
    const file = world.disk.openFile("/d/a", { create: true, durable: true });
    file.writeSync(new Uint8Array(PAGE), 0);
    let settled = false;
    const writing = file.write(new Uint8Array(PAGE).fill(9), 0).then(() => (settled = true));
    void writing;
    powerCycle(world);
    await world.timers.advance(1000);
    expect(settled).toBe(false);
    expect(() => file.readSync(new Uint8Array(1), 0)).toThrow(PowerLossError);
    expect(await codeOf(() => file.write(new Uint8Array(1), 0))).toBeInstanceOf(PowerLossError);
    const bytes = new Uint8Array(PAGE);
    world.disk.openFile("/d/a").readSync(bytes, 0);
    results.add(isZero(bytes) ? "old" : bytes.every((byte) => byte === 9) ? "new" : "torn");
  }
  expect([...results].toSorted()).toEqual(["new", "old", "torn"]);
});

test("a sync covers the writes that had returned when it began, and no others", async () => {
  let lost = 0;
  for (let seed = 1; seed <= 30; seed += 1) {
    const world = fresh(seed);
    const file = world.disk.openFile("/d/a", { create: true });
    file.writeSync(new Uint8Array(PAGE).fill(1), 0);
    const syncing = file.sync();
    file.writeSync(new Uint8Array(PAGE).fill(2), 0);
    await syncing;
    powerCycle(world);
    const bytes = new Uint8Array(PAGE);
    world.disk.openFile("/d/a").readSync(bytes, 0);
    expect(bytes.every((byte) => byte === 1 || byte === 2)).toBe(true);
    if (bytes[PAGE - 1] === 1) lost += 1;
  }
  expect(lost).toBeGreaterThan(0);
});

test("power goes at the operation asked for; the folder lock is free afterwards", () => {
  const world = fresh(1);
  world.disk.lockFolder("/d");
  const file = world.disk.openFile("/d/a", { create: true });
  world.disk.losePowerAt(world.disk.operations + 3);
  file.writeSync(new Uint8Array(1), 0);
  file.syncSync();
  expect(() => file.writeSync(new Uint8Array(1), 0)).toThrow(PowerLossError);
  expect(() => world.disk.openFile("/d/a")).toThrow(PowerLossError);
  powerCycle(world);
  world.disk.lockFolder("/d").release();
});

test("the same seed gives the same bytes after a crash, another seed others", () => {
  const run = (seed: number): string => {
    const world = fresh(seed);
    const file = world.disk.openFile("/d/a", { create: true });
    for (let round = 0; round < 20; round += 1) file.writeSync(pattern(3 * PAGE, round), round * PAGE);
    powerCycle(world, "torn");
    const bytes = new Uint8Array(30 * PAGE);
    world.disk.openFile("/d/a").readSync(bytes, 0);
    return Bun.hash.crc32(bytes).toString(16);
  };
  expect(run(7)).toBe(run(7));
  expect(run(7)).not.toBe(run(8));
});

test("faults strike the operations asked for and then stop; a failed sync stays failed", async () => {
  const world = fresh(1);
  const file = world.disk.openFile("/d/a", { create: true });
  world.disk.openFile("/d/b", { create: true }).writeSync(new Uint8Array(1), 0);
  world.disk.injectFault({ operation: "write", code: "IO", path: "/a", after: 1, times: 2 });
  file.writeSync(new Uint8Array(1), 0);
  await expectCode("IO", () => file.writeSync(new Uint8Array(1), 0));
  await expectCode("IO", () => file.write(new Uint8Array(1), 0));
  file.writeSync(new Uint8Array(1), 0);
  world.disk.injectFault({ operation: "sync", code: "IO" });
  await expectCode("IO", () => file.sync());
  await expectCode("IO", () => file.syncSync());
});

test("a full disk refuses new pages, not overwrites; holes give space back", async () => {
  const world = simulatedWorld(1, { disk: { capacityBytes: 4 * PAGE } });
  world.disk.makeFolder("/d");
  const file = world.disk.openFile("/d/a", { create: true });
  file.writeSync(new Uint8Array(4 * PAGE), 0);
  expect(world.disk.freeBytes()).toBe(0);
  await expectCode("NO_SPACE", () => file.writeSync(new Uint8Array(1), 4 * PAGE));
  file.writeSync(new Uint8Array(PAGE), 0);
  file.punchHole(0, PAGE);
  file.writeSync(new Uint8Array(1), 4 * PAGE);
});

test("direct files insist on alignment", async () => {
  const file = fresh(1).disk.openFile("/d/a", { create: true, direct: true });
  await expectCode("IO", () => file.writeSync(new Uint8Array(PAGE), 1));
  await expectCode("IO", () => file.writeSync(new Uint8Array(PAGE).subarray(0, 100), 0));
  file.writeSync(new Uint8Array(PAGE), 0);
});

test("bit rot changes what reads see", () => {
  const world = fresh(1);
  const file = world.disk.openFile("/d/a", { create: true, durable: true });
  file.writeSync(new Uint8Array(PAGE), 0);
  world.disk.corrupt("/d/a", 77, 4);
  const bytes = new Uint8Array(PAGE);
  file.readSync(bytes, 0);
  expect(bytes[77]).toBe(4);
});
