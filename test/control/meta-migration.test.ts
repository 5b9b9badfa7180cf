/** Records copied from one meta store to another: whole, cut off and begun again, and onto what is not empty. */
import { expect, test } from "bun:test";
import { bytesOf } from "../../src/base/bytes.ts";
import { DaosError } from "../../src/base/errors.ts";
import type { MetaStore } from "../../src/contracts/meta-store.ts";
import { copyRecords } from "../../src/control/meta-migration.ts";
import { LEADER_KEY, SYSTEM_KEY } from "../../src/format/meta-key.ts";
import { expectCode } from "../conformance/support.ts";
import { MemoryMetaStore } from "./memory-meta-store.ts";

const COUNT = 700;

async function filled(): Promise<MetaStore> {
  const store = new MemoryMetaStore();
  for (let index = 0; index < COUNT; index += 1) {
    const value = bytesOf(`value ${index} `.repeat(index % 100 === 0 ? 60_000 : 1));
    await store.commit([], [{ put: `container/${index}`, value }]);
  }
  await store.commit([], [{ put: SYSTEM_KEY, value: bytesOf("system") }]);
  await store.commit([], [{ put: LEADER_KEY, value: bytesOf("who led") }]);
  return store;
}

const keysOf = async (store: MetaStore): Promise<string[]> => (await store.range("")).map(({ key }) => key);

test("copyRecords: all but who led, the system's last", async () => {
  const [from, to] = [await filled(), new MemoryMetaStore()];
  const order: string[] = [];
  const commit = to.commit.bind(to);
  to.commit = (compares, operations) => {
    order.push(...operations.map((operation) => ("put" in operation ? operation.put : operation.remove)));
    return commit(compares, operations);
  };
  expect(await copyRecords(from, to)).toBe(COUNT + 1);
  expect(order.at(-1)).toBe(SYSTEM_KEY);
  const wanted = (await from.range("")).filter(({ key }) => key !== LEADER_KEY);
  const copied = await to.range("");
  expect(copied.map(({ key, value }) => [key, value])).toEqual(wanted.map(({ key, value }) => [key, value]));
});

test("copyRecords: cut off anywhere there is no system, and it goes on when it is begun again", async () => {
  const from = await filled();
  for (const commits of [0, 1, 7]) {
    const to = new MemoryMetaStore();
    const commit = to.commit.bind(to);
    let left = commits;
    to.commit = (...args) => {
      if (left === 0) throw new DaosError("UNAVAILABLE", "Cannot commit: the store is gone.");
      left -= 1;
      return commit(...args);
    };
    await expectCode("UNAVAILABLE", () => copyRecords(from, to));
    expect(await to.get(SYSTEM_KEY)).toBeUndefined();
    left = Number.POSITIVE_INFINITY;
    expect(await copyRecords(from, to)).toBe(COUNT + 1);
    expect(await copyRecords(from, to)).toBe(COUNT + 1);
  }
});

test("copyRecords: what is not empty is refused and left as it is, and so is a source without a system", async () => {
  const from = await filled();
  for (const [key, value] of [
    ["pool/x", "other"],
    ["container/3", "other"],
    [SYSTEM_KEY, "another system"],
  ] as const) {
    const to = new MemoryMetaStore();
    await to.commit([], [{ put: key, value: bytesOf(value) }]);
    await expectCode("ALREADY_EXISTS", () => copyRecords(from, to));
    expect(await keysOf(to)).toEqual([key]);
  }
  await expectCode("CORRUPT", () => copyRecords(new MemoryMetaStore(), new MemoryMetaStore()));
});

test("copyRecords: a copy that does not read back as it was written is told", async () => {
  const to = new MemoryMetaStore();
  const commit = to.commit.bind(to);
  to.commit = (compares, operations) => commit(compares, operations.slice(0, 10));
  await expectCode("CORRUPT", async () => copyRecords(await filled(), to));
});
