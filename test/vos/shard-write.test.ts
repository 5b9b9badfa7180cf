/** What one shard of an erasure-coded akey stores, and tells of it. */
import { expect, test } from "bun:test";
import { crc32 } from "../../src/base/checksum.ts";
import { MIB } from "../../src/base/limits.ts";
import { objectClassByName } from "../../src/base/object-class.ts";
import { objectId } from "../../src/base/object-id.ts";
import { EPOCH_NONE, HybridLogicalClock } from "../../src/base/epoch.ts";
import { VersionedObjects } from "../../src/vos/versioned-objects.ts";
import { StoreRig } from "../store/store-rig.ts";
import { bytes, CONTAINER, key, makeRig } from "./rig.ts";

const AKEY = { oid: objectId("ARRAY", objectClassByName("EC_2P1G1"), 0, 1n), dkey: key("d"), akey: key("a") };

test("ShardWrites.write: a fold, which does not know the size of records, keeps the array", async () => {
  const { objects } = makeRig();
  const part = (address: number, text: string) => ({
    kind: "write" as const,
    address,
    length: text.length,
    bytes: bytes(text),
  });
  const { epoch } = await objects.writeShard(CONTAINER, { ...AKEY, recordBytes: 4 }, [part(0, "data")]);
  await objects.writeShard(CONTAINER, { ...AKEY, recordBytes: 4 }, [part(4, "more")]);
  await objects.writeShard(CONTAINER, { ...AKEY, recordBytes: 1, fold: { epoch, mayAppend: () => {} } }, [
    part(MIB, "fold"),
  ]);
  for (const [address, text] of [
    [0, "datamore"],
    [MIB, "fold"],
  ] as const) {
    const range = { address, length: text.length };
    const read = await objects.readShardArray(CONTAINER, { ...AKEY, epoch: EPOCH_NONE }, range);
    expect([Buffer.from(read.bytes).toString(), read.recordBytes]).toEqual([text, 4]);
    expect(read.checksum).toBe(crc32(read.bytes));
  }
});

test("ExtentLists, KeyQueries: of a shard all is in bytes of its local array, within the range asked for", async () => {
  const { objects } = makeRig();
  const text = "some data";
  const part = (address: number) => ({ kind: "write" as const, address, length: text.length, bytes: bytes(text) });
  const { epoch } = await objects.writeShard(CONTAINER, { ...AKEY, recordBytes: 4 }, [
    part(10),
    part(MIB),
    part(3 * MIB),
  ]);
  const list = async (from: number, to?: number) => {
    const page = await objects.listExtents(CONTAINER, { ...AKEY, from, to, limit: 100, epoch: EPOCH_NONE });
    expect([page.recordBytes, page.done]).toEqual([4, true]);
    return page.extents.map(({ index, count }) => [index, count]);
  };
  expect(await list(0)).toEqual([
    [10, 9],
    [MIB, 9],
    [3 * MIB, 9],
  ]);
  expect(await list(12, MIB + 2)).toEqual([
    [12, 7],
    [MIB, 2],
  ]);
  const query = async (direction: "max" | "min", within?: { start: number; end: number }) => {
    const levels = ["extent"] as const;
    return (await objects.queryKey(CONTAINER, { ...AKEY, direction, levels, within, epoch })).extent;
  };
  expect(await query("max")).toEqual({ index: 3 * MIB, count: 9 });
  expect(await query("max", { start: 0, end: 3 * MIB })).toEqual({ index: MIB, count: 9 });
  expect(await query("min", { start: MIB, end: 4 * MIB })).toEqual({ index: MIB, count: 9 });
  expect(await query("max", { start: 4 * MIB, end: 8 * MIB })).toBeUndefined();
  await expect(query("max", { start: 1, end: MIB })).rejects.toThrow("whole MiB");
});

test("ShardWrites.write: more small pieces than a record holds go to the device", async () => {
  const rig = new StoreRig({ regionBytes: 16 * MIB, deviceBytes: 64 * MIB });
  rig.segmentBytes = MIB;
  await rig.open(true);
  const { store, device, machine } = rig;
  const clock = new HybridLogicalClock(() => machine.clock.wallMs());
  const allocate = (sizeBytes: number): Uint8Array => device.allocate(sizeBytes);
  const objects = new VersionedObjects({
    store,
    clock,
    timers: machine.timers,
    allocate,
    release: () => device.release(),
  });
  objects.openContainer(CONTAINER);
  // Parity of 1.5 MiB in cells of 4 KiB, each in a MiB of its own.
  const parts = Array.from({ length: 384 }, (_, index) => {
    const cell = { address: index * MIB, length: 4096, bytes: new Uint8Array(4096).fill(index) };
    return { kind: "write" as const, ...cell };
  });
  await objects.writeShard(CONTAINER, { ...AKEY, recordBytes: 1 }, parts);
  for (const { address, bytes: expected } of [parts[0]!, parts[200]!, parts[383]!]) {
    const range = { address, length: 4096 };
    const read = await objects.readShardArray(CONTAINER, { ...AKEY, epoch: EPOCH_NONE }, range);
    expect(Buffer.from(read.bytes).equals(expected)).toBe(true);
  }
});
