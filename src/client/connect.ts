/**
 * Where a client begins: from the world and a system's address to a System.
 */
import { HybridLogicalClock } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { MAX_RETRY_WINDOW_MS } from "../base/limits.ts";
import type { InterfaceProvider } from "../contracts/interface.ts";
import type { RedundancyProvider } from "../contracts/redundancy.ts";
import type { World } from "../contracts/world.ts";
import { RedundancySchemes } from "../redundancy/redundancy-schemes.ts";
import { RpcConnection } from "../rpc/connection.ts";
import type { ContainerSession } from "./container-session.ts";
import { ManagementConnection } from "./management-connection.ts";
import { ReceiveBuffers } from "./receive-buffers.ts";
import { DEFAULT_RETRY_WINDOW_MS } from "./retry.ts";
import type { Dial } from "./rpc-link.ts";
import { parseSystemAddresses } from "./system-address.ts";
import { SystemCalls } from "./system-calls.ts";
import { System } from "./system.ts";
import { TargetConnections } from "./target-connection.ts";

/** Limit of one request when the caller names none, milliseconds. */
const DEFAULT_TIMEOUT_MS = 60_000;
/** Limit of connecting, when the request's limit is longer, milliseconds. */
const CONNECT_TIMEOUT_MS = 5_000;

export interface ConnectOptions {
  /** `host:port[,host:port]`: the management listeners of a system's engines; the first that answers is used. */
  readonly system: string;
  /** Limit of one request, milliseconds; 60 s. */
  readonly timeoutMs?: number | undefined;
  /** How long a request is tried again while its target cannot be reached, milliseconds; 10 s, at most 5 minutes. */
  readonly retryWindowMs?: number | undefined;
  /** Ends the connecting only. */
  readonly signal?: AbortSignal | undefined;
  /** Data models that containers may have, such as the plugin interface/kv makes. */
  readonly interfaces?: readonly InterfaceProvider[] | undefined;
  /** How erasure-coded objects are put together, such as the plugin redundancy/erasure does; without it they are not read. */
  readonly redundancy?: readonly RedundancyProvider[] | undefined;
}

/**
 * Connects to a system. Rejects with UNAVAILABLE when no engine answers, INVALID_ARGUMENT, CANCELED, VERSION. Closing the
 * System is the caller's.
 */
export async function connect(world: World, options: ConnectOptions): Promise<System> {
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const retryWindowMs = options.retryWindowMs ?? DEFAULT_RETRY_WINDOW_MS;
  for (const [name, value] of [
    ["timeoutMs", timeoutMs],
    ["retryWindowMs", retryWindowMs],
  ] as const) {
    if (value >= 0) continue;
    throw new DaosError("INVALID_ARGUMENT", `Cannot connect: ${name} ${value} is no time. Give milliseconds.`);
  }
  if (retryWindowMs > MAX_RETRY_WINDOW_MS) throw windowTooLong(retryWindowMs);
  const addresses = parseSystemAddresses(options.system);
  const clock = new HybridLogicalClock(() => world.clock.wallMs());
  const buffers = new ReceiveBuffers();
  const damage = { damagedFrames: 0 };
  const dial: Dial = (host, port, dialOptions) =>
    RpcConnection.connect(world.network, host, port, {
      timers: world.timers,
      clock,
      payloadBuffers: buffers,
      damage,
      ...dialOptions,
    });
  const sessions = new Set<ContainerSession>();
  const connectTimeoutMs = Math.min(timeoutMs, CONNECT_TIMEOUT_MS);
  const limits = { timeoutMs, connectTimeoutMs, retryWindowMs };
  const management = new ManagementConnection(world, addresses, dial, limits, clock);
  const silent = (): void => void lookAgain(sessions);
  const connections = new TargetConnections(dial, world.timers, connectTimeoutMs, silent);
  const calls = new SystemCalls(management);
  const interfaces = options.interfaces ?? [];
  const schemes = new RedundancySchemes(options.redundancy ?? [], (length) => buffers.take(length));
  try {
    await management.open(options.signal);
  } catch (error) {
    management.close();
    throw error;
  }
  return new System({
    world,
    clock,
    management,
    calls,
    connections,
    buffers,
    interfaces,
    schemes,
    sessions,
    timeoutMs,
    retryWindowMs,
    damage,
  });
}

/** A target is silent: it may be out of service by now, and what it was asked be asked elsewhere. */
async function lookAgain(sessions: ReadonlySet<ContainerSession>): Promise<void> {
  const error = new DaosError("UNAVAILABLE", "Cannot hear a target: it is silent.");
  const open = [...sessions];
  await Promise.allSettled(open.map((session) => session.renew(session.placement, error, undefined)));
}

/** Targets forget a client's updates after a while: what is sent again later could take effect twice. */
function windowTooLong(retryWindowMs: number): DaosError {
  const state = `retryWindowMs ${retryWindowMs} is longer than targets remember what was done`;
  return new DaosError("INVALID_ARGUMENT", `Cannot connect: ${state}. Use at most ${MAX_RETRY_WINDOW_MS}.`);
}
