/** Suite `i` of daos_test, object I/O, on every kind of class. docs/scenarios.md says which scenario is where. */
import { expect, test } from "bun:test";
import { MAX_AKEY_BYTES, MAX_DKEY_BYTES } from "../../src/base/limits.ts";
import type { ObjectHandle } from "../../src/client/object-handle.ts";
import { CLASSES, codeOf, forEachClass, pattern, text, texts } from "./scenario-rig.ts";

/** Within the SCM tier, at its end, on the NVMe tier, over several windows. */
const SIZES = [0, 1, 100, 4_096, 4_097, 20_000, 70_000];
/** How often the same is written. */
const ROUNDS = 70;

/** Runs of records that hold data, adjacent ones as one. */
async function runsOf(object: ObjectHandle, dkey: string, akey: string): Promise<[index: number, count: number][]> {
  const runs: [number, number][] = [];
  for await (const { index, count } of object.listExtents(dkey, akey)) {
    const last = runs.at(-1);
    if (last !== undefined && last[0] + last[1] === index) last[1] += count;
    else runs.push([index, count]);
  }
  return runs;
}

test("simple update/fetch/verify, of every size, on every class", async () => {
  await forEachClass(CLASSES, async (rig, className) => {
    const object = rig.object(className);
    for (const size of SIZES) await object.update(`d${size}`, "a", pattern(size, size));
    for (const size of SIZES) {
      const found = await object.fetch(`d${size}`, "a");
      expect(Buffer.compare(found!.value, pattern(size, size))).toBe(0);
    }
    // Another client sees it too.
    expect((await rig.seen(object, rig.client()).fetch("d100", "a"))!.value.length).toBe(100);
  });
});

test("simple update/fetch/verify with many under way at once", async () => {
  await forEachClass(CLASSES, async (rig, className) => {
    const object = rig.object(className);
    const numbers = Array.from({ length: 60 }, (_, index) => index);
    const epochs = await Promise.all(
      numbers.map((index) => object.update(`d${index % 7}`, `a${index}`, pattern(index * 40, index))),
    );
    expect(new Set(epochs.map((epoch, index) => `${index % 7} ${epoch}`)).size).toBe(60);
    const found = await Promise.all(numbers.map((index) => object.fetch(`d${index % 7}`, `a${index}`)));
    for (const [index, value] of found.entries()) {
      expect(Buffer.compare(value!.value, pattern(index * 40, index))).toBe(0);
    }
  });
});

test("i/o with variable rec size, dkey size and akey size, up to the limits and not over", async () => {
  await forEachClass(CLASSES, async (rig, className) => {
    const object = rig.object(className);
    for (const recordBytes of [1, 3, 64, 1_000, 4_096, 8_191]) {
      const bytes = pattern(recordBytes * 3, recordBytes);
      await object.writeArray("d", `r${recordBytes}`, { recordIndex: 2, recordBytes }, bytes);
      const range = { recordIndex: 2, recordCount: 3, recordBytes };
      expect(Buffer.from(await object.readArray("d", `r${recordBytes}`, range)).equals(bytes)).toBe(true);
    }
    for (const length of [0, 1, 31, 200, MAX_AKEY_BYTES]) {
      await object.update("k".repeat(length), "j".repeat(length), pattern(5, length));
      const found = await object.fetch("k".repeat(length), "j".repeat(length));
      expect(Buffer.from(found!.value)).toEqual(pattern(5, length));
    }
    await object.update("k".repeat(MAX_DKEY_BYTES), "a", pattern(5));
    expect((await object.fetch("k".repeat(MAX_DKEY_BYTES), "a"))!.value.length).toBe(5);
    expect(await codeOf(object.update("k".repeat(MAX_DKEY_BYTES + 1), "a", pattern(5)))).toBe("TOO_LARGE");
    expect(await codeOf(object.update("d", "j".repeat(MAX_AKEY_BYTES + 1), pattern(5)))).toBe("TOO_LARGE");
  });
});

test("i/o with variable index", async () => {
  await forEachClass(CLASSES, async (rig, className) => {
    const object = rig.object(className);
    const indices = [0, 1, 4_095, 65_537, 10_000_019, 2 ** 40 + 5];
    for (const [place, recordIndex] of indices.entries()) {
      await object.writeArray("d", "r", { recordIndex, recordBytes: 8 }, pattern(8, place));
    }
    for (const [place, recordIndex] of indices.entries()) {
      const range = { recordIndex, recordCount: 1, recordBytes: 8 };
      expect(Buffer.from(await object.readArray("d", "r", range))).toEqual(pattern(8, place));
    }
    const last = await object.queryKey({ direction: "max", levels: ["extent"], dkey: "d", akey: "r" });
    expect(last!.extent!.index + last!.extent!.count).toBe(2 ** 40 + 6);
  });
});

test("variable size record overwrite: the last one counts, whatever the sizes before", async () => {
  await forEachClass(CLASSES, async (rig, className) => {
    const object = rig.object(className);
    for (const [round, size] of [100, 20_000, 7, 4_097, 0, 4_096, 70_000, 1].entries()) {
      await object.update("d", "a", pattern(size, round));
      expect(Buffer.compare((await object.fetch("d", "a"))!.value, pattern(size, round))).toBe(0);
    }
  });
});

test("simple enumerate: dkeys, akeys and records, each once, in order, page by page", async () => {
  await forEachClass(CLASSES, async (rig, className) => {
    const object = rig.object(className);
    const dkeys = Array.from({ length: 30 }, (_, index) => `dkey ${String(index).padStart(2, "0")}`);
    await Promise.all(dkeys.map((dkey) => object.update(dkey, "a", pattern(3))));
    const akeys = Array.from({ length: 20 }, (_, index) => `akey ${String(index).padStart(2, "0")}`);
    await Promise.all(akeys.map((akey) => object.update("dkey 05", akey, pattern(5_000))));
    for (const index of [0, 10, 20]) {
      await object.writeArray("dkey 07", "r", { recordIndex: index, recordBytes: 2_000 }, pattern(6_000));
    }
    expect(await texts(object.listDkeys())).toEqual(dkeys);
    expect(await texts(object.listDkeys({ prefix: "dkey 1", limit: 3 }))).toEqual(dkeys.slice(10, 13));
    expect(await texts(object.listDkeys({ after: "dkey 27" }))).toEqual(dkeys.slice(28));
    expect(await texts(object.listAkeys("dkey 05"))).toEqual(["a", ...akeys]);
    expect(await texts(object.listAkeys("none"))).toEqual([]);
    expect(await runsOf(object, "dkey 07", "r")).toEqual([
      [0, 3],
      [10, 3],
      [20, 3],
    ]);
  });
});

test("simple punch, punch then lookup, and the record count after punch and enumeration", async () => {
  await forEachClass(CLASSES, async (rig, className) => {
    const object = rig.object(className);
    await object.writeArray("d", "r", { recordIndex: 0, recordBytes: 1_000 }, pattern(40_000));
    await object.update("d", "a", pattern(10));
    await object.update("e", "a", pattern(10));
    await object.punchArray("d", "r", { recordIndex: 5, recordCount: 10, recordBytes: 1_000 });
    expect(await runsOf(object, "d", "r")).toEqual([
      [0, 5],
      [15, 25],
    ]);
    await object.punchAkey("d", "a");
    expect(await object.fetch("d", "a")).toBeUndefined();
    expect(await texts(object.listAkeys("d"))).toEqual(["r"]);
    await object.punchDkey("d");
    expect(await texts(object.listDkeys())).toEqual(["e"]);
    expect(await runsOf(object, "d", "r")).toEqual([]);
    await object.punch();
    expect(await texts(object.listDkeys())).toEqual([]);
    expect(await object.fetch("e", "a")).toBeUndefined();
    // What was punched can be written anew, as something else too.
    await object.update("d", "r", pattern(6));
    expect((await object.fetch("d", "r"))!.value.length).toBe(6);
    expect(await texts(object.listDkeys())).toEqual(["d"]);
  });
});

test("multiple record update/fetch/verify: many akeys of both kinds under one dkey, those that are and are not there", async () => {
  await forEachClass(CLASSES, async (rig, className) => {
    const object = rig.object(className);
    const numbers = Array.from({ length: 12 }, (_, index) => index);
    await Promise.all(
      numbers.map((index) =>
        index % 2 === 0
          ? object.update("d", `a${index}`, pattern(index * 700, index))
          : object.writeArray("d", `a${index}`, { recordIndex: index, recordBytes: 10 }, pattern(index * 1_000, index)),
      ),
    );
    const found = await Promise.all(
      numbers.map((index) => {
        if (index % 2 === 0) return object.fetch("d", `a${index}`).then((value) => value!.value);
        const range = { recordIndex: index, recordCount: index * 100, recordBytes: 10 };
        return object.readArray("d", `a${index}`, range);
      }),
    );
    for (const [index, bytes] of found.entries()) {
      expect(Buffer.compare(bytes, pattern(index * (index % 2 === 0 ? 700 : 1_000), index))).toBe(0);
    }
    const [there, absent] = await Promise.all([object.fetch("d", "a2"), object.fetch("d", "none")]);
    expect([there!.value.length, absent]).toEqual([1_400, undefined]);
  });
});

test("read from unwritten records, and from large unwritten ranges: zeros, and nothing is there", async () => {
  await forEachClass(CLASSES, async (rig, className) => {
    const object = rig.object(className);
    expect(await object.fetch("d", "a")).toBeUndefined();
    const range = { recordIndex: 9, recordCount: 3_000_000, recordBytes: 1 };
    expect((await object.readArray("d", "r", range)).every((byte) => byte === 0)).toBe(true);
    expect(await codeOf(object.readArray("d", "r", range, { conditions: { akey: "ifExists" } }))).toBe(
      "DOES_NOT_EXIST",
    );
    await object.writeArray("d", "r", { recordIndex: 0, recordBytes: 1 }, pattern(100));
    expect((await object.readArray("d", "r", { ...range, recordIndex: 100 })).every((byte) => byte === 0)).toBe(true);
    expect(await runsOf(object, "d", "r")).toEqual([[0, 100]]);
  });
});

test("written records repeatedly: what they take does not grow with the times they are written, and the data is right", async () => {
  await forEachClass(CLASSES, async (rig, className) => {
    const object = rig.object(className);
    // A full list: the control plane takes no more snapshots.
    rig.control.snapshots.length = 4;
    let round = 0;
    const write = async (until: number): Promise<number> => {
      for (; round < until; round += 1) {
        await object.update("d", "a", pattern(2_000, round));
        await object.writeArray("d", "r", { recordIndex: 0, recordBytes: 1 }, pattern(16_384, round));
      }
      await rig.aggregate();
      return rig.usage.bytes;
    };
    const once = await write(1);
    // Up to 16 versions of a piece lie side by side before they are merged.
    expect(await write(ROUNDS)).toBeLessThan(20 * once);
    expect(Buffer.compare((await object.fetch("d", "a"))!.value, pattern(2_000, ROUNDS - 1))).toBe(0);
    const range = { recordIndex: 0, recordCount: 16_384, recordBytes: 1 };
    expect(Buffer.from(await object.readArray("d", "r", range)).equals(pattern(16_384, ROUNDS - 1))).toBe(true);
  });
});

test("basic object key query testing: greatest and least dkey, akey and record, with what was punched left out", async () => {
  await forEachClass(CLASSES, async (rig, className) => {
    const object = rig.object(className);
    const found = async (direction: "max" | "min"): Promise<unknown[]> => {
      const keys = await object.queryKey({ direction, levels: ["dkey", "akey", "extent"] });
      if (keys === undefined) return [];
      const { dkey, akey, extent } = keys;
      const end = direction === "max" ? extent!.index + extent!.count : extent!.index;
      return [Buffer.from(dkey!).toString(), Buffer.from(akey!).toString(), end];
    };
    expect(await found("max")).toEqual([]);
    for (const dkey of ["b", "c", "d"]) {
      for (const akey of ["x", "y"]) {
        await object.writeArray(dkey, akey, { recordIndex: 50, recordBytes: 500 }, pattern(10_000));
      }
    }
    await object.update("e", "z", pattern(1));
    expect(await found("max")).toEqual(["d", "y", 70]);
    expect(await found("min")).toEqual(["b", "x", 50]);
    await object.punchArray("d", "y", { recordIndex: 60, recordCount: 10, recordBytes: 500 });
    expect(await found("max")).toEqual(["d", "y", 60]);
    await object.punchAkey("d", "y");
    expect(await found("max")).toEqual(["d", "x", 70]);
    await object.punchDkey("b");
    expect(await found("min")).toEqual(["c", "x", 50]);
  });
});

test("fetch when all replicas are unavailable: UNAVAILABLE, and the data again when one is back", async () => {
  await forEachClass(["S1", "RP_2G1", "RP_3G1"], async (rig, className) => {
    const object = rig.object(className);
    await object.update("d", "a", pattern(3_000));
    await rig.timers.advance(500);
    const { targets } = rig.groupOf(object, "d");
    for (const target of targets) rig.stop(target);
    expect(await codeOf(object.fetch("d", "a"))).toBe("UNAVAILABLE");
    await rig.restart(targets[0]!);
    // Whoever starts anew asks the others what became of what is open: nothing was.
    expect((await object.fetch("d", "a"))!.value.length).toBe(3_000);
  });
});

test("fetch from an alternative node after the first try failed", async () => {
  await forEachClass(["RP_2G1", "RP_3GX", "EC_2P1G1", "EC_4P2GX"], async (rig, className) => {
    const object = rig.object(className);
    await object.update("d", "a", pattern(30_000));
    await object.writeArray("d", "r", { recordIndex: 0, recordBytes: 1 }, pattern(40_000));
    await rig.timers.advance(500);
    for (const target of rig.groupOf(object, "d").targets) {
      rig.stop(target);
      expect(Buffer.compare((await object.fetch("d", "a"))!.value, pattern(30_000))).toBe(0);
      const range = { recordIndex: 0, recordCount: 40_000, recordBytes: 1 };
      expect(Buffer.from(await object.readArray("d", "r", range)).equals(pattern(40_000))).toBe(true);
      await rig.restart(target);
    }
  });
});

test("timeout on 1 shard: an update waits for a member that does not answer, and happens once when it does", async () => {
  await forEachClass(["RP_2G1", "RP_3GX", "EC_2P1G1", "EC_4P2GX"], async (rig, className) => {
    const object = rig.object(className);
    await object.update("d", "a", pattern(10));
    const { targets, leader } = rig.groupOf(object, "d");
    const [leading, silent] = [`n${leader}`, `n${targets.find((target) => target !== leader)!}`];
    rig.network.hold(leading, silent);
    let isAnswered = false;
    const update = object.update("d", "a", pattern(20), { condition: "ifExists" }).then((epoch) => {
      isAnswered = true;
      return epoch;
    });
    await rig.timers.advance(400);
    expect(isAnswered).toBe(false);
    rig.network.release(leading, silent);
    const epoch = await update;
    const found = await object.fetch("d", "a");
    expect([found!.value.length, found!.epoch]).toEqual([20, epoch]);
  });
});

test("enumeration of records with aggregation: the same before and after", async () => {
  await forEachClass(CLASSES, async (rig, className) => {
    const object = rig.object(className);
    for (let round = 0; round < 12; round += 1) {
      const recordIndex = (round * 7) % 40;
      await object.writeArray("d", "r", { recordIndex, recordBytes: 700 }, pattern(2_100, round));
    }
    await object.punchArray("d", "r", { recordIndex: 10, recordCount: 4, recordBytes: 700 });
    const before = await runsOf(object, "d", "r");
    expect(before.length).toBeGreaterThan(2);
    await rig.aggregate();
    expect(await runsOf(object, "d", "r")).toEqual(before);
  });
});

test("collective punch and query of an object that lies on all targets", async () => {
  await forEachClass(["SX", "RP_2GX", "EC_2P1G2", "EC_4P1GX"], async (rig, className) => {
    const object = rig.object(className);
    const dkeys = Array.from({ length: 40 }, (_, index) => `dkey ${String(index).padStart(2, "0")}`);
    await Promise.all(
      dkeys.map((dkey, index) => object.writeArray(dkey, "r", { recordIndex: index, recordBytes: 100 }, pattern(500))),
    );
    const query = async (direction: "max" | "min"): Promise<unknown> => {
      const found = await object.queryKey({ direction, levels: ["dkey", "extent"], akey: "r" });
      return found && Buffer.from(found.dkey!).toString();
    };
    expect([await query("min"), await query("max")]).toEqual(["dkey 00", "dkey 39"]);
    const epoch = await rig.snapshot();
    await object.punch();
    expect([await query("min"), await query("max")]).toEqual([undefined, undefined]);
    expect(await texts(object.listDkeys())).toEqual([]);
    for (const dkey of dkeys) expect(await texts(object.listAkeys(dkey))).toEqual([]);
    expect(await texts(rig.seen(object, rig.session, epoch).listDkeys())).toEqual(dkeys);
  });
});

test("collective object query with target 0 excluded, and with one in the middle", async () => {
  for (const excluded of [0, 3]) {
    await forEachClass(["RP_2GX", "RP_3GX", "EC_2P1GX", "EC_4P1GX"], async (rig, className) => {
      const object = rig.object(className);
      const dkeys = Array.from({ length: 30 }, (_, index) => `dkey ${String(index).padStart(2, "0")}`);
      await Promise.all(dkeys.map((dkey) => object.update(dkey, "a", pattern(100))));
      await rig.timers.advance(500);
      rig.stop(excluded);
      await rig.exclude();
      expect(rig.control.isExcluded(excluded)).toBe(true);
      const query = async (direction: "min" | "max"): Promise<string> => {
        const found = await object.queryKey({ direction, levels: ["dkey"] });
        return Buffer.from(found!.dkey!).toString();
      };
      expect([await query("min"), await query("max")]).toEqual(["dkey 00", "dkey 29"]);
      expect(await texts(object.listDkeys())).toEqual(dkeys);
      await object.update("dkey 99", "a", pattern(1));
      expect(await query("max")).toBe("dkey 99");
    });
  }
});

test("opening an object asks nobody", async () => {
  let calls = 0;
  await forEachClass(["S1"], async (rig) => {
    const session = rig.client((link) => ({
      get isClosed() {
        return link.isClosed;
      },
      call: (...call) => ((calls += 1), link.call(...call)),
      start: (...call) => ((calls += 1), link.start(...call)),
      abandon: (completion) => link.abandon(completion),
      close: () => link.close(),
    }));
    const known = rig.object("S1");
    for (let count = 0; count < 1_000; count += 1) rig.seen(known, session);
    expect(calls).toBe(0);
    expect(text(await rig.seen(known, session).fetch("d", "a"))).toBeUndefined();
    expect(calls).toBeGreaterThan(0);
  });
});
