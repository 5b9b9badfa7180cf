import { describe, expect, test } from "bun:test";
import { EPOCH_NONE, type Epoch, EPOCH_ORIGIN_MS, HybridLogicalClock } from "../../src/base/epoch.ts";
import { MAX_AKEY_BYTES, MAX_DKEY_BYTES, MAX_SINGLE_VALUE_BYTES } from "../../src/base/limits.ts";
import { ObjectFlag } from "../../src/format/object-request.ts";
import { VersionedObjects } from "../../src/vos/versioned-objects.ts";
import { bytes, CONTAINER, key, makeRig, oid, refusal, type Rig, settled } from "./rig.ts";

const KEYS = { oid: oid(1), dkey: key("d"), akey: key("a"), epoch: EPOCH_NONE };

function put(rig: Rig, dkey: string, akey: string, value: string, flags = 0) {
  return settled(
    rig.objects.updateValue(CONTAINER, { oid: oid(1), dkey: key(dkey), akey: key(akey), flags }, bytes(value)),
  );
}

async function get(rig: Rig, dkey: string, akey: string, epoch: number = EPOCH_NONE): Promise<string | undefined> {
  const request = { oid: oid(1), dkey: key(dkey), akey: key(akey), epoch: epoch as Epoch };
  const fetched = await settled(rig.objects.fetchValue(CONTAINER, request));
  return fetched.found ? Buffer.from(fetched.value).toString() : undefined;
}

test("nothing is written at or before an epoch that was read at, whatever a leader says", async () => {
  const rig = makeRig();
  await put(rig, "d", "a", "1");
  const readAt = rig.clock.peek();
  expect(await get(rig, "d", "a", readAt)).toBe("1");
  const write = (epoch: number) => {
    const order = {
      origin: { client: 1, sequence: epoch, firstIncomplete: 0 },
      isPrepared: false,
      epoch: epoch as Epoch,
    };
    return refusal(() => settled(rig.objects.updateValue(CONTAINER, { ...KEYS, order }, bytes("2"))));
  };
  expect(await write(readAt)).toBe("UNAVAILABLE");
  expect(await get(rig, "d", "a")).toBe("1");
  expect(await write(readAt + 1)).toBe("nothing");
  expect(await get(rig, "d", "a")).toBe("2");
});

describe("single values", () => {
  test("of any allowed size, also empty, under empty keys", async () => {
    const rig = makeRig();
    for (const size of [0, 1, 4096, 4097, MAX_SINGLE_VALUE_BYTES]) {
      const value = new Uint8Array(size).fill(size % 251);
      await settled(rig.objects.updateValue(CONTAINER, { oid: oid(1), dkey: key(""), akey: key("") }, value));
      const fetched = await settled(
        rig.objects.fetchValue(CONTAINER, { oid: oid(1), dkey: key(""), akey: key(""), epoch: EPOCH_NONE }),
      );
      expect(fetched.found).toBe(true);
      expect(Buffer.compare(fetched.value, value)).toBe(0);
    }
  });

  test("and keys over their limit are refused, and nothing is written", async () => {
    const rig = makeRig();
    const update = (dkey: number, akey: number, value: number) =>
      refusal(() => put(rig, "d".repeat(dkey), "a".repeat(akey), "v".repeat(value)));
    expect(await update(MAX_DKEY_BYTES, MAX_AKEY_BYTES, 1)).toBe("nothing");
    rig.store.appends = 0;
    expect(await update(MAX_DKEY_BYTES + 1, 1, 1)).toBe("TOO_LARGE");
    expect(await update(1, MAX_AKEY_BYTES + 1, 1)).toBe("TOO_LARGE");
    expect(await update(1, 1, MAX_SINGLE_VALUE_BYTES + 1)).toBe("TOO_LARGE");
    expect(await refusal(() => settled(rig.objects.updateValue(8, KEYS, bytes("x"))))).toBe("NOT_FOUND");
    expect(
      await refusal(() =>
        settled(rig.objects.updateValue(CONTAINER, { ...KEYS, oid: key("short") as never }, bytes("x"))),
      ),
    ).toBe("INVALID_ARGUMENT");
    expect(rig.store.appends).toBe(0);
  });

  test("cost one lookup to fetch and none to update", async () => {
    const rig = makeRig({ durable: true });
    await put(rig, "d", "a", "1");
    rig.store.lookups = 0;
    await put(rig, "d", "a", "2");
    expect(rig.store.lookups).toBe(0);
    expect(await get(rig, "d", "a")).toBe("2");
    expect(rig.store.lookups).toBe(1);
  });

  test("wait while the store is congested, and fail when it is full", async () => {
    const rig = makeRig();
    rig.store.congestion = 3;
    const outcome = rig.objects.updateValue(CONTAINER, KEYS, bytes("x"));
    expect(outcome).toBeInstanceOf(Promise);
    await outcome;
    expect(await get(rig, "d", "a")).toBe("x");
    rig.store.full = true;
    expect(await refusal(() => put(rig, "d", "a", "y"))).toBe("NO_SPACE");
    expect(await refusal(() => put(rig, "d", "a", "y".repeat(5000)))).toBe("NO_SPACE");
    expect(await get(rig, "d", "a")).toBe("x");
    await settled(rig.objects.punchAkey(CONTAINER, KEYS));
    expect(await get(rig, "d", "a")).toBeUndefined();
  });

  test("give back the extent when the condition failed while it was written", async () => {
    const rig = makeRig();
    const large = rig.objects.updateValue(CONTAINER, { ...KEYS, flags: ObjectFlag.ifAkeyAbsent }, new Uint8Array(9000));
    for (let turn = 0; turn < 2; turn += 1) await Promise.resolve();
    await put(rig, "d", "a", "first");
    expect((await large).error?.code).toBe("ALREADY_EXISTS");
    expect(rig.store.abandoned).toBe(1);
    expect(await get(rig, "d", "a")).toBe("first");
  });
});

describe("outcomes", () => {
  test("carry the sequence of everything they rest on that is not durable", async () => {
    const rig = makeRig({ strict: true });
    const first = await put(rig, "d", "a", "1");
    const fetched = await settled(rig.objects.fetchValue(CONTAINER, KEYS));
    expect(fetched.sequence).toBe(first.sequence);
    const refused = await rig.objects.updateValue(CONTAINER, { ...KEYS, flags: ObjectFlag.ifAkeyAbsent }, bytes("2"));
    expect(refused.error?.code).toBe("ALREADY_EXISTS");
    expect(refused.sequence).toBe(first.sequence);
    const listed = await rig.objects.listDkeys(CONTAINER, { oid: oid(1), limit: 5, epoch: EPOCH_NONE });
    expect(listed.sequence).toBe(first.sequence);
    const punched = await settled(rig.objects.punchAkey(CONTAINER, KEYS));
    const missing = await settled(rig.objects.fetchValue(CONTAINER, KEYS));
    expect([missing.found, missing.sequence]).toEqual([false, punched.sequence]);
    const again = await settled(rig.objects.punchAkey(CONTAINER, KEYS));
    expect(again.sequence).toBe(punched.sequence);
    rig.store.persist();
    expect((await settled(rig.objects.fetchValue(CONTAINER, KEYS))).sequence).toBe(0);
  });

  test("of a read beneath a fresh punch wait for the punch", async () => {
    const rig = makeRig({ strict: true, limits: { singlyPunchedAkeys: 1 } });
    for (const akey of ["a", "b", "c"]) await put(rig, "d", akey, "1");
    rig.store.persist();
    const { sequence } = await settled(rig.objects.punchObject(CONTAINER, KEYS));
    expect(await settled(rig.objects.fetchValue(CONTAINER, KEYS))).toMatchObject({ found: false, sequence });
    expect(await rig.objects.listDkeys(CONTAINER, { oid: oid(1), limit: 5, epoch: EPOCH_NONE })).toMatchObject({
      keys: [],
      sequence,
    });
  });
});

describe("epochs", () => {
  test("of writes ascend and pass every epoch that was read", async () => {
    const rig = makeRig();
    const before = rig.clock.peek();
    expect(await get(rig, "d", "a", before)).toBeUndefined();
    expect((await put(rig, "d", "a", "0")).epoch).toBeGreaterThan(before);
    expect(await get(rig, "d", "a", before)).toBeUndefined();
    const first = await put(rig, "d", "a", "1");
    const reading = rig.clock.peek();
    expect(await get(rig, "d", "a", reading)).toBe("1");
    const second = await put(rig, "d", "a", "2");
    expect(second.epoch).toBeGreaterThan(first.epoch);
    expect(second.epoch).toBeGreaterThan(reading);
    expect(await get(rig, "d", "a", reading)).toBe("1");
  });

  test("in the future cannot be read, nor those aggregated away", async () => {
    const rig = makeRig();
    const { epoch } = await put(rig, "d", "a", "1");
    await put(rig, "d", "a", "2");
    expect(await refusal(() => get(rig, "d", "a", rig.clock.peek() + 1000))).toBe("INVALID_ARGUMENT");
    expect(await get(rig, "d", "a", epoch)).toBe("1");
    rig.store.settle();
    expect(await refusal(() => get(rig, "d", "a", epoch))).toBe("EPOCH_AGGREGATED");
    expect(await refusal(() => rig.objects.listDkeys(CONTAINER, { oid: oid(1), limit: 1, epoch }))).toBe(
      "EPOCH_AGGREGATED",
    );
  });

  test("go on after a restart with a clock that was set back", async () => {
    const rig = makeRig();
    const { epoch } = await put(rig, "d", "a", "1");
    const clock = new HybridLogicalClock(() => EPOCH_ORIGIN_MS);
    const objects = new VersionedObjects({ store: rig.store, clock, timers: { soon: setImmediate } });
    objects.openContainer(CONTAINER);
    const next = await settled(objects.updateValue(CONTAINER, KEYS, bytes("2")));
    expect(next.epoch).toBeGreaterThan(epoch);
  });
});

describe("punches", () => {
  test("leave nothing behind once they are aggregated", async () => {
    const rig = makeRig();
    for (let index = 0; index < 5; index += 1) {
      const range = { recordIndex: index * 5000, recordCount: 9000, recordBytes: 1 };
      await settled(rig.objects.writeArray(CONTAINER, { ...KEYS, ...range }, new Uint8Array(9000).fill(1)));
    }
    await put(rig, "d", "single", "1");
    await settled(rig.objects.punchObject(CONTAINER, KEYS));
    for (let turn = 0; turn < 3; turn += 1) await new Promise(setImmediate);
    rig.store.settle();
    expect(rig.store.cellCount).toBe(0);
    expect(rig.store.extentCount).toBe(0);
    expect(rig.objects.usage(CONTAINER).versions).toBe(0);
  });

  test("of akeys, arrays, dkeys and objects with much beneath give their space back", async () => {
    for (const level of ["dkey", "object"] as const) {
      const rig = makeRig();
      for (let index = 0; index < 100; index += 1) await put(rig, "d", `akey ${index}`, "1");
      rig.store.settle();
      if (level === "dkey") await settled(rig.objects.punchDkey(CONTAINER, KEYS));
      else await settled(rig.objects.punchObject(CONTAINER, KEYS));
      expect(await get(rig, "d", "akey 7")).toBeUndefined();
      rig.store.settle();
      expect(rig.store.cellCount).toBeLessThanOrEqual(2);
      await put(rig, "d", "akey 7", "new");
      expect(await get(rig, "d", "akey 7")).toBe("new");
      expect(await get(rig, "d", "akey 8")).toBeUndefined();
    }
  });

  test("of what is not there write nothing", async () => {
    const rig = makeRig();
    await settled(rig.objects.punchAkey(CONTAINER, KEYS));
    await settled(rig.objects.punchDkey(CONTAINER, KEYS));
    await settled(rig.objects.punchObject(CONTAINER, KEYS));
    await settled(rig.objects.punchArray(CONTAINER, { ...KEYS, recordIndex: 0, recordCount: 10, recordBytes: 1 }));
    expect(rig.store.appends).toBe(0);
    const flags = ObjectFlag.ifObjectExists;
    expect((await rig.objects.punchObject(CONTAINER, { ...KEYS, flags })).error?.code).toBe("DOES_NOT_EXIST");
  });

  test("keep dkey punches known to snapshots that are older than an object punch", async () => {
    const rig = makeRig({ strict: true, limits: { singlyPunchedAkeys: 1 } });
    for (const akey of ["a", "b", "c"]) await put(rig, "d", akey, "1");
    for (const akey of ["a", "b", "c"]) await put(rig, "other", akey, "1");
    const first = await rig.objects.createSnapshot(CONTAINER);
    await settled(rig.objects.punchDkey(CONTAINER, KEYS));
    const second = await rig.objects.createSnapshot(CONTAINER);
    await settled(rig.objects.punchObject(CONTAINER, KEYS));
    for (const round of [0, 1]) {
      if (round === 1) rig.store.settle();
      rig.reopen();
      expect(await get(rig, "d", "a", first)).toBe("1");
      expect(await get(rig, "d", "a", second)).toBeUndefined();
      expect(await get(rig, "other", "a", second)).toBe("1");
      expect(await get(rig, "other", "a")).toBeUndefined();
    }
  });
});

describe("conditions", () => {
  test("that contradict themselves or do not fit the operation are refused", async () => {
    const rig = makeRig();
    const both = ObjectFlag.ifAkeyAbsent | ObjectFlag.ifAkeyExists;
    expect(await refusal(() => put(rig, "d", "a", "1", both))).toBe("INVALID_ARGUMENT");
    const absent = { ...KEYS, flags: ObjectFlag.ifAkeyAbsent };
    expect(await refusal(() => settled(rig.objects.fetchValue(CONTAINER, absent)))).toBe("INVALID_ARGUMENT");
    expect(await refusal(() => settled(rig.objects.punchAkey(CONTAINER, absent)))).toBe("INVALID_ARGUMENT");
    expect(rig.store.appends).toBe(0);
  });

  test("of two inserts at once let one through", async () => {
    const rig = makeRig();
    rig.store.congestion = 2;
    const outcomes = await Promise.all(
      [1, 2, 3].map(() => rig.objects.updateValue(CONTAINER, { ...KEYS, flags: ObjectFlag.ifDkeyAbsent }, bytes("x"))),
    );
    expect(outcomes.filter((outcome) => outcome.error === undefined).length).toBe(1);
  });
});

describe("enumeration", () => {
  test("gives up its turn and goes on, inside a key with thousands of hidden cells too", async () => {
    const rig = makeRig({ durable: true });
    for (let index = 0; index < 9000; index += 1)
      await rig.objects.updateValue(CONTAINER, { ...KEYS, akey: key(`k${index}`) }, bytes("x"));
    await put(rig, "e", "a", "1");
    // Tombstones that are not settled yet: one dkey with 9000 cells of which none is visible.
    for (let index = 0; index < 9000; index += 1)
      await rig.objects.punchAkey(CONTAINER, { ...KEYS, akey: key(`k${index}`) });
    const listing = rig.objects.listDkeys(CONTAINER, { oid: oid(1), limit: 10, epoch: EPOCH_NONE });
    expect(listing).toBeInstanceOf(Promise);
    expect((await listing).keys.map(String)).toEqual(["e"]);
    const objects = await rig.objects.listObjects(CONTAINER, { limit: 10, epoch: EPOCH_NONE });
    expect(objects.objects).toEqual([oid(1)]);
  });

  test("sees a punch that comes while it pauses", async () => {
    const rig = makeRig({ durable: true, limits: { singlyPunchedAkeys: 1 } });
    for (let index = 0; index < 3000; index += 1)
      await rig.objects.updateValue(CONTAINER, { ...KEYS, akey: key(`k${index}`) }, bytes("x"));
    for (let index = 0; index < 3000; index += 1)
      await rig.objects.punchAkey(CONTAINER, { ...KEYS, akey: key(`k${index}`) });
    await put(rig, "d", "x", "1");
    await put(rig, "e", "a", "1");
    await put(rig, "e", "b", "1");
    const listing = rig.objects.listDkeys(CONTAINER, { oid: oid(1), limit: 10, epoch: EPOCH_NONE });
    await settled(rig.objects.punchObject(CONTAINER, KEYS));
    expect((await listing).keys).toEqual([]);
  });

  test("pages through many keys with anchors, each once", async () => {
    const rig = makeRig({ durable: true });
    const names = Array.from({ length: 5000 }, (_, index) => `key-${String(index).padStart(5, "0")}`);
    for (const name of names) await rig.objects.updateValue(CONTAINER, { ...KEYS, dkey: key(name) }, bytes("x"));
    for (const name of names)
      if (!name.endsWith("7")) await rig.objects.punchAkey(CONTAINER, { ...KEYS, dkey: key(name) });
    const listed: string[] = [];
    let after: { after?: ReturnType<typeof key> } = {};
    for (let done = false, pages = 0; !done; pages += 1) {
      expect(pages).toBeLessThan(60);
      const page = await rig.objects.listDkeys(CONTAINER, { oid: oid(1), limit: 64, epoch: EPOCH_NONE, ...after });
      listed.push(...page.keys);
      done = page.done;
      if (page.anchor !== undefined) after = { after: page.anchor };
    }
    expect(listed).toEqual(names.filter((name) => name.endsWith("7")));
  });

  test("and key queries refuse what cannot be right", async () => {
    const rig = makeRig();
    const list = { oid: oid(1), limit: 0, epoch: EPOCH_NONE };
    expect(await refusal(() => rig.objects.listDkeys(CONTAINER, list))).toBe("INVALID_ARGUMENT");
    expect(await refusal(() => rig.objects.listDkeys(CONTAINER, { ...list, limit: 5000 }))).toBe("INVALID_ARGUMENT");
    expect(
      await refusal(() => rig.objects.listObjects(CONTAINER, { limit: 1, epoch: EPOCH_NONE, after: key("short") })),
    ).toBe("INVALID_ARGUMENT");
    const query = { oid: oid(1), direction: "max", epoch: EPOCH_NONE } as const;
    expect(await refusal(() => rig.objects.queryKey(CONTAINER, { ...query, levels: [] }))).toBe("INVALID_ARGUMENT");
    expect(await refusal(() => rig.objects.queryKey(CONTAINER, { ...query, levels: ["akey"] }))).toBe(
      "INVALID_ARGUMENT",
    );
    expect(await refusal(() => rig.objects.queryKey(CONTAINER, { ...query, levels: ["dkey", "extent"] }))).toBe(
      "INVALID_ARGUMENT",
    );
    const changes = { fromEpoch: 5 as Epoch, toEpoch: 4 as Epoch, limit: 5 };
    expect(await refusal(() => rig.objects.listChanges(CONTAINER, changes))).toBe("INVALID_ARGUMENT");
    const anchored = { ...changes, toEpoch: EPOCH_NONE, after: key("x") };
    expect(await refusal(() => rig.objects.listChanges(CONTAINER, anchored))).toBe("INVALID_ARGUMENT");
  });
});

describe("snapshots and containers", () => {
  test("snapshots survive a restart and keep what was overwritten", async () => {
    const rig = makeRig();
    await put(rig, "d", "a", "old");
    const snapshot = await rig.objects.createSnapshot(CONTAINER);
    await put(rig, "d", "a", "new");
    rig.store.settle();
    rig.reopen();
    expect(rig.objects.listSnapshots(CONTAINER)).toEqual([snapshot]);
    await put(rig, "d", "a", "newer");
    rig.store.settle();
    expect(await get(rig, "d", "a", snapshot)).toBe("old");
    await rig.objects.destroySnapshot(CONTAINER, snapshot);
    rig.store.settle();
    expect(rig.objects.listSnapshots(CONTAINER)).toEqual([]);
    expect(await refusal(() => get(rig, "d", "a", snapshot))).toBe("EPOCH_AGGREGATED");
    expect(await refusal(() => rig.objects.destroySnapshot(CONTAINER, snapshot))).toBe("NOT_FOUND");
    rig.reopen();
    expect(rig.objects.listSnapshots(CONTAINER)).toEqual([]);
  });

  test("a snapshot at a given epoch must be later than every write", async () => {
    const rig = makeRig();
    const { epoch } = await put(rig, "d", "a", "1");
    expect(await refusal(() => rig.objects.createSnapshot(CONTAINER, epoch))).toBe("CONFLICT");
    expect(await refusal(() => rig.objects.createSnapshot(CONTAINER, (epoch + 60_000_000) as Epoch))).toBe(
      "INVALID_ARGUMENT",
    );
    expect(await rig.objects.createSnapshot(CONTAINER, (epoch + 500) as Epoch)).toBe((epoch + 500) as Epoch);
    expect((await put(rig, "d", "a", "2")).epoch).toBeGreaterThan(epoch + 500);
    expect(await get(rig, "d", "a", epoch + 500)).toBe("1");
  });

  test("a destroyed container is empty, refused, and leaves its neighbours alone", async () => {
    const rig = makeRig();
    for (const container of [6, 8]) {
      rig.objects.openContainer(container);
      await settled(rig.objects.updateValue(container, KEYS, bytes("neighbour")));
    }
    for (let index = 0; index < 20; index += 1) await put(rig, `d${index}`, "a", "1");
    await rig.objects.createSnapshot(CONTAINER);
    await rig.objects.createSnapshot(CONTAINER);
    await rig.objects.destroyContainer(CONTAINER);
    expect(await refusal(() => get(rig, "d1", "a"))).toBe("NOT_FOUND");
    expect(await refusal(() => put(rig, "d1", "a", "2"))).toBe("NOT_FOUND");
    expect(await refusal(() => rig.objects.openContainer(CONTAINER))).toBe("NOT_FOUND");
    await rig.objects.destroyContainer(CONTAINER);
    rig.store.settle();
    rig.store.settle();
    expect(rig.objects.usage(CONTAINER).versions).toBe(0);
    for (const container of [6, 8]) {
      const fetched = await settled(rig.objects.fetchValue(container, KEYS));
      expect(Buffer.from(fetched.value).toString()).toBe("neighbour");
    }
  });
});
