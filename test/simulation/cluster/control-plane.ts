/**
 * A control plane in a few lines: it holds the pool map, answers the heartbeats of targets, which renew their leases by the
 * time at which they asked, brings maps to them, and excludes a target that is silent for longer than its lease, as long as
 * the redundancy stands it. Nobody is taken back: nothing could bring back its data yet.
 */
import { DaosError } from "../../../src/base/errors.ts";
import { CapabilityAuthority } from "../../../src/control/capability-authority.ts";
import { CAPABILITY_NONCE_BYTES, Right } from "../../../src/format/capability.ts";
import type { ContainerOpenReply } from "../../../src/format/operations.ts";
import { type PoolMap, servingTarget } from "../../../src/format/pool-map.ts";
import { type Uuid, uuidFromBytes } from "../../../src/base/uuid.ts";
import { hmacSha256 } from "../../../src/world/hmac.ts";
import type { SimulatedClock } from "../clock.ts";
import type { SimulatedRandom } from "../random.ts";
import type { SimulatedTimers } from "../timers.ts";
import type { ClusterNetwork } from "./network.ts";
import { CAPABILITY_KEY, type ClusterNode, CONTAINER, type NodeLife, POOL, SERVED } from "./node.ts";

export const CONTROL = "control";
const HEARTBEAT_MS = 300;
const LEASE_MS = 1_500;
/** Between the end of a lease and the exclusion of its holder, whose clock may be slow, milliseconds. */
const GRACE_MS = 500;
/** How long a client waits for an answer, milliseconds. */
const OPEN_TIMEOUT_MS = 2_000;
/** Longest delay of a message to or from a target, milliseconds. */
const DELAY_MS = 20;

export interface ControlPlaneParts {
  readonly clock: SimulatedClock;
  readonly timers: SimulatedTimers;
  readonly random: SimulatedRandom;
  readonly network: ClusterNetwork;
  readonly nodes: readonly ClusterNode[];
  /** How many targets may be excluded. */
  readonly tolerance: number;
  readonly objectClass: string;
}

export class ControlPlane {
  map: PoolMap;
  readonly excluded = new Set<number>();
  /** Whether it excludes what does not answer. */
  excludes = false;
  /** The only target that may be excluded, where there is one: nobody else has what the others have. */
  expendable: number | undefined;
  readonly #parts: ControlPlaneParts;
  readonly #authority: CapabilityAuthority;
  /** Until when each target may serve at most, milliseconds of the common clock. */
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

  /** A target asks for its lease, and hears of the map with the answer. */
  #heartbeat(node: ClusterNode): void {
    const { life } = node;
    if (life === undefined) return;
    const untilNs = node.clock.monotonicNs() + LEASE_MS * 1e6;
    this.#post(node.name, CONTROL, () => {
      if (this.excluded.has(node.index)) return;
      this.#granted[node.index] = this.#nowMs + LEASE_MS;
      const { map } = this;
      this.#toNode(node, life, () => {
        this.#bring(node, map);
        life.lease.renew(untilNs);
      });
    });
  }

  #toNode(node: ClusterNode, life: NodeLife, action: () => void): void {
    this.#post(CONTROL, node.name, () => {
      if (node.life === life) action();
    });
  }

  #post(from: string, to: string, arrive: () => void): void {
    const { timers, random, network } = this.#parts;
    timers.after(random.next() * DELAY_MS, () => network.pass(from, to, arrive));
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
    for (const { index } of this.#parts.nodes) {
      if (this.#nowMs > this.#granted[index]! + GRACE_MS) this.exclude(index);
    }
  }

  /** Takes a target out of the map, unless others would be lost with it. */
  exclude(index: number): void {
    if (this.excluded.size >= this.#parts.tolerance || this.excluded.has(index)) return;
    if (this.expendable !== undefined && this.expendable !== index) return;
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
        properties: { oclass: this.#parts.objectClass, ec_cell_sz: SERVED.cellBytes },
      },
    };
  }

  /** What `containerOpen` answers a client, after a while. Rejects with UNAVAILABLE when no answer comes. */
  open(client: string): Promise<ContainerOpenReply> {
    return new Promise((resolve, reject) => {
      this.#parts.timers.after(OPEN_TIMEOUT_MS, () => {
        reject(new DaosError("UNAVAILABLE", "Cannot open the container: the control plane does not answer. Retry."));
      });
      this.#post(client, CONTROL, () => {
        const reply = this.openNow();
        this.#post(CONTROL, client, () => resolve(reply));
      });
    });
  }
}
