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
  expect(await rebuildOf(rig)).toEqual({ state: "busy", dkeys: 3, bytes: 6, targetsDone: 2, targets: 3 });
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
