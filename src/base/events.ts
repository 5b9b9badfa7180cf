/**
 * The one table of what may happen to a system that its administrator should know: ids, how bad it is, what it means and what
 * to do. docs/events.md is made from it. An id is never given another meaning; programs compare ids, never text.
 */
export const SEVERITIES = ["error", "warn", "info"] as const;
/** `error`: somebody has to act, or data is at risk. `warn`: it heals by itself, or may get worse. */
export type Severity = (typeof SEVERITIES)[number];

interface EventKind {
  readonly severity: Severity;
  readonly meaning: string;
  /** What to do; empty: nothing. */
  readonly advice: string;
}

export const EVENTS = {
  leader_changed: {
    severity: "info",
    meaning: "Another engine runs the control plane, or the same one again after a restart.",
    advice: "",
  },
  control_failed: {
    severity: "error",
    meaning: "The engine that is to run the control plane cannot begin, or could not bring to an end what was cut off.",
    advice: "Remove the cause that the message names; it is tried again by itself, or with the same command.",
  },
  engine_joined: {
    severity: "info",
    meaning: "An engine has joined, or joined again, and serves.",
    advice: "",
  },
  engine_left: {
    severity: "info",
    meaning: "An engine was stopped in good order. It is not excluded for that.",
    advice: "Start it again, or drain it if it is to go for good.",
  },
  engine_suspect: {
    severity: "warn",
    meaning: "An engine is not heard of. It is excluded when its time is over.",
    advice: "`daos system query` says how long it has. Look at its host and network.",
  },
  engine_dead: {
    severity: "error",
    meaning: "The other engines have found an engine dead. It is excluded once its lease is over.",
    advice: "Find out why it died; a supervisor starts it again by itself.",
  },
  engine_recovered: { severity: "info", meaning: "A suspect is heard of again.", advice: "" },
  engine_excluded: {
    severity: "error",
    meaning: "An engine was not heard of for too long and is out of all pools. Others stand in for it.",
    advice:
      "Bring the engine back. Pools take it back by themselves, unless self-heal says otherwise; `daos system reintegrate --ranks N` does it at once.",
  },
  pool_engine_returns: {
    severity: "info",
    meaning: "A pool takes an engine back that had gone silent. It serves once what has changed is brought to it.",
    advice: "",
  },
  engine_kept: {
    severity: "error",
    meaning:
      "An engine is away and stays in pools that would lose data without it. What only it has cannot be reached.",
    advice:
      "Bring the engine back. When it is lost for good: `daos pool exclude POOL --ranks N --force` gives its data up.",
  },
  engine_restarted: {
    severity: "error",
    meaning: "An engine had died and its supervisor has started it again.",
    advice: "Look at its messages from before it ended.",
  },
  engine_clock_off: {
    severity: "error",
    meaning:
      "The clock of an engine differs from the leader's. Over one second apart they refuse each other's messages.",
    advice: "Synchronise the clocks: chrony or NTP on every host.",
  },
  engine_clock_right: { severity: "info", meaning: "That clock is right again.", advice: "" },
  target_renewed: {
    severity: "warn",
    meaning:
      "The store of a target was damaged so that it could not be opened, and others have all that it had: it was made anew, empty.",
    advice: "Look at the host's memory and devices. The target comes back by itself.",
  },
  device_faulty: {
    severity: "error",
    meaning: "A device failed too often, was too slow or hung. Its targets take no more large values.",
    advice: "Replace it: `daos storage query`, `daos storage replace`.",
  },
  device_restored: { severity: "info", meaning: "A device was put back into service.", advice: "" },
  device_replaced: {
    severity: "warn",
    meaning: "Another device takes the place of one at the engine's next start; what was on that one is given up.",
    advice: "Stop the engine, exchange the device, start the engine.",
  },
  device_errors: {
    severity: "warn",
    meaning: "Operations of a device have failed.",
    advice: "Look at the device with `daos storage query`, at its cables and at the kernel's log.",
  },
  checksum_failed: {
    severity: "error",
    meaning: "Bytes that were read from a device do not match their checksum.",
    advice: "The device corrupts data. Where there are copies they are read instead; plan to replace the device.",
  },
  scm_over_watermark: {
    severity: "warn",
    meaning: "A target's SCM is fuller than its watermark: values over 512 B go to NVMe until there is room again.",
    advice: "If it stays so, remove data or snapshots, or give engines with more SCM to the pools.",
  },
  space_low: {
    severity: "warn",
    meaning: "A target's NVMe tier is nearly full. When it is, large values are refused with NO_SPACE.",
    advice: "Remove data or snapshots, or extend the pools with other engines.",
  },
  space_right: { severity: "info", meaning: "A target has room again.", advice: "" },
  self_heal_set: {
    severity: "info",
    meaning: "An administrator has changed what the system does by itself.",
    advice: "",
  },
  pool_created: { severity: "info", meaning: "A pool was made.", advice: "" },
  pool_destroyed: { severity: "info", meaning: "A pool and all in it was destroyed.", advice: "" },
  pool_excluded: {
    severity: "warn",
    meaning: "Targets of a pool went out of service; others stand in for them where there is redundancy.",
    advice: "Reintegrate them when their engine is back: `daos pool reintegrate POOL --ranks N`.",
  },
  pool_extended: {
    severity: "info",
    meaning: "Targets were added to a pool; data moves to them in the background.",
    advice: "",
  },
  pool_draining: {
    severity: "info",
    meaning: "Data of a pool moves away from targets, which serve until that is done.",
    advice: "",
  },
  pool_drained: {
    severity: "info",
    meaning: "Nothing of the pool is on these targets any more.",
    advice: "Their engine may be stopped for good, or taken back with `daos pool reintegrate`.",
  },
  pool_reintegrating: {
    severity: "info",
    meaning: "Targets of a pool come back and are brought what they missed.",
    advice: "",
  },
  pool_reintegrated: { severity: "info", meaning: "Targets that were added or came back serve now.", advice: "" },
  pool_rebuild_started: {
    severity: "info",
    meaning: "What targets had that are gone is brought to those that stand in for them.",
    advice: "",
  },
  pool_rebuild_paused: {
    severity: "warn",
    meaning: "An administrator has paused the rebuild of a pool, or all of them. What is missing stays so.",
    advice: "`daos pool rebuild resume POOL`, or `daos system self-heal set` with `pool_rebuild`, lets it go on.",
  },
  pool_rebuild_resumed: { severity: "info", meaning: "A rebuild that was paused or stuck goes on.", advice: "" },
  pool_rebuild_done: {
    severity: "info",
    meaning: "All data of a pool is where it belongs: as many may fail again as its redundancy says.",
    advice: "",
  },
  pool_rebuild_stuck: {
    severity: "error",
    meaning: "A rebuild cannot go on: too few shards of something are left, or too many engines are away.",
    advice: "Bring engines back. `daos pool query` and `daos system query` say which are missing.",
  },
  pool_data_damaged: {
    severity: "error",
    meaning: "A target that has to bring something finds it damaged on its medium.",
    advice: "Exclude that rank as well, if as many more may be lost: others that have it whole lead then.",
  },
  events_lost: {
    severity: "warn",
    meaning: "More happened on an engine than it could keep until the control plane could be told.",
    advice: "See the engine's own messages of that time.",
  },
} as const satisfies Readonly<Record<string, EventKind>>;

export type EventId = keyof typeof EVENTS;

/** What it happened to. `pool` is its label. */
export interface EventPlace {
  readonly rank?: number;
  /** Of the engine, from 0. */
  readonly target?: number;
  readonly device?: string;
  readonly pool?: string;
}

/** Tells what happened: an event, which is kept, or a line for the log of the process alone. */
export type TellEvent = (what: EventId | Severity, message: string, place?: EventPlace) => void;

export function isEventId(what: string): what is EventId {
  return Object.hasOwn(EVENTS, what);
}

export function severityOf(what: EventId | Severity): Severity {
  return isEventId(what) ? EVENTS[what].severity : what;
}
