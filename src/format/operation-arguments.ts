/**
 * Checks the CBOR arguments of an operation after decoding: what a peer sent becomes one of the argument types of
 * operations.ts or an INVALID_ARGUMENT that names the member. Members this version does not know are ignored, so that a
 * newer client can talk to it. Meaning (labels, sizes, properties) is checked where it is used.
 */
import { z } from "zod";
import type { PoolTargetsArguments, PoolExtendArguments } from "./pool-targets.ts";
import { unreachable } from "../base/assert.ts";
import { DaosError } from "../base/errors.ts";
import type { Epoch } from "../base/epoch.ts";
import {
  MAX_AKEY_BYTES,
  MAX_DKEY_BYTES,
  MAX_ENGINES,
  MAX_SCRUB_BYTES_PER_SECOND,
  MIN_SCRUB_BYTES_PER_SECOND,
  MAX_ENUMERATION_KEYS,
  MAX_POOL_TARGETS,
  MAX_RANK,
  MAX_SNAPSHOTS,
} from "../base/limits.ts";
import { OBJECT_ID_BYTES } from "../base/object-id.ts";
import { SEVERITIES } from "../base/events.ts";
import type { CheckArguments } from "./check-operations.ts";
import type { SystemEventsArguments } from "./event-operations.ts";
import type {
  SelfHealSetArguments,
  SystemBackupArguments,
  SystemRanksArguments,
  SystemStartArguments,
  SystemStopArguments,
} from "./system-operations.ts";
import type { DtxAttachArguments, DtxResyncArguments, DtxSummaryArguments } from "./dtx-messages.ts";
import type { ChangeListArguments, EpochQueryArguments } from "./history-operations.ts";
import type { DeviceReference, DeviceSetFaultyArguments, DeviceReplaceArguments } from "./device-operations.ts";
import type { PoolScrubArguments } from "./scrub.ts";
import type * as operations from "./operations.ts";
import { Opcode } from "./operations.ts";

/** Most characters of a label, reference or name that are looked at: more is refused before it is quoted anywhere. */
const MAX_NAME_LENGTH = 255;
const MAX_PROPERTIES = 64;
const MAX_FLAGS = 64;
/** Anchors are opaque; they may hold a dkey, an akey and what belongs to them. */
const MAX_ANCHOR_BYTES = 4 * MAX_DKEY_BYTES;
/** Of a check: it may hold a dkey in hex, and ids. */
const MAX_POSITION_LENGTH = 8192;
const MAX_CAPABILITY_BYTES = 1024;

const name = z.string().max(MAX_NAME_LENGTH);
const number = z.int().nonnegative();
const handle = z.int().nonnegative().max(0xffff_ffff);
const epoch = z.custom<Epoch>((value) => Number.isSafeInteger(value) && (value as number) >= 0, "expected an epoch");
const properties = z
  .record(z.string().max(MAX_NAME_LENGTH), z.union([z.string(), z.number(), z.boolean()]))
  .refine((value) => Object.keys(value).length <= MAX_PROPERTIES, `expected at most ${MAX_PROPERTIES} properties`);
const limit = z
  .int()
  .min(1)
  .transform((value) => Math.min(value, MAX_ENUMERATION_KEYS));

function bytes(maxBytes: number, exactBytes?: number): z.ZodType<Uint8Array> {
  const expected = exactBytes === undefined ? `at most ${maxBytes} bytes` : `${exactBytes} bytes`;
  const fits = (value: unknown): boolean =>
    value instanceof Uint8Array && (exactBytes === undefined ? value.length <= maxBytes : value.length === exactBytes);
  return z.custom<Uint8Array>(fits, `expected a byte string of ${expected}`);
}

const key = bytes(MAX_DKEY_BYTES);
const akey = bytes(MAX_AKEY_BYTES);
const anchor = bytes(MAX_ANCHOR_BYTES);
const oid = bytes(OBJECT_ID_BYTES, OBJECT_ID_BYTES);
const page = { after: name.exactOptional(), limit: limit.exactOptional() };
const container = { pool: name, container: name };
const rank = z.int().min(0).max(MAX_RANK);
const targets = {
  pool: name,
  ranks: z.array(rank).max(MAX_ENGINES).exactOptional(),
  targets: z.array(z.int().nonnegative()).max(MAX_POOL_TARGETS).exactOptional(),
  force: z.boolean().exactOptional(),
};
const ranks = z.array(rank).min(1).max(MAX_ENGINES);
const systemRanks = {
  ranks,
  force: z.boolean().exactOptional(),
  after: name.exactOptional(),
};
const keyList = {
  handle,
  oid,
  dkey: key.exactOptional(),
  akey: akey.exactOptional(),
  prefix: key.exactOptional(),
  after: anchor.exactOptional(),
  limit,
  epoch,
};

/** The arguments of each operation that has any, by opcode. */
export interface OperationArguments {
  [Opcode.serverStop]: operations.ServerStopArguments;
  [Opcode.systemCheck]: CheckArguments;
  [Opcode.deviceSetFaulty]: DeviceSetFaultyArguments;
  [Opcode.deviceReplace]: DeviceReplaceArguments;
  [Opcode.deviceIdentify]: DeviceReference;
  [Opcode.poolCreate]: operations.PoolCreateArguments;
  [Opcode.poolList]: operations.PoolListArguments;
  [Opcode.poolQuery]: operations.PoolReference;
  [Opcode.poolDestroy]: operations.PoolDestroyArguments;
  [Opcode.poolGetProperties]: operations.PoolReference;
  [Opcode.poolSetProperties]: operations.PoolSetPropertiesArguments;
  [Opcode.poolQueryTargets]: operations.PoolReference;
  [Opcode.poolExclude]: PoolTargetsArguments;
  [Opcode.poolReintegrate]: PoolTargetsArguments;
  [Opcode.poolExtend]: PoolExtendArguments;
  [Opcode.poolDrain]: PoolTargetsArguments;
  [Opcode.poolScrub]: PoolScrubArguments;
  [Opcode.containerCreate]: operations.ContainerCreateArguments;
  [Opcode.containerList]: operations.ContainerListArguments;
  [Opcode.containerQuery]: operations.ContainerReference;
  [Opcode.containerDestroy]: operations.ContainerDestroyArguments;
  [Opcode.containerGetProperties]: operations.ContainerReference;
  [Opcode.containerSetProperties]: operations.ContainerSetPropertiesArguments;
  [Opcode.containerOpen]: operations.ContainerOpenArguments;
  [Opcode.snapshotCreate]: operations.SnapshotCreateArguments;
  [Opcode.snapshotList]: operations.ContainerReference;
  [Opcode.snapshotDestroy]: operations.SnapshotDestroyArguments;
  [Opcode.systemEvents]: SystemEventsArguments;
  [Opcode.systemExclude]: SystemRanksArguments;
  [Opcode.systemDrain]: SystemRanksArguments;
  [Opcode.systemReintegrate]: SystemRanksArguments;
  [Opcode.selfHealSet]: SelfHealSetArguments;
  [Opcode.systemStop]: SystemStopArguments;
  [Opcode.systemStart]: SystemStartArguments;
  [Opcode.systemBackup]: SystemBackupArguments;
  [Opcode.attach]: operations.AttachArguments;
  [Opcode.detach]: operations.DetachArguments;
  [Opcode.dkeyList]: operations.KeyListArguments;
  [Opcode.akeyList]: operations.KeyListArguments;
  [Opcode.extentList]: operations.ExtentListArguments;
  [Opcode.objectList]: operations.ObjectListArguments;
  [Opcode.keyQuery]: operations.KeyQueryArguments;
  [Opcode.changeList]: ChangeListArguments;
  [Opcode.epochQuery]: EpochQueryArguments;
  [Opcode.dtxAttach]: DtxAttachArguments;
  [Opcode.dtxResync]: DtxResyncArguments;
  [Opcode.dtxSummary]: DtxSummaryArguments;
}

const SCHEMAS: { readonly [Op in keyof OperationArguments]: z.ZodType<OperationArguments[Op]> } = {
  [Opcode.serverStop]: z.object({ rank: rank.exactOptional() }),
  [Opcode.systemCheck]: z.object({
    pool: name.exactOptional(),
    repair: z.boolean(),
    policies: z.record(name, name).exactOptional(),
    after: z.string().max(MAX_POSITION_LENGTH).exactOptional(),
  }),
  [Opcode.deviceSetFaulty]: z.object({ device: name, force: z.boolean() }),
  [Opcode.deviceReplace]: z.object({ device: name, successor: name, force: z.boolean() }),
  [Opcode.deviceIdentify]: z.object({ device: name }),
  [Opcode.poolCreate]: z.object({ label: name, sizeBytes: number, properties: properties.exactOptional() }),
  [Opcode.poolList]: z.object(page),
  [Opcode.poolQuery]: z.object({ pool: name }),
  [Opcode.poolDestroy]: z.object({ pool: name, force: z.boolean() }),
  [Opcode.poolGetProperties]: z.object({ pool: name }),
  [Opcode.poolSetProperties]: z.object({ pool: name, properties }),
  [Opcode.poolQueryTargets]: z.object({ pool: name }),
  [Opcode.poolExclude]: z.object(targets),
  [Opcode.poolReintegrate]: z.object(targets),
  [Opcode.poolExtend]: z.object({ pool: name, ranks: z.array(rank).min(1).max(MAX_ENGINES) }),
  [Opcode.poolDrain]: z.object(targets),
  [Opcode.poolScrub]: z.object({
    pool: name,
    action: z.enum(["start", "stop", "status"]),
    bytesPerSecond: z.int().min(MIN_SCRUB_BYTES_PER_SECOND).max(MAX_SCRUB_BYTES_PER_SECOND).exactOptional(),
  }),
  [Opcode.containerCreate]: z.object({
    pool: name,
    label: name,
    type: z.enum(["kv", "object", "posix"]),
    properties: properties.exactOptional(),
  }),
  [Opcode.containerList]: z.object({ pool: name, ...page }),
  [Opcode.containerQuery]: z.object(container),
  [Opcode.containerDestroy]: z.object({ ...container, force: z.boolean() }),
  [Opcode.containerGetProperties]: z.object(container),
  [Opcode.containerSetProperties]: z.object({ ...container, properties }),
  [Opcode.containerOpen]: z.object({ ...container, readOnly: z.boolean() }),
  [Opcode.snapshotCreate]: z.object({ ...container, name }),
  [Opcode.snapshotList]: z.object(container),
  [Opcode.snapshotDestroy]: z.object({ ...container, name }),
  [Opcode.systemEvents]: z.object({
    after: number.exactOptional(),
    sinceMs: number.exactOptional(),
    severity: z.enum(SEVERITIES).exactOptional(),
    limit: limit.exactOptional(),
  }),
  [Opcode.systemExclude]: z.object(systemRanks),
  [Opcode.systemDrain]: z.object(systemRanks),
  [Opcode.systemReintegrate]: z.object(systemRanks),
  [Opcode.systemStop]: z.object({
    ranks: ranks.exactOptional(),
    force: z.boolean().exactOptional(),
    restart: z.boolean().exactOptional(),
  }),
  [Opcode.systemBackup]: z.object({ id: number.exactOptional(), offset: number.exactOptional() }),
  [Opcode.systemStart]: z.object({ ranks: ranks.exactOptional() }),
  [Opcode.selfHealSet]: z.object({ flags: z.array(name).max(MAX_FLAGS) }),
  [Opcode.attach]: z.object({ capability: bytes(MAX_CAPABILITY_BYTES) }),
  [Opcode.detach]: z.object({ handle }),
  [Opcode.dkeyList]: z.object(keyList),
  [Opcode.akeyList]: z.object(keyList),
  [Opcode.extentList]: z.object({ ...keyList, from: number, to: number.exactOptional() }),
  [Opcode.objectList]: z.object({ handle, after: anchor.exactOptional(), limit, epoch }),
  [Opcode.keyQuery]: z.object({
    handle,
    oid,
    direction: z.enum(["max", "min"]),
    levels: z
      .array(z.enum(["dkey", "akey", "extent"]))
      .min(1)
      .max(3),
    dkey: key.exactOptional(),
    akey: akey.exactOptional(),
    epoch,
    within: z.object({ start: number, end: number }).exactOptional(),
  }),
  [Opcode.epochQuery]: z.object({ handle }),
  [Opcode.dtxAttach]: z.object({ capability: bytes(MAX_CAPABILITY_BYTES), pool: name, target: number }),
  [Opcode.dtxResync]: z.object({ pool: name }),
  [Opcode.dtxSummary]: z.object({
    container: number,
    epochs: z.array(epoch).max(MAX_SNAPSHOTS),
    dkeys: z.array(z.object({ oid, dkey: key })).max(MAX_ENUMERATION_KEYS),
  }),
  [Opcode.changeList]: z.object({
    handle,
    fromEpoch: epoch,
    toEpoch: epoch,
    after: anchor.exactOptional(),
    limit,
  }),
};

/** The checked arguments of `opcode`. Throws INVALID_ARGUMENT. */
export function checkArguments<Op extends keyof OperationArguments>(
  opcode: Op,
  value: unknown,
): OperationArguments[Op] {
  const schema: z.ZodType<OperationArguments[Op]> = SCHEMAS[opcode];
  const parsed = schema.safeParse(value ?? {});
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const member = issue === undefined || issue.path.length === 0 ? "arguments" : issue.path.map(String).join(".");
  const problem = issue?.message.replace(/^Invalid (input|option|string): /, "") ?? "they do not fit";
  throw new DaosError(
    "INVALID_ARGUMENT",
    `Cannot run ${operationName(opcode)}: "${member.slice(0, MAX_NAME_LENGTH)}": ${problem}. Correct the request.`,
  );
}

function operationName(opcode: keyof OperationArguments): string {
  for (const [operation, number] of Object.entries(Opcode)) if (number === opcode) return operation;
  return unreachable(opcode as never);
}
