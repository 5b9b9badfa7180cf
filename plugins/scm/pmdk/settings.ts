/**
 * Settings of scm `pmdk`, and what the persistence granularities mean: the finer one is, the less a persist writes.
 * `page` is no persistent memory but a file that the kernel writes back; `cache_line` is memory behind power-fail
 * protection of the memory controller, `byte` of the processor's caches as well.
 */
import { z } from "zod";
import type { PmdkGranularity } from "../../../native/pmdk/addon.ts";
import { DaosError } from "../../../src/base/errors.ts";
import { KIB } from "../../../src/base/limits.ts";

const granularity = z.enum(["cache_line", "byte", "page"]);
const path = z.string().min(1);

export const pmdkSettings = z
  .object({
    /** A folder on a file system mounted with -o dax, a devdax device, or several of those; default: the target's folder. */
    path: z.union([path, z.array(path).min(1)]).optional(),
    /** The coarsest granularity to be content with; a coarser medium is refused. */
    require: granularity.default("cache_line"),
    /** For trying out on memory that is none: take it for this. What was acknowledged is lost when power is. */
    force_granularity: granularity.optional(),
    /** Format a devdax device although it holds something else, when none is free. */
    overwrite: z.boolean().default(false),
    /** Open a region although its modules report an unsafe shutdown while it was in use. */
    accept_unsafe_shutdown: z.boolean().default(false),
  })
  .strict();

export type PmdkSettings = z.output<typeof pmdkSettings>;

/** Spans that a persist writes as a whole, bytes. */
export const PAGE_BYTES = 4 * KIB;
const CACHE_LINE_BYTES = 64;

const COARSENESS: Readonly<Record<PmdkGranularity, number>> = { byte: 0, cache_line: 1, page: 2 };

export function granularityBytesOf(granularity: PmdkGranularity): number {
  return granularity === "page" ? PAGE_BYTES : CACHE_LINE_BYTES;
}

/** Throws CONFIGURATION when the medium is coarser than the settings require. */
export function requireGranularity(settings: PmdkSettings, path: string, got: PmdkGranularity): void {
  if (COARSENESS[got] <= COARSENESS[settings.require]) return;
  const advice =
    got === "page"
      ? 'Use a file system on persistent memory mounted with -o dax or a devdax device, set "require: page", or use scm plugin "file"'
      : `Set "require: ${got}"`;
  throw new DaosError(
    "CONFIGURATION",
    `Cannot use "${path}" as SCM: it has ${got} granularity and "require: ${settings.require}" is configured. ${advice}.`,
  );
}
