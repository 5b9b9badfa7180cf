/**
 * A thread that opens a device of block-device `uring` in the folder it is told, says so, and keeps it busy until it is
 * ended: reads and writes of its own memory and of others', alone or many at a time, with pauses in which it sleeps.
 */
import { UringBlockDeviceProvider } from "../../plugins/block-device/uring/provider.ts";
import { MIB } from "../../src/base/limits.ts";
import type { BlockDevice } from "../../src/contracts/block-device.ts";
import { realWorld } from "../../src/world/index.ts";

declare const self: { onmessage: ((event: MessageEvent) => void) | null };

export const THREAD_DEVICE_BYTES = 16 * MIB;
const TRANSFER_BYTES = 65_536;

interface Order {
  readonly folder: string;
  readonly create: boolean;
  /** Operations at a time. */
  readonly depth: number;
}

self.onmessage = (event) => void keepBusy(event.data as Order);

async function keepBusy({ folder, create, depth }: Order): Promise<void> {
  const provider = new UringBlockDeviceProvider({ preallocate: true, discard: false });
  const device = await provider.open(realWorld(), { folder, sizeBytes: THREAD_DEVICE_BYTES, create });
  postMessage("open");
  await Promise.all(Array.from({ length: depth }, (_, worker) => work(device, worker)));
}

async function work(device: BlockDevice, worker: number): Promise<never> {
  const foreign = new Uint8Array(TRANSFER_BYTES + 8192);
  const memories = [
    device.allocate(TRANSFER_BYTES),
    foreign.subarray(0, TRANSFER_BYTES),
    foreign.subarray(1, 1 + 8192),
  ];
  for (let round = worker; ; round += 1) {
    const memory = memories[round % memories.length]!;
    const offset = ((round * TRANSFER_BYTES) % THREAD_DEVICE_BYTES) as number;
    memory.fill(offset / TRANSFER_BYTES + 1);
    if (round % 2 === 0) await device.write(offset, memory, { durable: round % 4 === 0 });
    else await device.read(offset, memory);
  }
}
