/**
 * A control plane in simulated time and engines in memory that join it, fall silent and come back.
 */
import { DaosError } from "../../src/base/errors.ts";
import { type Epoch, epochFrom } from "../../src/base/epoch.ts";
import { isEventId } from "../../src/base/events.ts";
import { GIB } from "../../src/base/limits.ts";
import { ControlPlane, type ControlPlaneOptions } from "../../src/control/control-plane.ts";
import type { EngineLink } from "../../src/control/members.ts";
import { openSystem } from "../../src/control/system-service.ts";
import type {
  EngineAddress,
  EngineCalls,
  EngineSelf,
  PoolAssignment,
  PoolShare,
  ServedContainer,
} from "../../src/format/engine-operations.ts";
import type { TargetQuestion } from "../../src/format/check-questions.ts";
import { ENGINE_PROTOCOL_VERSION } from "../../src/format/engine-version.ts";
import { simulatedWorld, type SimulatedWorld } from "../simulation/world.ts";
import { hmac, SYSTEM_ID } from "./harness.ts";
import { emptyMetaState, MemoryMetaStore, type MetaState } from "./memory-meta-store.ts";
import { MemoryTarget } from "./memory-target.ts";
import { GivenVerdicts } from "./verdicts.ts";

export const LEASE_MS = 4_000;
export const EXCLUDE_AFTER_MS = 6_000;
const SETTINGS = { leaseMs: LEASE_MS, excludeAfterMs: EXCLUDE_AFTER_MS, excludeDeadAfterMs: 0 };

/** An engine that does what it is told; what is durable on it outlives `restart`. */
export class MemoryEngine implements EngineLink {
  readonly id: string;
  readonly address: EngineAddress;
  readonly assignments = new Map<string, PoolAssignment>();
  readonly quotas = new Map<string, PoolShare>();
  readonly open = new Set<number>();
  readonly snapshots = new Map<number, Set<Epoch>>();
  readonly destroyed = new Set<number>();
  readonly target = new MemoryTarget(this);
  /** Of what it says of itself. */
  system: string = SYSTEM_ID;
  badDevices: EngineSelf["devices"] = [];
  incarnation = 1;
  isAway = false;
  /** What each container takes here, and what the engine has for data. */
  usedBytes = 3;
  scmBytes = GIB;
  nvmeBytes = GIB;
  /** How it was told to stop, and what its supervisor was told to start. */
  readonly orders: unknown[] = [];
  isSupervised = false;
  /** What it says of filling. */
  isFilled = true;
  isStuck = false;
  damaged = 0;
  /** Of three dkeys, how many it has come by. */
  passed = 1;
  isCounted = true;
  mapsBehind = 0;
  /** Calls of these names fail so. */
  readonly failures = new Map<keyof EngineCalls, DaosError>();
  /** Awaited inside `setPool`. */
  gate: (() => Promise<void>) | undefined;

  constructor(digit: number) {
    this.id = `${String(digit).repeat(8)}-2222-4333-8444-555555555555`;
    this.address = { host: "127.0.0.1", port: 10_001 + 100 * digit };
  }

  /** Its process ends and begins anew. */
  restart(): void {
    this.assignments.clear();
    this.quotas.clear();
    this.open.clear();
    this.incarnation += 1;
    this.isAway = false;
  }

  async call<Name extends keyof EngineCalls>(
    name: Name,
    value: Parameters<EngineCalls[Name]>[0],
  ): Promise<ReturnType<EngineCalls[Name]>> {
    await Promise.resolve();
    if (this.isAway) throw new DaosError("UNAVAILABLE", "Cannot reach the engine: it is away.");
    const failure = this.failures.get(name);
    if (failure !== undefined) throw failure;
    if (name === "setPool") await this.gate?.();
    return this.#run(name, value as never) as ReturnType<EngineCalls[Name]>;
  }

  #run(name: keyof EngineCalls, value: never): unknown {
    const done = {};
    switch (name) {
      case "ping":
        return { incarnation: this.incarnation };
      case "space":
        return {
          scmTotalBytes: this.scmBytes,
          scmUsedBytes: 1,
          logTotalBytes: 1,
          logUsedBytes: 0,
          nvmeTotalBytes: this.nvmeBytes,
          nvmeUsedBytes: 1,
        };
      case "setPool": {
        const assignment = value as PoolAssignment;
        this.assignments.set(assignment.pool, assignment);
        for (const { number } of assignment.containers) this.open.add(number);
        return done;
      }
      case "stop":
        this.orders.push({ stop: value });
        return done;
      case "startEngines":
        this.orders.push({ start: value });
        return { isSupervised: this.isSupervised };
      case "setQuota": {
        const quota = value as PoolShare;
        this.quotas.set(quota.pool, quota);
        if (quota.targetBytes === 0 && quota.containers.length === 0) this.#forgetPool(quota.pool);
        return done;
      }
      case "check": {
        const question = value as TargetQuestion;
        return this.target.answer(question.name, question.value);
      }
      case "identity":
        return { engine: this.id, system: this.system, targets: 1, devices: this.badDevices };
      case "openContainer": {
        const { container, pool } = value as { container: ServedContainer; pool: string };
        if (!this.assignments.has(pool)) throw new DaosError("STALE", "Cannot open: the pool is not known here.");
        this.open.add(container.number);
        const known = this.assignments.get(pool)!;
        const containers = known.containers.filter(({ number }) => number !== container.number);
        this.assignments.set(pool, { ...known, containers: [...containers, container] });
        return done;
      }
      case "destroyContainer": {
        const { container } = value as { container: number };
        this.open.delete(container);
        this.snapshots.delete(container);
        this.destroyed.add(container);
        this.target.notes.delete(container);
        return done;
      }
      default:
        return this.#runSnapshots(name, value);
    }
  }

  #forgetPool(pool: string): void {
    this.quotas.delete(pool);
    this.assignments.delete(pool);
    this.target.poolNotes.delete(pool);
  }

  #runSnapshots(name: keyof EngineCalls, value: never): unknown {
    const {
      container = 0,
      containers = [],
      at,
      epoch,
    } = value as {
      container?: number;
      containers?: number[];
      at?: Epoch;
      epoch?: Epoch;
    };
    const own = this.snapshots.get(container) ?? new Set<Epoch>();
    this.snapshots.set(container, own);
    if (name === "usage") return { usages: containers.map(() => ({ scmBytes: this.usedBytes, nvmeBytes: 0 })) };
    if (name === "createSnapshot") {
      const taken = at ?? epochFrom(5);
      own.add(taken);
      return { epoch: taken };
    }
    if (name === "listSnapshots") return { snapshots: containers.map((one) => [...(this.snapshots.get(one) ?? [])]) };
    if (name === "destroySnapshot") own.delete(epoch!);
    if (name === "fillStatus") {
      const { map } = this.assignments.get((value as { pool: string }).pool)!;
      return {
        targets: [
          {
            mapVersion: map.version - this.mapsBehind,
            isDone: this.isFilled,
            isStuck: this.isStuck,
            damaged: this.damaged,
            dkeys: 1,
            bytes: 2,
            toBring: 3,
            passed: this.passed,
            isCounted: this.isCounted,
          },
        ],
      };
    }
    return name === "countHandles" ? { count: 0 } : {};
  }

  close(): void {}
}

export interface EnginesRig {
  readonly world: SimulatedWorld;
  readonly plane: ControlPlane;
  readonly meta: MetaState;
  readonly engines: readonly MemoryEngine[];
  readonly events: string[];
  /** Ids of the events among them, with the rank or pool that they are about. */
  readonly told: string[];
  join(index: number): Promise<void>;
  heartbeat(index: number): number;
  /** Lets time pass while these engines send heartbeats and join again when they are told to. */
  live(ms: number, ...alive: readonly number[]): Promise<void>;
}

export interface EnginesRigOptions extends Partial<
  Pick<ControlPlaneOptions, "membership" | "mayExclude" | "verdicts">
> {
  readonly meta?: MetaState;
  readonly engines?: readonly MemoryEngine[];
  readonly world?: SimulatedWorld;
}

const HEARTBEAT_MS = 500;

/** Engine 0 runs the control plane; the others are there and have not joined. */
export async function enginesRig(count: number, options: EnginesRigOptions = {}): Promise<EnginesRig> {
  const world = options.world ?? simulatedWorld(1);
  const meta = options.meta ?? emptyMetaState();
  const { clock, random, timers } = world;
  const store = new MemoryMetaStore(meta);
  const system = await openSystem(store, { create: true, id: SYSTEM_ID, name: "daos", clock, random });
  const engines = options.engines ?? Array.from({ length: count }, (_value, index) => new MemoryEngine(index));
  const events: string[] = [];
  const told: string[] = [];
  const plane = new ControlPlane({
    metaStore: store,
    system,
    rank: 0,
    own: {
      engine: engines[0]!.id,
      incarnation: 1,
      domain: "/",
      address: engines[0]!.address,
      targets: [{ host: "127.0.0.1", port: 10_002 }],
      scmBytes: GIB,
      nvmeBytes: GIB,
      link: engines[0]!,
    },
    dial: ({ port }) => engines.find(({ address }) => address.port === port)!,
    membership: options.membership ?? SETTINGS,
    verdicts: options.verdicts ?? new GivenVerdicts(),
    ...(options.mayExclude !== undefined && { mayExclude: options.mayExclude }),
    event: (what, message, { rank, pool } = {}) => {
      events.push(message);
      if (isEventId(what)) told.push(`${what} ${pool ?? rank ?? ""}`.trim());
    },
    clock,
    timers,
    random,
    hmac,
    facts: { software: "daos 0.1.0", storage: "/data", pid: 7, startedAtNs: 0 },
    containerTypes: ["kv"],
  });
  await plane.resume();
  const ranks = new Map<number, number>();
  const rig: EnginesRig = {
    world,
    plane,
    meta,
    engines,
    events,
    told,
    async join(index) {
      const { id: engine, incarnation, address } = engines[index]!;
      const hello = { sentAtMs: 0, version: ENGINE_PROTOCOL_VERSION, engine, domain: `/rack${index}`, targets: 1 };
      const isKnown = ranks.has(index) || options.meta !== undefined;
      const { rank, version } = await plane.engines.hello(hello, isKnown, true);
      ranks.set(index, rank);
      const target = { host: "127.0.0.1", port: address.port + incarnation };
      const place = { address, targets: [target], domain: hello.domain, scmBytes: GIB, nvmeBytes: GIB };
      const release = { software: "daos 0.1.0", ...(version !== undefined && { version }) };
      await plane.engines.join({ sentAtMs: 0, engine, rank, incarnation, ...place, ...release });
    },
    heartbeat(index) {
      const { incarnation } = engines[index]!;
      return plane.engines.heartbeat({ sentAtMs: clock.wallMs(), rank: ranks.get(index)!, incarnation, roster: 0 })
        .leaseMs;
    },
    async live(ms, ...alive) {
      for (let passedMs = 0; passedMs < ms; passedMs += HEARTBEAT_MS) {
        for (const index of alive) if (rig.heartbeat(index) === 0) await rig.join(index);
        await timers.advance(HEARTBEAT_MS);
      }
    },
  };
  return rig;
}

/** With all engines joined, pool "tank" on all of them, and a container in it. */
export async function tankRig(count: number, options: EnginesRigOptions = {}): Promise<EnginesRig> {
  const rig = await enginesRig(count, options);
  for (let index = 1; index < count; index += 1) await rig.join(index);
  await rig.plane.pools.create({ label: "tank", sizeBytes: GIB });
  await rig.plane.containers.create({ pool: "tank", label: "box", type: "kv" });
  return rig;
}
