/** Pools that are extended and drained: what is refused, what is under way, and what is there in the end. */
import { expect, test } from "bun:test";
import { GIB } from "../../src/base/limits.ts";
import { enginesRig, type EnginesRig } from "./engines-rig.ts";
import { codeOf } from "./harness.ts";

async function statesOf(rig: EnginesRig): Promise<string> {
  return (await rig.plane.maps.queryTargets({ pool: "tank" })).map.targets.map(({ state }) => state).join(" ");
}

/** A pool of the first three of five engines, with a container of this class. */
async function pooled(oclass: string): Promise<EnginesRig> {
  const rig = await enginesRig(5);
  for (const index of [1, 2]) await rig.join(index);
  await rig.plane.pools.create({ label: "tank", sizeBytes: GIB });
  await rig.plane.containers.create({ pool: "tank", label: "box", type: "kv", properties: { oclass } });
  rig.plane.watch();
  return rig;
}

test("engines that joined later are added, NEW until all have said that they are done", async () => {
  const rig = await pooled("RP_2GX");
  await rig.join(3);
  rig.engines[1]!.isFilled = false;
  const { elasticity } = rig.plane;
  await elasticity.extend({ pool: "tank", ranks: [3] });
  // Sent again it changes nothing.
  await elasticity.extend({ pool: "tank", ranks: [3] });
  expect(await statesOf(rig)).toBe("UPIN UPIN UPIN NEW");
  expect((await rig.plane.pools.query({ pool: "tank" })).rebuild!.state).toBe("busy");
  expect(await codeOf(elasticity.drain({ pool: "tank", ranks: [1] }))).toBe("BUSY");
  await rig.live(2_000, 1, 2, 3);
  expect(await statesOf(rig)).toBe("UPIN UPIN UPIN NEW");
  rig.engines[1]!.isFilled = true;
  await rig.live(2_000, 1, 2, 3);
  expect(await statesOf(rig)).toBe("UPIN UPIN UPIN UPIN");
  rig.plane.close();
});

test("a drained engine is out once it cannot serve by the old map any more, and may be taken back", async () => {
  const rig = await pooled("RP_2GX");
  await rig.plane.elasticity.drain({ pool: "tank", ranks: [1] });
  expect(await statesOf(rig)).toBe("UPIN DRAIN UPIN");
  await rig.live(4_000, 1, 2);
  expect(await statesOf(rig)).toBe("UPIN DOWNOUT UPIN");
  await rig.plane.maps.reintegrate({ pool: "tank", ranks: [1] });
  expect(await statesOf(rig)).toBe("UPIN UP UPIN");
  await rig.live(3_000, 1, 2);
  expect(await statesOf(rig)).toBe("UPIN UPIN UPIN");
  rig.plane.close();
});

test("what cannot be is refused and says why", async () => {
  const rig = await pooled("RP_3GX");
  const { elasticity } = rig.plane;
  expect(await codeOf(elasticity.extend({ pool: "tank", ranks: [9] }))).toBe("NOT_FOUND");
  expect(await codeOf(elasticity.extend({ pool: "lake", ranks: [1] }))).toBe("NOT_FOUND");
  // Two engines are too few for three copies.
  expect(await codeOf(elasticity.drain({ pool: "tank", ranks: [1] }))).toBe("INVALID_ARGUMENT");
  expect(await codeOf(elasticity.drain({ pool: "tank", ranks: [0, 1, 2] }))).toBe("INVALID_ARGUMENT");
  expect(await codeOf(elasticity.drain({ pool: "tank" }))).toBe("INVALID_ARGUMENT");
  await rig.join(3);
  await rig.plane.engines.leave({ rank: 3, incarnation: rig.engines[3]!.incarnation });
  expect(await codeOf(elasticity.extend({ pool: "tank", ranks: [3] }))).toBe("UNAVAILABLE");
  rig.plane.close();
});

test("nobody takes over what has no redundancy while a target is gone that may have it", async () => {
  const rig = await pooled("RP_2GX");
  const single = { pool: "tank", label: "single", type: "kv", properties: {} } as const;
  const rebuildOf = async (): Promise<string> => (await rig.plane.pools.query({ pool: "tank" })).rebuild!.state;
  await rig.join(3);
  rig.engines[1]!.isFilled = false;
  const { elasticity, containers, maps } = rig.plane;
  await elasticity.extend({ pool: "tank", ranks: [3] });
  await containers.create(single);
  await maps.exclude({ pool: "tank", ranks: [2], force: true });
  rig.engines[1]!.isFilled = true;
  await rig.live(3_000, 1, 2, 3);
  expect(await statesOf(rig)).toBe("UPIN UPIN DOWNOUT NEW");
  expect(await rebuildOf()).toBe("stuck");
  await rig.join(4);
  expect(await codeOf(elasticity.extend({ pool: "tank", ranks: [4] }))).toBe("UNAVAILABLE");
  await maps.exclude({ pool: "tank", ranks: [3] });
  expect(await statesOf(rig)).toBe("UPIN UPIN DOWNOUT");
  expect(await codeOf(elasticity.drain({ pool: "tank", ranks: [1] }))).toBe("UNAVAILABLE");
  await maps.reintegrate({ pool: "tank", ranks: [2] });
  await rig.live(3_000, 1, 2, 3, 4);
  expect(await statesOf(rig)).toBe("UPIN UPIN UPIN");
  await elasticity.extend({ pool: "tank", ranks: [4] });
  rig.plane.close();
});
