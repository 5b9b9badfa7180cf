/** Suites `I` (EC I/O) and `Z` (EC aggregation) of daos_test, and what of `X` (degraded EC) they need. See docs/scenarios.md. */
import { expect, test } from "bun:test";
import { objectClassOf } from "../../src/base/object-id.ts";
import type { ObjectHandle } from "../../src/client/object-handle.ts";
import { CELL_BYTES, CODED, codeOf, forEachClass, pattern, type ScenarioRig, texts } from "./scenario-rig.ts";

const AKEY = "array";

/** An array of bytes under one dkey, and what it should hold. */
class Written {
  readonly object: ObjectHandle;
  readonly bytes: Buffer;
  readonly stripeBytes: number;

  constructor(rig: ScenarioRig, className: string) {
    this.object = rig.object(className);
    this.stripeBytes = objectClassOf(this.object.id).redundancy.dataShards * CELL_BYTES;
    this.bytes = Buffer.alloc(4 * this.stripeBytes);
  }

  /** In stripes: 0.5 is the middle of the first one. */
  async write(from: number, to: number, seed: number): Promise<void> {
    const [start, end] = [Math.round(from * this.stripeBytes), Math.round(to * this.stripeBytes)];
    this.bytes.set(pattern(end - start, seed), start);
    await this.object.writeArray("d", AKEY, { recordIndex: start, recordBytes: 1 }, pattern(end - start, seed));
  }

  async punch(from: number, to: number): Promise<void> {
    const [start, end] = [Math.round(from * this.stripeBytes), Math.round(to * this.stripeBytes)];
    this.bytes.fill(0, start, end);
    await this.object.punchArray("d", AKEY, { recordIndex: start, recordCount: end - start, recordBytes: 1 });
  }

  async expectBytes(seen: ObjectHandle = this.object, expected: Buffer = this.bytes): Promise<void> {
    const range = { recordIndex: 0, recordCount: expected.length, recordBytes: 1 };
    expect(Buffer.from(await seen.readArray("d", AKEY, range)).equals(expected)).toBe(true);
  }

  /** One more than the last byte that is there. */
  async size(seen: ObjectHandle = this.object): Promise<number> {
    const found = await seen.queryKey({ direction: "max", levels: ["extent"], dkey: "d", akey: AKEY });
    return found?.extent === undefined ? 0 : found.extent.index + found.extent.count;
  }
}

/** With every choice of one shard away, and once with as many as the class may lose. */
async function withLosses(rig: ScenarioRig, written: Written, run: () => Promise<void>): Promise<void> {
  await rig.timers.advance(500);
  const { targets } = rig.groupOf(written.object, "d");
  const { toleratedFailures } = objectClassOf(written.object.id).redundancy;
  const choices = [...targets.map((target) => [target]), targets.slice(0, toleratedFailures)];
  for (const gone of choices) {
    for (const target of gone) rig.stop(target);
    await run();
    for (const target of gone) await rig.restart(target);
  }
}

async function runsOf(object: ObjectHandle): Promise<[number, number][]> {
  const runs: [number, number][] = [];
  for await (const { index, count } of object.listExtents("d", AKEY)) {
    const last = runs.at(-1);
    if (last !== undefined && last[0] + last[1] === index) last[1] += count;
    else runs.push([index, count]);
  }
  return runs;
}

/** What the leader of the dkey keeps beside parity: bytes of replicas. */
async function replicaBytes(rig: ScenarioRig, { object }: Written): Promise<number> {
  const { leader } = rig.groupOf(object, "d");
  const place = { oid: object.id, dkey: "d" as never, akey: AKEY as never };
  const page = await rig.nodes[leader]!.life!.objects.listExtents(1, {
    ...place,
    from: 0,
    limit: 1024,
    epoch: 0 as never,
  });
  return page.extents.filter(({ index }) => index < 2 ** 52).reduce((sum, { count }) => sum + count, 0);
}

test("ec dkey, akey and rec list and punch", async () => {
  await forEachClass(CODED, async (rig, className) => {
    const written = new Written(rig, className);
    const { object } = written;
    await written.write(0, 3, 1);
    for (const dkey of ["d", "e", "f"]) {
      for (const akey of ["a", "b"]) await object.update(dkey, akey, pattern(6_000));
    }
    const list = async (): Promise<unknown[]> => [
      await texts(object.listDkeys()),
      await texts(object.listAkeys("d")),
      await runsOf(object),
    ];
    const { stripeBytes } = written;
    expect(await list()).toEqual([["d", "e", "f"], ["a", AKEY, "b"], [[0, 3 * stripeBytes]]]);
    await written.punch(0.5, 2);
    await object.punchAkey("d", "a");
    await object.punchDkey("e");
    const runs = [
      [0, stripeBytes / 2],
      [2 * stripeBytes, stripeBytes],
    ];
    expect(await list()).toEqual([["d", "f"], [AKEY, "b"], runs]);
    await withLosses(rig, written, async () => {
      expect(await list()).toEqual([["d", "f"], [AKEY, "b"], runs]);
      await written.expectBytes();
    });
  });
}, 30_000);

test("ec partial, cross cell, full and partial, and partial and full updates, then aggregation", async () => {
  await forEachClass(CODED, async (rig, className) => {
    const shapes: Record<string, (written: Written) => Promise<void>> = {
      partial: async (written) => {
        await written.write(0.1, 0.2, 1);
        await written.write(2.3, 2.35, 2);
      },
      "cross cell": async (written) => {
        await written.write(0.4, 0.7, 3);
        await written.write(0.9, 1.2, 4);
      },
      "full and partial": async (written) => {
        await written.write(0, 3, 5);
        await written.write(0.3, 0.6, 6);
        await written.write(1.9, 2.1, 7);
      },
      "partial and full": async (written) => {
        await written.write(0.3, 0.6, 8);
        await written.write(1.5, 2.5, 9);
        await written.write(0, 2, 10);
      },
    };
    for (const write of Object.values(shapes)) {
      const written = new Written(rig, className);
      await write(written);
      await written.expectBytes();
      await withLosses(rig, written, () => written.expectBytes());
      await rig.aggregate();
      await written.expectBytes();
      await withLosses(rig, written, () => written.expectBytes());
    }
  });
}, 60_000);

test("ec aggregation folds what is written whole, also when nothing is written after it", async () => {
  await forEachClass(CODED, async (rig, className) => {
    const written = new Written(rig, className);
    await written.write(0, 2, 1);
    for (const at of [0.1, 0.6, 1.2]) await written.write(at, at + 0.05, 2);
    expect(await replicaBytes(rig, written)).toBeGreaterThan(0);
    // Nobody asks for anything meanwhile.
    await rig.timers.advance(5_000);
    expect(await replicaBytes(rig, written)).toBe(0);
    await withLosses(rig, written, () => written.expectBytes());
  });
}, 30_000);

test("ec file size on parity and not on parity", async () => {
  await forEachClass(CODED, async (rig, className) => {
    for (const [from, to] of [
      [0, 2],
      [0, 2.3],
      [1.1, 1.15],
    ] as const) {
      const written = new Written(rig, className);
      await written.write(from, to, 1);
      const size = Math.round(to * written.stripeBytes);
      expect(await written.size()).toBe(size);
      await withLosses(rig, written, async () => expect(await written.size()).toBe(size));
    }
  });
}, 30_000);

test("ec aggregation failed, and its peer's update failed: reads are right, and it is done when the peer is back", async () => {
  await forEachClass(CODED, async (rig, className) => {
    const written = new Written(rig, className);
    const { targets, leader } = rig.groupOf(written.object, "d");
    const peer = targets.find((target) => target !== leader)!;
    await written.write(0, 2, 1);
    await written.write(0.2, 1.3, 2);
    await rig.timers.advance(300);
    rig.stop(peer);
    await rig.timers.advance(5_000);
    await written.expectBytes();
    await rig.restart(peer);
    await rig.timers.advance(5_000);
    expect(await replicaBytes(rig, written)).toBe(0);
    await withLosses(rig, written, () => written.expectBytes());
  });
}, 30_000);

test("ec single-value array mixed I/O, several of each, overwritten and of other sizes", async () => {
  await forEachClass(CODED, async (rig, className) => {
    const written = new Written(rig, className);
    const { object } = written;
    const sizes = [10, 4_096, 4_097, 20_000, 0, 3_000, 50_000];
    for (let round = 0; round < sizes.length; round += 1) {
      for (let number = 0; number < 3; number += 1) {
        await object.update("d", `value ${number}`, pattern(sizes[(round + number) % sizes.length]!, round + number));
      }
      await written.write(round / 4, round / 4 + 0.9, round);
    }
    const check = async (): Promise<void> => {
      await written.expectBytes();
      for (let number = 0; number < 3; number += 1) {
        const last = sizes.length - 1 + number;
        const found = await object.fetch("d", `value ${number}`);
        expect(Buffer.from(found!.value).equals(pattern(sizes[last % sizes.length]!, last))).toBe(true);
      }
    };
    await check();
    await withLosses(rig, written, check);
    await rig.aggregate();
    await withLosses(rig, written, check);
  });
}, 30_000);

test("ec full stripe, partial stripe and cross boundary snapshots", async () => {
  await forEachClass(CODED, async (rig, className) => {
    for (const [from, to] of [
      [0, 2],
      [0.2, 0.4],
      [0.8, 1.7],
    ] as const) {
      const written = new Written(rig, className);
      const past: { seen: ObjectHandle; bytes: Buffer; size: number }[] = [];
      for (let round = 0; round < 3; round += 1) {
        await written.write(from + round / 8, to + round / 8, round);
        const epoch = await rig.snapshot();
        const seen = rig.seen(written.object, rig.session, epoch);
        past.push({ seen, bytes: Buffer.from(written.bytes), size: await written.size() });
      }
      await written.punch(0, 4);
      const check = async (): Promise<void> => {
        for (const { seen, bytes, size } of past) {
          await written.expectBytes(seen, bytes);
          expect(await written.size(seen)).toBe(size);
        }
        await written.expectBytes();
      };
      await check();
      await rig.aggregate();
      await check();
      await withLosses(rig, written, check);
    }
  });
}, 60_000);

test("a fetch of a snapshot below the boundary of aggregation shows what was there then", async () => {
  await forEachClass(CODED, async (rig, className) => {
    const written = new Written(rig, className);
    await written.write(0, 2, 1);
    await written.write(0.3, 0.4, 2);
    const epoch = await rig.snapshot();
    const [before, seen] = [Buffer.from(written.bytes), rig.seen(written.object, rig.session, epoch)];
    for (let round = 3; round < 8; round += 1) {
      await written.write(0, 2, round);
      await written.write(round / 8, round / 8 + 0.2, round + 10);
      await rig.aggregate();
    }
    await written.expectBytes(seen, before);
    await withLosses(rig, written, async () => {
      await written.expectBytes(seen, before);
      await written.expectBytes();
    });
  });
}, 30_000);

test("ec punch and check_size, also of parts of stripes and over parity", async () => {
  await forEachClass(CODED, async (rig, className) => {
    const written = new Written(rig, className);
    const { stripeBytes } = written;
    await written.write(0, 3.5, 1);
    for (const end of [3.2, 3, 2.6, 1, 0.3]) {
      await written.punch(end, 4);
      expect(await written.size()).toBe(Math.round(end * stripeBytes));
      await written.expectBytes();
    }
    await rig.aggregate();
    await withLosses(rig, written, async () => expect(await written.size()).toBe(Math.round(0.3 * stripeBytes)));
    await written.punch(0, 4);
    expect(await written.size()).toBe(0);
    expect(await texts(written.object.listDkeys())).toEqual([]);
  });
}, 30_000);

test("ec full and partial punch, then aggregation", async () => {
  await forEachClass(CODED, async (rig, className) => {
    const written = new Written(rig, className);
    await written.write(0, 4, 1);
    await written.punch(1, 2);
    await written.punch(2.2, 2.4);
    await rig.aggregate();
    const { stripeBytes } = written;
    const runs = [
      [0, stripeBytes],
      [2 * stripeBytes, Math.round(2.2 * stripeBytes) - 2 * stripeBytes],
      [Math.round(2.4 * stripeBytes), 4 * stripeBytes - Math.round(2.4 * stripeBytes)],
    ] as [number, number][];
    const check = async (): Promise<void> => {
      await written.expectBytes();
      expect(await runsOf(written.object)).toEqual(runs);
    };
    await check();
    await withLosses(rig, written, check);
  });
}, 30_000);

test("ec few partial stripe updates, and the list of records from parity", async () => {
  await forEachClass(CODED, async (rig, className) => {
    const written = new Written(rig, className);
    for (let part = 0; part < 10; part += 1) await written.write(part / 5, part / 5 + 0.1, part);
    const runs = await runsOf(written.object);
    expect(runs.length).toBe(10);
    await withLosses(rig, written, async () => {
      expect(await runsOf(written.object)).toEqual(runs);
      await written.expectBytes();
    });
  });
}, 30_000);

test("ec conditional fetch, whole and with a shard away", async () => {
  await forEachClass(CODED, async (rig, className) => {
    const written = new Written(rig, className);
    const { object } = written;
    await written.write(0, 1.5, 1);
    const range = { recordIndex: 0, recordCount: 100, recordBytes: 1 };
    const all = { conditions: { object: "ifExists", dkey: "ifExists", akey: "ifExists" } } as const;
    await withLosses(rig, written, async () => {
      expect(await codeOf(object.readArray("d", AKEY, range, all))).toBe("ok");
      expect(await codeOf(object.readArray("d", "none", range, all))).toBe("DOES_NOT_EXIST");
      expect(await codeOf(object.fetch("none", "none", all))).toBe("DOES_NOT_EXIST");
    });
  });
}, 30_000);

test("ec update of two akeys, then as many shards fail as may", async () => {
  await forEachClass(CODED, async (rig, className) => {
    const written = new Written(rig, className);
    const { object } = written;
    await Promise.all([
      object.writeArray("d", "one", { recordIndex: 0, recordBytes: 1 }, pattern(2 * written.stripeBytes, 1)),
      object.writeArray("d", "two", { recordIndex: 50, recordBytes: 1 }, pattern(2 * written.stripeBytes, 2)),
    ]);
    await rig.timers.advance(500);
    const { targets } = rig.groupOf(object, "d");
    const { toleratedFailures } = objectClassOf(object.id).redundancy;
    const gone = targets.slice(-toleratedFailures);
    for (const target of gone) rig.stop(target);
    const range = { recordIndex: 0, recordCount: 2 * written.stripeBytes, recordBytes: 1 };
    expect(Buffer.from(await object.readArray("d", "one", range)).equals(pattern(range.recordCount, 1))).toBe(true);
    const two = await object.readArray("d", "two", { ...range, recordIndex: 50 });
    expect(Buffer.from(two).equals(pattern(range.recordCount, 2))).toBe(true);
  });
});

test("ec dkey enumerate with a failure of a shard", async () => {
  await forEachClass(CODED, async (rig, className) => {
    const object = rig.object(className);
    const dkeys = Array.from({ length: 30 }, (_, index) => `dkey ${String(index).padStart(2, "0")}`);
    await Promise.all(dkeys.map((dkey, index) => object.update(dkey, "a", pattern(index * 400))));
    await rig.timers.advance(500);
    for (const { index } of rig.nodes) {
      rig.stop(index);
      expect(await texts(object.listDkeys())).toEqual(dkeys);
      expect(await texts(object.listDkeys({ after: dkeys[9]!, limit: 4 }))).toEqual(dkeys.slice(10, 14));
      await rig.restart(index);
    }
  });
}, 30_000);

test("ec single and double nvme I/O failed: what has rotted on as many targets as may is decoded, one more is an error", async () => {
  await forEachClass(["EC_4P2G1"], async (rig, className) => {
    const written = new Written(rig, className);
    const { object } = written;
    // Large enough that every shard keeps its part on the device.
    await object.update("d", "value", pattern(60_000));
    await rig.timers.advance(3_000);
    const { targets } = rig.groupOf(object, "d");
    for (const lost of [0, 1, 2]) {
      // All anew, for what others have is repaired. What is cached in memory is not read from the device again.
      for (const target of targets.slice(0, lost + 1)) {
        rig.nodes[target]!.machine.deviceMedium.fill(0xdb);
        rig.stop(target);
      }
      for (const target of targets.slice(0, lost + 1)) await rig.restart(target);
      const reading = object.fetch("d", "value").then((found) => Buffer.from(found!.value).equals(pattern(60_000)));
      if (lost < 2) expect(await reading).toBe(true);
      else expect(await codeOf(reading)).toBe("CORRUPT");
    }
  });
});

test("with the parity shards away a dkey is punched of which the shard that leads has nothing", async () => {
  for (const what of ["dkey", "akey", "object"] as const) {
    await forEachClass(["EC_2P1G1"], async (rig, className) => {
      const object = rig.object(className);
      const { targets } = rig.groupOf(object, "d");
      rig.stop(targets[2]!);
      rig.control.excludes = true;
      for (let waited = 0; rig.groupOf(object, "d").leader === targets[2]; waited += 100) {
        expect(waited).toBeLessThan(10_000);
        await rig.timers.advance(100);
        await object.fetch("d", AKEY).catch(() => {});
      }
      // Of the second cell: the first shard leads.
      expect(rig.groupOf(object, "d").leader).toBe(targets[0]!);
      const range = { recordIndex: CELL_BYTES, recordBytes: 1 };
      await object.writeArray("d", AKEY, range, pattern(100));
      expect(rig.groupOf(object, "d").leader).toBe(targets[0]!);
      if (what === "dkey") await object.punchDkey("d");
      else if (what === "akey") await object.punchAkey("d", AKEY);
      else await object.punch();
      const bytes = await object.readArray("d", AKEY, { ...range, recordCount: 100 });
      expect(bytes.every((byte) => byte === 0)).toBe(true);
    });
  }
});
