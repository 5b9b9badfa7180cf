/**
 * Runs several engines of one host as processes: the first one, then those that join it. One that ends by itself in good
 * order was stopped by an admin and stays away; one that dies is started again, at once at first, then after delays that
 * grow. Stops them in the reverse order.
 */
import { DaosError } from "../base/errors.ts";
import { MAX_RESTART_DELAY_MS } from "../base/limits.ts";
import type { Clock, Timers } from "../contracts/world.ts";
import type { EnginePlan } from "./engine-plan.ts";
import { formatListenAddress, type ListenAddress, parseListenAddress } from "./listen-address.ts";

const FIRST_RESTART_DELAY_MS = 500;
/** An engine that ran for this long is started at once again when it dies, milliseconds. */
const STEADY_MS = 60_000;
/** With this an engine ends that is to be started again because somebody wants that. */
export const RESTART_STATUS = 75;
/** Longest wait for an engine to stop before it is killed, milliseconds. */
const STOP_LIMIT_MS = 60_000;

export interface EngineEnd {
  readonly status: number | undefined;
  readonly signal: string | undefined;
}

export interface EngineChild {
  readonly pid: number;
  readonly ended: Promise<EngineEnd>;
  signal(name: "SIGTERM" | "SIGKILL"): void;
}

/** What an engine says when it is ready. */
export interface EngineReady {
  readonly address: string;
  readonly storage: string;
  readonly created: boolean;
  readonly pid: number;
  readonly rank: number;
}

export interface SpawnOptions {
  /** The engine to join, absent for the first one. */
  readonly control: ListenAddress | undefined;
  readonly port: number;
  /** How it ended before, when it is started again because of that. */
  readonly restartedAfter?: string;
}

export interface SupervisorParts {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly plans: readonly EnginePlan[];
  /** Starts an engine; `ready` is called once when it is. */
  readonly spawn: (plan: EnginePlan, options: SpawnOptions, ready: (ready: EngineReady) => void) => EngineChild;
  readonly event: (message: string) => void;
}

interface Slot {
  readonly plan: EnginePlan;
  child: EngineChild | undefined;
  /** Port of its management listener once it was ready: it keeps that. */
  port: number;
  ready: EngineReady | undefined;
  /** By an admin: it stays away until it is told to start. */
  isStopped: boolean;
  failures: number;
  startedMs: number;
  cancelRestart: (() => void) | undefined;
}

export class Supervisor {
  readonly #parts: SupervisorParts;
  readonly #slots: Slot[];
  #isStopping = false;
  #open: number;
  #allEnded!: () => void;
  /** Resolves when every engine has ended for good. */
  readonly ended: Promise<void>;

  constructor(parts: SupervisorParts) {
    this.#parts = parts;
    this.#open = parts.plans.length;
    this.#slots = parts.plans.map((plan) => ({
      plan,
      child: undefined,
      port: plan.listen.port,
      ready: undefined,
      isStopped: false,
      failures: 0,
      startedMs: 0,
      cancelRestart: undefined,
    }));
    this.ended = new Promise((resolve) => {
      this.#allEnded = resolve;
    });
  }

  /** Resolves when all are ready, in order. Rejects, with all stopped, when one cannot start. */
  async start(): Promise<readonly EngineReady[]> {
    try {
      await this.#start(this.#slots[0]!);
      const others = this.#slots.slice(1);
      // Ranks are given in the order of the first hello.
      for (const slot of others.filter(({ plan }) => plan.isNew)) await this.#start(slot);
      await Promise.all(others.filter(({ plan }) => !plan.isNew).map((slot) => this.#start(slot)));
    } catch (error) {
      await this.stop();
      throw error;
    }
    return this.#slots.map(({ ready }) => ready!);
  }

  /** Starts the engines of these ranks that an admin had stopped. */
  startAgain(ranks: readonly number[]): void {
    if (this.#isStopping) return;
    for (const slot of this.#slots) {
      const { index } = slot.plan;
      if (!slot.isStopped || slot.ready === undefined || !ranks.includes(slot.ready.rank)) continue;
      slot.isStopped = false;
      slot.failures = 0;
      this.#open += 1;
      this.#parts.event(`engine ${index}: starting it again, as told`);
      this.#spawn(slot, () => this.#parts.event(`engine ${index}: ready on ${slot.ready!.address}`));
    }
  }

  /** Stops the engines, the first one last. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    for (const slot of this.#slots.toReversed()) {
      slot.cancelRestart?.();
      const { child } = slot;
      if (child === undefined) continue;
      child.signal("SIGTERM");
      const cancel = this.#parts.timers.after(STOP_LIMIT_MS, () => child.signal("SIGKILL"));
      await child.ended;
      cancel();
    }
    this.#allEnded();
  }

  /** The first start of an engine: it must come up. */
  #start(slot: Slot): Promise<void> {
    if (this.#isStopping) return Promise.reject(stopped());
    return new Promise((resolve, reject) => {
      this.#spawn(slot, resolve).ended.then(
        ({ status }) => {
          const state = this.#isStopping ? stopped() : failed(slot.plan.index, status);
          reject(state);
        },
        (error: unknown) => reject(error as Error),
      );
    });
  }

  #spawn(slot: Slot, ready?: () => void, restartedAfter?: string): EngineChild {
    const control = slot.plan.index === 0 ? undefined : this.#control;
    slot.startedMs = this.#nowMs();
    const options = { control, port: slot.port, ...(restartedAfter !== undefined && { restartedAfter }) };
    const child = this.#parts.spawn(slot.plan, options, (told) => {
      slot.ready = told;
      slot.port = parseListenAddress(told.address)?.port ?? slot.port;
      ready?.();
    });
    slot.child = child;
    void child.ended.then((end) => this.#ended(slot, end));
    return child;
  }

  get #control(): ListenAddress {
    const { plan, port } = this.#slots[0]!;
    return { host: plan.listen.host, port };
  }

  #ended(slot: Slot, { status, signal }: EngineEnd): void {
    slot.child = undefined;
    const { event, timers } = this.#parts;
    const { index } = slot.plan;
    // One that was never ready fails the start.
    if (this.#isStopping || slot.ready === undefined) return;
    if (status === 0) {
      event(`engine ${index}: stopped`);
      slot.isStopped = true;
      this.#open -= 1;
      if (this.#open === 0) this.#allEnded();
      return;
    }
    if (status === RESTART_STATUS) {
      event(`engine ${index}: restarting, as told`);
      this.#spawn(slot, () => event(`engine ${index}: ready on ${slot.ready!.address}`));
      return;
    }
    if (this.#nowMs() - slot.startedMs >= STEADY_MS) slot.failures = 0;
    const delayMs =
      slot.failures === 0 ? 0 : Math.min(MAX_RESTART_DELAY_MS, FIRST_RESTART_DELAY_MS * 2 ** (slot.failures - 1));
    slot.failures += 1;
    const how = signal === undefined ? `with status ${status ?? "unknown"}` : `by ${signal}`;
    event(`engine ${index}: ended ${how}; starting it again${delayMs === 0 ? "" : ` in ${delayMs / 1000} s`}`);
    slot.cancelRestart = timers.after(delayMs, () => {
      if (!this.#isStopping) this.#spawn(slot, () => event(`engine ${index}: ready on ${slot.ready!.address}`), how);
    });
  }

  #nowMs(): number {
    return this.#parts.clock.monotonicNs() / 1e6;
  }
}

/** Arguments of `daos` that start the engine of a plan. */
export function engineArguments(
  plan: EnginePlan,
  control: ListenAddress | undefined,
  common: readonly string[],
): string[] {
  const { storage, listen, targets } = plan;
  return [
    "server",
    "start",
    "--json",
    "--engines",
    "1",
    "--storage",
    storage,
    "--listen",
    formatListenAddress(listen),
    ...(targets === undefined ? [] : ["--targets", String(targets)]),
    ...(control === undefined ? [] : ["--join", formatListenAddress(control)]),
    ...common,
  ];
}

function stopped(): DaosError {
  return new DaosError("CANCELED", "Cannot start the engines: they were told to stop.");
}

function failed(index: number, status: number | undefined): DaosError {
  const code = status === 2 ? "CONFIGURATION" : "UNAVAILABLE";
  return new DaosError(code, `Cannot start engine ${index}: it ended before it was ready. Its messages say why.`);
}
