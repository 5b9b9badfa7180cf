/**
 * Bits that flip in an engine's memory between the check of bytes and their use: on the way to the medium the update is
 * refused and leaves nothing, on the way back nothing wrong is answered, and what the medium still has right is read again.
 */
import { afterEach, expect, test } from "bun:test";
import { byteString, type ByteString } from "../../src/base/bytes.ts";
import type { DaosError } from "../../src/base/errors.ts";
import { EPOCH_NONE, type Epoch, HybridLogicalClock } from "../../src/base/epoch.ts";
import { KIB, MIB } from "../../src/base/limits.ts";
import { objectClassByName } from "../../src/base/object-class.ts";
import { objectId } from "../../src/base/object-id.ts";
import { TargetService, type TargetServiceParts } from "../../src/engine/target-service.ts";
import {
  encodeObjectRequest,
  NO_REQUEST_ID,
  type ObjectRequest,
  objectRequestBytes,
} from "../../src/format/object-request.ts";
import { Opcode } from "../../src/format/operations.ts";
import { RpcConnection } from "../../src/rpc/connection.ts";
import { heapPayloadBuffers } from "../../src/rpc/payload-buffers.ts";
import { type RpcAnswer, summed } from "../../src/rpc/pending-call.ts";
import type { RpcHandler, RpcReply, RpcRequest } from "../../src/rpc/request.ts";
import { RpcServer } from "../../src/rpc/server.ts";
import { VersionedObjects } from "../../src/vos/versioned-objects.ts";
import { LoopbackWorld } from "../rpc/loopback.ts";
import { LATEST, StoreRig } from "../store/store-rig.ts";
import { CONTAINER } from "../vos/rig.ts";

const KEYS = { dkey: byteString(Buffer.from("dkey")), akey: "" as ByteString };

/** A target's data path over a store on a simulated machine, and a client of it. */
class Rig implements RpcHandler {
  readonly world = new LoopbackWorld();
  readonly store: StoreRig;
  readonly service: TargetService;
  connection!: RpcConnection;
  /** Called with each request, as the target takes it up. */
  before: (request: RpcRequest) => void = () => {};
  readonly #server: RpcServer;

  private constructor(store: StoreRig) {
    this.store = store;
    const objects = new VersionedObjects({
      store: store.store,
      clock: new HybridLogicalClock(() => store.machine.clock.wallMs()),
      timers: store.machine.timers,
      allocate: (sizeBytes) => store.device.allocate(sizeBytes),
      release: () => store.device.release(),
    });
    objects.openContainer(CONTAINER);
    const pool = { pool: "tank", map: { version: 1, targets: [] }, own: 0, containers: new Set([CONTAINER]) };
    this.service = new TargetService({
      store: store.store,
      objects,
      attachments: {
        get: () => ({ container: CONTAINER, writable: true, quota: {}, pool }),
        connectionClosed: () => {},
      },
      quotas: { charge: () => {} },
      enumeration: {},
      payloadBuffers: heapPayloadBuffers,
      learnMap: () => Promise.resolve(),
      replication: { movesSingle: () => false, isLed: () => false, mayMiss: () => true, track: () => {} },
      timers: this.world,
      foreground: { note: () => {} },
    } as unknown as TargetServiceParts);
    this.#server = new RpcServer({
      network: this.world,
      timers: this.world,
      clock: this.world.clock(),
      host: "loopback",
      port: 0,
      role: "target",
      software: "daos test",
      handler: this,
    });
  }

  static async create(): Promise<Rig> {
    const rig = new Rig(await StoreRig.create({ regionBytes: MIB, deviceBytes: 16 * MIB }));
    const { world } = rig;
    const options = { timers: world, clock: world.clock() };
    rig.connection = await rig.finish(RpcConnection.connect(world, "loopback", rig.#server.port, options));
    return rig;
  }

  handle(request: RpcRequest, reply: RpcReply): void {
    this.before(request);
    this.service.handle(request, reply);
  }

  /** Lets all worlds go on until it is settled. */
  async finish<T>(promise: Promise<T>): Promise<T> {
    let isDone = false;
    const done = promise.finally(() => (isDone = true));
    done.catch(() => {});
    while (!isDone) {
      await this.world.settle();
      await this.store.machine.timers.advance(1);
    }
    return done;
  }

  call(opcode: Opcode, range: Partial<ObjectRequest>, bytes?: Uint8Array): Promise<RpcAnswer> {
    const object: ObjectRequest = {
      handle: 1,
      flags: 0,
      oid: objectId("MULTI_HASHED", objectClassByName("S1"), 0, 1n),
      epoch: EPOCH_NONE,
      recordIndex: 0,
      recordCount: 0,
      recordBytes: 0,
      ...NO_REQUEST_ID,
      ...KEYS,
      ...range,
    };
    const args = Buffer.alloc(objectRequestBytes(object));
    encodeObjectRequest(args, 0, object);
    return this.finish(this.connection.call(opcode, args, bytes === undefined ? undefined : summed(bytes)));
  }

  async code(promise: Promise<unknown>): Promise<string> {
    return promise.then(
      () => "ok",
      (error: DaosError) => error.code,
    );
  }
}

function content(length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, at) => (at * 31 + (at >> 8)) & 255));
}

let rigs: Rig[] = [];

async function makeRig(): Promise<Rig> {
  const rig = await Rig.create();
  rigs.push(rig);
  return rig;
}

afterEach(async () => {
  for (const rig of rigs) rig.connection.close();
  rigs = [];
});

const VALUE_SIZES = [1, 100, 3000, 5000, 100 * KIB];
/** First byte and length: one window, several small ones, some in the log and some on the device, all on the device. */
const RANGES = [
  [0, 100],
  [4000, 200],
  [10, 12_000],
  [60 * KIB + 5, 70 * KIB],
  [MIB - 5000, 9000],
] as const;

test.each(VALUE_SIZES)(
  "a value of %d bytes that changes before it is stored is refused and leaves nothing",
  async (size) => {
    const rig = await makeRig();
    const value = content(size);
    rig.before = ({ payload }) => {
      payload[payload.length >> 1]! ^= 0x20;
    };
    expect(await rig.code(rig.call(Opcode.valueUpdate, {}, value))).toBe("DAMAGED");
    expect(rig.service.counters.damagedWrites).toBe(1);
    rig.before = () => {};
    expect((await rig.call(Opcode.valueFetch, {})).payload.length).toBe(0);
    await rig.call(Opcode.valueUpdate, {}, value);
    expect(Buffer.from((await rig.call(Opcode.valueFetch, {})).payload).equals(value)).toBe(true);
  },
);

test.each(RANGES)(
  "array bytes from %d on, %d of them, that change before they are stored are refused",
  async (recordIndex, length) => {
    const bytes = content(length);
    const range = { recordIndex, recordCount: length, recordBytes: 1 };
    for (const at of [0, length >> 1, length - 1]) {
      const rig = await makeRig();
      rig.before = ({ payload }) => {
        payload[at]! ^= 1;
      };
      expect(await rig.code(rig.call(Opcode.arrayWrite, range, bytes))).toBe("DAMAGED");
      rig.before = () => {};
      expect((await rig.call(Opcode.arrayRead, range)).payload.length).toBe(0);
      await rig.call(Opcode.arrayWrite, range, bytes);
      expect(Buffer.from((await rig.call(Opcode.arrayRead, range)).payload).equals(bytes)).toBe(true);
      const part = { recordIndex: recordIndex + 3, recordCount: length - 50, recordBytes: 1 };
      expect(Buffer.from((await rig.call(Opcode.arrayRead, part)).payload).equals(bytes.subarray(3, length - 47))).toBe(
        true,
      );
    }
  },
);

/** The inline bytes of all cells, where they are read from. */
function stored(rig: Rig): Uint8Array[] {
  const found: Uint8Array[] = [];
  const from = "\0\0\0\x07" as ByteString;
  const to = "\0\0\0\x08" as ByteString;
  const keys: ByteString[] = [];
  rig.store.store.scan(from, to, LATEST, (key, { inline }) => {
    if ((inline?.length ?? 0) > 0) keys.push(key);
    return true;
  });
  for (const key of keys) found.push(rig.store.store.get(key, LATEST as Epoch)!.inline!);
  return found;
}

test("bytes that change in the log's memory are never answered", async () => {
  const rig = await makeRig();
  await rig.call(Opcode.valueUpdate, {}, content(100));
  const [inline] = stored(rig);
  inline![7]! ^= 1;
  expect(await rig.code(rig.call(Opcode.valueFetch, {}))).toBe("CORRUPT");
  expect(rig.service.counters.damagedReads).toBe(2);
  inline![7]! ^= 1;
  expect(Buffer.from((await rig.call(Opcode.valueFetch, {})).payload).equals(content(100))).toBe(true);
});

test("array bytes that change in the log's memory are never answered, whole or in part", async () => {
  const rig = await makeRig();
  const range = { recordIndex: 4000, recordCount: 300, recordBytes: 1 };
  await rig.call(Opcode.arrayWrite, range, content(300));
  for (const inline of stored(rig)) inline[inline.length - 1]! ^= 1;
  expect(await rig.code(rig.call(Opcode.arrayRead, range))).toBe("CORRUPT");
  const part = { ...range, recordIndex: 4010, recordCount: 20 };
  expect(await rig.code(rig.call(Opcode.arrayRead, part))).toBe("CORRUPT");
});

test("a row of an array that changes where it is kept in memory is read again, for its parts, too", async () => {
  const range = { recordIndex: 0, recordCount: 4096, recordBytes: 1 };
  const part = { ...range, recordIndex: 7, recordCount: 20 };
  for (const asked of [range, part]) {
    const rig = await makeRig();
    await rig.call(Opcode.arrayWrite, range, content(4096));
    await rig.store.settle();
    const expected = Buffer.from((await rig.call(Opcode.arrayRead, asked)).payload);
    for (const inline of stored(rig)) inline[9]! ^= 2;
    expect(Buffer.from((await rig.call(Opcode.arrayRead, asked)).payload).equals(expected)).toBe(true);
    expect(rig.service.counters.damagedReads).toBe(1);
  }
});

test("a row that changes where it is kept in memory is read again from the index", async () => {
  const rig = await makeRig();
  await rig.call(Opcode.valueUpdate, {}, content(100));
  await rig.store.settle();
  expect(Buffer.from((await rig.call(Opcode.valueFetch, {})).payload).equals(content(100))).toBe(true);
  const [inline] = stored(rig);
  inline![99]! ^= 0x80;
  expect(Buffer.from((await rig.call(Opcode.valueFetch, {})).payload).equals(content(100))).toBe(true);
  expect(rig.service.counters.damagedReads).toBe(1);
});
