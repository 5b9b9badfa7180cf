import { describe, expect, test } from "bun:test";
import { DaosError } from "../../src/base/errors.ts";
import { GIB, MAX_POOLS, MAX_USER_ATTRIBUTES, MIB } from "../../src/base/limits.ts";
import { poolKey } from "../../src/format/meta-key.ts";
import { encodeMetaRecord } from "../../src/format/meta-record.ts";
import { codeOf, emptyDurable, expectConsistent, failureOf, start } from "./harness.ts";

/** What pools do by themselves, unless told otherwise. */
const HEALING = { self_heal: "exclude;rebuild;reintegrate", rebuild: "running", rebuild_share: 25 };

describe("pool create", () => {
  test("describes the new pool, and query finds it by label and id", async () => {
    const { plane } = await start();
    const created = await plane.pools.create({
      label: "tank",
      sizeBytes: 1 * GIB,
      properties: { "user.owner": "ann" },
    });
    expect(created).toEqual({
      id: created.id,
      label: "tank",
      state: "ready",
      sizeBytes: 1 * GIB,
      usedBytes: 0,
      scmUsedBytes: 0,
      nvmeUsedBytes: 0,
      scm: { totalBytes: 1 * GIB, usedBytes: 10, freeBytes: 1 * GIB - 10 },
      log: { totalBytes: 100, usedBytes: 5, freeBytes: 95 },
      nvme: { totalBytes: 9 * GIB, usedBytes: 20, freeBytes: 9 * GIB - 20 },
      containers: 0,
      targets: 1,
      rebuild: {
        state: "idle",
        dkeys: 0,
        bytes: 0,
        targetsDone: 0,
        targets: 0,
        dkeysPerSecond: 0,
        bytesPerSecond: 0,
      },
      health: { state: "whole", gone: [], tolerable: 0, reason: "" },
      // The engine of these tests has 10 bytes.
      capacity: [{ class: "SX", usableBytes: 10, survives: 0 }],
      createdAt: "2026-01-02T03:04:05.000Z",
      properties: {
        label: "tank",
        size: 1 * GIB,
        rd_fac: 0,
        ec_cell_sz: 131_072,
        data_threshold: 4096,
        scrub: "timed",
        scrub_freq: 604_800,
        scrub_rate: 16_777_216,
        ...HEALING,
        "user.owner": "ann",
      },
    });
    expect(await plane.pools.query({ pool: "tank" })).toEqual(created);
    expect(await plane.pools.query({ pool: created.id.toUpperCase() })).toEqual(created);
  });

  test("refuses labels that are none", async () => {
    const { plane } = await start();
    const uuid = "11111111-2222-4333-8444-555555555555";
    for (const label of ["", "a b", "a/b", "ä", "x".repeat(128), uuid, uuid.toUpperCase(), "a\n"]) {
      expect(await codeOf(plane.pools.create({ label, sizeBytes: GIB }))).toBe("INVALID_ARGUMENT");
    }
    await plane.pools.create({ label: "x".repeat(127), sizeBytes: 16 * MIB });
    await plane.pools.create({ label: "A:b._-9", sizeBytes: 16 * MIB });
  });

  test("refuses a label that is taken", async () => {
    const { plane } = await start();
    await plane.pools.create({ label: "tank", sizeBytes: GIB });
    expect(await codeOf(plane.pools.create({ label: "tank", sizeBytes: GIB }))).toBe("ALREADY_EXISTS");
    await plane.pools.create({ label: "Tank", sizeBytes: GIB });
  });

  test("refuses sizes below 16 MiB and above what is free, and says what is free", async () => {
    const { plane } = await start();
    expect(await codeOf(plane.pools.create({ label: "a", sizeBytes: 16 * MIB - 1 }))).toBe("INVALID_ARGUMENT");
    await plane.pools.create({ label: "a", sizeBytes: 8 * GIB });
    const refused = await failureOf(plane.pools.create({ label: "b", sizeBytes: 2 * GIB + 1 }));
    expect(refused.code).toBe("NO_SPACE");
    expect(refused.message).toContain("2 GiB (2147483648 bytes)");
    await plane.pools.create({ label: "b", sizeBytes: 2 * GIB });
    await plane.pools.destroy({ pool: "a", force: false });
    await plane.pools.create({ label: "c", sizeBytes: 8 * GIB });
  });

  test("refuses unknown, fixed and unsupported properties", async () => {
    const { plane } = await start();
    const create = (properties: Record<string, string | number | boolean>): Promise<unknown> =>
      plane.pools.create({ label: "tank", sizeBytes: GIB, properties });
    expect((await failureOf(create({ rd_fak: 0 }))).message).toContain('Did you mean "rd_fac"?');
    expect(await codeOf(create({ rd_fak: 0 }))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(create({ rd_fac: 5 }))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(create({ label: "other" }))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(create({ "user.": "x" }))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(create({ "user.x": "y".repeat(1025) }))).toBe("INVALID_ARGUMENT");
    const many = Object.fromEntries(
      Array.from({ length: MAX_USER_ATTRIBUTES + 1 }, (_, index) => [`user.a${index}`, "x"]),
    );
    expect(await codeOf(create(many))).toBe("INVALID_ARGUMENT");
    expect((await plane.pools.list({})).pools).toEqual([]);
  });

  test("refuses more pools than there may be", async () => {
    const { plane, store, targets } = await start();
    targets.totals = { scmTotalBytes: 1e15, nvmeTotalBytes: 0 };
    const { id } = await plane.pools.create({ label: "tank", sizeBytes: 16 * MIB });
    for (let index = 1; index < MAX_POOLS; index += 1) {
      const other = id.slice(0, -4) + index.toString(16).padStart(4, "0");
      const value = store.state.entries.get(poolKey(id))!.value;
      const record = JSON.parse(Buffer.from(value).toString().slice(16)) as Parameters<
        typeof encodeMetaRecord<"pool">
      >[1];
      store.state.entries.set(poolKey(other), {
        value: encodeMetaRecord("pool", { ...record, id: other }),
        revision: 1,
      });
    }
    expect(await codeOf(plane.pools.create({ label: "more", sizeBytes: 16 * MIB }))).toBe("TOO_LARGE");
  });
});

describe("pool list and query", () => {
  test("list is in the order of labels, with what containers take", async () => {
    const { plane, targets } = await start();
    for (const label of ["b", "a", "c"]) await plane.pools.create({ label, sizeBytes: GIB });
    await plane.containers.create({ pool: "b", label: "one", type: "kv" });
    await plane.containers.create({ pool: "b", label: "two", type: "kv" });
    targets.state.containers.get(1)!.usage = { scmBytes: 5, nvmeBytes: 100 };
    targets.state.containers.get(2)!.usage = { scmBytes: 1, nvmeBytes: 0 };
    const { pools, anchor } = await plane.pools.list({});
    expect(pools.map(({ label }) => label)).toEqual(["a", "b", "c"]);
    expect(anchor).toBeUndefined();
    const b = pools[1]!;
    expect([b.containers, b.scmUsedBytes, b.nvmeUsedBytes, b.usedBytes]).toEqual([2, 6, 100, 106]);
  });

  test("list comes in pages that end", async () => {
    const { plane } = await start();
    for (const label of ["a", "b", "c", "d", "e"]) await plane.pools.create({ label, sizeBytes: GIB });
    const seen: string[] = [];
    let after: string | undefined;
    let pages = 0;
    do {
      const page = await plane.pools.list(after === undefined ? { limit: 2 } : { limit: 2, after });
      seen.push(...page.pools.map(({ label }) => label));
      after = page.anchor;
      pages += 1;
    } while (after !== undefined);
    expect(seen).toEqual(["a", "b", "c", "d", "e"]);
    expect(pages).toBe(3);
  });

  test("an unknown pool is NOT_FOUND, with a suggestion", async () => {
    const { plane } = await start();
    await plane.pools.create({ label: "tank", sizeBytes: GIB });
    const error = await failureOf(plane.pools.query({ pool: "tnak" }));
    expect(error.code).toBe("NOT_FOUND");
    expect(error.message).toContain('Did you mean "tank"?');
    expect(await codeOf(plane.pools.query({ pool: "11111111-2222-4333-8444-555555555555" }))).toBe("NOT_FOUND");
    expect(await codeOf(plane.pools.query({ pool: "" }))).toBe("NOT_FOUND");
    expect((await failureOf(plane.pools.query({ pool: "y".repeat(255) }))).message.length).toBeLessThan(300);
  });
});

describe("pool destroy", () => {
  test("refuses a pool with containers unless forced", async () => {
    const durable = emptyDurable();
    const { plane, targets } = await start(durable);
    await plane.pools.create({ label: "tank", sizeBytes: GIB });
    await plane.containers.create({ pool: "tank", label: "box", type: "kv" });
    await plane.snapshots.create({ pool: "tank", container: "box", name: "s" });
    expect(await codeOf(plane.pools.destroy({ pool: "tank", force: false }))).toBe("BUSY");
    await plane.pools.destroy({ pool: "tank", force: true });
    expect((await plane.pools.list({})).pools).toEqual([]);
    expect(targets.state.containers.size).toBe(0);
    expect(targets.quotas.size).toBe(0);
    expectConsistent(durable, targets);
    expect([...durable.meta.entries.keys()].sort()).toEqual([
      "counter/container",
      "counter/pool",
      "member/0",
      "system",
    ]);
    expect(await codeOf(plane.pools.destroy({ pool: "tank", force: true }))).toBe("NOT_FOUND");
  });

  test("a destruction that failed midway is shown, blocks use, and can be repeated", async () => {
    const { plane, targets } = await start();
    await plane.pools.create({ label: "tank", sizeBytes: GIB });
    await plane.containers.create({ pool: "tank", label: "box", type: "kv" });
    targets.failures.set("destroyContainer", new DaosError("IO", "Cannot write: broken."));
    expect(await codeOf(plane.pools.destroy({ pool: "tank", force: true }))).toBe("IO");
    expect((await plane.pools.query({ pool: "tank" })).state).toBe("destroying");
    const box = { pool: "tank", container: "box" };
    expect(await codeOf(plane.containers.create({ pool: "tank", label: "b2", type: "kv" }))).toBe("BUSY");
    expect(await codeOf(plane.containers.open({ ...box, readOnly: true }))).toBe("BUSY");
    expect(await codeOf(plane.snapshots.create({ ...box, name: "s" }))).toBe("BUSY");
    expect(await codeOf(plane.pools.setProperties({ pool: "tank", properties: { size: GIB } }))).toBe("BUSY");
    expect(await codeOf(plane.pools.create({ label: "tank", sizeBytes: GIB }))).toBe("ALREADY_EXISTS");
    targets.failures.clear();
    await plane.pools.destroy({ pool: "tank", force: false });
    expect((await plane.pools.list({})).pools).toEqual([]);
  });
});

describe("pool properties", () => {
  test("set label, size and user attributes; get tells all", async () => {
    const { plane, targets } = await start();
    const { id } = await plane.pools.create({ label: "tank", sizeBytes: GIB });
    await plane.containers.create({ pool: "tank", label: "box", type: "kv" });
    const properties = { label: "tonk", size: "2GiB", "user.team": "blue" };
    const reply = await plane.pools.setProperties({ pool: "tank", properties });
    expect(reply.properties).toEqual({
      label: "tonk",
      size: 2 * GIB,
      rd_fac: 0,
      ec_cell_sz: 131_072,
      data_threshold: 4096,
      scrub: "timed",
      scrub_freq: 604_800,
      scrub_rate: 16_777_216,
      ...HEALING,
      "user.team": "blue",
    });
    expect(targets.quotas.get(id)).toEqual({ sizeBytes: 2 * GIB, containers: [1] });
    expect(await codeOf(plane.pools.query({ pool: "tank" }))).toBe("NOT_FOUND");
    await plane.pools.setProperties({ pool: "tonk", properties: { "user.team": "" } });
    expect((await plane.pools.getProperties({ pool: "tonk" })).properties["user.team"]).toBeUndefined();
    await plane.pools.setProperties({ pool: "tonk", properties: { label: "tonk" } });
  });

  test("data_threshold is checked, told to the targets with the quota, and may be automatic", async () => {
    const { plane, targets } = await start();
    await plane.pools.create({ label: "tank", sizeBytes: GIB, properties: { data_threshold: "1KiB" } });
    await plane.containers.create({ pool: "tank", label: "box", type: "kv" });
    expect([...targets.thresholds.values()]).toEqual([1024]);
    const set = (value: string | number | boolean): Promise<unknown> =>
      plane.pools.setProperties({ pool: "tank", properties: { data_threshold: value } });
    await set("auto");
    expect([...targets.thresholds.values()]).toEqual(["auto"]);
    for (const wrong of ["511", 16385, true, "fast"]) expect(await codeOf(set(wrong))).toBe("INVALID_ARGUMENT");
    expect((await plane.pools.getProperties({ pool: "tank" })).properties["data_threshold"]).toBe("auto");
  });

  test("all or nothing", async () => {
    const { plane } = await start();
    await plane.pools.create({ label: "tank", sizeBytes: GIB });
    await plane.pools.create({ label: "other", sizeBytes: GIB });
    const set = (properties: Record<string, string | number | boolean>): Promise<unknown> =>
      plane.pools.setProperties({ pool: "tank", properties });
    expect(await codeOf(set({ "user.a": "x", label: "other" }))).toBe("ALREADY_EXISTS");
    expect(await codeOf(set({ "user.a": "x", size: "11GiB" }))).toBe("NO_SPACE");
    expect(await codeOf(set({ "user.a": "x", size: "1MiB" }))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(set({ "user.a": "x", size: true }))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(set({ "user.a": "x", rd_fac: 0 }))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(set({ "user.a": "x", lable: "y" }))).toBe("INVALID_ARGUMENT");
    expect((await plane.pools.getProperties({ pool: "tank" })).properties).toEqual({
      label: "tank",
      size: GIB,
      rd_fac: 0,
      ec_cell_sz: 131_072,
      data_threshold: 4096,
      scrub: "timed",
      scrub_freq: 604_800,
      scrub_rate: 16_777_216,
      ...HEALING,
    });
  });
});
