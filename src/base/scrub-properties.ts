/** When a pool is scrubbed, as its properties say. */
import { DaosError } from "./errors.ts";
import {
  DEFAULT_SCRUB_BYTES_PER_SECOND,
  DEFAULT_SCRUB_SECONDS,
  MAX_SCRUB_SECONDS,
  MIN_SCRUB_SECONDS,
} from "./limits.ts";
import type { PropertyMap, PropertyValue } from "./property-values.ts";

/** When a pool with these properties is scrubbed. */
export function scrubSettings(properties: PropertyMap): ScrubPropertyValues {
  const { scrub, scrub_freq: seconds, scrub_rate: rate } = properties;
  const mode = scrub === "off" || scrub === "lazy" ? scrub : "timed";
  const periodSeconds = Number(seconds ?? DEFAULT_SCRUB_SECONDS);
  return { mode, periodSeconds, bytesPerSecond: Number(rate ?? DEFAULT_SCRUB_BYTES_PER_SECOND) };
}

/** `off`: when it is asked for only. `lazy`: always, while nobody else has anything to do. `timed`: a pass every so many seconds. */
export interface ScrubPropertyValues {
  readonly mode: "off" | "lazy" | "timed";
  /** From the end of a pass to the next one. */
  readonly periodSeconds: number;
  /** Of each target. */
  readonly bytesPerSecond: number;
}

export function checkScrubMode(value: PropertyValue): PropertyValue {
  if (value === "off" || value === "lazy" || value === "timed") return value;
  throw invalid("scrub", `it is "${String(value)}". Use off, lazy or timed`);
}

export function checkScrubPeriod(value: PropertyValue): number {
  const seconds = typeof value === "boolean" || String(value).trim() === "" ? Number.NaN : Number(value);
  if (Number.isInteger(seconds) && seconds >= MIN_SCRUB_SECONDS && seconds <= MAX_SCRUB_SECONDS) return seconds;
  throw invalid("scrub_freq", `it is no number of seconds from ${MIN_SCRUB_SECONDS} to ${MAX_SCRUB_SECONDS}`);
}

function invalid(name: string, state: string): DaosError {
  return new DaosError("INVALID_ARGUMENT", `Cannot use pool property "${name}": ${state}.`);
}
