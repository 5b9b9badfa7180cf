/**
 * What the first and last bytes of a device that is to be formatted say about its content. Whatever is not zeros belongs
 * to somebody: formats that are known are called by their name, so that the admin sees what would be lost. Reads only.
 */
import { KIB } from "../base/limits.ts";
import type { BlockDevice } from "../contracts/block-device.ts";
import { decodeDeviceLabel, type DeviceLabel, LABEL_BYTES } from "../format/device-label.ts";

/** Read from each device's start: reaches the superblock of btrfs, which lies deepest. */
export const HEAD_BYTES = 128 * KIB;
/** Read from its end: backup of a partition table, RAID members. */
export const TAIL_BYTES = 64 * KIB;

/** `offset` counts from the device's start. */
interface Signature {
  readonly name: string;
  readonly offset: number;
  readonly bytes: Uint8Array;
}

const SIGNATURES: readonly Signature[] = [
  signature("an ext2, ext3 or ext4 file system", 1080, "53ef"),
  signature("an xfs file system", 0, text("XFSB")),
  signature("a btrfs file system", 64 * KIB + 64, text("_BHRfS_M")),
  signature("a LUKS encrypted device", 0, text("LUKS")),
  signature("an LVM physical volume", 512, text("LABELONE")),
  signature("a Linux RAID member", 4096, "fc4e2ba9"),
  signature("a Linux RAID member", 0, "fc4e2ba9"),
  signature("a Ceph BlueStore device", 0, text("bluestore block device")),
  signature("an SPDK blobstore", 0, text("SPDKBLOB")),
  signature("swap space", 4086, text("SWAPSPACE2")),
  signature("a GPT partition table", 512, text("EFI PART")),
  signature("a GPT partition table", 4096, text("EFI PART")),
  signature("an NTFS file system", 3, text("NTFS    ")),
  signature("a FAT file system", 82, text("FAT32   ")),
  signature("a squashfs file system", 0, text("hsqs")),
  signature("an F2FS file system", 1024, "1020f5f2"),
  signature("a partition table", 510, "55aa"),
];

function signature(name: string, offset: number, hex: string): Signature {
  return { name, offset, bytes: Buffer.from(hex, "hex") };
}

function text(value: string): string {
  return Buffer.from(value, "latin1").toString("hex");
}

export type DeviceContent =
  | { readonly kind: "empty" }
  /** A label of ours, perhaps of another system. */
  | { readonly kind: "label"; readonly label: DeviceLabel }
  /** Somebody's: `name` says what it looks like. */
  | { readonly kind: "foreign"; readonly name: string };

/** What these bytes of a device's start and end hold. A label of a newer version counts as foreign. */
export function contentOf(head: Uint8Array, tail: Uint8Array): DeviceContent {
  const label = labelIn(head.subarray(0, LABEL_BYTES)) ?? labelIn(tail.subarray(tail.length - LABEL_BYTES));
  if (label !== undefined) return label;
  const name = knownFormat(head);
  if (name !== undefined) return { kind: "foreign", name };
  if (head.some((byte) => byte !== 0) || tail.some((byte) => byte !== 0)) {
    return { kind: "foreign", name: "data of an unknown format" };
  }
  return { kind: "empty" };
}

/** The name of a format that is not ours and begins like this, if it is known. */
export function knownFormat(head: Uint8Array): string | undefined {
  const fits = ({ offset, bytes }: Signature): boolean =>
    offset + bytes.length <= head.length && bytes.every((byte, index) => head[offset + index] === byte);
  return SIGNATURES.find(fits)?.name;
}

function labelIn(block: Uint8Array): DeviceContent | undefined {
  if (block.length !== LABEL_BYTES) return undefined;
  try {
    const decoded = decodeDeviceLabel(block, "device");
    if (decoded.kind === "label") return { kind: "label", label: decoded.label };
    return decoded.kind === "damaged" ? { kind: "foreign", name: "a damaged label of daos" } : undefined;
  } catch {
    return { kind: "foreign", name: "a label of a newer release of daos" };
  }
}

/** Reads and judges an opened device. Rejects with IO. */
export async function readContent(device: BlockDevice): Promise<DeviceContent> {
  const head = device.allocate(HEAD_BYTES);
  const tail = device.allocate(TAIL_BYTES);
  try {
    await device.read(0, head);
    await device.read(device.sizeBytes - TAIL_BYTES, tail);
    return contentOf(head, tail);
  } finally {
    device.release(head);
    device.release(tail);
  }
}
