/** Several engines under one control plane: who belongs to it, what they are told, what happens to those that are away. */
import { expect, test } from "bun:test";
import { DaosError } from "../../src/base/errors.ts";
import { GIB } from "../../src/base/limits.ts";
import { ENGINE_PROTOCOL_VERSION } from "../../src/format/engine-version.ts";
import { mapKey } from "../../src/format/meta-key.ts";
import { GivenVerdicts } from "./verdicts.ts";
import { codeOf, SYSTEM_ID } from "./harness.ts";
import { enginesRig, EXCLUDE_AFTER_MS, LEASE_MS, type EnginesRig, MemoryEngine, tankRig } from "./engines-rig.ts";

/** The clocks of engines may differ by so much. */
const CLOCKS_MS = 1_000;
const box = { pool: "tank", container: "box" };

async function mapOf({ plane }: EnginesRig, pool = "tank"): Promise<{ version: number; states: string[] }> {
  const { map } = await plane.maps.queryTargets({ pool });
  return { version: map.version, states: map.targets.map(({ state }) => state) };
}

async function stateOf({ plane }: EnginesRig, rank: number): Promise<string | undefined> {
  return (await plane.system.query()).engines?.[rank]?.state;
}

test("ranks are given in order and kept; a new pool lies on all targets, with their domains and addresses", async () => {
  const rig = await tankRig(3);
  const { map } = await rig.plane.maps.queryTargets({ pool: "tank" });
  expect(map.targets.map(({ rank, domain, port, state }) => [rank, domain, port, state])).toEqual([
    [0, "/", 10_002, "UPIN"],
    [1, "/rack1", 10_102, "UPIN"],
    [2, "/rack2", 10_202, "UPIN"],
  ]);
  for (const [index, { open, assignments, quotas }] of rig.engines.entries()) {
    expect([...open]).toEqual([1]);
    expect([...assignments.values()].map(({ own }) => own)).toEqual([[index]]);
    expect([...quotas.values()].map(({ targetBytes }) => targetBytes)).toEqual([Math.floor(GIB / 3)]);
  }
});

test("an engine that starts anew is told its pools again; its new addresses reach the others without a new version", async () => {
  const rig = await tankRig(3);
  rig.engines[1]!.restart();
  await rig.join(1);
  expect([...rig.engines[1]!.open]).toEqual([1]);
  expect(rig.engines[1]!.quotas.size).toBe(1);
  const [told] = rig.engines[2]!.assignments.values();
  expect(told!.map.version).toBe(1);
  expect(told!.map.targets[1]!.port).toBe(10_103);
  expect((await rig.plane.containers.open({ ...box, readOnly: true })).map).toEqual(told!.map);
});

test("containers are made and destroyed while an engine is away; it catches up when it is back", async () => {
  const rig = await tankRig(3);
  const [, , absent] = rig.engines;
  absent!.isAway = true;
  await rig.plane.containers.create({ pool: "tank", label: "later", type: "kv" });
  await rig.plane.containers.destroy({ ...box, force: false });
  expect([...rig.meta.entries.keys()].filter((key) => key.startsWith("removal/"))).toEqual(["removal/2/1"]);
  absent!.restart();
  await rig.join(2);
  expect([...absent!.open]).toEqual([2]);
  expect([...absent!.destroyed]).toEqual([1]);
  expect([...rig.meta.entries.keys()].some((key) => key.startsWith("removal/"))).toBe(false);
});

test("an engine that was not told something gets no lease until it has joined again", async () => {
  const rig = await tankRig(2);
  expect(rig.heartbeat(1)).toBe(LEASE_MS);
  rig.engines[1]!.isAway = true;
  await rig.plane.containers.create({ pool: "tank", label: "later", type: "kv" });
  rig.engines[1]!.isAway = false;
  expect(rig.heartbeat(1)).toBe(0);
  await rig.join(1);
  expect([...rig.engines[1]!.open].toSorted()).toEqual([1, 2]);
  expect(rig.heartbeat(1)).toBe(LEASE_MS);
});

test("a container that is made while an engine is being told its pools is not missed", async () => {
  const rig = await tankRig(2);
  const engine = rig.engines[1]!;
  engine.restart();
  let isHeld = true;
  engine.gate = async () => {
    if (!isHeld) return;
    isHeld = false;
    engine.isAway = true;
    await rig.plane.containers.create({ pool: "tank", label: "between", type: "kv" });
    engine.isAway = false;
  };
  await rig.join(1);
  expect([...engine.open].toSorted()).toEqual([1, 2]);
  expect(rig.heartbeat(1)).toBe(LEASE_MS);
});

test("a snapshot needs all that serve; one destroyed while an engine is away is gone there when it is back", async () => {
  const rig = await tankRig(3);
  const { epoch } = await rig.plane.snapshots.create({ ...box, name: "s" });
  for (const { snapshots } of rig.engines) expect([...snapshots.get(1)!]).toEqual([epoch]);
  const absent = rig.engines[1]!;
  absent.isAway = true;
  expect(await codeOf(rig.plane.snapshots.create({ ...box, name: "t" }))).toBe("UNAVAILABLE");
  await rig.plane.snapshots.destroy({ ...box, name: "s" });
  for (const index of [0, 2]) expect([...rig.engines[index]!.snapshots.get(1)!]).toEqual([]);
  expect([...absent.snapshots.get(1)!]).toEqual([epoch]);
  absent.restart();
  await rig.join(1);
  expect([...absent.snapshots.get(1)!]).toEqual([]);
});

test("a pool from before there were maps gets that of the first engine", async () => {
  const rig = await tankRig(2);
  const pool = (await rig.plane.pools.query({ pool: "tank" })).id;
  rig.meta.entries.delete(mapKey(pool));
  expect(await mapOf(rig)).toEqual({ version: 1, states: ["UPIN"] });
  expect(rig.meta.entries.has(mapKey(pool))).toBe(true);
});

test("who may join: same version, same system, signed by members, strangers only where that is allowed", async () => {
  const rig = await tankRig(2);
  const stranger = "99999999-2222-4333-8444-555555555555";
  const facts = { sentAtMs: 0, version: ENGINE_PROTOCOL_VERSION, engine: stranger, domain: "/", targets: 1 };
  const hello = (change: object, isSigned = false, mayBegin = true) =>
    codeOf(rig.plane.engines.hello({ ...facts, ...change }, isSigned, mayBegin));
  expect(await hello({ version: ENGINE_PROTOCOL_VERSION + 1 })).toBe("VERSION");
  expect(await hello({ system: { id: stranger, name: "daos" } })).toBe("CONFIGURATION");
  expect(await hello({ system: { id: SYSTEM_ID, name: "other" } })).toBe("CONFIGURATION");
  expect(await hello({ system: { id: SYSTEM_ID, name: "daos" } })).toBe("PERMISSION");
  expect(await hello({}, false, false)).toBe("PERMISSION");
  expect(await hello({ engine: rig.engines[1]!.id })).toBe("PERMISSION");
  expect((await rig.plane.engines.hello({ ...facts, engine: rig.engines[1]!.id }, true, false)).rank).toBe(1);
  expect((await rig.plane.engines.hello(facts, false, true)).rank).toBe(2);
  // A format that was cut off asks again before it knows any key.
  expect((await rig.plane.engines.hello(facts, false, true)).rank).toBe(2);
  const { address } = rig.engines[1]!;
  const join = { ...facts, rank: 1, incarnation: 9, address, targets: [address], scmBytes: 1, nvmeBytes: 1 };
  expect(await codeOf(rig.plane.engines.join(join))).toBe("PERMISSION");
});

test("a second engine of the same id is refused while the first one answers, and let in when it does not", async () => {
  const rig = await tankRig(2);
  const original = rig.engines[1]!;
  const twin = {
    sentAtMs: 0,
    engine: original.id,
    rank: 1,
    incarnation: 50,
    domain: "/",
    address: { host: "127.0.0.1", port: 20_000 },
    targets: [{ host: "127.0.0.1", port: 20_001 }],
    scmBytes: 1,
    nvmeBytes: 1,
  };
  expect(await codeOf(rig.plane.engines.join(twin))).toBe("ALREADY_EXISTS");
  original.isAway = true;
  const moved = new MemoryEngine(1);
  (rig.engines as MemoryEngine[]).push(Object.assign(moved, { address: twin.address, incarnation: 50 }));
  await rig.plane.engines.join(twin);
  expect((await rig.plane.system.query()).engines![1]!.address).toBe("127.0.0.1:20000");
});

test("two admins who exclude at once: both count, and together they never take the last target", async () => {
  const rig = await tankRig(3);
  const second = await enginesRig(3, { meta: rig.meta, engines: rig.engines, world: rig.world });
  const exclude = (on: EnginesRig, ranks: number[]) => on.plane.maps.exclude({ pool: "tank", ranks, force: true });
  await Promise.all([exclude(rig, [1]), exclude(second, [2])]);
  expect(await mapOf(rig)).toEqual({ version: 3, states: ["UPIN", "DOWN", "DOWN"] });
  await rig.join(1);
  await rig.join(2);
  await rig.plane.maps.reintegrate({ pool: "tank", ranks: [1, 2] });
  expect(await mapOf(rig)).toEqual({ version: 5, states: ["UPIN", "UPIN", "UPIN"] });
  const outcomes = await Promise.allSettled([exclude(rig, [0, 1]), exclude(second, [2])]);
  const refused = outcomes.filter((outcome) => outcome.status === "rejected");
  expect(refused.map(({ reason }) => (reason as { code: string }).code)).toEqual(["INVALID_ARGUMENT"]);
  expect((await mapOf(rig)).version).toBe(6);
  // Once more changes nothing.
  const { map } = await exclude(rig, [2]).catch(() => rig.plane.maps.queryTargets({ pool: "tank" }));
  expect(map.version).toBe(6);
});

test("an exclusion of a silent engine is effective when its lease is over, for admins and for clients", async () => {
  const rig = await tankRig(3);
  expect(rig.heartbeat(1)).toBe(LEASE_MS);
  rig.engines[1]!.isAway = true;
  const grantedMs = rig.world.clock.monotonicNs() / 1e6;
  const nowMs = (): number => rig.world.clock.monotonicNs() / 1e6 - grantedMs;
  const excluding = rig.plane.maps.exclude({ pool: "tank", ranks: [1], force: true }).then(nowMs);
  await rig.live(500, 2);
  const opening = rig.plane.containers.open({ ...box, readOnly: true }).then(({ map }) => [map.version, nowMs()]);
  await rig.live(LEASE_MS, 2);
  expect(await excluding).toBeGreaterThanOrEqual(LEASE_MS);
  const [version, openedMs] = await opening;
  expect(version).toBe(2);
  expect(openedMs).toBeGreaterThanOrEqual(LEASE_MS);
  // The others hear of it after that.
  expect([...rig.engines[2]!.assignments.values()][0]!.map.version).toBe(2);
});

test("an engine that joins meanwhile, or asks for the map, hears of an exclusion when it is effective", async () => {
  const rig = await tankRig(3);
  expect(rig.heartbeat(2)).toBe(LEASE_MS);
  rig.engines[2]!.isAway = true;
  const excluding = rig.plane.maps.exclude({ pool: "tank", ranks: [2], force: true });
  await rig.live(500);
  const told = rig.engines[1]!;
  const [pool] = told.assignments.keys();
  told.restart();
  const joining = rig.join(1);
  const asking = rig.plane.engines.map({ rank: 1, pool: pool! });
  await rig.live(LEASE_MS);
  expect(told.assignments.size).toBe(0);
  await rig.live(CLOCKS_MS);
  await Promise.all([excluding, joining]);
  expect(told.assignments.get(pool!)!.map.version).toBe(2);
  expect((await asking).map.version).toBe(2);
});

test("an engine that answers is excluded when clocks are past what it served", async () => {
  const rig = await tankRig(3);
  const beforeMs = rig.world.clock.monotonicNs() / 1e6;
  await rig.plane.maps.exclude({ pool: "tank", ranks: [1], force: true });
  const tookMs = rig.world.clock.monotonicNs() / 1e6 - beforeMs;
  expect(tookMs).toBeGreaterThanOrEqual(CLOCKS_MS);
  expect(tookMs).toBeLessThan(CLOCKS_MS + 100);
  expect([...rig.engines[1]!.assignments.values()][0]!.map.version).toBe(2);
  // One that starts anew knows that.
  const startMs = rig.world.clock.monotonicNs() / 1e6;
  const after = await enginesRig(3, { meta: rig.meta, engines: rig.engines, world: rig.world });
  await after.plane.containers.open({ ...box, readOnly: true });
  expect(after.world.clock.monotonicNs() / 1e6 - startMs).toBeLessThan(100);
});

test("a control plane that starts anew waits for leases it does not know", async () => {
  const rig = await tankRig(3);
  rig.engines[1]!.isAway = true;
  void rig.plane.maps.exclude({ pool: "tank", ranks: [1], force: true });
  await rig.live(500, 2);
  expect((await mapOf(rig)).version).toBe(2);
  rig.plane.close();
  const startMs = rig.world.clock.monotonicNs() / 1e6;
  const after = await enginesRig(3, { meta: { ...rig.meta }, engines: rig.engines, world: rig.world });
  await after.plane.containers.open({ ...box, readOnly: true });
  expect(after.world.clock.monotonicNs() / 1e6 - startMs).toBeGreaterThanOrEqual(LEASE_MS);
});

test("a container that is made while an exclusion becomes effective waits for it and does not hold it up", async () => {
  const rig = await tankRig(3);
  rig.engines[1]!.isAway = true;
  const over: string[] = [];
  const excluding = rig.plane.maps.exclude({ pool: "tank", ranks: [1], force: true }).then(() => over.push("excluded"));
  await rig.live(500, 2);
  expect((await mapOf(rig)).version).toBe(2);
  const create = { pool: "tank", label: "meanwhile", type: "kv" } as const;
  const making = rig.plane.containers.create(create).then(() => over.push("made"));
  await rig.live(3 * LEASE_MS, 2);
  expect(over.toSorted()).toEqual(["excluded", "made"]);
  await Promise.all([excluding, making]);
  rig.plane.close();
});

test("a silent engine is a suspect, then excluded where that loses nothing, and a member again when it is back", async () => {
  const rig = await enginesRig(3);
  await rig.join(1);
  await rig.join(2);
  await rig.plane.pools.create({ label: "tank", sizeBytes: GIB });
  rig.plane.watch();
  await rig.live(3_000, 1, 2);
  expect(await stateOf(rig, 2)).toBe("joined");
  await rig.live(2_500, 1);
  expect(await stateOf(rig, 2)).toBe("suspect");
  expect((await mapOf(rig)).version).toBe(1);
  const { exclusionInMs } = (await rig.plane.system.query()).engines![2]!;
  expect(exclusionInMs).toBeGreaterThan(0);
  expect(exclusionInMs).toBeLessThan(EXCLUDE_AFTER_MS - 2_000);
  await rig.live(6_000, 1);
  expect(await mapOf(rig)).toEqual({ version: 2, states: ["UPIN", "UPIN", "DOWN"] });
  expect(await stateOf(rig, 2)).toBe("excluded");
  expect(rig.events.join()).toContain("rank 2 is excluded from all pools");
  rig.engines[2]!.restart();
  await rig.join(2);
  expect(await stateOf(rig, 2)).toBe("joined");
  expect((await mapOf(rig)).states[2]).toBe("DOWN");
  await rig.plane.maps.reintegrate({ pool: "tank", ranks: [2] });
  expect(await mapOf(rig)).toEqual({ version: 4, states: ["UPIN", "UPIN", "UPIN"] });
  rig.plane.close();
});

/** Seconds of silence alone count for nothing within these tests. */
const PATIENT = { leaseMs: LEASE_MS, excludeAfterMs: 60_000, excludeDeadAfterMs: 0 };

test("an engine that the others find dead is excluded once its lease is over, and its time is told before", async () => {
  const verdicts = new GivenVerdicts();
  const rig = await enginesRig(3, { membership: PATIENT, verdicts });
  const nowMs = (): number => rig.world.clock.monotonicNs() / 1e6;
  await rig.join(1);
  await rig.join(2);
  await rig.plane.pools.create({ label: "tank", sizeBytes: GIB });
  rig.plane.watch();
  await rig.live(2_000, 1, 2);
  expect(verdicts.rosters.at(-1)!.members.map(({ rank, incarnation }) => [rank, incarnation])).toEqual([
    [0, 1],
    [1, 1],
    [2, 1],
  ]);
  const told = verdicts.rosters.length;
  verdicts.given.set(2, { state: "suspect", atMs: nowMs() + 1_000 });
  await rig.live(500, 1);
  const { state, exclusionInMs } = (await rig.plane.system.query()).engines![2]!;
  expect(state).toBe("suspect");
  expect(exclusionInMs).toBeGreaterThan(LEASE_MS - 1_500);
  expect(exclusionInMs).toBeLessThan(LEASE_MS);
  verdicts.given.set(2, { state: "dead", atMs: nowMs() });
  await rig.live(2_500, 1);
  expect(await stateOf(rig, 2)).toBe("suspect");
  await rig.live(2_000, 1);
  expect(await stateOf(rig, 2)).toBe("excluded");
  expect(await mapOf(rig)).toEqual({ version: 2, states: ["UPIN", "UPIN", "DOWN"] });
  await rig.live(500, 1);
  expect(verdicts.rosters.length).toBe(told + 1);
  expect(verdicts.rosters.at(-1)!.members.map(({ rank }) => rank)).toEqual([0, 1]);
  rig.plane.close();
});

test("an engine that is dead to the others and sends heartbeats stays, and the query says what to look at", async () => {
  const verdicts = new GivenVerdicts();
  const rig = await enginesRig(3, { membership: PATIENT, verdicts });
  await rig.join(1);
  await rig.join(2);
  await rig.plane.pools.create({ label: "tank", sizeBytes: GIB });
  rig.plane.watch();
  verdicts.given.set(2, { state: "dead", atMs: 0 });
  await rig.live(20_000, 1, 2);
  const engine = (await rig.plane.system.query()).engines![2]!;
  expect(engine).toMatchObject({ state: "suspect" });
  expect(engine.reason).toContain("UDP");
  expect(engine.exclusionInMs).toBeUndefined();
  expect((await mapOf(rig)).version).toBe(1);
  await rig.plane.pools.setProperties({ pool: "tank", properties: { "user.a": "b" } });
  expect(rig.heartbeat(2)).toBe(LEASE_MS);
  rig.plane.close();
});

test("when most are dead to the control plane's engine nobody is excluded for that, only for silence", async () => {
  const verdicts = new GivenVerdicts();
  const rig = await enginesRig(3, { membership: { ...PATIENT, excludeAfterMs: 12_000 }, verdicts });
  await rig.join(1);
  await rig.join(2);
  await rig.plane.pools.create({ label: "tank", sizeBytes: GIB });
  rig.plane.watch();
  verdicts.isAlone = true;
  for (const rank of [1, 2]) verdicts.given.set(rank, { state: "dead", atMs: 0 });
  await rig.live(9_000, 1);
  expect(await stateOf(rig, 1)).toBe("joined");
  expect(await stateOf(rig, 2)).toBe("suspect");
  await rig.live(5_000, 1);
  expect(await stateOf(rig, 2)).toBe("excluded");
  rig.plane.close();
});

test("a heartbeat brings the roster to who has another one", async () => {
  const rig = await enginesRig(2);
  await rig.join(1);
  const heartbeat = { sentAtMs: 0, rank: 1, incarnation: 1 };
  const { roster } = rig.plane.engines.heartbeat({ ...heartbeat, roster: 0 });
  expect(roster!.members.map(({ address }) => address)).toEqual(rig.engines.map(({ address }) => address));
  expect(rig.plane.engines.heartbeat({ ...heartbeat, roster: roster!.version })).toEqual({ leaseMs: LEASE_MS });
  rig.engines[1]!.restart();
  await rig.join(1);
  const after = rig.plane.engines.heartbeat({ ...heartbeat, incarnation: 2, roster: roster!.version }).roster!;
  expect(after.version).toBeGreaterThan(roster!.version);
  expect(after.members[1]!.incarnation).toBe(2);
});

test("a pool with one copy of its data keeps a silent engine in its map; so does `never`", async () => {
  const rig = await tankRig(2);
  rig.plane.watch();
  await rig.live(12_000);
  expect((await mapOf(rig)).version).toBe(1);
  const engine = (await rig.plane.system.query()).engines![1]!;
  expect(engine).toMatchObject({ state: "suspect" });
  expect(engine.reason).toContain("survives 0 fault(s)");
  rig.plane.close();
  const never = await enginesRig(2, {
    membership: { leaseMs: LEASE_MS, excludeAfterMs: undefined, excludeDeadAfterMs: 0 },
  });
  await never.join(1);
  await never.plane.pools.create({ label: "tank", sizeBytes: GIB });
  never.plane.watch();
  await never.live(30_000);
  expect((await mapOf(never)).version).toBe(1);
  expect((await never.plane.system.query()).engines![1]!.exclusionInMs).toBeUndefined();
  never.plane.close();
});

test("a stopped engine is neither asked nor excluded", async () => {
  const rig = await enginesRig(2);
  await rig.join(1);
  await rig.plane.pools.create({ label: "tank", sizeBytes: GIB });
  rig.plane.watch();
  await rig.plane.engines.leave({ rank: 1, incarnation: 1 });
  await rig.live(12_000);
  expect(await stateOf(rig, 1)).toBe("stopped");
  expect((await mapOf(rig)).version).toBe(1);
  await rig.plane.maps.exclude({ pool: "tank", ranks: [1] });
  expect(await codeOf(rig.plane.maps.reintegrate({ pool: "tank", ranks: [1] }))).toBe("UNAVAILABLE");
  rig.plane.close();
});

test("an engine that cannot remove a container joins all the same, and is asked again the next time", async () => {
  const rig = await tankRig(2);
  const engine = rig.engines[1]!;
  engine.isAway = true;
  await rig.plane.containers.destroy({ ...box, force: false });
  engine.restart();
  engine.failures.set("destroyContainer", new DaosError("IO", "Cannot write: the disk is broken."));
  await rig.join(1);
  expect(rig.heartbeat(1)).toBe(LEASE_MS);
  expect(rig.events.join()).toContain("removal of container 1 from rank 1: Cannot write");
  engine.failures.clear();
  engine.restart();
  await rig.join(1);
  expect([...engine.destroyed]).toEqual([1]);
});

test("a damaged target may be made anew when its engine is missed and others have what it had in all pools", async () => {
  const rig = await tankRig(3);
  const renew = (targets = [0]): Promise<string> => codeOf(rig.plane.engines.renew({ rank: 1, targets }));
  expect(await renew()).toBe("BUSY");
  await rig.plane.engines.leave({ rank: 1, incarnation: 1 });
  expect(await renew()).toBe("UNAVAILABLE");
  const { map } = await rig.plane.maps.exclude({ pool: "tank", ranks: [1], force: true });
  expect((await mapOf(rig)).states[1]).toBe("DOWN");
  expect(await renew()).toBe("UNAVAILABLE");
  // Another target of the engine has nothing of the pool.
  await rig.plane.engines.renew({ rank: 1, targets: [1] });
  const pool = (await rig.plane.pools.query({ pool: "tank" })).id;
  await rig.plane.maps.completeFilled(pool, map.version);
  expect((await mapOf(rig)).states[1]).toBe("DOWNOUT");
  await rig.plane.engines.renew({ rank: 1, targets: [0] });
  rig.plane.close();
});
