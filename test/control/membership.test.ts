import { expect, test } from "bun:test";
import { SUSPECT_AFTER_MS } from "../../src/base/limits.ts";
import { Membership } from "../../src/control/membership.ts";

const SETTINGS = { leaseMs: 4_000, excludeAfterMs: 6_000 };

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
  const never = member({ leaseMs: 4_000, excludeAfterMs: undefined });
  for (let nowMs = 0; nowMs <= 60_000; nowMs += 250) expect(never.tick(nowMs)).toEqual([]);
});

test("when the control plane itself slept, the engines are not blamed for it", () => {
  const life = member();
  life.tick(0);
  expect(life.tick(60_000)).toEqual([]);
  expect(life.tick(60_250)).toEqual([]);
  expect(life.isSuspect(1, 60_250)).toBe(false);
});

test("after a start every member counts as heard of now, holds a lease, and must join", () => {
  const life = new Membership(SETTINGS);
  life.remember(3, 1_000);
  expect(life.leaseUntilMs(3)).toBe(5_000);
  expect(life.isSuspect(3, 1_500)).toBe(false);
  expect(life.heartbeat(3, 7, 1_500)).toBeUndefined();
});
