/**
 * One epoch for a snapshot on several targets: one a little ahead of the clock is offered to all, and offered anew, further
 * ahead, when one of them has already written beyond it.
 */
import { EPOCH_ORIGIN_MS, type Epoch } from "../base/epoch.ts";
import { hasCode } from "../base/errors.ts";
import type { Clock } from "../contracts/world.ts";

const SNAPSHOT_ATTEMPTS = 16;

/** `offer` takes the snapshot on all or on none; it rejects with CONFLICT when the epoch is too early for one. */
export async function agreeOnEpoch(clock: Clock, leadUs: number, offer: (at: Epoch) => Promise<void>): Promise<Epoch> {
  for (let attempt = 1; ; attempt += 1) {
    const nowUs = Math.floor((clock.wallMs() - EPOCH_ORIGIN_MS) * 1000);
    const at = (nowUs + leadUs * attempt) as Epoch;
    try {
      await offer(at);
      return at;
    } catch (error) {
      if (!hasCode(error, "CONFLICT") || attempt === SNAPSHOT_ATTEMPTS) throw error;
    }
  }
}
