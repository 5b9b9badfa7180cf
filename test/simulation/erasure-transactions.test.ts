/** Transactions over erasure-coded objects through real clients and targets: what conflicts, and who ends what was left. */
import { afterEach, expect, test } from "bun:test";
import { byteStringOfText } from "../../src/base/bytes.ts";
import { EPOCH_NONE, type Epoch } from "../../src/base/epoch.ts";
import { DaosError } from "../../src/base/errors.ts";
import type { ContainerSession } from "../../src/client/container-session.ts";
import type { ObjectHandle } from "../../src/client/object-handle.ts";
import type { RpcLink } from "../../src/client/rpc-link.ts";
import type { Transaction } from "../../src/client/transaction.ts";
import { Transactions } from "../../src/client/transactions.ts";
import { Opcode } from "../../src/format/operations.ts";
import { decodeTransactionStep, type TransactionStep } from "../../src/format/transaction-part.ts";
import { redundancyGroup } from "../../src/redundancy/redundancy-group.ts";
import type { RpcCompletion } from "../../src/rpc/pending-call.ts";
import { openSession } from "./cluster/client.ts";
import { NodeClock } from "./cluster/node-clock.ts";
import { CONTAINER } from "./cluster/node.ts";
import { ErasureRig } from "./erasure-rig.ts";
import { payloadBytes } from "../fixtures/payload-bytes.ts";

/** Of two cells of 4 KiB. */
const STRIPE_BYTES = 8_192;
/** Where a parity shard keeps parity. */
const PARITY_BASE = 2 ** 52;

let rig: ErasureRig | undefined;

afterEach(() => rig?.end());

async function started(seed: number, nodeCount?: number): Promise<ErasureRig> {
  rig = new ErasureRig(seed, nodeCount);
  await rig.start();
  return rig;
}

function begin(own: ErasureRig): Transaction {
  return new Transactions(own.session).begin();
}

/** Of the failure; `rejects` does not go with simulated time. */
function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "ok",
    (error: DaosError) => error.code,
  );
}

function targetsOf(own: ErasureRig, object: ObjectHandle, dkey: string): readonly number[] {
  return redundancyGroup(own.session.placement, object.id, byteStringOfText(dkey)).shards!.targets;
}

function leaderOf(own: ErasureRig, object: ObjectHandle, dkey: string): number {
  return redundancyGroup(own.session.placement, object.id, byteStringOfText(dkey)).leader;
}

function range(start: number, length: number) {
  return { recordIndex: start, recordCount: length, recordBytes: 1 };
}

const at = (start: number) => ({ recordIndex: start, recordBytes: 1 });

/** An object with an array of four stripes, all in parity, and one with holes behind them. */
async function filled(own: ErasureRig): Promise<ObjectHandle> {
  const object = own.object("EC_2P1G1");
  await object.writeArray("d", "array", at(0), Buffer.alloc(4 * STRIPE_BYTES, 1));
  await object.writeArray("d", "array", at(4 * STRIPE_BYTES), Buffer.alloc(100, 2));
  await object.update("d", "value", Buffer.alloc(10_000, 3));
  await own.timers.advance(3_000);
  return object;
}

type Change = (object: ObjectHandle) => Promise<unknown>;

/** What a transaction that has read bytes [start, start + length), and the value, is told after the change. */
async function conflictAfter(
  own: ErasureRig,
  object: ObjectHandle,
  [start, length]: readonly [number, number],
  change: Change,
): Promise<string> {
  const transaction = begin(own);
  const seen = transaction.object(object.id);
  await seen.readArray("d", "array", range(start, length));
  await seen.update("e", "other", Buffer.of(1));
  await change(object);
  return codeOf(transaction.commit());
}

const write =
  (start: number, length: number): Change =>
  (object) =>
    object.writeArray("d", "array", at(start), Buffer.alloc(length, 9));
const punch =
  (start: number, length: number): Change =>
  (object) =>
    object.punchArray("d", "array", range(start, length));

test("whatever changes what was read of an array is a conflict, wherever the parity shard has it", async () => {
  const own = await started(1);
  for (const [read, change] of [
    [[0, 10], write(0, STRIPE_BYTES)],
    [[STRIPE_BYTES + 4_100, 10], write(STRIPE_BYTES + 4_096, 100)],
    [[STRIPE_BYTES - 1, 2], write(0, 2 * STRIPE_BYTES)],
    [[STRIPE_BYTES - 1, 2], write(STRIPE_BYTES, 1)],
    [[0, 4 * STRIPE_BYTES], punch(STRIPE_BYTES, STRIPE_BYTES)],
    [[10, 10], punch(0, STRIPE_BYTES)],
    [[10, 10], punch(0, 15)],
    [[4 * STRIPE_BYTES, 100], punch(4 * STRIPE_BYTES + 50, 10)],
    [[4 * STRIPE_BYTES, 100], punch(4 * STRIPE_BYTES, 200)],
    [[7 * STRIPE_BYTES, 100], write(7 * STRIPE_BYTES + 99, 1)],
    [[7 * STRIPE_BYTES, 100], write(6 * STRIPE_BYTES, 2 * STRIPE_BYTES)],
    [[10, 10], (object: ObjectHandle) => object.punchAkey("d", "array")],
    [[10, 10], (object: ObjectHandle) => object.punchDkey("d")],
  ] as const) {
    const object = await filled(own);
    expect(await conflictAfter(own, object, read, change)).toBe("CONFLICT");
  }
  // The same when what was written has been folded meanwhile.
  const object = await filled(own);
  const written = conflictAfter(own, object, [10, 10], async (changed) => {
    await write(12, 1)(changed);
    await own.timers.advance(1_900);
  });
  expect(await written).toBe("CONFLICT");
}, 30_000);

test("what leaves alone what was read of an array is none: other stripes, other akeys, folds", async () => {
  const own = await started(2);
  for (const [read, change] of [
    [[0, STRIPE_BYTES], write(STRIPE_BYTES, 3 * STRIPE_BYTES)],
    [[STRIPE_BYTES, STRIPE_BYTES], write(0, 10)],
    [[10, 10], punch(2 * STRIPE_BYTES, STRIPE_BYTES)],
    [[10, 10], (object: ObjectHandle) => object.update("d", "value", Buffer.of(1))],
    [[10, 10], (object: ObjectHandle) => object.writeArray("d", "another", at(0), Buffer.of(1))],
  ] as const) {
    const object = await filled(own);
    expect(await conflictAfter(own, object, read, change)).toBe("ok");
  }
  const object = await filled(own);
  await write(12, 1)(object);
  const folded = conflictAfter(own, object, [0, 4 * STRIPE_BYTES], () => own.timers.advance(1_900));
  expect(await folded).toBe("ok");
}, 30_000);

test("a value, its absence and the list of akeys are compared, too", async () => {
  const own = await started(3);
  const object = await filled(own);
  const told = async (read: (seen: ReturnType<Transaction["object"]>) => Promise<unknown>, change: Change) => {
    const transaction = begin(own);
    await read(transaction.object(object.id));
    await transaction.object(object.id).update("e", "other", Buffer.of(1));
    await change(object);
    return codeOf(transaction.commit());
  };
  const value: Change = (changed) => changed.update("d", "value", Buffer.alloc(10_000, 4));
  expect(await told((seen) => seen.fetch("d", "value"), value)).toBe("CONFLICT");
  expect(await told((seen) => seen.fetch("d", "value"), write(0, 1))).toBe("ok");
  expect(
    await told(
      (seen) => seen.fetch("d", "new"),
      (changed) => changed.update("d", "new", Buffer.of(1)),
    ),
  ).toBe("CONFLICT");
  expect(
    await told(
      (seen) => seen.fetch("d", "value"),
      (changed) => changed.punchAkey("d", "value"),
    ),
  ).toBe("CONFLICT");
  expect(await told((seen) => seen.listAkeys("d"), value)).toBe("CONFLICT");
  // Shard 0, which is asked for values, knows of each array.
  await object.writeArray("d", "second cell", at(4_096), Buffer.of(1));
  expect(await codeOf(begin(own).object(object.id).fetch("d", "second cell"))).toBe("INVALID_ARGUMENT");
  expect(
    await told(
      (seen) => seen.listAkeys("d"),
      async () => {},
    ),
  ).toBe("ok");
}, 30_000);

test("a transaction sees its snapshot of erasure-coded objects, with its own writes over it", async () => {
  const own = await started(4);
  const object = await filled(own);
  const transaction = begin(own);
  const seen = transaction.object(object.id);
  expect(Buffer.from((await seen.fetch("d", "value"))!.value)).toEqual(Buffer.alloc(10_000, 3));
  await write(4_000, 200)(object);
  await seen.writeArray("d", "array", at(4_090), Buffer.alloc(10, 7));
  const bytes = await seen.readArray("d", "array", range(4_000, 200));
  expect(Buffer.from(bytes)).toEqual(Buffer.concat([Buffer.alloc(90, 1), Buffer.alloc(10, 7), Buffer.alloc(100, 1)]));
  expect(await codeOf(transaction.commit())).toBe("CONFLICT");
}, 30_000);

test("a transaction that goes on reading for long begins anew, and then sees what is there now", async () => {
  const own = await started(8);
  const object = await filled(own);
  let attempts = 0;
  const bytes = await new Transactions(own.session).run(async (transaction) => {
    attempts += 1;
    const seen = transaction.object(object.id);
    await seen.fetch("d", "value");
    if (attempts === 1) {
      await write(0, 10)(object);
      await own.timers.advance(8_000);
    }
    return seen.readArray("d", "array", range(0, 10));
  });
  expect([attempts, Buffer.from(bytes)]).toEqual([2, Buffer.alloc(10, 9)]);
}, 30_000);

test("what a snapshot shows is folded before a transaction changes it, also one that is taken in its middle", async () => {
  const own = await started(5);
  for (const when of ["before", "in the middle"] as const) {
    const object = await filled(own);
    const parityAt = async (epoch: Epoch): Promise<Epoch | undefined> => {
      const { objects } = own.nodes[leaderOf(own, object, "d")]!.life!;
      const akey = { oid: object.id, dkey: byteStringOfText("d"), akey: byteStringOfText("array"), epoch };
      const read = await objects.readShardArray(CONTAINER, akey, { address: PARITY_BASE, length: 1 });
      return read.extents[0]?.epoch;
    };
    const written = (await write(10, 10)(object)) as Epoch;
    let snapshot = EPOCH_NONE as Epoch;
    if (when === "before") snapshot = await own.snapshot();
    const transaction = begin(own);
    await transaction.object(object.id).writeArray("d", "array", at(20), Buffer.alloc(10, 8));
    // More dkeys, so that it takes a while.
    await transaction.object(object.id).update("e", "other", Buffer.of(1));
    const committing = transaction.commit();
    if (when === "in the middle") {
      const { locks } = own.nodes[leaderOf(own, object, "d")]!.life!.objects;
      while (locks.isEmpty) await own.timers.advance(1);
      snapshot = await own.snapshot();
    }
    const epoch = await committing;
    expect(epoch).toBeGreaterThan(written);
    if (when === "before") expect(snapshot).toBeLessThan(epoch);
    expect(await parityAt(snapshot)).toBe(written);
  }
}, 30_000);

test("a punch of part of a stripe leaves holes, and nothing is lost with any one shard", async () => {
  const own = await started(6);
  const object = await filled(own);
  const transaction = begin(own);
  await transaction.object(object.id).punchArray("d", "array", range(4_000, 2 * STRIPE_BYTES));
  await transaction.commit();
  const holes: [number, number][] = [];
  for await (const { index, count } of object.listExtents("d", "array")) holes.push([index, index + count]);
  expect(holes[0]).toEqual([0, 4_000]);
  expect(holes[1]![0]).toBe(4_000 + 2 * STRIPE_BYTES);
  const image = Buffer.alloc(4 * STRIPE_BYTES, 1);
  image.fill(0, 4_000, 4_000 + 2 * STRIPE_BYTES);
  await own.timers.advance(500);
  for (const target of targetsOf(own, object, "d")) {
    own.stop(target);
    const bytes = await object.readArray("d", "array", range(0, image.length));
    expect(Buffer.from(bytes).equals(image)).toBe(true);
    await own.restart(target);
  }
}, 30_000);

/** A session whose steps of this kind are left to `instead`. */
function sessionWith(
  own: ErasureRig,
  kind: TransactionStep["kind"],
  instead: (send: () => void, completion: RpcCompletion) => void,
): ContainerSession {
  const { timers, network, control } = own;
  const wrapped = (link: RpcLink): RpcLink => ({
    get isClosed() {
      return link.isClosed;
    },
    call: (...call) => link.call(...call),
    abandon: (completion) => link.abandon(completion),
    close: () => link.close(),
    start: (...call) => {
      const [opcode, , , payload, , completion] = call;
      const isIt = opcode === Opcode.transactionStep && decodeTransactionStep(payloadBytes(payload)).kind === kind;
      if (isIt) instead(() => link.start(...call), completion);
      else link.start(...call);
    },
  });
  const parts = { timers, network, control, random: own.random.fork(), wrapped };
  return openSession("another", new NodeClock(own.clock), parts);
}

test("the epoch gate waits for what a transaction will write at an epoch of the past", async () => {
  const own = await started(9);
  const object = await filled(own);
  await write(0, 10)(object);
  await own.timers.advance(6_000);
  const gates = (): number[] => targetsOf(own, object, "d").map((at) => own.nodes[at]!.life!.store.gate(CONTAINER));
  const before = gates();
  expect(Math.min(...before)).toBeGreaterThan(0);
  const held = Promise.withResolvers<() => void>();
  const slow = sessionWith(own, "commit", (send) => held.resolve(send));
  const transaction = new Transactions(slow).begin();
  await transaction.object(object.id).writeArray("d", "array", at(20), Buffer.alloc(10, 8));
  const committing = transaction.commit();
  const commit = await held.promise;
  await own.timers.advance(4_000);
  const after = gates();
  commit();
  const epoch = await committing;
  for (const gate of after) expect(gate).toBeLessThan(epoch);
  expect(Math.min(...after)).toBeGreaterThan(Math.max(...before));
  // Nobody has read at the epoch, though it is long past.
  const bytes = await object.readArray("d", "array", range(0, 40));
  expect([...bytes.subarray(18, 32)]).toEqual([1, 1, ...Buffer.alloc(10, 8), 1, 1]);
  await own.timers.advance(8_000);
  for (const gate of gates()) expect(gate).toBeGreaterThan(epoch);
}, 30_000);

test("the epoch gate rises where nothing but transactions writes", async () => {
  const own = await started(10);
  const object = own.object("EC_2P1G1");
  const transaction = begin(own);
  await transaction.object(object.id).update("d", "value", Buffer.of(1));
  const epoch = await transaction.commit();
  await own.timers.advance(6_000);
  for (const target of targetsOf(own, object, "d")) {
    expect(own.nodes[target]!.life!.store.gate(CONTAINER)).toBeGreaterThan(epoch);
  }
});

test("what a client and a lost leader have not ended the successor ends, also when that is a data shard", async () => {
  const own = await started(7, 3);
  const objects = [own.object("EC_2P1G1"), own.object("EC_2P1G1")];
  const [primary, other] = objects.toSorted((left, right) => (left.id < right.id ? -1 : 1)) as [
    ObjectHandle,
    ObjectHandle,
  ];
  // A client that ends right after its commit: it tells nobody of it.
  const ended = new DaosError("CANCELED", "Cannot go on: the client has ended.");
  const ending = sessionWith(own, "resolve", (_, completion) => own.timers.soon(() => completion.failed(ended, false)));
  const transaction = new Transactions(ending).begin();
  await transaction.object(primary.id).update("d", "value", Buffer.alloc(9_000, 1));
  await transaction.object(other.id).writeArray("d", "array", at(0), Buffer.alloc(STRIPE_BYTES + 100, 2));
  const epoch = await transaction.commit();
  const leader = leaderOf(own, other, "d");
  expect(own.nodes[leader]!.life!.objects.locks.isEmpty).toBe(false);
  own.stop(leader);
  await own.exclude();
  const { shards } = redundancyGroup(own.session.placement, other.id, byteStringOfText("d"));
  expect(shards!.targets.indexOf(leader)).toBe(2);
  const bytes = await other.readArray("d", "array", range(0, STRIPE_BYTES + 100));
  expect(Buffer.from(bytes).equals(Buffer.alloc(STRIPE_BYTES + 100, 2))).toBe(true);
  const value = await primary.fetch("d", "value");
  expect([Buffer.from(value!.value), value!.epoch]).toEqual([Buffer.alloc(9_000, 1), epoch]);
  // Without a parity shard nobody knows of every change there.
  const blind = begin(own);
  await blind.object(other.id).update("d", "value", Buffer.of(1));
  expect(await codeOf(blind.commit())).toBe("UNAVAILABLE");
}, 30_000);
