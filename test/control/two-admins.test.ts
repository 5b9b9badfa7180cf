/**
 * Two control planes on one meta store, as two admins with two management services would be: nothing is lost, nothing is
 * given twice.
 */
import { expect, test } from "bun:test";
import { GIB, MAX_CHANGE_ATTEMPTS, MIB } from "../../src/base/limits.ts";
import { poolKey } from "../../src/format/meta-key.ts";
import { codeOf, emptyDurable, expectConsistent, start } from "./harness.ts";

/** What a settled promise was: "ok" or the error's code. */
function outcomes(settled: readonly PromiseSettledResult<unknown>[]): string[] {
  return settled.map((one) => (one.status === "fulfilled" ? "ok" : (one.reason as { code: string }).code)).sort();
}

test("the same label is given once", async () => {
  const durable = emptyDurable();
  const [one, two] = [await start(durable), await start(durable)];
  const create = { label: "tank", sizeBytes: GIB };
  expect(outcomes(await Promise.allSettled([one.plane.pools.create(create), two.plane.pools.create(create)]))).toEqual([
    "ALREADY_EXISTS",
    "ok",
  ]);
  const container = { pool: "tank", label: "box", type: "kv" } as const;
  const made = await Promise.allSettled([one, one, one].map(({ plane }) => plane.containers.create(container)));
  expect(outcomes(made)).toEqual(["ALREADY_EXISTS", "ALREADY_EXISTS", "ok"]);
});

test("one admin's creation that another one takes for a leftover is told so, and never half there", async () => {
  const durable = emptyDurable();
  const [one, two] = [await start(durable), await start(durable)];
  await one.plane.pools.create({ label: "tank", sizeBytes: GIB });
  const container = { pool: "tank", label: "box", type: "kv" } as const;
  const made = await Promise.allSettled([one, two, one, two].map(({ plane }) => plane.containers.create(container)));
  const { containers } = await one.plane.containers.list({ pool: "tank" });
  expect(containers.length).toBe(1);
  expect(containers[0]!.state).toBe("ready");
  const told = made.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value.id] : []));
  expect(told).toEqual([containers[0]!.id]);
});

test("the same space is given once", async () => {
  const durable = emptyDurable();
  const [one, two] = [await start(durable), await start(durable)];
  const made = await Promise.allSettled(
    Array.from({ length: 8 }, (_, index) =>
      (index % 2 === 0 ? one : two).plane.pools.create({ label: `p${index}`, sizeBytes: 3 * GIB }),
    ),
  );
  expect(outcomes(made).filter((outcome) => outcome === "ok").length).toBe(3);
  expect(outcomes(made).filter((outcome) => outcome === "NO_SPACE").length).toBe(5);
});

test("changes of different properties are all kept", async () => {
  const durable = emptyDurable();
  const [one, two] = [await start(durable), await start(durable)];
  await one.plane.pools.create({ label: "tank", sizeBytes: GIB });
  await Promise.all(
    Array.from({ length: 30 }, (_, index) =>
      (index % 2 === 0 ? one : two).plane.pools.setProperties({
        pool: "tank",
        properties: { [`user.a${index}`]: String(index) },
      }),
    ),
  );
  const { properties } = await two.plane.pools.getProperties({ pool: "tank" });
  for (let index = 0; index < 30; index += 1) expect(properties[`user.a${index}`]).toBe(String(index));
});

test("containers made at once have different numbers", async () => {
  const durable = emptyDurable();
  const { plane, targets } = await start(durable);
  await plane.pools.create({ label: "tank", sizeBytes: GIB });
  await Promise.all(
    Array.from({ length: 50 }, (_, index) => plane.containers.create({ pool: "tank", label: `c${index}`, type: "kv" })),
  );
  expect(targets.open.size).toBe(50);
  expectConsistent(durable, targets);
});

test("containers made at once by two admins in two pools have different numbers", async () => {
  const durable = emptyDurable();
  const [one, two] = [await start(durable), await start(durable)];
  await one.plane.pools.create({ label: "a", sizeBytes: GIB });
  await one.plane.pools.create({ label: "b", sizeBytes: GIB });
  await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      index % 2 === 0
        ? one.plane.containers.create({ pool: "a", label: `c${index}`, type: "kv" })
        : two.plane.containers.create({ pool: "b", label: `c${index}`, type: "kv" }),
    ),
  );
  expect([one.targets.open.size, two.targets.open.size]).toEqual([10, 10]);
  expect(new Set([...one.targets.open.keys(), ...two.targets.open.keys()]).size).toBe(20);
});

test("a container made while another one is given its label: one of them has it", async () => {
  const durable = emptyDurable();
  const [one, two] = [await start(durable), await start(durable)];
  await one.plane.pools.create({ label: "tank", sizeBytes: GIB });
  await one.plane.containers.create({ pool: "tank", label: "box", type: "kv" });
  let renamed: Promise<unknown> | undefined;
  one.store.beforeCommit = async () => {
    one.store.beforeCommit = undefined;
    renamed = two.plane.containers.setProperties({ pool: "tank", container: "box", properties: { label: "crate" } });
    await renamed;
  };
  expect(await codeOf(one.plane.containers.create({ pool: "tank", label: "crate", type: "kv" }))).toBe(
    "ALREADY_EXISTS",
  );
  await renamed;
  const { containers } = await one.plane.containers.list({ pool: "tank" });
  expect(containers.map(({ label }) => label)).toEqual(["crate"]);
});

test("a pool destroyed while containers are made in it ends with neither", async () => {
  const durable = emptyDurable();
  const { plane, targets } = await start(durable);
  await plane.pools.create({ label: "tank", sizeBytes: GIB });
  const makers = Array.from({ length: 5 }, (_, index) =>
    plane.containers.create({ pool: "tank", label: `c${index}`, type: "kv" }),
  );
  const settled = await Promise.allSettled([...makers, plane.pools.destroy({ pool: "tank", force: true })]);
  expect(settled.at(-1)!.status).toBe("fulfilled");
  expect((await plane.pools.list({})).pools).toEqual([]);
  expect(targets.state.containers.size).toBe(0);
  expectConsistent(durable, targets);
});

test("a snapshot and the destruction of its container do not meet halfway", async () => {
  const durable = emptyDurable();
  const { plane, targets } = await start(durable);
  const box = { pool: "tank", container: "box" };
  await plane.pools.create({ label: "tank", sizeBytes: GIB });
  await plane.containers.create({ pool: "tank", label: "box", type: "kv" });
  const settled = await Promise.allSettled([
    plane.snapshots.create({ ...box, name: "a" }),
    plane.containers.destroy({ ...box, force: true }),
    plane.snapshots.create({ ...box, name: "b" }),
  ]);
  expect(outcomes(settled)).toEqual(["NOT_FOUND", "ok", "ok"]);
  expectConsistent(durable, targets);
});

test("a change that always loses ends with CONFLICT after a bounded number of attempts", async () => {
  const durable = emptyDurable();
  const { plane, store } = await start(durable);
  const { id } = await plane.pools.create({ label: "tank", sizeBytes: 16 * MIB });
  let commits = 0;
  store.beforeCommit = () => {
    commits += 1;
    durable.meta.entries.get(poolKey(id))!.revision += 1000;
  };
  expect(await codeOf(plane.pools.setProperties({ pool: "tank", properties: { "user.a": "b" } }))).toBe("CONFLICT");
  expect(commits).toBe(MAX_CHANGE_ATTEMPTS);
});
