import { expect, test } from "bun:test";
import { DaosError } from "../../src/base/errors.ts";
import { checkMapVersion, NewerMap, PoolMapTable } from "../../src/engine/pool-map-table.ts";
import { servingTarget } from "../../src/format/pool-map.ts";
import { simulatedWorld } from "../simulation/world.ts";

const mapAt = (version: number, port = 1) => ({
  version,
  targets: [servingTarget({ index: 0, host: "127.0.0.1", port })],
});
const served = (number: number) => ({ number, cellBytes: 4096 });
const given = (version: number, containers: number[] = [], port = 1) => ({
  pool: "tank",
  map: mapAt(version, port),
  own: 0,
  containers: containers.map(served),
});

function codeOf(work: () => unknown): string {
  try {
    work();
    return "ok";
  } catch (error) {
    if (error instanceof DaosError) return error.code;
    throw error;
  }
}

test("a container's pool is one object whose map follows; listeners hear of each map, of new addresses and containers", () => {
  const table = new PoolMapTable(simulatedWorld(1).timers);
  const heard: string[] = [];
  const stop = table.onChange(({ map }, previous) => heard.push(`${previous?.version ?? 0}->${map.version}`));
  table.set(given(1, [4]));
  const pool = table.mapOf(4)!;
  table.add(served(5), "tank");
  table.set(given(2));
  table.set(given(2, [], 9));
  expect(pool.map.version).toBe(2);
  expect(table.mapOf(5)).toBe(pool);
  expect(pool.map.targets[0]!.port).toBe(9);
  expect([...pool.containers.values()]).toEqual([served(4), served(5)]);
  // An older map, late on its way, brings its containers and nothing else.
  table.set(given(1, [6]));
  expect(table.mapOf(6)!.map.version).toBe(2);
  expect(heard).toEqual(["0->1", "1->1", "1->2", "2->2", "2->2"]);
  table.add(served(6), "tank");
  expect(heard.length).toBe(5);
  stop();
  table.set(given(3));
  expect(heard.length).toBe(5);
  table.remove(4);
  expect(table.mapOf(4)).toBeUndefined();
  table.forget("tank");
  expect(table.mapOf(5)).toBeUndefined();
  expect(codeOf(() => table.add(served(7), "tank"))).toBe("STALE");
});

test("requests by an older map are STALE, by a newer one NewerMap, without a version served", () => {
  const table = new PoolMapTable(simulatedWorld(1).timers);
  table.set(given(5, [1]));
  const pool = table.mapOf(1)!;
  checkMapVersion(5, pool);
  checkMapVersion(0, pool);
  expect(codeOf(() => checkMapVersion(4, pool))).toBe("STALE");
  expect(() => checkMapVersion(6, pool)).toThrow(NewerMap);
});

test("a newer map is asked for once, and all that wait for it go on when it comes", async () => {
  const { timers } = simulatedWorld(1);
  const table = new PoolMapTable(timers);
  table.set(given(1, [1]));
  const wanted = table.nextWanted();
  const waiting = [table.learn(new NewerMap(table.mapOf(1)!, 2)), table.learn(new NewerMap(table.mapOf(1)!, 2))];
  expect(await wanted).toBe("tank");
  table.set(given(2));
  await Promise.all(waiting);
  await table.learn(new NewerMap(table.mapOf(1)!, 2));
});

test("a map that does not come is UNAVAILABLE after a while; who asks later hears of it at once", async () => {
  const { timers, clock } = simulatedWorld(1);
  const table = new PoolMapTable(timers);
  table.set(given(1, [1]));
  const failure = table.learn(new NewerMap(table.mapOf(1)!, 2)).catch((error: unknown) => error);
  expect(await failure).toMatchObject({ code: "UNAVAILABLE" });
  expect(clock.monotonicNs() / 1e6).toBeGreaterThanOrEqual(2_000);
  expect(await table.nextWanted()).toBe("tank");
});
