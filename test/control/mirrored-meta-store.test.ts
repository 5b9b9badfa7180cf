/** The leader's copy of the records: as the store whatever is committed, also when the outcome is not known; and without it. */
import { expect, test } from "bun:test";
import { bytesOf } from "../../src/base/bytes.ts";
import { DaosError } from "../../src/base/errors.ts";
import type { MetaCompare, MetaEntry, MetaOperation } from "../../src/contracts/meta-store.ts";
import { MirroredMetaStore } from "../../src/control/mirrored-meta-store.ts";
import { LEADER_KEY } from "../../src/format/meta-key.ts";
import { expectCode } from "../conformance/support.ts";
import { SimulatedRandom } from "../simulation/random.ts";
import { MemoryMetaStore } from "./memory-meta-store.ts";

/** Counts what it is asked, can be away, and can leave commits without an outcome. */
class TriedStore extends MemoryMetaStore {
  asked = 0;
  isAway = false;
  /** The next commit times out; it happens when the one after it begins, or never. */
  loses: "happens" | "never" | undefined;
  #late: (() => Promise<number>) | undefined;

  override get(key: string): Promise<MetaEntry | undefined> {
    this.#ask();
    return super.get(key);
  }
  override range(prefix: string, options?: { limit?: number; after?: string }): Promise<MetaEntry[]> {
    this.#ask();
    return super.range(prefix, options);
  }
  override async commit(compares: readonly MetaCompare[], operations: readonly MetaOperation[]): Promise<number> {
    this.#ask();
    await this.#late?.().catch(() => 0);
    this.#late = undefined;
    const { loses } = this;
    this.loses = undefined;
    if (loses === undefined) return super.commit(compares, operations);
    if (loses === "happens") this.#late = () => super.commit(compares, operations);
    throw new DaosError("TIMEOUT", "Cannot say whether it happened.");
  }

  #ask(): void {
    this.asked += 1;
    if (this.isAway) throw new DaosError("UNAVAILABLE", "Cannot reach the store.");
  }
}

const put = (key: string, text: string): MetaOperation => ({ put: key, value: bytesOf(text) });

async function filled(): Promise<TriedStore> {
  const store = new TriedStore();
  await store.commit([], [put("a/1", "x"), put("a/2", "y"), put("b/1", "z"), put(LEADER_KEY, "me")]);
  return store;
}

test("reads need no store; what is committed is seen, of the leader's record the store is asked", async () => {
  const store = await filled();
  const mirror = await MirroredMetaStore.of(store, () => true);
  await mirror.commit([{ key: "a/1", revision: 1 }], [{ remove: "a/1" }, put("a/3", "new")]);
  store.isAway = true;
  expect((await mirror.range("a/")).map(({ key }) => key)).toEqual(["a/2", "a/3"]);
  expect(await mirror.get("a/1")).toBeUndefined();
  expect(await mirror.get("a/3")).toEqual({ key: "a/3", value: bytesOf("new"), revision: 2 });
  await expectCode("UNAVAILABLE", () => mirror.get(LEADER_KEY));
  await expectCode("UNAVAILABLE", () => mirror.commit([], [put("a/4", "no")]));
  await expectCode("UNAVAILABLE", () => mirror.get("a/4"));
  store.isAway = false;
  expect(await mirror.get("a/4")).toBeUndefined();
});

test("who does not lead any more, and a system too large, asks the store", async () => {
  const store = await filled();
  let isCurrent = true;
  const mirror = await MirroredMetaStore.of(store, () => isCurrent);
  store.asked = 0;
  await mirror.get("a/1");
  expect(store.asked).toBe(0);
  isCurrent = false;
  await mirror.get("a/1");
  await mirror.range("a/");
  expect(store.asked).toBe(2);
  const none = await MirroredMetaStore.of(store, () => true, 5);
  store.asked = 0;
  await none.get("a/1");
  expect(store.asked).toBe(1);
});

test("a conflict with somebody else's change is seen once, then the copy is as the store", async () => {
  const store = await filled();
  const mirror = await MirroredMetaStore.of(store, () => true);
  await store.commit([], [put("a/1", "other")]);
  await expectCode("CONFLICT", () => mirror.commit([{ key: "a/1", revision: 1 }], [put("a/1", "mine")]));
  expect((await mirror.get("a/1"))!.revision).toBe(2);
});

test("whatever is committed, refused or lost, it reads as the store does", async () => {
  for (let seed = 1; seed <= 40; seed += 1) {
    const random = new SimulatedRandom(seed);
    const store = new TriedStore();
    const mirror = await MirroredMetaStore.of(store, () => true);
    const key = (): string => `${"ab"[random.below(2)]!}/${random.below(6)}`;
    for (let count = 0; count < 150; count += 1) {
      if (random.next() < 0.2) store.loses = random.next() < 0.5 ? "happens" : "never";
      const [first, second] = [key(), key()];
      const known = await mirror.get(first);
      const compares = [{ key: first, revision: random.next() < 0.9 ? (known?.revision ?? 0) : 12_345 }];
      const operations = [random.next() < 0.3 ? { remove: first } : put(first, `${count}`)];
      if (second !== first) operations.push(put(second, `${count}`));
      await mirror.commit(compares, operations).catch((error: unknown) => expect(error).toBeInstanceOf(DaosError));
      for (const prefix of ["a/", "b/"]) {
        const options = random.next() < 0.5 ? {} : { limit: 1 + random.below(3), after: `${prefix}${random.below(6)}` };
        expect(await mirror.range(prefix, options)).toEqual(await store.range(prefix, options));
      }
      expect(await mirror.get(second)).toEqual((await store.get(second))!);
    }
  }
});
