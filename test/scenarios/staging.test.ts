/**
 * Bytes that are staged ahead of their update, as a client of somebody else's making might: at some targets only, other
 * bytes than the update names, at targets that have no part in it, for nothing.
 */
import { expect, test } from "bun:test";
import { byteStringOfText } from "../../src/base/bytes.ts";
import { crc32 } from "../../src/base/checksum.ts";
import { EPOCH_NONE, HybridLogicalClock } from "../../src/base/epoch.ts";
import { STAGED_LIFETIME_MS } from "../../src/base/limits.ts";
import type { ObjectHandle } from "../../src/client/object-handle.ts";
import { decodeCbor, encodeCbor } from "../../src/format/cbor.ts";
import { encodeObjectRequest, ObjectFlag, objectRequestBytes } from "../../src/format/object-request.ts";
import { type AttachReply, Opcode } from "../../src/format/operations.ts";
import { encodeStagedPayload, type StagedPayload } from "../../src/format/staged-payload.ts";
import { redundancyGroup } from "../../src/redundancy/redundancy-group.ts";
import { RpcConnection } from "../../src/rpc/connection.ts";
import { FIRST_PORT, SCHEMES } from "../simulation/cluster/node.ts";
import { CELL_BYTES, codeOf, forEachClass, type ScenarioRig } from "./scenario-rig.ts";

const CLIENT = 78;
const COPIED = "RP_3GX";
const CODED = "EC_2P1G1";
/** A whole stripe, and a part of one. */
const LENGTH = 2 * CELL_BYTES + 1000;
const BYTES = Buffer.from(Uint8Array.from({ length: LENGTH }, (_, at) => (at * 7 + (at >> 8)) & 255));

/** Sends what the test says to any target, and numbers it so. */
class RawClient {
  readonly #rig: ScenarioRig;
  readonly #object: ObjectHandle;
  readonly #clock: HybridLogicalClock;
  readonly #open = new Map<number, { connection: RpcConnection; handle: number }>();

  constructor(rig: ScenarioRig, object: ObjectHandle) {
    this.#rig = rig;
    this.#object = object;
    this.#clock = new HybridLogicalClock(() => rig.clock.wallMs());
  }

  /** Targets that have to have the update, each with the bytes that it gets. */
  get shares(): Map<number, Buffer> {
    const { members, shards } = redundancyGroup(this.#rig.session.placement, this.#object.id, byteStringOfText("d"));
    if (shards === undefined) return new Map(members.map((target) => [target, BYTES]));
    const parts = SCHEMES.of(shards.word, CELL_BYTES).planWrite(0, LENGTH, BYTES);
    return new Map(
      members.map((target) => {
        const own = parts.filter(({ shard }) => shard === shards.numberOf.get(target));
        return [target, Buffer.concat(own.flatMap(({ views }) => views))];
      }),
    );
  }

  /** What an update says of these shares. */
  get staged(): StagedPayload {
    const { shards } = redundancyGroup(this.#rig.session.placement, this.#object.id, byteStringOfText("d"));
    const { shares } = this;
    const own = shards === undefined ? [BYTES] : shards.targets.map((target) => shares.get(target)!);
    return { lengthBytes: LENGTH, shards: own.map((share) => ({ lengthBytes: share.length, checksum: crc32(share) })) };
  }

  async #to(target: number): Promise<{ connection: RpcConnection; handle: number }> {
    const known = this.#open.get(target);
    if (known?.connection.isClosed === false) return known;
    const { network, timers, control } = this.#rig;
    const options = { timers, clock: this.#clock };
    const connection = await RpcConnection.connect(network.of("raw"), `n${target}`, FIRST_PORT + target, options);
    const { args } = await connection.call(Opcode.attach, encodeCbor({ capability: control.openNow().capability }));
    const opened = { connection, handle: (decodeCbor(args) as AttachReply).handle };
    this.#open.set(target, opened);
    return opened;
  }

  async #send(opcode: Opcode, target: number, sequence: number, payload: Uint8Array, flags = 0): Promise<void> {
    const { connection, handle } = await this.#to(target);
    const request = {
      handle,
      flags,
      oid: this.#object.id,
      epoch: EPOCH_NONE,
      recordIndex: 0,
      recordCount: LENGTH,
      recordBytes: 1,
      client: CLIENT,
      sequence,
      firstIncomplete: 1,
      dkey: byteStringOfText("d"),
      akey: byteStringOfText("array"),
    };
    const args = Buffer.alloc(objectRequestBytes(request));
    encodeObjectRequest(args, 0, request);
    await connection.call(opcode, args, payload, { mapVersion: this.#rig.session.placement.mapVersion });
  }

  stage(target: number, sequence: number, bytes = this.shares.get(target) ?? BYTES): Promise<void> {
    return this.#send(Opcode.arrayStage, target, sequence, bytes);
  }

  async stageAll(sequence: number): Promise<void> {
    await Promise.all([...this.shares.keys()].map((target) => this.stage(target, sequence)));
  }

  /** The update of what was staged, or with `staged` undefined with its bytes. */
  update(sequence: number, staged: StagedPayload | undefined = this.staged, flags = 0): Promise<void> {
    const { leader } = this.#rig.groupOf(this.#object, "d");
    return this.#send(Opcode.arrayWrite, leader, sequence, encodeStagedPayload(staged), ObjectFlag.staged | flags);
  }

  /** The same of a value. */
  updateValue(sequence: number, staged: StagedPayload): Promise<void> {
    const { leader } = this.#rig.groupOf(this.#object, "d");
    return this.#send(Opcode.valueUpdate, leader, sequence, encodeStagedPayload(staged), ObjectFlag.staged);
  }

  updateWithBytes(sequence: number): Promise<void> {
    return this.#send(Opcode.arrayWrite, this.#rig.groupOf(this.#object, "d").leader, sequence, BYTES);
  }

  close(target: number): void {
    this.#open.get(target)?.connection.close();
  }
}

/** What everybody reads: nothing, what was staged, or something else. */
async function content(object: ObjectHandle): Promise<"nothing" | "all" | "else"> {
  const read = await object.readArray("d", "array", { recordIndex: 0, recordCount: LENGTH, recordBytes: 1 });
  if (Buffer.compare(read, BYTES) === 0) return "all";
  return read.every((byte) => byte === 0) ? "nothing" : "else";
}

function usedBytes({ nodes }: ScenarioRig): number {
  return nodes.reduce((sum, { life }) => sum + (life?.store.space().nvmeUsedBytes ?? 0), 0);
}

async function begun(rig: ScenarioRig, className: string): Promise<{ object: ObjectHandle; client: RawClient }> {
  const object = rig.object(className);
  await object.update("d", "warm", Buffer.from("x"));
  return { object, client: new RawClient(rig, object) };
}

test("what all have staged is one update, answered again under its number", async () => {
  await forEachClass([COPIED, CODED], async (rig, className) => {
    const { object, client } = await begun(rig, className);
    await client.stageAll(1);
    expect(await content(object)).toBe("nothing");
    await client.update(1);
    expect(await content(object)).toBe("all");
    await client.update(1);
    await client.updateWithBytes(1);
    expect(await content(object)).toBe("all");
  });
});

test("what one has not staged, or has lost, is refused, seen nowhere, and accepted with its bytes", async () => {
  await forEachClass([COPIED, CODED], async (rig, className) => {
    const { object, client } = await begun(rig, className);
    let sequence = 0;
    for (const missing of client.shares.keys()) {
      sequence += 1;
      for (const target of client.shares.keys()) if (target !== missing) await client.stage(target, sequence);
      expect(await codeOf(client.update(sequence))).toBe("NOT_STAGED");
      sequence += 1;
      await client.stageAll(sequence);
      client.close(missing);
      await rig.timers.advance(100);
      expect(await codeOf(client.update(sequence))).toBe("NOT_STAGED");
      expect(await content(object)).toBe("nothing");
    }
    await client.updateWithBytes(sequence);
    expect(await content(object)).toBe("all");
  });
});

test("an update that names other bytes than were staged is refused", async () => {
  await forEachClass([COPIED, CODED], async (rig, className) => {
    const { object, client } = await begun(rig, className);
    const { staged } = client;
    const [first, ...others] = staged.shards;
    const records: StagedPayload[] = [
      { ...staged, shards: [{ ...first!, checksum: (first!.checksum ^ 1) >>> 0 }, ...others] },
      { ...staged, shards: [{ ...first!, lengthBytes: first!.lengthBytes - 1 }, ...others] },
      { ...staged, shards: [{ lengthBytes: 0, checksum: 0 }, ...others] },
    ];
    if (others.length > 0) records.push({ ...staged, shards: staged.shards.slice(1) }, { ...staged, lengthBytes: 5 });
    let sequence = 0;
    for (const record of records) {
      sequence += 1;
      await client.stageAll(sequence);
      expect(["NOT_STAGED", "INVALID_ARGUMENT"]).toContain(await codeOf(client.update(sequence, record)));
      expect(await content(object)).toBe("nothing");
    }
    // What names the bytes must never be taken for them.
    const nothing = { lengthBytes: 16, shards: staged.shards.map(() => ({ lengthBytes: 0, checksum: 0 })) };
    expect(["NOT_STAGED", "INVALID_ARGUMENT"]).toContain(await codeOf(client.updateValue(19, nothing)));
    expect(await object.fetch("d", "array")).toBeUndefined();
    const target = [...client.shares.keys()][0]!;
    const wrong = className === CODED ? Buffer.alloc(5) : BYTES.subarray(1);
    expect(await codeOf(client.stage(target, 20, wrong))).toBe("INVALID_ARGUMENT");
  });
});

test("nothing is staged at targets that have no part in it, nor for objects without redundancy", async () => {
  await forEachClass([COPIED, CODED], async (rig, className) => {
    const { client } = await begun(rig, className);
    const other = rig.nodes.findIndex(({ index }) => !client.shares.has(index));
    expect(await codeOf(client.stage(other, 1))).toBe("STALE");
  });
  await forEachClass(["S1"], async (rig, className) => {
    const object = rig.object(className);
    await object.update("d", "warm", Buffer.from("x"));
    const client = new RawClient(rig, object);
    const target = rig.groupOf(object, "d").leader;
    expect(await codeOf(client.stage(target, 1, BYTES))).toBe("INVALID_ARGUMENT");
    const staged = { lengthBytes: LENGTH, shards: [{ lengthBytes: LENGTH, checksum: crc32(BYTES) }] };
    expect(await codeOf(client.update(2, staged))).toBe("INVALID_ARGUMENT");
    expect(await content(object)).toBe("nothing");
  });
});

test("what is staged for nothing takes no space for long", async () => {
  await forEachClass([COPIED, CODED], async (rig, className) => {
    const { object, client } = await begun(rig, className);
    const before = usedBytes(rig);
    await client.stageAll(1);
    expect(usedBytes(rig)).toBeGreaterThan(before);
    // The leader refuses it, and the others never hear of it.
    expect(await codeOf(client.update(1, client.staged, ObjectFlag.ifAkeyExists))).toBe("DOES_NOT_EXIST");
    await rig.timers.advance(2 * STAGED_LIFETIME_MS + 1_000);
    expect(usedBytes(rig)).toBe(before);
    expect(await content(object)).toBe("nothing");
  });
});
