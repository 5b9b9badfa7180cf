/**
 * Operations of the wire protocol (docs/protocol.md): opcodes, and the arguments and replies of those that are not on the hot
 * path, which travel as CBOR maps. Hot object operations use the fixed records of object-request.ts and object-reply.ts.
 */
import type { Epoch } from "../base/epoch.ts";
import type { PoolMap } from "./pool-map.ts";
import type { ClassCapacity, DataHealth, PoolRebuild, TierSpace } from "./pool-state.ts";

export const Opcode = {
  /** Both listeners. First request of a connection: versions and what the peer is. */
  hello: 1,
  /** Both listeners. Answers its payload; for latency measurement and liveness. */
  ping: 2,

  /** Management listener (engine's main thread). */
  systemQuery: 16,
  serverStop: 17,
  pluginList: 18,
  engineMetrics: 19,
  deviceQuery: 20,
  deviceSetFaulty: 21,
  deviceReplace: 22,
  deviceIdentify: 23,
  /** Among engines (engine-operations.ts). */
  engineHello: 24,
  engineJoin: 25,
  engineHeartbeat: 26,
  engineLeave: 27,
  engineMap: 28,
  engineCall: 29,
  engineEvents: 30,
  engineRenew: 31,
  poolCreate: 32,
  poolList: 33,
  poolQuery: 34,
  poolDestroy: 35,
  poolGetProperties: 36,
  poolSetProperties: 37,
  poolQueryTargets: 38,
  poolExclude: 39,
  poolReintegrate: 40,
  poolExtend: 41,
  poolDrain: 42,
  poolScrub: 43,
  containerCreate: 48,
  containerList: 49,
  containerQuery: 50,
  containerDestroy: 51,
  containerGetProperties: 52,
  containerSetProperties: 53,
  containerOpen: 54,
  snapshotCreate: 56,
  snapshotList: 57,
  snapshotDestroy: 58,

  /** The system as a whole: event-operations.ts, system-operations.ts. */
  systemEvents: 64,
  systemLeader: 65,
  systemExclude: 66,
  systemDrain: 67,
  systemReintegrate: 68,
  selfHealGet: 69,
  selfHealSet: 70,
  selfHealEval: 71,
  systemStop: 72,
  systemStart: 73,
  systemBackup: 74,
  /** One step of a check (check-operations.ts). */
  systemCheck: 75,

  /** Target listeners. `attach` turns a capability into this connection's container handle. */
  attach: 96,
  detach: 97,
  /** Hot: object-request record, then payload. */
  valueFetch: 112,
  valueUpdate: 113,
  arrayRead: 114,
  arrayWrite: 115,
  arrayPunch: 116,
  objectPunch: 117,
  dkeyPunch: 118,
  akeyPunch: 119,
  /** Hot: one shard's part of an erasure-coded akey; replies with a shard-read record, then payload. */
  shardArrayRead: 120,
  shardValueFetch: 121,
  /** As those; of one dkey of a transaction (transaction-part.ts); bytes of an update to come (docs/protocol.md, Staging). */
  transactionStep: 122,
  valueStage: 123,
  arrayStage: 124,
  /** CBOR. */
  dkeyList: 128,
  akeyList: 129,
  extentList: 130,
  objectList: 131,
  keyQuery: 132,
  /** What the two epochs of a container differ in. */
  changeList: 133,
  epochQuery: 134,
  /** Target listeners, among targets: dtx-messages.ts, prepare-request.ts. */
  dtxAttach: 160,
  dtxPrepare: 161,
  dtxDecide: 162,
  dtxRefresh: 163,
  dtxResync: 164,
  dtxShardArrayRead: 165,
  dtxShardValueFetch: 166,
  dtxFold: 167,
  dtxFoldedTo: 168,
  transactionState: 169,
  dtxFill: 170,
  dtxShardExtents: 171,
  dtxSummary: 172,
  dtxRepair: 173,
} as const;
export type Opcode = (typeof Opcode)[keyof typeof Opcode];

export interface HelloArguments {
  readonly protocol: { readonly min: number; readonly max: number };
  readonly peer: string;
}
export interface HelloReply {
  readonly protocol: number;
  readonly software: string;
  readonly role: "management" | "target";
}

export interface SystemQueryReply {
  readonly system: string;
  readonly software: string;
  readonly uptimeMs: number;
  readonly storage: string;
  readonly pid: number;
  /** All targets of all engines, where they were last. */
  readonly map: PoolMap;
  readonly scmTotalBytes: number;
  readonly scmUsedBytes: number;
  readonly nvmeTotalBytes: number;
  readonly nvmeUsedBytes: number;
  /** Ascending by rank. An older engine does not tell. */
  readonly engines?: readonly EngineDescription[];
  readonly pools?: readonly { readonly label: string; readonly mapVersion: number; readonly down: number }[];
}

/** `suspect`: not heard of; `new`: it was given a rank and has not joined yet. */
export type EngineState = "new" | "joined" | "suspect" | "stopped" | "excluded";
export interface EngineDescription {
  readonly rank: number;
  readonly id: string;
  readonly state: EngineState;
  readonly domain: string;
  /** Management listener, as the other engines reach it. */
  readonly address: string;
  readonly targets: number;
  /** Its release, and the version that it speaks among engines; not told of one that was not here since the leader began. */
  readonly software?: string;
  readonly version?: number;
  /** Of a suspect that will be excluded: the time until then. */
  readonly exclusionInMs?: number;
  /** Why a suspect is not excluded. */
  readonly reason?: string;
  readonly scmTotalBytes: number;
  readonly scmUsedBytes: number;
  readonly nvmeTotalBytes: number;
  readonly nvmeUsedBytes: number;
}

export interface ServerStopArguments {
  /** Only the engine of this rank; all of the system without it. */
  readonly rank?: number;
}

export interface PluginListReply {
  readonly plugins: readonly {
    readonly kind: string;
    readonly name: string;
    readonly description: string;
    readonly origin: string;
    readonly state: "in use" | "available" | "unavailable";
    readonly reason: string;
  }[];
}

/** Counters since start; CPU of the whole process. */
export interface EngineMetricsReply {
  readonly cpuUserUs: number;
  readonly cpuSystemUs: number;
  readonly residentBytes: number;
  readonly requests: number;
  /** How many events of each id it told of. An older engine does not tell. */
  readonly events?: Readonly<Record<string, number>>;
  readonly targets: readonly Readonly<Record<string, number>>[];
}

export type Properties = Readonly<Record<string, string | number | boolean>>;

export interface PoolCreateArguments {
  readonly label: string;
  readonly sizeBytes: number;
  readonly properties?: Properties;
}
export interface PoolDescription {
  readonly id: string;
  readonly label: string;
  readonly state: "ready" | "destroying";
  readonly sizeBytes: number;
  readonly usedBytes: number;
  readonly scmUsedBytes: number;
  readonly nvmeUsedBytes: number;
  /** The tiers that the pool lies on, of all pools together. An older engine does not tell. */
  readonly scm?: TierSpace;
  readonly log?: TierSpace;
  readonly nvme?: TierSpace;
  readonly containers: number;
  readonly targets: number;
  /** An older engine does not tell. */
  readonly rebuild?: PoolRebuild;
  readonly health?: DataHealth;
  readonly capacity?: readonly ClassCapacity[];
  readonly createdAt: string;
  readonly properties: Properties;
}
/** A page of a list; both absent: the first page, as long as fits one reply. */
export interface PageArguments {
  /** The anchor of the page before. */
  readonly after?: string;
  readonly limit?: number;
}
export type PoolListArguments = PageArguments;
export interface PoolListReply {
  readonly pools: readonly PoolDescription[];
  /** Present: more follow, ask again with it as `after`. */
  readonly anchor?: string;
}
/** `pool` is a label or an id, everywhere. */
export interface PoolReference {
  readonly pool: string;
}
export interface PoolDestroyArguments extends PoolReference {
  readonly force: boolean;
}
export interface PoolSetPropertiesArguments extends PoolReference {
  readonly properties: Properties;
}
export interface PropertiesReply {
  readonly properties: Properties;
}
export type ContainerType = "kv" | "object" | "posix";
export interface ContainerCreateArguments extends PoolReference {
  readonly label: string;
  readonly type: ContainerType;
  readonly properties?: Properties;
}
export interface ContainerReference extends PoolReference {
  readonly container: string;
}
export interface ContainerDestroyArguments extends ContainerReference {
  readonly force: boolean;
}
export interface ContainerSetPropertiesArguments extends ContainerReference {
  readonly properties: Properties;
}
export interface ContainerDescription {
  readonly id: string;
  readonly label: string;
  readonly type: ContainerType;
  readonly pool: string;
  readonly state: "ready" | "destroying";
  readonly usedBytes: number;
  readonly snapshots: number;
  /** An older engine does not tell. */
  readonly health?: DataHealth;
  readonly createdAt: string;
  readonly properties: Properties;
}
export interface ContainerListArguments extends PoolReference, PageArguments {}
export interface ContainerListReply {
  readonly containers: readonly ContainerDescription[];
  /** Present: more follow, ask again with it as `after`. */
  readonly anchor?: string;
}
export interface ContainerOpenArguments extends ContainerReference {
  readonly readOnly: boolean;
}
/** All a client needs to talk to the targets. */
export interface ContainerOpenReply {
  readonly container: ContainerDescription;
  readonly map: PoolMap;
  /** Opaque; presented to each target by `attach`. */
  readonly capability: Uint8Array;
}

export interface SnapshotDescription {
  readonly name: string;
  readonly epoch: Epoch;
  readonly createdAt: string;
}
export interface SnapshotCreateArguments extends ContainerReference {
  /** Empty: the engine names it after its epoch. */
  readonly name: string;
}
export interface SnapshotListReply {
  readonly snapshots: readonly SnapshotDescription[];
}
export interface SnapshotDestroyArguments extends ContainerReference {
  readonly name: string;
}

export interface AttachArguments {
  readonly capability: Uint8Array;
}
export interface AttachReply {
  readonly handle: number;
}
export interface DetachArguments {
  readonly handle: number;
}
/** Keys travel as CBOR byte strings. An anchor is the last key of the page before. */
export interface KeyListArguments {
  readonly handle: number;
  readonly oid: Uint8Array;
  /** For akeyList and extentList. */
  readonly dkey?: Uint8Array;
  /** For extentList. */
  readonly akey?: Uint8Array;
  readonly prefix?: Uint8Array;
  readonly after?: Uint8Array;
  readonly limit: number;
  readonly epoch: Epoch;
}
export interface KeyListReply {
  readonly keys: readonly Uint8Array[];
  /** Nothing follows. */
  readonly done: boolean;
  /** Where to go on (`after`), also when `keys` is empty: the scan's time slice ended. */
  readonly anchor?: Uint8Array;
}
/** Of erasure-coded objects indices and counts are bytes of the shard's local array. */
export interface ExtentListArguments extends KeyListArguments {
  readonly from: number;
  /** Nothing from this index on; to the end without it. */
  readonly to?: number;
}
export interface ExtentListReply {
  /** Visible record extents, ascending, not overlapping. */
  readonly extents: readonly { readonly index: number; readonly count: number; readonly epoch: Epoch }[];
  readonly recordBytes: number;
  readonly done: boolean;
  /** `from` of the next page when not done. */
  readonly next?: number;
}
export interface ObjectListArguments {
  readonly handle: number;
  readonly after?: Uint8Array;
  readonly limit: number;
  readonly epoch: Epoch;
}
/** DAOS daos_obj_query_key: GET_MAX or GET_MIN of DKEY, AKEY, RECX; each level not asked for must be given. */
export interface KeyQueryArguments {
  readonly handle: number;
  readonly oid: Uint8Array;
  readonly direction: "max" | "min";
  readonly levels: readonly ("dkey" | "akey" | "extent")[];
  readonly dkey?: Uint8Array;
  readonly akey?: Uint8Array;
  readonly epoch: Epoch;
  /** Only extents in these bytes of the array, whole MiB; all without it. */
  readonly within?: { readonly start: number; readonly end: number };
}
/** Of erasure-coded objects the extent is in bytes of the shard's local array. */
export interface KeyQueryReply {
  readonly found: boolean;
  readonly dkey?: Uint8Array;
  readonly akey?: Uint8Array;
  readonly extent?: { readonly index: number; readonly count: number };
  readonly recordBytes?: number;
}
