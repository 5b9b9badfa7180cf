import { describe, expect, test } from "bun:test";
import { DaosError } from "../../src/base/errors.ts";
import { CAPABILITY_LIFETIME_MS, GIB, MAX_FRAME_ARGUMENTS_BYTES, MIB } from "../../src/base/limits.ts";
import { Right } from "../../src/format/capability.ts";
import { codeOf, emptyDurable, expectConsistent, failureOf, type Harness, MAP, start } from "./harness.ts";

const box = { pool: "tank", container: "box" };

async function withTank(durable = emptyDurable()): Promise<Harness> {
  const harness = await start(durable);
  await harness.plane.pools.create({ label: "tank", sizeBytes: GIB });
  return harness;
}

describe("container create", () => {
  test("describes the container, opens it on the targets and puts it under the pool's quota", async () => {
    const durable = emptyDurable();
    const { plane, targets } = await withTank(durable);
    const created = await plane.containers.create({
      pool: "tank",
      label: "box",
      type: "object",
      properties: { oclass: "s2", chunk_size: "4MiB", "user.note": "x" },
    });
    expect(created).toEqual({
      id: created.id,
      label: "box",
      type: "object",
      pool: "tank",
      state: "ready",
      usedBytes: 0,
      snapshots: 0,
      health: { state: "whole", gone: [], tolerable: 0, reason: "" },
      createdAt: "2026-01-02T03:04:05.000Z",
      properties: {
        label: "box",
        type: "object",
        oclass: "S2",
        chunk_size: 4 * MIB,
        rd_fac: 0,
        ec_cell_sz: 131_072,
        cksum: "crc32",
        status: "healthy",
        "user.note": "x",
      },
    });
    expect(await plane.containers.query(box)).toEqual(created);
    expect(await plane.containers.query({ pool: "tank", container: created.id })).toEqual(created);
    expectConsistent(durable, targets);
  });

  test("numbers are unique over all pools and never used again", async () => {
    const { plane, targets } = await withTank();
    await plane.pools.create({ label: "other", sizeBytes: GIB });
    await plane.containers.create({ pool: "tank", label: "a", type: "kv" });
    await plane.containers.create({ pool: "other", label: "a", type: "kv" });
    await plane.containers.destroy({ pool: "other", container: "a", force: false });
    await plane.containers.create({ pool: "tank", label: "b", type: "kv" });
    expect([...targets.open.keys()]).toEqual([1, 3]);
  });

  test("refuses bad labels, types, properties, and labels that are taken", async () => {
    const { plane } = await withTank();
    const create = (label: string, properties = {}, type: "kv" | "posix" = "kv"): Promise<unknown> =>
      plane.containers.create({ pool: "tank", label, type, properties });
    expect(await codeOf(create(""))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(create("a b"))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(create("box", {}, "posix"))).toBe("UNSUPPORTED");
    expect(await codeOf(create("box", { oclass: "RP_2G1" }))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(create("box", { chunk_size: 5000 }))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(create("box", { chunk_size: "2GiB" }))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(create("box", { chunk_size: 0 }))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(create("box", { cksum: "off" }))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(create("box", { status: "healthy" }))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(create("box", { rd_fac: 2 }))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(create("box", { oclass: "S1", rd_fac: 1 }))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(create("box", { oclass: "EC_2P1GX" }))).toBe("INVALID_ARGUMENT");
    expect((await failureOf(create("box", { chunksize: 1 }))).message).toContain('Did you mean "chunk_size"?');
    await create("box");
    expect(await codeOf(create("box"))).toBe("ALREADY_EXISTS");
    expect(await codeOf(plane.containers.create({ pool: "none", label: "x", type: "kv" }))).toBe("NOT_FOUND");
  });

  test("a failure of the targets leaves nothing usable behind, and the label free", async () => {
    for (const step of ["openContainer", "setQuota"]) {
      const durable = emptyDurable();
      const { plane, targets } = await withTank(durable);
      targets.failures.set(step, new DaosError("IO", "Cannot write: broken."));
      expect(await codeOf(plane.containers.create({ pool: "tank", label: "box", type: "kv" }))).toBe("IO");
      const { containers } = await plane.containers.list({ pool: "tank" });
      for (const { state } of containers) expect(state).toBe("destroying");
      expect(["BUSY", "NOT_FOUND"]).toContain(await codeOf(plane.containers.open({ ...box, readOnly: true })));
      targets.failures.clear();
      await plane.containers.create({ pool: "tank", label: "box", type: "kv" });
      expectConsistent(durable, targets);
    }
  });
});

describe("container list", () => {
  test("is in the order of labels and comes in pages", async () => {
    const { plane } = await withTank();
    for (const label of ["c", "a", "b"]) await plane.containers.create({ pool: "tank", label, type: "kv" });
    const first = await plane.containers.list({ pool: "tank", limit: 2 });
    expect(first.containers.map(({ label }) => label)).toEqual(["a", "b"]);
    expect(first.anchor).toBe("b");
    const second = await plane.containers.list({ pool: "tank", limit: 2, after: "b" });
    expect(second.containers.map(({ label }) => label)).toEqual(["c"]);
    expect(second.anchor).toBeUndefined();
  });

  test("a page fits one reply however large the attributes are", async () => {
    const { plane } = await withTank();
    const properties = Object.fromEntries(
      Array.from({ length: 32 }, (_, index) => [`user.a${index}`, "x".repeat(1024)]),
    );
    for (let index = 0; index < 9; index += 1) {
      await plane.containers.create({ pool: "tank", label: `c${index}`, type: "kv", properties });
    }
    const seen: string[] = [];
    let after: string | undefined;
    do {
      const page = await plane.containers.list(after === undefined ? { pool: "tank" } : { pool: "tank", after });
      expect(JSON.stringify(page).length).toBeLessThan(MAX_FRAME_ARGUMENTS_BYTES);
      seen.push(...page.containers.map(({ label }) => label));
      after = page.anchor;
    } while (after !== undefined);
    expect(seen).toEqual(Array.from({ length: 9 }, (_, index) => `c${index}`));
  });
});

describe("container destroy", () => {
  test("refuses attached clients and snapshots unless forced", async () => {
    const durable = emptyDurable();
    const { plane, targets } = await withTank(durable);
    await plane.containers.create({ pool: "tank", label: "box", type: "kv" });
    targets.handles.set(1, 2);
    expect(await codeOf(plane.containers.destroy({ ...box, force: false }))).toBe("BUSY");
    targets.handles.clear();
    await plane.snapshots.create({ ...box, name: "s" });
    expect(await codeOf(plane.containers.destroy({ ...box, force: false }))).toBe("BUSY");
    expect((await plane.containers.query(box)).state).toBe("ready");
    await plane.containers.destroy({ ...box, force: true });
    expect(await codeOf(plane.containers.destroy({ ...box, force: true }))).toBe("NOT_FOUND");
    expectConsistent(durable, targets);
    expect(targets.state.destroyed.has(1)).toBe(true);
  });

  test("a destruction that failed midway is shown, blocks use, and can be repeated", async () => {
    const durable = emptyDurable();
    const { plane, targets } = await withTank(durable);
    await plane.containers.create({ pool: "tank", label: "box", type: "kv" });
    targets.failures.set("destroyContainer", new DaosError("IO", "Cannot write: broken."));
    expect(await codeOf(plane.containers.destroy({ ...box, force: false }))).toBe("IO");
    expect((await plane.containers.query(box)).state).toBe("destroying");
    expect(await codeOf(plane.containers.open({ ...box, readOnly: false }))).toBe("BUSY");
    expect(await codeOf(plane.containers.setProperties({ ...box, properties: { label: "x" } }))).toBe("BUSY");
    expect(await codeOf(plane.snapshots.create({ ...box, name: "s" }))).toBe("BUSY");
    targets.failures.clear();
    await plane.containers.destroy({ ...box, force: false });
    expectConsistent(durable, targets);
  });
});

describe("container properties", () => {
  test("set label and user attributes; what is fixed stays", async () => {
    const durable = emptyDurable();
    const { plane, targets } = await withTank(durable);
    await plane.containers.create({ pool: "tank", label: "box", type: "kv" });
    await plane.containers.create({ pool: "tank", label: "other", type: "kv" });
    const set = (properties: Record<string, string>): Promise<unknown> =>
      plane.containers.setProperties({ pool: "tank", container: "box", properties });
    expect(await codeOf(set({ label: "other" }))).toBe("ALREADY_EXISTS");
    expect(await codeOf(set({ oclass: "S1" }))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(set({ type: "object" }))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(set({ "user.x": "y", lable: "z" }))).toBe("INVALID_ARGUMENT");
    expect((await plane.containers.getProperties(box)).properties["user.x"]).toBeUndefined();
    const { properties } = await plane.containers.setProperties({
      ...box,
      properties: { label: "crate", "user.x": "y" },
    });
    expect([properties["label"], properties["user.x"]]).toEqual(["crate", "y"]);
    expect(await codeOf(plane.containers.query(box))).toBe("NOT_FOUND");
    expectConsistent(durable, targets);
  });
});

describe("container open", () => {
  test("gives a capability that the targets accept, with the rights asked for", async () => {
    const { plane, authority } = await withTank();
    const created = await plane.containers.create({ pool: "tank", label: "box", type: "kv" });
    const reply = await plane.containers.open({ ...box, readOnly: false });
    expect(reply.container).toEqual(created);
    expect(reply.map).toEqual(MAP);
    const capability = authority.verify(reply.capability, () => MAP.version);
    expect(capability.containerNumber).toBe(1);
    expect<string>(capability.container).toBe(created.id);
    expect(capability.rights).toBe(Right.read | Right.write);
    const readOnly = await plane.containers.open({ ...box, readOnly: true });
    expect(authority.verify(readOnly.capability, () => MAP.version).rights).toBe(Right.read);
    expect(Buffer.from(readOnly.capability).equals(Buffer.from(reply.capability))).toBe(false);
  });

  test("opens the container on the targets again when a start could not", async () => {
    const durable = emptyDurable();
    const first = await withTank(durable);
    await first.plane.containers.create({ pool: "tank", label: "box", type: "kv" });
    const second = await start(durable);
    second.targets.failures.set("openContainer", new DaosError("CORRUPT", "Cannot read: damaged."));
    const report = await second.plane.resume();
    expect(report.failures.map(({ what, error }) => `${what}: ${error.code}`)).toEqual([
      'container "box" of pool "tank": CORRUPT',
    ]);
    expect([report.pools, report.containers]).toEqual([1, 0]);
    expect(await codeOf(second.plane.containers.open({ ...box, readOnly: true }))).toBe("CORRUPT");
    second.targets.failures.clear();
    await second.plane.containers.open({ ...box, readOnly: true });
    expect(second.targets.open.size).toBe(1);
  });

  test("an expired, foreign, damaged or outdated capability is refused", async () => {
    const { plane, authority, clock } = await withTank();
    await plane.containers.create({ pool: "tank", label: "box", type: "kv" });
    const { capability } = await plane.containers.open({ ...box, readOnly: true });
    const code = (bytes: Uint8Array, mapVersion = MAP.version): Promise<string> =>
      codeOf(Promise.resolve().then(() => authority.verify(bytes, () => mapVersion)));
    expect(await code(capability, MAP.version + 1)).toBe("STALE");
    for (let index = 0; index < capability.length; index += 1) {
      const damaged = Uint8Array.from(capability);
      damaged[index]! ^= 1;
      expect(["PERMISSION", "VERSION"]).toContain(await code(damaged));
    }
    expect(await code(capability.subarray(0, 60))).toBe("PERMISSION");
    expect(await code(new Uint8Array(0))).toBe("PERMISSION");
    expect(await code(Buffer.concat([capability, new Uint8Array(1)]))).toBe("PERMISSION");
    clock.nowMs += CAPABILITY_LIFETIME_MS;
    expect(await code(capability)).toBe("STALE");
  });
});
