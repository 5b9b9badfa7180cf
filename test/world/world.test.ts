import { expect, test } from "bun:test";
import { RealClock } from "../../src/world/clock.ts";
import { hmacSha256, moduleImporter, onStopSignal, processUsage, realWorld } from "../../src/world/index.ts";
import { codeOf, inTemporaryFolder } from "../conformance/support.ts";

test("wall time is within a millisecond of the system's, has fractions, and does not go back", () => {
  const clock = new RealClock();
  let last = clock.wallMs();
  let fractions = 0;
  for (let round = 0; round < 20_000; round += 1) {
    const before = Date.now();
    const now = clock.wallMs();
    const after = Date.now();
    expect(now >= before && now < after + 1).toBe(true);
    expect(now >= last).toBe(true);
    if (!Number.isInteger(now)) fractions += 1;
    last = now;
  }
  expect(fractions).toBeGreaterThan(10_000);
});

/** A clock over a system whose wall clock can be set. */
function settable(): { clock: RealClock; pass: (ms: number) => number; set: (aheadMs: number) => void } {
  let nowMs = 5_000;
  let aheadMs = 1_700_000_000_000;
  const wallMs = (): number => Math.floor(nowMs + aheadMs);
  const clock = new RealClock({ wallMs, monotonicMs: () => nowMs });
  // It is read all the time, as engines do.
  const pass = (ms: number): number => {
    const endMs = nowMs + ms;
    while (nowMs < endMs) {
      const before = clock.wallMs();
      nowMs = Math.min(endMs, nowMs + 7.25);
      expect(clock.wallMs()).toBeGreaterThan(before);
    }
    return clock.wallMs() - wallMs();
  };
  const set = (ms: number): void => void (aheadMs += ms);
  return { clock, pass, set };
}

test("wall time follows a clock that is set a little off at once, ahead and behind", () => {
  const { clock, pass, set } = settable();
  for (const ms of [80, -80, 3, -3]) {
    const before = clock.wallMs();
    set(ms);
    expect(Math.abs(clock.wallMs() - before - ms)).toBeLessThan(2);
    expect(pass(1_000)).toBeLessThan(1);
  }
});

test("wall time hardly moves with a clock that is far off for half a minute, and is right when that is over", () => {
  for (const aheadMs of [300_000, -300_000, 800, -800]) {
    const { pass, set } = settable();
    pass(1_000);
    set(aheadMs);
    const offMs = -pass(30_000) - aheadMs;
    expect(Math.abs(offMs)).toBeLessThan(610);
    expect(Math.sign(offMs)).toBe(-Math.sign(aheadMs));
    set(-aheadMs);
    expect(Math.abs(pass(30_500))).toBeLessThan(1);
  }
});

test("wall time believes a clock that stays where it was set for a minute, not one that is set again and again", () => {
  const { clock, pass, set } = settable();
  set(300_000);
  expect(pass(59_000)).toBeLessThan(-298_000);
  set(50_000);
  expect(pass(59_000)).toBeLessThan(-340_000);
  set(-50_000);
  pass(59_990);
  expect(pass(20)).toBe(0);
  const before = clock.wallMs();
  set(-100_000);
  pass(59_000);
  // It does not go back before that.
  expect(clock.wallMs()).toBeGreaterThan(before);
});

test("monotonic time goes on, in nanoseconds", async () => {
  const { clock, timers } = realWorld();
  const start = clock.monotonicNs();
  await new Promise<void>((resolve) => void timers.after(20, resolve));
  const passedNs = clock.monotonicNs() - start;
  expect(passedNs).toBeGreaterThan(19e6);
  expect(passedNs).toBeLessThan(20e9);
});

test("timers: canceled ones do not run, soon runs after the I/O of this turn and before later timers", async () => {
  const { timers } = realWorld();
  const order: string[] = [];
  const cancel = timers.after(1, () => order.push("canceled"));
  cancel();
  cancel();
  await new Promise<void>((resolve) => {
    timers.after(5, () => {
      order.push("after");
      resolve();
    });
    timers.soon(() => order.push("soon"));
    queueMicrotask(() => order.push("microtask"));
  });
  expect(order).toEqual(["microtask", "soon", "after"]);
});

test("a delay over the runtime's 31 bits does not run at once", async () => {
  const { timers } = realWorld();
  let ran = false;
  const cancel = timers.after(2 ** 40, () => (ran = true));
  await new Promise<void>((resolve) => void timers.after(10, resolve));
  expect(ran).toBe(false);
  cancel();
});

test("random numbers are in range, random bytes differ, shared memory is filled too", () => {
  const { random } = realWorld();
  for (let round = 0; round < 1000; round += 1) expect(random.next() >= 0 && random.next() < 1).toBe(true);
  const first = new Uint8Array(100_000);
  const second = new Uint8Array(new SharedArrayBuffer(100_000));
  random.fill(first);
  random.fill(second);
  expect(Buffer.compare(first, second)).not.toBe(0);
  expect(new Set(second).size).toBe(256);
});

test("usage of the process grows", () => {
  const before = processUsage();
  const until = performance.now() + 30;
  while (performance.now() < until);
  const after = processUsage();
  expect(after.cpuUserUs + after.cpuSystemUs).toBeGreaterThan(before.cpuUserUs + before.cpuSystemUs);
  expect(after.residentBytes).toBeGreaterThan(1024 * 1024);
});

test("stop signals arrive until they are no longer wanted", async () => {
  const arrived = Promise.withResolvers<string>();
  const stop = onStopSignal((signal) => arrived.resolve(signal));
  process.kill(process.pid, "SIGHUP");
  expect(await arrived.promise).toBe("SIGHUP");
  stop();
  expect(process.listenerCount("SIGHUP")).toBe(0);
});

test("HMAC-SHA-256 gives the value of RFC 4231, test case 2", () => {
  const tag = hmacSha256(Buffer.from("Jefe"), Buffer.from("what do ya want for nothing?"));
  expect(Buffer.from(tag).toString("hex")).toBe("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
});

test("modules load by absolute path, relative path and package name; what is absent rejects", () =>
  inTemporaryFolder(async (folder) => {
    await Bun.write(`${folder}/plugin.ts`, "export default 1 as number;");
    await Bun.write(`${folder}/node_modules/some-plugin/package.json`, '{"name":"some-plugin","main":"main.js"}');
    await Bun.write(`${folder}/node_modules/some-plugin/main.js`, "export default 2;");
    const importModule = moduleImporter(folder);
    expect(await importModule("./plugin.ts")).toMatchObject({ default: 1 });
    expect(await importModule(`${folder}/plugin.ts`)).toMatchObject({ default: 1 });
    expect(await importModule("some-plugin")).toMatchObject({ default: 2 });
    expect(await codeOf(() => importModule("./absent.ts"))).not.toBe("no error");
  }));
