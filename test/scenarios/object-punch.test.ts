/** Suite `i` 46 (tx convert) of daos_test: punches of objects over several targets. See docs/scenarios.md. */
import { expect, test } from "bun:test";
import type { Epoch } from "../../src/base/epoch.ts";
import type { ObjectHandle } from "../../src/client/object-handle.ts";
import { CLASSES, codeOf, forEachClass, pattern, type ScenarioRig, text, texts } from "./scenario-rig.ts";
import { endingAt, kept, LEFT_ALONE_MS } from "./transaction-steps.ts";

const DKEYS = 40;
/** After the first lock, when all targets are stopped, milliseconds. */
const ENDS_MS = [0, 3, 6, 9, 12, 20];
const RANGE = { recordIndex: 0, recordBytes: 1 };

/** Objects of two dkeys on each of several targets, or more, with an array among them. */
async function spread(rig: ScenarioRig, className: string, count = 12): Promise<ObjectHandle> {
  const object = rig.object(className);
  for (let index = 0; index < count; index += 1) await object.update(`d${index}`, "a", pattern(40, index));
  await object.writeArray("array", "r", RANGE, pattern(20_000));
  return object;
}

/** What is there of the object: dkeys, values, and bytes of the array. */
async function left(object: ObjectHandle, count = 12): Promise<number> {
  const dkeys = await texts(object.listDkeys());
  const found = await Promise.all(Array.from({ length: count }, (_, index) => object.fetch(`d${index}`, "a")));
  const bytes = await object.readArray("array", "r", { ...RANGE, recordCount: 20_000 });
  return dkeys.length + found.filter((value) => value !== undefined).length + bytes.filter((byte) => byte !== 0).length;
}

test("tx convert: the punch of an object over several targets is a transaction: one epoch, before which all is there", async () => {
  await forEachClass(CLASSES, async (rig, className) => {
    const object = await spread(rig, className);
    const all = await left(object);
    const snapshot = await rig.snapshot();
    const epoch = await object.punch();
    expect(await left(object)).toBe(0);
    expect(await left(rig.seen(object, rig.client()))).toBe(0);
    expect(await left(rig.seen(object, rig.session, snapshot))).toBe(all);
    expect(await left(rig.seen(object, rig.session, (epoch - 1) as Epoch))).toBe(all);
    expect(await left(rig.seen(object, rig.session, epoch))).toBe(0);
    expect(kept(rig)).toBe(0);
    expect(await codeOf(object.punch({ condition: "ifExists" }))).toBe("DOES_NOT_EXIST");
    await object.update("d3", "a", pattern(7));
    expect(await texts(object.listDkeys())).toEqual(["d3"]);
    expect(await codeOf(object.punch({ condition: "ifExists" }))).toBe("ok");
    expect(await texts(object.listDkeys())).toEqual([]);
    await rig.aggregate();
    expect(await left(rig.seen(object, rig.session, snapshot))).toBe(all);
  });
}, 30_000);

test("tx convert: an object is punched with other writes of a transaction, or not at all", async () => {
  await forEachClass(CLASSES, async (rig, className) => {
    const object = await spread(rig, className);
    const all = await left(object);
    const log = rig.object(className);
    await log.update("d", "a", Buffer.from("old"));
    const transaction = rig.transactions().begin();
    const own = transaction.object(object.id);
    expect((await own.fetch("d1", "a"))!.value.length).toBe(40);
    await own.update("d2", "a", pattern(3));
    await own.punch();
    expect(await own.fetch("d1", "a")).toBeUndefined();
    expect(await own.listAkeys("d2")).toEqual([]);
    expect(await codeOf(own.update("d2", "a", pattern(3)))).toBe("UNSUPPORTED");
    await transaction.object(log.id).update("d", "a", Buffer.from("punched"));
    expect(await left(object)).toBe(all);
    // What it has read has changed: nothing of it happens.
    await object.update("d1", "a", pattern(40, 1));
    expect(await codeOf(transaction.commit())).toBe("CONFLICT");
    expect(await left(object)).toBe(all);
    expect(text(await log.fetch("d", "a"))).toBe("old");
    await rig.transactions().run(async (again) => {
      await again.object(object.id).fetch("d1", "a");
      await again.object(object.id).punch();
      await again.object(log.id).update("d", "a", Buffer.from("punched"));
    });
    expect(await left(object)).toBe(0);
    expect(text(await log.fetch("d", "a"))).toBe("punched");
  });
}, 30_000);

test("tx convert: a client that ends in the punch of an object has punched all of it or nothing", async () => {
  await forEachClass(["SX", "RP_2G1", "RP_3GX", "EC_2P1G1", "EC_4P2GX"], async (rig, className) => {
    for (const kind of ["commit", "resolve"] as const) {
      const object = await spread(rig, className);
      const all = await left(object);
      const gone = rig.seen(object, rig.client(endingAt(kind)));
      void codeOf(gone.punch());
      await rig.timers.advance(200);
      expect(kept(rig)).toBeGreaterThan(0);
      // Whoever comes meanwhile waits until it is known, or goes on before it.
      const writing = object.update("d5", "a", pattern(40, 5));
      await rig.timers.advance(LEFT_ALONE_MS);
      await writing;
      expect(kept(rig)).toBe(0);
      expect(await left(object)).toBe(kind === "commit" ? all : 2);
    }
  });
}, 30_000);

test("tx convert: leaders end while an object is punched, and come back, or one is excluded: all of it or nothing", async () => {
  const outcomes = new Set<string>();
  await forEachClass(["RP_2G1", "RP_3GX", "EC_2P1G1", "EC_4P2GX"], async (rig, className) => {
    for (const [waitMs, isAll] of [...ENDS_MS.map((ms) => [ms, true] as const), [20, false] as const]) {
      const object = await spread(rig, className, DKEYS);
      const all = await left(object, DKEYS);
      const punching = codeOf(rig.seen(object, rig.client()).punch());
      while (kept(rig) === 0) await rig.timers.advance(1);
      await rig.timers.advance(waitMs);
      const wasHeld = kept(rig) > 0;
      const ended = isAll ? rig.nodes.map(({ index }) => index) : [rig.groupOf(object, "d0").leader];
      for (const index of ended) rig.stop(index);
      if (isAll) for (const index of ended) await rig.restart(index);
      else await rig.exclude();
      await rig.timers.advance(LEFT_ALONE_MS);
      const outcome = await punching;
      const remains = await left(object, DKEYS);
      expect([0, all]).toContain(remains);
      if (outcome === "ok") expect(remains).toBe(0);
      if (isAll) expect(kept(rig)).toBe(0);
      outcomes.add(`${wasHeld ? "held" : "free"} ${remains === 0 ? "punched" : "there"}`);
    }
  });
  // Some were undone, and some ended by the targets.
  expect(outcomes).toContain("held punched");
  expect(outcomes).toContain("held there");
}, 60_000);
