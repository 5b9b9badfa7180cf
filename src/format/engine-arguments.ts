/**
 * Checks what engines send each other (engine-operations.ts) after decoding. Throws INVALID_ARGUMENT with the member.
 */
import { z } from "zod";
import type { Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { SEVERITIES } from "../base/events.ts";
import {
  MAX_ENGINES,
  MAX_ENGINE_TARGETS,
  MAX_EVENT_MESSAGE,
  MAX_PENDING_EVENTS,
  MAX_POOL_CONTAINERS,
  MAX_POOL_TARGETS,
  MAX_RANK,
} from "../base/limits.ts";
import type * as engine from "./engine-operations.ts";
import { questionSchemas } from "./check-arguments.ts";
import type { TargetQuestionName } from "./check-questions.ts";
import type { EngineEventsArguments } from "./event-operations.ts";
import { TARGET_STATES } from "./pool-map.ts";

const MAX_HOST = 255;
const uuid = z.string().regex(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
const count = z.int().nonnegative();
const rank = z.int().min(0).max(MAX_RANK);
const host = z.string().min(1).max(MAX_HOST);
const address = z.object({ host, port: z.int().min(1).max(0xffff) });
const domain = z.string().min(1).max(1024);
const text = z.string().min(1).max(MAX_HOST);
const sent = { sentAtMs: z.number().nonnegative() };
const epoch = z.custom<Epoch>((value) => Number.isSafeInteger(value) && (value as number) >= 0, "expected an epoch");
const container = z.int().min(1);
const containers = z.array(container).max(MAX_POOL_CONTAINERS);
const served = z.object({ number: container, cellBytes: count });
const outage = z.object({
  index: count,
  since: z.int().min(1),
  get beside() {
    return z.array(outage).max(MAX_POOL_TARGETS).optional();
  },
});
const map = z.object({
  version: z.int().min(1),
  targets: z
    .array(
      z.object({
        index: count,
        host,
        port: count,
        rank,
        domain,
        state: z.enum(TARGET_STATES),
        since: z.int().min(1),
        added: z.int().min(1).optional(),
        drained: z.int().min(1).optional(),
        beside: z.array(outage).max(MAX_POOL_TARGETS).optional(),
      }),
    )
    .max(MAX_POOL_TARGETS),
});
const nothing = z.object({});
const questionNames = Object.keys(questionSchemas) as TargetQuestionName[];

export const engineSchemas = {
  hello: z.object({
    ...sent,
    version: count,
    oldest: count.exactOptional(),
    engine: uuid,
    system: z.object({ id: uuid, name: text }).exactOptional(),
    domain,
    targets: z.int().min(1).max(MAX_ENGINE_TARGETS),
  }) satisfies z.ZodType<engine.EngineHelloArguments>,
  helloReply: z.object({
    rank,
    version: count.exactOptional(),
    system: z.object({
      id: uuid,
      name: text,
      createdAtMs: z.number(),
      capabilityKey: z.string().regex(/^[0-9a-f]{64}$/),
    }),
  }) satisfies z.ZodType<engine.EngineHelloReply>,
  redirect: z.object({ control: address }) satisfies z.ZodType<engine.EngineRedirect>,
  join: z.object({
    ...sent,
    engine: uuid,
    rank,
    incarnation: count,
    domain,
    address,
    targets: z.array(address).min(1).max(MAX_ENGINE_TARGETS),
    scmBytes: count,
    nvmeBytes: count,
    version: count.exactOptional(),
    software: text.exactOptional(),
  }) satisfies z.ZodType<engine.EngineJoinArguments>,
  reference: z.object({ ...sent, rank, incarnation: count }) satisfies z.ZodType<engine.EngineReference>,
  renew: z.object({
    ...sent,
    rank,
    targets: z.array(count).min(1).max(MAX_ENGINE_TARGETS),
  }) satisfies z.ZodType<engine.EngineRenewArguments>,
  heartbeat: z.object({
    ...sent,
    rank,
    incarnation: count,
    roster: count,
  }) satisfies z.ZodType<engine.EngineHeartbeatArguments>,
  heartbeatReply: z.object({
    leaseMs: count,
    roster: z
      .object({
        version: count,
        members: z.array(z.object({ rank, incarnation: count, address })).max(MAX_ENGINES),
      })
      .exactOptional(),
  }) satisfies z.ZodType<engine.EngineHeartbeatReply>,
  events: z.object({
    ...sent,
    rank,
    incarnation: count,
    events: z
      .array(
        z.object({
          sequence: z.int().min(1),
          id: text,
          severity: z.enum(SEVERITIES),
          timeMs: z.number().nonnegative(),
          message: z.string().max(MAX_EVENT_MESSAGE),
          rank: rank.exactOptional(),
          target: z.int().min(0).max(MAX_ENGINE_TARGETS).exactOptional(),
          device: text.exactOptional(),
          pool: text.exactOptional(),
        }),
      )
      .max(MAX_PENDING_EVENTS),
  }) satisfies z.ZodType<EngineEventsArguments>,
  map: z.object({ ...sent, rank, pool: uuid }) satisfies z.ZodType<engine.EngineMapArguments>,
  call: z.object({ ...sent, name: text, value: z.unknown(), term: count.exactOptional() }),
  assignment: z.object({
    pool: uuid,
    map,
    own: z.array(z.int().min(-1)).max(MAX_ENGINE_TARGETS),
    containers: z.array(served).max(MAX_POOL_CONTAINERS),
  }) satisfies z.ZodType<engine.PoolAssignment>,
};

/** What each call of the control plane brings. */
export const engineCallSchemas = {
  ping: nothing,
  space: nothing,
  usage: z.object({ containers }),
  setPool: engineSchemas.assignment,
  setQuota: z.object({
    pool: uuid,
    targetBytes: count,
    containers,
    thresholdBytes: z.union([count, z.literal("auto")]),
    scrub: z
      .object({ mode: z.enum(["off", "lazy", "timed"]), periodSeconds: count, bytesPerSecond: z.int().min(1) })
      .exactOptional(),
    rebuild: z.object({ share: z.int().min(1).max(100), isPaused: z.boolean() }).exactOptional(),
  }),
  openContainer: z.object({ container: served, pool: uuid }),
  countHandles: z.object({ container }),
  createSnapshot: z.object({ container, at: epoch.exactOptional() }),
  listSnapshots: z.object({ containers }),
  destroySnapshot: z.object({ container, epoch }),
  destroyContainer: z.object({ container }),
  fillStatus: z.object({ pool: uuid, containers }),
  check: z.object({ target: count, name: z.enum(questionNames), value: z.unknown() }),
  identity: nothing,
  scrub: z.object({
    pool: uuid,
    action: z.enum(["start", "stop", "status"]),
    bytesPerSecond: z.int().min(1).exactOptional(),
  }),
  scrubStatus: z.object({ pool: uuid }),
  faultyTargets: nothing,
  pledge: z.object({ term: count }),
  stop: z.object({ force: z.boolean().exactOptional(), restart: z.boolean().exactOptional() }),
  startEngines: z.object({ ranks: z.array(rank).max(MAX_ENGINES) }),
} satisfies { [Name in engine.EngineCallName]: z.ZodType<Parameters<engine.EngineCalls[Name]>[0]> };

/** `value` as the schema has it; `what` names the operation. Throws INVALID_ARGUMENT. */
export function checkEngineValue<Value>(schema: z.ZodType<Value>, what: string, value: unknown): Value {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const member = issue?.path.map(String).join(".") || "body";
  throw new DaosError(
    "INVALID_ARGUMENT",
    `Cannot run ${what}: "${member}": ${issue?.message ?? "it does not fit"}. Run the same release on all engines.`,
  );
}
