import { expect, test } from "bun:test";
import { type Epoch } from "../../src/base/epoch.ts";
import { KIB, MIB } from "../../src/base/limits.ts";
import { ObjectFlag } from "../../src/format/object-request.ts";
import type { PartBytes } from "../../src/format/prepare-request.ts";
import { CONTAINER, key, makeRig, oid, refusal, type Rig, settled } from "./rig.ts";

const AKEY = { oid: oid(1), dkey: key("dkey"), akey: key("akey") };

function range(
  index: number,
  bytes: Uint8Array,
): typeof AKEY & { recordIndex: number; recordCount: number; recordBytes: number } {
  return { ...AKEY, recordIndex: index, recordCount: bytes.length, recordBytes: 1 };
}

function noise(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, at) => (at * 31 + seed * 17 + (at >> 8)) & 255);
}

async function arrayOf({ objects }: Rig, index: number, count: number): Promise<Uint8Array> {
  const request = { ...AKEY, recordIndex: index, recordCount: count, recordBytes: 1, epoch: 0 as Epoch };
  return Uint8Array.from((await settled(objects.readArray(CONTAINER, request))).bytes);
}

test("a staged write shows what the write itself would, whatever its edges, though its memory is used again", async () => {
  for (const [index, length] of [
    [0, MIB],
    [1000, MIB + 3000],
    [MIB - 300, 600],
    [5, 70 * KIB],
  ] as const) {
    const [staged, written] = [makeRig(), makeRig()];
    for (const rig of [staged, written]) {
      const before = noise(2 * MIB, 1);
      await settled(rig.objects.writeArray(CONTAINER, range(0, before), before));
    }
    const bytes = noise(length, 2);
    await settled(written.objects.writeArray(CONTAINER, range(index, bytes), bytes));
    const memory = Buffer.from(bytes);
    const write = await staged.objects.stageArray(CONTAINER, range(index, memory), memory);
    memory.fill(0);
    expect(await arrayOf(staged, 0, 2 * MIB)).toEqual(noise(2 * MIB, 1));
    await settled(write.write(range(index, bytes)));
    expect(await arrayOf(staged, 0, 2 * MIB)).toEqual(await arrayOf(written, 0, 2 * MIB));
    expect(staged.store.space()).toEqual(written.store.space());
  }
});

test("a staged value is fetched once it is written", async () => {
  const rig = makeRig();
  const value = noise(100 * KIB, 3);
  const write = await rig.objects.stageValue(CONTAINER, AKEY, value);
  const fetch = (): Promise<{ found: boolean; value: Uint8Array }> =>
    settled(rig.objects.fetchValue(CONTAINER, { ...AKEY, epoch: 0 as Epoch }));
  expect((await fetch()).found).toBe(false);
  await settled(write.write({ ...AKEY, recordIndex: 0, recordCount: 0, recordBytes: 0 }));
  expect(Buffer.compare((await fetch()).value, value)).toBe(0);
});

test("the parts of a shard are staged: data, replica, parity, and what they hide", async () => {
  const parts: PartBytes[] = [
    { kind: "write", address: 100, length: 200 * KIB, bytes: noise(200 * KIB, 4) },
    { kind: "punch", address: 2 * MIB, length: MIB, bytes: new Uint8Array(0) },
    { kind: "block", address: 4 * MIB, length: 128 * KIB, bytes: noise(128 * KIB, 5) },
    { kind: "write", address: 5 * MIB, length: 100, bytes: noise(100, 6) },
  ];
  const [staged, written] = [makeRig(), makeRig()];
  const update = { ...AKEY, recordBytes: 1 };
  for (const { objects } of [staged, written]) {
    const before: PartBytes = { kind: "write", address: 2 * MIB, length: 300, bytes: noise(300, 7) };
    await settled(objects.writeShard(CONTAINER, update, [before]));
  }
  await settled(written.objects.writeShard(CONTAINER, update, parts));
  const memory = parts.map((part) => ({ ...part, bytes: Buffer.from(part.bytes) }));
  const write = await staged.objects.stageShard(CONTAINER, update, memory);
  for (const { bytes } of memory) bytes.fill(0);
  await settled(write.write({ ...update, recordIndex: 0, recordCount: 0 }));
  for (const [index, count] of [
    [0, 3 * MIB],
    [3 * MIB, 3 * MIB],
  ] as const) {
    expect(await arrayOf(staged, index, count)).toEqual(await arrayOf(written, index, count));
  }
});

test("what is staged and not written is given back: abandoned, or refused by a condition", async () => {
  const rig = makeRig();
  const bytes = noise(MIB, 8);
  const abandoned = await rig.objects.stageArray(CONTAINER, range(0, bytes), bytes);
  expect(rig.store.abandoned).toBe(0);
  abandoned.abandon();
  expect(rig.store.abandoned).toBe(1);
  const refused = await rig.objects.stageArray(CONTAINER, range(0, bytes), bytes);
  const flags = ObjectFlag.ifAkeyExists;
  expect(await refusal(() => refused.write({ ...range(0, bytes), flags }))).toBe("DOES_NOT_EXIST");
  expect(rig.store.abandoned).toBe(2);
  const written = await rig.objects.stageArray(CONTAINER, range(0, bytes), bytes);
  await settled(written.write(range(0, bytes)));
  expect(rig.store.abandoned).toBe(2);
});
