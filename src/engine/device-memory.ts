/** Memory of a target's device, for what goes to it and comes from it. */
import type { BlockDevice } from "../contracts/block-device.ts";
import type { PayloadBuffers } from "../rpc/payload-buffers.ts";

/** Memory that needs no bounce copy for the device. */
export function memoryOf(device: BlockDevice): Pick<BlockDevice, "allocate" | "release"> & {
  readonly payloadBuffers: PayloadBuffers;
} {
  const release = (buffer: Uint8Array): void => device.release(buffer);
  // A payload is handed on when all of it has come.
  const payloadBuffers = { allocate: (sizeBytes: number) => device.allocate(sizeBytes, "anything"), release };
  return { allocate: (sizeBytes, content) => device.allocate(sizeBytes, content), release, payloadBuffers };
}
