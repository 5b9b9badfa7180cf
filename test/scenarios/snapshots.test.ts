/** Suite `e` (epochs and snapshots) of daos_test, on every kind of class. See docs/scenarios.md. */
import { expect, test } from "bun:test";
import type { Epoch } from "../../src/base/epoch.ts";
import { CLASSES, codeOf, forEachClass, pattern, text, texts } from "./scenario-rig.ts";

const KEYS = 10;

test("epoch aggregate: what is overwritten and punched goes, and the latest state stays", async () => {
  await forEachClass(CLASSES, async (rig, className) => {
    const object = rig.object(className);
    // A full list: the control plane takes no snapshots.
    rig.control.snapshots.length = 4;
    for (let round = 0; round < 12; round += 1) {
      for (let key = 0; key < KEYS; key += 1) await object.update(`d${key}`, "a", pattern(1_000, round + key));
    }
    const old = await object.update("d0", "a", pattern(1_000));
    await object.update("d0", "a", pattern(1_000, 5));
    for (let key = 5; key < KEYS; key += 1) await object.punchDkey(`d${key}`);
    await rig.timers.advance(500);
    const before = rig.usage.versions;
    await rig.aggregate();
    expect(rig.usage.versions).toBeLessThan(before / 3);
    expect(await texts(object.listDkeys())).toEqual(["d0", "d1", "d2", "d3", "d4"]);
    expect(Buffer.from((await object.fetch("d0", "a"))!.value).equals(pattern(1_000, 5))).toBe(true);
    expect(await codeOf(object.fetch("d0", "a", { epoch: old }))).toBe("EPOCH_AGGREGATED");
  });
});

test("epoch aggregate with overlap: array pieces that lie over each other, as many at once as there are", async () => {
  await forEachClass(CLASSES, async (rig, className) => {
    const object = rig.object(className);
    rig.control.snapshots.length = 4;
    const expected = Buffer.alloc(20_000);
    for (let round = 0; round < 30; round += 1) {
      const start = (round * 1_700) % 15_000;
      const bytes = pattern(500 + ((round * 331) % 4_500), round);
      expected.set(bytes, start);
      await object.writeArray("d", "r", { recordIndex: start, recordBytes: 1 }, bytes);
    }
    const check = async (): Promise<void> => {
      const range = { recordIndex: 0, recordCount: 20_000, recordBytes: 1 };
      expect(Buffer.from(await object.readArray("d", "r", range)).equals(expected)).toBe(true);
    };
    await check();
    await Promise.all([rig.aggregate(), check(), check()]);
    await check();
  });
});

test("snapshots: each shows what was there when it was made, until it is destroyed, whatever is done later", async () => {
  await forEachClass(CLASSES, async (rig, className) => {
    const object = rig.object(className);
    const snapshots: { epoch: Epoch; round: number }[] = [];
    for (let round = 0; round < 4; round += 1) {
      for (let key = 0; key < KEYS; key += 1) await object.update(`d${key}`, "a", Buffer.from(`${round}`));
      await object.update(`only ${round}`, "a", Buffer.from(`${round}`));
      if (round > 0) await object.punchDkey(`only ${round - 1}`);
      snapshots.push({ epoch: await rig.snapshot(), round });
    }
    await object.punch();
    await rig.aggregate();
    for (const { epoch, round } of snapshots) {
      const seen = rig.seen(object, rig.session, epoch);
      for (let key = 0; key < KEYS; key += 1) expect(text(await seen.fetch(`d${key}`, "a"))).toBe(`${round}`);
      expect(await texts(seen.listDkeys({ prefix: "only" }))).toEqual([`only ${round}`]);
    }
    expect(await texts(object.listDkeys())).toEqual([]);
    const [first] = snapshots;
    await Promise.all(rig.nodes.map(({ life }) => life!.objects.destroySnapshot(1, first!.epoch)));
    await object.update("d0", "a", Buffer.from("new"));
    await rig.aggregate();
    const gone = rig.seen(object, rig.session, first!.epoch);
    // Another snapshot keeps what this one has shown as well; what it cannot be sure of it does not show.
    expect(["EPOCH_AGGREGATED", "ok"]).toContain(await codeOf(gone.fetch("d0", "a")));
    for (const { epoch, round } of snapshots.slice(1)) {
      expect(text(await rig.seen(object, rig.session, epoch).fetch("d3", "a"))).toBe(`${round}`);
    }
  });
}, 30_000);

test("snapshots with writes under way: of each write a snapshot shows all or nothing, at every read the same", async () => {
  await forEachClass(CLASSES, async (rig, className) => {
    const object = rig.object(className);
    let isOver = false;
    const writers = Array.from({ length: 3 }, async (_, writer) => {
      for (let round = 1; !isOver; round += 1) {
        await object.writeArray(`d${writer}`, "r", { recordIndex: 0, recordBytes: 1 }, Buffer.alloc(9_000, round));
        await rig.timers.advance(1);
      }
    });
    const epochs: Epoch[] = [];
    for (let count = 0; count < 4; count += 1) {
      await rig.timers.advance(40);
      epochs.push(await rig.snapshot());
    }
    isOver = true;
    await Promise.all(writers);
    const showing = async (epoch: Epoch): Promise<number[]> => {
      const seen = rig.seen(object, rig.session, epoch);
      const range = { recordIndex: 0, recordCount: 9_000, recordBytes: 1 };
      const shown = await Promise.all([0, 1, 2].map((writer) => seen.readArray(`d${writer}`, "r", range)));
      for (const bytes of shown) expect(new Set(bytes).size).toBe(1);
      return shown.map((bytes) => bytes[0]!);
    };
    const before: number[][] = [];
    for (const epoch of epochs) before.push(await showing(epoch));
    await rig.aggregate();
    for (const [index, epoch] of epochs.entries()) expect(await showing(epoch)).toEqual(before[index]!);
    for (const writer of [0, 1, 2]) {
      const numbers = before.map((shown) => shown[writer]!);
      expect(numbers).toEqual(numbers.toSorted((left, right) => left - right));
    }
  });
}, 30_000);
