/** The pace of filling: how much of the time it takes, who goes first, and who is never held. */
import { expect, test } from "bun:test";
import { FillPace, type FillPolicy, type FillSlice } from "../../src/dtx/fill-pace.ts";
import { simulatedWorld } from "../simulation/world.ts";

function makeRig(policy: FillPolicy) {
  const { timers, clock } = simulatedWorld(1);
  const nowMs = (): number => clock.monotonicNs() / 1e6;
  const foreground = { count: 0, isBusy: false };
  const given = { policy };
  const pace = new FillPace({ timers, nowMs, foreground });
  const slice = (more: Partial<FillSlice> = {}): FillSlice => ({
    level: 0,
    policy: () => given.policy,
    isUrgent: () => false,
    isOver: () => false,
    ...more,
  });
  const after = (ms: number): Promise<void> => new Promise((resolve) => void timers.after(ms, resolve));
  /** So many workers that do slices of 10 ms without end; how many there were. */
  const work = (workers: number): { count: number; most: number } => {
    const done = { count: 0, most: 0 };
    let running = 0;
    for (let index = 0; index < workers; index += 1) {
      void (async () => {
        for (;;) {
          await pace.run(slice(), async () => {
            running += 1;
            done.most = Math.max(done.most, running);
            await after(10);
            running -= 1;
            done.count += 1;
          });
        }
      })();
    }
    return done;
  };
  return { timers, foreground, given, pace, slice, after, work };
}

test("without requests many slices run at a time, without a pause", async () => {
  const { timers, work } = makeRig({ share: 20, isPaused: false });
  const done = work(16);
  await timers.advance(1_000);
  expect(done.most).toBe(16);
  expect(done.count).toBeGreaterThan(1_500);
});

for (const share of [10, 25, 50]) {
  test(`while requests are there one slice runs at a time, ${share} per cent of the time; and all again behind them`, async () => {
    const { timers, foreground, work } = makeRig({ share, isPaused: false });
    foreground.isBusy = true;
    const done = work(16);
    await timers.advance(10_000);
    expect(done.most).toBe(1);
    // Of 1,000 slices in 10 s; looks come every 5 ms.
    expect(done.count).toBeGreaterThan(share * 10 * 0.8);
    expect(done.count).toBeLessThanOrEqual(share * 10 * 1.02);
    foreground.isBusy = false;
    await timers.advance(1_000);
    expect(done.most).toBe(16);
  });
}

test("requests that come and are answered at once count for a while", async () => {
  const { timers, foreground, after, work } = makeRig({ share: 25, isPaused: false });
  const done = work(16);
  void (async () => {
    for (;;) {
      foreground.count += 1;
      await after(2);
    }
  })();
  await timers.advance(100);
  const before = done.count;
  await timers.advance(10_000);
  expect(done.count - before).toBeLessThanOrEqual(255);
});

test("a new share counts at once, and the whole one waits for nobody", async () => {
  const { timers, foreground, given, work } = makeRig({ share: 10, isPaused: false });
  foreground.isBusy = true;
  const done = work(16);
  await timers.advance(1_000);
  expect(done.count).toBeLessThan(20);
  given.policy = { share: 100, isPaused: false };
  await timers.advance(1_000);
  expect(done.count).toBeGreaterThan(1_000);
});

test("a pause holds what does not begin yet, and nothing that an update waits for", async () => {
  const { timers, given, pace, slice, work } = makeRig({ share: 25, isPaused: true });
  const done = work(4);
  await timers.advance(60_000);
  expect(done.count).toBe(0);
  let isUrgent = false;
  const began: string[] = [];
  void pace.run(slice({ isUrgent: () => true }), async () => void began.push("urgent"));
  void pace.run(slice({ isUrgent: () => isUrgent }), async () => void began.push("hurried"));
  await timers.advance(10);
  expect(began).toEqual(["urgent"]);
  isUrgent = true;
  pace.look();
  await timers.advance(0);
  expect(began).toEqual(["urgent", "hurried"]);
  given.policy = { share: 25, isPaused: false };
  pace.look();
  await timers.advance(1_000);
  expect(done.count).toBeGreaterThan(100);
});

test("who has the least redundancy left goes first, of equals who came first", async () => {
  const { timers, foreground, pace, slice, after } = makeRig({ share: 50, isPaused: false });
  foreground.isBusy = true;
  const order: string[] = [];
  const add = (name: string, level: number): void =>
    void pace.run(slice({ level }), async () => {
      order.push(name);
      await after(5);
    });
  add("first", 7);
  add("b", 2);
  add("c", 1);
  add("d", 2);
  add("e", 0);
  await timers.advance(1_000);
  expect(order).toEqual(["first", "e", "c", "b", "d"]);
});

test("what is over does not wait for its turn, whatever failed before it gave its own back", async () => {
  const { timers, foreground, pace, slice, after } = makeRig({ share: 1, isPaused: false });
  foreground.isBusy = true;
  const ended: string[] = [];
  const failing = pace.run(slice(), async () => {
    await after(100);
    throw new Error("broken");
  });
  failing.catch(() => ended.push("failed"));
  let isOver = false;
  void pace.run(slice({ isOver: () => isOver }), async () => void ended.push("over"));
  await timers.advance(150);
  expect(ended).toEqual(["failed"]);
  isOver = true;
  pace.look();
  await timers.advance(0);
  expect(ended).toEqual(["failed", "over"]);
  await timers.advance(5_000);
  void pace.run(slice(), async () => void ended.push("next"));
  await timers.advance(0);
  expect(ended).toEqual(["failed", "over", "next"]);
});

test("work beside the turns waits for one, holds up nobody who waits for a turn, and has others rest behind it", async () => {
  const { timers, foreground, pace, slice, after, work } = makeRig({ share: 50, isPaused: false });
  foreground.isBusy = true;
  const turn = Promise.withResolvers<void>();
  const ended: string[] = [];
  void pace.runBeside(slice(), async () => {
    // It waits for somebody who waits for a turn.
    await turn.promise;
    await after(500);
    ended.push("beside");
  });
  void pace.run(slice(), async () => turn.resolve());
  await timers.advance(600);
  expect(ended).toEqual(["beside"]);
  const done = work(1);
  await timers.advance(300);
  expect(done.count).toBe(0);
  await timers.advance(1_000);
  expect(done.count).toBeGreaterThan(20);
});
