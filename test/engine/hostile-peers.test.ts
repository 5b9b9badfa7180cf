/**
 * Peers that send what no client of ours would, on both listeners of a real engine: whatever they do, the engine answers
 * or cuts them with a typed error, goes on serving others, and keeps its memory bounded.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ERROR_CODES, type ErrorCode } from "../../src/base/errors.ts";
import { KIB, MAX_FRAME_ARGUMENTS_BYTES, MAX_FRAME_BODY_BYTES, MIB } from "../../src/base/limits.ts";
import { decodeCbor, encodeCbor } from "../../src/format/cbor.ts";
import { FRAME_HEADER_BYTES, FrameFlag } from "../../src/format/frame.ts";
import type { ObjectRequest } from "../../src/format/object-request.ts";
import { Opcode } from "../../src/format/operations.ts";
import { encodeHello } from "../../src/rpc/hello.ts";
import { seeded } from "../crash/kill-rounds.ts";
import { EngineRig } from "./engine-rig.ts";
import { errorNumber, expectError, frame, objectRequest, OID, RawPeer, seal } from "./raw-peer.ts";

const FUZZED_FRAMES = 400;
const IDLE_CONNECTIONS = 1_000;
/** More than this a thousand idle connections may not take. */
const IDLE_GROWTH_BYTES = 48 * MIB;
const LISTENERS = ["management", "target"] as const;

let rig: EngineRig;
let addresses: Record<(typeof LISTENERS)[number], { host: string; port: number }>;

beforeAll(async () => {
  rig = await EngineRig.start();
  addresses = { management: rig.management, target: await rig.target() };
  await rig.container.kv().put("witness", Buffer.from("still here"));
}, 30_000);

afterAll(() => rig.remove());

/** The engine serves a well-behaved client, through both listeners. */
async function expectServing(): Promise<void> {
  expect(rig.engine.output).not.toContain("Error");
  expect(Buffer.from((await rig.container.kv().get("witness"))!.value).toString()).toBe("still here");
  expect((await rig.system.listPools()).length).toBe(1);
}

async function openContainer(readOnly = false): Promise<Uint8Array> {
  const peer = await RawPeer.greeted(addresses.management);
  const args = encodeCbor({ pool: "tank", container: "things", readOnly });
  const reply = await peer.call(Opcode.containerOpen, 2, args);
  peer.close();
  return (decodeCbor(reply!.args) as { capability: Uint8Array }).capability;
}

/** A greeted connection to the target that has attached the container as handle 1. */
async function attached(readOnly = false): Promise<RawPeer> {
  const capability = await openContainer(readOnly);
  const peer = await RawPeer.greeted(addresses.target);
  const reply = await peer.call(Opcode.attach, 2, encodeCbor({ capability }));
  expect(decodeCbor(reply!.args)).toEqual({ handle: 1 });
  return peer;
}

for (const listener of LISTENERS) {
  describe(`${listener} listener`, () => {
    const address = (): { host: string; port: number } => addresses[listener];

    test("a damaged header of any field cuts its connection with DAMAGED", async () => {
      for (let offset = 0; offset < FRAME_HEADER_BYTES; offset += 1) {
        const peer = await RawPeer.greeted(address());
        const bytes = frame(Opcode.ping, 2);
        bytes[offset]! ^= 0x41;
        peer.socket.write(bytes);
        expectError(await peer.reply(), "DAMAGED");
        await peer.ended();
        peer.close();
      }
      await expectServing();
    });

    test("a wrong value in any field of a sealed header is answered or cut, never ignored", async () => {
      for (const offset of [5, 6, 7, 8, 12, 14, 15, 16, 18, 19, 20, 24, 28, 30, 31, 32]) {
        for (const value of [0x01, 0x7f, 0x80, 0xff]) {
          const peer = await RawPeer.greeted(address());
          const bytes = frame(Opcode.valueFetch, 2, objectRequest());
          bytes[offset]! ^= value;
          peer.socket.write(seal(bytes));
          // A longer body never comes: the end of what is sent must then end the connection.
          peer.socket.end();
          const reply = await peer.reply();
          if (reply !== undefined) expect(errorNumber(reply)).not.toBe(0);
          await peer.ended();
          peer.close();
        }
      }
      await expectServing();
    }, 20_000);

    test("a damaged body is refused, and the connection goes on", async () => {
      const peer = await RawPeer.greeted(address());
      const bytes = frame(Opcode.ping, 2, undefined, Buffer.alloc(100, 1));
      bytes[FRAME_HEADER_BYTES + 50]! ^= 1;
      peer.socket.write(bytes);
      expectError(await peer.reply(), "DAMAGED");
      expect((await peer.call(Opcode.ping, 3, undefined, Buffer.from("echo")))!.payload.toString()).toBe("echo");
      peer.close();
    });

    test("oversize frames are refused with TOO_LARGE without storing them, and the connection goes on", async () => {
      const peer = await RawPeer.greeted(address());
      peer.socket.write(frame(Opcode.ping, 2, undefined, Buffer.alloc(MAX_FRAME_BODY_BYTES + 1)));
      expectError(await peer.reply(), "TOO_LARGE");
      peer.socket.write(frame(Opcode.ping, 3, Buffer.alloc(MAX_FRAME_ARGUMENTS_BYTES + 1)));
      expectError(await peer.reply(), "TOO_LARGE");
      expect((await peer.call(Opcode.ping, 4, undefined, Buffer.from("echo")))!.payload.toString()).toBe("echo");
      peer.close();
      await expectServing();
    });

    test("a body of 4 GiB that was announced takes no memory", async () => {
      const before = rig.residentBytes;
      const peer = await RawPeer.greeted(address());
      peer.socket.write(frame(Opcode.valueUpdate, 2, undefined, undefined, { payloadLength: 0xffff_ffff }));
      expectError(await peer.reply(), "TOO_LARGE");
      for (let chunk = 0; chunk < 32; chunk += 1) peer.socket.write(Buffer.alloc(MIB));
      await expectServing();
      expect(rig.residentBytes - before).toBeLessThan(64 * MIB);
      peer.close();
    });

    test("requests before hello, a second hello, replies, and no request id are PROTOCOL", async () => {
      const early = await RawPeer.connect(address());
      expectError(await early.call(Opcode.ping, 1), "PROTOCOL");
      expectError(await early.call(Opcode.poolList, 2, encodeCbor({})), "PROTOCOL");
      expectError(await early.call(Opcode.valueFetch, 3, objectRequest()), "PROTOCOL");
      early.close();
      const twice = await RawPeer.greeted(address());
      expectError(await twice.call(Opcode.hello, 2, encodeHello("again")), "PROTOCOL");
      twice.socket.write(frame(Opcode.ping, 3, undefined, undefined, { flags: FrameFlag.response }));
      expectError(await twice.reply(), "PROTOCOL");
      await twice.ended();
      const nameless = await RawPeer.greeted(address());
      expectError(await nameless.call(Opcode.ping, 0), "PROTOCOL");
      await nameless.ended();
    });

    test("hello of other versions and of other shapes is refused", async () => {
      const hellos: [Uint8Array, ErrorCode][] = [
        [encodeCbor({ protocol: { min: 2, max: 9 }, peer: "newer" }), "VERSION"],
        [encodeCbor({ protocol: { min: 0, max: 0 }, peer: "older" }), "VERSION"],
        [encodeCbor({ protocol: 1 }), "INVALID_ARGUMENT"],
        [encodeCbor([]), "INVALID_ARGUMENT"],
        [Buffer.from("ffffffff", "hex"), "PROTOCOL"],
        [Buffer.alloc(0), "PROTOCOL"],
      ];
      for (const [args, code] of hellos) {
        const peer = await RawPeer.connect(address());
        expectError(await peer.call(Opcode.hello, 1, args), code);
        peer.close();
      }
    });

    test("unknown operations and those of the other listener are refused", async () => {
      const peer = await RawPeer.greeted(address());
      const others =
        listener === "target"
          ? [Opcode.poolList, Opcode.poolDestroy, Opcode.serverStop, Opcode.containerOpen, Opcode.snapshotCreate]
          : [Opcode.attach, Opcode.valueFetch, Opcode.valueUpdate, Opcode.objectPunch, Opcode.dkeyList];
      let requestId = 2;
      for (const opcode of [...others, 3, 15, 95, 200, 0xffff]) {
        expectError(await peer.call(opcode, (requestId += 1), encodeCbor({})), "UNSUPPORTED");
      }
      peer.close();
      await expectServing();
    });

    test("an epoch far ahead is refused, one behind is taken", async () => {
      const peer = await RawPeer.greeted(address());
      peer.socket.write(frame(Opcode.ping, 2, undefined, undefined, { epoch: 2 ** 52 }));
      expectError(await peer.reply(), "INVALID_ARGUMENT");
      peer.socket.write(frame(Opcode.ping, 3, undefined, undefined, { epoch: 1 }));
      expect(errorNumber(await peer.reply())).toBe(0);
      peer.close();
    });

    test("arguments that are no CBOR, the wrong CBOR, or random bytes get an error each", async () => {
      const random = seeded(7);
      const peer = await RawPeer.greeted(address());
      const stops: ReadonlySet<number> = new Set([Opcode.serverStop, Opcode.systemStop]);
      const opcodes = Object.values(Opcode).filter((opcode) => opcode > Opcode.ping && !stops.has(opcode));
      const withoutArguments = new Set<number>([
        Opcode.systemQuery,
        Opcode.pluginList,
        Opcode.engineMetrics,
        Opcode.deviceQuery,
        Opcode.poolList,
        Opcode.systemEvents,
        Opcode.systemLeader,
        Opcode.selfHealGet,
        Opcode.selfHealEval,
        Opcode.systemStart,
        Opcode.systemBackup,
      ]);
      for (const [index, opcode] of opcodes.entries()) {
        const noise = Buffer.from(Array.from({ length: 1 + index }, () => Math.floor(random() * 256)));
        for (const args of [noise, encodeCbor({ handle: "x", pool: 5 }), encodeCbor([1, 2]), encodeCbor(undefined)]) {
          const reply = await peer.call(opcode, 2, args);
          expect(reply).toBeDefined();
          if (!withoutArguments.has(opcode)) expect([opcode, errorNumber(reply)]).not.toEqual([opcode, 0]);
        }
      }
      peer.close();
      await expectServing();
    });

    test("random frames never end the engine", async () => {
      const random = seeded(listener.length);
      for (let round = 0; round < FUZZED_FRAMES; round += 1) {
        const peer = await RawPeer.connect(address());
        const bytes = frame(Opcode.hello, 1, encodeHello("fuzz"));
        const rest = frame(Math.floor(random() * 140), 2, objectRequest(), Buffer.alloc(Math.floor(random() * 200)));
        for (let change = 0; change < 3; change += 1)
          rest[Math.floor(random() * rest.length)] = Math.floor(random() * 256);
        if (random() < 0.7) seal(rest);
        if (rest.readUInt16LE(6) !== Opcode.serverStop) peer.socket.write(Buffer.concat([bytes, rest]));
        peer.socket.end();
        if (round % 16 === 0) await peer.ended();
        peer.close();
      }
      await expectServing();
    }, 20_000);

    test("peers that close in the middle of a frame leave nothing behind", async () => {
      for (const length of [1, 20, 39, 41, 60]) {
        const peer = await RawPeer.greeted(address());
        peer.socket.write(frame(Opcode.ping, 2, undefined, Buffer.alloc(100)).subarray(0, length));
        peer.socket.end();
        await peer.ended();
        peer.close();
      }
      await expectServing();
    });

    test("a thousand idle connections take little memory, and the engine serves beside them", async () => {
      const before = rig.residentBytes;
      const peers = await Promise.all(Array.from({ length: IDLE_CONNECTIONS }, () => RawPeer.greeted(address())));
      await expectServing();
      expect(rig.residentBytes - before).toBeLessThan(IDLE_GROWTH_BYTES);
      for (const peer of peers) peer.close();
      await expectServing();
    }, 20_000);

    test("a client that reads nothing is not read from, and takes bounded memory", async () => {
      const before = rig.residentBytes;
      const peer = await RawPeer.greeted(address());
      peer.socket.pause();
      const ping = frame(Opcode.ping, 2, undefined, Buffer.alloc(256 * KIB, 7));
      // 512 MiB are asked back; a socket that takes no more is what bounds it.
      let taken = 0;
      for (let count = 0; count < 2048; count += 1) {
        if (!peer.socket.write(ping)) {
          const drained = await Promise.race([
            new Promise<boolean>((resolve) => peer.socket.once("drain", () => resolve(true))),
            Bun.sleep(500).then(() => false),
          ]);
          if (!drained) break;
        }
        taken += ping.length;
      }
      expect(taken).toBeLessThan(256 * MIB);
      expect(rig.residentBytes - before).toBeLessThan(128 * MIB);
      await expectServing();
      peer.close();
    }, 20_000);
  });
}

describe("object requests", () => {
  test("data operations without a handle, with a foreign or a detached one are STALE", async () => {
    const fresh = await RawPeer.greeted(addresses.target);
    expectError(await fresh.call(Opcode.valueFetch, 2, objectRequest()), "STALE");
    fresh.close();
    const peer = await attached();
    for (const handle of [0, 2, 1000, 0xffff_ffff]) {
      expectError(await peer.call(Opcode.valueFetch, 3, objectRequest({ handle })), "STALE");
      expectError(await peer.call(Opcode.valueUpdate, 4, objectRequest({ handle }), Buffer.from("x")), "STALE");
    }
    expect(errorNumber(await peer.call(Opcode.detach, 5, encodeCbor({ handle: 1 })))).toBe(0);
    expectError(await peer.call(Opcode.valueFetch, 6, objectRequest()), "STALE");
    peer.close();
  });

  test("forged capabilities are PERMISSION, whatever byte is changed", async () => {
    const capability = await openContainer();
    const peer = await RawPeer.greeted(addresses.target);
    for (let offset = 0; offset < capability.length; offset += 1) {
      const forged = Uint8Array.from(capability);
      forged[offset]! ^= 1;
      const isVersion = offset === 4 || offset === 5;
      expectError(
        await peer.call(Opcode.attach, 2, encodeCbor({ capability: forged })),
        isVersion ? "VERSION" : "PERMISSION",
      );
    }
    for (const length of [0, 7, 95, 97, 5000]) {
      const reply = await peer.call(Opcode.attach, 3, encodeCbor({ capability: new Uint8Array(length) }));
      expect([ERROR_CODES.PERMISSION, ERROR_CODES.INVALID_ARGUMENT]).toContain(errorNumber(reply) as 22);
    }
    peer.close();
  });

  test("a read-only handle writes nothing: PERMISSION", async () => {
    const peer = await attached(true);
    for (const opcode of [
      Opcode.valueUpdate,
      Opcode.arrayWrite,
      Opcode.arrayPunch,
      Opcode.objectPunch,
      Opcode.dkeyPunch,
    ]) {
      expectError(
        await peer.call(opcode, 3, objectRequest({ recordBytes: 1, recordCount: 1 }), Buffer.from("x")),
        "PERMISSION",
      );
    }
    expect(errorNumber(await peer.call(Opcode.valueFetch, 4, objectRequest()))).toBe(0);
    peer.close();
  });

  test("object requests with any field wrong are refused, and the connection goes on", async () => {
    const peer = await attached();
    const random = seeded(3);
    for (let round = 0; round < 600; round += 1) {
      const args = objectRequest({ recordBytes: 1, recordCount: 4 });
      const offset = Math.floor(random() * args.length);
      args[offset] = Math.floor(random() * 256);
      const cut = random() < 0.2 ? args.subarray(0, Math.floor(random() * args.length)) : args;
      const opcode = Opcode.valueFetch + (round % 8);
      expect(await peer.call(opcode, 2, cut, Buffer.from("four"))).toBeDefined();
    }
    expect(errorNumber(await peer.call(Opcode.ping, 3))).toBe(0);
    peer.close();
    await expectServing();
  });

  test("enumerations with members of the right shape and absurd values are answered, and the connection goes on", async () => {
    const peer = await attached();
    const random = seeded(5);
    const numbers = [0, 1, -1, 0.5, 2 ** 31, 2 ** 32, 2 ** 53 - 1, 2 ** 60, Number.NaN, Infinity];
    const pick = <Item>(items: readonly Item[]): Item => items[Math.floor(random() * items.length)]!;
    const noise = (): Uint8Array =>
      Buffer.from(Array.from({ length: Math.floor(random() * 40) }, () => Math.floor(random() * 256)));
    const opcodes = [
      Opcode.dkeyList,
      Opcode.akeyList,
      Opcode.extentList,
      Opcode.objectList,
      Opcode.keyQuery,
      Opcode.changeList,
    ];
    for (let round = 0; round < 400; round += 1) {
      const args = {
        handle: 1,
        oid: random() < 0.7 ? Buffer.from(OID, "latin1") : noise(),
        limit: random() < 0.6 ? 5 : pick(numbers),
        epoch: random() < 0.6 ? 0 : pick(numbers),
        from: pick(numbers),
        fromEpoch: pick(numbers),
        toEpoch: pick(numbers),
        direction: pick(["max", "min", "sideways"]),
        levels: pick([["dkey"], ["dkey", "akey"], ["dkey", "akey", "extent"], ["extent"], []]),
        ...(random() < 0.6 && { dkey: noise() }),
        ...(random() < 0.6 && { akey: noise() }),
        ...(random() < 0.3 && { prefix: noise() }),
        ...(random() < 0.5 && { after: noise() }),
      };
      expect(await peer.call(pick(opcodes), 2, encodeCbor(args))).toBeDefined();
    }
    expect(errorNumber(await peer.call(Opcode.ping, 3))).toBe(0);
    peer.close();
    await expectServing();
  });

  test("array requests over the limits are refused at once", async () => {
    const peer = await attached();
    const reads: Partial<ObjectRequest>[] = [
      { recordCount: 2 ** 40, recordBytes: 1 },
      { recordCount: 2 ** 52, recordBytes: 1 },
      { recordCount: 1, recordBytes: 0xffff_ffff },
      { recordIndex: 2 ** 53 - 1, recordCount: 1, recordBytes: 1 },
      { recordIndex: 2 ** 50, recordCount: 1, recordBytes: 1024 },
    ];
    for (const change of reads) {
      for (const opcode of [Opcode.arrayRead, Opcode.arrayWrite]) {
        const reply = await peer.call(opcode, 2, objectRequest(change), Buffer.from("x"));
        expect([opcode, change, errorNumber(reply) > 0]).toEqual([opcode, change, true]);
      }
    }
    expect(errorNumber(await peer.call(Opcode.ping, 3))).toBe(0);
    peer.close();
  });
});
