/**
 * Opens a target's device: brings its back-end up, connects, and makes sure by the labels that it is the right one. A device
 * that holds something else is not formatted unless the configuration says so. What was put up is taken down when opening
 * fails.
 */
import { HugePagesChoice, loadVhostUser } from "../../../native/vhost-user/addon.ts";
import { DaosError } from "../../../src/base/errors.ts";
import { formatSize } from "../../../src/base/size.ts";
import { uuidFromRandom } from "../../../src/base/uuid.ts";
import type { BlockDevice, BlockDeviceOpenOptions, BlockDeviceProvider } from "../../../src/contracts/block-device.ts";
import type { World } from "../../../src/contracts/world.ts";
import { createStorageFile } from "../../storage-file.ts";
import { type BackEnd, ExistingBackEnd } from "./back-end.ts";
import { hugePagesOf, type SpdkConfig } from "./configuration.ts";
import { Connection } from "./connection.ts";
import { VhostUserDevice } from "./device.ts";
import {
  decodeDeviceLabel,
  type DeviceLabel,
  encodeDeviceLabel,
  LABEL_AREA_BYTES,
  LABEL_BYTES,
  LABEL_ID_BYTES,
  sameLabel,
} from "./device-label.ts";
import { type DevicePlace, devicePlace, targetNumber } from "./device-place.ts";
import { IoMemory } from "./io-memory.ts";
import { QemuStorageDaemon } from "./qemu-storage-daemon.ts";
import { SpdkTarget } from "./spdk-target.ts";

const BLOCK_BYTES = 4096;
const PAGES_PER_HUGE_PAGE = 512;
const LABEL_FILE = "nvme.label";
const DATA_FILE = "nvme.data";

export class SpdkBlockDeviceProvider implements BlockDeviceProvider {
  readonly #config: SpdkConfig;

  constructor(config: SpdkConfig) {
    this.#config = config;
  }

  async open(world: World, options: BlockDeviceOpenOptions): Promise<BlockDevice> {
    const { sizeBytes, folder, create } = options;
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes <= 0 || sizeBytes % BLOCK_BYTES !== 0) {
      const state = `it must be a multiple of ${formatSize(BLOCK_BYTES)} above zero`;
      throw new DaosError("INVALID_ARGUMENT", `Cannot use NVMe size ${sizeBytes}: ${state}.`);
    }
    const expected = create ? undefined : readLabelFile(world, folder, sizeBytes);
    const place = devicePlace(this.#config, folder, sizeBytes);
    if (this.#config.class === "file" && this.#config.back_end !== "socket") {
      this.#prepareFile(world, folder, sizeBytes, create);
    }
    const backEnd = this.#backEnd(world, folder, place);
    try {
      const device = await this.#connect(world, backEnd, await backEnd.start(), place, sizeBytes);
      try {
        if (expected === undefined) await this.#format(world, device, folder);
        else await checkLabel(device, expected);
        return device.data;
      } catch (error) {
        await device.connection.close();
        throw error;
      }
    } catch (error) {
      await backEnd.stop();
      throw error;
    }
  }

  #prepareFile(world: World, folder: string, sizeBytes: number, create: boolean): void {
    const path = `${folder}/${DATA_FILE}`;
    if (create) {
      world.disk.makeFolder(folder);
      createStorageFile(world.disk, path, (file) => file.truncate(LABEL_AREA_BYTES + sizeBytes));
    } else if (!world.disk.exists(path)) {
      throw new DaosError("NOT_FOUND", `Cannot open "${path}": there is no such file. Restore it.`);
    }
  }

  #backEnd(world: World, folder: string, place: DevicePlace): BackEnd {
    const { back_end: kind, socket } = this.#config;
    switch (kind) {
      case "socket":
        return new ExistingBackEnd(socket!.replaceAll("{target}", String(targetNumber(folder))));
      case "spdk":
        return this.#spdkTarget(world, place.device!);
      case "qemu-storage-daemon":
        return this.#qemuStorageDaemon(world, folder, place);
    }
  }

  #spdkTarget(world: World, device: string): SpdkTarget {
    const { spdk, class: kind, namespace, read_only: readOnly } = this.#config;
    return new SpdkTarget({
      timers: world.timers,
      rpcSocket: spdk.rpc_socket,
      rpcTimeoutMs: spdk.rpc_timeout_ms,
      kind: kind === "kdev" ? "kdev" : "nvme",
      device,
      namespace,
      cpumask: spdk.cpumask,
      writable: !readOnly,
      blockBytes: BLOCK_BYTES,
    });
  }

  #qemuStorageDaemon(world: World, folder: string, place: DevicePlace): QemuStorageDaemon {
    const { qemu_storage_daemon: qemu, socket_folder: socketFolder, queues, read_only: readOnly } = this.#config;
    const socketPath = `${socketFolder ?? folder}/${socketFolder === undefined ? "" : `target-${targetNumber(folder)}.`}nvme.sock`;
    return new QemuStorageDaemon({
      timers: world.timers,
      clock: world.clock,
      program: qemu.program,
      deviceName: place.device ?? `${folder}/${DATA_FILE}`,
      blockdev: this.#blockNode(folder, place),
      socketPath,
      queues,
      blockBytes: this.#config.class === "file" ? BLOCK_BYTES : 512,
      writable: !readOnly,
      pollMaxNs: qemu.poll_max_us * 1000,
    });
  }

  #blockNode(folder: string, place: DevicePlace): Record<string, unknown> {
    const { class: kind, namespace, discard, qemu_storage_daemon: qemu, read_only: readOnly } = this.#config;
    const common = { discard: discard ? "unmap" : "ignore", "read-only": readOnly };
    if (kind === "nvme") return { driver: "nvme", device: place.device, namespace, ...common };
    const cache = { direct: qemu.direct, "no-flush": false };
    const aio = qemu.direct ? qemu.aio : "threads";
    if (kind === "file") return { driver: "file", filename: `${folder}/${DATA_FILE}`, aio, cache, ...common };
    // Targets share a device and keep to their ranges.
    return { driver: "host_device", filename: place.device, aio, cache, locking: "off", ...common };
  }

  async #connect(
    world: World,
    backEnd: BackEnd,
    socketPath: string,
    place: DevicePlace,
    sizeBytes: number,
  ): Promise<OpenDevice> {
    const loaded = loadVhostUser();
    if ("reason" in loaded) throw new DaosError("UNSUPPORTED", loaded.reason);
    const config = this.#config;
    const made: { device?: VhostUserDevice } = {};
    const connection = await Connection.open({
      addon: loaded.addon,
      timers: world.timers,
      clock: world.clock,
      settings: {
        socketPath,
        queues: config.queues,
        depth: config.queue_depth,
        timeoutMs: config.connect_timeout_ms,
        poolPages: config.nr_hugepages * PAGES_PER_HUGE_PAGE,
        hugePages: HugePagesChoice[hugePagesOf(config)],
      },
      openTimeoutMs: config.connect_timeout_ms,
      reconnectTimeoutMs: config.reconnect_timeout_ms,
      pollUs: config.poll_us,
      lost: () => backEnd.lost(),
      restored: () => backEnd.restored(),
      resized: (capacityBytes) => made.device?.resized(capacityBytes),
    });
    try {
      checkDevice(connection, backEnd.deviceName, place, sizeBytes, config);
      const memory = new IoMemory(connection.memory, connection.ringBytes);
      const range = (startByte: number, bytes: number): VhostUserDevice =>
        new VhostUserDevice({
          connection,
          memory,
          name: backEnd.deviceName,
          startByte,
          sizeBytes: bytes,
          discard: config.discard,
          isRemoved: () => backEnd.isRemoved(),
          doubt: () => backEnd.doubt(),
          closed: () => backEnd.stop(),
        });
      const label = range(place.startByte, LABEL_BYTES);
      made.device = range(place.startByte + LABEL_AREA_BYTES, sizeBytes);
      return { name: backEnd.deviceName, connection, label, data: made.device, startByte: place.startByte };
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  async #format(world: World, device: OpenDevice, folder: string): Promise<void> {
    if (device.connection.description.readOnly) {
      throw new DaosError("READ_ONLY", `Cannot format "${device.name}": the back-end serves it read-only.`);
    }
    const intentPath = `${folder}/${LABEL_FILE}.new`;
    const { disk } = world;
    const intent = disk.exists(intentPath) ? readBytes(world, intentPath) : undefined;
    const found = await readBlock(device.label);
    const holds = holdsWhat(found, device.name);
    const unfinished = intent !== undefined && Buffer.compare(intent, found) === 0;
    if (holds !== undefined && !unfinished && !this.#config.overwrite) {
      const advice = "Use another device, or set overwrite: true once if it may be lost";
      throw new DaosError("ALREADY_EXISTS", `Cannot format "${device.name}": it holds ${holds}. ${advice}.`);
    }
    const random = new Uint8Array(LABEL_ID_BYTES);
    world.random.fill(random);
    const { sizeBytes, blockBytes } = device.data;
    const label = encodeDeviceLabel({ id: uuidFromRandom(random), startByte: device.startByte, sizeBytes, blockBytes });
    disk.makeFolder(folder);
    // Known here before it is on the device: formatting that was cut short can be repeated.
    writeBytes(world, intentPath, label);
    await device.label.write(0, label, { durable: true });
    disk.rename(intentPath, `${folder}/${LABEL_FILE}`);
  }
}

interface OpenDevice {
  readonly name: string;
  readonly connection: Connection;
  /** The block of the label. */
  readonly label: VhostUserDevice;
  readonly data: VhostUserDevice;
  readonly startByte: number;
}

/** Throws when the device cannot serve: too small, no flush. */
function checkDevice(
  connection: Connection,
  name: string,
  place: DevicePlace,
  sizeBytes: number,
  config: SpdkConfig,
): void {
  const { capacityBytes, flush, readOnly } = connection.description;
  const neededBytes = place.startByte + LABEL_AREA_BYTES + sizeBytes;
  if (capacityBytes < neededBytes) {
    const state = `it has ${formatSize(capacityBytes)} and this target needs it up to ${formatSize(neededBytes)}`;
    throw new DaosError("NO_SPACE", `Cannot use "${name}": ${state}. Use a larger device or a smaller nvme.size.`);
  }
  if (flush || readOnly || config.assume_durable) return;
  const state = "it takes no flush, so nothing says when data are durable";
  const advice = "Use another device, or set assume_durable: true if it has no volatile write cache";
  throw new DaosError("UNSUPPORTED", `Cannot use "${name}": ${state}. ${advice}.`);
}

/** What a block holds that must not be overwritten unasked; undefined: zeros. */
function holdsWhat(block: Uint8Array, name: string): string | undefined {
  if (block.every((byte) => byte === 0)) return undefined;
  try {
    const label = decodeDeviceLabel(block, name);
    return label === undefined ? "data of another kind" : `data of another target (${label.id})`;
  } catch {
    return "a label that this release cannot read";
  }
}

async function checkLabel(device: OpenDevice, expected: DeviceLabel): Promise<void> {
  const found = decodeDeviceLabel(await readBlock(device.label), device.name);
  if (found !== undefined && sameLabel(found, expected)) return;
  const state = found === undefined ? "it has no label" : `it holds the data of another target (${found.id})`;
  const advice = `Connect the device with ${expected.id}, or restore it`;
  throw new DaosError("CORRUPT", `Cannot open "${device.name}": ${state}. ${advice}.`);
}

async function readBlock(device: VhostUserDevice): Promise<Uint8Array> {
  const block = new Uint8Array(LABEL_BYTES);
  await device.read(0, block);
  return block;
}

/** The label kept in the folder. Throws NOT_FOUND when there is none, CORRUPT when it is of another size. */
function readLabelFile(world: World, folder: string, sizeBytes: number): DeviceLabel {
  const path = `${folder}/${LABEL_FILE}`;
  if (!world.disk.exists(path)) {
    throw new DaosError("NOT_FOUND", `Cannot open "${path}": there is no such file. Format the storage first.`);
  }
  const label = decodeDeviceLabel(readBytes(world, path), path);
  if (label === undefined) throw new DaosError("CORRUPT", `Cannot open "${path}": it is no label. Restore it.`);
  if (label.sizeBytes === sizeBytes) return label;
  const state = `it was formatted with ${label.sizeBytes} bytes, not ${sizeBytes}`;
  throw new DaosError("CORRUPT", `Cannot open "${path}": ${state}. Restore the size.`);
}

function readBytes(world: World, path: string): Uint8Array {
  const file = world.disk.openFile(path, { readOnly: true });
  const bytes = new Uint8Array(LABEL_BYTES);
  file.readSync(bytes, 0);
  file.close();
  return bytes;
}

function writeBytes(world: World, path: string, bytes: Uint8Array): void {
  const file = world.disk.openFile(path, { create: true });
  file.writeSync(bytes, 0);
  file.syncSync();
  file.close();
}
