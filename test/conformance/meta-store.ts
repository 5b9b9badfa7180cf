/**
 * What every meta-store plugin must do. Call `metaStoreConformance` first in the plugin's test. Time is simulated: leases
 * end when the world's timers say so.
 */
import { describe, expect, test } from "bun:test";
import { bytesOf } from "../../src/base/bytes.ts";
import { MAX_META_KEY_BYTES, MAX_META_VALUE_BYTES } from "../../src/base/limits.ts";
import type { MetaEvent, MetaStore, MetaStoreProvider } from "../../src/contracts/meta-store.ts";
import type { World } from "../../src/contracts/world.ts";
import { realWorld } from "../../src/world/index.ts";
import { SimulatedClock } from "../simulation/clock.ts";
import { SimulatedTimers } from "../simulation/timers.ts";
import { codeOf, expectBytes, expectCode, inTemporaryFolder, pattern } from "./support.ts";

type Providers = () => MetaStoreProvider;

interface Setting {
  readonly folder: string;
  readonly timers: SimulatedTimers;
  /** Opens the store; the test closes it. */
  readonly open: () => Promise<MetaStore>;
}

export function metaStoreConformance(name: string, makeProvider: Providers): void {
  describe(`meta-store ${name}`, () => {
    entryTests(makeProvider);
    rangeTests(makeProvider);
    commitTests(makeProvider);
    watchTests(makeProvider);
    leaseTests(makeProvider);
    misuseTests(makeProvider);
  });
}

/** The real disk, simulated time. */
function withSetting(makeProvider: Providers, use: (setting: Setting) => Promise<void>): Promise<void> {
  return inTemporaryFolder(async (folder) => {
    const clock = new SimulatedClock();
    const timers = new SimulatedTimers(clock);
    const world: World = { ...realWorld(), clock, timers };
    await use({ folder, timers, open: () => makeProvider().open(world, { folder }) });
  });
}

function withStore(makeProvider: Providers, use: (store: MetaStore, setting: Setting) => Promise<void>): Promise<void> {
  return withSetting(makeProvider, async (setting) => {
    const store = await setting.open();
    await use(store, setting);
    await store.close();
  });
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

function entryTests(makeProvider: Providers): void {
  test("a new store is empty", () =>
    withStore(makeProvider, async (store) => {
      expect(await store.get("a")).toBeUndefined();
      expect(await store.range("")).toEqual([]);
    }));

  test("an entry comes back with its bytes and the revision of its commit", () =>
    withStore(makeProvider, async (store) => {
      const value = pattern(1000, 1);
      const revision = await store.commit([], [{ put: "pool/1", value }]);
      const entry = await store.get("pool/1");
      expect(entry?.key).toBe("pool/1");
      expect(entry?.revision).toBe(revision);
      expectBytes(entry!.value, value);
    }));

  test("an empty value is a value; a removed key is absent", () =>
    withStore(makeProvider, async (store) => {
      await store.commit([], [{ put: "a", value: new Uint8Array() }]);
      expect((await store.get("a"))?.value.length).toBe(0);
      await store.commit([], [{ remove: "a" }]);
      expect(await store.get("a")).toBeUndefined();
    }));

  test("the value given and the value got are copies", () =>
    withStore(makeProvider, async (store) => {
      const value = pattern(10, 2);
      await store.commit([], [{ put: "a", value }]);
      value.fill(0);
      const got = await store.get("a");
      expectBytes(got!.value, pattern(10, 2));
      got!.value.fill(0);
      expectBytes((await store.get("a"))!.value, pattern(10, 2));
    }));

  test("everything is there after close and open, revisions too", () =>
    withSetting(makeProvider, async ({ open }) => {
      const store = await open();
      await putAll(store, ["a", "b"]);
      const revision = await store.commit([], [{ put: "c", value: bytesOf("c") }, { remove: "a" }]);
      await store.close();
      const again = await open();
      expect(await keys(again, "")).toEqual(["b", "c"]);
      expect((await again.get("c"))?.revision).toBe(revision);
      expect(await again.commit([], [{ put: "d", value: bytesOf("d") }])).toBe(revision + 1);
      await again.close();
    }));
}

function rangeTests(makeProvider: Providers): void {
  test("a range has the keys of a prefix in the order of their UTF-8 bytes", () =>
    withStore(makeProvider, async (store) => {
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
    }));

  test("limit and after page through a range", () =>
    withStore(makeProvider, async (store) => {
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
    }));

  test("a write after a range that was cut short is seen by the next", () =>
    withStore(makeProvider, async (store) => {
      await putAll(store, ["a", "b", "c"]);
      await keys(store, "", { limit: 1 });
      await putAll(store, ["d"]);
      expect(await keys(store, "")).toEqual(["a", "b", "c", "d"]);
    }));
}

function commitTests(makeProvider: Providers): void {
  test("each commit has the next revision, and the keys it wrote carry it", () =>
    withStore(makeProvider, async (store) => {
      const first = await putAll(store, ["a", "b"]);
      const second = await putAll(store, ["b"]);
      expect(second).toBe(first + 1);
      expect((await store.get("a"))?.revision).toBe(first);
      expect((await store.get("b"))?.revision).toBe(second);
    }));

  test("a compare that holds lets the commit through, one that does not rejects it whole", () =>
    withStore(makeProvider, async (store) => {
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
      const next = await putAll(store, ["y"]);
      expect(next).toBe(revision + 2);
    }));

  test("of many writers that read the same revision one wins each round", () =>
    withStore(makeProvider, async (store) => {
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
    }));
}

function watchTests(makeProvider: Providers): void {
  test("a watcher sees later changes under its prefix, in order, and nothing else", () =>
    withStore(makeProvider, async (store) => {
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
      expect(events.map(({ key, revision }) => ({ key, revision }))).toEqual([
        { key: "p/1", revision: first },
        { key: "p/1", revision: second },
      ]);
      expectBytes(events[0]!.value!, bytesOf("1"));
      expect(events[1]!.value).toBeUndefined();
      stop();
      stop();
      await putAll(store, ["p/3"]);
      expect(events).toHaveLength(2);
    }));

  test("commits out of a handler are delivered after, in order, to all", () =>
    withStore(makeProvider, async (store) => {
      const first: string[] = [];
      const second: string[] = [];
      let nested: Promise<number> | undefined;
      store.watch("", (event) => {
        first.push(event.key);
        if (event.key === "a") nested = putAll(store, ["c"]);
      });
      store.watch("", (event) => second.push(event.key));
      await putAll(store, ["a", "b"]);
      await nested;
      expect(first).toEqual(["a", "b", "c"]);
      expect(second).toEqual(["a", "b", "c"]);
    }));
}

function leaseTests(makeProvider: Providers): void {
  test("a lease that is not kept alive takes its keys along, and watchers see it", () =>
    withStore(makeProvider, async (store, { timers }) => {
      const lease = await store.grantLease(1000);
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
      await timers.advance(900);
      expect(await store.keepAlive(lease)).toBe(true);
      await timers.advance(900);
      expect(await keys(store, "")).toEqual(["kept", "leased"]);
      await timers.advance(200);
      expect(await keys(store, "")).toEqual(["kept"]);
      expect(removed).toEqual(["leased"]);
      expect(await store.keepAlive(lease)).toBe(false);
    }));

  test("a revoked lease takes its keys along at once", () =>
    withStore(makeProvider, async (store) => {
      const lease = await store.grantLease(1000);
      await store.commit([], [{ put: "leased", value: bytesOf("1"), lease }]);
      await store.revokeLease(lease);
      expect(await keys(store, "")).toEqual([]);
      expect(await store.keepAlive(lease)).toBe(false);
      await store.revokeLease(lease);
    }));

  test("a key written again without the lease stays", () =>
    withStore(makeProvider, async (store) => {
      const lease = await store.grantLease(1000);
      await store.commit([], [{ put: "k", value: bytesOf("1"), lease }]);
      await store.commit([], [{ put: "k", value: bytesOf("2") }]);
      await store.revokeLease(lease);
      expect(await keys(store, "")).toEqual(["k"]);
    }));

  test("a lease that has ended cannot be used: NOT_FOUND, and nothing of the commit happens", () =>
    withStore(makeProvider, async (store) => {
      const lease = await store.grantLease(1000);
      await store.revokeLease(lease);
      const operations = [
        { put: "a", value: bytesOf("1") },
        { put: "b", value: bytesOf("2"), lease },
      ];
      await expectCode("NOT_FOUND", () => store.commit([], operations));
      expect(await keys(store, "")).toEqual([]);
    }));

  test("a lease outlives a restart, has its whole time again, and still ends", () =>
    withSetting(makeProvider, async ({ open, timers }) => {
      const store = await open();
      const lease = await store.grantLease(1000);
      await store.commit([], [{ put: "leased", value: bytesOf("1"), lease }]);
      await store.close();
      const again = await open();
      await timers.advance(900);
      expect(await keys(again, "")).toEqual(["leased"]);
      await timers.advance(200);
      expect(await keys(again, "")).toEqual([]);
      await again.close();
    }));

  test("two leases have two names", () =>
    withStore(makeProvider, async (store) => {
      expect(await store.grantLease(1000)).not.toBe(await store.grantLease(1000));
      for (const ttlMs of [0, -1, 1.5, Number.NaN]) await expectCode("INVALID_ARGUMENT", () => store.grantLease(ttlMs));
    }));
}

function misuseTests(makeProvider: Providers): void {
  test("keys and values over their limits: TOO_LARGE; at the limit they work", () =>
    withStore(makeProvider, async (store) => {
      const key = "k".repeat(MAX_META_KEY_BYTES);
      const value = new Uint8Array(MAX_META_VALUE_BYTES);
      await store.commit([], [{ put: key, value }]);
      expect((await store.get(key))?.value.length).toBe(MAX_META_VALUE_BYTES);
      await expectCode("TOO_LARGE", () => store.commit([], [{ put: `${key}k`, value }]));
      await expectCode("TOO_LARGE", () => store.commit([], [{ put: "k", value: new Uint8Array(value.length + 1) }]));
      await expectCode("TOO_LARGE", () => store.get(`${key}ä`));
    }));

  test("keys that are no text, and a key twice in a commit: INVALID_ARGUMENT", () =>
    withStore(makeProvider, async (store) => {
      for (const key of ["", "a\0b", "\ud800"]) {
        await expectCode("INVALID_ARGUMENT", () => store.commit([], [{ put: key, value: bytesOf("1") }]));
        await expectCode("INVALID_ARGUMENT", () => store.get(key));
      }
      const twice = [{ put: "a", value: bytesOf("1") }, { remove: "a" }];
      await expectCode("INVALID_ARGUMENT", () => store.commit([], twice));
      expect(await keys(store, "")).toEqual([]);
    }));

  test("use after close: UNAVAILABLE; closing twice is harmless", () =>
    withSetting(makeProvider, async ({ open }) => {
      const store = await open();
      await store.close();
      await store.close();
      await expectCode("UNAVAILABLE", () => store.get("a"));
      await expectCode("UNAVAILABLE", () => putAll(store, ["a"]));
      await expectCode("UNAVAILABLE", () => store.range(""));
      await expectCode("UNAVAILABLE", () => store.grantLease(1000));
    }));
}
