/**
 * A control plane on a meta store and targets in memory, and the checks that must hold whenever nothing is under way.
 */
import { expect } from "bun:test";
import { createHmac } from "node:crypto";
import { DaosError, type ErrorCode } from "../../src/base/errors.ts";
import { CapabilityAuthority, type Hmac } from "../../src/control/capability-authority.ts";
import { ControlPlane, type ControlPlaneOptions } from "../../src/control/control-plane.ts";
import type { EngineLink } from "../../src/control/members.ts";
import { capabilityKeyOf, openSystem } from "../../src/control/system-service.ts";
import type { Uuid } from "../../src/base/uuid.ts";
import type { MetaStore } from "../../src/contracts/meta-store.ts";
import type { Clock, Random, Timers } from "../../src/contracts/world.ts";
import { decodeMetaRecord } from "../../src/format/meta-record.ts";
import { type PoolMap, servingTarget } from "../../src/format/pool-map.ts";
import type { CrashPoint } from "./crash-point.ts";
import { emptyTargetState, FakeTargets, type TargetState } from "./fake-targets.ts";
import { emptyMetaState, MemoryMetaStore, type MetaState } from "./memory-meta-store.ts";
import { GivenVerdicts } from "./verdicts.ts";

export const SYSTEM_ID = "11111111-2222-4333-8444-555555555555" as Uuid;
export const ENGINE_ID = "aaaaaaaa-2222-4333-8444-555555555555";
/** Of every new pool here. */
export const MAP: PoolMap = { version: 1, targets: [servingTarget({ index: 0, host: "127.0.0.1", port: 10002 })] };
export const hmac: Hmac = (key, bytes) => createHmac("sha256", key).update(bytes).digest();

/** What survives a crash. */
export interface Durable {
  readonly meta: MetaState;
  readonly targets: TargetState;
  /** Seeds the random numbers of the next instance. */
  instances: number;
}

export function emptyDurable(): Durable {
  return { meta: emptyMetaState(), targets: emptyTargetState(), instances: 0 };
}

export interface Harness {
  readonly plane: ControlPlane;
  readonly store: MemoryMetaStore;
  readonly targets: FakeTargets;
  readonly authority: CapabilityAuthority;
  readonly clock: { nowMs: number } & Clock;
}

export function fakeClock(): { nowMs: number } & Clock {
  return {
    nowMs: Date.UTC(2026, 0, 2, 3, 4, 5),
    wallMs(): number {
      return this.nowMs;
    },
    monotonicNs(): number {
      return this.nowMs * 1e6;
    },
  };
}

export function fakeRandom(seed: number): Random {
  let state = seed * 7919 + 1;
  const next = (): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return state / 0x1_0000_0000;
  };
  return { next, fill: (bytes) => bytes.forEach((_, index) => (bytes[index] = Math.floor(next() * 256))) };
}

/** An engine that does all it is told. */
export const silentLink: EngineLink = {
  call: async (name) => (name === "space" ? SPACE : {}) as never,
  close: () => {},
};
const SPACE = {
  scmTotalBytes: 1,
  scmUsedBytes: 0,
  logTotalBytes: 0,
  logUsedBytes: 0,
  nvmeTotalBytes: 9,
  nvmeUsedBytes: 0,
};

/** Timers whose time has always come. */
const soonTimers: Timers = {
  after: (_delayMs, callback) => {
    const timer = setTimeout(callback, 0);
    return () => clearTimeout(timer);
  },
  soon: (callback) => void setImmediate(callback),
};

export type HarnessOptions = Partial<Pick<ControlPlaneOptions, "dial" | "membership" | "mayExclude" | "timers">> & {
  readonly link?: EngineLink;
};

/** One process on the durable state. */
export async function start(
  durable: Durable = emptyDurable(),
  crash?: CrashPoint,
  options: HarnessOptions = {},
): Promise<Harness> {
  durable.instances += 1;
  const clock = fakeClock();
  const random = fakeRandom(durable.instances);
  const store = new MemoryMetaStore(durable.meta, crash);
  const targets = new FakeTargets(durable.targets, crash);
  const fresh = new MemoryMetaStore(durable.meta);
  const system = await openSystem(fresh, { create: true, id: SYSTEM_ID, name: "daos", clock, random });
  const planeOn = (metaStore: MetaStore) =>
    new ControlPlane({
      metaStore,
      system,
      targets,
      rank: 0,
      own: {
        engine: ENGINE_ID,
        incarnation: 1,
        domain: "/",
        address: { host: "127.0.0.1", port: 10001 },
        targets: [{ host: "127.0.0.1", port: 10002 }],
        scmBytes: 1,
        nvmeBytes: 9,
        link: options.link ?? silentLink,
      },
      dial: options.dial ?? (() => silentLink),
      membership: options.membership ?? { leaseMs: 4000, excludeAfterMs: 6000, excludeDeadAfterMs: 0 },
      verdicts: new GivenVerdicts(),
      ...(options.mayExclude !== undefined && { mayExclude: options.mayExclude }),
      event: () => {},
      clock,
      timers: options.timers ?? soonTimers,
      random,
      hmac,
      facts: { software: "daos 0.1.0", storage: "/data", pid: 7, startedAtNs: clock.nowMs * 1e6 - 5e9 },
      containerTypes: ["kv", "object"],
    });
  await planeOn(fresh).open();
  const plane = planeOn(store);
  await plane.open();
  const authority = new CapabilityAuthority({ key: capabilityKeyOf(system), hmac, wallMs: () => clock.nowMs });
  return { plane, store, targets, authority, clock };
}

/** The code that `promise` rejects with. */
export async function codeOf(promise: Promise<unknown>): Promise<ErrorCode> {
  return (await failureOf(promise)).code;
}

export async function failureOf(promise: Promise<unknown>): Promise<DaosError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof DaosError) return error;
    throw error;
  }
  throw new Error("expected a rejection");
}

/** Whatever happened: no half-done record, labels and records agree, counts are right, targets hold what records say. */
export function expectConsistent({ meta }: Durable, targets: FakeTargets): void {
  const named = <Kind extends "pool" | "container" | "snapshot" | "label">(kind: Kind, prefix: string) =>
    [...meta.entries]
      .filter(([key]) => key.startsWith(prefix))
      .map(([key, { value }]) => ({ key, record: decodeMetaRecord(kind, key, value) }));
  const pools = named("pool", "pool/");
  const containers = named("container", "container/");
  const snapshots = named("snapshot", "snapshot/");
  for (const { record } of [...pools, ...containers, ...snapshots]) expect(record.state).toBe("ready");
  expect(
    named("label", "pool-label/")
      .map(({ key, record }) => `${key}=${record.id}`)
      .sort(),
  ).toEqual(pools.map(({ record }) => `pool-label/${record.label}=${record.id}`).sort());
  expect(
    named("label", "container-label/")
      .map(({ key, record }) => `${key}=${record.id}`)
      .sort(),
  ).toEqual(containers.map(({ record }) => `container-label/${record.pool}/${record.label}=${record.id}`).sort());
  for (const { record } of pools) {
    const inside = containers.filter((container) => container.record.pool === record.id);
    expect(record.containers).toBe(inside.length);
    const quota = targets.quotas.get(record.id);
    const numbers = inside.map((container) => container.record.number).sort();
    if (inside.length > 0) expect(quota?.sizeBytes).toBe(record.sizeBytes);
    expect([...(quota?.containers ?? [])].sort()).toEqual(numbers);
  }
  for (const pool of targets.quotas.keys()) expect(pools.map(({ record }) => record.id)).toContain(pool);
  expect([...targets.open.keys()].sort()).toEqual(containers.map(({ record }) => record.number).sort());
  expect([...targets.state.containers.keys()].sort()).toEqual(containers.map(({ record }) => record.number).sort());
  for (const { record } of containers) {
    const own = snapshots.filter(({ key }) => key.startsWith(`snapshot/${record.id}/`));
    expect(record.snapshots).toBe(own.length);
    const epochs = own.map((snapshot) => snapshot.record.epoch).sort();
    expect([...targets.state.containers.get(record.number)!.snapshots].sort()).toEqual(epochs);
    for (const snapshot of own) expect(snapshot.key).toBe(`snapshot/${record.id}/${snapshot.record.name}`);
  }
  const owners = new Set(containers.map(({ record }) => record.id));
  for (const { key } of snapshots) expect(owners.has(key.split("/")[1]!)).toBe(true);
}
