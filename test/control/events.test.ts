/** What the control plane tells of engines and pools. */
import { expect, test } from "bun:test";
import { GIB } from "../../src/base/limits.ts";
import { Opcode } from "../../src/format/operations.ts";
import type { SystemEventsReply } from "../../src/format/event-operations.ts";
import { enginesRig, EXCLUDE_AFTER_MS, LEASE_MS, tankRig } from "./engines-rig.ts";
import { GivenVerdicts } from "./verdicts.ts";

test("an engine that dies: suspect, dead, out of its pools, excluded, joined again; each told once", async () => {
  const verdicts = new GivenVerdicts();
  const rig = await tankRig(3, { verdicts, mayExclude: () => true });
  rig.plane.watch();
  expect(rig.told.splice(0)).toEqual(["engine_joined 1", "engine_joined 2", "pool_created tank"]);
  await rig.live(2_000, 1, 2);
  verdicts.given.set(2, { state: "dead", atMs: rig.world.clock.monotonicNs() / 1e6 });
  await rig.live(LEASE_MS + 4_000, 1);
  expect(rig.told.splice(0)).toEqual(["engine_suspect 2", "engine_dead 2", "pool_excluded tank", "engine_excluded 2"]);
  verdicts.given.clear();
  rig.engines[2]!.restart();
  await rig.join(2);
  await rig.plane.maps.reintegrate({ pool: "tank", ranks: [2] });
  await rig.live(1_000, 1, 2);
  expect(rig.told).toEqual(["engine_joined 2", "pool_reintegrating tank", "pool_reintegrated tank"]);
  rig.plane.close();
});

test("a suspect that is heard of again has recovered; one whose pool needs it is kept", async () => {
  const rig = await tankRig(3);
  rig.plane.watch();
  rig.told.splice(0);
  await rig.live(2_500, 1);
  await rig.live(1_000, 1, 2);
  expect(rig.told.splice(0)).toEqual(["engine_suspect 2", "engine_recovered 2"]);
  await rig.live(EXCLUDE_AFTER_MS + 6_000, 1);
  expect(rig.told).toEqual(["engine_suspect 2", "engine_kept 2"]);
  rig.plane.close();
});

test("an engine that says farewell and one that is told to stop have left, once", async () => {
  const rig = await enginesRig(3);
  await rig.join(1);
  await rig.join(2);
  rig.told.splice(0);
  await rig.plane.engines.leave({ rank: 1, incarnation: 1 });
  await rig.plane.engines.leave({ rank: 1, incarnation: 1 });
  await rig.plane.stopEngines({ ranks: [2] });
  await rig.plane.engines.leave({ rank: 2, incarnation: 1 });
  expect(rig.told).toEqual(["engine_left 1", "engine_left 2"]);
});

test("rebuild: started, stuck, done; extended, drained; destroyed", async () => {
  const rig = await enginesRig(4);
  for (const index of [1, 2]) await rig.join(index);
  await rig.plane.pools.create({ label: "tank", sizeBytes: GIB });
  await rig.plane.containers.create({ pool: "tank", label: "box", type: "kv", properties: { oclass: "RP_2GX" } });
  rig.plane.watch();
  rig.told.splice(0);
  Object.assign(rig.engines[1]!, { isFilled: false, isStuck: true });
  await rig.plane.maps.exclude({ pool: "tank", ranks: [2] });
  await rig.live(3_000, 1, 2);
  expect(rig.told.splice(0)).toEqual(["pool_excluded tank", "pool_rebuild_started tank", "pool_rebuild_stuck tank"]);
  Object.assign(rig.engines[1]!, { isFilled: true, isStuck: false });
  await rig.live(2_000, 1, 2);
  expect(rig.told.splice(0)).toEqual(["pool_rebuild_resumed tank", "pool_rebuild_done tank"]);
  await rig.join(3);
  await rig.plane.elasticity.extend({ pool: "tank", ranks: [3] });
  await rig.live(2_000, 1, 2, 3);
  await rig.plane.elasticity.drain({ pool: "tank", ranks: [1] });
  await rig.live(2_000, 1, 2, 3);
  expect(rig.told.splice(0)).toEqual([
    "engine_joined 3",
    "pool_extended tank",
    "pool_reintegrated tank",
    "pool_rebuild_done tank",
    "pool_draining tank",
    "pool_drained tank",
    "pool_rebuild_done tank",
  ]);
  await rig.plane.pools.destroy({ pool: "tank", force: true });
  expect(rig.told).toEqual(["pool_destroyed tank"]);
  rig.plane.close();
});

test("what engines report is kept, and told by the operation", async () => {
  const rig = await enginesRig(2);
  await rig.join(1);
  const event = {
    sequence: 1,
    id: "device_faulty",
    severity: "error",
    timeMs: 5,
    message: "it is",
    device: "d",
  } as const;
  await rig.plane.engines.events({ rank: 1, incarnation: 1, events: [event] });
  const reply = (await rig.plane.call(Opcode.systemEvents, { severity: "error" })) as SystemEventsReply;
  expect(reply.events).toMatchObject([{ number: 1, id: "device_faulty", device: "d" }]);
  expect(reply.events[0]!.advice).toContain("daos storage replace");
});

test("a control plane that begins gives the engines time to join before it tells of suspects", async () => {
  const rig = await tankRig(3);
  const next = await enginesRig(3, { meta: rig.meta, world: rig.world, engines: rig.engines });
  next.plane.watch();
  await next.live(1_000);
  expect(next.told).toEqual([]);
  await next.join(1);
  await next.live(2_000, 1);
  expect(next.told).toEqual(["engine_joined 1", "engine_suspect 2"]);
  rig.plane.close();
  next.plane.close();
});
