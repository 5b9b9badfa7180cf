/**
 * Tiers and quotas that are full, on a real engine: writes end in NO_SPACE, reads and deletes go on, and what was deleted
 * can be written anew. Also keys and values at and over their limits, and data far larger than memory should be.
 */
import { afterEach, expect, test } from "bun:test";
import type { Epoch } from "../../src/base/epoch.ts";
import {
  INLINE_VALUE_BYTES,
  KIB,
  MAX_AKEY_BYTES,
  MAX_DKEY_BYTES,
  MAX_SINGLE_VALUE_BYTES,
  MIB,
} from "../../src/base/limits.ts";
import type { Container, DaosError, KeyValue } from "../../src/library.ts";
import { codeOf, EngineRig } from "./engine-rig.ts";

const PARALLEL = 16;
/** Space comes back by settling and reclaiming, which happen in the background. */
const RETURN_TIMEOUT_MS = 20_000;
const STREAM_BYTES = 400 * MIB;
/** What either side may take of it; measured over 2 GiB: 114 MiB the engine, 97 MiB the client. */
const STREAM_MEMORY_BYTES = 256 * MIB;

let rig: EngineRig | undefined;
afterEach(async () => {
  await rig?.remove();
  rig = undefined;
});

function content(index: number, sizeBytes: number): Uint8Array {
  const bytes = Buffer.alloc(sizeBytes, index % 251);
  bytes.writeUInt32LE(index, 0);
  return bytes;
}

/** Puts key after key until none is taken any more; returns how many were acknowledged. All failures are NO_SPACE. */
async function fill(kv: KeyValue, sizeBytes: number, prefix = "fill"): Promise<Set<number>> {
  const stored = new Set<number>();
  let next = 0;
  let isFull = false;
  const writer = async (): Promise<void> => {
    while (!isFull) {
      const index = next++;
      try {
        await kv.put(`${prefix}-${index}`, content(index, sizeBytes));
        stored.add(index);
      } catch (error) {
        expect((error as DaosError).code).toBe("NO_SPACE");
        expect((error as DaosError).message).toMatch(/full|space|free/i);
        isFull = true;
      }
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, writer));
  return stored;
}

async function expectStored(kv: KeyValue, stored: Iterable<number>, sizeBytes: number): Promise<void> {
  for (const index of stored) {
    const found = await kv.get(`fill-${index}`);
    if (!Buffer.from(found!.value).equals(content(index, sizeBytes))) throw new Error(`fill-${index} is wrong`);
  }
}

async function remove(kv: KeyValue, indices: Iterable<number>): Promise<void> {
  const waiting = [...indices];
  const worker = async (): Promise<void> => {
    for (let index = waiting.pop(); index !== undefined; index = waiting.pop()) await kv.delete(`fill-${index}`);
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
}

/** Resolves when a put succeeds; until then it may only fail with NO_SPACE. */
async function expectWritable(kv: KeyValue, value: Uint8Array): Promise<void> {
  const endMs = performance.now() + RETURN_TIMEOUT_MS;
  for (;;) {
    const outcome = await codeOf(kv.put("after", value));
    if (outcome !== "NO_SPACE") {
      expect(outcome).toStartWith("resolved");
      return;
    }
    if (performance.now() > endMs) throw new Error("deleted space did not come back");
    await Bun.sleep(50);
  }
}

async function fillAndEmpty(container: Container, sizeBytes: number): Promise<number> {
  const kv = container.kv();
  const stored = await fill(kv, sizeBytes);
  await expectStored(
    kv,
    [...stored].filter((index) => index % 7 === 0),
    sizeBytes,
  );
  expect(await codeOf(kv.put("more", content(1, sizeBytes)))).toBe("NO_SPACE");
  const kept = [...stored].filter((index) => index % 5 === 0);
  await remove(
    kv,
    [...stored].filter((index) => index % 5 !== 0),
  );
  await expectWritable(kv, content(99, sizeBytes));
  await expectStored(kv, kept, sizeBytes);
  return stored.size;
}

test("a full NVMe tier: NO_SPACE, reads and deletes go on, and deleted space can be written again", async () => {
  rig = await EngineRig.start({ nvmeSize: "64MiB" });
  expect(await fillAndEmpty(rig.container, 512 * KIB)).toBeGreaterThan(100);
  await rig.kill();
  await rig.startAgain();
  expect(Buffer.from((await rig.container.kv().get("after"))!.value).equals(content(99, 512 * KIB))).toBe(true);
}, 60_000);

test("a full SCM tier: NO_SPACE, reads and deletes go on, and deleted space can be written again", async () => {
  rig = await EngineRig.start({ scmSize: "24MiB", nvmeSize: "64MiB" });
  expect(await fillAndEmpty(rig.container, INLINE_VALUE_BYTES)).toBeGreaterThan(1_000);
  await rig.kill();
  await rig.startAgain();
  expect((await rig.container.kv().get("after"))!.value.length).toBe(INLINE_VALUE_BYTES);
}, 60_000);

test("a full pool: NO_SPACE that names it, deletes make room, and other pools are not concerned", async () => {
  rig = await EngineRig.start({ poolBytes: 32 * MIB });
  await rig.system.createPool({ label: "other", sizeBytes: 64 * MIB });
  await rig.system.pool("other").createContainer({ label: "things", type: "kv" });
  const other = await rig.system.pool("other").openContainer("things", { readOnly: false });
  const stored = await fill(rig.container.kv(), 256 * KIB);
  expect(stored.size).toBeGreaterThan(80);
  expect(stored.size).toBeLessThan(160);
  await other.kv().put("here", content(1, 256 * KIB));
  await remove(rig.container.kv(), stored);
  await expectWritable(rig.container.kv(), content(3, 256 * KIB));
}, 60_000);

test("keys and values at their limits are stored, one byte more is TOO_LARGE, empty ones are legal", async () => {
  rig = await EngineRig.start();
  const kv = rig.container.kv();
  const keys = [
    Buffer.alloc(MAX_DKEY_BYTES),
    Buffer.alloc(MAX_DKEY_BYTES, 0xff),
    Buffer.alloc(MAX_DKEY_BYTES, 0x61),
    Buffer.alloc(0),
    "",
  ];
  for (const [index, key] of keys.entries()) {
    await kv.put(key, content(index, 100));
    expect((await kv.get(key))!.value[0]).toBe(index);
  }
  const object = rig.container.object(rig.container.newObjectId("MULTI_HASHED"));
  for (const fill of [0, 1, 0xff]) {
    const akey = Buffer.alloc(MAX_AKEY_BYTES, fill);
    await object.update(Buffer.alloc(MAX_DKEY_BYTES, fill), akey, Buffer.from([fill]));
    expect((await object.fetch(Buffer.alloc(MAX_DKEY_BYTES, fill), akey))!.value[0]).toBe(fill);
  }
  await object.update("", "", new Uint8Array(0));
  expect((await object.fetch("", ""))!.value.length).toBe(0);
  expect(await codeOf(kv.put(Buffer.alloc(MAX_DKEY_BYTES + 1), content(1, 10)))).toBe("TOO_LARGE");
  expect(await codeOf(kv.get(Buffer.alloc(MAX_DKEY_BYTES + 1)))).toBe("TOO_LARGE");
  expect(await codeOf(object.update("d", Buffer.alloc(MAX_AKEY_BYTES + 1), content(1, 10)))).toBe("TOO_LARGE");
  await kv.put("largest", Buffer.alloc(MAX_SINGLE_VALUE_BYTES, 5));
  expect((await kv.get("largest"))!.value.length).toBe(MAX_SINGLE_VALUE_BYTES);
  expect(await codeOf(kv.put("larger", Buffer.alloc(MAX_SINGLE_VALUE_BYTES + 1)))).toBe("TOO_LARGE");
  // Settled and read back: the longest keys fit the index too.
  await rig.stop();
  await rig.startAgain();
  for (const [index, key] of keys.entries()) {
    expect((await rig.container.kv().get(key))!.value[0]).toBe(index === 3 ? 4 : index);
  }
  expect((await rig.container.object(object.id).fetch("", ""))!.value.length).toBe(0);
}, 30_000);

test("a value of 4 GiB is refused at once, without sending it", async () => {
  rig = await EngineRig.start();
  const huge = new Uint8Array(4 * 1024 * MIB - 1);
  const startMs = performance.now();
  expect(await codeOf(rig.container.kv().put("huge", huge))).toBe("TOO_LARGE");
  expect(performance.now() - startMs).toBeLessThan(1_000);
}, 30_000);

test("an array far larger than the buffers streams in and out in bounded memory", async () => {
  rig = await EngineRig.start({ nvmeSize: "512MiB" });
  const array = rig.container.array(rig.container.newObjectId("ARRAY_BYTE"));
  const chunk = Buffer.alloc(MIB, 0x5a);
  async function* endless(): AsyncGenerator<Uint8Array, void, void> {
    for (let sent = 0; sent < STREAM_BYTES; sent += chunk.length) yield chunk;
  }
  const engineBefore = rig.residentBytes;
  const clientBefore = process.memoryUsage.rss();
  await array.writeStream(endless());
  let readBytes = 0;
  for await (const bytes of array.readStream()) readBytes += bytes.length;
  expect(readBytes).toBe(STREAM_BYTES);
  expect(rig.residentBytes - engineBefore).toBeLessThan(STREAM_MEMORY_BYTES);
  expect(process.memoryUsage.rss() - clientBefore).toBeLessThan(STREAM_MEMORY_BYTES);
}, 60_000);

test("epochs in the future and epochs that are none are INVALID_ARGUMENT", async () => {
  rig = await EngineRig.start();
  const kv = rig.container.kv();
  await kv.put("key", Buffer.from("value"));
  expect(await codeOf(kv.get("key", { epoch: Number.MAX_SAFE_INTEGER as Epoch }))).toBe("INVALID_ARGUMENT");
  expect(await codeOf(rig.container.at(-1 as Epoch))).toBe("INVALID_ARGUMENT");
  expect(await codeOf(rig.container.at(1.5 as Epoch))).toBe("INVALID_ARGUMENT");
}, 30_000);
