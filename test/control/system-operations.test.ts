/** What an administrator asks of the system as a whole. */
import { expect, test } from "bun:test";
import { GIB, MIB } from "../../src/base/limits.ts";
import { Opcode } from "../../src/format/operations.ts";
import type { SelfHealEvalReply, SystemRanksReply } from "../../src/format/system-operations.ts";
import { enginesRig, EXCLUDE_AFTER_MS, type EnginesRig, LEASE_MS, tankRig } from "./engines-rig.ts";
import { codeOf } from "./harness.ts";

async function statesOf({ plane }: EnginesRig, pool = "tank"): Promise<string[]> {
  return (await plane.maps.queryTargets({ pool })).map.targets.map(({ state }) => state);
}

async function engine({ plane }: EnginesRig, rank: number) {
  return (await plane.system.query()).engines![rank]!;
}

const call = <Reply>({ plane }: EnginesRig, opcode: number, args: object = {}): Promise<Reply> =>
  plane.call(opcode, args) as Promise<Reply>;

test("exclude, drain and reintegrate of ranks work on every pool that has them, and each has its outcome", async () => {
  const rig = await tankRig(3);
  await rig.plane.pools.create({ label: "bare", sizeBytes: 64 * MIB });
  const excluded = await call<SystemRanksReply>(rig, Opcode.systemExclude, { ranks: [2] });
  expect(excluded.pools).toMatchObject([
    { pool: "bare", outcome: "changed", mapVersion: 2 },
    // Its container keeps one copy.
    { pool: "tank", outcome: "failed", code: "BUSY" },
  ]);
  const forced = await call<SystemRanksReply>(rig, Opcode.systemExclude, { ranks: [2], force: true });
  expect(forced).toEqual({
    pools: [
      { pool: "bare", outcome: "unchanged", mapVersion: 2 },
      { pool: "tank", outcome: "changed", mapVersion: 2 },
    ],
  });
  await rig.live(500, 1, 2);
  await call(rig, Opcode.systemReintegrate, { ranks: [2] });
  expect([await statesOf(rig), await statesOf(rig, "bare")]).toEqual([
    ["UPIN", "UPIN", "UPIN"],
    ["UPIN", "UPIN", "UPIN"],
  ]);
  await call(rig, Opcode.systemDrain, { ranks: [1, 2] });
  expect(await statesOf(rig)).toEqual(["UPIN", "DRAIN", "DRAIN"]);
});

test("pools without targets of the ranks are left out; a rank that nobody knows is NOT_FOUND", async () => {
  const rig = await tankRig(2);
  const late = await enginesRig(3, { meta: rig.meta, world: rig.world });
  await late.join(2);
  expect(await call<SystemRanksReply>(late, Opcode.systemExclude, { ranks: [2] })).toEqual({ pools: [] });
  expect(await codeOf(call(late, Opcode.systemDrain, { ranks: [0, 9] }))).toBe("NOT_FOUND");
});

test("many pools take several answers, and none is left out", async () => {
  const rig = await tankRig(2);
  for (let index = 0; index < 40; index += 1) {
    await rig.plane.pools.create({ label: `p${String(index).padStart(2, "0")}`, sizeBytes: 16 * MIB });
  }
  const first = await call<SystemRanksReply>(rig, Opcode.systemExclude, { ranks: [1], force: true });
  expect(first.pools).toHaveLength(32);
  expect(first.anchor).toBe("p31");
  const rest = await call<SystemRanksReply>(rig, Opcode.systemExclude, { ranks: [1], force: true, after: "p31" });
  expect(rest.pools.map(({ pool }) => pool)).toEqual([
    ...Array.from({ length: 8 }, (_value, at) => `p${32 + at}`),
    "tank",
  ]);
  expect(rest.anchor).toBeUndefined();
});

test("the leader says who it is", async () => {
  const rig = await enginesRig(1);
  await rig.world.timers.advance(2_500);
  expect(await call<object>(rig, Opcode.systemLeader)).toEqual({ rank: 0, address: "127.0.0.1:10001", leadsMs: 2_500 });
});

test("self-heal without `exclude`: nobody is excluded, and the query says why; with it again, they are", async () => {
  const rig = await tankRig(3, { mayExclude: () => true });
  rig.plane.watch();
  await call(rig, Opcode.selfHealSet, { flags: ["pool_exclude", "pool_rebuild"] });
  await rig.live(EXCLUDE_AFTER_MS + 3_000, 1);
  expect(await statesOf(rig)).toEqual(["UPIN", "UPIN", "UPIN"]);
  const { state, reason, exclusionInMs } = await engine(rig, 2);
  expect({ state, exclusionInMs }).toEqual({ state: "suspect", exclusionInMs: undefined });
  expect(reason).toContain("`exclude` is off");
  await call(rig, Opcode.selfHealSet, { flags: ["exclude", "pool_exclude", "pool_rebuild"] });
  await rig.live(3_000, 1);
  expect((await engine(rig, 2)).state).toBe("excluded");
  expect((await statesOf(rig))[2]).toBe("DOWN");
  rig.plane.close();
});

test("self-heal without `pool_exclude`: pools keep an excluded engine until eval is told to go on", async () => {
  const rig = await tankRig(3, { mayExclude: () => true });
  rig.plane.watch();
  await call(rig, Opcode.selfHealSet, { flags: ["exclude"] });
  await rig.live(EXCLUDE_AFTER_MS + 3_000, 1);
  expect((await engine(rig, 2)).state).toBe("excluded");
  expect(await statesOf(rig)).toEqual(["UPIN", "UPIN", "UPIN"]);
  expect(await call<SelfHealEvalReply>(rig, Opcode.selfHealEval)).toEqual({ excluded: [2], pools: [] });
  await call(rig, Opcode.selfHealSet, { flags: ["exclude", "pool_exclude"] });
  expect(await call<SelfHealEvalReply>(rig, Opcode.selfHealEval)).toEqual({
    excluded: [2],
    pools: [{ pool: "tank", outcome: "changed", mapVersion: 2 }],
  });
  expect((await statesOf(rig))[2]).toBe("DOWN");
  rig.plane.close();
});

test("self-heal without `pool_rebuild`: the targets are told that rebuilding is paused, at once, and it stays so", async () => {
  const rig = await enginesRig(3);
  for (const index of [1, 2]) await rig.join(index);
  await rig.plane.pools.create({ label: "tank", sizeBytes: GIB });
  await rig.plane.containers.create({ pool: "tank", label: "box", type: "kv", properties: { oclass: "RP_2GX" } });
  const isPaused = (): (boolean | undefined)[] =>
    rig.engines.map(({ quotas }) => [...quotas.values()][0]!.rebuild?.isPaused);
  expect(isPaused()).toEqual([false, false, false]);
  await call(rig, Opcode.selfHealSet, { flags: ["exclude", "pool_exclude"] });
  expect(isPaused()).toEqual([true, true, true]);
  rig.plane.watch();
  rig.engines[1]!.isFilled = false;
  await rig.plane.maps.exclude({ pool: "tank", ranks: [2] });
  await rig.live(1_000, 1);
  expect((await rig.plane.pools.query({ pool: "tank" })).rebuild!.state).toBe("paused");
  rig.plane.close();
  // Another control plane on the same records.
  const next = await enginesRig(3, { meta: rig.meta, world: rig.world });
  expect(await call<object>(next, Opcode.selfHealGet)).toEqual({ flags: ["exclude", "pool_exclude"] });
  await call(next, Opcode.selfHealSet, { flags: ["exclude", "pool_exclude", "pool_rebuild"] });
  expect([...next.engines[0]!.quotas.values()][0]!.rebuild?.isPaused).toBe(false);
});

test("self-heal: a flag that there is not is refused and nothing is changed; none turns all off", async () => {
  const rig = await enginesRig(1);
  expect(await codeOf(call(rig, Opcode.selfHealSet, { flags: ["exclude", "pool_excldue"] }))).toBe("INVALID_ARGUMENT");
  expect(await call<object>(rig, Opcode.selfHealGet)).toEqual({
    flags: ["exclude", "pool_exclude", "pool_reintegrate", "pool_rebuild"],
  });
  expect(await call<object>(rig, Opcode.selfHealSet, { flags: ["none"] })).toEqual({ flags: [] });
});

test("an engine that is told to stop keeps its lease until it says farewell, and nobody misses it", async () => {
  const rig = await tankRig(3, { mayExclude: () => true });
  rig.plane.watch();
  await rig.plane.stopEngines({ ranks: [2] });
  expect(rig.engines[2]!.orders).toEqual([{ stop: {} }]);
  expect(rig.engines[1]!.orders).toEqual([]);
  expect((await engine(rig, 2)).state).toBe("stopped");
  // It finishes what runs: until then its targets may serve.
  expect(rig.heartbeat(2)).toBe(LEASE_MS);
  await rig.live(EXCLUDE_AFTER_MS * 2, 1);
  expect((await engine(rig, 2)).state).toBe("stopped");
  expect(await statesOf(rig)).toEqual(["UPIN", "UPIN", "UPIN"]);
  await rig.plane.engines.leave({ rank: 2, incarnation: 1 });
  expect(() => rig.heartbeat(2)).toThrow("it has not joined");
  rig.plane.close();
});

test("while an engine that was told to stop may serve, its targets are not excluded before its lease is over", async () => {
  const rig = await tankRig(3, { mayExclude: () => true });
  await rig.live(500, 1, 2);
  await rig.plane.stopEngines({ ranks: [2] });
  rig.engines[2]!.isAway = true;
  const startedNs = rig.world.clock.monotonicNs();
  const excluding = rig.plane.maps.exclude({ pool: "tank", ranks: [2] }).then(() => rig.world.clock.monotonicNs());
  await rig.live(LEASE_MS + 3_000, 1);
  expect(((await excluding) - startedNs) / 1e6).toBeGreaterThan(LEASE_MS - 1_000);
});

test("stop by force is passed on, and nobody is told when one of the ranks is unknown", async () => {
  const rig = await tankRig(3);
  expect(await codeOf(rig.plane.stopEngines({ ranks: [1, 9] }))).toBe("NOT_FOUND");
  expect(rig.engines[1]!.orders).toEqual([]);
  await rig.plane.stopEngines({ force: true });
  expect(rig.engines.map(({ orders }) => orders)).toEqual([
    [],
    [{ stop: { force: true } }],
    [{ stop: { force: true } }],
  ]);
});

test("start asks the supervisors of the engines that are here for those that are not", async () => {
  const rig = await tankRig(3);
  rig.engines[1]!.isSupervised = true;
  const all = { missing: [], supervisors: 0 };
  expect(await call<object>(rig, Opcode.systemStart)).toEqual(all);
  await rig.plane.engines.leave({ rank: 2, incarnation: 1 });
  expect(await call<object>(rig, Opcode.systemStart, { ranks: [1] })).toEqual(all);
  expect(rig.engines[1]!.orders).toEqual([]);
  expect(await call<object>(rig, Opcode.systemStart)).toEqual({ missing: [2], supervisors: 1 });
  expect(rig.engines[1]!.orders).toEqual([{ start: { ranks: [2] } }]);
  expect(await codeOf(call(rig, Opcode.systemStart, { ranks: [9] }))).toBe("NOT_FOUND");
});

test("restart tells nobody when one of the engines has no supervisor that would start it again", async () => {
  const rig = await tankRig(3);
  rig.engines[1]!.isSupervised = true;
  expect(await codeOf(rig.plane.stopEngines({ ranks: [1, 2], restart: true }))).toBe("UNSUPPORTED");
  const stops = (): unknown[] =>
    rig.engines.flatMap(({ orders }) => orders).filter((order) => "stop" in (order as object));
  expect(stops()).toEqual([]);
  await rig.plane.stopEngines({ ranks: [1], restart: true });
  expect(stops()).toEqual([{ stop: { restart: true } }]);
  expect((await engine(rig, 1)).state).toBe("stopped");
  rig.engines[1]!.restart();
  await rig.join(1);
  expect((await engine(rig, 1)).state).toBe("joined");
});
