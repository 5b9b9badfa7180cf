/**
 * Settings of block-device `spdk`, in DAOS's words where it has them, and what they mean together. What cannot be known
 * without looking at the machine (devices, sockets, huge pages) is checked when the device is opened.
 */
import { z } from "zod";
import { MAX_DEPTH, MAX_QUEUES } from "../../../native/vhost-user/addon.ts";

const PCI_ADDRESS = /^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/i;
/** Least pool in huge pages: rings, room for bouncing, and some buffers. */
const LEAST_HUGE_PAGES = 4;
const MOST_HUGE_PAGES = 16_384;
const MOST_DEVICES = 256;

const depth = z
  .int()
  .min(8)
  .max(MAX_DEPTH)
  .refine((value) => Number.isInteger(Math.log2(value)), "must be a power of two")
  .default(128);

const spdkSchema = z
  .strictObject({
    /** Where spdk_tgt takes commands (its `-r`). */
    rpc_socket: z.string().startsWith("/").default("/var/tmp/spdk.sock"),
    rpc_timeout_ms: z.int().min(100).max(600_000).default(20_000),
    /** Cores of spdk_tgt that serve the device. */
    cpumask: z
      .string()
      .regex(/^0x[0-9a-f]+$/i, 'must be a mask such as "0x2"')
      .optional(),
  })
  .prefault({});

const qemuSchema = z
  .strictObject({
    program: z.string().min(1).default("qemu-storage-daemon"),
    /** How its thread reads and writes files and kernel devices. */
    aio: z.enum(["threads", "native", "io_uring"]).default("native"),
    /** Past the page cache. */
    direct: z.boolean().default(true),
    /** How long its thread polls before it sleeps. No QEMU so far polls for vhost-user requests: see docs/nvme.md. */
    poll_max_us: z.int().min(0).max(1_000_000).default(32),
  })
  .prefault({});

const fieldsSchema = z.strictObject({
  /** `nvme`: an NVMe device driven in user space; `kdev`: a block device of the kernel; `file`: a file, for trying out. */
  class: z.enum(["nvme", "kdev", "file"]).default("nvme"),
  /** Who serves it. */
  back_end: z.enum(["spdk", "qemu-storage-daemon", "socket"]).default("spdk"),
  /** PCI addresses, or paths of block devices. Targets take them in turn. */
  bdev_list: z.array(z.string().min(1)).max(MOST_DEVICES).default([]),
  /** What lies on them. The log and the metadata are on the scm tier. */
  bdev_roles: z.array(z.enum(["data"])).default(["data"]),
  /** Namespace of each NVMe device. */
  namespace: z.int().min(1).max(1024).default(1),
  /** Size of each target's I/O memory in pages of 2 MiB, huge or not. */
  nr_hugepages: z.int().min(LEAST_HUGE_PAGES).max(MOST_HUGE_PAGES).default(32),
  /** Whether that memory must be, may be, or is never made of huge pages. */
  hugepages: z.enum(["require", "prefer", "off"]).optional(),
  spdk: spdkSchema,
  qemu_storage_daemon: qemuSchema,
  /** Path of a socket that is served already; `{target}` stands for the target's number. */
  socket: z.string().startsWith("/").optional(),
  /** Folder for the sockets of qemu-storage-daemon; default: the target's own. Their paths have at most 107 bytes. */
  socket_folder: z.string().startsWith("/").optional(),
  queues: z.int().min(1).max(MAX_QUEUES).default(1),
  queue_depth: depth,
  connect_timeout_ms: z.int().min(100).max(600_000).default(10_000),
  reconnect_timeout_ms: z.int().min(0).max(3_600_000).default(30_000),
  /** Completions are polled for while the device takes less than this on average, and slept for otherwise; 0: always. */
  poll_us: z.int().min(0).max(100_000).default(100),
  /** Give freed space back to the device. */
  discard: z.boolean().default(true),
  /** The device has no volatile cache although it takes no flush (or nobody minds losing data with the power). */
  assume_durable: z.boolean().default(false),
  /** Format devices that hold something else. */
  overwrite: z.boolean().default(false),
  read_only: z.boolean().default(false),
});

export type SpdkConfig = z.output<typeof fieldsSchema>;

export const spdkConfigSchema = fieldsSchema.superRefine((config, context) => {
  for (const { path, message } of contradictions(config)) context.addIssue({ code: "custom", path: [path], message });
});

function contradictions(config: SpdkConfig): { path: string; message: string }[] {
  const found: { path: string; message: string }[] = [];
  const complain = (path: string, message: string): void => void found.push({ path, message });
  const { class: kind, back_end: backEnd, bdev_list: devices, socket } = config;
  if (backEnd === "socket") {
    if (socket === undefined) complain("socket", "is needed with back_end: socket");
    if (devices.length > 0) complain("bdev_list", "has no use with back_end: socket");
    return found;
  }
  if (socket !== undefined) complain("socket", "has no use without back_end: socket");
  if (kind === "file" && backEnd === "spdk") complain("back_end", "must be qemu-storage-daemon with class: file");
  if (kind === "file" && devices.length > 0)
    complain("bdev_list", "has no use with class: file: the target's folder holds the file");
  if (kind !== "file" && devices.length === 0) complain("bdev_list", "must name at least one device");
  if (new Set(devices).size !== devices.length) complain("bdev_list", "names a device twice");
  for (const device of devices) {
    if (kind === "nvme" && !PCI_ADDRESS.test(device))
      complain("bdev_list", `"${device}" is no PCI address such as 0000:81:00.0`);
    if (kind === "kdev" && !device.startsWith("/"))
      complain("bdev_list", `"${device}" is no path such as /dev/nvme0n1`);
  }
  return found;
}

/** SPDK reaches NVMe devices by DMA, which needs huge pages on most machines; the others do without. */
export function hugePagesOf(config: SpdkConfig): "require" | "prefer" | "off" {
  if (config.hugepages !== undefined) return config.hugepages;
  return config.back_end === "spdk" && config.class === "nvme" ? "require" : "prefer";
}
