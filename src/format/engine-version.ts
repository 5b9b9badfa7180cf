/**
 * Versions of what engines say to each other (engine-operations.ts), beside the protocol's. Engines one version apart work
 * together, so that a system is upgraded engine by engine; what the older ones do not know is refused by name until all do.
 */
import type { VersionRange } from "../base/version-range.ts";

/** 3: events, stopping at once, restarts, supervisors. */
export const ENGINE_PROTOCOL_VERSION = 3;
export const ENGINE_VERSIONS: VersionRange = { oldest: ENGINE_PROTOCOL_VERSION - 1, newest: ENGINE_PROTOCOL_VERSION };

/** What an engine must know to do it, since which version; for messages what it is. */
export const ENGINE_FEATURES = {
  forcedStop: { since: 3, what: "stop at once" },
  restart: { since: 3, what: "restart by command" },
  supervisors: { since: 3, what: "have its supervisor start engines" },
  events: { since: 3, what: "report events" },
} as const;
export type EngineFeature = keyof typeof ENGINE_FEATURES;
