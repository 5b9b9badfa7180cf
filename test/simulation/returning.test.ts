/**
 * Targets that come back with what they had: only what has changed since is brought to them, and what they have that was
 * removed meanwhile does not come back. And filling that goes on where it was when the map changes, or somebody starts anew.
 */
import { afterEach, expect, test } from "bun:test";
import { byteStringOfText } from "../../src/base/bytes.ts";
import { type Epoch, EPOCH_NONE } from "../../src/base/epoch.ts";
import { DaosError } from "../../src/base/errors.ts";
import type { ObjectHandle } from "../../src/client/object-handle.ts";
import { FillKind } from "../../src/format/fill-message.ts";
import { Opcode } from "../../src/format/operations.ts";
import { Placement } from "../../src/placement/placement.ts";
import { redundancyGroup } from "../../src/redundancy/redundancy-group.ts";
import { CONTAINER, type PlantedBug, POOL } from "./cluster/node.ts";
import { ErasureRig } from "./erasure-rig.ts";

const DKEYS = 200;
const VALUE_BYTES = 600;
const WAITING_DKEYS = 16;

let rig: ErasureRig | undefined;

afterEach(() => rig?.end());

interface Past {
  readonly epoch: Epoch;
  readonly model: ReadonlyMap<string, string>;
}

/** A cluster with an object, and what is to be in it. */
class Returning {
  readonly rig: ErasureRig;
  readonly object: ObjectHandle;
  readonly model = new Map<string, string>();
  readonly past: Past[] = [];

  constructor(own: ErasureRig, className: string) {
    this.rig = own;
    this.object = own.object(className);
  }

  async put(number: number, word: string): Promise<void> {
    const value = word.repeat(VALUE_BYTES).slice(0, VALUE_BYTES);
    await this.object.update(`dkey ${number}`, "value", Buffer.from(value));
    this.model.set(`dkey ${number}`, value);
  }

  async remove(number: number): Promise<void> {
    await this.object.punchDkey(`dkey ${number}`);
    this.model.delete(`dkey ${number}`);
  }

  async snapshot(): Promise<void> {
    this.past.push({ epoch: await this.rig.snapshot(), model: new Map(this.model) });
  }

  /** What was brought, by all that are up, since they started. */
  get brought(): { readonly filledDkeys: number; readonly filledBytes: number } {
    const counts = this.rig.nodes.flatMap(({ life }) => life?.replication.fillCounts ?? []);
    return {
      filledDkeys: counts.reduce((sum, { filledDkeys }) => sum + filledDkeys, 0),
      filledBytes: counts.reduce((sum, { filledBytes }) => sum + filledBytes, 0),
    };
  }

  /** Every target that can be read of a dkey shows what is to be there. */
  async check(): Promise<void> {
    await this.#checkAt(EPOCH_NONE, this.model);
    for (const { epoch, model } of this.past) await this.#checkAt(epoch, model);
  }

  async #checkAt(epoch: Epoch, model: ReadonlyMap<string, string>): Promise<void> {
    const placement = new Placement(this.rig.control.map);
    for (let number = 0; number < DKEYS + 20; number += 1) {
      const dkey = byteStringOfText(`dkey ${number}`);
      const { readable } = redundancyGroup(placement, this.object.id, dkey);
      for (const index of readable) {
        const { objects } = this.rig.nodes[index]!.life!;
        const request = { oid: this.object.id, dkey, akey: byteStringOfText("value"), epoch, flags: 0 };
        const found = await objects.fetchValue(CONTAINER, request);
        const shown = found.found ? Buffer.from(found.value).toString() : undefined;
        expect([index, number, epoch, shown]).toEqual([index, number, epoch, model.get(`dkey ${number}`)]);
      }
    }
  }
}

/** Holds what is rebuilt, everywhere at once. */
function setPaused(own: ErasureRig, isPaused: boolean): void {
  own.control.policy = { share: 50, isPaused };
  for (const { life } of own.nodes) life?.replication.setFillPolicy(POOL, own.control.policy);
}

async function started(className: string, nodes: number, bug: PlantedBug = {}, seed = 1): Promise<Returning> {
  const own = new ErasureRig(seed, nodes, bug);
  rig = own;
  await own.start();
  const returning = new Returning(own, className);
  for (let number = 0; number < DKEYS; number += 1) await returning.put(number, `first ${number} `);
  return returning;
}

/** Excludes a target, changes some while it is away, and takes it back; bytes brought for each of both. */
async function awayAndBack(
  returning: Returning,
  index: number,
  change: () => Promise<void>,
): Promise<{ readonly awayBytes: number; readonly backBytes: number }> {
  const { rig: own } = returning;
  // What it does not know to be decided is brought.
  await own.timers.advance(2_000);
  own.stop(index);
  await own.exclude();
  await own.filled();
  const awayBytes = returning.brought.filledBytes;
  await change();
  await own.restart(index);
  const beforeBytes = returning.brought.filledBytes;
  await own.filled(true);
  return { awayBytes, backBytes: returning.brought.filledBytes - beforeBytes };
}

for (const className of ["RP_2GX", "RP_3GX"]) {
  test(`${className}: to a target that comes back is brought what has changed, and nothing else`, async () => {
    const returning = await started(className, 5);
    await returning.snapshot();
    const { awayBytes, backBytes } = await awayAndBack(returning, 2, async () => {
      for (let number = 0; number < DKEYS; number += 100) await returning.put(number, "second ");
    });
    expect(awayBytes).toBeGreaterThan(20 * VALUE_BYTES);
    // Two of two hundred have changed.
    expect(backBytes).toBeLessThanOrEqual(2 * 2 * (VALUE_BYTES + 200));
    await returning.check();
  }, 120_000);
}

test("what was removed, made, kept by a snapshot, and not decided while a target was away is right when it is back", async () => {
  for (let seed = 1; seed <= 5; seed += 1) {
    const returning = await started("RP_2GX", 4, {}, seed);
    const { random } = returning.rig;
    await returning.snapshot();
    const index = random.below(4);
    await awayAndBack(returning, index, async () => {
      await returning.put(0, "second ");
      await returning.snapshot();
      for (let number = 1; number < DKEYS; number += 1) {
        const draw = random.next();
        if (draw < 0.1) await returning.remove(number);
        else if (draw < 0.2) await returning.put(number, `second ${number} `);
      }
      for (let number = DKEYS; number < DKEYS + 20; number += 1) await returning.put(number, "new ");
      await returning.snapshot();
    });
    await returning.check();
    returning.rig.end();
  }
}, 120_000);

/** Connections to leaders, and from them, of a release that compares nothing. */
const OF_BEFORE: PlantedBug = {
  connection: (connection) => ({
    isClosed: connection.isClosed,
    call: (opcode, args, ...rest) => {
      const kind = opcode === Opcode.dtxFill ? args[0]! : 0;
      if (kind > FillKind.close) return Promise.reject(new DaosError("INVALID_ARGUMENT", "Cannot read: no such kind."));
      if (kind !== FillKind.open) return connection.call(opcode, args, ...rest);
      const given = Uint8Array.from(args);
      given[1] = 0;
      return connection.call(opcode, given, ...rest);
    },
    start: (...request) => connection.start(...request),
    flush: () => connection.flush(),
    onClose: (listener) => connection.onClose(listener),
    close: () => connection.close(),
  }),
};

for (const [release, bug] of [
  ["present", {}],
  ["of before", OF_BEFORE],
] as const) {
  test(`what its leader has nothing of any more is removed from a target that comes back; leaders ${release}`, async () => {
    const returning = await started("RP_2GX", 4, bug);
    const { rig: own } = returning;
    await awayAndBack(returning, 1, async () => {
      for (let number = 0; number < DKEYS; number += 1) await returning.remove(number);
      await own.timers.advance(5_000);
      // As aggregation does it in the end.
      for (const { life } of own.nodes) {
        const copies = life?.objects.copies;
        await copies?.purge(copies.list(CONTAINER, undefined, 1_000).places.map(({ prefix }) => prefix));
      }
    });
    await returning.check();
    const placesOf = (index: number): Set<string> =>
      new Set(
        own.nodes[index]!.life!.objects.copies.list(CONTAINER, undefined, 1_000).places.map(({ prefix }) => prefix),
      );
    const others = new Set([0, 2, 3].flatMap((index) => [...placesOf(index)]));
    expect([...placesOf(1)].filter((prefix) => !others.has(prefix))).toEqual([]);
  }, 120_000);
}

test("a leader that does not compare finds nothing, and brings all", async () => {
  const returning = await started("RP_2GX", 4, OF_BEFORE);
  const { backBytes } = await awayAndBack(returning, 1, async () => {
    await returning.remove(3);
    await returning.put(5, "second ");
  });
  expect(backBytes).toBeGreaterThan(20 * VALUE_BYTES);
  await returning.check();
}, 120_000);

test("what is written to while it is compared goes on", async () => {
  const returning = await started("RP_2GX", 4);
  const { rig: own } = returning;
  own.stop(1);
  await own.exclude();
  await own.filled();
  for (let number = 0; number < DKEYS; number += 3) await returning.remove(number);
  await own.restart(1);
  const back = own.filled(true);
  for (let number = 0; number < DKEYS; number += 2) await returning.put(number, "late ");
  await back;
  await returning.check();
}, 120_000);

test("a pause holds all but what is written to; what was brought under one map is not brought again under the next", async () => {
  const returning = await started("RP_2GX", 6);
  const { rig: own } = returning;
  own.stop(0);
  await own.exclude();
  await own.filled();
  for (let number = 0; number < DKEYS; number += 1) await returning.put(number, "second ");
  const lead = new Placement(own.control.map);
  const ofObject = (number: number) => redundancyGroup(lead, returning.object.id, byteStringOfText(`dkey ${number}`));
  await own.restart(0);
  setPaused(own, true);
  own.control.reintegrates = true;
  while (!own.control.map.targets.some(({ state }) => state === "UP")) await own.timers.advance(50);
  own.control.reintegrates = false;
  const before = returning.brought;
  await own.timers.advance(5_000);
  // What is compared and the same is not brought; nothing is.
  expect(returning.brought).toEqual(before);
  const placement = new Placement(own.control.map);
  const isFilled = (number: number): boolean =>
    redundancyGroup(placement, returning.object.id, byteStringOfText(`dkey ${number}`)).members.includes(0) &&
    !ofObject(number).members.includes(0);
  const filled = Array.from({ length: DKEYS }, (_, number) => number).filter(isFilled);
  expect(filled.length).toBeGreaterThan(20);
  // An update brings its own dkey, whatever is paused.
  for (const number of filled.slice(0, -5)) await returning.put(number, "third ");
  expect(returning.brought.filledDkeys - before.filledDkeys).toBe(filled.length - 5);
  // Somebody else is lost, whose dkeys are all brought anew; of the others only what is left.
  const other = 3;
  const isOthers = (number: number): boolean => ofObject(number).members.includes(other);
  const lostDkeys = Array.from({ length: DKEYS }, (_, number) => number).filter(isOthers).length;
  own.stop(other);
  await own.exclude();
  setPaused(own, false);
  const paused = returning.brought;
  await own.filled();
  expect(returning.brought.filledDkeys - paused.filledDkeys).toBeLessThanOrEqual(5 + lostDkeys);
  await returning.check();
}, 120_000);

test("what was brought to a target that starts anew, or by a leader that does, is not brought again", async () => {
  for (const index of [0, 1, 2, 3]) {
    const returning = await started("RP_2GX", 4);
    const { rig: own } = returning;
    own.stop(0);
    await own.exclude();
    await own.filled();
    for (let number = 0; number < DKEYS; number += 1) await returning.put(number, "second ");
    await own.restart(0);
    setPaused(own, true);
    own.control.reintegrates = true;
    while (!own.control.map.targets.some(({ state }) => state === "UP")) await own.timers.advance(50);
    own.control.reintegrates = false;
    for (let number = 0; number < DKEYS; number += 1) await returning.put(number, "third ");
    await own.timers.advance(1_000);
    own.stop(index);
    await own.restart(index);
    setPaused(own, false);
    const before = returning.brought;
    await own.filled();
    // What was waiting for its turn just then is brought.
    expect(returning.brought.filledDkeys - before.filledDkeys).toBeLessThanOrEqual(WAITING_DKEYS);
    await returning.check();
    own.end();
  }
}, 120_000);

test("canary: a target that says of all it has that it is the same is found", async () => {
  const same = new Uint8Array(16);
  const bug: PlantedBug = {
    objects: (objects) => {
      objects.copies.digest = () => same;
    },
  };
  const returning = await started("RP_2GX", 4, bug);
  await awayAndBack(returning, 1, async () => {
    for (let number = 0; number < DKEYS; number += 1) await returning.put(number, "second ");
  });
  expect(returning.check()).rejects.toThrow();
}, 120_000);
