import { expect, test } from "bun:test";
import type { ByteString } from "../../src/base/bytes.ts";
import { byteString } from "../../src/base/bytes.ts";
import { DaosError } from "../../src/base/errors.ts";
import { EPOCH_NONE, type Epoch } from "../../src/base/epoch.ts";
import { objectClassByName } from "../../src/base/object-class.ts";
import { objectId } from "../../src/base/object-id.ts";
import {
  NO_REQUEST_ID,
  encodeObjectRequest,
  OBJECT_REPLY_BYTES,
  objectRequestBytes,
} from "../../src/format/object-request.ts";
import { Opcode } from "../../src/format/operations.ts";
import { ForegroundRequests } from "../../src/engine/foreground.ts";
import { TargetService, type TargetServiceParts } from "../../src/engine/target-service.ts";
import type { RpcReply, RpcRequest } from "../../src/rpc/request.ts";

const MAP_VERSION = 3;

/** A dkey that a transaction has, until it is freed. */
class HeldDkey {
  isFree = false;
  isLeaseOver = false;
  free!: () => void;
  readonly freed = new Promise<void>((resolve) => {
    this.free = () => {
      this.isFree = true;
      resolve();
    };
  });

  checkLease(): void {
    if (this.isLeaseOver) throw new DaosError("UNAVAILABLE", "Cannot serve: the lease is over.");
  }
}

/** The bound of reads, as far as it is durable. */
class Reads {
  isDurable = true;
  moved!: () => void;
  readonly #moved = new Promise<void>((resolve) => {
    this.moved = resolve;
  });

  durable(): Promise<void> {
    return this.#moved;
  }
}

/** A service whose parts note what was done, in order. */
function rig(learnMap: TargetServiceParts["learnMap"] = () => Promise.resolve(), held?: HeldDkey) {
  const reads = new Reads();
  const pool = { pool: "tank", map: { version: MAP_VERSION, targets: [] }, own: 0, containers: new Set([1]) };
  const events: string[] = [];
  const written = { epoch: 7 as Epoch, sequence: 0, error: undefined };
  const parts = {
    store: {
      durableSequence: 0,
      admit: () => undefined,
      whenStable: (_sequence: number, callback: (error?: Error) => void) => callback(),
    },
    objects: {
      locks: {
        size: 0,
        get isEmpty() {
          return held?.isFree ?? true;
        },
        blocking: () => (held?.isFree === false ? {} : undefined),
        changed: () => (held?.isFree === false ? held.freed : new Promise(() => {})),
      },
      inlineBytes: () => 4096,
      reads,
      fetchValue: () => (events.push("fetch"), { ...written, found: false, value: new Uint8Array(0) }),
      updateValue: () => (events.push("update"), written),
      punchAkey: () => (events.push("punch"), written),
    },
    attachments: { get: () => ({ container: 1, writable: true, quota: {}, pool }) },
    quotas: { charge: () => {} },
    enumeration: {},
    payloadBuffers: { allocate: () => undefined, release: () => {} },
    learnMap,
    replication: {
      movesSingle: () => false,
      isLed: () => false,
      mayMiss: (_connection: unknown, opcode: number) => opcode !== Opcode.dtxDecide,
      track: () => {},
    },
    timers: { after: () => () => {} },
    lease: { check: () => held?.checkLease() },
    foreground: new ForegroundRequests(),
  } as unknown as TargetServiceParts;
  const reply = {
    block: Buffer.alloc(OBJECT_REPLY_BYTES),
    start: () => 0,
    finish: () => events.push("answered") > 0,
    send: () => events.push("answered"),
    fail: (error: DaosError) => events.push(error.code),
  } as unknown as RpcReply;
  return { service: new TargetService(parts), reply, events, pool, reads };
}

function request(opcode: number, mapVersion: number): RpcRequest {
  const object = {
    handle: 1,
    flags: 0,
    oid: objectId("KV_LEXICAL", objectClassByName("S1"), 0, 1n),
    epoch: EPOCH_NONE,
    recordIndex: 0,
    recordCount: 0,
    recordBytes: 0,
    ...NO_REQUEST_ID,
    dkey: byteString(Buffer.from("dkey")),
    akey: "" as ByteString,
  };
  const args = Buffer.alloc(objectRequestBytes(object));
  encodeObjectRequest(args, 0, object);
  const payload = Buffer.from("value");
  const body = { bytes: args, argumentsStart: 0, argumentsLength: args.length };
  const payloadFields = { payload, payloadLength: payload.length, payloadBuffer: undefined };
  return { opcode, mapVersion, ...body, ...payloadFields, retain: () => {} } as unknown as RpcRequest;
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("a request placed by another pool map is answered STALE and does nothing; without a version it is served", () => {
  const { service, reply, events } = rig();
  service.handle(request(Opcode.valueUpdate, MAP_VERSION - 1), reply);
  expect(events).toEqual(["STALE"]);
  service.handle(request(Opcode.valueUpdate, 0), reply);
  service.handle(request(Opcode.valueUpdate, MAP_VERSION), reply);
  expect(events).toEqual(["STALE", "update", "answered", "update", "answered"]);
});

test("a request placed by a newer map waits for that map; UNAVAILABLE when it cannot be had", async () => {
  const { service, reply, events, pool } = rig(async ({ version }) => {
    events.push(`learn ${version}`);
    pool.map.version = version;
  });
  service.handle(request(Opcode.valueUpdate, MAP_VERSION + 1), reply);
  await nextTurn();
  expect(events).toEqual([`learn ${MAP_VERSION + 1}`, "update", "answered"]);
  const deaf = rig();
  deaf.service.handle(request(Opcode.valueUpdate, MAP_VERSION + 1), deaf.reply);
  await nextTurn();
  expect(deaf.events).toEqual(["UNAVAILABLE"]);
});

test("a request waits for the transaction that has its dkey, and is not served when the lease has ended meanwhile", async () => {
  for (const isLeaseOver of [false, true]) {
    const held = new HeldDkey();
    const { service, reply, events } = rig(undefined, held);
    service.handle(request(Opcode.valueUpdate, MAP_VERSION), reply);
    await nextTurn();
    expect(events).toEqual([]);
    held.isLeaseOver = isLeaseOver;
    held.free();
    await nextTurn();
    expect(events).toEqual(isLeaseOver ? ["UNAVAILABLE"] : ["update", "answered"]);
  }
});

test("a read is answered when the bound of reads is durable", async () => {
  const { service, reply, events, reads } = rig();
  reads.isDurable = false;
  service.handle(request(Opcode.valueFetch, MAP_VERSION), reply);
  await nextTurn();
  expect(events).toEqual(["fetch"]);
  reads.moved();
  await nextTurn();
  expect(events).toEqual(["fetch", "answered"]);
});

test("a connection whose decisions are refused ends: those that follow must not be taken before them", () => {
  const held = new HeldDkey();
  held.isLeaseOver = true;
  const { service, reply, events } = rig(undefined, held);
  const connection = { session: undefined, terminate: () => void events.push("cut") };
  const from = (opcode: number): RpcRequest => Object.assign(request(opcode, MAP_VERSION), { connection });
  service.handle(from(Opcode.dtxPrepare), reply);
  service.handle(from(Opcode.dtxDecide), reply);
  expect(events).toEqual(["UNAVAILABLE", "UNAVAILABLE", "cut"]);
});
