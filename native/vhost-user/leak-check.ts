/**
 * What `npm run test:leaks` repeats millions of times on the vhost-user client: reads and writes of qemu-storage-daemon's
 * null device, in pool memory and bounced, allocation, and refused calls.
 */
import type { LeakCheck } from "../leak-check.ts";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openNullDevice } from "../../bench/null-device.ts";

const DEPTH = 32;
const BLOCK_BYTES = 4096;

export const leakCheck: LeakCheck = {
  start: async () => {
    const folder = mkdtempSync(join(tmpdir(), "daos-leaks-"));
    const opened = await openNullDevice(`${folder}/socket`);
    if ("reason" in opened) {
      rmSync(folder, { recursive: true });
      return opened;
    }
    const { device } = opened;
    const buffer = device.allocate(BLOCK_BYTES);
    const foreign = new Uint8Array(BLOCK_BYTES);
    let inFlight: Promise<void>[] = [];
    /** Keeps 32 in flight: awaits them all when there are so many. */
    const batched = (next: () => Promise<void>) => (): Promise<unknown> | undefined => {
      inFlight.push(next());
      if (inFlight.length < DEPTH) return undefined;
      const all = Promise.all(inFlight);
      inFlight = [];
      return all;
    };
    return {
      operations: {
        "read, 32 in flight": batched(() => device.read(0, buffer)),
        "bounced durable write, 32 in flight": batched(() => device.write(0, foreign, { durable: true })),
        "buffer given and taken": () => device.release(device.allocate(BLOCK_BYTES)),
        "refused read": () => device.read(1, buffer).catch(() => undefined),
      },
      stop: async () => {
        await Promise.all(inFlight);
        await device.close();
        rmSync(folder, { recursive: true });
      },
    };
  },
};
