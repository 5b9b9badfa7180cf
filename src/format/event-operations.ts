/**
 * The log of events on the wire: what engines report to the control plane (`engineEvents`), and what it tells of
 * them (`systemEvents`). docs/protocol.md is the prose of this file.
 */
import type { EventPlace, Severity } from "../base/events.ts";
import type { EngineReference } from "./engine-operations.ts";

/** `id` may be one that this release does not know. */
export interface ReportedEvent extends EventPlace {
  /** Counts the events of one start of an engine, from 1: one that is sent again is kept once. */
  readonly sequence: number;
  readonly id: string;
  readonly severity: Severity;
  /** Wall clock of the engine, milliseconds since 1970. */
  readonly timeMs: number;
  readonly message: string;
}

/** `rank` and `incarnation` say who reports. */
export interface EngineEventsArguments extends EngineReference {
  readonly events: readonly ReportedEvent[];
}

/** What is told: at most `limit` that are later than number `after`, not before `sinceMs`, and at least so severe. */
export interface SystemEventsArguments {
  readonly after?: number;
  readonly sinceMs?: number;
  readonly severity?: Severity;
  readonly limit?: number;
}
export interface EventDescription extends EventPlace {
  /** Grows from event to event. */
  readonly number: number;
  readonly id: string;
  readonly severity: Severity;
  readonly time: string;
  readonly message: string;
  /** What to do; empty: nothing. */
  readonly advice: string;
}
export interface SystemEventsReply {
  /** Ascending. */
  readonly events: readonly EventDescription[];
  /** `after` for what follows. */
  readonly next: number;
  /** More are there now. */
  readonly isMore: boolean;
  /** Events between `after` and the first that is still kept. */
  readonly missed: number;
}
