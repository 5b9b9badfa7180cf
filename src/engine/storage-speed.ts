/**
 * How fast the two tiers take a durable write of 4 KiB, measured while they are formatted, and what follows from it: up to
 * which size values live in SCM when nobody says. Bounded to a few writes, so that formatting stays quick.
 */
import { BLOCK_BYTES, INLINE_VALUE_BYTES, KIB } from "../base/limits.ts";
import type { BlockDevice } from "../contracts/block-device.ts";
import type { ScmRegion } from "../contracts/scm.ts";
import type { Clock } from "../contracts/world.ts";

/** Writes a measurement takes at most, and the time after which it takes no more, milliseconds. */
const MAX_WRITES = 16;
const MAX_MEASURE_MS = 25;
const NS_PER_US = 1000;
const NS_PER_MS = 1e6;

/** Median durable writes of 4 KiB, microseconds. */
export interface TierSpeed {
  readonly scmWriteUs: number;
  readonly nvmeWriteUs: number;
}

/** SCM so many times faster than NVMe takes larger values; one that is slower takes small ones only. */
const FAST_SCM_RATIO = 8;
const SLOW_SCM_RATIO = 0.5;
const FAST_SCM_THRESHOLD_BYTES = 16 * KIB;
const SLOW_SCM_THRESHOLD_BYTES = 1 * KIB;

/** What `data_threshold: auto` means here, bytes. */
export function automaticThreshold(speed: TierSpeed | undefined): number {
  if (speed === undefined) return INLINE_VALUE_BYTES;
  const ratio = speed.nvmeWriteUs / Math.max(speed.scmWriteUs, 1);
  if (ratio >= FAST_SCM_RATIO) return FAST_SCM_THRESHOLD_BYTES;
  return ratio >= SLOW_SCM_RATIO ? INLINE_VALUE_BYTES : SLOW_SCM_THRESHOLD_BYTES;
}

/** Writes zeros to a region and a device that hold nothing yet. Undefined when one of them does not take the writes. */
export async function measureSpeed(
  clock: Clock,
  region: ScmRegion,
  device: BlockDevice,
): Promise<TierSpeed | undefined> {
  const step = Math.max(region.granularityBytes, BLOCK_BYTES);
  const block = device.allocate(BLOCK_BYTES);
  try {
    const scmWriteUs = await median(clock, (turn) => region.persist((turn * step) % region.bytes.length, step));
    const nvmeWriteUs = await median(clock, (turn) => device.write(turn * BLOCK_BYTES, block, { durable: true }));
    return { scmWriteUs, nvmeWriteUs };
  } catch {
    // Formatting will fail by itself, or it was a lack of space that a write of data would meet as well.
    return undefined;
  } finally {
    device.release(block);
  }
}

async function median(clock: Clock, write: (turn: number) => undefined | Promise<void>): Promise<number> {
  const startNs = clock.monotonicNs();
  const tookNs: number[] = [];
  for (let turn = 0; turn < MAX_WRITES; turn += 1) {
    const fromNs = clock.monotonicNs();
    await write(turn);
    const nowNs = clock.monotonicNs();
    tookNs.push(nowNs - fromNs);
    if (nowNs - startNs > MAX_MEASURE_MS * NS_PER_MS) break;
  }
  tookNs.sort((left, right) => left - right);
  return Math.round(tookNs[Math.floor(tookNs.length / 2)]! / NS_PER_US);
}
