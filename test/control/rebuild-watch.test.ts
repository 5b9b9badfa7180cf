/** The control plane's part in filling targets: it waits for all who take part, under the map as it is. */
import { expect, test } from "bun:test";
import { GIB } from "../../src/base/limits.ts";
import { enginesRig, type EnginesRig } from "./engines-rig.ts";
import { codeOf } from "./harness.ts";

async function statesOf(rig: EnginesRig): Promise<string[]> {
  return (await rig.plane.maps.queryTargets({ pool: "tank" })).map.targets.map(({ state }) => state);
}

async function rebuildOf(rig: EnginesRig) {
  return (await rig.plane.pools.query({ pool: "tank" })).rebuild!;
}

/** Four engines, and a pool with a container that keeps copies. */
async function copiesRig(): Promise<EnginesRig> {
  const rig = await enginesRig(4);
  for (const index of [1, 2, 3]) await rig.join(index);
  await rig.plane.pools.create({ label: "tank", sizeBytes: GIB });
  const properties = { oclass: "RP_2GX" };
  await rig.plane.containers.create({ pool: "tank", label: "box", type: "kv", properties });
  rig.plane.watch();
  return rig;
}

test("a target that is gone is DOWNOUT once all others have said that they are done, and comes back so", async () => {
  const rig = await copiesRig();
  rig.engines[1]!.isFilled = false;
  await rig.plane.maps.exclude({ pool: "tank", ranks: [2] });
  await rig.live(2_000, 1, 3);
  expect(await statesOf(rig)).toEqual(["UPIN", "UPIN", "DOWN", "UPIN"]);
  expect(await rebuildOf(rig)).toEqual({
    state: "busy",
    dkeys: 3,
    bytes: 6,
    targetsDone: 2,
    targets: 3,
    dkeysToBring: 9,
    dkeysLeft: 6,
    bytesLeft: 12,
    dkeysPerSecond: 0,
    bytesPerSecond: 0,
  });
  // Its data is not whole elsewhere yet.
  expect(await codeOf(rig.plane.maps.reintegrate({ pool: "tank", ranks: [2] }))).toBe("BUSY");
  rig.engines[1]!.isFilled = true;
  await rig.live(1_500, 1, 3);
  expect(await statesOf(rig)).toEqual(["UPIN", "UPIN", "DOWNOUT", "UPIN"]);
  expect((await rebuildOf(rig)).state).toBe("done");
  expect(rig.events.join()).toContain('pool "tank": all data is where it belongs (pool map version 3)');
  rig.engines[2]!.isFilled = false;
  await rig.join(2);
  await rig.plane.maps.reintegrate({ pool: "tank", ranks: [2] });
  await rig.live(1_500, 1, 2, 3);
  expect(await statesOf(rig)).toEqual(["UPIN", "UPIN", "UP", "UPIN"]);
  rig.engines[2]!.isFilled = true;
  await rig.live(1_500, 1, 2, 3);
  expect(await statesOf(rig)).toEqual(["UPIN", "UPIN", "UPIN", "UPIN"]);
  expect((await rebuildOf(rig)).state).toBe("idle");
  rig.plane.close();
});

test("an engine that is not heard of holds it up, and what is said under an older map does not count", async () => {
  const rig = await copiesRig();
  await rig.plane.maps.exclude({ pool: "tank", ranks: [2] });
  rig.engines[1]!.isAway = true;
  await rig.live(2_000, 3);
  expect(await statesOf(rig)).toEqual(["UPIN", "UPIN", "DOWN", "UPIN"]);
  rig.engines[1]!.isAway = false;
  rig.engines[1]!.mapsBehind = 1;
  await rig.live(2_000, 1, 3);
  expect((await statesOf(rig))[2]).toBe("DOWN");
  rig.engines[1]!.mapsBehind = 0;
  await rig.live(1_000, 1, 3);
  expect((await statesOf(rig))[2]).toBe("DOWNOUT");
  rig.plane.close();
});

test("when more engines are down than the containers survive, nothing counts as rebuilt", async () => {
  const rig = await copiesRig();
  await rig.plane.maps.exclude({ pool: "tank", ranks: [2, 3], force: true });
  await rig.live(2_000, 1);
  expect(await statesOf(rig)).toEqual(["UPIN", "UPIN", "DOWN", "DOWN"]);
  expect((await rebuildOf(rig)).state).toBe("stuck");
  rig.plane.close();
});

test("all have to say so twice: what was brought last may have come after the first time", async () => {
  const rig = await copiesRig();
  await rig.plane.maps.exclude({ pool: "tank", ranks: [2] });
  while ((await rebuildOf(rig)).targetsDone < 3) await rig.live(100, 1, 3);
  expect((await statesOf(rig))[2]).toBe("DOWN");
  rig.engines[3]!.isFilled = false;
  await rig.live(500, 1, 3);
  rig.engines[3]!.isFilled = true;
  await rig.live(500, 1, 3);
  expect((await statesOf(rig))[2]).toBe("DOWN");
  await rig.live(500, 1, 3);
  expect((await statesOf(rig))[2]).toBe("DOWNOUT");
  rig.plane.close();
});

test("a pool is stuck when a target has something of which too little is left", async () => {
  const rig = await copiesRig();
  rig.engines[3]!.isFilled = false;
  rig.engines[3]!.isStuck = true;
  await rig.plane.maps.exclude({ pool: "tank", ranks: [2] });
  await rig.live(1_000, 1, 3);
  expect((await rebuildOf(rig)).state).toBe("stuck");
  rig.plane.close();
});

test("who cannot bring what is damaged is told of, once for each that is more", async () => {
  const rig = await copiesRig();
  Object.assign(rig.engines[3]!, { isFilled: false, isStuck: true, damaged: 2 });
  await rig.plane.maps.exclude({ pool: "tank", ranks: [2] });
  await rig.live(3_000, 1, 3);
  const told = (): string[] => rig.events.filter((event) => event.includes("damaged"));
  expect(told()).toHaveLength(1);
  expect(told()[0]).toContain('Cannot rebuild all of pool "tank": 2 dkey(s) that target 3 (rank 3) leads are damaged');
  rig.engines[3]!.damaged = 3;
  await rig.live(3_000, 1, 3);
  expect(told()).toHaveLength(2);
  rig.plane.close();
});

test("how long it takes is what the slowest needs, as fast as it was lately; nobody knows while it is counted, or stands still", async () => {
  const rig = await copiesRig();
  for (const engine of rig.engines) Object.assign(engine, { isFilled: false, isCounted: false });
  await rig.plane.maps.exclude({ pool: "tank", ranks: [2] });
  await rig.live(1_000, 1, 3);
  expect(await rebuildOf(rig)).not.toHaveProperty("dkeysLeft");
  for (const engine of rig.engines) Object.assign(engine, { isCounted: true });
  await rig.live(1_000, 1, 3);
  expect((await rebuildOf(rig)).dkeysLeft).toBe(6);
  expect(await rebuildOf(rig)).not.toHaveProperty("secondsLeft");
  for (const index of [0, 1, 3]) rig.engines[index]!.passed = 2;
  await rig.live(500, 1, 3);
  const { dkeysLeft, dkeysPerSecond, secondsLeft } = await rebuildOf(rig);
  expect(dkeysLeft).toBe(3);
  // One of each in half a second, in one of several looks.
  expect(dkeysPerSecond).toBeGreaterThan(0);
  expect(dkeysPerSecond).toBeLessThanOrEqual(6);
  expect(secondsLeft).toBeGreaterThanOrEqual(1);
  rig.engines[1]!.passed = 3;
  rig.engines[0]!.passed = 3;
  await rig.live(20_000, 1, 3);
  const late = await rebuildOf(rig);
  expect(late.dkeysLeft).toBe(1);
  expect(late.secondsLeft).toBeGreaterThan(secondsLeft!);
  rig.plane.close();
});

test("a pause and a share come to all engines at once, to one that joins later with its pool; and are told of", async () => {
  const rig = await copiesRig();
  const policies = (): unknown[] => rig.engines.map(({ quotas }) => [...quotas.values()][0]?.rebuild);
  const given = (share: number, isPaused: boolean): unknown => ({ share, isPaused });
  await rig.plane.pools.setProperties({ pool: "tank", properties: { label: "tank" } });
  expect(policies()).toEqual(Array.from({ length: 4 }, () => given(25, false)));
  for (const engine of rig.engines) engine.isFilled = false;
  await rig.plane.maps.exclude({ pool: "tank", ranks: [2], force: true });
  await rig.live(1_000, 1, 3);
  await rig.plane.pools.setProperties({ pool: "tank", properties: { rebuild_share: "40", rebuild: "paused" } });
  expect(policies()[1]).toEqual(given(40, true));
  await rig.live(1_000, 1, 3);
  expect((await rebuildOf(rig)).state).toBe("paused");
  rig.engines[3]!.restart();
  await rig.join(3);
  expect(policies()[3]).toEqual(given(40, true));
  await rig.plane.pools.setProperties({ pool: "tank", properties: { rebuild: "running" } });
  expect(policies()[3]).toEqual(given(40, false));
  await rig.live(1_000, 1, 3);
  expect((await rebuildOf(rig)).state).toBe("busy");
  const told = rig.events
    .filter((event) => event.includes("rebuild"))
    .map((event) => /rebuild \w+ ?\w*/.exec(event)![0]);
  expect(told).toEqual(["rebuild begins", "rebuild is paused", "rebuild goes on"]);
  for (const bad of [0, 101, 1.5, "", "much", true]) {
    const properties = { rebuild_share: bad };
    expect(await codeOf(rig.plane.pools.setProperties({ pool: "tank", properties }))).toBe("INVALID_ARGUMENT");
  }
  const properties = { rebuild: "off" };
  expect(await codeOf(rig.plane.pools.setProperties({ pool: "tank", properties }))).toBe("INVALID_ARGUMENT");
  rig.plane.close();
});
