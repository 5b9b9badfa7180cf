/** Engines of releases one version apart under one control plane, and what the older ones cannot be asked for. */
import { expect, test } from "bun:test";
import type { EngineHelloArguments } from "../../src/format/engine-operations.ts";
import { ENGINE_PROTOCOL_VERSION } from "../../src/format/engine-version.ts";
import { Opcode } from "../../src/format/operations.ts";
import { enginesRig, type EnginesRig } from "./engines-rig.ts";
import { codeOf, failureOf } from "./harness.ts";

const OLDER = ENGINE_PROTOCOL_VERSION - 1;

const hello = (
  { plane, engines }: EnginesRig,
  index: number,
  versions: Pick<EngineHelloArguments, "version" | "oldest">,
) =>
  plane.engines.hello({ sentAtMs: 0, engine: engines[index]!.id, domain: "/", targets: 1, ...versions }, false, true);

/** It joins as an engine of the version before does: it does not say any version. */
async function joinOlder(rig: EnginesRig, index: number): Promise<number> {
  const { rank } = await hello(rig, index, { version: OLDER });
  const { id: engine, incarnation, address } = rig.engines[index]!;
  const place = { address, targets: [{ host: "127.0.0.1", port: address.port + 1 }], domain: "/" };
  await rig.plane.engines.join({ sentAtMs: 0, engine, rank, incarnation, ...place, scmBytes: 1, nvmeBytes: 1 });
  return rank;
}

test("an engine of the version before joins and works; the query says what it is", async () => {
  const rig = await enginesRig(3);
  expect(await joinOlder(rig, 1)).toBe(1);
  await rig.join(2);
  await rig.plane.pools.create({ label: "tank", sizeBytes: 64 << 20 });
  await rig.plane.containers.create({ pool: "tank", label: "box", type: "kv" });
  expect([...rig.engines[1]!.open]).toEqual([1]);
  const { engines = [] } = await rig.plane.system.query();
  expect(engines.map(({ version, software }) => [version, software])).toEqual([
    [ENGINE_PROTOCOL_VERSION, "daos 0.1.0"],
    [OLDER, ""],
    [ENGINE_PROTOCOL_VERSION, "daos 0.1.0"],
  ]);
});

test("what the older engine does not know is refused by name before anybody is told; the rest goes on", async () => {
  const rig = await enginesRig(3);
  await joinOlder(rig, 1);
  await rig.join(2);
  const refused = await failureOf(rig.plane.stopEngines({ force: true }));
  expect([refused.code, refused.message]).toEqual([
    "VERSION",
    `Cannot have rank 1 stop at once: it speaks version ${OLDER} among engines, and that needs 3. Upgrade it first.`,
  ]);
  expect(await codeOf(rig.plane.stopEngines({ ranks: [1], restart: true }))).toBe("VERSION");
  expect(rig.engines.flatMap(({ orders }) => orders)).toEqual([]);
  await rig.plane.stopEngines({ ranks: [2], force: true });
  await rig.plane.stopEngines({ ranks: [1] });
  expect(rig.engines.map(({ orders }) => orders)).toEqual([[], [{ stop: {} }], [{ stop: { force: true } }]]);
});

test("an engine of the version after agrees to ours, one that is two apart is refused, either way", async () => {
  const rig = await enginesRig(2);
  const [ours, next] = [ENGINE_PROTOCOL_VERSION, ENGINE_PROTOCOL_VERSION + 1];
  expect((await hello(rig, 1, { version: next, oldest: ours })).version).toBe(ours);
  expect((await hello(rig, 1, { version: OLDER })).version).toBe(OLDER);
  const tooNew = await failureOf(hello(rig, 1, { version: next + 1, oldest: next }));
  expect(tooNew.code).toBe("VERSION");
  expect(tooNew.message).toContain(
    `it speaks version ${next} to ${next + 1} among engines, who leads ${OLDER} to ${ours}`,
  );
  expect(await codeOf(hello(rig, 1, { version: OLDER - 1 }))).toBe("VERSION");
});

test("an older engine without supervisors and events does not keep others from being started", async () => {
  const rig = await enginesRig(3);
  await joinOlder(rig, 1);
  await rig.join(2);
  rig.engines[0]!.isSupervised = true;
  await rig.plane.engines.leave({ rank: 2, incarnation: 1 });
  expect(await rig.plane.call(Opcode.systemStart, {})).toEqual({ missing: [2], supervisors: 1 });
});
