/**
 * Makes and opens the regions of scm `ram`: shared memory, filled from the log device when it is opened.
 */
import { DaosError } from "../../../src/base/errors.ts";
import { MIB } from "../../../src/base/limits.ts";
import { formatSize } from "../../../src/base/size.ts";
import type { BlockDevice } from "../../../src/contracts/block-device.ts";
import type { ScmOpenOptions, ScmProvider, ScmRegion } from "../../../src/contracts/scm.ts";
import type { World } from "../../../src/contracts/world.ts";
import { type LogDevice, openLogDevice } from "./log-device.ts";
import { GRANULARITY_BYTES, RamScmRegion } from "./region.ts";
import type { RamSettings } from "./settings.ts";

const STEP_BYTES = 4 * MIB;
const ZEROS = Buffer.alloc(GRANULARITY_BYTES);

export class RamScmProvider implements ScmProvider {
  readonly #settings: RamSettings;

  constructor(settings: RamSettings) {
    this.#settings = settings;
  }

  async open(world: World, options: ScmOpenOptions): Promise<ScmRegion> {
    const { sizeBytes, create, folder } = options;
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes <= 0 || sizeBytes % GRANULARITY_BYTES !== 0) {
      throw new DaosError(
        "INVALID_ARGUMENT",
        `Cannot use SCM size ${sizeBytes}: it must be a multiple of ${formatSize(GRANULARITY_BYTES)} above zero.`,
      );
    }
    const bytes = allocateRegion(folder, sizeBytes);
    const log = await openLogDevice(world, options, this.#settings);
    const { device, file, path, notices } = log;
    try {
      if (!create) await load(log, bytes);
      else if (log.isDirty) await erase(log, sizeBytes);
    } catch (error) {
      file?.close();
      await device.close();
      throw error;
    }
    return new RamScmRegion({ bytes, device, file, path, notices, mode: this.#settings.mode }, world.clock);
  }
}

/** Shared memory: page aligned, so that the device needs no copy, and visible to a settle thread. */
function allocateRegion(folder: string, sizeBytes: number): Uint8Array {
  try {
    return new Uint8Array(new SharedArrayBuffer(sizeBytes));
  } catch (error) {
    const state = `there is not enough memory for ${formatSize(sizeBytes)}`;
    throw new DaosError("INVALID_ARGUMENT", `Cannot open SCM of "${folder}": ${state}. Use a smaller SCM size.`, {
      cause: error,
    });
  }
}

/** Reads the device into the region. Pages that hold only zeros are not touched: an engine starts no later for a large region. */
async function load({ device }: LogDevice, bytes: Uint8Array): Promise<void> {
  await forEachStep(device, bytes.length, async (memory, start) => {
    await device.read(start, memory);
    const step = Buffer.from(memory.buffer, memory.byteOffset, memory.length);
    for (let page = 0; page < step.length; page += GRANULARITY_BYTES) {
      if (step.compare(ZEROS, 0, GRANULARITY_BYTES, page, page + GRANULARITY_BYTES) === 0) continue;
      bytes.set(memory.subarray(page, page + GRANULARITY_BYTES), start + page);
    }
  });
}

/** Makes the device read as zeros. */
function erase({ device }: LogDevice, sizeBytes: number): Promise<void> {
  return forEachStep(device, sizeBytes, (zeros, start) => device.write(start, zeros, { durable: true }));
}

/** Calls `use` with the device's memory, zeros at first, for each step of [0, sizeBytes), one after the other. */
async function forEachStep(
  device: BlockDevice,
  sizeBytes: number,
  use: (memory: Uint8Array, start: number) => Promise<void>,
): Promise<void> {
  const memory = device.allocate(Math.min(STEP_BYTES, sizeBytes));
  try {
    for (let start = 0; start < sizeBytes; start += memory.length) {
      await use(memory.subarray(0, Math.min(memory.length, sizeBytes - start)), start);
    }
  } finally {
    device.release(memory);
  }
}
