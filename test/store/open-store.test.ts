import { expect, test } from "bun:test";
import { crc32 } from "../../src/base/checksum.ts";
import { KIB } from "../../src/base/limits.ts";
import { SEGMENT_MAGIC } from "../../src/format/segment-header.ts";
import { decodeStoreRow, encodeStoreRow, STORE_ROW } from "../../src/format/settled-row.ts";
import { STORE_FORMAT_VERSION, SUPERBLOCK_MAGIC } from "../../src/format/superblock.ts";
import { openStore } from "../../src/store/open-store.ts";
import { InlineSettler } from "../../src/store/settler.ts";
import { CrashMachine } from "./crash-machine.ts";
import { expectRejection } from "./expect-code.ts";
import { put, StoreRig } from "./store-rig.ts";

async function closedRig(): Promise<StoreRig> {
  const rig = await StoreRig.create();
  await rig.write([put("a", 1, "one")]);
  await rig.store.close();
  rig.machine.restart();
  return rig;
}

test("a store opens again and again, whichever superblock copy is damaged", async () => {
  const rig = await closedRig();
  for (const copy of [0, 1, 0, 1]) {
    rig.machine.regionMedium[copy * 4 * KIB + 20]! ^= 1;
    await rig.open();
    expect(rig.get("a")).toBe("one");
    await rig.store.close();
    rig.machine.restart();
  }
});

test("without a superblock the store is CORRUPT", async () => {
  const rig = await closedRig();
  rig.machine.regionMedium.fill(0, 0, 8 * KIB);
  expect((await expectRejection("CORRUPT", rig.open())).message).toContain("superblock");
});

test("a store of a newer version is refused with VERSION: superblock, segment and index", async () => {
  const superblock = await closedRig();
  for (const copy of [0, 4 * KIB]) {
    const bytes = Buffer.from(superblock.machine.regionMedium.buffer, copy, 64);
    bytes.writeUInt16LE(STORE_FORMAT_VERSION + 1, 4);
    bytes.writeUInt32LE(crc32(bytes.subarray(0, 60)), 60);
  }
  expect((await expectRejection("VERSION", superblock.open())).message).toContain("Upgrade this program");
  const index = await closedRig();
  index.machine.tables.put("meta", STORE_ROW, encodeStoreRow("x".repeat(16) as never, STORE_FORMAT_VERSION + 1));
  await expectRejection("VERSION", index.open());
});

test("a store of version 1 opens with what is in its log, and is of this version from then on", async () => {
  const rig = await StoreRig.create();
  await rig.write([put("a", 1, "one")]);
  await rig.settle();
  await rig.write([put("b", 2, "two")]);
  rig.machine.losePower("test");
  await new Promise(setImmediate);
  rig.machine.restart();
  // A record of version 1 is one of this version without a transaction: only the headers differ.
  const { regionMedium, tables } = rig.machine;
  const asVersion1 = (offset: number): void => {
    const bytes = Buffer.from(regionMedium.buffer, offset, 64);
    const magic = bytes.readUInt32LE(0);
    if (magic !== SUPERBLOCK_MAGIC && magic !== SEGMENT_MAGIC) return;
    bytes.writeUInt16LE(1, 4);
    bytes.writeUInt32LE(crc32(bytes.subarray(0, 60)), 60);
  };
  for (let offset = 0; offset < regionMedium.length; offset += 4 * KIB) asVersion1(offset);
  const { storeId } = decodeStoreRow(tables.rows.get("meta")!.get(STORE_ROW)!);
  tables.put("meta", STORE_ROW, encodeStoreRow(storeId, 1));
  await rig.open();
  expect([rig.get("a"), rig.get("b")]).toEqual(["one", "two"]);
  expect(decodeStoreRow(tables.rows.get("meta")!.get(STORE_ROW)!).version).toBe(STORE_FORMAT_VERSION);
  const versions = [0, 4 * KIB].map((copy) => Buffer.from(regionMedium.buffer, copy, 64).readUInt16LE(4));
  expect(versions.sort()).toEqual([1, STORE_FORMAT_VERSION]);
  await rig.write([put("c", 3, "three")]);
  await rig.crash();
  expect(rig.names()).toEqual(["a", "b", "c"]);
});

test("region, device and index of different stores are refused", async () => {
  const rig = await closedRig();
  const other = await StoreRig.create({ seed: 99 });
  const foreign = other.machine.openIndex();
  const settler = new InlineSettler(foreign, () => new Uint8Array(0));
  const { machine } = rig;
  const parts = { world: machine, region: machine.openRegion(), device: machine.openDevice(), create: false };
  const mixed = openStore({ ...parts, index: foreign, settler });
  expect((await expectRejection("CORRUPT", mixed)).message).toContain("different stores");
  const empty = new CrashMachine({ seed: 3 }).openIndex();
  const emptied = openStore({ ...parts, index: empty, settler });
  expect((await expectRejection("CORRUPT", emptied)).message).toContain("is empty");
});

test("a device or region of another size is refused", async () => {
  const rig = await closedRig();
  const { machine } = rig;
  const index = machine.openIndex();
  const settler = new InlineSettler(index, () => new Uint8Array(0));
  const small = new CrashMachine({ seed: 1, deviceBytes: 512 * KIB }).openDevice();
  const parts = { world: machine, index, settler, create: false };
  await expectRejection("CORRUPT", openStore({ ...parts, region: machine.openRegion(), device: small }));
  const region = machine.openRegion();
  const cut = {
    granularityBytes: 4 * KIB,
    bytes: region.bytes.slice(0, 100 * KIB),
    persist: () => undefined,
    close() {},
  };
  await expectRejection("CORRUPT", openStore({ ...parts, region: cut, device: machine.openDevice() }));
});

test("create refuses an index that is in use, and a region that is too small", async () => {
  const rig = await closedRig();
  await expectRejection("ALREADY_EXISTS", rig.open(true));
  const tiny = new StoreRig({ regionBytes: 40 * KIB });
  await expectRejection("INVALID_ARGUMENT", tiny.open(true));
});

test("damaged index rows are CORRUPT when opened or read", async () => {
  const rig = await closedRig();
  const rows = rig.machine.tables.rows;
  rows.get("cells")!.values().next().value![10]! ^= 1;
  await rig.open();
  expect(() => rig.get("a")).toThrow("Cannot read settled version");
  rows.get("usage")!.values().next().value![6]! ^= 1;
  rig.machine.restart();
  await expectRejection("CORRUPT", rig.open());
});
