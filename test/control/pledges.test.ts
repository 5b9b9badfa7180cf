/**
 * Leaders that lead on by the pledges of all others while the store is away; partitions, restarts, slow networks, clocks of other rates:
 * at no moment two lead.
 */
import { expect, test } from "bun:test";
import type { Clock, Timers } from "../../src/contracts/world.ts";
import { Leadership } from "../../src/control/leadership.ts";
import { putRecord } from "../../src/control/meta-records.ts";
import { memberKey } from "../../src/format/meta-key.ts";
import type { MemberRecord } from "../../src/format/meta-record.ts";
import { SimulatedClock } from "../simulation/clock.ts";
import { SimulatedRandom } from "../simulation/random.ts";
import { SimulatedTimers } from "../simulation/timers.ts";
import { LeasedStore, StoreLink } from "./leased-store.ts";

const LEASE_MS = 2_000;
const STEP_MS = 10;
/** Clocks differ by so much of their rate at most: LEASE_SHARE is 0.8 of what it counts on. */
const MOST_DRIFT = 0.1;
const SEEDS = 150;
/** Changes in a run, and the longest time between two of them, milliseconds. */
const CHANGES = 60;
const CALM_MS = 2_500;

/** `clock` at another rate. */
function atRate(clock: Clock, rate: number): Clock {
  return { wallMs: () => clock.wallMs(), monotonicNs: () => clock.monotonicNs() * rate };
}

class Engine {
  readonly rank: number;
  link!: StoreLink;
  leadership!: Leadership;
  isAlive = false;
  /** Others that it cannot reach, nor they it. */
  readonly cutFrom = new Set<number>();
  readonly rate: number;
  #timers: SimulatedTimers | undefined;
  readonly #system: PledgeSystem;

  constructor(rank: number, rate: number, system: PledgeSystem) {
    this.rank = rank;
    this.rate = rate;
    this.#system = system;
  }

  start(): void {
    const { clock, timers, store, random } = this.#system;
    this.link = new StoreLink(store, timers, random, LEASE_MS);
    this.#timers = new SimulatedTimers(clock, timers);
    const own = this.#timers;
    const rated: Timers = {
      after: (delayMs, callback) => own.after(delayMs / this.rate, callback),
      soon: (callback) => own.soon(callback),
    };
    const mine = atRate(clock, this.rate);
    this.leadership = new Leadership({
      store: this.link,
      clock: mine,
      timers: rated,
      self: { engine: `11111111-2222-4333-8444-00000000000${this.rank}`, host: "127.0.0.1", port: 10_001 },
      leaseMs: LEASE_MS,
      changed: () => {},
      followed: () => {},
      isAlone: () => false,
      askPledges: () => this.#system.askPledges(this),
      startedAtNs: mine.monotonicNs(),
    });
    this.isAlive = true;
    this.leadership.start();
  }

  kill(): void {
    this.isAlive = false;
    this.link.isDead = true;
    this.#timers!.end();
  }

  get isLeader(): boolean {
    return this.isAlive && this.leadership.isLeader;
  }
}

class PledgeSystem {
  readonly clock = new SimulatedClock();
  readonly timers = new SimulatedTimers(this.clock);
  readonly store = new LeasedStore(this.clock);
  readonly random: SimulatedRandom;
  readonly engines: Engine[] = [];
  slownessMs = 0;

  constructor(count: number, seed: number, drift = 0) {
    this.random = new SimulatedRandom(seed);
    for (let rank = 0; rank < count; rank += 1) {
      const record: MemberRecord = {
        rank,
        engine: `11111111-2222-4333-8444-00000000000${rank}`,
        state: "joined",
        domain: "/",
        incarnation: 1,
        host: "127.0.0.1",
        port: 10_001,
        targets: [],
        scmBytes: 0,
        nvmeBytes: 0,
      };
      this.store.commit([], [putRecord("member", memberKey(rank), record)]);
      const rate = 1 + drift * (2 * this.random.next() - 1);
      this.engines.push(new Engine(rank, rate, this));
    }
    for (const engine of this.engines) engine.start();
  }

  /** Asks and hears of all others, as the control plane does; each message takes its time. */
  async askPledges(asker: Engine): Promise<boolean> {
    const { term } = asker.leadership;
    if (term === undefined) return false;
    const pledged = await Promise.all(
      this.engines.map(async (other) => {
        if (other === asker) return true;
        await this.#travel();
        if (!other.isAlive || other.cutFrom.has(asker.rank)) return false;
        const isPledged = other.leadership.pledge(term);
        await this.#travel();
        return isPledged && !other.cutFrom.has(asker.rank);
      }),
    );
    return pledged.every(Boolean);
  }

  #travel(): Promise<void> {
    return new Promise((resolve) => this.timers.after(this.slownessMs * this.random.next(), resolve));
  }

  get leaders(): number[] {
    return this.engines.filter(({ isLeader }) => isLeader).map(({ rank }) => rank);
  }

  /** Time passes; at no moment of it two lead. */
  async pass(durationMs: number): Promise<void> {
    for (let passedMs = 0; passedMs < durationMs; passedMs += STEP_MS) {
      await this.timers.advance(STEP_MS);
      this.store.expire();
      expect(this.leaders.length).toBeLessThanOrEqual(1);
    }
  }

  async untilLed(): Promise<number> {
    for (let passedMs = 0; passedMs < 20_000; passedMs += STEP_MS) {
      if (this.leaders.length === 1) return this.leaders[0]!;
      await this.pass(STEP_MS);
    }
    throw new Error("nobody leads");
  }

  stop(): void {
    for (const engine of this.engines) if (engine.isAlive) engine.kill();
  }
}

test("a leader leads on while the store is away for all, in the same term if the store has kept its record", async () => {
  const system = new PledgeSystem(3, 1);
  const first = await system.untilLed();
  await system.pass(1_000);
  const { term } = system.engines[first]!.leadership;
  system.store.isAway = true;
  for (let seconds = 0; seconds < 60; seconds += 1) {
    await system.pass(1_000);
    expect(system.leaders).toEqual([first]);
  }
  expect(system.engines[first]!.leadership.term).toBe(term!);
  system.store.isAway = false;
  await system.pass(10_000);
  expect(system.leaders).toHaveLength(1);
  system.stop();
});

test("it does not when one other does not promise, and after that only when the store says so", async () => {
  const system = new PledgeSystem(3, 2);
  const first = await system.untilLed();
  await system.pass(1_000);
  system.store.isAway = true;
  await system.pass(5_000);
  expect(system.leaders).toEqual([first]);
  system.engines[(first + 1) % 3]!.kill();
  await system.pass(2_000);
  expect(system.leaders).toEqual([]);
  system.engines[(first + 1) % 3]!.start();
  await system.pass(10_000);
  expect(system.leaders).toEqual([]);
  system.store.isAway = false;
  await system.untilLed();
  system.stop();
});

test("a leader that alone is cut off from the store gives way to another one", async () => {
  const system = new PledgeSystem(3, 3);
  const first = await system.untilLed();
  await system.pass(1_000);
  system.engines[first]!.link.isCut = true;
  await system.pass(3 * LEASE_MS);
  expect(system.leaders).toHaveLength(1);
  expect(system.leaders).not.toEqual([first]);
  system.stop();
});

test("who starts anew behind the back of a leader that is cut off from the store waits for what it has promised before", async () => {
  const system = new PledgeSystem(3, 4);
  const first = await system.untilLed();
  await system.pass(1_000);
  for (const { link } of system.engines) link.isCut = true;
  await system.pass(10_000);
  expect(system.leaders).toEqual([first]);
  const other = system.engines[(first + 1) % 3]!;
  other.kill();
  other.start();
  expect(other.link.isCut).toBe(false);
  await system.pass(1_000);
  expect(system.leaders).toEqual([first]);
  await system.pass(3_000);
  expect(system.leaders).toEqual([other.rank]);
  system.stop();
});

/** One change of the world. */
function change(system: PledgeSystem): void {
  const { random, engines, store } = system;
  const pick = (): Engine => engines[Math.floor(random.next() * engines.length)]!;
  const engine = pick();
  switch (Math.floor(random.next() * 8)) {
    case 0:
      store.isAway = !store.isAway;
      break;
    case 1:
    case 2:
      engine.link.isCut = !engine.link.isCut;
      break;
    case 3: {
      const other = pick();
      if (other === engine) break;
      const isCut = engine.cutFrom.has(other.rank);
      for (const [one, two] of [
        [engine, other],
        [other, engine],
      ] as const) {
        if (isCut) one.cutFrom.delete(two.rank);
        else one.cutFrom.add(two.rank);
      }
      break;
    }
    case 4:
      if (engine.isAlive) engine.kill();
      else engine.start();
      break;
    case 5:
      system.slownessMs = [0, 300, 800][Math.floor(random.next() * 3)]!;
      break;
    case 6:
      engine.link.slownessMs = [0, 200, 1_000][Math.floor(random.next() * 3)]!;
      break;
    default:
      engine.link.lostPercent = random.next() < 0.5 ? 0 : 60;
  }
}

function heal(system: PledgeSystem): void {
  system.store.isAway = false;
  system.slownessMs = 0;
  for (const engine of system.engines) {
    if (!engine.isAlive) engine.start();
    engine.cutFrom.clear();
    Object.assign(engine.link, { isCut: false, slownessMs: 0, lostPercent: 0 });
  }
}

test("whatever is cut, slow, lost, killed and started anew, no two lead at once, and one does when all is well", async () => {
  let ledMs = 0;
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const system = new PledgeSystem(2 + (seed % 3), seed, MOST_DRIFT);
    try {
      for (let count = 0; count < CHANGES; count += 1) {
        change(system);
        const calmMs = system.random.next() * CALM_MS;
        await system.pass(calmMs);
        if (system.store.isAway && system.leaders.length > 0) ledMs += calmMs;
      }
      heal(system);
      await system.untilLed();
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
    system.stop();
  }
  // It was about leaders without a store.
  expect(ledMs).toBeGreaterThan(10_000);
}, 120_000);
