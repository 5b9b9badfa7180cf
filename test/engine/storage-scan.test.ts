import { expect, test } from "bun:test";
import type { Uuid } from "../../src/base/uuid.ts";
import { scanStorage } from "../../src/engine/storage-scan.ts";
import { encodeDeviceLabel, LABEL_AREA_BYTES, LABEL_BYTES, labelledDataBytes } from "../../src/format/device-label.ts";
import type { SimulatedDisk } from "../simulation/disk.ts";
import { simulatedWorld } from "../simulation/world.ts";

const DEVICE_BYTES = 4 * 1024 * 1024;

function put(disk: SimulatedDisk, path: string, content: string | Uint8Array): void {
  disk.makeFolder(path.slice(0, path.lastIndexOf("/")));
  const file = disk.openFile(path, { create: true });
  file.writeSync(typeof content === "string" ? Buffer.from(content) : content, 0);
  file.close();
}

function blockDevice(disk: SimulatedDisk, name: string, number: string, content?: Uint8Array): void {
  const folder = `/machine/sys/block/${name}`;
  put(disk, `${folder}/size`, `${DEVICE_BYTES / 512}\n`);
  put(disk, `${folder}/dev`, `${number}\n`);
  put(disk, `${folder}/queue/logical_block_size`, "4096\n");
  put(disk, `${folder}/device/model`, "FAST DISK   \n");
  if (content !== undefined) put(disk, `/machine/dev/${name}`, content);
}

function labelled(): Uint8Array {
  const content = new Uint8Array(DEVICE_BYTES);
  encodeDeviceLabel(content.subarray(0, LABEL_BYTES), {
    system: "11111111-2222-4333-8444-555555555555" as Uuid,
    systemName: "prod",
    engine: "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee" as Uuid,
    rank: 0,
    device: "01234567-89ab-4cde-8f01-23456789abcd" as Uuid,
    targets: [3],
    target: 3,
    generation: 1,
    sizeBytes: DEVICE_BYTES,
    dataOffset: LABEL_AREA_BYTES,
    dataBytes: labelledDataBytes(DEVICE_BYTES),
    blockBytes: 4096,
    createdAtMs: 0,
  });
  return content;
}

test("a machine's devices, functions, memory and huge pages are told with what they hold", () => {
  const { disk } = simulatedWorld(1);
  blockDevice(disk, "nvme0n1", "259:0", new Uint8Array(DEVICE_BYTES));
  blockDevice(disk, "nvme1n1", "259:1", labelled());
  const fat = new Uint8Array(DEVICE_BYTES);
  fat.set([0x55, 0xaa], 510);
  blockDevice(disk, "nvme2n1", "259:2", fat);
  blockDevice(disk, "sda", "8:0");
  put(disk, "/machine/sys/block/sda/sda1/dev", "8:1\n");
  blockDevice(disk, "sdb", "8:16");
  blockDevice(disk, "sdc", "8:32");
  put(disk, "/machine/sys/block/sdc/holders/md0", "");
  put(disk, "/machine/sys/block/loop0/size", "0\n");
  put(disk, "/machine/sys/block/zram0/size", "1000\n");
  put(disk, "/machine/proc/self/mountinfo", "22 1 8:1 / /data\\040one rw - ext4 /dev/sda1 rw\n");
  put(disk, "/machine/sys/bus/pci/devices/0000:81:00.0/class", "0x010802\n");
  put(disk, "/machine/sys/bus/pci/devices/0000:82:00.0/class", "0x010802\n");
  put(disk, "/machine/sys/bus/pci/devices/0000:83:00.0/class", "0x020000\n");
  put(disk, "/machine/sys/bus/pci/drivers/vfio-pci/0000:81:00.0", "");
  put(disk, "/machine/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "8\n");
  put(disk, "/machine/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "5\n");
  const memory = { name: "n", mode: "fsdax", sizeBytes: 1, device: "/dev/pmem0", mount: "", state: "healthy" };
  const plugin = { description: "", origin: "built in", reason: "" };
  const found = scanStorage({
    disk,
    root: "/machine",
    plugins: [
      { ...plugin, kind: "scm", name: "file", state: "available" },
      { ...plugin, kind: "scm", name: "pmdk", state: "unavailable", reason: "install Debian package libpmem2-dev" },
      { ...plugin, kind: "interface", name: "posix", state: "unavailable", reason: "no" },
    ],
    persistentMemory: () => [memory],
  });
  expect(found.blockDevices.map(({ path, state, content }) => [path, state, content])).toEqual([
    ["/dev/nvme0n1", "empty", "empty"],
    [
      "/dev/nvme1n1",
      "labelled",
      'system "prod" (11111111-2222-4333-8444-555555555555), device 01234567-89ab-4cde-8f01-23456789abcd, target 3',
    ],
    ["/dev/nvme2n1", "foreign", "a partition table"],
    ["/dev/sda", "in use", "mounted on /data one"],
    ["/dev/sdb", "unreadable", "cannot be read by this user"],
    ["/dev/sdc", "in use", "part of md0"],
  ]);
  expect(found.blockDevices[0]).toMatchObject({ sizeBytes: DEVICE_BYTES, sectorBytes: 4096, model: "FAST DISK" });
  expect(found.nvme).toEqual([
    { address: "0000:81:00.0", driver: "vfio-pci", model: "" },
    { address: "0000:82:00.0", driver: "", model: "" },
  ]);
  expect(found.persistentMemory).toEqual([memory]);
  expect(found.hugePages).toEqual([{ pageBytes: 2 * 1024 * 1024, total: 8, free: 5 }]);
  expect(found.missing).toEqual([{ kind: "scm", name: "pmdk", reason: "install Debian package libpmem2-dev" }]);
});

test("a machine that tells nothing has nothing", () => {
  const { disk } = simulatedWorld(2);
  const found = scanStorage({ disk, root: "/machine", plugins: [], persistentMemory: () => [] });
  expect(found).toEqual({ blockDevices: [], nvme: [], persistentMemory: [], hugePages: [], missing: [] });
});
