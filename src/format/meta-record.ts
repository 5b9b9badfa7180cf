/**
 * Records of the control plane in the meta store. Text, so that a damaged store can be read with any tool:
 *
 *     <kind> "/" <version> " " <CRC-32 of the rest, 8 hex digits> " " <JSON>
 *
 * One version for all kinds. A newer version is refused (VERSION), anything else that does not fit is CORRUPT; unknown
 * members of a known version are corruption too, for every addition comes with a new version.
 */
import { z } from "zod";
import { crc32 } from "../base/checksum.ts";
import { DaosError } from "../base/errors.ts";
import { SEVERITIES } from "../base/events.ts";
import { MAX_ENGINE_TARGETS, MAX_RANK } from "../base/limits.ts";
import { TARGET_STATES } from "./pool-map.ts";

export const META_RECORD_VERSION = 1;

const MAX_U32 = 0xffff_ffff;
const uuid = z.string().regex(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
const label = z.string().min(1);
const bytes = z.int().nonnegative();
const timeMs = z.number().nonnegative();
const containerNumber = z.int().min(1).max(MAX_U32);
const rank = z.int().min(0).max(MAX_RANK);
const port = z.int().min(0).max(0xffff);
const properties = z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]));

/** See Outage in pool-map.ts. */
const outage = z.strictObject({
  index: z.int().nonnegative(),
  since: z.int().min(1),
  get beside() {
    return z.array(outage).optional();
  },
});

const SCHEMAS = {
  /** The system: one record. `capabilityKey`: 32 bytes in hex. */
  system: z.strictObject({
    id: uuid,
    name: label,
    createdAtMs: timeMs,
    capabilityKey: z.string().regex(/^[0-9a-f]{64}$/),
  }),
  /** `containers` counts all records of containers in it, whatever their state. */
  pool: z.strictObject({
    id: uuid,
    label,
    state: z.enum(["ready", "destroying"]),
    sizeBytes: bytes,
    containers: z.int().nonnegative(),
    createdAtMs: timeMs,
    properties,
  }),
  /** `number` is what the targets know it by; `snapshots` counts all records of its snapshots. */
  container: z.strictObject({
    id: uuid,
    pool: uuid,
    number: containerNumber,
    label,
    type: z.enum(["kv", "object", "posix"]),
    state: z.enum(["creating", "ready", "destroying"]),
    snapshots: z.int().nonnegative(),
    createdAtMs: timeMs,
    properties,
  }),
  /** `epoch` is 0 while creating: the targets have not told it yet. */
  snapshot: z.strictObject({
    name: z.string(),
    state: z.enum(["creating", "ready", "destroying"]),
    epoch: z.int().nonnegative(),
    createdAtMs: timeMs,
  }),
  /** An engine. `new`: it has a rank and has never joined. Addresses are those of its last start. */
  member: z.strictObject({
    rank,
    engine: uuid,
    state: z.enum(["new", "joined", "stopped", "excluded"]),
    domain: z.string().min(1),
    incarnation: z.int().nonnegative(),
    host: z.string(),
    port,
    targets: z.array(z.strictObject({ host: z.string(), port })),
    scmBytes: bytes,
    nvmeBytes: bytes,
  }),
  /** A pool's map. `target` counts the targets of one engine, from 0; addresses are the member's. */
  map: z.strictObject({
    version: z.int().min(1).max(MAX_U32),
    /** Nobody serves by an older version any more, of those that this one takes something from. */
    isEffective: z.boolean().optional(),
    /** Ranks of targets that served until this version. */
    taken: z.array(rank).optional(),
    targets: z.array(
      z.strictObject({
        index: z.int().nonnegative(),
        rank,
        target: z.int().nonnegative(),
        domain: z.string().min(1),
        state: z.enum(TARGET_STATES),
        since: z.int().min(1),
        added: z.int().min(1).optional(),
        drained: z.int().min(1).optional(),
        beside: z.array(outage).optional(),
        /** It is out of service because nobody heard of its engine, and comes back by itself. */
        silent: z.literal(true).optional(),
      }),
    ),
  }),
  /** The engine that leads the control plane, and where it serves management. */
  leader: z.strictObject({ engine: uuid, host: z.string().min(1), port }),
  /** Flags of what the system does by itself (base/self-heal.ts); all of them where there is no record. */
  policy: z.strictObject({ flags: z.array(z.string()) }),
  /** What happened. `by`: the engine that told of it, and how many events it had told of since its start. */
  event: z.strictObject({
    number: z.int().min(1),
    id: z.string().min(1),
    severity: z.enum(SEVERITIES),
    timeMs,
    message: z.string(),
    rank: rank.exactOptional(),
    target: z.int().min(0).max(MAX_ENGINE_TARGETS).exactOptional(),
    device: z.string().exactOptional(),
    pool: z.string().exactOptional(),
    by: z.strictObject({ rank, incarnation: z.int().nonnegative(), sequence: z.int().min(1) }),
  }),
  /** The engine was away when this pool, or a container of it, was destroyed. */
  removal: z.strictObject({ pool: uuid }),
  /**
   * Requests of one client that have changed records, and are not acknowledged: all below `firstIncomplete` are. `latest`: the
   * epoch at which the newest one got its number. `subject` says what it was done to.
   */
  requests: z.strictObject({
    firstIncomplete: z.int().nonnegative(),
    latest: z.int().nonnegative(),
    done: z.array(z.strictObject({ sequence: z.int().min(1), subject: z.string() })),
  }),
  /** What a label stands for. */
  label: z.strictObject({ id: uuid }),
  /** A number that only grows. */
  counter: z.strictObject({ value: z.int().nonnegative() }),
} as const;

export type MetaRecordKind = keyof typeof SCHEMAS;
export type MetaRecord<Kind extends MetaRecordKind> = Readonly<z.infer<(typeof SCHEMAS)[Kind]>>;
export type SystemRecord = MetaRecord<"system">;
export type PoolRecord = MetaRecord<"pool">;
export type ContainerRecord = MetaRecord<"container">;
export type MemberRecord = MetaRecord<"member">;
export type LeaderRecord = MetaRecord<"leader">;
export type EventRecord = MetaRecord<"event">;
export type MapRecord = MetaRecord<"map">;
export type RequestsRecord = MetaRecord<"requests">;
export type SnapshotRecord = MetaRecord<"snapshot">;

/** The bytes of a record. */
export function encodeMetaRecord<Kind extends MetaRecordKind>(kind: Kind, record: MetaRecord<Kind>): Uint8Array {
  const json = Buffer.from(JSON.stringify(SCHEMAS[kind].parse(record)));
  return Buffer.concat([Buffer.from(`${kind}/${META_RECORD_VERSION} ${hexOf(crc32(json))} `), json]);
}

/**
 * The record in `value`; `key` is for the message. Throws VERSION for one of a newer program, CORRUPT when it is damaged
 * or of another kind.
 */
export function decodeMetaRecord<Kind extends MetaRecordKind>(
  kind: Kind,
  key: string,
  value: Uint8Array,
): MetaRecord<Kind> {
  const text = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  const header = /^([a-z]+)\/(\d{1,9}) ([0-9a-f]{8}) /.exec(text.toString("latin1", 0, 48));
  if (header === null) throw corrupt(key, "it has no header");
  if (header[1] !== kind) throw corrupt(key, `it is a ${header[1]!} record where a ${kind} record belongs`);
  const version = Number(header[2]);
  if (version > META_RECORD_VERSION) {
    throw new DaosError(
      "VERSION",
      `Cannot read record "${key}": it has version ${version}, this program knows ${META_RECORD_VERSION}. ` +
        "Start the newer program that wrote it.",
    );
  }
  if (version !== META_RECORD_VERSION) throw corrupt(key, `version ${version} never was`);
  const json = text.subarray(header[0].length);
  if (hexOf(crc32(json)) !== header[3]) throw corrupt(key, "its checksum does not match");
  return parseBody(kind, key, json);
}

function parseBody<Kind extends MetaRecordKind>(kind: Kind, key: string, json: Buffer): MetaRecord<Kind> {
  let body: unknown;
  try {
    body = JSON.parse(json.toString("utf8"));
  } catch {
    throw corrupt(key, "it is not JSON");
  }
  const parsed = SCHEMAS[kind].safeParse(body);
  if (parsed.success) return parsed.data as unknown as MetaRecord<Kind>;
  const issue = parsed.error.issues[0];
  throw corrupt(key, `${issue?.path.join(".") ?? ""}: ${issue?.message ?? "it does not fit"}`);
}

function hexOf(checksum: number): string {
  return checksum.toString(16).padStart(8, "0");
}

function corrupt(key: string, state: string): DaosError {
  return new DaosError(
    "CORRUPT",
    `Cannot read record "${key}" of the control plane: ${state}. Restore the meta store from a backup.`,
  );
}
