/**
 * A device of block-device `spdk` on qemu-storage-daemon's null device, which neither stores nor waits: what remains is the
 * cost of the transport and of this program.
 */
import { loadVhostUser } from "../native/vhost-user/addon.ts";
import { Connection } from "../plugins/block-device/spdk/connection.ts";
import { VhostUserDevice } from "../plugins/block-device/spdk/device.ts";
import { IoMemory } from "../plugins/block-device/spdk/io-memory.ts";
import { QemuStorageDaemon } from "../plugins/block-device/spdk/qemu-storage-daemon.ts";
import { realWorld } from "../src/world/index.ts";

const PROGRAM = "qemu-storage-daemon";
const SIZE_BYTES = 2 ** 30;
const POOL_PAGES = 16_384;
const TIMEOUT_MS = 5_000;
/** The plugin's default. No value changes a figure: see poll_max_us in docs/nvme.md. */
const POLL_MAX_NS = 32_000;
const POLL_US = 100;

/** Why there is no such device here; undefined when there is. */
export function nullDeviceProblem(): string | undefined {
  const loaded = loadVhostUser();
  if ("reason" in loaded) return loaded.reason;
  return Bun.which(PROGRAM) === null ? `no ${PROGRAM}: install qemu-system-common` : undefined;
}

/** Starts the daemon on the socket and connects; closing the device ends it. */
export async function openNullDevice(socketPath: string): Promise<{ device: VhostUserDevice } | { reason: string }> {
  const reason = nullDeviceProblem();
  const loaded = loadVhostUser();
  if (reason !== undefined || "reason" in loaded) return { reason: reason ?? "" };
  const { timers, clock } = realWorld();
  const daemon = new QemuStorageDaemon({
    timers,
    clock,
    program: PROGRAM,
    deviceName: "null device",
    blockdev: { driver: "null-co", size: SIZE_BYTES, "read-zeroes": false },
    socketPath,
    queues: 1,
    blockBytes: 4096,
    writable: true,
    pollMaxNs: POLL_MAX_NS,
  });
  const connection = await Connection.open({
    addon: loaded.addon,
    timers,
    clock,
    settings: {
      socketPath: await daemon.start(),
      queues: 1,
      depth: 128,
      timeoutMs: TIMEOUT_MS,
      poolPages: POOL_PAGES,
      hugePages: 1,
    },
    openTimeoutMs: TIMEOUT_MS,
    reconnectTimeoutMs: TIMEOUT_MS,
    pollUs: POLL_US,
    lost: () => daemon.lost(),
    restored: () => daemon.restored(),
    resized: () => {},
  });
  const device = new VhostUserDevice({
    connection,
    memory: new IoMemory(connection.memory, connection.ringBytes),
    name: daemon.deviceName,
    startByte: 0,
    sizeBytes: SIZE_BYTES,
    discard: true,
    isRemoved: () => false,
    doubt: () => {},
    closed: () => daemon.stop(),
  });
  return { device };
}
