/** What pools tell of themselves: what is gone and what that means, what they survive, what fits; and changes of their size. */
import { expect, test } from "bun:test";
import { GIB, MIB } from "../../src/base/limits.ts";
import { Opcode } from "../../src/format/operations.ts";
import { enginesRig, type EnginesRig } from "./engines-rig.ts";
import { codeOf, failureOf } from "./harness.ts";
import { GivenVerdicts } from "./verdicts.ts";

const tank = { pool: "tank" };
const PATIENT = { leaseMs: 4_000, excludeAfterMs: 60_000, excludeDeadAfterMs: 0 };

/** `tank` on four engines, with containers that survive one fault, and none. */
async function healthRig(): Promise<EnginesRig & { readonly verdicts: GivenVerdicts }> {
  const verdicts = new GivenVerdicts();
  const rig = await enginesRig(4, { verdicts, membership: PATIENT });
  for (const index of [1, 2, 3]) await rig.join(index);
  await rig.plane.pools.create({ label: "tank", sizeBytes: GIB });
  for (const [label, factor] of [
    ["copies", 1],
    ["single", 0],
  ] as const) {
    await rig.plane.containers.create({ ...tank, label, type: "kv", properties: { rd_fac: factor } });
  }
  return { ...rig, verdicts };
}

async function healthOf({ plane }: EnginesRig, container: string): Promise<string> {
  const { state, gone, tolerable } = (await plane.containers.query({ ...tank, container })).health!;
  return `${state} ${gone.join()} ${tolerable}`;
}

test("containers and pools say what is gone and what that takes away, and mend by themselves", async () => {
  const rig = await healthRig();
  await rig.live(500, 1, 2, 3);
  expect(await healthOf(rig, "copies")).toBe("whole  1");
  expect((await rig.plane.pools.query(tank)).health).toMatchObject({ state: "whole", tolerable: 0, reason: "" });
  await rig.plane.containers.destroy({ ...tank, container: "single", force: true });
  expect((await rig.plane.pools.query(tank)).health).toMatchObject({ state: "whole", tolerable: 1 });
  await rig.plane.containers.create({ ...tank, label: "single", type: "kv" });

  await rig.live(3_000, 1, 2);
  expect(await healthOf(rig, "copies")).toBe("degraded 3 0");
  expect(await healthOf(rig, "single")).toBe("unavailable 3 0");
  expect((await rig.plane.pools.query(tank)).health!.reason).toContain("rank 3 is gone, and there is one copy");

  await rig.live(3_000, 1);
  expect(await healthOf(rig, "copies")).toBe("unavailable 2,3 0");
  const { reason } = (await rig.plane.containers.query({ ...tank, container: "copies" })).health!;
  expect(reason).toContain("1 fault(s) are survived: what lies on more of them is unavailable, what others have too");

  for (const index of [2, 3]) await rig.join(index);
  await rig.live(1_000, 1, 2, 3);
  expect(await healthOf(rig, "copies")).toBe("whole  1");
  expect(await healthOf(rig, "single")).toBe("whole  0");
  rig.plane.close();
});

test("an excluded engine is gone until its data is made up for, and for good where there is one copy", async () => {
  const rig = await healthRig();
  await rig.plane.maps.exclude({ ...tank, ranks: [3], force: true });
  const { health } = await rig.plane.containers.query({ ...tank, container: "copies" });
  expect(health).toMatchObject({ state: "degraded", reason: "rank 3 is gone: all can be read and written" });
  rig.plane.watch();
  await rig.live(3_000, 1, 2, 3);
  expect((await rig.plane.maps.queryTargets(tank)).map.targets[3]!.state).toBe("DOWNOUT");
  expect(await healthOf(rig, "copies")).toBe("whole  1");
  expect(await healthOf(rig, "single")).toBe("unavailable 3 0");
  rig.plane.close();
});

test("what fits is told by class: as the fullest target and the quota allow", async () => {
  const rig = await healthRig();
  const capacity = async (): Promise<Record<string, number>> => {
    const classes = (await rig.plane.pools.query(tank)).capacity!;
    return Object.fromEntries(classes.map(({ class: name, usableBytes }) => [name, usableBytes]));
  };
  const leftBytes = GIB - 2 * 4 * 3;
  const roomy = await capacity();
  expect(roomy).toMatchObject({ SX: leftBytes, RP_2GX: leftBytes / 2, EC_2P1GX: Math.floor((leftBytes * 2) / 3) });
  expect(roomy["EC_2P2GX"]).toBe(leftBytes / 2);
  expect(roomy["RP_5GX"]).toBeUndefined();
  // One target each; of each tier a byte is used.
  const freeBytes = 64 * MIB;
  for (const engine of rig.engines) [engine.scmBytes, engine.nvmeBytes] = [freeBytes + 1, 1];
  expect((await capacity())["SX"]).toBe(4 * freeBytes);
  rig.engines[2]!.scmBytes = freeBytes / 2 + 1;
  expect((await capacity())["RP_4GX"]).toBe(freeBytes / 2);
});

test("a pool is made larger and smaller, not beyond the devices nor below what it holds", async () => {
  const rig = await healthRig();
  const resize = (size: number): Promise<object> =>
    rig.plane.call(Opcode.poolSetProperties, { ...tank, properties: { size } });
  await resize(2 * GIB);
  expect([...rig.engines[1]!.quotas.values()][0]!.targetBytes).toBe(GIB / 2);
  const tooMuch = await failureOf(resize(99 * GIB));
  expect([tooMuch.code, tooMuch.message]).toEqual(["NO_SPACE", expect.stringContaining("are not given to a pool")]);
  for (const engine of rig.engines) engine.usedBytes = 40 * MIB;
  const tooLittle = await failureOf(resize(319 * MIB));
  expect([tooLittle.code, tooLittle.message]).toEqual([
    "INVALID_ARGUMENT",
    `Cannot resize pool "tank" to 319 MiB: it holds 320 MiB (${320 * MIB} bytes). Use at least that much, or remove data first.`,
  ]);
  await resize(320 * MIB);
  expect([...rig.engines[1]!.quotas.values()][0]!.targetBytes).toBe(80 * MIB);
});

test("ranks that are unknown, the last domain, and more than the others have room for are refused, with figures", async () => {
  const rig = await healthRig();
  const { elasticity } = rig.plane;
  const unknown = await failureOf(elasticity.drain({ ...tank, ranks: [9] }));
  expect([unknown.code, unknown.message]).toEqual(["NOT_FOUND", expect.stringContaining("its ranks are 0, 1, 2, 3")]);
  expect(await codeOf(elasticity.extend({ ...tank, ranks: [1, 9] }))).toBe("NOT_FOUND");
  expect(await codeOf(elasticity.drain({ ...tank, ranks: [0, 1, 2, 3] }))).toBe("INVALID_ARGUMENT");
  const last = await failureOf(elasticity.drain({ ...tank, ranks: [1, 2, 3] }));
  expect([last.code, last.message]).toEqual(["INVALID_ARGUMENT", expect.stringContaining("1 would be left")]);
  rig.engines[3]!.usedBytes = 4 * GIB;
  const full = await failureOf(elasticity.drain({ ...tank, ranks: [3] }));
  expect([full.code, full.message]).toEqual(["NO_SPACE", expect.stringContaining("8 GiB would have to move")]);
});

test("two operations at once wait for each other; the second one is judged by what the first one left", async () => {
  const rig = await healthRig();
  const { elasticity, maps } = rig.plane;
  const outcomes = await Promise.allSettled([
    elasticity.drain({ ...tank, ranks: [1] }),
    maps.reintegrate({ ...tank, ranks: [1] }),
    maps.exclude({ ...tank, ranks: [1], force: true }),
    elasticity.drain({ ...tank, ranks: [1] }),
  ]);
  const codes = outcomes.map((outcome) => {
    return outcome.status === "fulfilled" ? "ok" : (outcome.reason as { code: string }).code;
  });
  expect(codes).toEqual(["ok", "BUSY", "ok", "BUSY"]);
  const busy = await failureOf(elasticity.drain({ ...tank, ranks: [1] }));
  expect(busy.message).toContain("it is DOWN: another operation on it is under way, or it is out of service");
  expect((await maps.queryTargets(tank)).map.version).toBe(3);
});
