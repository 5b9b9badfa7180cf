/** Targets with a faulty device leave the pools that bear it, and stay in the others, which is said once. */
import { expect, test } from "bun:test";
import { DaosError } from "../../src/base/errors.ts";
import { DeviceWatch, type DeviceWatchParts } from "../../src/control/device-watch.ts";
import { SimulatedClock } from "../simulation/clock.ts";
import { SimulatedTimers } from "../simulation/timers.ts";

interface Rig {
  readonly watch: DeviceWatch;
  readonly events: string[];
  readonly excluded: (readonly number[])[];
  refusal: string | undefined;
  keepsCopies: boolean;
  faulty: readonly number[];
  error: DaosError | undefined;
}

function rig(): Rig {
  const events: string[] = [];
  const excluded: (readonly number[])[] = [];
  const target = (index: number, rank: number, state: string) => ({ index, rank, target: index % 2, state });
  const targets = [target(0, 0, "UPIN"), target(1, 0, "UPIN"), target(2, 1, "UPIN"), target(3, 1, "DOWN")];
  const link = {
    call: async (name: string) => {
      expect(name).toBe("faultyTargets");
      if (made.error !== undefined) throw made.error;
      return { targets: made.faulty };
    },
  };
  const parts = {
    timers: new SimulatedTimers(new SimulatedClock()),
    event: (level: string, message: string) => void events.push(`${level} ${message}`),
    members: {
      list: () => [{ rank: 0 }, { rank: 1 }],
      state: (rank: number) => (rank === 1 ? "joined" : "suspect"),
      link: () => link,
    },
    maps: {
      poolsOf: async (ranks: readonly number[]) => [{ pool: "id", ranks }],
      keepsCopies: async () => made.keepsCopies,
      excludeFaulty: async (_pool: object, indices: readonly number[]) => {
        if (made.refusal === undefined) excluded.push(indices);
        return made.refusal;
      },
    },
    store: { find: async () => ({ record: { targets } }) },
    records: { get: async () => ({ record: { state: "ready", label: "tank" } }) },
  };
  const made: Rig = {
    watch: new DeviceWatch(parts as unknown as DeviceWatchParts),
    events,
    excluded,
    refusal: undefined,
    keepsCopies: true,
    faulty: [],
    error: undefined,
  };
  return made;
}

test("targets of an engine that is here and whose device is faulty are excluded, if they take part", async () => {
  const made = rig();
  await made.watch.tick();
  expect(made.excluded).toEqual([]);
  made.faulty = [0, 1];
  await made.watch.tick();
  // Of rank 1; the other one of it is down already. Rank 0 is not heard of: that is the failure watch's.
  expect(made.excluded).toEqual([[2]]);
  expect(made.events).toEqual(['warn target(s) 2 of pool "tank" (rank 1) are excluded: their device is faulty']);
});

test("a refusal is told once, and tried again", async () => {
  const made = rig();
  made.faulty = [0];
  made.refusal = "Cannot exclude: too many are down.";
  await made.watch.tick();
  await made.watch.tick();
  expect(made.events).toEqual([
    'error target(s) 2 of pool "tank" (rank 1) have a faulty device and stay in: Cannot exclude: too many are down.',
  ]);
  made.refusal = undefined;
  await made.watch.tick();
  expect(made.excluded).toEqual([[2]]);
});

test("a pool without copies keeps its targets; engines that do not tell have none", async () => {
  const made = rig();
  made.faulty = [0];
  made.keepsCopies = false;
  await made.watch.tick();
  made.keepsCopies = true;
  for (const code of ["UNSUPPORTED", "TIMEOUT", "UNAVAILABLE"] as const) {
    made.error = new DaosError(code, "Cannot ask: it does not know.");
    await made.watch.tick();
  }
  expect(made.excluded).toEqual([]);
  expect(made.events).toEqual([]);
});
