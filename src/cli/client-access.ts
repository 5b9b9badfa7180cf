/**
 * The part of the client library that the commands use, as shapes: src/client's classes fit them, and so do the fakes
 * of the tests. What each call does, and its errors, is documented there.
 */
import type { Epoch } from "../base/epoch.ts";
import type { Key } from "../base/key.ts";
import type { ObjectClass } from "../base/object-class.ts";
import type { ObjectId, ObjectType } from "../base/object-id.ts";
import type { Condition } from "../contracts/interface.ts";
import type { KeyValue } from "../contracts/key-value.ts";
import type { CheckArguments, CheckReply } from "../format/check-operations.ts";
import type { SystemEventsArguments, SystemEventsReply } from "../format/event-operations.ts";
import type { DeviceDescription } from "../format/device-operations.ts";
import type {
  ContainerDescription,
  ContainerType,
  EngineMetricsReply,
  PluginListReply,
  PoolDescription,
  Properties,
  SnapshotDescription,
  SystemQueryReply,
} from "../format/operations.ts";
import type {
  PoolOutcome,
  SelfHealEvalReply,
  SystemBackupReply,
  SystemLeaderReply,
  SystemStartReply,
  SystemStopArguments,
} from "../format/system-operations.ts";
import type { PoolTargetsReply } from "../format/pool-targets.ts";
import type { PoolScrubArguments, PoolScrubReply } from "../format/scrub.ts";
import type { Placement } from "../placement/placement.ts";

export interface ConnectOptions {
  /** `host:port[,host:port]`. */
  readonly system: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** Every call takes the signal that cancels it. */
export interface SignalOption {
  readonly signal: AbortSignal;
}

export interface SystemAccess {
  query(options: SignalOption): Promise<SystemQueryReply>;
  metrics(options: SignalOption): Promise<EngineMetricsReply>;
  plugins(options: SignalOption): Promise<PluginListReply["plugins"]>;
  devices(options: SignalOption): Promise<readonly DeviceDescription[]>;
  setDeviceFaulty(device: string, options: SignalOption & { readonly force: boolean }): Promise<DeviceDescription>;
  replaceDevice(
    device: string,
    successor: string,
    options: SignalOption & { readonly force: boolean },
  ): Promise<DeviceDescription>;
  identifyDevice(device: string, options: SignalOption): Promise<DeviceDescription>;
  /** One step. */
  check(args: CheckArguments, options: SignalOption): Promise<CheckReply>;
  stop(options: SignalOption & { readonly rank?: number | undefined }): Promise<void>;
  stopEngines(args: SystemStopArguments, options: SignalOption): Promise<void>;
  startEngines(ranks: readonly number[] | undefined, options: SignalOption): Promise<SystemStartReply>;
  backup(options: SignalOption): AsyncIterable<SystemBackupReply>;
  leader(options: SignalOption): Promise<SystemLeaderReply>;
  changeRanks(
    change: "exclude" | "drain" | "reintegrate",
    ranks: readonly number[],
    options: SignalOption & { readonly force?: boolean },
  ): Promise<readonly PoolOutcome[]>;
  selfHeal(options: SignalOption): Promise<readonly string[]>;
  setSelfHeal(flags: readonly string[], options: SignalOption): Promise<readonly string[]>;
  evalSelfHeal(options: SignalOption): Promise<SelfHealEvalReply>;
  events(args: SystemEventsArguments, options: SignalOption): Promise<SystemEventsReply>;
  listPools(options: SignalOption): Promise<readonly PoolDescription[]>;
  createPool(
    options: SignalOption & { readonly label: string; readonly sizeBytes: number; readonly properties?: Properties },
  ): Promise<PoolDescription>;
  pool(name: string): PoolAccess;
  /** Closes what was opened through it, too. */
  close(): Promise<void>;
}

/** All targets of these ranks, and those of these indices. */
export interface TargetSelection {
  readonly ranks?: readonly number[];
  readonly targets?: readonly number[];
}

export interface PoolAccess {
  query(options: SignalOption): Promise<PoolDescription>;
  queryTargets(options: SignalOption): Promise<PoolTargetsReply>;
  exclude(selection: TargetSelection, options: SignalOption & { readonly force: boolean }): Promise<PoolTargetsReply>;
  reintegrate(selection: TargetSelection, options: SignalOption): Promise<PoolTargetsReply>;
  extend(ranks: readonly number[], options: SignalOption): Promise<PoolTargetsReply>;
  drain(selection: TargetSelection, options: SignalOption): Promise<PoolTargetsReply>;
  scrub(
    action: PoolScrubArguments["action"],
    options: SignalOption & { readonly bytesPerSecond?: number },
  ): Promise<PoolScrubReply>;
  destroy(options: SignalOption & { readonly force: boolean }): Promise<void>;
  getProperties(options: SignalOption): Promise<Properties>;
  setProperties(properties: Properties, options: SignalOption): Promise<Properties>;
  createContainer(
    options: SignalOption & {
      readonly label: string;
      readonly type: ContainerType;
      readonly properties?: Properties;
    },
  ): Promise<ContainerDescription>;
  listContainers(options: SignalOption): Promise<readonly ContainerDescription[]>;
  queryContainer(container: string, options: SignalOption): Promise<ContainerDescription>;
  destroyContainer(container: string, options: SignalOption & { readonly force: boolean }): Promise<void>;
  getContainerProperties(container: string, options: SignalOption): Promise<Properties>;
  setContainerProperties(container: string, properties: Properties, options: SignalOption): Promise<Properties>;
  openContainer(container: string, options: SignalOption & { readonly readOnly: boolean }): Promise<ContainerAccess>;
}

export interface Change {
  readonly change: "added" | "removed" | "changed";
  readonly oid: ObjectId;
  readonly dkey: Uint8Array;
  readonly akey: Uint8Array;
}

/** What can be read of a container, at the latest epoch or at a snapshot. */
export interface ContainerViewAccess {
  object(oid: ObjectId): ObjectAccess;
  kv(): KeyValue;
  array(oid: ObjectId): ArrayAccess;
  listObjects(options: SignalOption): AsyncIterable<ObjectId>;
}

export interface ContainerAccess extends ContainerViewAccess {
  readonly placement: Placement;
  newObjectId(type: ObjectType, objectClass?: ObjectClass): ObjectId;
  createSnapshot(name: string | undefined, options: SignalOption): Promise<SnapshotDescription>;
  listSnapshots(options: SignalOption): Promise<readonly SnapshotDescription[]>;
  destroySnapshot(name: string, options: SignalOption): Promise<void>;
  at(moment: string | Epoch, options: SignalOption): Promise<ContainerViewAccess>;
  changes(from: string | Epoch, to: string | Epoch | undefined, options: SignalOption): AsyncIterable<Change>;
  /** Runs it again after conflicts. */
  runTransaction<T>(body: (transaction: TransactionAccess) => Promise<T>, options: SignalOption): Promise<T>;
}

export interface TransactionAccess {
  object(oid: ObjectId): TransactionObjectAccess;
}

/** Records of an array. */
export interface RecordsAccess {
  readonly recordIndex: number;
  readonly recordCount: number;
  readonly recordBytes: number;
}

/** One object in a transaction. */
export interface TransactionObjectAccess {
  fetch(dkey: Key, akey: Key): Promise<{ readonly value: Uint8Array } | undefined>;
  update(
    dkey: Key,
    akey: Key,
    value: Uint8Array,
    options: { readonly condition?: Condition | undefined },
  ): Promise<void>;
  punchAkey(dkey: Key, akey: Key): Promise<void>;
  punchDkey(dkey: Key): Promise<void>;
  readArray(dkey: Key, akey: Key, range: RecordsAccess): Promise<Uint8Array>;
  writeArray(dkey: Key, akey: Key, at: Omit<RecordsAccess, "recordCount">, bytes: Uint8Array): Promise<void>;
  punchArray(dkey: Key, akey: Key, range: RecordsAccess): Promise<void>;
  listAkeys(dkey: Key): Promise<readonly Uint8Array[]>;
}

export interface ObjectAccess {
  listDkeys(options: SignalOption & { readonly limit?: number }): AsyncIterable<Uint8Array>;
  listAkeys(dkey: Key, options: SignalOption): AsyncIterable<Uint8Array>;
  /** Without a signal: also when the command was canceled. */
  punch(options?: SignalOption): Promise<unknown>;
  punchDkey(dkey: Key, options: SignalOption): Promise<unknown>;
  punchAkey(dkey: Key, akey: Key, options: SignalOption): Promise<unknown>;
}

/** One object as an array of records; of one byte each, a file. Positions and sizes count records. */
export interface ArrayAccess {
  readonly chunkBytes: number;
  /** What the stored array has, once its size was asked for. */
  readonly recordBytes: number;
  size(options: SignalOption): Promise<number>;
  setSize(size: number, options: SignalOption): Promise<unknown>;
  /** Resolves with the bytes written when all are durable. */
  writeStream(chunks: AsyncIterable<Uint8Array>, options: SignalOption & { readonly offset?: number }): Promise<number>;
  readStream(options: SignalOption & { readonly offset?: number; readonly length?: number }): AsyncIterable<Uint8Array>;
}
