/** What may stand in properties of pools and containers: each check gives the stored form, or throws INVALID_ARGUMENT. */
import { checkErasureCellBytes } from "./erasure-cell.ts";
import { DaosError } from "./errors.ts";
import {
  KIB,
  MAX_CHUNK_BYTES,
  MAX_DATA_THRESHOLD_BYTES,
  MAX_SCRUB_BYTES_PER_SECOND,
  MIN_CHUNK_BYTES,
  MIN_DATA_THRESHOLD_BYTES,
  MIN_POOL_BYTES,
  MIN_SCRUB_BYTES_PER_SECOND,
} from "./limits.ts";
import { formatSize, parseSize } from "./size.ts";

export type PropertyScope = "pool" | "container";
export type PropertyValue = string | number | boolean;
export type PropertyMap = Readonly<Record<string, PropertyValue>>;

const MAX_REDUNDANCY_FACTOR = 4;
/** Flags of a pool's `self_heal`. */
export const POOL_SELF_HEAL = ["exclude", "rebuild", "reintegrate"] as const;
export type PoolSelfHealFlag = (typeof POOL_SELF_HEAL)[number];
/** Values of a pool's `rebuild`. */
export const REBUILD_RUNNING = "running";
export const REBUILD_PAUSED = "paused";

export function invalid(scope: PropertyScope, name: string, state: string): DaosError {
  return new DaosError("INVALID_ARGUMENT", `Cannot use ${scope} property "${name}": ${state}.`);
}

export function checkSize(scope: PropertyScope, name: string, value: PropertyValue): number {
  if (typeof value === "boolean") throw invalid(scope, name, "a yes or no is no size. Write one such as 4GiB");
  return parseSize(value);
}

export function checkPoolSize(value: PropertyValue): number {
  const sizeBytes = checkSize("pool", "size", value);
  if (sizeBytes >= MIN_POOL_BYTES) return sizeBytes;
  throw invalid("pool", "size", `${formatSize(sizeBytes)} is too small. Use at least ${formatSize(MIN_POOL_BYTES)}`);
}

export function checkDataThreshold(value: PropertyValue): PropertyValue {
  if (value === "auto") return value;
  const sizeBytes = checkSize("pool", "data_threshold", value);
  if (sizeBytes >= MIN_DATA_THRESHOLD_BYTES && sizeBytes <= MAX_DATA_THRESHOLD_BYTES) return sizeBytes;
  const range = `${formatSize(MIN_DATA_THRESHOLD_BYTES)} to ${formatSize(MAX_DATA_THRESHOLD_BYTES)}`;
  throw invalid("pool", "data_threshold", `${sizeBytes} bytes do not fit. Use ${range}, or auto`);
}

export function checkScrubRate(value: PropertyValue): number {
  const bytes = checkSize("pool", "scrub_rate", value);
  if (bytes >= MIN_SCRUB_BYTES_PER_SECOND && bytes <= MAX_SCRUB_BYTES_PER_SECOND) return bytes;
  const range = `${formatSize(MIN_SCRUB_BYTES_PER_SECOND)} to ${formatSize(MAX_SCRUB_BYTES_PER_SECOND)}`;
  throw invalid("pool", "scrub_rate", `${bytes} bytes a second do not fit. Use ${range}`);
}

export function checkChunkSize(value: PropertyValue): number {
  const sizeBytes = checkSize("container", "chunk_size", value);
  if (sizeBytes >= MIN_CHUNK_BYTES && sizeBytes <= MAX_CHUNK_BYTES && sizeBytes % (4 * KIB) === 0) return sizeBytes;
  const range = `${formatSize(MIN_CHUNK_BYTES)} to ${formatSize(MAX_CHUNK_BYTES)}`;
  throw invalid("container", "chunk_size", `${sizeBytes} bytes do not fit. Use a multiple of 4 KiB, ${range}`);
}

export function checkErasureCellSize(scope: PropertyScope, value: PropertyValue): number {
  return checkErasureCellBytes(checkSize(scope, "ec_cell_sz", value));
}

export function checkRebuildShare(value: PropertyValue): number {
  const share = typeof value === "boolean" || value === "" ? Number.NaN : Number(value);
  if (Number.isInteger(share) && share >= 1 && share <= 100) return share;
  throw invalid("pool", "rebuild_share", `${value} is no whole number from 1 to 100. Use one, such as 30`);
}

/** What a pool does by itself. */
export function selfHealOf(properties: PropertyMap): ReadonlySet<PoolSelfHealFlag> {
  const { self_heal: stored } = properties;
  const names = stored === undefined ? undefined : String(stored).split(";");
  return new Set(POOL_SELF_HEAL.filter((flag) => names === undefined || names.includes(flag)));
}

export function checkSelfHeal(value: PropertyValue): string {
  const names = String(value) === "none" ? [] : String(value).split(";");
  const unknown = names.find((name) => !(POOL_SELF_HEAL as readonly string[]).includes(name));
  if (unknown === undefined) return POOL_SELF_HEAL.filter((flag) => names.includes(flag)).join(";") || "none";
  throw invalid("pool", "self_heal", `"${unknown}" is no flag. Use ${POOL_SELF_HEAL.join(";")}, some of them, or none`);
}

export function checkRebuild(value: PropertyValue): PropertyValue {
  if (value === REBUILD_RUNNING || value === REBUILD_PAUSED) return value;
  throw invalid("pool", "rebuild", `it is ${REBUILD_RUNNING} or ${REBUILD_PAUSED}, not ${value}`);
}

export function checkRedundancyFactor(value: PropertyValue): number {
  const factor = typeof value === "boolean" ? Number.NaN : Number(String(value).trim() === "" ? Number.NaN : value);
  if (Number.isInteger(factor) && factor >= 0 && factor <= MAX_REDUNDANCY_FACTOR) return factor;
  const state = `it is no number from 0 to ${MAX_REDUNDANCY_FACTOR}`;
  throw new DaosError("INVALID_ARGUMENT", `Cannot use property "rd_fac" "${value}": ${state}. Use one, such as 2.`);
}
