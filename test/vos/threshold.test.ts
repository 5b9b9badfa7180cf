/** Which tier a value goes to: by its container's threshold, and by how full the SCM is. */
import { describe, expect, test } from "bun:test";
import { EPOCH_NONE } from "../../src/base/epoch.ts";
import { DaosError } from "../../src/base/errors.ts";
import { KIB } from "../../src/base/limits.ts";
import { CONTAINER, key, makeRig, oid, type Rig, settled } from "./rig.ts";

/** The tier of a value of this size that was written and read back. */
async function tierOf(rig: Rig, sizeBytes: number): Promise<"SCM" | "NVMe"> {
  let extents = 0;
  const write = rig.store.writeExtent.bind(rig.store);
  rig.store.writeExtent = (buffer) => {
    extents += 1;
    return write(buffer);
  };
  const value = new Uint8Array(sizeBytes).map((_byte, index) => index % 251);
  const request = { oid: oid(1), dkey: key("d"), akey: key(`${sizeBytes}`) };
  await settled(rig.objects.updateValue(CONTAINER, request, value));
  rig.store.writeExtent = write;
  const { value: read } = await settled(rig.objects.fetchValue(CONTAINER, { ...request, epoch: EPOCH_NONE }));
  expect(Buffer.compare(read, value)).toBe(0);
  return extents === 0 ? "SCM" : "NVMe";
}

describe("threshold", () => {
  test("4 KiB unless told otherwise, and whatever was told for values written later", async () => {
    const rig = makeRig();
    expect([await tierOf(rig, 4 * KIB), await tierOf(rig, 4 * KIB + 1)]).toEqual(["SCM", "NVMe"]);
    rig.objects.setThreshold(CONTAINER, 1 * KIB);
    expect([await tierOf(rig, 1 * KIB), await tierOf(rig, 1 * KIB + 1)]).toEqual(["SCM", "NVMe"]);
    rig.objects.setThreshold(CONTAINER, 16 * KIB);
    expect([await tierOf(rig, 16 * KIB), await tierOf(rig, 16 * KIB + 1)]).toEqual(["SCM", "NVMe"]);
    rig.objects.setThreshold(CONTAINER + 1, 1 * KIB);
    expect(await tierOf(rig, 8 * KIB)).toBe("SCM");
  });

  test("while SCM is crowded only values up to 512 B go there", async () => {
    const rig = makeRig();
    rig.store.isScmCrowded = true;
    expect([await tierOf(rig, 512), await tierOf(rig, 513), await tierOf(rig, 4 * KIB)]).toEqual([
      "SCM",
      "NVMe",
      "NVMe",
    ]);
    rig.store.isScmCrowded = false;
    expect(await tierOf(rig, 4 * KIB)).toBe("SCM");
  });

  test("what NVMe refuses goes back to SCM, if it belongs there", async () => {
    const rig = makeRig();
    rig.store.isScmCrowded = true;
    rig.store.writeExtent = () => Promise.reject(new DaosError("NO_SPACE", "Cannot allocate: NVMe is full."));
    const write = (sizeBytes: number): Promise<unknown> => {
      const request = { oid: oid(1), dkey: key("d"), akey: key("a") };
      return settled(rig.objects.updateValue(CONTAINER, request, new Uint8Array(sizeBytes).fill(7)));
    };
    await write(4 * KIB);
    await expect(write(4 * KIB + 1)).rejects.toThrow("NVMe is full");
    const array = { oid: oid(2), dkey: key("d"), akey: key("a"), recordBytes: 1, recordIndex: 100 };
    await settled(rig.objects.writeArray(CONTAINER, { ...array, recordCount: 3000 }, new Uint8Array(3000).fill(9)));
    const { bytes } = await settled(
      rig.objects.readArray(CONTAINER, { ...array, recordCount: 3000, epoch: EPOCH_NONE }),
    );
    expect(bytes.every((byte) => byte === 9)).toBe(true);
    const large = { ...array, recordCount: 100_000 };
    await expect(settled(rig.objects.writeArray(CONTAINER, large, new Uint8Array(100_000)))).rejects.toThrow("is full");
  });
});
