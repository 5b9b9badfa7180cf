/**
 * Memory that is taken from the system ahead of its use. The first write to each page of fresh memory costs as much as many
 * operations: the system has to find the page and clear it, in a virtual machine the host as well.
 */
import type { Timers } from "../contracts/world.ts";

const PAGE_BYTES = 4096;
/** Pages taken before other work of the thread runs: about a millisecond. */
const STEP_PAGES = 512;

/** Takes all pages of shared memory, in steps, while other threads may write to it: its content stays as it is. */
export function makeResident(bytes: Uint8Array, timers: Timers): void {
  const step = (from: number): void => {
    const end = Math.min(from + STEP_PAGES * PAGE_BYTES, bytes.length);
    for (let at = from; at < end; at += PAGE_BYTES) Atomics.or(bytes, at, 0);
    if (end < bytes.length) timers.soon(() => step(end));
  };
  step(0);
}
