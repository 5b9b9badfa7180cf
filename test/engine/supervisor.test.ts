/** Engines of one host: how they share it, and how they are kept running. In simulated time, with processes that are not. */
import { expect, test } from "bun:test";
import { DaosError } from "../../src/base/errors.ts";
import { MAX_RESTART_DELAY_MS } from "../../src/base/limits.ts";
import { loadConfiguration } from "../../src/engine/configuration.ts";
import { type EnginePlan, planEngines } from "../../src/engine/engine-plan.ts";
import {
  engineArguments,
  type EngineChild,
  type EngineEnd,
  RESTART_STATUS,
  Supervisor,
} from "../../src/engine/supervisor.ts";
import { simulatedWorld } from "../simulation/world.ts";

const STORAGE = "/data";

function configuration(flags: Record<string, string | number> = {}) {
  return loadConfiguration({ environment: {}, cores: 8, workingFolder: "/", flags: { storage: STORAGE, ...flags } });
}

function codeOf(work: () => unknown): string {
  try {
    work();
    return "ok";
  } catch (error) {
    if (error instanceof DaosError) return error.code;
    throw error;
  }
}

function write({ disk }: ReturnType<typeof simulatedWorld>, folder: string): void {
  disk.makeFolder(folder);
  disk.openFile(`${folder}/superblock`, { create: true }).close();
}

test("engines share folder, ports and cores; one on its own has the whole folder", () => {
  const { disk } = simulatedWorld(1);
  const plans = planEngines(disk, configuration({ engines: 3 }), 8);
  expect(plans.map(({ storage, listen, targets }) => [storage, listen.port, targets])).toEqual([
    ["/data/engine0", 10_001, 2],
    ["/data/engine1", 10_101, 2],
    ["/data/engine2", 10_201, 2],
  ]);
  expect(planEngines(disk, configuration({ engines: 3, targets: 5 }), 8)[0]!.targets).toBeUndefined();
  expect(planEngines(disk, configuration({ engines: 2, listen: "127.0.0.1:0" }), 1)[1]!.listen.port).toBe(0);
  expect(planEngines(disk, configuration(), 8).map(({ storage }) => storage)).toEqual([STORAGE]);
});

test("a storage starts with as many engines as it holds, may grow, and is not started in part", () => {
  const world = simulatedWorld(1);
  for (const index of [0, 1, 2]) write(world, `${STORAGE}/engine${index}`);
  const plans = planEngines(world.disk, configuration(), 8);
  expect(plans.map(({ isNew, targets }) => [isNew, targets])).toEqual([
    [false, undefined],
    [false, undefined],
    [false, undefined],
  ]);
  expect(planEngines(world.disk, configuration({ engines: 4 }), 8)[3]!.isNew).toBe(true);
  expect(codeOf(() => planEngines(world.disk, configuration({ engines: 2 }), 8))).toBe("CONFIGURATION");
  const old = simulatedWorld(1);
  write(old, STORAGE);
  expect(planEngines(old.disk, configuration({ engines: 2 }), 8).map(({ storage }) => storage)).toEqual([
    STORAGE,
    "/data/engine1",
  ]);
});

test("engines that would reach beyond the last port, or join and be several, are refused", () => {
  expect(codeOf(() => configuration({ engines: 3, listen: "127.0.0.1:65400" }))).toBe("CONFIGURATION");
  expect(codeOf(() => configuration({ engines: 2, join: "h:1" }))).toBe("CONFIGURATION");
});

class FakeChild implements EngineChild {
  readonly pid = 1;
  readonly ended: Promise<EngineEnd>;
  end!: (end: EngineEnd) => void;
  readonly order: string[];
  readonly name: string;

  constructor(name: string, order: string[]) {
    this.name = name;
    this.order = order;
    this.ended = new Promise((resolve) => {
      this.end = resolve;
    });
  }

  signal(): void {
    this.order.push(`stop ${this.name}`);
    this.end({ status: 0, signal: undefined });
  }
}

function rig(count: number, dies: (index: number, start: number) => number | undefined = () => undefined) {
  const world = simulatedWorld(1);
  const order: string[] = [];
  const children: FakeChild[] = [];
  const startsMs: number[][] = Array.from({ length: count }, () => []);
  const plans = planEngines(world.disk, configuration({ engines: count, listen: "127.0.0.1:0" }), 8);
  const supervisor = new Supervisor({
    clock: world.clock,
    timers: world.timers,
    plans,
    event: (message) => order.push(message),
    spawn: ({ index, storage }: EnginePlan, { control, port, restartedAfter }, ready) => {
      startsMs[index]!.push(world.clock.monotonicNs() / 1e6);
      const child = new FakeChild(String(index), order);
      children[index] = child;
      const status = dies(index, startsMs[index]!.length);
      order.push(
        `start ${index} port ${port} control ${control?.port ?? "none"}${restartedAfter === undefined ? "" : ` after ${restartedAfter}`}`,
      );
      if (status === undefined) {
        queueMicrotask(() =>
          ready({ address: `127.0.0.1:${5000 + index}`, storage, created: true, pid: 1, rank: index + 5 }),
        );
      } else child.end({ status, signal: undefined });
      return child;
    },
  });
  return { world, supervisor, order, children, startsMs };
}

const died: EngineEnd = { status: undefined, signal: "SIGKILL" };

test("the first engine starts first, the others join it; they stop in the reverse order", async () => {
  const { supervisor, order } = rig(3);
  const ready = await supervisor.start();
  expect(ready.map(({ address }) => address)).toEqual(["127.0.0.1:5000", "127.0.0.1:5001", "127.0.0.1:5002"]);
  expect(order).toEqual(["start 0 port 0 control none", "start 1 port 0 control 5000", "start 2 port 0 control 5000"]);
  order.length = 0;
  await supervisor.stop();
  await supervisor.ended;
  expect(order).toEqual(["stop 2", "stop 1", "stop 0"]);
});

test("an engine that dies is started at once on its port, then after delays that grow to a limit", async () => {
  const { world, supervisor, order, children, startsMs } = rig(2);
  await supervisor.start();
  for (let death = 0; death < 10; death += 1) {
    children[1]!.end(died);
    await world.timers.advance(MAX_RESTART_DELAY_MS + 1);
  }
  const delays = startsMs[1]!.slice(1, 9).map((startMs, index) => {
    const diedMs = index === 0 ? startsMs[1]![0]! : index * (MAX_RESTART_DELAY_MS + 1) + startsMs[1]![0]!;
    return Math.round(startMs - diedMs);
  });
  expect(delays).toEqual([0, 500, 1000, 2000, 4000, 8000, 16_000, 30_000]);
  expect(order).toContain("start 1 port 5001 control 5000 after by SIGKILL");
  // One that ran for long is started at once again.
  await world.timers.advance(120_000);
  const starts = startsMs[1]!.length;
  children[1]!.end(died);
  await world.timers.advance(10);
  expect(startsMs[1]!.length).toBe(starts + 1);
  await supervisor.stop();
});

test("an engine that an admin stopped stays away; when all have, it is over", async () => {
  const { world, supervisor, children, startsMs } = rig(2);
  await supervisor.start();
  children[1]!.end({ status: 0, signal: undefined });
  await world.timers.advance(100_000);
  expect(startsMs[1]!.length).toBe(1);
  children[0]!.end({ status: 0, signal: undefined });
  await supervisor.ended;
});

test("an engine that ends to be restarted is started at once, as often as that is wanted, and that is no failure", async () => {
  const { world, supervisor, children, startsMs, order } = rig(2);
  await supervisor.start();
  for (let round = 1; round <= 5; round += 1) {
    children[1]!.end({ status: RESTART_STATUS, signal: undefined });
    await world.timers.advance(1);
    expect(startsMs[1]!.length).toBe(round + 1);
  }
  expect(order.filter((line) => line.includes(" after "))).toEqual([]);
  children[1]!.end(died);
  await world.timers.advance(1);
  // The first death is not waited for.
  expect(startsMs[1]!.length).toBe(7);
  await supervisor.stop();
});

test("an engine that an admin stopped is started when its rank is named, and no other", async () => {
  const { world, supervisor, children, startsMs, order } = rig(3);
  await supervisor.start();
  children[1]!.end({ status: 0, signal: undefined });
  await world.timers.advance(1);
  supervisor.startAgain([5, 7]);
  expect(startsMs[1]!.length).toBe(1);
  supervisor.startAgain([6]);
  await world.timers.advance(1);
  expect(startsMs.map(({ length }) => length)).toEqual([1, 2, 1]);
  expect(order.at(-1)).toBe("engine 1: ready on 127.0.0.1:5001");
  // It counts again: the others end, and it is not over yet.
  children[0]!.end({ status: 0, signal: undefined });
  children[2]!.end({ status: 0, signal: undefined });
  let isOver = false;
  void supervisor.ended.then(() => (isOver = true));
  await world.timers.advance(1);
  expect(isOver).toBe(false);
  children[1]!.end({ status: 0, signal: undefined });
  await supervisor.ended;
});

test("an engine that does not come up at first fails the start and stops the others", async () => {
  for (const [status, code] of [
    [2, "CONFIGURATION"],
    [1, "UNAVAILABLE"],
  ] as const) {
    const { supervisor, order } = rig(3, (index) => (index === 1 ? status : undefined));
    expect(await supervisor.start().catch((error: unknown) => (error as DaosError).code)).toBe(code);
    expect(order.at(-1)).toBe("stop 0");
    expect(order.some((line) => line.startsWith("start 2"))).toBe(false);
  }
});

test("an engine's arguments name its storage, port and whom to join", () => {
  const plan: EnginePlan = {
    index: 1,
    storage: "/data/engine1",
    listen: { host: "::1", port: 7 },
    targets: 2,
    isNew: true,
  };
  expect(engineArguments(plan, { host: "127.0.0.1", port: 9 }, ["--config", "/f"]).join(" ")).toBe(
    "server start --json --engines 1 --storage /data/engine1 --listen [::1]:7 --targets 2 --join 127.0.0.1:9 --config /f",
  );
});
