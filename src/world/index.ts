/**
 * The real world on Bun: what src/main.ts and the thread entry files hand to everything else.
 */
import type { World } from "../contracts/world.ts";
import { RealClock } from "./clock.ts";
import { RealDatagrams } from "./datagrams.ts";
import { RealDisk } from "./disk.ts";
import { RealNetwork } from "./network.ts";
import { RealRandom } from "./random.ts";
import { RealTimers } from "./timers.ts";

export { hostAddress, onStopSignal, processUsage, type ProcessUsage, type StopSignal } from "./process.ts";
export { hmacSha256 } from "./hmac.ts";
export { moduleImporter } from "./module.ts";
export { parentThread, spawnThread } from "./thread.ts";

/** One world a thread. */
export function realWorld(): World {
  return {
    clock: new RealClock(),
    timers: new RealTimers(),
    random: new RealRandom(),
    disk: new RealDisk(),
    network: new RealNetwork(),
    datagrams: new RealDatagrams(),
  };
}
