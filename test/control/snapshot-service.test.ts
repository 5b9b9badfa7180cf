import { expect, test } from "bun:test";
import { DaosError } from "../../src/base/errors.ts";
import { GIB, MAX_SNAPSHOTS } from "../../src/base/limits.ts";
import { codeOf, emptyDurable, expectConsistent, failureOf, type Harness, start } from "./harness.ts";

const box = { pool: "tank", container: "box" };

async function withBox(durable = emptyDurable()): Promise<Harness> {
  const harness = await start(durable);
  await harness.plane.pools.create({ label: "tank", sizeBytes: GIB });
  await harness.plane.containers.create({ pool: "tank", label: "box", type: "kv" });
  return harness;
}

test("create, list by age, destroy", async () => {
  const durable = emptyDurable();
  const { plane, targets } = await withBox(durable);
  const first = await plane.snapshots.create({ ...box, name: "zebra" });
  expect(first).toEqual({ name: "zebra", epoch: first.epoch, createdAt: "2026-01-02T03:04:05.000Z" });
  const second = await plane.snapshots.create({ ...box, name: "" });
  expect(second.name).toBe(String(second.epoch));
  await plane.snapshots.create({ ...box, name: "ant" });
  const names = (await plane.snapshots.list(box)).snapshots.map(({ name }) => name);
  expect(names).toEqual(["zebra", second.name, "ant"]);
  expect((await plane.containers.query(box)).snapshots).toBe(3);
  await plane.snapshots.destroy({ ...box, name: second.name });
  await plane.snapshots.destroy({ ...box, name: "zebra" });
  expect((await plane.snapshots.list(box)).snapshots.map(({ name }) => name)).toEqual(["ant"]);
  expectConsistent(durable, targets);
});

test("bad names, taken names and unknown ones are refused", async () => {
  const { plane } = await withBox();
  await plane.snapshots.create({ ...box, name: "monday" });
  for (const name of ["a b", "~x", "123", "x".repeat(128), "a/b"]) {
    const refused = Promise.resolve().then(() => plane.snapshots.create({ ...box, name }));
    expect(await codeOf(refused)).toBe("INVALID_ARGUMENT");
  }
  expect(await codeOf(plane.snapshots.create({ ...box, name: "monday" }))).toBe("ALREADY_EXISTS");
  const missing = await failureOf(plane.snapshots.destroy({ ...box, name: "munday" }));
  expect([missing.code, missing.message.includes('Did you mean "monday"?')]).toEqual(["NOT_FOUND", true]);
  expect(await codeOf(plane.snapshots.list({ pool: "tank", container: "nobox" }))).toBe("NOT_FOUND");
  expect((await plane.snapshots.list(box)).snapshots.length).toBe(1);
});

test("a failure of the targets leaves no name and no epoch behind", async () => {
  const durable = emptyDurable();
  const { plane, targets } = await withBox(durable);
  targets.failures.set("createSnapshot", new DaosError("IO", "Cannot write: broken."));
  expect(await codeOf(plane.snapshots.create({ ...box, name: "s" }))).toBe("IO");
  targets.failures.clear();
  expectConsistent(durable, targets);
  await plane.snapshots.create({ ...box, name: "s" });
  targets.failures.set("destroySnapshot", new DaosError("IO", "Cannot write: broken."));
  expect(await codeOf(plane.snapshots.destroy({ ...box, name: "s" }))).toBe("IO");
  expect((await plane.snapshots.list(box)).snapshots).toEqual([]);
  targets.failures.clear();
  await plane.snapshots.destroy({ ...box, name: "s" });
  expectConsistent(durable, targets);
});

test("a target that was not told of the container yet is told, and has the snapshot", async () => {
  const durable = emptyDurable();
  const { plane, targets } = await withBox(durable);
  targets.open.clear();
  await plane.snapshots.create({ ...box, name: "s" });
  expectConsistent(durable, targets);
  expect((await plane.snapshots.list(box)).snapshots.map(({ name }) => name)).toEqual(["s"]);
});

test("a name half destroyed or half made is free for the next snapshot", async () => {
  const durable = emptyDurable();
  const { plane, targets } = await withBox(durable);
  const old = await plane.snapshots.create({ ...box, name: "s" });
  targets.failures.set("destroySnapshot", new DaosError("IO", "Cannot write: broken."));
  expect(await codeOf(plane.snapshots.destroy({ ...box, name: "s" }))).toBe("IO");
  targets.failures.clear();
  const fresh = await plane.snapshots.create({ ...box, name: "s" });
  expect(fresh.epoch).toBeGreaterThan(old.epoch);
  expectConsistent(durable, targets);
});

test("many at once on one container all come out, each with its own epoch", async () => {
  const durable = emptyDurable();
  const { plane, targets } = await withBox(durable);
  const made = await Promise.all(
    Array.from({ length: 20 }, (_, index) => plane.snapshots.create({ ...box, name: `s${index}` })),
  );
  expect(new Set(made.map(({ epoch }) => epoch)).size).toBe(20);
  await Promise.all(made.slice(0, 10).map(({ name }) => plane.snapshots.destroy({ ...box, name })));
  expect((await plane.snapshots.list(box)).snapshots.length).toBe(10);
  expectConsistent(durable, targets);
});

test("no more than MAX_SNAPSHOTS", async () => {
  const { plane } = await withBox();
  for (let index = 0; index < MAX_SNAPSHOTS; index += 1) await plane.snapshots.create({ ...box, name: "" });
  expect(await codeOf(plane.snapshots.create({ ...box, name: "" }))).toBe("TOO_LARGE");
}, 30_000);
