/**
 * A whole world from one seed. A failing test prints the seed; the same seed gives the same run.
 */
import type { World } from "../../src/contracts/world.ts";
import { SimulatedClock } from "./clock.ts";
import { SimulatedDatagrams } from "./datagrams.ts";
import { SimulatedDisk, type SimulatedDiskOptions } from "./disk.ts";
import type { CrashOutcome } from "./file-content.ts";
import { SimulatedNetwork } from "./network.ts";
import { SimulatedRandom } from "./random.ts";
import { SimulatedTimers } from "./timers.ts";

export interface SimulatedWorld extends World {
  readonly seed: number;
  readonly clock: SimulatedClock;
  readonly timers: SimulatedTimers;
  readonly random: SimulatedRandom;
  readonly disk: SimulatedDisk;
  readonly network: SimulatedNetwork;
  readonly datagrams: SimulatedDatagrams;
}

/** Power goes and comes back: what waited is gone, the disk is what the seed, or `outcome`, makes of it. */
export function powerCycle(world: SimulatedWorld, outcome?: CrashOutcome): void {
  world.disk.losePower();
  world.timers.clear();
  world.disk.restorePower(outcome);
}

export function simulatedWorld(seed: number, options: { disk?: SimulatedDiskOptions } = {}): SimulatedWorld {
  const random = new SimulatedRandom(seed);
  const clock = new SimulatedClock();
  const timers = new SimulatedTimers(clock);
  return {
    seed,
    clock,
    timers,
    random,
    disk: new SimulatedDisk(random.fork(), clock, timers, options.disk),
    network: new SimulatedNetwork(random.fork(), timers, () => clock.monotonicNs()),
    datagrams: new SimulatedDatagrams(random.fork(), timers),
  };
}
