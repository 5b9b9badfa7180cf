/** Copies of dkeys: every reader of the latest state and of a snapshot sees the same there, also after further updates. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { ByteString } from "../../src/base/bytes.ts";
import { EPOCH_NONE, type Epoch } from "../../src/base/epoch.ts";
import { KIB } from "../../src/base/limits.ts";
import { objectClassByName } from "../../src/base/object-class.ts";
import { type ObjectId, objectId } from "../../src/base/object-id.ts";
import { decodeFillRequest, encodeFillRequest } from "../../src/format/fill-message.ts";
import { snapshotStart } from "../../src/vos/cell-key.ts";
import { joinRuns } from "../../src/vos/array-overlay.ts";
import { windowLead } from "../../src/vos/array-window.ts";
import { VersionKind } from "../../src/store/cell.ts";
import { TRANSACTION_WRITES_META } from "../../src/vos/cell-meta.ts";
import { LATEST } from "../../src/vos/condition.ts";
import { writesKey } from "../../src/vos/transaction-cells.ts";
import type { WriteOrder } from "../../src/vos/write-order.ts";
import { CONTAINER, key, makeRig, type Rig, settled } from "./rig.ts";

const OID = objectId("MULTI_HASHED", objectClassByName("RP_2G1"), 0, 1n);
const SINGLE = objectId("MULTI_HASHED", objectClassByName("S1"), 0, 1n);
const DKEY = key("d\x00key");
const VALUES = [key("value"), key("")];
const ARRAYS = [key("array"), key("other\x00array")];
const ARRAY_BYTES = 64 * KIB;
const mayWrite = (): void => {};

const operation = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ type: fc.constant("put"), at: fc.nat(1), bytes: fc.constantFrom(0, 3, 700, 6000) }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      type: fc.constant("write"),
      at: fc.nat(1),
      start: fc.nat(ARRAY_BYTES - 1),
      length: fc.constantFrom(1, 300, 4 * KIB, 20 * KIB),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant("hole"),
      at: fc.nat(1),
      start: fc.nat(ARRAY_BYTES - 1),
      length: fc.constantFrom(1, 300, 4 * KIB, 20 * KIB),
    }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("punch"), at: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("punchDkey") }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("punchObject") }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("snapshot") }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("settle") }) },
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

let sequence = 0;

/** As a leader, or at the epoch that it gave. Returns the epoch; EPOCH_NONE when nothing was appended. */
async function apply(rig: Rig, oid: ObjectId, one: Operation, number: number, given?: Epoch): Promise<Epoch> {
  let appended = EPOCH_NONE;
  sequence += 1;
  const origin = { client: 1, sequence, firstIncomplete: 0 };
  await run(rig, oid, one, number, {
    origin,
    isPrepared: false,
    epoch: given,
    appended: (epoch) => (appended = epoch),
  });
  return appended;
}

async function run(
  { objects }: Rig,
  oid: ObjectId,
  one: Operation,
  number: number,
  order: WriteOrder,
): Promise<unknown> {
  const keys = { oid, dkey: DKEY, order };
  const fill = (length: number): Uint8Array => new Uint8Array(length).fill((number % 250) + 1);
  const range = (start: number, length: number) => ({
    recordIndex: start,
    recordCount: Math.min(length, ARRAY_BYTES - start),
    recordBytes: 1,
  });
  switch (one.type) {
    case "put":
      return settled(objects.updateValue(CONTAINER, { ...keys, akey: VALUES[one.at]! }, fill(one.bytes)));
    case "write": {
      const request = { ...keys, akey: ARRAYS[one.at]!, ...range(one.start, one.length) };
      return settled(objects.writeArray(CONTAINER, request, fill(request.recordCount)));
    }
    case "hole": {
      const request = { ...keys, akey: ARRAYS[one.at]!, ...range(one.start, one.length) };
      return settled(objects.punchArray(CONTAINER, request));
    }
    case "punch":
      return settled(objects.punchAkey(CONTAINER, { ...keys, akey: [...VALUES, ...ARRAYS][one.at]! }));
    case "punchDkey":
      return settled(objects.punchDkey(CONTAINER, keys));
    case "punchObject":
      return settled(oid === OID ? objects.punchDkey(CONTAINER, keys) : objects.punchObject(CONTAINER, keys));
    default:
      return undefined;
  }
}

/** What a reader sees at an epoch. */
async function view({ objects }: Rig, oid: ObjectId, epoch: Epoch): Promise<unknown[]> {
  const seen: unknown[] = [];
  const keys = { oid, dkey: DKEY, epoch };
  for (const akey of VALUES) {
    const { found, value, epoch: at } = await settled(objects.fetchValue(CONTAINER, { ...keys, akey }));
    seen.push(found ? [at, Bun.hash(value)] : "absent");
  }
  for (const akey of ARRAYS) {
    const range = { recordIndex: 0, recordCount: ARRAY_BYTES, recordBytes: 0 };
    const { found, bytes, holes } = await settled(objects.readArray(CONTAINER, { ...keys, akey, ...range }));
    seen.push(found ? [Bun.hash(bytes), holes] : "absent");
    // Their epochs depend on when parts were merged.
    const { extents } = await objects.listExtents(CONTAINER, { ...keys, akey, from: 0, limit: 1000 });
    seen.push(joinRuns(extents.map(({ index, count }) => ({ start: index, end: index + count }))));
  }
  seen.push((await settled(objects.listAkeys(CONTAINER, { oid, dkey: DKEY, limit: 100, epoch }))).keys);
  return seen;
}

/** As leader and target do it, in messages. */
async function copy(from: Rig, to: Rig, oid: ObjectId): Promise<void> {
  const { copies } = from.objects;
  const prefix = copies.prefixOf(CONTAINER, oid, DKEY);
  if (oid === SINGLE) for (const rig of [from, to]) await rig.objects.moving.makeReady(CONTAINER, oid);
  await to.objects.adoptSnapshots(CONTAINER, from.objects.listSnapshots(CONTAINER));
  if (to.objects.copies.has(prefix)) await to.objects.copies.purge([prefix]);
  let next: ByteString | undefined;
  do {
    const page = await copies.read(CONTAINER, prefix, next);
    const message = encodeFillRequest({
      kind: "cells",
      container: CONTAINER,
      flags: 0,
      prefix,
      versions: page.versions,
    });
    const received = decodeFillRequest(message.args, message.payload, message.checksum);
    if (received.kind !== "cells") throw new Error("it is another message");
    await to.objects.copies.write(CONTAINER, prefix, received.versions, mayWrite);
    next = page.next;
  } while (next !== undefined);
  await to.objects.copies.finish(prefix, mayWrite);
}

function digestOf({ objects: { copies } }: Rig): string {
  return Buffer.from(copies.digest(CONTAINER, copies.prefixOf(CONTAINER, OID, DKEY))!).toString("hex");
}

function rigOf(): Rig {
  return makeRig({
    strict: true,
    durable: true,
    limits: { windowParts: 4, singlyPunchedAkeys: 1 },
    destageRule: windowLead,
  });
}

/** What happens to a dkey before it is copied shows at both ends, and so does what happens to both then. */
async function expectAlike(oid: ObjectId): Promise<void> {
  const property = fc.asyncProperty(
    fc.array(operation, { maxLength: 40 }),
    fc.array(operation, { maxLength: 15 }),
    fc.nat(30),
    async (before, after, leftover) => {
      const [from, to] = [rigOf(), rigOf()];
      const snapshots: Epoch[] = [];
      let number = 0;
      for (const one of before) {
        number += 1;
        if (one.type === "snapshot") snapshots.push(await from.objects.createSnapshot(CONTAINER));
        else if (one.type === "settle") from.store.settle();
        else {
          const epoch = await apply(from, oid, one, number).catch(() => EPOCH_NONE);
          // It has seen the first of it, and was away then.
          if (epoch !== EPOCH_NONE && number < leftover) await apply(to, oid, one, number, epoch);
        }
      }
      await from.objects.idle();
      await to.objects.idle();
      if (oid === OID) {
        // Whoever finds that both have the same digest brings nothing.
        await to.objects.adoptSnapshots(CONTAINER, from.objects.listSnapshots(CONTAINER));
        if (digestOf(from) === digestOf(to)) {
          for (const epoch of [EPOCH_NONE, ...snapshots])
            expect(await view(to, oid, epoch)).toEqual(await view(from, oid, epoch));
        }
      }
      await copy(from, to, oid);
      if (oid === OID) expect(digestOf(to)).toBe(digestOf(from));
      for (const epoch of [EPOCH_NONE, ...snapshots])
        expect(await view(to, oid, epoch)).toEqual(await view(from, oid, epoch));
      for (const one of after) {
        number += 1;
        if (one.type === "settle") {
          from.store.settle();
          to.store.settle();
        } else if (one.type !== "snapshot" && one.type !== "punchObject") {
          const epoch = await apply(from, oid, one, number).catch(() => EPOCH_NONE);
          if (epoch !== EPOCH_NONE) await apply(to, oid, one, number, epoch);
        }
        await from.objects.idle();
        await to.objects.idle();
      }
      for (const epoch of [EPOCH_NONE, ...snapshots])
        expect(await view(to, oid, epoch)).toEqual(await view(from, oid, epoch));
    },
  );
  await fc.assert(property, { numRuns: 150 });
}

test(
  "a copy shows what the original shows, at the latest state and at snapshots, and goes on like it",
  () => expectAlike(OID),
  60_000,
);

test(
  "so does one of an object without redundancy that was punched, where the object has a cell of its own",
  () => expectAlike(SINGLE),
  60_000,
);

test("a digest is of what is shown, wherever the bytes lie, and another one when any of it is another", async () => {
  const [left, right] = [rigOf(), rigOf()];
  right.objects.setThreshold(CONTAINER, 16 * KIB);
  const [value, array] = [VALUES[0]!, ARRAYS[0]!];
  const both = async (one: (rig: Rig, given?: Epoch) => Promise<{ epoch: Epoch }>): Promise<void> => {
    const { epoch } = await one(left);
    await one(right, epoch);
  };
  const order = (epoch: Epoch | undefined) => {
    sequence += 1;
    return { origin: { client: 1, sequence, firstIncomplete: 0 }, isPrepared: false, epoch, appended: () => {} };
  };
  const put = (length: number) => (rig: Rig, given?: Epoch) =>
    settled(
      rig.objects.updateValue(
        CONTAINER,
        { oid: OID, dkey: DKEY, akey: value, order: order(given) },
        Buffer.alloc(length, 7),
      ),
    );
  const write = (recordIndex: number, length: number, byte: number) => (rig: Rig, given?: Epoch) => {
    const range = { recordIndex, recordCount: length, recordBytes: 1 };
    const request = { oid: OID, dkey: DKEY, akey: array, order: order(given), ...range };
    return settled(rig.objects.writeArray(CONTAINER, request, Buffer.alloc(length, byte)));
  };
  // On the device here, in the record there.
  for (const one of [put(9_000), write(0, 5_000, 1), write(70_000, 300, 2), write(200_001, 6_000, 3)]) await both(one);
  for (const rig of [left, right]) await rig.objects.idle();
  const same = digestOf(left);
  expect(digestOf(right)).toBe(same);
  left.store.settle();
  expect(digestOf(left)).toBe(same);
  const { epoch } = await write(200_001, 6_000, 4)(left);
  await write(200_001, 6_000, 5)(right, epoch);
  for (const rig of [left, right]) await rig.objects.idle();
  // The same cells at the same epoch, with other bytes.
  expect(digestOf(left)).not.toBe(same);
  expect(digestOf(right)).not.toBe(digestOf(left));
});

test("large dkeys are read page by page, and dkeys of objects that are not wanted are not listed", async () => {
  const rig = rigOf();
  const isWanted = (oid: ObjectId): boolean => oid === OID;
  await settled(rig.objects.updateValue(CONTAINER, { oid: SINGLE, dkey: DKEY, akey: key("") }, new Uint8Array(4)));
  for (let index = 0; index < 5; index += 1) {
    const keys = { oid: OID, dkey: key(`d${index}`), akey: key("") };
    await settled(rig.objects.updateValue(CONTAINER, keys, new Uint8Array(600 * KIB)));
  }
  const akeys = { oid: OID, dkey: key("d5") };
  for (let index = 0; index < 5; index += 1) {
    await settled(rig.objects.updateValue(CONTAINER, { ...akeys, akey: key(`a${index}`) }, new Uint8Array(600 * KIB)));
  }
  const { copies } = rig.objects;
  const first = copies.list(CONTAINER, undefined, 4, isWanted);
  const rest = copies.list(CONTAINER, first.after, 4, isWanted);
  expect(copies.list(CONTAINER, undefined, 9).places).toHaveLength(7);
  expect([...first.places, ...rest.places].map(({ dkey }) => dkey)).toEqual(
    [0, 1, 2, 3, 4, 5].map((index) => key(`d${index}`)),
  );
  expect(rest.after).toBeUndefined();
  const prefix = copies.prefixOf(CONTAINER, OID, key("d5"));
  const page = await copies.read(CONTAINER, prefix);
  expect(page.versions.length).toBe(2);
  expect(page.next).toBeDefined();
  // What goes to extents takes no room in records.
  const to = rigOf();
  const admitted: number[] = [];
  const admit = to.store.admit.bind(to.store);
  to.store.admit = (recordBytes, options) => {
    admitted.push(recordBytes);
    return admit(recordBytes, options);
  };
  await to.objects.copies.write(CONTAINER, prefix, page.versions, mayWrite);
  expect(Math.max(...admitted)).toBeLessThan(8 * KIB);
  expect(copies.placeOf(prefix)).toEqual({ oid: OID, dkey: key("d5"), prefix });
  expect(copies.placeOf(`${prefix}x`)).toBeUndefined();
  expect(copies.placeOf(snapshotStart("\0\0\0\x07"))).toBeUndefined();
});

test("what transactions keep of a dkey goes with it, also where there is nothing else", async () => {
  const [from, to] = [rigOf(), rigOf()];
  const { copies } = from.objects;
  const prefixes = ["d1", "d2"].map((name) => copies.prefixOf(CONTAINER, OID, key(name)));
  await settled(from.objects.updateValue(CONTAINER, { oid: OID, dkey: key("d1"), akey: key("") }, new Uint8Array(3)));
  for (const prefix of prefixes) {
    const inline = Buffer.from(`writes of ${prefix.length}`);
    const write = { key: writesKey(prefix), epoch: 5 as Epoch, kind: VersionKind.value, meta: TRANSACTION_WRITES_META };
    from.store.append([{ ...write, inline }]);
  }
  expect(copies.list(CONTAINER, undefined, 9)).toMatchObject({
    places: [{ dkey: key("d1") }, { dkey: key("d2") }],
    after: undefined,
  });
  expect(copies.list(CONTAINER, prefixes[0], 9).places).toHaveLength(1);
  for (const prefix of prefixes) {
    const page = await copies.read(CONTAINER, prefix);
    const request = { kind: "cells", container: CONTAINER, flags: 0, prefix, versions: page.versions } as const;
    const { args, payload, checksum } = encodeFillRequest(request);
    const received = decodeFillRequest(args, payload, checksum);
    if (received.kind !== "cells") throw new Error("it is another message");
    await to.objects.copies.write(CONTAINER, prefix, received.versions, mayWrite);
    const version = to.store.get(writesKey(prefix), LATEST)!;
    expect(Buffer.from(version.inline!).toString()).toBe(`writes of ${prefix.length}`);
    expect(to.objects.copies.has(prefix)).toBe(true);
  }
  await to.objects.copies.purge(prefixes);
  expect(to.objects.copies.list(CONTAINER, undefined, 9).places).toEqual([]);
});

test("once a leader has brought all, older epochs are for snapshots only, also after a restart", async () => {
  const rig = rigOf();
  const put = (text: string) =>
    settled(rig.objects.updateValue(CONTAINER, { oid: OID, dkey: DKEY, akey: key("") }, Buffer.from(text)));
  const read = (epoch: Epoch) =>
    settled(rig.objects.fetchValue(CONTAINER, { oid: OID, dkey: DKEY, akey: key(""), epoch }));
  const { epoch: old } = await put("old");
  const snapshot = await rig.objects.createSnapshot(CONTAINER);
  expect((await read(old)).found).toBe(true);
  await rig.objects.fillMarks.noteBrought(CONTAINER, 3, 7);
  for (let life = 0; life < 2; life += 1) {
    expect(() => read(old)).toThrow("aggregated");
    expect((await read(snapshot)).found).toBe(true);
    expect(rig.objects.listSnapshots(CONTAINER)).toEqual([snapshot]);
    expect([3, 4].map((leader) => rig.objects.fillMarks.broughtBy(CONTAINER, leader))).toEqual([7, 0]);
    rig.reopen();
  }
  expect(rig.objects.fillMarks.doneUnder(CONTAINER)).toBe(0);
  await rig.objects.fillMarks.noteDone(CONTAINER, 8);
  expect(rig.objects.fillMarks.doneUnder(CONTAINER)).toBe(8);
});
