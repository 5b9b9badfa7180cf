/**
 * Leadership by a lease: three engines on one meta store, in simulated time; links to the store that are cut or slow. And
 * on a real etcd whose members die.
 */
import { describe, expect, test } from "bun:test";
import metaStoreEtcd from "../../plugins/meta-store/etcd/index.ts";
import { etcdSettings } from "../../plugins/meta-store/etcd/settings.ts";
import metaStoreSqlite from "../../plugins/meta-store/sqlite/index.ts";
import { bytesOf } from "../../src/base/bytes.ts";
import { DaosError } from "../../src/base/errors.ts";
import type { MetaCompare, MetaEntry, MetaEvent, MetaOperation, MetaStore } from "../../src/contracts/meta-store.ts";
import { FencedMetaStore } from "../../src/control/fenced-meta-store.ts";
import { Leadership } from "../../src/control/leadership.ts";
import { LEADER_KEY } from "../../src/format/meta-key.ts";
import { realWorld } from "../../src/world/index.ts";
import { codeOf, expectCode, inTemporaryFolder } from "../conformance/support.ts";
import { ETCD_MISSING, EtcdCluster } from "../fixtures/etcd-cluster.ts";
import { EtcdTrouble } from "../fixtures/etcd-counters.ts";
import { SimulatedClock } from "../simulation/clock.ts";
import { SimulatedTimers } from "../simulation/timers.ts";

const LEASE_MS = 4_000;
const NO_NEWS = {
  followed: () => {},
  isAlone: () => false,
  askPledges: async () => false,
  startedAtNs: Number.NEGATIVE_INFINITY,
};
const STEP_MS = 50;

/** One engine's way to a store that others use too: it can be cut, and commits can be held on their way. */
class StoreLink implements MetaStore {
  readonly #store: MetaStore;
  isCut = false;
  held: Promise<void> | undefined;

  constructor(store: MetaStore) {
    this.#store = store;
  }

  get(key: string): Promise<MetaEntry | undefined> {
    return this.#through(() => this.#store.get(key));
  }
  range(prefix: string, options?: { limit?: number; after?: string }): Promise<MetaEntry[]> {
    return this.#through(() => this.#store.range(prefix, options));
  }
  async commit(compares: readonly MetaCompare[], operations: readonly MetaOperation[]): Promise<number> {
    await this.held;
    return this.#through(() => this.#store.commit(compares, operations));
  }
  watch(prefix: string, handler: (event: MetaEvent) => void): () => void {
    return this.#store.watch(prefix, (event) => {
      if (!this.isCut) handler(event);
    });
  }
  grantLease(ttlMs: number): Promise<string> {
    return this.#through(() => this.#store.grantLease(ttlMs));
  }
  keepAlive(lease: string): Promise<boolean> {
    return this.#through(() => this.#store.keepAlive(lease));
  }
  revokeLease(lease: string): Promise<void> {
    return this.#through(() => this.#store.revokeLease(lease));
  }
  async close(): Promise<void> {}

  async #through<Result>(call: () => Promise<Result>): Promise<Result> {
    if (this.isCut) throw new DaosError("UNAVAILABLE", "Cannot reach the store: the link is cut.");
    return await call();
  }
}

class Engine {
  readonly link: StoreLink;
  readonly leadership: Leadership;
  isAlone = false;
  /** Others that are asked for pledges; undefined: nobody can be reached. */
  others: readonly Engine[] | undefined;
  readonly terms: (number | undefined)[] = [];

  constructor(
    index: number,
    store: MetaStore,
    clock: SimulatedClock,
    timers: SimulatedTimers,
    startedAtNs = Number.NEGATIVE_INFINITY,
  ) {
    this.link = new StoreLink(store);
    this.leadership = new Leadership({
      store: this.link,
      clock,
      timers,
      self: { engine: idOf(index), host: "127.0.0.1", port: 10_001 + index },
      leaseMs: LEASE_MS,
      changed: (term) => this.terms.push(term),
      followed: () => {},
      isAlone: () => this.isAlone,
      askPledges: async () => {
        await Promise.resolve();
        const { term } = this.leadership;
        return term !== undefined && this.others?.every(({ leadership }) => leadership.pledge(term)) === true;
      },
      startedAtNs,
    });
  }

  /** Of the term that it led last. */
  get records(): FencedMetaStore {
    const term = this.terms.findLast((led) => led !== undefined) ?? 0;
    return new FencedMetaStore(this.link, this.leadership, term);
  }
}

interface Rig {
  readonly store: MetaStore;
  readonly engines: readonly Engine[];
  readonly start: (index: number) => Engine;
  readonly leaders: () => number[];
  /** Time passes; at no moment of it two lead. */
  readonly pass: (durationMs: number) => Promise<void>;
}

const idOf = (index: number): string => `11111111-2222-4333-8444-00000000000${index}`;

async function withEngines(count: number, use: (rig: Rig) => Promise<void>): Promise<void> {
  await inTemporaryFolder(async (folder) => {
    const clock = new SimulatedClock();
    const timers = new SimulatedTimers(clock);
    const store = await metaStoreSqlite.create({}).open({ ...realWorld(), clock, timers }, { folder });
    const engines: Engine[] = [];
    const leaders = (): number[] => [...engines.keys()].filter((index) => engines[index]!.leadership.isLeader);
    const start = (index: number): Engine => {
      const engine = new Engine(index, store, clock, timers);
      engines.push(engine);
      engine.leadership.start();
      return engine;
    };
    const pass = async (durationMs: number): Promise<void> => {
      for (let passedMs = 0; passedMs < durationMs; passedMs += STEP_MS) {
        await timers.advance(STEP_MS);
        expect(leaders().length).toBeLessThanOrEqual(1);
      }
    };
    for (let index = 0; index < count; index += 1) start(index);
    await pass(STEP_MS);
    await use({ store, engines, start, leaders, pass });
    for (const { leadership } of engines) await leadership.stop();
    await store.close();
  });
}

test("one of three leads and goes on to; the others know it", () =>
  withEngines(3, async ({ engines, leaders, pass, store }) => {
    expect(leaders()).toHaveLength(1);
    const [first] = leaders();
    await pass(10 * LEASE_MS);
    expect(leaders()).toEqual([first!]);
    const term = (await store.get(LEADER_KEY))!.revision;
    expect(engines[first!]!.terms).toEqual([term]);
    expect(engines.map(({ leadership }) => leadership.leader?.engine)).toEqual(Array(3).fill(idOf(first!)));
  }));

test("a leader that stops is followed at once", () =>
  withEngines(3, async ({ engines, leaders, pass }) => {
    const [first] = leaders();
    await engines[first!]!.leadership.stop();
    await pass(2 * STEP_MS);
    expect(leaders()).toHaveLength(1);
    expect(leaders()).not.toEqual([first!]);
    expect(engines[first!]!.terms.at(-1)).toBeUndefined();
  }));

test("a leader that is cut off stops by itself, then another leads; what it would write is refused, also later", () =>
  withEngines(3, async ({ engines, leaders, pass, store }) => {
    const first = leaders()[0]!;
    const old = engines[first]!;
    old.link.isCut = true;
    await pass(2 * LEASE_MS);
    expect(leaders()).toHaveLength(1);
    expect(leaders()).not.toEqual([first]);
    await expectCode("UNAVAILABLE", () => old.records.commit([], [{ put: "x", value: bytesOf("1") }]));
    old.link.isCut = false;
    await pass(LEASE_MS);
    await expectCode("UNAVAILABLE", () => old.records.commit([], [{ put: "x", value: bytesOf("1") }]));
    expect(await store.get("x")).toBeUndefined();
    await engines[leaders()[0]!]!.records.commit([], [{ put: "x", value: bytesOf("2") }]);
    expect(old.leadership.leader?.engine).toBe(idOf(leaders()[0]!));
  }));

test("a commit that is on its way while leadership changes does nothing: UNAVAILABLE, not CONFLICT", () =>
  withEngines(2, async ({ engines, leaders, pass, store }) => {
    const first = leaders()[0]!;
    const old = engines[first]!;
    const { promise, resolve } = Promise.withResolvers<void>();
    old.link.held = promise;
    const commit = codeOf(() => old.records.commit([], [{ put: "x", value: bytesOf("1") }]));
    old.link.isCut = true;
    await pass(2 * LEASE_MS);
    expect(leaders()).toEqual([1 - first]);
    old.link.isCut = false;
    resolve();
    expect(await commit).toBe("UNAVAILABLE");
    expect(await store.get("x")).toBeUndefined();
  }));

test("a conflict of the leader's own is still CONFLICT", () =>
  withEngines(1, async ({ engines, leaders }) => {
    const { records } = engines[0]!;
    const revision = await records.commit([], [{ put: "x", value: bytesOf("1") }]);
    await expectCode("CONFLICT", () => records.commit([{ key: "x", revision: 0 }], [{ remove: "x" }]));
    await records.commit([{ key: "x", revision }], [{ remove: "x" }]);
    expect(leaders()).toEqual([0]);
  }));

test("an engine that was killed takes its own record over at once; what it was before changes nothing more", () =>
  withEngines(1, async ({ engines, start, store }) => {
    const before = engines[0]!;
    const term = (await store.get(LEADER_KEY))!.revision;
    // Killed: it does nothing any more, but a commit of it may be under way.
    const { promise, resolve } = Promise.withResolvers<void>();
    before.link.held = promise;
    const late = codeOf(() => before.records.commit([], [{ put: "x", value: bytesOf("1") }]));
    before.link.isCut = true;
    const after = start(0);
    for (let turns = 0; turns < 1_000 && after.terms.length === 0; turns += 1) await Promise.resolve();
    expect(after.terms[0]!).toBeGreaterThan(term);
    before.link.isCut = false;
    resolve();
    expect(await late).toBe("UNAVAILABLE");
    expect(await store.get("x")).toBeUndefined();
  }));

test("what an engine began in an earlier term of its own changes nothing in a later one", () =>
  withEngines(1, async ({ engines, pass, store }) => {
    const [engine] = engines;
    const { records } = engine!;
    await store.commit([], [{ remove: LEADER_KEY }]);
    await pass(LEASE_MS);
    expect(engine!.leadership.isLeader).toBe(true);
    await expectCode("UNAVAILABLE", () => records.commit([], [{ put: "x", value: bytesOf("1") }]));
    await engine!.records.commit([], [{ put: "x", value: bytesOf("2") }]);
  }));

test("the system's only engine leads on while it is cut off, and with a new term when the store is back", () =>
  withEngines(1, async ({ engines, pass }) => {
    const [engine] = engines;
    engine!.isAlone = true;
    engine!.link.isCut = true;
    await pass(3 * LEASE_MS);
    expect(engine!.leadership.isLeader).toBe(true);
    engine!.link.isCut = false;
    await pass(LEASE_MS);
    expect(engine!.leadership.isLeader).toBe(true);
    expect(engine!.terms).toHaveLength(3);
  }));

test("a lease that ended unnoticed is noticed, and leadership won again with a new term", () =>
  withEngines(1, async ({ engines, leaders, pass, store }) => {
    const [engine] = engines;
    await store.commit([], [{ remove: LEADER_KEY }]);
    await expectCode("UNAVAILABLE", () => engine!.records.commit([], [{ put: "x", value: bytesOf("1") }]));
    await pass(LEASE_MS);
    expect(leaders()).toEqual([0]);
    expect(engine!.terms).toHaveLength(3);
    expect(engine!.terms[2]!).toBeGreaterThan(engine!.terms[0]!);
  }));

describe.skipIf(ETCD_MISSING !== undefined)("on three members of etcd that die in turn", () => {
  test("terms follow one another: no commit of an earlier term after one of a later; leaders change within seconds", async () => {
    const cluster = await EtcdCluster.start({ members: 3 });
    const world = realWorld();
    const { clock, timers } = world;
    const settings = etcdSettings.parse({ endpoints: cluster.endpoints });
    const open = () => metaStoreEtcd.create(settings).open(world, { folder: "" });
    const stores = await Promise.all([open(), open(), open()]);
    const watching = await open();
    const told: { term: string; revision: number }[] = [];
    watching.watch("by", ({ value, revision }) => told.push({ term: Buffer.from(value!).toString(), revision }));
    const leaderships = stores.map((store, index) => {
      const self = { engine: idOf(index), host: "127.0.0.1", port: 10_001 };
      return new Leadership({ store, clock, timers, self, leaseMs: 3_000, changed: () => {}, ...NO_NEWS });
    });
    for (const leadership of leaderships) leadership.start();
    let isOver = false;
    const acknowledged: number[] = [];
    const writers = stores.map(async (store, index) => {
      while (!isOver) {
        const leadership = leaderships[index]!;
        const { term } = leadership;
        if (term === undefined) await Bun.sleep(5);
        else {
          try {
            const records = new FencedMetaStore(store, leadership, term);
            acknowledged.push(await records.commit([], [{ put: "by", value: bytesOf(String(term)) }]));
          } catch (error) {
            expect(["UNAVAILABLE", "TIMEOUT"]).toContain((error as DaosError).code);
          }
        }
      }
    });
    const trouble = new EtcdTrouble(cluster);
    let changes = 0;
    for (const endNs = Bun.nanoseconds() + 14e9; Bun.nanoseconds() < endNs;) {
      const before = leaderships.findIndex(({ isLeader }) => isLeader);
      if (before >= 0) {
        await leaderships[before]!.stop();
        const self = { engine: idOf(before), host: "127.0.0.1", port: 10_001 };
        const again = new Leadership({
          store: stores[before]!,
          clock,
          timers,
          self,
          leaseMs: 3_000,
          changed: () => {},
          ...NO_NEWS,
        });
        const startedNs = Bun.nanoseconds();
        while (!leaderships.some(({ isLeader }) => isLeader)) await Bun.sleep(5);
        expect((Bun.nanoseconds() - startedNs) / 1e6).toBeLessThan(10_000);
        leaderships[before] = again;
        again.start();
        changes += 1;
      }
      await Bun.sleep(1_000);
    }
    await trouble.stop();
    isOver = true;
    await Promise.all(writers);
    await Promise.all(leaderships.map((leadership) => leadership.stop()));
    const last = Math.max(...acknowledged);
    while ((told.at(-1)?.revision ?? 0) < last) await Bun.sleep(20);
    for (const store of [...stores, watching]) await store.close();
    await cluster.stop();
    expect(changes).toBeGreaterThan(2);
    const terms = told.map(({ term }) => Number(term));
    expect(terms).toEqual(terms.toSorted((left, right) => left - right));
    const written = new Set(told.map(({ revision }) => revision));
    expect(acknowledged.filter((revision) => !written.has(revision))).toEqual([]);
  }, 60_000);
});
