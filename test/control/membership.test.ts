import { expect, test } from "bun:test";
import { SUSPECT_AFTER_MS } from "../../src/base/limits.ts";
import { Membership } from "../../src/control/membership.ts";

const SETTINGS = { leaseMs: 4_000, excludeAfterMs: 6_000, excludeDeadAfterMs: 0 };

function member(settings: ConstructorParameters<typeof Membership>[0] = SETTINGS): Membership {
  const life = new Membership(settings);
  life.joining(1, 7, 0);
  life.joined(1, 7, 0);
  return life;
}

test("a heartbeat brings a lease; one of another incarnation, or of nobody, brings none", () => {
  const life = member();
  expect(life.heartbeat(1, 7, 100)).toBe(4_000);
  expect(life.leaseUntilMs(1)).toBe(4_100);
  expect(life.heartbeat(1, 8, 200)).toBeUndefined();
  expect(life.heartbeat(2, 7, 200)).toBeUndefined();
  expect(life.leaseUntilMs(1)).toBe(4_100);
});

test("while it is being told its pools, and when it missed something, heartbeats keep it and bring no lease", () => {
  const life = member();
  expect(life.withhold(1)).toBe(0);
  expect(life.heartbeat(1, 7, 3_000)).toBe(0);
  expect(life.isSuspect(1, 4_000)).toBe(false);
  life.joining(1, 8, 4_000);
  expect(life.heartbeat(1, 8, 4_100)).toBe(0);
  expect(life.misses(1)).toBe(0);
  life.withhold(1);
  expect(life.misses(1)).toBe(1);
  life.joined(1, 8, 4_200);
  expect(life.heartbeat(1, 8, 4_300)).toBe(4_000);
});

test("a join that a later one has overtaken grants nothing", () => {
  const life = member();
  life.joining(1, 8, 100);
  life.joined(1, 7, 200);
  expect(life.heartbeat(1, 8, 300)).toBe(0);
});

test("silence makes a suspect, a lost connection at once; a heartbeat clears both", () => {
  const life = member();
  expect(life.isSuspect(1, SUSPECT_AFTER_MS)).toBe(false);
  expect(life.isSuspect(1, SUSPECT_AFTER_MS + 1)).toBe(true);
  life.heartbeat(1, 7, 2_000);
  expect(life.isSuspect(1, 2_001)).toBe(false);
  life.lost(1, 6);
  expect(life.isSuspect(1, 2_001)).toBe(false);
  life.lost(1, 7);
  expect(life.isSuspect(1, 2_001)).toBe(true);
  life.heartbeat(1, 7, 2_500);
  expect(life.isSuspect(1, 2_501)).toBe(false);
});

test("tick names whom nobody heard of for longer than the lease lasts, never who left, nobody with `never`", () => {
  const life = member();
  const due: number[] = [];
  for (let nowMs = 0; nowMs <= 7_000; nowMs += 250) if (life.tick(nowMs).length > 0) due.push(nowMs);
  expect(due[0]).toBe(6_250);
  expect(due[0]!).toBeGreaterThan(life.leaseUntilMs(1));
  life.left(1);
  expect(life.tick(7_250)).toEqual([]);
  const never = member({ leaseMs: 4_000, excludeAfterMs: undefined, excludeDeadAfterMs: 0 });
  for (let nowMs = 0; nowMs <= 60_000; nowMs += 250) expect(never.tick(nowMs)).toEqual([]);
});

test("one that others find dead is due when its lease is over and it is silent here, after the time given", () => {
  const life = member({ ...SETTINGS, excludeAfterMs: 60_000, excludeDeadAfterMs: 500 });
  life.heartbeat(1, 7, 1_000);
  life.tick(1_000);
  const due = (nowMs: number, deadMs: number | undefined): number[] => {
    const ticking = member({ ...SETTINGS, excludeAfterMs: 60_000, excludeDeadAfterMs: 500 });
    ticking.heartbeat(1, 7, 1_000);
    return ticking.tick(nowMs, () => deadMs);
  };
  expect(due(4_999, 2_000)).toEqual([]);
  expect(due(5_001, 2_000)).toEqual([1]);
  expect(due(5_001, 4_800)).toEqual([]);
  expect(due(5_301, 4_800)).toEqual([1]);
  expect(due(5_001, undefined)).toEqual([]);
  expect(due(61_001, undefined)).toEqual([1]);
  life.withhold(1);
  for (let nowMs = 2_000; nowMs <= 20_000; nowMs += 500) {
    expect(life.heartbeat(1, 7, nowMs)).toBe(0);
    expect(life.tick(nowMs, () => 2_000)).toEqual([]);
  }
});

test("when the control plane itself slept, the engines are not blamed for it", () => {
  const life = member();
  life.tick(0);
  expect(life.tick(60_000)).toEqual([]);
  expect(life.tick(60_250)).toEqual([]);
  expect(life.isSuspect(1, 60_250)).toBe(false);
});

test("after a start every member is a suspect whose silence begins now, holds a lease, and must join", () => {
  const life = new Membership(SETTINGS);
  life.remember(3, 1_000);
  expect(life.leaseUntilMs(3)).toBe(5_000);
  expect(life.isSuspect(3, 1_001)).toBe(true);
  expect(life.exclusionAtMs(3)).toBe(7_000);
  expect(life.heartbeat(3, 7, 1_500)).toBeUndefined();
  life.joining(3, 7, 1_600);
  expect(life.isSuspect(3, 1_601)).toBe(false);
});
