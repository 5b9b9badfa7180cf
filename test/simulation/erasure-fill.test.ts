/**
 * Shards that are filled: of every choice of shards that decode an object, all show what the model has, of the latest state and
 * of each snapshot, after targets were lost for good and others came back, while the object was written.
 */
import { afterEach, expect, test } from "bun:test";
import { byteStringOfText } from "../../src/base/bytes.ts";
import { type Epoch, EPOCH_NONE } from "../../src/base/epoch.ts";
import type { DaosError } from "../../src/base/errors.ts";
import type { EpochPart, Plan, RedundancyScheme } from "../../src/contracts/redundancy.ts";
import { Placement } from "../../src/placement/placement.ts";
import { redundancyGroup } from "../../src/redundancy/redundancy-group.ts";
import { CONTAINER, type PlantedBug, POOL } from "./cluster/node.ts";
import { ModelObject } from "./erasure-model.ts";
import { ErasureRig } from "./erasure-rig.ts";
import { DKEYS, ErasureWriter, RECORD_BYTES } from "./erasure-writer.ts";
import { checkAllShards } from "./shard-check.ts";

let rig: ErasureRig | undefined;

afterEach(() => rig?.end());

/** What is lost is filled into others, and what comes back is filled again, while the object is written. Throws what is wrong. */
async function loseAndReturn(
  className: string,
  nodes: number,
  lost: number,
  seed: number,
  bug: PlantedBug = {},
): Promise<void> {
  const own = new ErasureRig(seed, nodes, bug);
  rig = own;
  await own.start();
  const object = own.object(className);
  const writer = new ErasureWriter(own, object);
  const past: { epoch: Epoch; model: ModelObject }[] = [];
  const write = async (count: number): Promise<void> => {
    for (let step = 0; step < count; step += 1) {
      await writer.step();
      if (own.random.next() < 0.12) past.push({ epoch: await own.snapshot(), model: writer.model.copy() });
      if (own.random.next() < 0.1) await own.timers.advance(own.random.below(4_000));
    }
  };
  const check = async (): Promise<void> => {
    await own.timers.advance(1_000);
    await checkAllShards(own, object, writer.model, EPOCH_NONE);
    for (const { epoch, model } of past) await checkAllShards(own, object, model, epoch);
  };
  await write(40);
  const order = own.nodes.map(({ index }) => index).toSorted(() => own.random.next() - 0.5);
  for (let round = 0; round < 2; round += 1) {
    for (const target of order.slice(0, lost)) own.stop(target);
    await own.exclude();
    await write(10);
    await own.filled();
    await write(5);
    await check();
    if (round === 1) break;
    for (const target of order.slice(0, lost)) await own.restart(target);
    await write(5);
    const back = own.filled(true);
    await write(10);
    await back;
    await check();
    order.push(...order.splice(0, lost));
  }
  own.end();
}

for (const [className, nodes, lost] of [
  ["EC_2P1G1", 5, 1],
  ["EC_2P2G1", 6, 2],
  ["EC_4P2G1", 8, 2],
] as const) {
  test(`${className}: what is lost is filled into others, and what comes back is filled again`, async () => {
    for (let seed = 1; seed <= 3; seed += 1) await loseAndReturn(className, nodes, lost, seed);
  }, 120_000);
}

test("what only a parity shard and one data shard had is filled when the parity shard is lost", async () => {
  const own = new ErasureRig(1, 4);
  rig = own;
  await own.start();
  const object = own.object("EC_2P1G1");
  const placement = new Placement(own.control.map);
  const parityOf = (dkey: string): number =>
    redundancyGroup(placement, object.id, byteStringOfText(dkey)).shards!.targets[2]!;
  const model = new ModelObject();
  const second = { recordIndex: 41, recordBytes: RECORD_BYTES };
  for (const [index, dkey] of DKEYS.entries()) {
    const bytes = Buffer.alloc(20 * RECORD_BYTES, index + 1);
    await object.writeArray(dkey, "array", second, bytes);
    model.array(`${dkey}/array`).write(41 * RECORD_BYTES, bytes);
  }
  await own.timers.advance(3_000);
  own.stop(parityOf("a"));
  await own.exclude();
  // Whole stripes and parts of them, while a data shard leads.
  for (const dkey of DKEYS) {
    const bytes = Buffer.alloc(170 * RECORD_BYTES, 7);
    await object.writeArray(dkey, "array", { recordIndex: 80, recordBytes: RECORD_BYTES }, bytes);
    model.array(`${dkey}/array`).write(80 * RECORD_BYTES, bytes);
    await object.punchArray(dkey, "array", { recordIndex: 100, recordCount: 9, recordBytes: RECORD_BYTES });
    model.array(`${dkey}/array`).punch(100 * RECORD_BYTES, 9 * RECORD_BYTES);
  }
  await own.filled();
  await checkAllShards(own, object, model, EPOCH_NONE);
  await own.timers.advance(10_000);
  await checkAllShards(own, object, model, EPOCH_NONE);
}, 60_000);

test("of what fewer shards can be read than decode it nothing is filled, removed or shown, and that is told", async () => {
  const own = new ErasureRig(1, 3);
  rig = own;
  await own.start();
  const object = own.object("EC_2P1G1");
  await object.update("d", "value", Buffer.alloc(20_000, 1));
  await own.timers.advance(3_000);
  own.stop(0);
  await own.exclude();
  await own.filled();
  await object.update("d", "value", Buffer.alloc(20_000, 2));
  await own.timers.advance(1_000);
  own.stop(1);
  await own.exclude();
  await own.filled();
  for (const index of [0, 1]) await own.restart(index);
  own.control.reintegrates = true;
  await own.timers.advance(30_000);
  expect(own.control.map.targets.map(({ state }) => state)).toEqual(["UP", "UP", "UPIN"]);
  const lives = own.nodes.map(({ life }) => life!);
  const states = lives.map(({ replication }) => replication.fillStatus(POOL, [CONTAINER])!);
  expect(states.every(({ isDone, isStuck }) => isStuck && !isDone)).toBe(true);
  for (const { objects } of lives) {
    expect(objects.copies.has(objects.copies.prefixOf(CONTAINER, object.id, byteStringOfText("d")))).toBe(true);
  }
  const found = await object.fetch("d", "value").catch((error: DaosError) => error.code);
  expect(found).toBe("UNAVAILABLE");
}, 60_000);

/** A scheme that makes other shards to be filled. */
function withRebuild(
  scheme: RedundancyScheme,
  rebuilt: (plan: Plan<readonly EpochPart[]>) => Plan<readonly EpochPart[]>,
): RedundancyScheme {
  const planRebuild: RedundancyScheme["planRebuild"] = (...asked) => {
    const plan = scheme.planRebuild(...asked);
    return plan === undefined ? undefined : rebuilt(plan);
  };
  return new Proxy(scheme, {
    get(_, name: keyof RedundancyScheme) {
      const member: unknown = name === "planRebuild" ? planRebuild : scheme[name];
      return typeof member === "function" ? (member.bind(scheme) as unknown) : member;
    },
  });
}

type RebuildPlan = Plan<readonly EpochPart[]>;

const CANARIES: Readonly<Record<string, (plan: RebuildPlan) => RebuildPlan>> = {
  "a shard that is decoded from cells that are newer than the parity": (plan) => ({
    next: () => plan.next().map((read) => (read.orNextReadable ? { ...read, epoch: EPOCH_NONE } : read)),
    take: (results) => plan.take(results),
    get result() {
      return plan.result;
    },
  }),
  "a parity shard that is filled without what is not in parity": (plan) => ({
    next: () => plan.next(),
    take: (results) => plan.take(results),
    get result() {
      return plan.result?.filter(({ holds }) => holds !== "replica");
    },
  }),
};

for (const [name, rebuilt] of Object.entries(CANARIES)) {
  test(`canary: ${name} is found`, async () => {
    const bug: PlantedBug = { scheme: (scheme) => withRebuild(scheme, rebuilt) };
    let found = false;
    for (let seed = 1; seed <= 8 && !found; seed += 1) {
      found = await loseAndReturn("EC_2P1G1", 5, 1, seed, bug).then(
        () => false,
        () => true,
      );
    }
    expect(found).toBe(true);
  }, 120_000);
}
