/**
 * What every meta-store plugin must do. Call `metaStoreConformance` first in the plugin's test. Time is simulated: leases
 * end when the world's timers say so; unless the plugin's store is a service of its own (`service`), which has real time.
 */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { bytesOf } from "../../src/base/bytes.ts";
import {
  MAX_META_COMMIT_BYTES,
  MAX_META_COMMIT_COMPARES,
  MAX_META_COMMIT_OPERATIONS,
  MAX_META_KEY_BYTES,
  MAX_META_VALUE_BYTES,
} from "../../src/base/limits.ts";
import type { MetaEvent, MetaStore, MetaStoreProvider } from "../../src/contracts/meta-store.ts";
import type { World } from "../../src/contracts/world.ts";
import { realWorld } from "../../src/world/index.ts";
import { SimulatedClock } from "../simulation/clock.ts";
import { SimulatedTimers } from "../simulation/timers.ts";
import { codeOf, expectBytes, expectCode, inTemporaryFolder, pattern } from "./support.ts";

/** `folder` is another for each test: a plugin that keeps its store elsewhere takes it as the store's name. */
type Providers = (folder: string) => MetaStoreProvider;

export interface MetaStoreSuite {
  /** The store is a service: time is real, and several may have it open. */
  readonly service?: boolean;
}

interface Setting {
  readonly folder: string;
  /** A lease that is long against what else takes time. */
  readonly leaseMs: number;
  readonly pass: (durationMs: number) => Promise<void>;
  /** Opens the store; the test closes it. */
  readonly open: () => Promise<MetaStore>;
}

type Use<Argument extends unknown[]> = (...arguments_: Argument) => Promise<void>;

/** What the tests of a plugin use. */
interface Rig {
  readonly withSetting: (use: Use<[Setting]>) => () => Promise<void>;
  readonly withStore: (use: Use<[MetaStore, Setting]>) => () => Promise<void>;
}

const REAL_LEASE_MS = 2_000;
const SIMULATED_LEASE_MS = 1_000;
const TEST_TIMEOUT_MS = 60_000;
/** For what happens by itself, and must. */
const SOON_MS = 30_000;

export function metaStoreConformance(name: string, makeProvider: Providers, suite: MetaStoreSuite = {}): void {
  const rig = rigOf(makeProvider, suite);
  setDefaultTimeout(TEST_TIMEOUT_MS);
  describe(`meta-store ${name}`, () => {
    entryTests(rig);
    rangeTests(rig);
    commitTests(rig);
    watchTests(rig);
    leaseTests(rig);
    misuseTests(rig);
    if (suite.service === true) sharingTests(rig);
  });
}

function rigOf(makeProvider: Providers, { service = false }: MetaStoreSuite): Rig {
  const withSetting: Rig["withSetting"] = (use) => () =>
    inTemporaryFolder(async (folder) => {
      const clock = new SimulatedClock();
      const timers = new SimulatedTimers(clock);
      const world: World = service ? realWorld() : { ...realWorld(), clock, timers };
      await use({
        folder,
        leaseMs: service ? REAL_LEASE_MS : SIMULATED_LEASE_MS,
        pass: service ? (durationMs) => Bun.sleep(durationMs) : (durationMs) => timers.advance(durationMs),
        open: () => makeProvider(folder).open(world, { folder }),
      });
    });
  const withStore: Rig["withStore"] = (use) =>
    withSetting(async (setting) => {
      const store = await setting.open();
      await use(store, setting);
      await store.close();
    });
  return { withSetting, withStore };
}

/** Waits until it holds; a store that is a service tells its watchers and ends its leases in its own time. */
async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const endNs = Bun.nanoseconds() + SOON_MS * 1e6;
  while (!(await holds())) {
    if (Bun.nanoseconds() > endNs) throw new Error(`still not so: ${what}`);
    await Bun.sleep(10);
  }
}

async function keys(store: MetaStore, prefix: string, options?: { limit?: number; after?: string }): Promise<string[]> {
  return (await store.range(prefix, options)).map((entry) => entry.key);
}

function putAll(store: MetaStore, names: readonly string[]): Promise<number> {
  return store.commit(
    [],
    names.map((name) => ({ put: name, value: bytesOf(name.slice(0, 1)) })),
  );
}

function entryTests({ withStore, withSetting }: Rig): void {
  test(
    "a new store is empty",
    withStore(async (store) => {
      expect(await store.get("a")).toBeUndefined();
      expect(await store.range("")).toEqual([]);
    }),
  );

  test(
    "an entry comes back with its bytes and the revision of its commit",
    withStore(async (store) => {
      const value = pattern(1000, 1);
      const revision = await store.commit([], [{ put: "pool/1", value }]);
      const entry = await store.get("pool/1");
      expect(entry?.key).toBe("pool/1");
      expect(entry?.revision).toBe(revision);
      expectBytes(entry!.value, value);
    }),
  );

  test(
    "an empty value is a value; a removed key is absent",
    withStore(async (store) => {
      await store.commit([], [{ put: "a", value: new Uint8Array() }]);
      expect((await store.get("a"))?.value.length).toBe(0);
      await store.commit([], [{ remove: "a" }]);
      expect(await store.get("a")).toBeUndefined();
    }),
  );

  test(
    "the value given and the value got are copies",
    withStore(async (store) => {
      const value = pattern(10, 2);
      await store.commit([], [{ put: "a", value }]);
      value.fill(0);
      const got = await store.get("a");
      expectBytes(got!.value, pattern(10, 2));
      got!.value.fill(0);
      expectBytes((await store.get("a"))!.value, pattern(10, 2));
    }),
  );

  test(
    "everything is there after close and open, revisions too",
    withSetting(async ({ open }) => {
      const store = await open();
      await putAll(store, ["a", "b"]);
      const revision = await store.commit([], [{ put: "c", value: bytesOf("c") }, { remove: "a" }]);
      await store.close();
      const again = await open();
      expect(await keys(again, "")).toEqual(["b", "c"]);
      expect((await again.get("c"))?.revision).toBe(revision);
      expect(await again.commit([], [{ put: "d", value: bytesOf("d") }])).toBeGreaterThan(revision);
      await again.close();
    }),
  );
}

function rangeTests({ withStore }: Rig): void {
  test(
    "a range has the keys of a prefix in the order of their UTF-8 bytes",
    withStore(async (store) => {
      const names = [
        "b",
        "a/2",
        "a/10",
        "a",
        "a/1",
        "a0",
        "ä",
        "a/ä",
        "a/\u{1f600}",
        "a/\uffee",
        "a/\u{10ffff}x",
        "\u{10ffff}",
      ];
      await putAll(store, names);
      const ordered = names.toSorted((left, right) => Buffer.compare(Buffer.from(left), Buffer.from(right)));
      expect(await keys(store, "")).toEqual(ordered);
      for (const prefix of ["a", "a/", "ä", "a/1", "a/\u{10ffff}", "\u{10ffff}", "none", "a/\uffee"]) {
        expect(await keys(store, prefix)).toEqual(ordered.filter((name) => name.startsWith(prefix)));
      }
    }),
  );

  test(
    "limit and after page through a range",
    withStore(async (store) => {
      const names = Array.from({ length: 25 }, (_, index) => `k/${String(index).padStart(2, "0")}`);
      await putAll(store, [...names, "j", "l"]);
      const seen: string[] = [];
      for (;;) {
        const page = await keys(store, "k/", { limit: 7, ...(seen.length > 0 ? { after: seen.at(-1)! } : {}) });
        if (page.length === 0) break;
        expect(page.length).toBeLessThanOrEqual(7);
        seen.push(...page);
      }
      expect(seen).toEqual(names);
      expect(await keys(store, "k/", { after: "a" })).toEqual(names);
      expect(await keys(store, "k/", { after: "z" })).toEqual([]);
      expect(await keys(store, "k/", { after: "k/0555" })).toEqual(names.slice(6));
      expect(await keys(store, "k/", { limit: 0 })).toEqual([]);
    }),
  );

  test(
    "a long range comes whole, in order",
    withStore(async (store) => {
      const names = Array.from({ length: 450 }, (_, index) => `n/${String(index).padStart(4, "0")}`);
      await putAll(store, names);
      expect(await keys(store, "n/")).toEqual(names);
      expect(await keys(store, "n/", { limit: 333 })).toEqual(names.slice(0, 333));
      expect(await keys(store, "n/", { after: "n/0099" })).toEqual(names.slice(100));
    }),
  );

  test(
    "large values come back in a range",
    withStore(async (store) => {
      for (let index = 0; index < 5; index += 1) {
        await store.commit([], [{ put: `v/${index}`, value: pattern(MAX_META_VALUE_BYTES, index) }]);
      }
      for (const [index, { value }] of (await store.range("v/")).entries()) {
        expectBytes(value, pattern(MAX_META_VALUE_BYTES, index));
      }
    }),
  );

  test(
    "a write after a range that was cut short is seen by the next",
    withStore(async (store) => {
      await putAll(store, ["a", "b", "c"]);
      await keys(store, "", { limit: 1 });
      await putAll(store, ["d"]);
      expect(await keys(store, "")).toEqual(["a", "b", "c", "d"]);
    }),
  );
}

function commitTests({ withStore }: Rig): void {
  test(
    "each commit has a higher revision, and the keys it wrote carry it",
    withStore(async (store) => {
      const first = await putAll(store, ["a", "b"]);
      const second = await putAll(store, ["b"]);
      expect(second).toBeGreaterThan(first);
      expect((await store.get("a"))?.revision).toBe(first);
      expect((await store.get("b"))?.revision).toBe(second);
    }),
  );

  test(
    "a compare that holds lets the commit through, one that does not rejects it whole",
    withStore(async (store) => {
      const revision = await putAll(store, ["a", "b"]);
      await store.commit(
        [
          { key: "a", revision },
          { key: "new", revision: 0 },
        ],
        [{ put: "new", value: bytesOf("1") }],
      );
      const put = [{ put: "x", value: bytesOf("x") }, { remove: "a" }];
      await expectCode("CONFLICT", () => store.commit([{ key: "a", revision: revision + 1 }], put));
      await expectCode("CONFLICT", () => store.commit([{ key: "a", revision: 0 }], put));
      await expectCode("CONFLICT", () => store.commit([{ key: "absent", revision }], put));
      await expectCode("CONFLICT", () =>
        store.commit(
          [
            { key: "a", revision },
            { key: "b", revision: 0 },
          ],
          put,
        ),
      );
      expect(await keys(store, "")).toEqual(["a", "b", "new"]);
      expect((await store.get("a"))?.revision).toBe(revision);
    }),
  );

  test(
    "a compare of a key that the commit also changes, and of one that was removed",
    withStore(async (store) => {
      const made = await putAll(store, ["a"]);
      const changed = await store.commit([{ key: "a", revision: made }], [{ put: "a", value: bytesOf("2") }]);
      await store.commit([{ key: "a", revision: changed }], [{ remove: "a" }]);
      await expectCode("CONFLICT", () =>
        store.commit([{ key: "a", revision: changed }], [{ put: "b", value: bytesOf("b") }]),
      );
      await store.commit([{ key: "a", revision: 0 }], [{ put: "a", value: bytesOf("3") }]);
      expect(await keys(store, "")).toEqual(["a"]);
    }),
  );

  test(
    "as many compares and operations as a commit may have are one commit",
    withStore(async (store) => {
      const names = Array.from({ length: MAX_META_COMMIT_OPERATIONS }, (_, index) => `k${index}`);
      const revision = await putAll(store, names);
      const compares = names.slice(0, MAX_META_COMMIT_COMPARES).map((key) => ({ key, revision }));
      const entries = await store.range("k");
      expect(entries).toHaveLength(names.length);
      expect(entries.every((entry) => entry.revision === revision)).toBe(true);
      const removals = names.map((name) => ({ remove: name }));
      const wrong = [...compares.slice(1), { key: "k0", revision: 0 }];
      await expectCode("CONFLICT", () => store.commit(wrong, removals));
      expect(await keys(store, "k")).toHaveLength(names.length);
      await store.commit(compares, removals);
      expect(await keys(store, "k")).toEqual([]);
      const more = [...removals, { remove: "one more" }];
      await expectCode("TOO_LARGE", () => store.commit([], more));
      await expectCode("TOO_LARGE", () => store.commit([...compares, { key: "x", revision: 0 }], removals));
    }),
  );

  test(
    "of many writers that read the same revision one wins each round",
    withStore(async (store) => {
      await store.commit([], [{ put: "counter", value: bytesOf("0") }]);
      const increment = async (): Promise<number> => {
        for (let attempts = 1; ; attempts += 1) {
          const entry = (await store.get("counter"))!;
          const value = bytesOf(String(Number(Buffer.from(entry.value).toString()) + 1));
          const code = await codeOf(() =>
            store.commit([{ key: "counter", revision: entry.revision }], [{ put: "counter", value }]),
          );
          if (code === "no error") return attempts;
          expect(code).toBe("CONFLICT");
        }
      };
      const attempts = await Promise.all(Array.from({ length: 10 }, increment));
      expect(Buffer.from((await store.get("counter"))!.value).toString()).toBe("10");
      expect(attempts.some((count) => count > 1)).toBe(true);
    }),
  );
}

function watchTests({ withStore }: Rig): void {
  test(
    "a watcher sees later changes under its prefix, in order, and nothing else",
    withStore(async (store) => {
      await putAll(store, ["p/old"]);
      const events: MetaEvent[] = [];
      const stop = store.watch("p/", (event) => events.push(event));
      const first = await store.commit(
        [],
        [
          { put: "p/1", value: bytesOf("1") },
          { put: "q", value: bytesOf("q") },
        ],
      );
      const second = await store.commit([], [{ remove: "p/1" }, { remove: "p/absent" }]);
      await codeOf(() => store.commit([{ key: "p/1", revision: 99 }], [{ put: "p/2", value: bytesOf("2") }]));
      const third = await putAll(store, ["p/end"]);
      await until("all events are told", () => events.length >= 3);
      expect(events.map(({ key, revision }) => ({ key, revision }))).toEqual([
        { key: "p/1", revision: first },
        { key: "p/1", revision: second },
        { key: "p/end", revision: third },
      ]);
      expectBytes(events[0]!.value!, bytesOf("1"));
      expect(events[1]!.value).toBeUndefined();
      stop();
      stop();
      const others: string[] = [];
      store.watch("p/", (event) => others.push(event.key));
      await putAll(store, ["p/3"]);
      await until("the other watcher is told", () => others.length > 0);
      expect(others).toEqual(["p/3"]);
      expect(events).toHaveLength(3);
    }),
  );

  test(
    "many changes at once are told in order, each once",
    withStore(async (store) => {
      const told: { key: string; revision: number }[] = [];
      store.watch("", ({ key, revision }) => told.push({ key, revision }));
      const names = Array.from({ length: 200 }, (_, index) => `k${index}`);
      const revisions = await Promise.all(names.map((name) => putAll(store, [name])));
      await until("all events are told", () => told.length >= names.length);
      const expected = names.map((key, index) => ({ key, revision: revisions[index]! }));
      expect(told).toEqual(expected.toSorted((left, right) => left.revision - right.revision));
    }),
  );

  test(
    "commits out of a handler are delivered after, in order, to all",
    withStore(async (store) => {
      const first: string[] = [];
      const second: string[] = [];
      let nested: Promise<number> | undefined;
      store.watch("", (event) => {
        first.push(event.key);
        if (event.key === "a") nested = putAll(store, ["c"]);
      });
      store.watch("", (event) => second.push(event.key));
      await putAll(store, ["a", "b"]);
      await until("all events are told", () => first.length >= 3 && second.length >= 3);
      await nested;
      expect(first).toEqual(["a", "b", "c"]);
      expect(second).toEqual(["a", "b", "c"]);
    }),
  );
}

function leaseTests({ withStore, withSetting }: Rig): void {
  test(
    "a lease that is not kept alive takes its keys along, and watchers see it",
    withStore(async (store, { pass, leaseMs }) => {
      const lease = await store.grantLease(leaseMs);
      await store.commit(
        [],
        [
          { put: "leased", value: bytesOf("1"), lease },
          { put: "kept", value: bytesOf("2") },
        ],
      );
      const removed: string[] = [];
      store.watch("", (event) => {
        if (event.value === undefined) removed.push(event.key);
      });
      await pass(leaseMs / 2);
      expect(await store.keepAlive(lease)).toBe(true);
      await pass(0.6 * leaseMs);
      expect(await keys(store, "")).toEqual(["kept", "leased"]);
      await pass(0.5 * leaseMs);
      await until("the lease has ended", async () => (await keys(store, "")).length === 1);
      expect(await keys(store, "")).toEqual(["kept"]);
      await until("the watcher is told", () => removed.length > 0);
      expect(removed).toEqual(["leased"]);
      expect(await store.keepAlive(lease)).toBe(false);
    }),
  );

  test(
    "a revoked lease takes its keys along at once",
    withStore(async (store) => {
      const lease = await store.grantLease(60_000);
      await store.commit([], [{ put: "leased", value: bytesOf("1"), lease }]);
      await store.revokeLease(lease);
      expect(await keys(store, "")).toEqual([]);
      expect(await store.keepAlive(lease)).toBe(false);
      await store.revokeLease(lease);
    }),
  );

  test(
    "a key written again without the lease stays",
    withStore(async (store) => {
      const lease = await store.grantLease(60_000);
      await store.commit([], [{ put: "k", value: bytesOf("1"), lease }]);
      await store.commit([], [{ put: "k", value: bytesOf("2") }]);
      await store.revokeLease(lease);
      expect(await keys(store, "")).toEqual(["k"]);
    }),
  );

  test(
    "a lease that has ended cannot be used: NOT_FOUND, and nothing of the commit happens",
    withStore(async (store) => {
      const lease = await store.grantLease(1000);
      await store.revokeLease(lease);
      const operations = [
        { put: "a", value: bytesOf("1") },
        { put: "b", value: bytesOf("2"), lease },
      ];
      await expectCode("NOT_FOUND", () => store.commit([], operations));
      expect(await keys(store, "")).toEqual([]);
    }),
  );

  test(
    "a lease outlives a restart, can be kept alive after, and still ends",
    withSetting(async ({ open, pass, leaseMs }) => {
      const store = await open();
      const lease = await store.grantLease(leaseMs);
      await store.commit([], [{ put: "leased", value: bytesOf("1"), lease }]);
      await store.close();
      const again = await open();
      expect(await again.keepAlive(lease)).toBe(true);
      await pass(0.6 * leaseMs);
      expect(await keys(again, "")).toEqual(["leased"]);
      await pass(0.6 * leaseMs);
      await until("the lease has ended", async () => (await keys(again, "")).length === 0);
      await again.close();
    }),
  );

  test(
    "two leases have two names",
    withStore(async (store) => {
      expect(await store.grantLease(1000)).not.toBe(await store.grantLease(1000));
      for (const ttlMs of [0, -1, 1.5, Number.NaN]) await expectCode("INVALID_ARGUMENT", () => store.grantLease(ttlMs));
    }),
  );
}

function misuseTests({ withStore, withSetting }: Rig): void {
  test(
    "keys and values over their limits: TOO_LARGE; at the limit they work",
    withStore(async (store) => {
      const key = "k".repeat(MAX_META_KEY_BYTES);
      const value = new Uint8Array(MAX_META_VALUE_BYTES);
      await store.commit([], [{ put: key, value }]);
      expect((await store.get(key))?.value.length).toBe(MAX_META_VALUE_BYTES);
      await expectCode("TOO_LARGE", () => store.commit([], [{ put: `${key}k`, value }]));
      await expectCode("TOO_LARGE", () => store.commit([], [{ put: "k", value: new Uint8Array(value.length + 1) }]));
      await expectCode("TOO_LARGE", () => store.get(`${key}ä`));
      const half = new Uint8Array(MAX_META_COMMIT_BYTES / 2 - 1);
      const puts = [
        { put: "x", value: half },
        { put: "y", value: half },
      ];
      await store.commit([], puts);
      await expectCode("TOO_LARGE", () => store.commit([], [...puts, { remove: "z" }]));
    }),
  );

  test(
    "keys that are no text, and a key twice in a commit: INVALID_ARGUMENT",
    withStore(async (store) => {
      for (const key of ["", "a\0b", "\ud800"]) {
        await expectCode("INVALID_ARGUMENT", () => store.commit([], [{ put: key, value: bytesOf("1") }]));
        await expectCode("INVALID_ARGUMENT", () => store.get(key));
      }
      const twice = [{ put: "a", value: bytesOf("1") }, { remove: "a" }];
      await expectCode("INVALID_ARGUMENT", () => store.commit([], twice));
      expect(await keys(store, "")).toEqual([]);
    }),
  );

  test(
    "use after close: UNAVAILABLE; closing twice is harmless",
    withSetting(async ({ open }) => {
      const store = await open();
      await store.close();
      await store.close();
      await expectCode("UNAVAILABLE", () => store.get("a"));
      await expectCode("UNAVAILABLE", () => putAll(store, ["a"]));
      await expectCode("UNAVAILABLE", () => store.range(""));
      await expectCode("UNAVAILABLE", () => store.grantLease(1000));
    }),
  );
}

function sharingTests({ withSetting }: Rig): void {
  test(
    "what one commits another reads and is told, also of leases",
    withSetting(async ({ open }) => {
      const [one, two] = await Promise.all([open(), open()]);
      const told: MetaEvent[] = [];
      two.watch("a", (event) => told.push(event));
      const lease = await one.grantLease(60_000);
      const revision = await one.commit([], [{ put: "a", value: bytesOf("1"), lease }]);
      expect((await two.get("a"))?.revision).toBe(revision);
      expect(await two.keepAlive(lease)).toBe(true);
      await two.revokeLease(lease);
      expect(await one.get("a")).toBeUndefined();
      await until("both changes are told", () => told.length >= 2);
      expect(told.map(({ value }) => value !== undefined)).toEqual([true, false]);
      await Promise.all([one.close(), two.close()]);
    }),
  );

  test(
    "several that count at once lose nothing",
    withSetting(async ({ open }) => {
      const stores = await Promise.all([open(), open(), open()]);
      const increment = async (store: MetaStore): Promise<void> => {
        for (;;) {
          const entry = await store.get("counter");
          const count = entry === undefined ? 0 : Number(Buffer.from(entry.value).toString());
          const compares = [{ key: "counter", revision: entry?.revision ?? 0 }];
          const code = await codeOf(() =>
            store.commit(compares, [{ put: "counter", value: bytesOf(String(count + 1)) }]),
          );
          if (code === "no error") return;
          expect(code).toBe("CONFLICT");
        }
      };
      await Promise.all(stores.flatMap((store) => Array.from({ length: 10 }, () => increment(store))));
      expect(Buffer.from((await stores[0]!.get("counter"))!.value).toString()).toBe("30");
      await Promise.all(stores.map((store) => store.close()));
    }),
  );
}
