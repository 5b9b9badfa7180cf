/** The failure detection's times as the configuration has them: `swim`, in words of its own and milliseconds. */
import { z } from "zod";
import { MAX_ACCUSERS } from "../format/membership-message.ts";
import { DEFAULT_SWIM_SETTINGS as DEFAULTS, type SwimSettings } from "../membership/settings.ts";

const MAX_MS = 60_000;
const MAX_COUNT = 32;

const time = z.int().min(1).max(MAX_MS);
const count = z.int().min(1).max(MAX_COUNT);
/** What docs/membership.md lists. */
export const detectorSchema = z
  .strictObject({
    period_ms: z.int().min(20).max(MAX_MS).default(DEFAULTS.periodMs),
    ping_timeout_ms: time.default(DEFAULTS.pingTimeoutMs),
    indirect_timeout_ms: time.default(DEFAULTS.indirectTimeoutMs),
    helpers: z.int().min(0).max(MAX_COUNT).default(DEFAULTS.helpers),
    suspicion_ms: z.int().min(0).max(MAX_MS).default(DEFAULTS.suspicionMs),
    unconfirmed_factor: z.number().min(1).max(MAX_COUNT).default(DEFAULTS.unconfirmedFactor),
    confirmations: z
      .int()
      .min(0)
      .max(MAX_ACCUSERS - 1)
      .default(DEFAULTS.confirmations),
    gossip_ms: z.int().min(10).max(MAX_MS).default(DEFAULTS.gossipMs),
    gossip_fanout: count.default(DEFAULTS.gossipFanout),
    retransmissions: count.default(DEFAULTS.retransmissions),
    sync_ms: z.int().min(100).max(MAX_MS).default(DEFAULTS.syncMs),
    reconnections: z.int().min(0).max(MAX_COUNT).default(DEFAULTS.reconnections),
    max_health_score: z.int().min(0).max(MAX_COUNT).default(DEFAULTS.maxHealthScore),
    late_ms: time.default(DEFAULTS.lateMs),
  })
  .refine((given) => given.indirect_timeout_ms > given.ping_timeout_ms, {
    path: ["indirect_timeout_ms"],
    message: "must be more than ping_timeout_ms: helpers answer after that",
  });
type DetectorConfiguration = Readonly<z.output<typeof detectorSchema>>;
export const DEFAULT_DETECTOR: DetectorConfiguration = detectorSchema.parse({});

export function swimSettings(configured: DetectorConfiguration): SwimSettings {
  return {
    periodMs: configured.period_ms,
    pingTimeoutMs: configured.ping_timeout_ms,
    indirectTimeoutMs: configured.indirect_timeout_ms,
    helpers: configured.helpers,
    suspicionMs: configured.suspicion_ms,
    unconfirmedFactor: configured.unconfirmed_factor,
    confirmations: configured.confirmations,
    gossipMs: configured.gossip_ms,
    gossipFanout: configured.gossip_fanout,
    retransmissions: configured.retransmissions,
    syncMs: configured.sync_ms,
    reconnections: configured.reconnections,
    maxHealthScore: configured.max_health_score,
    lateMs: configured.late_ms,
  };
}
