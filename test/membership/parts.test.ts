import { expect, test } from "bun:test";
import fc from "fast-check";
import { MemberState, type MemberUpdate } from "../../src/format/membership-message.ts";
import { GossipQueue } from "../../src/membership/gossip-queue.ts";
import { compareUpdates, joinAccusers, MemberViews } from "../../src/membership/member-views.ts";
import { ProbeOrder } from "../../src/membership/probe-order.ts";
import { Roster } from "../../src/membership/roster.ts";
import { DEFAULT_SWIM_SETTINGS, suspicionLastsMs, transmissionsAmong } from "../../src/membership/settings.ts";
import { SimulatedRandom } from "../simulation/random.ts";

test("ProbeOrder meets each index once a round, in another order each time", () => {
  const order = new ProbeOrder(new SimulatedRandom(1));
  for (const size of [1, 2, 3, 6, 17, 256, 1000]) {
    const rounds = [0, 1].map(() => Array.from({ length: size }, () => order.next(size)));
    for (const round of rounds) expect(new Set(round).size).toBe(size);
    expect(rounds.flat().every((index) => index >= 0 && index < size)).toBe(true);
    if (size > 6) expect(rounds[0]).not.toEqual(rounds[1]!);
  }
});

test("ProbeOrder gives each index about the same chance at each place", () => {
  const random = new SimulatedRandom(2);
  const counts = Array.from({ length: 6 }, () => 0);
  for (let round = 0; round < 6_000; round += 1) counts[new ProbeOrder(random).next(6)]! += 1;
  for (const count of counts) expect(Math.abs(count - 1_000)).toBeLessThan(200);
});

test("GossipQueue tells the least told first, each so many times, and news of the same member anew", () => {
  const queue = new GossipQueue();
  const take = (room: number): number[] => {
    const into: number[] = [];
    queue.take(into, room, 2);
    return into;
  };
  for (const rank of [1, 2, 3]) queue.add(rank);
  expect(take(2)).toEqual([1, 2]);
  expect(take(2)).toEqual([3, 1]);
  queue.add(1);
  expect(take(3)).toEqual([1, 2, 3]);
  expect(take(3)).toEqual([1]);
  expect(queue.isEmpty).toBe(true);
});

const anyUpdate: fc.Arbitrary<MemberUpdate> = fc.record({
  rank: fc.constantFrom(1, 2),
  start: fc.nat(3),
  refutation: fc.nat(2),
  state: fc.constantFrom(...Object.values(MemberState)),
  accusers: fc.constant([]),
});

test("MemberViews believe the same after the same statements in any order and number", () => {
  const roster = new Roster([1, 2].map((rank) => ({ rank, start: 1 })));
  const after = (updates: readonly MemberUpdate[]): unknown => {
    const views = new MemberViews(roster);
    for (const update of updates) if (views.isNews(update)) views.set(update);
    return [views.get(1), views.get(2), [...views.gone].sort()];
  };
  fc.assert(
    fc.property(fc.array(anyUpdate), (updates) => {
      expect(after([...updates, ...updates])).toEqual(after(updates.toReversed()));
    }),
  );
});

test("MemberViews forget what was said of an earlier start, and of who is no member", () => {
  const dead = (rank: number): MemberUpdate => ({
    rank,
    start: 1,
    refutation: 0,
    state: MemberState.dead,
    accusers: [],
  });
  const views = new MemberViews(new Roster([1, 2, 3].map((rank) => ({ rank, start: 1 }))));
  for (const rank of [1, 2, 3]) views.set(dead(rank));
  views.adopt(
    new Roster([
      { rank: 1, start: 1 },
      { rank: 2, start: 2 },
    ]),
  );
  expect([...views.gone]).toEqual([1]);
  expect(views.get(2)?.state).toBe(MemberState.alive);
  expect(views.get(3)).toBeUndefined();
  expect(views.isNews(dead(2))).toBe(false);
  expect(views.isNews(dead(3))).toBe(false);
});

test("statements are ordered by start, refutations, state; accusers are joined up to a limit", () => {
  const update = (start: number, refutation: number, state: MemberState): MemberUpdate => ({
    rank: 1,
    start,
    refutation,
    state,
    accusers: [],
  });
  const { alive, suspect, dead, left } = MemberState;
  const ascending = [
    update(1, 0, alive),
    update(1, 0, suspect),
    update(1, 0, dead),
    update(1, 0, left),
    update(1, 1, alive),
  ];
  expect([...ascending, update(2, 0, alive)].toReversed().toSorted(compareUpdates)).toEqual([
    ...ascending,
    update(2, 0, alive),
  ]);
  expect(joinAccusers([1, 2], [2, 3, 4], 3)).toEqual([1, 2, 3]);
  expect(joinAccusers([1, 2], [3], 1)).toEqual([1, 2]);
});

test("a suspicion gets shorter with each confirmation and longer with the system, news are told more often in larger ones", () => {
  const lasts = (members: number, accusers: number): number =>
    suspicionLastsMs(DEFAULT_SWIM_SETTINGS, members, accusers);
  expect(lasts(100, 1)).toBeCloseTo(3 * lasts(100, 3));
  expect(lasts(100, 1)).toBeGreaterThan(lasts(100, 2));
  expect(lasts(100, 2)).toBeGreaterThan(lasts(100, 3));
  expect(lasts(100, 9)).toBe(lasts(100, 3));
  expect(lasts(2, 1)).toBe(lasts(2, 3));
  expect(lasts(10_000, 3)).toBeGreaterThan(lasts(100, 3));
  expect(transmissionsAmong(DEFAULT_SWIM_SETTINGS, 6)).toBe(4);
  expect(transmissionsAmong(DEFAULT_SWIM_SETTINGS, 9_999)).toBe(16);
});
