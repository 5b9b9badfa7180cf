/**
 * A promise that is waited for only so long. What it stands for goes on: its result is dropped when it comes too late.
 */
import { DaosError } from "../base/errors.ts";
import type { Timers } from "../contracts/world.ts";

/** As `work`; rejects with TIMEOUT and `message` when it has not settled after `limitMs`. */
export function withTimeLimit<Result>(
  timers: Timers,
  limitMs: number,
  work: Promise<Result>,
  message: string,
): Promise<Result> {
  return new Promise((resolve, reject) => {
    const cancel = timers.after(limitMs, () => reject(new DaosError("TIMEOUT", message)));
    work.then(
      (result) => {
        cancel();
        resolve(result);
      },
      (error: unknown) => {
        cancel();
        reject(error instanceof Error ? error : new DaosError("IO", String(error)));
      },
    );
  });
}
