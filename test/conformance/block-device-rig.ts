/**
 * What the files of the block-device suite share: a device on the real world in a temporary folder, closed and removed
 * at the end, and reading back. Entry point of the suite: block-device.ts.
 */
import type { BlockDevice, BlockDeviceProvider } from "../../src/contracts/block-device.ts";
import { realWorld } from "../../src/world/index.ts";
import { inTemporaryFolder } from "./support.ts";

export const DEVICE_BYTES = 8 * 1024 * 1024;

export type Providers = () => BlockDeviceProvider;

export type Open = (create: boolean, sizeBytes?: number) => Promise<BlockDevice>;

export function withFolder(makeProvider: Providers, use: (open: Open) => Promise<void>): Promise<void> {
  return inTemporaryFolder(async (folder) => {
    const world = realWorld();
    await use((create, sizeBytes = DEVICE_BYTES) => makeProvider().open(world, { folder, sizeBytes, create }));
  });
}

/** Runs `use` on a new device and closes it. */
export function withDevice(makeProvider: Providers, use: (device: BlockDevice) => Promise<void>): Promise<void> {
  return withFolder(makeProvider, async (open) => {
    const device = await open(true);
    await use(device);
    await device.close();
  });
}

/** What the device holds there. */
export async function readBack(device: BlockDevice, offset: number, length: number): Promise<Uint8Array> {
  const buffer = device.allocate(length).fill(0xaa);
  await device.read(offset, buffer);
  const copy = buffer.slice();
  device.release(buffer);
  return copy;
}
