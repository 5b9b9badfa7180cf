/**
 * A control plane in a few lines: it holds the pool map, renews the leases of the targets that it reaches, brings maps to
 * them, and excludes a target whose lease is over, as long as the redundancy stands it. Nobody is taken back: nothing
 * could bring back its data yet.
 */
import { CapabilityAuthority } from "../../../src/control/capability-authority.ts";
import { CAPABILITY_NONCE_BYTES, Right } from "../../../src/format/capability.ts";
import type { ContainerOpenReply } from "../../../src/format/operations.ts";
import { type PoolMap, servingTarget } from "../../../src/format/pool-map.ts";
import { type Uuid, uuidFromBytes } from "../../../src/base/uuid.ts";
import { hmacSha256 } from "../../../src/world/hmac.ts";
import type { SimulatedClock } from "../clock.ts";
import type { SimulatedRandom } from "../random.ts";
import type { SimulatedTimers } from "../timers.ts";
import { CAPABILITY_KEY, type ClusterNode, CONTAINER, type NodeLife, POOL, SERVED } from "./node.ts";

const HEARTBEAT_MS = 300;
const LEASE_MS = 1_500;
/** Longest delay of a message to or from a target, milliseconds. */
const DELAY_MS = 20;

export interface ControlPlaneParts {
  readonly clock: SimulatedClock;
  readonly timers: SimulatedTimers;
  readonly random: SimulatedRandom;
  readonly nodes: readonly ClusterNode[];
  /** Targets that may be excluded. */
  readonly tolerance: number;
  readonly objectClass: string;
}

export class ControlPlane {
  map: PoolMap;
  /** Targets that it does not reach. */
  readonly cutOff = new Set<number>();
  readonly excluded = new Set<number>();
  /** Whether it excludes what does not answer. */
  excludes = false;
  readonly #parts: ControlPlaneParts;
  readonly #authority: CapabilityAuthority;
  /** Until when each target may serve, by what was granted; milliseconds of the common clock. */
  readonly #granted: number[];
  readonly #ids: { pool: Uuid; container: Uuid };

  constructor(parts: ControlPlaneParts) {
    this.#parts = parts;
    const targets = parts.nodes.map(({ index, name, port }) => servingTarget({ index, host: name, port }, index));
    this.map = { version: 1, targets };
    this.#granted = parts.nodes.map(() => 0);
    this.#authority = new CapabilityAuthority({
      key: CAPABILITY_KEY,
      hmac: hmacSha256,
      wallMs: () => parts.clock.wallMs(),
    });
    this.#ids = { pool: uuidFromBytes(Buffer.alloc(16, 1), 0), container: uuidFromBytes(Buffer.alloc(16, 2), 0) };
    this.#beat();
  }

  get #nowMs(): number {
    return this.#parts.clock.monotonicNs() / 1e6;
  }

  #beat(): void {
    for (const node of this.#parts.nodes) this.#heartbeat(node);
    if (this.excludes) this.#excludeSilent();
    this.#parts.timers.after(HEARTBEAT_MS, () => this.#beat());
  }

  #heartbeat(node: ClusterNode): void {
    const { life } = node;
    if (life === undefined || this.cutOff.has(node.index) || this.excluded.has(node.index)) return;
    const untilMs = this.#nowMs + LEASE_MS;
    this.#granted[node.index] = untilMs;
    const { map } = this;
    this.#toNode(node, life, () => {
      this.#bring(node, map);
      life.lease.renew(untilMs * 1e6);
    });
  }

  #toNode(node: ClusterNode, life: NodeLife, action: () => void): void {
    this.#parts.timers.after(this.#parts.random.next() * DELAY_MS, () => {
      if (node.life === life && !this.cutOff.has(node.index)) action();
    });
  }

  #bring(node: ClusterNode, map: PoolMap): void {
    node.setMap({ pool: POOL, map, own: node.index, containers: [SERVED] });
  }

  /** Brings the maps that a target asks for, for as long as it lives. */
  serve(node: ClusterNode, life: NodeLife): void {
    void life.maps.nextWanted().then(() => {
      this.#toNode(node, life, () => this.#bring(node, this.map));
      this.serve(node, life);
    });
  }

  #excludeSilent(): void {
    const { nodes, tolerance } = this.#parts;
    for (const { index } of nodes) {
      if (this.excluded.size >= tolerance || this.excluded.has(index)) continue;
      if (this.#nowMs > this.#granted[index]! + 500) this.#exclude(index);
    }
  }

  #exclude(index: number): void {
    this.excluded.add(index);
    const version = this.map.version + 1;
    const targets = this.map.targets.map((target) =>
      target.index === index ? { ...target, state: "DOWN" as const, since: version } : target,
    );
    this.map = { version, targets };
    for (const node of this.#parts.nodes) {
      const { life } = node;
      if (life !== undefined && !this.excluded.has(node.index)) {
        this.#toNode(node, life, () => this.#bring(node, this.map));
      }
    }
  }

  openNow(): ContainerOpenReply {
    const { pool, container } = this.#ids;
    const nonce = new Uint8Array(CAPABILITY_NONCE_BYTES);
    this.#parts.random.fill(nonce);
    const rights = Right.read | Right.write;
    const grant = { rights, containerNumber: CONTAINER, mapVersion: this.map.version, pool, container };
    return {
      map: this.map,
      capability: this.#authority.issue(grant, nonce),
      container: {
        id: container,
        label: "box",
        type: "object",
        pool,
        state: "ready",
        usedBytes: 0,
        snapshots: 0,
        createdAt: "",
        properties: { oclass: this.#parts.objectClass },
      },
    };
  }

  /** What `containerOpen` answers a client, after a while. */
  open(): Promise<ContainerOpenReply> {
    return new Promise((resolve) => {
      this.#parts.timers.after(this.#parts.random.next() * DELAY_MS, () => resolve(this.openNow()));
    });
  }
}
