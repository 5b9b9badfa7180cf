/** What leaders have one shard of an erasure-coded akey store. */
import { expect, test } from "bun:test";
import { EPOCH_NONE } from "../../src/base/epoch.ts";
import { MIB } from "../../src/base/limits.ts";
import { objectClassByName } from "../../src/base/object-class.ts";
import { objectId } from "../../src/base/object-id.ts";
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
  await objects.writeShard(CONTAINER, { ...AKEY, recordBytes: 1, foldedAt: epoch }, [part(MIB, "fold")]);
  for (const [address, text] of [
    [0, "datamore"],
    [MIB, "fold"],
  ] as const) {
    const range = { address, length: text.length };
    const read = await objects.readShardArray(CONTAINER, { ...AKEY, epoch: EPOCH_NONE }, range);
    expect([Buffer.from(read.bytes).toString(), read.recordBytes]).toEqual([text, 4]);
  }
});
