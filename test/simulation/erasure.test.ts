/** Erasure-coded objects through real clients and targets, against a model in memory: whole, and with shards away. */
import { afterEach, expect, test } from "bun:test";
import { byteStringOfText } from "../../src/base/bytes.ts";
import { type Epoch, EPOCH_NONE } from "../../src/base/epoch.ts";
import { DaosError } from "../../src/base/errors.ts";
import type { ObjectId } from "../../src/base/object-id.ts";
import { containerChanges } from "../../src/client/container-changes.ts";
import { ObjectHandle } from "../../src/client/object-handle.ts";
import type { ObjectOperations } from "../../src/client/object-operations.ts";
import { redundancyGroup } from "../../src/redundancy/redundancy-group.ts";
import type { ModelArray, ModelObject } from "./erasure-model.ts";
import { CONTAINER } from "./cluster/node.ts";
import { ErasureRig } from "./erasure-rig.ts";
import { DKEYS, ErasureWriter, RECORD_BYTES } from "./erasure-writer.ts";

const STEPS = 60;

let rig: ErasureRig | undefined;

afterEach(() => rig?.end());

async function started(seed: number): Promise<ErasureRig> {
  rig = new ErasureRig(seed);
  await rig.start();
  return rig;
}

async function textsOf(keys: AsyncIterable<Uint8Array>): Promise<string[]> {
  const texts: string[] = [];
  for await (const key of keys) texts.push(Buffer.from(key).toString());
  return texts;
}

/** Of the failure; `rejects` does not go with simulated time. */
function codeOf(reading: Promise<unknown>): Promise<string> {
  return reading.then(
    () => "ok",
    (error: DaosError) => error.code,
  );
}

/** What is read is the model's: values, ranges, keys, extents and queries. */
async function check(own: ErasureRig, id: ObjectId, model: ModelObject, epoch: Epoch = EPOCH_NONE): Promise<void> {
  const operations = own.at(epoch);
  const object = new ObjectHandle(operations, id);
  const places = model.places();
  const dkeys = [...new Set(places.map((place) => place.split("/")[0]!))];
  expect(await textsOf(object.listDkeys())).toEqual(dkeys);
  for (const dkey of DKEYS) {
    const akeys = places.filter((place) => place.startsWith(`${dkey}/`)).map((place) => place.split("/")[1]!);
    expect(await textsOf(object.listAkeys(dkey))).toEqual(akeys);
    const value = await object.fetch(dkey, "value");
    expect<Uint8Array | undefined>(value && Buffer.from(value.value)).toEqual(model.values.get(`${dkey}/value`));
    await checkArray(own, operations, object, model.array(`${dkey}/array`), dkey);
  }
  for (const [direction, dkey] of [
    ["min", dkeys[0]],
    ["max", dkeys.at(-1)],
  ] as const) {
    const found = await object.queryKey({ direction, levels: ["dkey", "akey"] });
    const akeys = places.filter((place) => place.startsWith(`${dkey}/`)).map((place) => place.split("/")[1]!);
    const akey = direction === "min" ? akeys[0] : akeys.at(-1);
    expect(found?.dkey && Buffer.from(found.dkey).toString()).toEqual(dkey);
    expect(found?.akey && Buffer.from(found.akey).toString()).toEqual(akey);
  }
}

async function checkArray(
  own: ErasureRig,
  operations: ObjectOperations,
  object: ObjectHandle,
  array: ModelArray,
  dkey: string,
): Promise<void> {
  const { random } = own;
  const ranges = [
    { recordIndex: 0, recordCount: 600 },
    { recordIndex: random.below(400), recordCount: 1 + random.below(3) },
    { recordIndex: random.below(400), recordCount: 1 + random.below(200) },
  ];
  for (const { recordIndex, recordCount } of ranges) {
    const place = random.next() < 0.5 ? undefined : Buffer.alloc(recordCount * RECORD_BYTES, 1);
    const range = { recordIndex, recordCount, recordBytes: RECORD_BYTES };
    const bytes = place
      ? await operations.readRecords(object.id, byteStringOfText(dkey), byteStringOfText("array"), range, {}, place)
      : await object.readArray(dkey, "array", range);
    const wanted = array.read(recordIndex * RECORD_BYTES, recordCount * RECORD_BYTES);
    if (place) expect(bytes && Buffer.from(bytes).equals(wanted!)).toEqual(wanted && true);
    else expect(Buffer.from(bytes!).equals(wanted ?? Buffer.alloc(recordCount * RECORD_BYTES))).toBe(true);
  }
  const runs = array.runs(RECORD_BYTES);
  const from = random.below(2) * random.below(400);
  const listed: { index: number; count: number }[] = [];
  for await (const { index, count } of object.listExtents(dkey, "array", { from })) {
    const last = listed.at(-1);
    if (last !== undefined && last.index + last.count === index) last.count += count;
    else listed.push({ index, count });
  }
  expect(listed).toEqual(
    runs
      .map((run) => ({ index: Math.max(run.index, from), end: run.index + run.count }))
      .filter(({ index, end }) => end > index)
      .map(({ index, end }) => ({ index, count: end - index })),
  );
  for (const direction of ["max", "min"] as const) {
    const found = (await object.queryKey({ direction, levels: ["extent"], dkey, akey: "array" }))?.extent;
    const run = direction === "max" ? runs.at(-1) : runs[0];
    if (run === undefined) expect(found).toBeUndefined();
    else if (direction === "max") expect(found!.index + found!.count).toBe(run.index + run.count);
    else expect(found!.index).toBe(run.index);
    if (run !== undefined) {
      expect(found!.index).toBeGreaterThanOrEqual(run.index);
      expect(found!.index + found!.count).toBeLessThanOrEqual(run.index + run.count);
    }
  }
}

/** What the changes between an epoch and now are of: all that came, went or is another now. */
async function checkChanges(own: ErasureRig, from: Epoch, old: ModelObject, model: ModelObject): Promise<void> {
  const told = new Map<string, string>();
  for await (const { change, dkey, akey } of containerChanges(own.session, from, EPOCH_NONE, undefined)) {
    told.set(`${Buffer.from(dkey).toString()}/${Buffer.from(akey).toString()}`, change);
  }
  const [before, after] = [old.places(), model.places()];
  for (const place of new Set([...before, ...after])) {
    if (!before.includes(place)) expect([place, told.get(place)]).toEqual([place, "added"]);
    else if (!after.includes(place)) expect([place, told.get(place)]).toEqual([place, "removed"]);
    else if (!isSame(old, model, place)) expect([place, told.get(place)]).toEqual([place, "changed"]);
    told.delete(place);
  }
  expect([...told]).toEqual([]);
}

function isSame(left: ModelObject, right: ModelObject, place: string): boolean {
  const contents = [left, right].map(({ values, arrays }) => values.get(place) ?? arrays.get(place)?.bytes);
  return Buffer.from(contents[0]!).equals(contents[1]!);
}

/** Targets of the object's group, in its order for the dkey. */
function targetsOf(own: ErasureRig, object: ObjectHandle, dkey: string): readonly number[] {
  return redundancyGroup(own.session.placement, object.id, byteStringOfText(dkey)).shards!.targets;
}

for (const [className, parity, how] of [
  ["EC_2P1G1", 1, "singly"],
  ["EC_4P2GX", 2, "singly"],
  ["EC_2P1GX", 1, "in transactions"],
  ["EC_4P2G1", 2, "in transactions"],
] as const) {
  test(`${className}: all that was written ${how} is read, at every epoch and with ${parity} shards away`, async () => {
    for (let seed = 1; seed <= 3; seed += 1) {
      const own = await started(seed);
      const object = own.object(className);
      const writer = new ErasureWriter(own, object, how);
      const past: { epoch: Epoch; model: ModelObject }[] = [];
      for (let step = 0; step < STEPS; step += 1) {
        await writer.step();
        if (step % 8 === 0) past.push({ epoch: await own.snapshot(), model: writer.model.copy() });
        if (step % 20 === 19) await own.timers.advance(own.random.below(8_000));
        if (step % 20 === 0) await check(own, object.id, writer.model);
      }
      await check(own, object.id, writer.model);
      for (const { epoch, model } of past) {
        await check(own, object.id, model, epoch);
        await checkChanges(own, epoch, model, writer.model);
      }
      for (let round = 0; round < 3; round += 1) {
        const targets = targetsOf(own, object, DKEYS[own.random.below(DKEYS.length)]!);
        const gone = targets.toSorted(() => own.random.next() - 0.5).slice(0, parity);
        // What is acknowledged is decided everywhere a moment later; until then its leader must not go.
        await own.timers.advance(500);
        for (const target of gone) own.stop(target);
        await check(own, object.id, writer.model);
        for (const target of gone) await own.restart(target);
        await writer.step();
      }
      await check(own, object.id, writer.model);
      own.end();
    }
  }, 60_000);
}

test("a record size that is not the array's, an akey of the other kind, and conditions: as of other objects", async () => {
  const own = await started(1);
  const object = own.object("EC_2P1G1");
  await object.writeArray("d", "array", { recordIndex: 0, recordBytes: 4 }, Buffer.alloc(40_000, 1));
  await object.update("d", "value", Buffer.from("v"));
  const range = { recordIndex: 0, recordCount: 10_000, recordBytes: 4 };
  expect(await codeOf(object.readArray("d", "array", { ...range, recordBytes: 5 }))).toBe("INVALID_ARGUMENT");
  expect(await codeOf(object.readArray("d", "value", range))).toBe("INVALID_ARGUMENT");
  expect(await codeOf(object.fetch("d", "array"))).toBe("INVALID_ARGUMENT");
  const all = { object: "ifExists", dkey: "ifExists", akey: "ifExists" } as const;
  expect(await codeOf(object.fetch("d", "value", { conditions: all }))).toBe("ok");
  expect(await codeOf(object.fetch("d", "none", { conditions: all }))).toBe("DOES_NOT_EXIST");
  expect(await codeOf(object.fetch("d", "none", { conditions: { object: "ifExists", dkey: "ifExists" } }))).toBe("ok");
  expect(await codeOf(object.fetch("none", "none", { conditions: { dkey: "ifExists" } }))).toBe("DOES_NOT_EXIST");
  expect(await codeOf(object.fetch("none", "none", { conditions: { object: "ifExists" } }))).toBe("ok");
  const beyond = { ...range, recordIndex: 20_000 };
  expect(await codeOf(object.readArray("d", "array", beyond, { conditions: { akey: "ifExists" } }))).toBe("ok");
  await object.punchArray("d", "array", range);
  expect(await codeOf(object.readArray("d", "array", range, { conditions: { akey: "ifExists" } }))).toBe(
    "DOES_NOT_EXIST",
  );
  expect(await codeOf(object.readArray("d", "array", { ...range, recordBytes: 5 }))).toBe("ok");
  await object.punch();
  expect(await codeOf(object.fetch("d", "value", { conditions: { object: "ifExists" } }))).toBe("DOES_NOT_EXIST");
  expect(await textsOf(object.listDkeys())).toEqual([]);
});

test("with more shards away than the class may lose reads fail, and go on when one is back", async () => {
  const own = await started(1);
  const object = own.object("EC_2P1G1");
  const value = Buffer.alloc(20_000, 3);
  await object.update("d", "value", value);
  await own.timers.advance(500);
  const [first, second] = targetsOf(own, object, "d");
  own.stop(first!);
  own.stop(second!);
  expect(await codeOf(object.fetch("d", "value"))).toBe("UNAVAILABLE");
  expect(await codeOf(textsOf(object.listDkeys()))).toBe("UNAVAILABLE");
  const waiting = object.fetch("d", "value");
  await own.restart(first!);
  expect((await waiting)!.value.length).toBe(20_000);
  expect(await textsOf(object.listDkeys())).toEqual(["d"]);
});

test("reads that run beside writes and folds show all of a write or nothing of it, whole and degraded", async () => {
  const own = await started(1);
  const object = own.object("EC_4P2G1");
  // Half a stripe at each end, so that every write leaves replicas to be folded.
  const range = { recordIndex: 8_192 / 4, recordCount: (16_384 * 2) / 4, recordBytes: 4 };
  await object.writeArray("d", "array", { recordIndex: 0, recordBytes: 4 }, Buffer.alloc(16_384 * 4));
  let last = 0;
  let isOver = false;
  const write = async (): Promise<void> => {
    last += 1;
    const bytes = Buffer.from(new Uint32Array(range.recordCount).fill(last).buffer);
    await object.writeArray("d", "array", range, bytes);
    await object.update("d", "value", Buffer.alloc(20_000, last));
    if (own.random.next() < 0.2) await own.timers.advance(own.random.below(2_500));
  };
  const seen = new Set<number>();
  const read = async (): Promise<void> => {
    let before = 0;
    while (!isOver) {
      const bytes = await object.readArray("d", "array", range);
      const numbers = new Set(new Uint32Array(new Uint8Array(bytes).buffer));
      expect([...numbers]).toEqual([expect.any(Number)]);
      const [number] = numbers;
      expect(number).toBeGreaterThanOrEqual(before);
      before = number!;
      seen.add(before);
      const value = await object.fetch("d", "value");
      expect(new Set(value?.value ?? [0]).size).toBe(1);
      await own.timers.advance(own.random.below(150));
    }
  };
  const reading = Promise.all([read(), read()]);
  while (last < 15) await write();
  const targets = targetsOf(own, object, "d");
  await own.timers.advance(500);
  for (const shard of [1, own.random.below(2) === 0 ? 3 : 5]) own.stop(targets[shard]!);
  await own.exclude();
  while (last < 50) await write();
  isOver = true;
  await reading;
  expect(seen.size).toBeGreaterThan(15);
}, 60_000);

test("a stripe is folded beside a damaged shard, and read", async () => {
  const own = await started(7);
  const object = own.object("EC_4P2G1");
  const image = Buffer.alloc(4 * 16_384, "first");
  await object.writeArray("d", "array", { recordIndex: 0, recordBytes: 1 }, image);
  const targets = targetsOf(own, object, "d");
  const leader = own.nodes[targets[5]!]!.life!.replication.poolOf(CONTAINER)!;
  const damaged = own.nodes[targets[1]!]!.life!.objects;
  damaged.readShardArray = () => Promise.reject(new DaosError("CORRUPT", "Cannot read: damaged."));
  const part = Buffer.alloc(100, "second");
  await object.writeArray("d", "array", { recordIndex: 20, recordBytes: 1 }, part);
  part.copy(image, 20);
  await own.timers.advance(6_000);
  const written = leader.folding.foldedTo(CONTAINER);
  await own.timers.advance(1_000);
  // While something is unfolded it stays where it is.
  expect(leader.folding.foldedTo(CONTAINER)).toBeGreaterThan(written);
  expect(await object.readArray("d", "array", { recordIndex: 0, recordCount: image.length, recordBytes: 1 })).toEqual(
    new Uint8Array(image),
  );
});
