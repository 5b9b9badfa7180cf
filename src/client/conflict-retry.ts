/** Runs again what others were in the way of. */
import { hasCode } from "../base/errors.ts";
import type { ContainerSession } from "./container-session.ts";
import { canceled, pause } from "./retry.ts";

/** Attempts unless the caller says otherwise. */
export const DEFAULT_ATTEMPTS = 32;
/** First and longest pause between two of them, milliseconds. */
const FIRST_PAUSE_MS = 5;
const MAX_PAUSE_MS = 500;

/** True when the same transaction may succeed when it is run again. */
export function isConflict(error: unknown): boolean {
  return hasCode(error, "CONFLICT") || hasCode(error, "EPOCH_AGGREGATED");
}

/** What `attempt` resolves to; it is run again after a conflict, up to `attempts` times, with growing pauses. */
export async function untilNoConflict<T>(
  { world }: Pick<ContainerSession, "world">,
  attempts: number,
  signal: AbortSignal | undefined,
  attempt: () => Promise<T>,
): Promise<T> {
  let pauseMs = FIRST_PAUSE_MS;
  for (let number = 1; ; number += 1) {
    if (signal?.aborted === true) throw canceled();
    try {
      return await attempt();
    } catch (error) {
      if (!isConflict(error) || number >= attempts) throw error;
    }
    await pause(world, pauseMs * (0.5 + world.random.next()), signal);
    pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS);
  }
}
