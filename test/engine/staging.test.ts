import { expect, test } from "bun:test";
import type { ByteString } from "../../src/base/bytes.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import { MAX_CONNECTION_STAGED_BYTES, STAGED_LIFETIME_MS } from "../../src/base/limits.ts";
import type { ObjectId } from "../../src/base/object-id.ts";
import { type StagedFor, Staging } from "../../src/engine/staging.ts";
import type { ObjectRequest } from "../../src/format/object-request.ts";
import { Opcode } from "../../src/format/operations.ts";
import type { RpcPeer } from "../../src/rpc/request.ts";
import type { StagedWrite } from "../../src/vos/staged-write.ts";
import { SimulatedClock } from "../simulation/clock.ts";
import { SimulatedTimers } from "../simulation/timers.ts";

const OBJECT: ObjectRequest = {
  handle: 1,
  flags: 0,
  oid: "o".repeat(16) as ObjectId,
  epoch: 0 as Epoch,
  recordIndex: 4,
  recordCount: 8,
  recordBytes: 1,
  dkey: "dkey" as ByteString,
  akey: "akey" as ByteString,
  client: 5,
  sequence: 1,
  firstIncomplete: 1,
};
const UPDATE: StagedFor = {
  container: 7,
  opcode: Opcode.arrayWrite,
  object: OBJECT,
  parts: undefined,
  shard: { lengthBytes: 8, checksum: 99 },
};

interface Rig {
  readonly staging: Staging;
  readonly timers: SimulatedTimers;
  /** Sequences of what was given back. */
  readonly abandoned: number[];
  readonly peer: () => { -readonly [Name in keyof RpcPeer]: RpcPeer[Name] };
  readonly keep: (peer: RpcPeer, update: StagedFor) => Promise<void>;
}

function makeRig(): Rig {
  const timers = new SimulatedTimers(new SimulatedClock());
  const staging = new Staging(timers);
  const abandoned: number[] = [];
  const peer = (): RpcPeer => ({ remoteAddress: "c", isClosed: false, session: undefined, terminate: () => {} });
  const keep = (connection: RpcPeer, update: StagedFor): Promise<void> => {
    const write = { abandon: () => abandoned.push(update.object.sequence) } as unknown as StagedWrite;
    return staging.keep(connection, update, async () => write);
  };
  return { staging, timers, abandoned, peer, keep };
}

function numbered(sequence: number, more: Partial<StagedFor> = {}, firstIncomplete = 1): StagedFor {
  return { ...UPDATE, ...more, object: { ...OBJECT, sequence, firstIncomplete } };
}

test("what was staged is given to its update, once", async () => {
  const { staging, peer, keep, abandoned } = makeRig();
  await keep(peer(), UPDATE);
  // The update comes from the leader: nobody's handle, and no conditions.
  const update = { ...UPDATE, object: { ...OBJECT, handle: 0, client: 0, sequence: 0, firstIncomplete: 0 } };
  expect(staging.take(OBJECT, update)).toBeDefined();
  expect(() => staging.take(OBJECT, update)).toThrow(expect.objectContaining({ code: "NOT_STAGED" }));
  expect(abandoned).toEqual([]);
  expect(staging.size).toBe(0);
});

test("an update of other bytes, of another place or of other parts gets nothing, and what is there is given back", async () => {
  const { staging, peer, keep, abandoned } = makeRig();
  const parts = [{ kind: "write", address: 0, length: 8 }] as const;
  const others: Partial<StagedFor>[] = [
    { container: 8 },
    { opcode: Opcode.valueUpdate },
    { shard: { lengthBytes: 8, checksum: 98 } },
    { shard: { lengthBytes: 9, checksum: 99 } },
    { parts },
    { object: { ...OBJECT, recordIndex: 5 } },
    { object: { ...OBJECT, akey: "other" as ByteString } },
  ];
  for (const other of others) {
    await keep(peer(), UPDATE);
    expect(() => staging.take(OBJECT, { ...UPDATE, ...other })).toThrow(
      expect.objectContaining({ code: "NOT_STAGED" }),
    );
  }
  await keep(peer(), { ...UPDATE, parts });
  const longer = [{ ...parts[0], length: 4 }];
  expect(() => staging.take(OBJECT, { ...UPDATE, parts: longer })).toThrow(
    expect.objectContaining({ code: "NOT_STAGED" }),
  );
  expect(abandoned.length).toBe(others.length + 1);
});

test("it is given back with its connection, also when that is lost while the bytes are stored", async () => {
  const { staging, peer, keep, abandoned } = makeRig();
  const [first, second] = [peer(), peer()];
  await keep(first, numbered(1));
  await keep(second, numbered(2));
  staging.connectionClosed(first);
  expect(abandoned).toEqual([1]);
  const late = keep(second, numbered(3));
  second.isClosed = true;
  staging.connectionClosed(second);
  expect(await late.catch((error: unknown) => error)).toMatchObject({ code: "UNAVAILABLE" });
  expect(abandoned).toEqual([1, 2, 3]);
  expect(staging.size).toBe(0);
});

test("it expires, and sooner when its client has its answer or stages it again", async () => {
  const { staging, timers, peer, keep, abandoned } = makeRig();
  const connection = peer();
  await keep(connection, numbered(1));
  await keep(connection, numbered(1));
  expect(abandoned).toEqual([1]);
  await keep(connection, numbered(2));
  await keep(connection, numbered(3, {}, 2));
  expect(abandoned).toEqual([1, 1]);
  staging.drop({ client: 5, sequence: 2 });
  expect(abandoned).toEqual([1, 1, 2]);
  await timers.advance(STAGED_LIFETIME_MS - 1);
  expect(staging.size).toBe(1);
  await timers.advance(2 * STAGED_LIFETIME_MS);
  expect(abandoned).toEqual([1, 1, 2, 3]);
});

test("a connection has a bounded number of bytes staged", async () => {
  const { staging, peer, keep } = makeRig();
  const connection = peer();
  const shard = { lengthBytes: MAX_CONNECTION_STAGED_BYTES / 4, checksum: 1 };
  for (let sequence = 1; sequence <= 4; sequence += 1) await keep(connection, numbered(sequence, { shard }));
  const full = await keep(connection, numbered(5, { shard })).catch((error: unknown) => error);
  expect(full).toMatchObject({ code: "OVERLOADED" });
  await keep(peer(), numbered(6, { shard }));
  staging.take({ client: 5, sequence: 1 }, numbered(1, { shard }));
  await keep(connection, numbered(5, { shard }));
  expect(staging.size).toBe(5);
});
