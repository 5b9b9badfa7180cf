/** Steps of transactions on the dkeys of one target, on a store that checks its caller. */
import { expect, test } from "bun:test";
import type { Epoch } from "../../src/base/epoch.ts";
import type { DaosError } from "../../src/base/errors.ts";
import { objectClassByName } from "../../src/base/object-class.ts";
import { objectId } from "../../src/base/object-id.ts";
import type { PartBytes } from "../../src/format/prepare-request.ts";
import type { PartRead, PartWrite, TransactionStep } from "../../src/format/transaction-part.ts";
import type { WriteOutcome } from "../../src/vos/single-value.ts";
import type { WriteOrder } from "../../src/vos/write-order.ts";
import type { SharedWrite, TransactionShard } from "../../src/vos/transaction-shard.ts";
import { bytes, CONTAINER, key, makeRig, oid, type Rig, refusal, settled } from "./rig.ts";

const ID = { client: 5, sequence: 1 };
const OTHER = { client: 6, sequence: 1 };
const AT = { oid: oid(1), dkey: key("d") };
const LATEST = 0 as Epoch;
let sequence = 100;

function step(rig: Rig, what: TransactionStep, epoch = LATEST, at = AT): Promise<WriteOutcome> {
  sequence += 1;
  const origin = { client: 9, sequence, firstIncomplete: 0 };
  const order = { origin, isPrepared: false, epoch: undefined };
  return rig.objects.transactionStep(CONTAINER, { ...at, epoch, order }, what);
}

function prepare(rig: Rig, writes: PartWrite[], options: { id?: typeof ID; reads?: PartRead[]; epoch?: Epoch } = {}) {
  const part = { id: options.id ?? ID, primary: undefined, resolveSequence: 2 };
  return step(rig, { kind: "prepare", part, writes, reads: options.reads ?? [] }, options.epoch);
}

function update(akey: string, value: string, replaces = false): PartWrite {
  return { kind: "update", akey: key(akey), value: bytes(value), replaces };
}

async function value(rig: Rig, akey: string, epoch = LATEST): Promise<string | undefined> {
  const found = await settled(rig.objects.fetchValue(CONTAINER, { ...AT, akey: key(akey), epoch }));
  return found.found ? Buffer.from(found.value).toString() : undefined;
}

function put(rig: Rig, akey: string, text: string, at = AT): Promise<WriteOutcome> {
  return settled(rig.objects.updateValue(CONTAINER, { ...at, akey: key(akey) }, bytes(text)));
}

const codeOf = ({ error }: { error: DaosError | undefined }): string | undefined => error?.code;

test("what is prepared is not there, and keeps others out, until it is resolved: then all is, at its epoch", async () => {
  const rig = makeRig();
  await put(rig, "a", "old");
  const { epoch } = await prepare(rig, [
    update("a", "new"),
    update("b", "big".repeat(3000)),
    { kind: "punchAkey", akey: key("c") },
  ]);
  expect(await value(rig, "a", (epoch - 1) as Epoch)).toBe("old");
  expect(await refusal(() => put(rig, "a", "x"))).toBe("UNAVAILABLE");
  expect(await refusal(() => settled(rig.objects.punchObject(CONTAINER, AT)))).toBe("UNAVAILABLE");
  expect(rig.objects.locks.blocking([...rig.objects.locks.locks][0]!.prefix, epoch)).toBeDefined();
  // Others go on, and get later epochs.
  await put(rig, "a", "elsewhere", { ...AT, dkey: key("e") });
  await step(rig, { kind: "resolve", id: ID }, epoch);
  expect(await value(rig, "a")).toBe("new");
  expect(await value(rig, "b")).toBe("big".repeat(3000));
  expect(await value(rig, "a", (epoch - 1) as Epoch)).toBe("old");
  expect(rig.objects.locks.size).toBe(0);
  await put(rig, "a", "newer");
  expect(await value(rig, "a", epoch)).toBe("new");
});

test("what is undone leaves nothing", async () => {
  const rig = makeRig();
  await prepare(rig, [update("a", "new")]);
  await step(rig, { kind: "resolve", id: ID });
  expect(await value(rig, "a")).toBeUndefined();
  expect(rig.objects.locks.size).toBe(0);
  // And can be told so again.
  expect(codeOf(await step(rig, { kind: "resolve", id: ID }))).toBeUndefined();
});

test("a commit of what was undone is a conflict; a decision is kept until it is forgotten", async () => {
  const rig = makeRig();
  const { epoch } = await prepare(rig, [update("a", "new")]);
  const decision = { id: ID, epoch, forgetSequence: 3, participants: [{ ...AT, dkey: key("e") }] };
  const other = { ...decision, id: OTHER };
  expect(codeOf(await step(rig, { kind: "commit", decision: other }, epoch))).toBe("CONFLICT");
  expect(rig.objects.transactionState(CONTAINER, AT, ID).state).toBe(1);
  await step(rig, { kind: "commit", decision }, epoch);
  expect(await value(rig, "a")).toBe("new");
  expect(rig.objects.transactionState(CONTAINER, AT, ID).state).toBe(epoch);
  rig.reopen();
  expect([...rig.objects.locks.decisions].map((held) => held.decision)).toEqual([decision]);
  expect((await step(rig, { kind: "commit", decision }, epoch)).epoch).toBe(epoch);
  await step(rig, { kind: "forget", id: ID });
  expect(rig.objects.transactionState(CONTAINER, AT, ID).state).toBe(0);
  expect(rig.objects.locks.size).toBe(0);
});

test("a commit below its lock's epoch is refused", async () => {
  const rig = makeRig();
  const { epoch } = await prepare(rig, [update("a", "new")]);
  const early = (epoch - 1) as Epoch;
  const decision = { id: ID, epoch: early, forgetSequence: 3, participants: [] };
  expect(await refusal(() => step(rig, { kind: "commit", decision }, early))).toBe("INVALID_ARGUMENT");
});

test("locks are there again after a restart, and let nobody else in", async () => {
  const rig = makeRig();
  const { epoch } = await prepare(rig, [update("a", "new")]);
  rig.reopen();
  expect([...rig.objects.locks.locks].map(({ part, dkey }) => [part.id, String(dkey)])).toEqual([[ID, "d"]]);
  expect(codeOf(await prepare(rig, [update("a", "x")], { id: OTHER }))).toBe("CONFLICT");
  expect((await prepare(rig, [update("a", "new")])).epoch).toBe(epoch);
  await step(rig, { kind: "resolve", id: ID }, epoch);
  expect(await value(rig, "a")).toBe("new");
});

test("what was read and has changed since is a conflict", async () => {
  const rig = makeRig();
  const { epoch: written } = await put(rig, "a", "1");
  const snapshot = rig.objects.newEpoch();
  const reads: PartRead[] = [
    { kind: "value", akey: key("a"), epoch: written },
    { kind: "value", akey: key("b"), epoch: LATEST },
  ];
  const akeys: PartRead[] = [{ kind: "akeys" }];
  const undo = (): Promise<WriteOutcome> => step(rig, { kind: "resolve", id: ID });
  expect(codeOf(await prepare(rig, [], { reads, epoch: snapshot }))).toBeUndefined();
  await undo();
  expect(codeOf(await prepare(rig, [], { reads: akeys, epoch: snapshot }))).toBeUndefined();
  await undo();
  await put(rig, "b", "2");
  expect(codeOf(await prepare(rig, [], { reads, epoch: snapshot }))).toBe("CONFLICT");
  expect(codeOf(await prepare(rig, [], { reads: akeys, epoch: snapshot }))).toBe("CONFLICT");
});

test("records that were read conflict with writes of their window, and with punches", async () => {
  const rig = makeRig();
  const range = { recordIndex: 0, recordCount: 4, recordBytes: 1 };
  const read: PartRead = { kind: "records", akey: key("r"), ...range };
  const far = { recordIndex: 1 << 21, recordCount: 4, recordBytes: 1 };
  const write = (at: typeof range) =>
    settled(rig.objects.writeArray(CONTAINER, { ...AT, akey: key("r"), ...at }, bytes("abcd")));
  await write(range);
  let snapshot = rig.objects.newEpoch();
  await write(far);
  expect(codeOf(await prepare(rig, [], { reads: [read], epoch: snapshot }))).toBeUndefined();
  await step(rig, { kind: "resolve", id: ID });
  await write(range);
  expect(codeOf(await prepare(rig, [], { reads: [read], epoch: snapshot }))).toBe("CONFLICT");
  snapshot = rig.objects.newEpoch();
  await settled(rig.objects.punchDkey(CONTAINER, AT));
  expect(codeOf(await prepare(rig, [], { reads: [read], epoch: snapshot }))).toBe("CONFLICT");
});

test("arrays, and a punch of the dkey, at the epoch of the transaction", async () => {
  const rig = makeRig();
  const records = { akey: key("r"), recordIndex: 2, recordCount: 2, recordBytes: 2 };
  const first = await prepare(rig, [{ kind: "write", ...records, value: bytes("abcd") }]);
  // The object's cell, which all dkeys share, is written meanwhile.
  await settled(rig.objects.punchDkey(CONTAINER, { ...AT, dkey: key("e") }));
  await step(rig, { kind: "resolve", id: ID }, first.epoch);
  const range = { ...AT, akey: key("r"), recordIndex: 1, recordCount: 4, recordBytes: 2, epoch: LATEST };
  const read = async (): Promise<string> =>
    Buffer.from((await settled(rig.objects.readArray(CONTAINER, range))).bytes).toString();
  expect(await read()).toBe("\0\0abcd\0\0");
  const hole = await prepare(rig, [
    { kind: "punchRecords", ...records, recordIndex: 3, recordCount: 1, value: bytes("") },
  ]);
  await step(rig, { kind: "resolve", id: ID }, hole.epoch);
  expect(await read()).toBe("\0\0ab\0\0\0\0");
  const punch = await prepare(rig, [{ kind: "punchDkey" }]);
  await step(rig, { kind: "resolve", id: ID }, punch.epoch);
  expect((await settled(rig.objects.listAkeys(CONTAINER, { ...AT, limit: 10, epoch: LATEST }))).keys).toEqual([]);
});

test("a value may replace an array that the transaction has punched, and no other", async () => {
  const rig = makeRig();
  const range = { ...AT, akey: key("r"), recordIndex: 0, recordCount: 4, recordBytes: 1 };
  await settled(rig.objects.writeArray(CONTAINER, range, bytes("abcd")));
  expect(codeOf(await prepare(rig, [update("r", "value")]))).toBe("INVALID_ARGUMENT");
  const { epoch } = await prepare(rig, [update("r", "value", true)]);
  await step(rig, { kind: "resolve", id: ID }, epoch);
  expect(await value(rig, "r")).toBe("value");
  const write: PartWrite = {
    kind: "write",
    akey: key("r"),
    recordIndex: 0,
    recordCount: 1,
    recordBytes: 1,
    value: bytes("x"),
  };
  expect(codeOf(await prepare(rig, [write]))).toBe("INVALID_ARGUMENT");
  expect(codeOf(await prepare(rig, [update("a", "1"), update("a", "2")]))).toBe("INVALID_ARGUMENT");
});

test("a container that is destroyed has no locks, also after a restart", async () => {
  const rig = makeRig();
  await prepare(rig, [update("a", "new")]);
  await rig.objects.destroyContainer(CONTAINER);
  expect(rig.objects.locks.size).toBe(0);
});

test("what follows a leader does not go on where it has refused to resolve", async () => {
  const rig = makeRig();
  await prepare(rig, [update("a", "new")]);
  const after = (): WriteOrder => {
    sequence += 1;
    const epoch = rig.objects.newEpoch();
    return { origin: { client: 9, sequence, firstIncomplete: 0 }, isPrepared: true, epoch };
  };
  const part = { id: OTHER, primary: undefined, resolveSequence: 2 };
  const next: TransactionStep = { kind: "prepare", part, writes: [], reads: [] };
  const request = { ...AT, epoch: LATEST, order: after() };
  expect(await refusal(() => rig.objects.transactionStep(CONTAINER, request, next))).toBe("UNAVAILABLE");
  const write = { ...AT, akey: key("a"), order: after() };
  expect(await refusal(() => settled(rig.objects.updateValue(CONTAINER, write, bytes("x"))))).toBe("UNAVAILABLE");
});

const CODED = { oid: objectId("MULTI_HASHED", objectClassByName("EC_2P1G1"), 0, 1n), dkey: key("d") };

/** A shard whose share the test gives, and that knows of an array byte at its own address and a MiB further on. */
function shardWith(parts: (write: SharedWrite) => readonly PartBytes[]): TransactionShard {
  return {
    partsOf: parts,
    shapeOf: parts,
    footprint: ({ start, end }) => [
      { start, end },
      { start: start + (1 << 20), end: end + (1 << 20) },
    ],
  };
}

function codedStep(rig: Rig, shard: TransactionShard, what: TransactionStep, epoch = LATEST): Promise<WriteOutcome> {
  sequence += 1;
  const order = { origin: { client: 9, sequence, firstIncomplete: 0 }, isPrepared: false, epoch: undefined };
  return rig.objects.transactionStep(CONTAINER, { ...CODED, epoch, order, shard }, what);
}

/** Prepares and commits; the epoch. */
async function coded(rig: Rig, shard: TransactionShard, writes: PartWrite[]): Promise<Epoch> {
  const part = { id: ID, primary: undefined, resolveSequence: 2 };
  const { epoch, error } = await codedStep(rig, shard, { kind: "prepare", part, writes, reads: [] });
  if (error !== undefined) throw error;
  await codedStep(rig, shard, { kind: "resolve", id: ID }, epoch);
  return epoch;
}

const part = (kind: PartBytes["kind"], address: number, text: string): PartBytes => ({
  kind,
  address,
  length: text.length,
  bytes: bytes(text),
});

test("a shard ends a transaction with its own share of each write, at one epoch", async () => {
  const rig = makeRig();
  const records = { akey: key("r"), recordIndex: 0, recordCount: 4, recordBytes: 2 };
  const shard = shardWith((write) =>
    write.kind === "update" ? [part("value", 0, "piece")] : [part("write", 10, "bytes".repeat(2000))],
  );
  const epoch = await coded(rig, shard, [
    update("a", "the whole value"),
    { kind: "write", ...records, value: bytes("the data") },
  ]);
  const found = await rig.objects.readShardValue(CONTAINER, { ...CODED, akey: key("a"), epoch: LATEST });
  expect([Buffer.from(found.bytes).toString(), found.extents[0]!.epoch]).toEqual(["piece", epoch]);
  const range = { address: 10, length: 10_000 };
  const read = await rig.objects.readShardArray(CONTAINER, { ...CODED, akey: key("r"), epoch: LATEST }, range);
  expect([Buffer.from(read.bytes).toString(), read.recordBytes]).toEqual(["bytes".repeat(2000), 2]);
  expect(read.extents).toEqual([{ ...range, epoch }]);
  const before = { ...CODED, akey: key("r"), epoch: (epoch - 1) as Epoch };
  expect((await rig.objects.readShardArray(CONTAINER, before, range)).extents).toEqual([]);
});

test("a shard without a part of a value has nothing there any more: neither an old piece, nor an array", async () => {
  const rig = makeRig();
  const nothing = shardWith(() => []);
  await coded(
    rig,
    shardWith(() => [part("value", 0, "old")]),
    [update("a", "old and large")],
  );
  const write = { kind: "write" as const, akey: key("r"), recordIndex: 0, recordCount: 1, recordBytes: 1 };
  await coded(
    rig,
    shardWith(() => [part("write", 0, "x")]),
    [{ ...write, value: bytes("x") }],
  );
  await coded(rig, nothing, [update("a", "new"), update("r", "new", true)]);
  for (const akey of ["a", "r"]) {
    const request = { ...CODED, akey: key(akey), epoch: LATEST };
    expect((await rig.objects.readShardValue(CONTAINER, request)).extents).toEqual([]);
    expect((await rig.objects.readShardArray(CONTAINER, request, { address: 0, length: 1 })).extents).toEqual([]);
  }
  expect((await settled(rig.objects.listAkeys(CONTAINER, { ...CODED, limit: 10, epoch: LATEST }))).keys).toEqual([]);
});

test("of a shard's array all that it knows of the bytes that were read is compared", async () => {
  const rig = makeRig();
  const write = (address: number) =>
    rig.objects.writeShard(CONTAINER, { ...CODED, akey: key("r"), recordBytes: 1 }, [part("write", address, "x")]);
  await write(5);
  const read: PartRead = { kind: "records", akey: key("r"), recordIndex: 0, recordCount: 10, recordBytes: 1 };
  const told = async (address: number): Promise<string | undefined> => {
    const epoch = rig.objects.newEpoch();
    await write(address);
    const request = { id: ID, primary: undefined, resolveSequence: 2 };
    const prepared = { kind: "prepare", part: request, writes: [], reads: [read] } as const;
    const outcome = await codedStep(
      rig,
      shardWith(() => []),
      prepared,
      epoch,
    );
    await codedStep(
      rig,
      shardWith(() => []),
      { kind: "resolve", id: ID },
    );
    return codeOf(outcome);
  };
  expect(await told(7)).toBe("CONFLICT");
  expect(await told(3 << 20)).toBeUndefined();
  expect(await told((1 << 20) + 2)).toBe("CONFLICT");
});

test("a dkey with erasure code is neither prepared nor written where nobody knows which shard it is", async () => {
  const rig = makeRig();
  const part = { id: ID, primary: undefined, resolveSequence: 2 };
  const what: TransactionStep = { kind: "prepare", part, writes: [update("a", "the whole value")], reads: [] };
  expect(await refusal(() => step(rig, what, LATEST, CODED))).toBe("UNSUPPORTED");
  const { epoch } = await codedStep(
    rig,
    shardWith(() => []),
    what,
  );
  expect(await refusal(() => step(rig, { kind: "resolve", id: ID }, epoch, CODED))).toBe("UNSUPPORTED");
  expect(rig.objects.locks.size).toBe(1);
});

test("a part that punches an object holds all of it from others until it is resolved, and then all is gone at its epoch", async () => {
  const rig = makeRig({ strict: true, limits: { singlyPunchedAkeys: 2 } });
  const elsewhere = { ...AT, dkey: key("e") };
  const punch = (id: typeof ID) => {
    const part = { id, primary: undefined, resolveSequence: 2, punchesUnder: 1 };
    return step(rig, { kind: "prepare", part, writes: [], reads: [] });
  };
  for (const akey of ["a", "b", "c"]) await put(rig, akey, "old");
  await put(rig, "a", "old", elsewhere);
  // Not while another transaction has a dkey of it.
  await step(
    rig,
    { kind: "prepare", part: { id: OTHER, primary: undefined, resolveSequence: 2 }, writes: [], reads: [] },
    LATEST,
    elsewhere,
  );
  expect(codeOf(await punch(ID))).toBe("CONFLICT");
  await step(rig, { kind: "resolve", id: OTHER }, LATEST, elsewhere);
  const { epoch } = await settled(punch(ID));
  rig.reopen();
  expect(await refusal(() => put(rig, "a", "x"))).toBe("UNAVAILABLE");
  expect(await refusal(() => put(rig, "a", "x", elsewhere))).toBe("UNAVAILABLE");
  expect(await refusal(() => settled(rig.objects.punchObject(CONTAINER, AT)))).toBe("UNAVAILABLE");
  expect(codeOf(await punch(OTHER))).toBe("CONFLICT");
  const part = { id: OTHER, primary: undefined, resolveSequence: 2 };
  const other = await step(rig, { kind: "prepare", part, writes: [], reads: [] }, LATEST, elsewhere);
  expect(codeOf(other)).toBe("CONFLICT");
  const { prefix } = [...rig.objects.locks.locks][0]!;
  expect(rig.objects.locks.blocking(`${prefix}other`, epoch)).toBeDefined();
  expect(rig.objects.locks.blocking(`${prefix}other`, (epoch - 1) as Epoch)).toBeUndefined();
  // Another object is nobody's business.
  await put(rig, "a", "there", { ...AT, oid: oid(2) });
  const at = (epoch + 1_000) as Epoch;
  await settled(step(rig, { kind: "resolve", id: ID }, at));
  expect(await value(rig, "b")).toBeUndefined();
  expect(await value(rig, "b", (at - 1) as Epoch)).toBe("old");
  expect(await value(rig, "b", at)).toBeUndefined();
  expect(rig.objects.locks.isEmpty).toBe(true);
  await put(rig, "a", "new", elsewhere);
  rig.reopen();
  expect(await value(rig, "b")).toBeUndefined();
  const list = await rig.objects.listDkeys(CONTAINER, { oid: AT.oid, limit: 10, epoch: LATEST });
  expect(list.keys).toEqual([key("e")]);
});

test("an object with redundancy is punched dkey by dkey, and only while it is held; that is not decided at such a part", async () => {
  const rig = makeRig();
  const at = { oid: objectId("MULTI_HASHED", objectClassByName("RP_2G1"), 0, 1n), dkey: key("d") };
  await put(rig, "a", "old", at);
  await put(rig, "a", "old", { ...at, dkey: key("e") });
  const sweep = (epoch: Epoch) => step(rig, { kind: "sweep", id: ID }, epoch, at);
  expect(await refusal(() => sweep(rig.objects.newEpoch()))).toBe("UNAVAILABLE");
  const part = { id: ID, primary: undefined, resolveSequence: 2, punchesUnder: 1 };
  const { epoch } = await settled(step(rig, { kind: "prepare", part, writes: [], reads: [] }, LATEST, at));
  const decision = { id: ID, epoch, forgetSequence: 3, participants: [] };
  expect(await refusal(() => step(rig, { kind: "commit", decision }, epoch, at))).toBe("INVALID_ARGUMENT");
  expect(await refusal(() => sweep((epoch - 1) as Epoch))).toBe("UNAVAILABLE");
  await settled(sweep(epoch));
  await settled(step(rig, { kind: "resolve", id: ID }, epoch, at));
  const { keys } = await rig.objects.listDkeys(CONTAINER, { oid: at.oid, limit: 10, epoch: LATEST });
  expect(keys).toEqual([key("e")]);
  const writes = [update("a", "x")];
  expect(await refusal(() => step(rig, { kind: "prepare", part, writes, reads: [] }, LATEST, at))).toBe(
    "INVALID_ARGUMENT",
  );
});
