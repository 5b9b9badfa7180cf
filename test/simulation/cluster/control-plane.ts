/**
 * A control plane in a few lines: it holds the pool map, answers the heartbeats of targets, which renew their leases by the
 * time at which they asked, brings maps to them, and excludes a target that is silent for longer than its lease, as long as
 * the redundancy stands it. Heartbeats say how far those who fill others are; who was excluded is taken back. Targets are
 * added, and moved away from: those that were serve until they have no lease any more, or know that they do not.
 */
import { type Epoch, HybridLogicalClock } from "../../../src/base/epoch.ts";
import { DaosError } from "../../../src/base/errors.ts";
import { CapabilityAuthority } from "../../../src/control/capability-authority.ts";
import { CAPABILITY_NONCE_BYTES, Right } from "../../../src/format/capability.ts";
import type { ContainerOpenReply } from "../../../src/format/operations.ts";
import {
  isSingleAway,
  type MapTarget,
  outrunsSingles,
  type PoolMap,
  servingTarget,
  type TargetState,
} from "../../../src/format/pool-map.ts";
import type { RebuildPolicy } from "../../../src/format/engine-operations.ts";
import { type Uuid, uuidFromBytes } from "../../../src/base/uuid.ts";
import { withOutages } from "../../../src/placement/outages.ts";
import { hmacSha256 } from "../../../src/world/hmac.ts";
import type { SimulatedClock } from "../clock.ts";
import { SimulatedRandom } from "../random.ts";
import type { SimulatedTimers } from "../timers.ts";
import type { ClusterNetwork } from "./network.ts";
import { CAPABILITY_KEY, type ClusterNode, CONTAINER, type NodeLife, POOL, SERVED } from "./node.ts";

export const CONTROL = "control";
const HEARTBEAT_MS = 300;
const LEASE_MS = 800;
/** Between the end of a lease and the exclusion of its holder, whose monotonic clock may be slow and whose epochs may be ahead, milliseconds. */
const GRACE_MS = 1_500;
/** How long a client waits for an answer, milliseconds. */
const OPEN_TIMEOUT_MS = 2_000;
const SNAPSHOT_LEAD_MS = 10;
/** How many it takes by itself. */
export const MAX_SNAPSHOTS = 4;
/** Longest delay of a message to or from a target, milliseconds. */
const DELAY_MS = 20;

export interface ControlPlaneParts {
  readonly clock: SimulatedClock;
  readonly timers: SimulatedTimers;
  readonly random: SimulatedRandom;
  readonly network: ClusterNetwork;
  readonly nodes: readonly ClusterNode[];
  /** So many targets have to serve. */
  readonly leastServing: number;
  /** So many have to be left by a drain. */
  readonly leastLeft: number;
  /** Whether it may be told to add targets and drain others. */
  readonly isElastic: boolean;
  /** So many may be gone at once before what they had is elsewhere. */
  readonly mostDown: number;
  readonly objectClass: string;
  /** So many of the last nodes are no part of the pool at first. */
  readonly spareNodes: number;
  /** Of what rebuilding may do. */
  readonly policySeed: number;
  readonly log: (line: string) => void;
}

export class ControlPlane {
  map: PoolMap;
  /** Whether it excludes what does not answer, and takes back what answers again. */
  excludes = false;
  reintegrates = false;
  /** Whether it adds targets and drains others, where it may. */
  moves = false;
  /** The only target that may be excluded, where there is one: nobody else has what the others have. */
  expendable: number | undefined;
  /** Epochs of the container's snapshots. */
  readonly snapshots: Epoch[] = [];
  /** Maps that were made, by what they did. */
  readonly counts = { excluded: 0, rebuilt: 0, reintegrated: 0, complete: 0, extended: 0, drained: 0, policies: 0 };
  /** What rebuilding may do. */
  policy: RebuildPolicy = { share: 25, isPaused: false };
  readonly #policyRandom: SimulatedRandom;
  /** The map version for which a target has last said that it is done. */
  readonly #done = new Map<number, number>();
  /** All have said so of this version, and since when they are asked again. */
  #confirming = { version: 0, sinceMs: 0 };
  /** Those that were drained under this version get no lease any more. */
  #fencing: number | undefined;
  readonly #parts: ControlPlaneParts;
  readonly #authority: CapabilityAuthority;
  /** Until when each target may serve at most, milliseconds of the common clock. */
  readonly #granted: number[];
  readonly #ids: { pool: Uuid; container: Uuid };

  constructor(parts: ControlPlaneParts) {
    this.#parts = parts;
    const first = parts.nodes.slice(0, parts.nodes.length - parts.spareNodes);
    const targets = first.map(({ index, name, port }) => servingTarget({ index, host: name, port }, index));
    this.map = { version: 1, targets };
    this.#granted = parts.nodes.map(() => 0);
    this.#authority = new CapabilityAuthority({
      key: CAPABILITY_KEY,
      hmac: hmacSha256,
      wallMs: () => parts.clock.wallMs(),
    });
    this.#ids = { pool: uuidFromBytes(Buffer.alloc(16, 1), 0), container: uuidFromBytes(Buffer.alloc(16, 2), 0) };
    this.#policyRandom = new SimulatedRandom(parts.policySeed);
    this.#beat();
  }

  get #nowMs(): number {
    return this.#parts.clock.monotonicNs() / 1e6;
  }

  #beat(): void {
    for (const node of this.#parts.nodes) this.#heartbeat(node);
    if (this.excludes) this.#excludeSilent();
    this.#completeFilled();
    if (this.moves && this.#parts.isElastic && this.expendable === undefined) {
      if (this.#parts.random.next() < 0.2) this.#extend();
      if (this.#parts.random.next() < 0.4) this.#drain();
    }
    if (this.reintegrates && this.#parts.random.next() < 0.2) this.#takeBack();
    if (this.moves) this.#changePolicy();
    if (this.snapshots.length < MAX_SNAPSHOTS && this.#parts.random.next() < 0.1) void this.#takeSnapshot();
    this.#parts.timers.after(HEARTBEAT_MS, () => this.#beat());
  }

  /** Now and then another share, a pause, or its end. */
  #changePolicy(): void {
    const random = this.#policyRandom;
    if (random.next() < 0.9) return;
    this.policy = { share: 1 + random.below(100), isPaused: random.next() < 0.3 };
    this.counts.policies += 1;
    this.#tellPolicy();
  }

  /** What is rebuilt goes on. */
  resumeRebuild(): void {
    this.policy = { ...this.policy, isPaused: false };
    this.#tellPolicy();
  }

  #tellPolicy(): void {
    const { policy } = this;
    this.#parts.log(`rebuild takes ${policy.share} per cent${policy.isPaused ? ", paused" : ""}`);
    for (const node of this.#parts.nodes) {
      const { life } = node;
      if (life !== undefined) this.#toNode(node, life, () => life.replication.setFillPolicy(POOL, this.policy));
    }
  }

  /** A target asks for its lease, and hears of the map with the answer. */
  #heartbeat(node: ClusterNode): void {
    const { life } = node;
    if (life === undefined) return;
    const untilNs = node.clock.monotonicNs() + LEASE_MS * 1e6;
    const status = life.replication.fillStatus(POOL, [CONTAINER]);
    const saidMs = this.#nowMs;
    this.#post(node.name, CONTROL, () => {
      if (status?.isDone === true && saidMs > this.#confirming.sinceMs) this.#done.set(node.index, status.mapVersion);
      if (this.isExcluded(node.index) || this.#isFenced(node.index)) return;
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
    node.life?.replication.setFillPolicy(POOL, this.policy);
    node.setMap({ pool: POOL, map, own: node.index, containers: [SERVED] });
  }

  /** Brings the maps that a target asks for, for as long as it lives. */
  serve(node: ClusterNode, life: NodeLife): void {
    void life.maps.nextWanted().then(() => {
      this.#toNode(node, life, () => this.#bring(node, this.map));
      this.serve(node, life);
    });
  }

  #stateOf(index: number): TargetState | undefined {
    return this.map.targets[index]?.state;
  }

  /** Also what has never been part of the pool. */
  isExcluded(index: number): boolean {
    const state = this.#stateOf(index);
    return state === undefined || state === "DOWN" || state === "DOWNOUT";
  }

  /** Targets are being added or drained. */
  get isMoving(): boolean {
    return this.#count("NEW") + this.#count("DRAIN") > 0;
  }

  #isFenced(index: number): boolean {
    return this.#stateOf(index) === "DRAIN" && this.#fencing === this.map.version;
  }

  /** Whether all targets serve but these, and nothing is under way that could end without them. */
  isWhole(lost: ReadonlySet<number>): boolean {
    const { targets } = this.map;
    const waits = outrunsSingles(this.map) && targets.some(({ index }) => lost.has(index) && this.isExcluded(index));
    return targets.every(({ index, state, drained }) => {
      if (waits && state !== "DOWN" && state !== "DOWNOUT") return true;
      return state === "UPIN" || (state === "DOWNOUT" && (lost.has(index) || drained !== undefined));
    });
  }

  #count(state: TargetState): number {
    return this.map.targets.filter((target) => target.state === state).length;
  }

  #mayLose(): boolean {
    const { mostDown, leastServing, leastLeft } = this.#parts;
    // Else there is nobody who could take over what is drained.
    if (this.#count("DRAIN") > 0 && this.#count("UPIN") <= leastLeft) return false;
    return this.#count("DOWN") < mostDown && this.#count("UPIN") + this.#count("DRAIN") > leastServing;
  }

  #excludeSilent(): void {
    for (const { index } of this.#parts.nodes) {
      if (this.#nowMs > this.#granted[index]! + GRACE_MS) this.exclude(index);
    }
  }

  /** Takes a target out of the map, unless others would be lost with it. */
  exclude(index: number): void {
    if (this.expendable !== undefined && this.expendable !== index) return;
    const state = this.#stateOf(index);
    // What was rebuilt elsewhere is whole there; what was not must not be more than the redundancy stands.
    if (state === "UP") this.#change("excluded", (target) => (target.index === index ? "DOWNOUT" : target.state));
    else if (state === "NEW") {
      // They are added again together.
      const targets = this.map.targets.filter((target) => target.state !== "NEW");
      this.#setMap("excluded", { version: this.map.version + 1, targets });
    } else if ((state === "UPIN" || state === "DRAIN") && this.#mayLose()) {
      this.#change("excluded", (target) => (target.index === index ? "DOWN" : target.state));
    }
  }

  /** Once everybody has said, twice, that all is filled under this map: what was under way is done. */
  #completeFilled(): void {
    if (this.map.targets.every(({ state }) => state === "UPIN" || state === "DOWNOUT")) return;
    for (const { index } of this.#parts.nodes) {
      if (this.isExcluded(index)) continue;
      // It may have started anew since: that must not matter.
      const done = this.#done.get(index);
      if (done !== this.map.version) return;
    }
    if (this.#confirming.version !== this.map.version) {
      this.#confirming = { version: this.map.version, sinceMs: this.#nowMs };
      this.#done.clear();
      return;
    }
    if (!this.#isTakenFromDrained()) return;
    const isRebuilt = this.#count("DOWN") > 0;
    // What has one copy must not be looked for where nobody could bring it.
    const waits = outrunsSingles(this.map);
    if (waits && !isRebuilt) return;
    this.#change(isRebuilt ? "rebuilt" : "complete", ({ state }) => {
      if (waits) return state === "DOWN" ? "DOWNOUT" : state;
      if (state === "DOWN" || state === "DRAIN") return "DOWNOUT";
      return state === "UP" || state === "NEW" ? "UPIN" : state;
    });
  }

  /** Whether those that are drained cannot serve any more; begins to see to it. */
  #isTakenFromDrained(): boolean {
    this.#fencing = this.map.version;
    return this.map.targets.every(
      ({ index, state }) => state !== "DRAIN" || this.#nowMs > this.#granted[index]! + GRACE_MS,
    );
  }

  /** All nodes that are no part of the pool yet, if they are up. */
  #extend(): void {
    const { targets } = this.map;
    if (isSingleAway(this.map)) return;
    const missing = this.#parts.nodes.slice(targets.length);
    if (missing.length === 0 || missing.some(({ life }) => life === undefined)) return;
    const version = this.map.version + 1;
    const added = missing.map(({ index, name, port }): MapTarget => {
      this.#granted[index] = this.#nowMs + LEASE_MS;
      return {
        ...servingTarget({ index, host: name, port }, index),
        state: "NEW",
        since: version,
      };
    });
    this.#setMap("extended", { version, targets: [...targets, ...added] });
  }

  /** One of those that serve, as long as others are left for every shard. */
  #drain(): void {
    const { random, nodes, leastLeft } = this.#parts;
    const index = random.below(nodes.length);
    if (this.#stateOf(index) !== "UPIN" || this.#count("UPIN") <= leastLeft) return;
    if (this.#count("DOWN") + this.#count("NEW") > 0 || isSingleAway(this.map)) return;
    this.#change("drained", (target) => (target.index === index ? "DRAIN" : target.state));
  }

  /** Takes back those that were excluded, whose data was rebuilt, and that are there. */
  #takeBack(): void {
    if (this.#count("DOWN") > 0) return;
    const back = this.#parts.nodes.filter(
      ({ index, life }) => this.#stateOf(index) === "DOWNOUT" && life !== undefined,
    );
    if (back.length === 0) return;
    for (const { index } of back) this.#granted[index] = this.#nowMs + LEASE_MS;
    const indices = new Set(back.map(({ index }) => index));
    this.#change("reintegrated", ({ index, state }) => (indices.has(index) ? "UP" : state));
  }

  /** On all that serve, or on none. */
  async #takeSnapshot(): Promise<void> {
    const serving = this.#parts.nodes.filter(({ index }) => !this.isExcluded(index));
    const lives = serving.flatMap(({ life }) => (life === undefined ? [] : [life]));
    if (lives.length < serving.length) return;
    const version = this.map.version;
    const now = this.#parts.clock.wallMs() + SNAPSHOT_LEAD_MS;
    const at = new HybridLogicalClock(() => now).next();
    const outcomes = await Promise.allSettled(lives.map(({ objects }) => objects.createSnapshot(CONTAINER, at)));
    const isTaken = outcomes.every(({ status }) => status === "fulfilled") && version === this.map.version;
    if (isTaken) this.snapshots.push(at);
    else await Promise.allSettled(lives.map(({ objects }) => objects.destroySnapshot(CONTAINER, at)));
    this.#parts.log(`snapshot ${at} ${isTaken ? "taken" : "given up"}`);
  }

  #change(what: keyof ControlPlane["counts"], stateOf: (target: MapTarget) => TargetState): void {
    const version = this.map.version + 1;
    const changed = this.map.targets.map((target) => {
      const state = stateOf(target);
      const { drained, ...rest } = target;
      if (state === "UPIN") {
        const added = target.state === "NEW" ? version : target.added;
        return { ...rest, state, since: target.state === "UPIN" ? target.since : version, added };
      }
      const isDrained = target.state === "DRAIN" && state === "DOWNOUT";
      const left = isDrained ? version : drained;
      const since = target.state === "UPIN" ? version : target.since;
      return { ...rest, state, since, ...(left !== undefined && { drained: left }) };
    });
    this.#setMap(what, { version, targets: withOutages(this.map.targets, changed) });
  }

  #setMap(what: keyof ControlPlane["counts"], map: PoolMap): void {
    this.counts[what] += 1;
    this.map = map;
    const { version, targets } = map;
    this.#parts.log(`map ${version}, ${what}: ${targets.map(({ state }) => state).join(" ")}`);
    for (const node of this.#parts.nodes) {
      const { life } = node;
      if (life === undefined || this.isExcluded(node.index)) continue;
      this.#toNode(node, life, () => this.#bring(node, this.map));
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
