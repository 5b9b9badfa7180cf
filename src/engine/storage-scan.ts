/**
 * What storage this machine has, for `daos storage scan`: block devices, NVMe functions on the PCI bus and who drives
 * them, persistent memory, huge pages, and which plugins cannot serve. Needs no engine and changes nothing. What a user
 * may not read is said so.
 */
import type { Disk } from "../contracts/world.ts";
import { contentOf, type DeviceContent, HEAD_BYTES, TAIL_BYTES } from "./device-content.ts";
import { KernelFiles } from "./kernel-files.ts";
import type { PluginListing } from "./plugin-registry.ts";

const SECTOR_BYTES = 512;
/** PCI class of a non-volatile memory controller with the NVMe interface. */
const NVME_CLASS = "0x010802";
/** Drivers that an NVMe function may be bound to; the last ones leave it to programs such as spdk_tgt. */
const NVME_DRIVERS = ["nvme", "vfio-pci", "uio_pci_generic", "igb_uio"] as const;
/** Made by the kernel from memory or from nothing. */
const NOT_DEVICES = /^(ram|zram|fd|sr)\d+$/;

export interface ScannedBlockDevice {
  readonly path: string;
  readonly sizeBytes: number;
  readonly sectorBytes: number;
  readonly model: string;
  /** Where it, or a partition of it, is mounted. */
  readonly mounts: readonly string[];
  /** `in use`: mounted or part of another device. `unreadable`: only root may look. */
  readonly state: "empty" | "in use" | "labelled" | "foreign" | "unreadable";
  /** What it holds, in words. */
  readonly content: string;
}
export interface ScannedNvme {
  readonly address: string;
  /** Empty: none. */
  readonly driver: string;
  readonly model: string;
}
export interface ScannedMemory {
  readonly name: string;
  readonly mode: string;
  readonly sizeBytes: number;
  readonly device: string;
  readonly mount: string;
  readonly state: string;
}
export interface ScannedHugePages {
  readonly pageBytes: number;
  readonly total: number;
  readonly free: number;
}
export interface StorageScan {
  readonly blockDevices: readonly ScannedBlockDevice[];
  readonly nvme: readonly ScannedNvme[];
  readonly persistentMemory: readonly ScannedMemory[];
  readonly hugePages: readonly ScannedHugePages[];
  /** Plugins for storage that cannot serve here, and what is missing. */
  readonly missing: readonly { readonly kind: string; readonly name: string; readonly reason: string }[];
}

export interface StorageScanParts {
  readonly disk: Disk;
  /** `/` on a real machine. */
  readonly root: string;
  readonly plugins: readonly PluginListing[];
  /** The machine's persistent memory, which a plugin knows how to list. */
  readonly persistentMemory: () => readonly ScannedMemory[];
}

export function scanStorage(parts: StorageScanParts): StorageScan {
  const kernel = new KernelFiles(parts.disk, parts.root);
  const mounts = mountsByDevice(kernel.text("proc/self/mountinfo") ?? "");
  const names = kernel.list("sys/block").filter((name) => !NOT_DEVICES.test(name));
  return {
    blockDevices: names.flatMap((name) => blockDevice(kernel, name, mounts) ?? []),
    nvme: nvmeFunctions(kernel),
    persistentMemory: parts.persistentMemory(),
    hugePages: hugePages(kernel),
    missing: parts.plugins
      .filter(({ kind, state }) => state === "unavailable" && (kind === "scm" || kind === "block-device"))
      .map(({ kind, name, reason }) => ({ kind, name, reason })),
  };
}

/** Undefined for one without a medium. */
function blockDevice(
  kernel: KernelFiles,
  name: string,
  mountsOf: ReadonlyMap<string, readonly string[]>,
): ScannedBlockDevice | undefined {
  const folder = `sys/block/${name}`;
  const sizeBytes = (kernel.number(`${folder}/size`) ?? 0) * SECTOR_BYTES;
  if (sizeBytes === 0) return undefined;
  const partitions = kernel.list(folder).filter((entry) => entry.startsWith(name));
  const parts = [name, ...partitions];
  const mounts = parts.flatMap((part) => mountsOf.get(kernel.text(`${pathOfPart(name, part)}/dev`) ?? "") ?? []);
  const holders = parts.flatMap((part) => kernel.list(`${pathOfPart(name, part)}/holders`));
  const model = kernel.text(`${folder}/device/model`) ?? "";
  const common = {
    path: `/dev/${name}`,
    sizeBytes,
    sectorBytes: kernel.number(`${folder}/queue/logical_block_size`) ?? SECTOR_BYTES,
    model,
    mounts,
  };
  if (mounts.length > 0) return { ...common, state: "in use", content: `mounted on ${mounts.join(", ")}` };
  if (holders.length > 0) return { ...common, state: "in use", content: `part of ${holders.join(", ")}` };
  return { ...common, ...contentWords(kernel, name, sizeBytes) };
}

function pathOfPart(device: string, part: string): string {
  return part === device ? `sys/block/${device}` : `sys/block/${device}/${part}`;
}

function contentWords(
  kernel: KernelFiles,
  name: string,
  sizeBytes: number,
): Pick<ScannedBlockDevice, "state" | "content"> {
  const head = kernel.bytes(`dev/${name}`, 0, Math.min(HEAD_BYTES, sizeBytes));
  const tail = kernel.bytes(`dev/${name}`, Math.max(0, sizeBytes - TAIL_BYTES), Math.min(TAIL_BYTES, sizeBytes));
  if ("error" in head || "error" in tail) return { state: "unreadable", content: "cannot be read by this user" };
  const content: DeviceContent = contentOf(head, tail);
  if (content.kind === "empty") return { state: "empty", content: "empty" };
  if (content.kind === "foreign") return { state: "foreign", content: content.name };
  const { system, systemName, device, target } = content.label;
  return { state: "labelled", content: `system "${systemName}" (${system}), device ${device}, target ${target}` };
}

/** Mount points by device number, `8:1`. */
function mountsByDevice(mountinfo: string): Map<string, string[]> {
  const mounts = new Map<string, string[]>();
  for (const line of mountinfo.split("\n")) {
    const fields = line.split(" ");
    const [, , device, , point] = fields;
    if (device === undefined || point === undefined) continue;
    const path = point.replaceAll(/\\([0-7]{3})/g, (_match, octal: string) => String.fromCharCode(parseInt(octal, 8)));
    const known = mounts.get(device);
    if (known === undefined) mounts.set(device, [path]);
    else if (!known.includes(path)) known.push(path);
  }
  return mounts;
}

function nvmeFunctions(kernel: KernelFiles): ScannedNvme[] {
  const bound = new Map<string, string>();
  for (const driver of NVME_DRIVERS) {
    for (const address of kernel.list(`sys/bus/pci/drivers/${driver}`)) bound.set(address, driver);
  }
  const folder = "sys/bus/pci/devices";
  return kernel
    .list(folder)
    .filter((address) => kernel.text(`${folder}/${address}/class`) === NVME_CLASS)
    .map((address) => {
      const controller = kernel.list(`${folder}/${address}/nvme`)[0];
      const model = controller === undefined ? "" : kernel.text(`${folder}/${address}/nvme/${controller}/model`);
      return { address, driver: bound.get(address) ?? "", model: model ?? "" };
    });
}

function hugePages(kernel: KernelFiles): ScannedHugePages[] {
  const folder = "sys/kernel/mm/hugepages";
  return kernel.list(folder).flatMap((name) => {
    const kibibytes = /^hugepages-(\d+)kB$/.exec(name)?.[1];
    if (kibibytes === undefined) return [];
    const total = kernel.number(`${folder}/${name}/nr_hugepages`) ?? 0;
    return [
      { pageBytes: Number(kibibytes) * 1024, total, free: kernel.number(`${folder}/${name}/free_hugepages`) ?? 0 },
    ];
  });
}
