/**
 * An engine in memory for the client's tests: a management listener with one pool, `tank`, and one container, and
 * any number of fake targets, on the network of a simulated world.
 */
import { byteString } from "../../src/base/bytes.ts";
import { HybridLogicalClock } from "../../src/base/epoch.ts";
import { DaosError } from "../../src/base/errors.ts";
import { connect, type System } from "../../src/client/index.ts";
import { decodeCbor, encodeCbor } from "../../src/format/cbor.ts";
import { type ContainerDescription, Opcode, type SnapshotDescription } from "../../src/format/operations.ts";
import { servingTarget } from "../../src/format/pool-map.ts";
import type { RequestId } from "../../src/format/request-id.ts";
import type { RpcReply, RpcRequest } from "../../src/rpc/request.ts";
import { RpcServer } from "../../src/rpc/server.ts";
import kvPlugin from "../../plugins/interface/kv/index.ts";
import { type SimulatedWorld, simulatedWorld } from "../simulation/world.ts";
import { FakeTarget, type Mishap } from "./fake-target.ts";

export const HOST = "127.0.0.1";
export const kvInterface = kvPlugin.create({});

export interface FakeEngineOptions {
  readonly targets?: number;
  /** Each target is of an engine of its own. */
  readonly isSpread?: boolean;
  readonly type?: "kv" | "object";
  readonly objectClass?: string;
  readonly chunkBytes?: number;
}

export class FakeEngine {
  readonly world: SimulatedWorld;
  readonly targets: FakeTarget[] = [];
  readonly management: RpcServer;
  readonly listeners: RpcServer[] = [];
  /** Management requests, by opcode. */
  readonly asked = new Map<number, number>();
  /** Ids of the requests that came, in order. */
  readonly numbered: RequestId[] = [];
  readonly mishaps = new Map<number, Mishap[]>();
  readonly snapshots: SnapshotDescription[] = [];
  readonly clock: HybridLogicalClock;
  mapVersion = 1;
  /** Targets that are out of service by the map. */
  readonly down = new Set<number>();
  capability = "capability 1";
  readonly #options: FakeEngineOptions;

  constructor(seed: number, options: FakeEngineOptions = {}, world = simulatedWorld(seed)) {
    this.world = world;
    this.#options = options;
    this.clock = new HybridLogicalClock(() => world.clock.wallMs());
    this.management = this.#listen("management", {
      handle: (request, reply) => this.#manage(request, reply),
    });
    for (let index = 0; index < (options.targets ?? 1); index += 1) {
      const target = new FakeTarget(() => this.clock.next());
      target.capability = this.capability;
      this.targets.push(target);
      this.listeners.push(this.#listen("target", target));
    }
  }

  get address(): string {
    return `${HOST}:${this.management.port}`;
  }

  /** The first target: most tests have one. */
  get target(): FakeTarget {
    return this.targets[0]!;
  }

  connect(options: { retryWindowMs?: number; timeoutMs?: number } = {}): Promise<System> {
    return connect(this.world, { system: this.address, interfaces: [kvInterface], ...options });
  }

  /** Makes maps and capabilities of clients out of date. */
  renewMap(): void {
    this.mapVersion += 1;
    this.capability = `capability ${this.mapVersion}`;
    for (const target of this.targets) {
      target.mapVersion = this.mapVersion;
      target.capability = this.capability;
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.management, ...this.listeners].map((server) => server.close()));
  }

  #listen(role: "management" | "target", handler: { handle(request: RpcRequest, reply: RpcReply): void }): RpcServer {
    const { network, timers } = this.world;
    return new RpcServer({ network, timers, clock: this.clock, host: HOST, port: 0, role, software: "fake", handler });
  }

  #manage(request: RpcRequest, reply: RpcReply): void {
    const args = request.args.length === 0 ? {} : (decodeCbor(request.args) as Record<string, unknown>);
    if (args["request"] !== undefined) this.numbered.push(args["request"] as RequestId);
    const mishap = this.mishaps.get(request.opcode)?.shift();
    if (mishap === "ignored") return;
    if (mishap === "lost" || mishap === "unanswered") {
      request.connection.terminate();
      reply.fail(new DaosError("UNAVAILABLE", "gone"));
      return;
    }
    this.asked.set(request.opcode, (this.asked.get(request.opcode) ?? 0) + 1);
    try {
      if (mishap !== undefined) throw mishap.error;
      reply.send(encodeCbor(this.#answer(request.opcode, args)));
    } catch (error) {
      if (!(error instanceof DaosError)) throw error;
      reply.fail(error);
    }
  }

  #answer(opcode: number, args: Record<string, unknown>): object {
    switch (opcode) {
      case Opcode.containerOpen:
        if (args["pool"] !== "tank" && args["pool"] !== this.#container().pool)
          throw new DaosError("NOT_FOUND", "no pool");
        return { container: this.#container(), map: this.#map(), capability: Buffer.from(this.capability) };
      case Opcode.containerQuery:
        return this.#container();
      case Opcode.systemQuery:
        return { system: "fake", software: "fake", map: this.#map() };
      case Opcode.poolList:
        return this.#poolPage(args["after"] as string | undefined);
      case Opcode.poolCreate:
        return poolNamed(String(args["label"]));
      case Opcode.snapshotCreate: {
        const epoch = this.clock.next();
        const snapshot = { name: String(args["name"]) || `epoch-${epoch}`, epoch, createdAt: "2026-01-01T00:00:00Z" };
        this.snapshots.push(snapshot);
        return snapshot;
      }
      case Opcode.snapshotList:
        return { snapshots: this.snapshots };
      default:
        throw new DaosError("UNSUPPORTED", `no operation ${opcode}`);
    }
  }

  #map(): object {
    const targets = this.listeners.map(({ port }, index) => ({
      ...servingTarget({ index, host: HOST, port }, this.#options.isSpread === true ? index : 0),
      ...(this.down.has(index) && { state: "DOWN", since: this.mapVersion }),
    }));
    return { version: this.mapVersion, targets };
  }

  #container(): ContainerDescription {
    const { type = "kv", objectClass = "SX", chunkBytes = 1 << 20 } = this.#options;
    return {
      id: "5f0c1f5e-0000-4000-8000-000000000002",
      label: "box",
      type,
      pool: "5f0c1f5e-0000-4000-8000-000000000001",
      state: "ready",
      usedBytes: 0,
      snapshots: 0,
      createdAt: "2026-01-01T00:00:00Z",
      properties: { oclass: objectClass, chunk_size: chunkBytes },
    };
  }

  /** Three pools, two a page. */
  #poolPage(after: string | undefined): object {
    const pools = ["a", "b", "c"].map(poolNamed).filter(({ label }) => after === undefined || label > after);
    return pools.length > 2 ? { pools: pools.slice(0, 2), anchor: pools[1]!.label } : { pools };
  }
}

function poolNamed(label: string): { label: string } & Record<string, unknown> {
  return {
    id: `id of ${label}`,
    label,
    state: "ready",
    sizeBytes: 1 << 30,
    usedBytes: 0,
    scmUsedBytes: 0,
    nvmeUsedBytes: 0,
    containers: 0,
    targets: 1,
    createdAt: "2026-01-01T00:00:00Z",
    properties: {},
  };
}

/** Bytes that differ from place to place, also a MiB apart. */
export function pattern(sizeBytes: number, seed = 0): Uint8Array {
  const bytes = new Uint8Array(sizeBytes);
  for (let index = 0; index < sizeBytes; index += 1)
    bytes[index] = (index * 31 + (index >> 8) + (index >> 16) * 7 + seed) & 0xff;
  return bytes;
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** The code an operation fails with. */
export async function codeOf(operation: Promise<unknown>): Promise<string> {
  try {
    await operation;
  } catch (error) {
    if (error instanceof DaosError) return error.code;
    throw error;
  }
  return "none";
}

export const textOf = (bytes: Uint8Array): string => byteString(bytes);
