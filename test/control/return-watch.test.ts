/** Engines that were excluded because nobody heard of them are taken back by themselves; others are not. */
import { expect, test } from "bun:test";
import { GIB } from "../../src/base/limits.ts";
import { Opcode } from "../../src/format/operations.ts";
import { enginesRig, type EnginesRig } from "./engines-rig.ts";
import { codeOf } from "./harness.ts";

async function rigOf(pools: Readonly<Record<string, Record<string, string>>>, oclass = "RP_2GX"): Promise<EnginesRig> {
  const rig = await enginesRig(4);
  for (const index of [1, 2, 3]) await rig.join(index);
  for (const [label, properties] of Object.entries(pools)) {
    await rig.plane.pools.create({ label, sizeBytes: GIB / 8, properties });
    await rig.plane.containers.create({ pool: label, label: "box", type: "kv", properties: { oclass } });
  }
  rig.plane.watch();
  return rig;
}

async function stateOf(rig: EnginesRig, pool: string, index: number): Promise<string> {
  return (await rig.plane.maps.queryTargets({ pool })).map.targets[index]!.state;
}

/** It is silent until it is excluded, and what it had is elsewhere. */
async function lose(rig: EnginesRig, index: number): Promise<void> {
  const others = [1, 2, 3].filter((other) => other !== index);
  rig.engines[index]!.isAway = true;
  await rig.live(12_000, ...others);
}

async function bringBack(rig: EnginesRig, index: number, ms: number): Promise<void> {
  if (rig.engines[index]!.isAway) {
    rig.engines[index]!.restart();
    await rig.join(index);
  }
  await rig.live(ms, 1, 2, 3);
}

test("an engine that is heard of again is taken back once it has stayed for a while", async () => {
  const rig = await rigOf({ tank: {} });
  await lose(rig, 2);
  expect(await stateOf(rig, "tank", 2)).toBe("DOWNOUT");
  await bringBack(rig, 2, 3_000);
  expect(await stateOf(rig, "tank", 2)).toBe("DOWNOUT");
  await bringBack(rig, 2, 8_000);
  expect(await stateOf(rig, "tank", 2)).toBe("UPIN");
  expect(rig.events.filter((event) => event.includes("takes rank 2 back"))).toHaveLength(1);
  rig.plane.close();
});

test("one that comes and goes is left out for longer each time", async () => {
  const rig = await rigOf({ tank: {} });
  await lose(rig, 2);
  await bringBack(rig, 2, 10_000);
  await lose(rig, 2);
  await bringBack(rig, 2, 7_000);
  expect(await stateOf(rig, "tank", 2)).toBe("DOWNOUT");
  await bringBack(rig, 2, 8_000);
  expect(await stateOf(rig, "tank", 2)).toBe("UPIN");
  rig.plane.close();
});

test("without copies, too, and what it had is there again", async () => {
  const rig = await rigOf({ tank: {} }, "SX");
  await lose(rig, 2);
  const before = await stateOf(rig, "tank", 2);
  await bringBack(rig, 2, 12_000);
  expect([before, await stateOf(rig, "tank", 2)]).toEqual([before, "UPIN"]);
  rig.plane.close();
});

test("what somebody has excluded stays out, also when it was silent before", async () => {
  const rig = await rigOf({ tank: {} });
  await rig.plane.maps.exclude({ pool: "tank", ranks: [2] });
  await rig.live(30_000, 1, 2, 3);
  expect(await stateOf(rig, "tank", 2)).toBe("DOWNOUT");
  await rig.plane.maps.reintegrate({ pool: "tank", ranks: [2] });
  await rig.live(3_000, 1, 2, 3);
  expect(await stateOf(rig, "tank", 2)).toBe("UPIN");
  await lose(rig, 2);
  const { map: before } = await rig.plane.maps.queryTargets({ pool: "tank" });
  const { map: after } = await rig.plane.maps.exclude({ pool: "tank", ranks: [2] });
  // Nothing changes for others.
  expect(after).toEqual(before);
  await bringBack(rig, 2, 30_000);
  expect(await stateOf(rig, "tank", 2)).toBe("DOWNOUT");
  rig.plane.close();
});

test("pools say for themselves what happens, and the system for all", async () => {
  const stays = { self_heal: "exclude;rebuild" };
  const rig = await rigOf({
    back: {},
    stays,
    whole: { self_heal: "none" },
    still: { self_heal: "reintegrate;exclude" },
  });
  expect((await rig.plane.pools.getProperties({ pool: "still" })).properties["self_heal"]).toBe("exclude;reintegrate");
  expect([...rig.engines[1]!.quotas.values()].map(({ rebuild }) => rebuild?.isPaused)).toEqual([
    false,
    false,
    true,
    true,
  ]);
  await lose(rig, 2);
  expect(await stateOf(rig, "whole", 2)).toBe("UPIN");
  expect(await stateOf(rig, "stays", 2)).toBe("DOWNOUT");
  expect(rig.events.join()).toContain('property self_heal of pool "whole" has no exclude');
  await bringBack(rig, 2, 20_000);
  expect(await stateOf(rig, "back", 2)).toBe("UPIN");
  expect(await stateOf(rig, "stays", 2)).toBe("DOWNOUT");
  await rig.plane.call(Opcode.selfHealSet, { flags: ["exclude", "pool_exclude", "pool_rebuild"] });
  await lose(rig, 3);
  await bringBack(rig, 3, 60_000);
  expect(await stateOf(rig, "back", 3)).toBe("DOWNOUT");
  for (const bad of ["", "exclude,rebuild", "all", "exclude;"]) {
    const properties = { self_heal: bad };
    expect(await codeOf(rig.plane.pools.setProperties({ pool: "back", properties }))).toBe("INVALID_ARGUMENT");
  }
  rig.plane.close();
});
