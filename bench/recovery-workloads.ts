/**
 * What is measured while an engine that is gone for good is made up for, of daos and of Ceph alike: three engines, two copies of
 * 4 MiB objects, one engine killed and taken out. Idle, the time until there are two copies of all again; beside requests of
 * 4 KiB, how many of those are left, and what recovery gets meanwhile.
 */
import { MIB } from "../src/base/limits.ts";

export const OBJECT_BYTES = 4 * MIB;
export const OBJECTS = 768;
export const WRITERS = 16;
/** Requests under way beside recovery, and for how long. */
export const SMALL_REQUESTS = 16;
export const SMALL_SECONDS = 4;
/** The engine that is lost. */
export const LOST = 2;
export const IDLE = "two copies of 3 GiB again, idle";
export const BESIDE = "4 KiB writes, 16 in flight, beside it";

/** Polls until `condition`; the time it took, seconds. */
export async function secondsUntil(condition: () => Promise<boolean>, pollMs = 50): Promise<number> {
  const startedMs = performance.now();
  while (!(await condition())) await Bun.sleep(pollMs);
  return (performance.now() - startedMs) / 1000;
}
