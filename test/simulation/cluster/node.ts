/**
 * One target of a simulated cluster: media that outlive power, and on them the real store, objects, replication, services
 * and listener, composed as src/engine/target.ts does.
 */
import { HybridLogicalClock } from "../../../src/base/epoch.ts";
import { KIB } from "../../../src/base/limits.ts";
import { portableCodec } from "../../../native/isal/portable-codec.ts";
import { erasureProvider } from "../../../plugins/redundancy/erasure/index.ts";
import type { RpcLink } from "../../../src/client/rpc-link.ts";
import type { RedundancyScheme } from "../../../src/contracts/redundancy.ts";
import { CapabilityAuthority } from "../../../src/control/capability-authority.ts";
import type { PeerConnection } from "../../../src/dtx/peer.ts";
import { FillPace } from "../../../src/dtx/fill-pace.ts";
import { type FillStore, fillStore } from "../../../src/dtx/fill-store.ts";
import type { FoldStore } from "../../../src/dtx/fold-store.ts";
import type { RunUpdate } from "../../../src/dtx/group-follower.ts";
import { preparedStore, type PreparedStore } from "../../../src/dtx/prepared-store.ts";
import type { Repairs } from "../../../src/dtx/repairs.ts";
import { Replication } from "../../../src/dtx/replication.ts";
import { attachmentGrant } from "../../../src/engine/attachment-grant.ts";
import { AttachmentTable } from "../../../src/engine/attachment-table.ts";
import { TargetFoldStore } from "../../../src/engine/fold-store.ts";
import { ForegroundRequests } from "../../../src/engine/foreground.ts";
import { EnumerationService } from "../../../src/engine/enumeration-service.ts";
import { Lease } from "../../../src/engine/lease.ts";
import { PoolMapTable, type TargetMap } from "../../../src/engine/pool-map-table.ts";
import { QuotaTable } from "../../../src/engine/quota.ts";
import { ShardReadService } from "../../../src/engine/shard-read-service.ts";
import { targetRepairs, watchedShards } from "../../../src/engine/target-repairs.ts";
import { TargetService } from "../../../src/engine/target-service.ts";
import { RedundancySchemes } from "../../../src/redundancy/redundancy-schemes.ts";
import { RpcConnection } from "../../../src/rpc/connection.ts";
import { RpcServer } from "../../../src/rpc/server.ts";
import type { GateRule } from "../../../src/store/cell.ts";
import { openStore } from "../../../src/store/open-store.ts";
import { InlineSettler } from "../../../src/store/settler.ts";
import { windowLead } from "../../../src/vos/array-window.ts";
import { isGatedKey } from "../../../src/vos/cell-key.ts";
import { VersionedObjects } from "../../../src/vos/versioned-objects.ts";
import { hmacSha256 } from "../../../src/world/hmac.ts";
import type { CheckedStore } from "../../../src/store/store-checks.ts";
import { CrashMachine } from "../../store/crash-machine.ts";
import type { SimulatedClock } from "../clock.ts";
import type { SimulatedRandom } from "../random.ts";
import { SimulatedTimers } from "../timers.ts";
import type { ClusterNetwork, NodeNetwork } from "./network.ts";
import { NodeClock } from "./node-clock.ts";

export const POOL = "tank";
export const CONTAINER = 1;
export const SCHEMES = new RedundancySchemes([erasureProvider(portableCodec)]);
export const SERVED = { number: CONTAINER, cellBytes: 4096 };
export const CAPABILITY_KEY = new Uint8Array(32).fill(7);
export const FIRST_PORT = 1_000;

/** Planted bugs, for the test of the simulation. */
export interface PlantedBug {
  readonly store?: (store: PreparedStore) => PreparedStore;
  readonly connection?: (connection: PeerConnection) => PeerConnection;
  readonly lease?: (lease: Lease) => Lease | undefined;
  /** Which cells wait for the epoch gate. */
  readonly isGated?: GateRule;
  /** Of clients of transactions. */
  readonly link?: (link: RpcLink) => RpcLink;
  readonly fill?: (store: FillStore) => FillStore;
  readonly fold?: (store: FoldStore) => FoldStore;
  /** What a member does that its leader has ordered. */
  readonly run?: (run: RunUpdate, objects: VersionedObjects) => RunUpdate;
  /** Changes the objects of a target in place. */
  readonly objects?: (objects: VersionedObjects, index: number) => void;
  /** Of those who lead erasure-coded dkeys. */
  readonly scheme?: (scheme: RedundancyScheme) => RedundancyScheme;
}

export interface NodeParts {
  readonly clock: SimulatedClock;
  readonly timers: SimulatedTimers;
  readonly random: SimulatedRandom;
  readonly network: ClusterNetwork;
  readonly bug: PlantedBug;
  readonly log: (line: string) => void;
}

/** What lives until the process ends. */
export interface NodeLife {
  readonly network: NodeNetwork;
  readonly timers: SimulatedTimers;
  readonly store: CheckedStore;
  readonly device: ReturnType<CrashMachine["openDevice"]>;
  readonly objects: VersionedObjects;
  readonly maps: PoolMapTable;
  readonly lease: Lease;
  readonly quotas: QuotaTable;
  readonly replication: Replication;
  readonly repairs: Repairs;
}

export class ClusterNode {
  readonly index: number;
  readonly name: string;
  readonly port: number;
  readonly machine: CrashMachine;
  readonly clock: NodeClock;
  readonly segmentBytes = 32 * KIB;
  readonly #parts: NodeParts;
  /** Bytes on its media have changed by themselves. */
  isRotten = false;
  /** Of the lives that have ended. */
  readonly #repaired = { repaired: 0, lost: 0 };
  /** Number of the next container that is this target's alone. */
  nextContainer = CONTAINER + 1;
  /** It found at its start that it cannot serve any more. */
  isLost = false;
  /** Undefined while it is down or opening. */
  life: NodeLife | undefined;
  lives = 0;

  constructor(index: number, parts: NodeParts) {
    this.index = index;
    this.name = `n${index}`;
    this.port = FIRST_PORT + index;
    this.clock = new NodeClock(parts.clock);
    this.#parts = parts;
    this.machine = new CrashMachine({
      seed: parts.random.nextUint32(),
      regionBytes: 520 * KIB,
      deviceBytes: 4096 * KIB,
      indexBytes: 1536 * KIB,
      clock: this.clock,
      lifeTimers: () => new SimulatedTimers(this.clock, parts.timers),
    });
  }

  get isUp(): boolean {
    return this.life !== undefined;
  }

  async start(create = false): Promise<NodeLife | undefined> {
    const { machine, clock: wall } = this;
    const { timers } = machine;
    const present = machine.life;
    const network = this.#parts.network.of(this.name);
    const device = machine.openDevice();
    const index = machine.openIndex();
    const { region, readLog } = await machine.openScm(create);
    const isGated = this.#parts.bug.isGated ?? isGatedKey;
    const store = await openStore({
      world: machine,
      region,
      device,
      index,
      settler: new InlineSettler(index, readLog, isGated),
      create,
      destageRule: windowLead,
      segmentBytes: this.segmentBytes,
      transactionPages: { usual: 16, smallIndex: 16 },
      generationCells: 128,
    });
    if (machine.life !== present || machine.dead) return undefined;
    const undecided = store.transactions.undecided().length;
    this.#parts.log(`${this.name} opened, durable to ${store.durableSequence}, ${undecided} undecided`);
    const clock = new HybridLogicalClock(() => wall.wallMs());
    clock.restore(store.highestEpoch);
    const allocate = (sizeBytes: number) => device.allocate(sizeBytes);
    const release = (): void => device.release();
    const payloadBuffers = { allocate, release };
    const objects = new VersionedObjects({ store, clock, timers, allocate, release });
    this.#parts.bug.objects?.(objects, this.index);
    const quotas = new QuotaTable(
      (container) => store.usage(container),
      () => wall.monotonicNs() / 1e6,
    );
    const maps = new PoolMapTable(timers);
    const lease = new Lease(wall);
    const authority = new CapabilityAuthority({ key: CAPABILITY_KEY, hmac: hmacSha256, wallMs: () => wall.wallMs() });
    const attachments = new AttachmentTable(attachmentGrant(authority, quotas, maps), () => wall.wallMs());
    const { bug } = this.#parts;
    const repairs = targetRepairs({ timers, store, objects, replication: () => replication });
    const filled = fillStore(store, objects, async (...dkey) => (await repairs.dkey(...dkey)).repaired);
    const foreground = new ForegroundRequests();
    const shardReads = new ShardReadService({ store, objects, payloadBuffers, replication: () => replication });
    const replication: Replication = new Replication({
      store: traced(bug.store?.(preparedStore(store)) ?? preparedStore(store), (line) =>
        this.#parts.log(`${this.name} ${line}`),
      ),
      timers,
      dial: async ({ host, port }) => {
        const connection = await RpcConnection.connect(network, host, port, { timers, clock });
        return bug.connection?.(connection) ?? connection;
      },
      capability: () => authority.issueTarget(machine.random),
      checkCapability: (capability) => authority.verifyTarget(capability),
      run: (...prepared) => run(...prepared),
      observe: (epoch) => clock.observe(epoch),
      poolOf: (container) => maps.mapOf(container),
      schemeOf: (container, word) => {
        const scheme = SCHEMES.of(word, maps.cellBytesOf(container));
        return bug.scheme?.(scheme) ?? scheme;
      },
      ...watchedShards(repairs, shardReads),
      foldStore: bug.fold?.(new TargetFoldStore(store, objects)) ?? new TargetFoldStore(store, objects),
      fillStore: bug.fill?.(filled) ?? filled,
      pace: new FillPace({ timers, nowMs: () => wall.monotonicNs() / 1e6, foreground }),
      setGate: (container, epoch) => objects.setGate(container, epoch),
      now: () => clock.next(),
      serveStates: (...asked) => service.serveStates(...asked),
    });
    const runPrepared: RunUpdate = (...prepared) => service.runPrepared(...prepared);
    const run = bug.run?.(runPrepared, objects) ?? runPrepared;
    const usedLease = bug.lease === undefined ? lease : bug.lease(lease);
    const service: TargetService = new TargetService({
      store,
      objects,
      attachments,
      quotas,
      enumeration: new EnumerationService(objects, (container) => replication.shownDkeys(container)),
      payloadBuffers,
      replication,
      shardReads,
      repairs,
      ...(usedLease !== undefined && { lease: usedLease }),
      learnMap: (newer) => maps.learn(newer),
      timers,
      clock: wall,
      random: this.#parts.random,
      now: () => clock.next(),
      foreground,
    });
    maps.onChange((changed) => replication.mapChanged(changed));
    const common = { network, timers, clock, host: this.name, port: this.port, software: "simulated" };
    void new RpcServer({ ...common, role: "target", handler: service, payloadBuffers });
    this.lives += 1;
    this.life = { network, timers, store, device, objects, maps, lease, quotas, replication, repairs };
    return this.life;
  }

  /** Ends the process, or cuts its power: memory is gone, what was not durable is lost or torn. */
  kill(noticeMs: number): void {
    this.#parts.log(`${this.name} ends, durable to ${this.life?.store.durableSequence}`);
    Object.assign(this.#repaired, this.repaired);
    this.life?.network.end(noticeMs);
    this.life = undefined;
    this.machine.losePower("simulation");
  }

  /** What it has repaired of its media, and found that nobody has. */
  get repaired(): { readonly repaired: number; readonly lost: number } {
    const { repaired, lost } = this.#repaired;
    const now = this.life?.repairs.counts ?? { repaired: 0, lost: 0 };
    return { repaired: repaired + now.repaired, lost: lost + now.lost };
  }

  /** Opens what the media have. */
  restart(): Promise<NodeLife | undefined> {
    this.machine.restart();
    return this.start();
  }

  setMap(map: TargetMap): void {
    const { life } = this;
    if (life === undefined) return;
    life.objects.openContainer(CONTAINER);
    life.quotas.set({ pool: POOL, sizeBytes: Number.MAX_SAFE_INTEGER, containers: [CONTAINER] });
    life.maps.set(map);
  }
}

/** The same, with a line in the log for each decision. */
function traced(store: PreparedStore, log: (line: string) => void): PreparedStore {
  const nameOf = ({ client, sequence }: { client: number; sequence: number }): string => `${client}/${sequence}`;
  return {
    ...store,
    decide: (id, decision) => {
      log(`decides ${decision} of ${nameOf(id)}, ${store.stateOf(id) ?? "unknown"}`);
      store.decide(id, decision);
    },
    forget: (id) => {
      log(`forgets ${nameOf(id)}, ${store.stateOf(id) ?? "unknown"}`);
      store.forget(id);
    },
  };
}
