/** Engines that die together are excluded together, as far as their pools bear all of it; one that dies alone does not wait. */
import { expect, test } from "bun:test";
import { type EnginesRig, enginesRig, LEASE_MS } from "./engines-rig.ts";
import { GIB } from "../../src/base/limits.ts";
import { GivenVerdicts } from "./verdicts.ts";

/** Seconds of silence alone count for nothing here. */
const PATIENT = { leaseMs: LEASE_MS, excludeAfterMs: 60_000, excludeDeadAfterMs: 0 };
/** What an exclusion takes beside the lease: looks, a second for clocks, and steps of this rig's time. */
const EXCLUSION_MS = 250 + 1_000 + 500;

interface WatchRig extends EnginesRig {
  readonly verdicts: GivenVerdicts;
  nowMs(): number;
  /** States of the targets of a pool, and the version of its map. */
  look(pool?: string): Promise<string>;
  /** Lets them live until that is so; the time that it took. */
  until(condition: () => Promise<boolean>, ...alive: readonly number[]): Promise<number>;
}

/** `tank` on all engines, with a container that survives `factor` faults. */
async function watchRig(count: number, factor: number): Promise<WatchRig> {
  const verdicts = new GivenVerdicts();
  const rig = await enginesRig(count, { membership: PATIENT, verdicts });
  for (let index = 1; index < count; index += 1) await rig.join(index);
  for (const label of ["tank", "other"]) {
    await rig.plane.pools.create({ label, sizeBytes: GIB / 4 });
    const properties = { rd_fac: factor };
    await rig.plane.containers.create({ pool: label, label: "box", type: "kv", properties });
  }
  rig.plane.watch();
  const nowMs = (): number => rig.world.clock.monotonicNs() / 1e6;
  return {
    ...rig,
    verdicts,
    nowMs,
    async look(pool = "tank") {
      const { map } = await rig.plane.maps.queryTargets({ pool });
      return `${map.version}: ${map.targets.map(({ state }) => state).join(" ")}`;
    },
    async until(condition, ...alive) {
      const startMs = nowMs();
      while (!(await condition())) {
        expect(nowMs() - startMs).toBeLessThan(60_000);
        await rig.live(500, ...alive);
      }
      return nowMs() - startMs;
    },
  };
}

async function stateOf({ plane }: EnginesRig, rank: number): Promise<string | undefined> {
  return (await plane.system.query()).engines?.[rank]?.state;
}

test("two engines that die within a heartbeat of each other go in one change of each map", async () => {
  const rig = await watchRig(5, 2);
  await rig.live(2_000, 1, 2, 3, 4);
  await rig.live(500, 1, 2, 4);
  const diedMs = rig.nowMs();
  rig.verdicts.given.set(3, { state: "dead", atMs: diedMs + 1_500 });
  rig.verdicts.given.set(4, { state: "suspect", atMs: diedMs + 2_500 });
  const bury = async (): Promise<boolean> => {
    if (rig.nowMs() >= diedMs + 2_500) rig.verdicts.given.set(4, { state: "dead", atMs: diedMs + 2_500 });
    return (await stateOf(rig, 3)) === "excluded" && (await stateOf(rig, 4)) === "excluded";
  };
  expect(await rig.until(bury, 1, 2)).toBeLessThanOrEqual(LEASE_MS + EXCLUSION_MS + 500);
  expect(await rig.look()).toBe("2: UPIN UPIN UPIN DOWN DOWN");
  expect(await rig.look("other")).toBe("2: UPIN UPIN UPIN DOWN DOWN");
  rig.plane.close();
});

test("an engine that dies alone waits for nobody, nor for one that has been silent for long", async () => {
  const rig = await watchRig(5, 2);
  rig.verdicts.given.set(4, { state: "suspect", atMs: 1e9 });
  await rig.live(6_000, 1, 2, 3);
  rig.verdicts.given.set(3, { state: "dead", atMs: rig.nowMs() });
  const excluded = async (): Promise<boolean> => (await rig.look()).startsWith("2:");
  expect(await rig.until(excluded, 1, 2)).toBeLessThanOrEqual(LEASE_MS + 500);
  expect(await rig.look()).toBe("2: UPIN UPIN UPIN DOWN UPIN");
  rig.plane.close();
});

test("a suspect that turns out to live holds the others up for a second at most", async () => {
  const rig = await watchRig(5, 2);
  await rig.live(2_000, 1, 2, 3, 4);
  rig.verdicts.given.set(3, { state: "dead", atMs: rig.nowMs() });
  rig.verdicts.given.set(4, { state: "suspect", atMs: 1e9 });
  const excluded = async (): Promise<boolean> => (await rig.look()).startsWith("2:");
  expect(await rig.until(excluded, 1, 2)).toBeLessThanOrEqual(LEASE_MS + 1_000 + 500);
  expect(await rig.look()).toBe("2: UPIN UPIN UPIN DOWN UPIN");
  rig.verdicts.given.delete(4);
  expect(await rig.until(async () => (await stateOf(rig, 4)) === "joined", 1, 2, 4)).toBeLessThan(2_000);
  rig.plane.close();
});

test("more than a pool bears: none of them goes, the query says which, and one that comes back lets the other go", async () => {
  const rig = await watchRig(4, 1);
  await rig.live(2_000, 1, 2, 3);
  for (const rank of [2, 3]) rig.verdicts.given.set(rank, { state: "dead", atMs: rig.nowMs() });
  await rig.live(10_000, 1);
  expect(await rig.look()).toBe("1: UPIN UPIN UPIN UPIN");
  const { engines } = await rig.plane.system.query();
  for (const rank of [2, 3]) {
    expect(engines![rank]!.state).toBe("suspect");
    expect(engines![rank]!.reason).toContain("survives 1 fault(s), and rank 2, 3 would be down together");
  }
  rig.verdicts.given.delete(2);
  await rig.until(async () => (await stateOf(rig, 3)) === "excluded", 1, 2);
  expect(await stateOf(rig, 2)).toBe("joined");
  expect(await rig.look()).toBe("2: UPIN UPIN UPIN DOWN");
  rig.plane.close();
});
