/**
 * What `npm run test:leaks` repeats millions of times on block-device `uring`: reads and durable writes of a file in its
 * own memory and bounced, allocation, refused calls.
 */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nativeProblem } from "../../plugins/block-device/uring/native-file.ts";
import { UringBlockDeviceProvider } from "../../plugins/block-device/uring/provider.ts";
import { realWorld } from "../../src/world/index.ts";
import type { LeakCheck } from "../leak-check.ts";

const DEPTH = 32;
const BLOCK_BYTES = 4096;
const SIZE_BYTES = 4 * 1024 * 1024;

export const leakCheck: LeakCheck = {
  start: async () => {
    const reason = nativeProblem();
    if (reason !== undefined) return { reason };
    // In memory, where there is such a folder: ten million operations on a disk take long.
    const folder = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "daos-leaks-"));
    const provider = new UringBlockDeviceProvider({ preallocate: true, discard: false });
    const device = await provider.open(realWorld(), { folder, sizeBytes: SIZE_BYTES, create: true });
    const buffer = device.allocate(BLOCK_BYTES);
    const foreign = new Uint8Array(BLOCK_BYTES + 1).subarray(1);
    let inFlight: Promise<void>[] = [];
    let round = 0;
    /** Keeps 32 in flight: awaits them all when there are so many. */
    const batched = (next: (offset: number) => Promise<void>) => (): Promise<unknown> | undefined => {
      round += 1;
      inFlight.push(next((round * BLOCK_BYTES) % SIZE_BYTES));
      if (inFlight.length < DEPTH) return undefined;
      const batch = inFlight;
      inFlight = [];
      return Promise.all(batch);
    };
    return {
      operations: {
        read: batched((offset) => device.read(offset, buffer)),
        "read, bounced": batched((offset) => device.read(offset, foreign)),
        write: batched((offset) => device.write(offset, buffer, { durable: false })),
        "refused read": batched(() => device.read(1, buffer).catch(() => undefined)),
        "allocate and release": () => device.release(device.allocate(BLOCK_BYTES)),
      },
      stop: async () => {
        await Promise.all(inFlight);
        await device.close();
        rmSync(folder, { recursive: true });
      },
    };
  },
};
