import { expect, test } from "bun:test";
import { KIB } from "../../src/base/limits.ts";
import { LOG_RECORD_HEADER_BYTES, logWriteBytes } from "../../src/format/log-record.ts";
import { SEGMENT_HEADER_BYTES } from "../../src/format/segment-header.ts";
import { expectRejection } from "./expect-code.ts";
import { put, StoreRig } from "./store-rig.ts";

const UNIT = 4 * KIB;
const SEGMENT = 16 * KIB;
const FIRST_SEGMENT = 2 * UNIT;

/** A store that crashed with `count` records in groups of their own, none settled. */
async function crashed(count: number, granularityBytes: number = UNIT): Promise<StoreRig> {
  const rig = await StoreRig.create({ granularityBytes });
  for (let index = 0; index < count; index += 1) await rig.write([put(`k${index}`, index + 1, "x".repeat(500))]);
  rig.machine.losePower("test");
  await new Promise(setImmediate);
  rig.machine.restart();
  return rig;
}

test("recovery shows all durable records, and goes on in a new segment", async () => {
  const rig = await crashed(3);
  await rig.open();
  expect(rig.names()).toEqual(["k0", "k1", "k2"]);
  await rig.write([put("k3", 9, "more")]);
  await rig.crash();
  expect(rig.names()).toEqual(["k0", "k1", "k2", "k3"]);
});

test("damage in a record that later ones prove durable is CORRUPT and names what is lost", async () => {
  const rig = await crashed(6);
  rig.machine.regionMedium[FIRST_SEGMENT + UNIT + 100]! ^= 1;
  rig.machine.regionMedium[FIRST_SEGMENT + UNIT + 120]! ^= 1;
  const error = await expectRejection("CORRUPT", rig.open());
  expect(error.message).toContain("records 2 to 5");
});

test("one flipped bit in records that are proven durable is turned back, on the medium too", async () => {
  const rig = await crashed(6);
  for (const [unit, mask] of [
    [1, 1],
    [3, 128],
  ] as const)
    rig.machine.regionMedium[FIRST_SEGMENT + unit * UNIT + 100]! ^= mask;
  await rig.open();
  expect(rig.names()).toEqual(["k0", "k1", "k2", "k3", "k4", "k5"]);
  for (let index = 0; index < 6; index += 1) expect(rig.get(`k${index}`)).toBe("x".repeat(500));
  await rig.crash();
  expect(rig.names()).toHaveLength(6);
  await rig.write([put("k9", 9, "new")]);
  await rig.settle();
  expect(rig.store.space().logUsedBytes).toBe(0);
});

test("every damaged byte of a log is found, or mended, or was not needed", async () => {
  for (const [granularity, mask] of [
    [64, 0x10],
    [64, 0x11],
    [UNIT, 0x10],
    [UNIT, 0x11],
  ] as const) {
    const rig = await crashed(6, granularity);
    const medium = rig.machine.regionMedium;
    const before = medium.slice();
    let found = 0;
    for (let offset = 0; offset < 6 * UNIT; offset += 97) {
      medium[offset]! ^= mask;
      const outcome = await rig.open().then(
        () => rig.names().length,
        (error: { code: string }) => error.code,
      );
      // The last record has no successor that could prove it: it may be taken for a torn one.
      expect(["CORRUPT", 6, 5]).toContain(outcome);
      if (outcome === "CORRUPT") found += 1;
      if (typeof outcome === "number") {
        for (let index = 0; index < outcome; index += 1) expect(rig.get(`k${index}`)).toBe("x".repeat(500));
      }
      medium.set(before);
      rig.machine.timers.clear();
    }
    // Of single bits those in the headers of segments.
    if (mask === 0x11) expect(found).toBeGreaterThan(10);
    else expect(found).toBeLessThan(10);
  }
});

test("a durable mark proves the last record: damage to it is found after a moment of rest", async () => {
  const rig = await StoreRig.create();
  await rig.write([put("a", 1, "x".repeat(500))]);
  await rig.machine.timers.advance(100);
  rig.machine.losePower("test");
  await new Promise(setImmediate);
  rig.machine.restart();
  rig.machine.regionMedium[FIRST_SEGMENT + SEGMENT_HEADER_BYTES + 50]! ^= 3;
  expect((await expectRejection("CORRUPT", rig.open())).message).toContain("records 1 to 1");
});

test("a damaged segment header hides no durable records", async () => {
  for (const segment of [0, 1]) {
    const rig = await crashed(7);
    rig.machine.regionMedium[FIRST_SEGMENT + segment * SEGMENT + 10]! ^= 1;
    await expectRejection("CORRUPT", rig.open());
  }
});

test("a torn tail is normal: what was not acknowledged is gone, the rest is there", async () => {
  const rig = await crashed(2);
  rig.machine.regionMedium.fill(0, FIRST_SEGMENT + UNIT, FIRST_SEGMENT + 2 * UNIT);
  await rig.open();
  expect(rig.names()).toEqual(["k0"]);
  await rig.write([put("k9", 9, "new")]);
  await rig.crash();
  expect(rig.names()).toEqual(["k0", "k9"]);
});

test("what a crash left of a segment's first attempt never passes for part of the second", async () => {
  const rig = await StoreRig.create();
  // Sized so that the second record begins where a group may begin.
  const overhead = SEGMENT_HEADER_BYTES + LOG_RECORD_HEADER_BYTES + logWriteBytes(put("ghost 0", 1, ""));
  rig.store.append([put("ghost 0", 1, "x".repeat(UNIT - overhead))]);
  rig.store.append([put("ghost 1", 1, "x".repeat(500))]);
  await rig.machine.timers.advance(50);
  rig.machine.losePower("test");
  // The first sectors did not make it, the later ones did.
  rig.machine.regionMedium.fill(0, FIRST_SEGMENT, FIRST_SEGMENT + UNIT);
  await new Promise(setImmediate);
  rig.machine.restart();
  await rig.open();
  expect(rig.names()).toEqual([]);
  await rig.write([put("real", 2, "x".repeat(3500))]);
  await rig.crash();
  expect(rig.names()).toEqual(["real"]);
});
