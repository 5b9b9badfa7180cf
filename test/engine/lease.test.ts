/** A lease on a target's thread, and how the engine carries it there. */
import { expect, test } from "bun:test";
import { DaosError } from "../../src/base/errors.ts";
import { FOREVER_NS, Lease } from "../../src/engine/lease.ts";
import { LeaseKeeper } from "../../src/engine/lease-keeper.ts";
import type { Targets } from "../../src/engine/targets.ts";

function isHeld(lease: Lease): boolean {
  try {
    lease.check();
    return true;
  } catch (error) {
    if (error instanceof DaosError && error.code === "UNAVAILABLE") return false;
    throw error;
  }
}

function clockAt(nowNs: number): { nowNs: number; wallMs(): number; monotonicNs(): number } {
  return {
    nowNs,
    wallMs: () => 0,
    monotonicNs() {
      return this.nowNs;
    },
  };
}

test("a target serves until its lease is over, never before it has one", () => {
  const clock = clockAt(100);
  const lease = new Lease(clock);
  expect(isHeld(lease)).toBe(false);
  expect(lease.renew(200)).toBe(100);
  expect(isHeld(lease)).toBe(true);
  // A renewal that was overtaken does not shorten it.
  lease.renew(150);
  clock.nowNs = 199;
  expect(isHeld(lease)).toBe(true);
  clock.nowNs = 200;
  expect(isHeld(lease)).toBe(false);
  lease.renew(FOREVER_NS);
  expect(isHeld(lease)).toBe(true);
  lease.end();
  expect(isHeld(lease)).toBe(false);
});

test("a deadline is the same moment, or a little earlier, on a thread whose clock began at another time", async () => {
  for (const offsetNs of [-5e9, 0, 7e9]) {
    const ours = clockAt(10e9);
    const theirs = clockAt(10e9 + offsetNs);
    const lease = new Lease(theirs);
    const pass = (ns: number): void => {
      ours.nowNs += ns;
      theirs.nowNs += ns;
    };
    // Each way of a message takes a millisecond.
    const targets = {
      count: 1,
      setLease: async (_index: number, untilNs: number) => {
        pass(1e6);
        const answer = lease.renew(Math.max(0, untilNs));
        pass(1e6);
        return answer;
      },
    } as unknown as Targets;
    const keeper = new LeaseKeeper(targets, ours);
    const untilNs = 14e9;
    await keeper.grant(untilNs);
    pass(untilNs - ours.nowNs - 3e6);
    expect(isHeld(lease)).toBe(true);
    pass(3e6);
    expect(isHeld(lease)).toBe(false);
  }
});
