/**
 * Lanes: what keeps a benchmark's operations in flight. Each lane has one operation under way; when it ends the next
 * begins, until the run is stopped. A lane costs the measured process as little as it can: one object, no async function.
 */
import type { World } from "../contracts/world.ts";
import type { WorkloadClient } from "./benchmark-workload.ts";
import type { LatencyHistogram } from "./latency-histogram.ts";

/** Pause of a lane after a failure, so that a broken system is not hammered, milliseconds. */
const FAILURE_PAUSE_MS = 20;

export interface LaneRun {
  readonly world: World;
  readonly latencies: LatencyHistogram;
  readonly keys: number;
  /** Share of reads, 0 to 1. */
  readonly readShare: number;
  readonly sequential: boolean;
  reads: number;
  writes: number;
  errors: number;
  firstError: unknown;
  stopped: boolean;
  /** Next place of a sequential run. */
  nextPlace: number;
  /** Lanes with an operation under way. */
  active: number;
  /** Called when the last lane has ended. */
  ended: () => void;
}

export class Lane {
  readonly #run: LaneRun;
  readonly #client: WorkloadClient;
  #startedNs = 0;
  #isRead = false;

  constructor(run: LaneRun, client: WorkloadClient) {
    this.#run = run;
    this.#client = client;
    run.active += 1;
  }

  start(): void {
    const run = this.#run;
    if (run.stopped) {
      run.active -= 1;
      if (run.active === 0) run.ended();
      return;
    }
    const place = this.#place();
    this.#isRead = run.readShare === 1 || (run.readShare > 0 && run.world.random.next() < run.readShare);
    this.#startedNs = run.world.clock.monotonicNs();
    const operation = this.#isRead ? this.#client.read(place) : this.#client.write(place);
    operation.then(this.#done, this.#failed);
  }

  #place(): number {
    const run = this.#run;
    if (!run.sequential) return Math.floor(run.world.random.next() * run.keys);
    const place = run.nextPlace;
    run.nextPlace = place + 1 === run.keys ? 0 : place + 1;
    return place;
  }

  readonly #done = (): void => {
    const run = this.#run;
    run.latencies.record(run.world.clock.monotonicNs() - this.#startedNs);
    if (this.#isRead) run.reads += 1;
    else run.writes += 1;
    this.start();
  };

  readonly #failed = (error: unknown): void => {
    const run = this.#run;
    run.errors += 1;
    run.firstError ??= error;
    run.world.timers.after(FAILURE_PAUSE_MS, () => this.start());
  };
}
