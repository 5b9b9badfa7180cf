/**
 * The two copies of a device's label: written at format, compared with what the storage knows at every start. One copy
 * that is damaged or older is written anew from the other one; when neither serves, the device is CORRUPT and nothing on
 * it is touched. A device that holds anything else is not formatted unless that was asked for by name.
 */
import { DaosError } from "../base/errors.ts";
import type { Uuid } from "../base/uuid.ts";
import type { BlockDevice } from "../contracts/block-device.ts";
import {
  decodeDeviceLabel,
  type DecodedLabel,
  type DeviceLabel,
  encodeDeviceLabel,
  LABEL_AREA_BYTES,
  LABEL_BYTES,
  labelledDataBytes,
} from "../format/device-label.ts";
import { type DeviceContent, HEAD_BYTES, knownFormat, readContent } from "./device-content.ts";

/** Whom a part of a device belongs to. */
export interface DeviceOwner {
  readonly system: Uuid;
  readonly systemName: string;
  readonly engine: Uuid;
  readonly rank: number;
  readonly device: Uuid;
  readonly targets: readonly number[];
  readonly target: number;
}

export interface FormatDeviceOptions {
  /** Overwrite whatever the device holds. */
  readonly force: boolean;
  readonly nowMs: number;
  /** For messages. */
  readonly name: string;
}

/**
 * Labels a device. Rejects with ALREADY_EXISTS when it holds something that is not this owner's and `force` is false;
 * nothing was written then.
 */
export async function formatDevice(
  device: BlockDevice,
  owner: DeviceOwner,
  options: FormatDeviceOptions,
): Promise<DeviceLabel> {
  if (!options.force) requireFree(await readContent(device), owner, options.name);
  const { sizeBytes, blockBytes } = device;
  const label: DeviceLabel = {
    ...owner,
    generation: 1,
    sizeBytes,
    dataOffset: LABEL_AREA_BYTES,
    dataBytes: labelledDataBytes(sizeBytes),
    blockBytes,
    createdAtMs: options.nowMs,
  };
  for (const offset of copyOffsets(device)) await writeCopy(device, offset, label);
  return label;
}

/** Throws ALREADY_EXISTS unless the device is empty or its label is the owner's: a format that was cut off. */
export function requireFree(content: DeviceContent, owner: DeviceOwner, name: string): void {
  if (content.kind === "empty") return;
  const label = content.kind === "label" ? content.label : undefined;
  if (label?.system === owner.system && label.target === owner.target) return;
  const holds =
    content.kind === "foreign"
      ? content.name
      : label!.system === owner.system
        ? `the data of target ${label!.target} of this system`
        : `the data of target ${label!.target} of system "${label!.systemName}" (${label!.system})`;
  throw new DaosError(
    "ALREADY_EXISTS",
    `Cannot format device "${name}" for target ${owner.target}: it holds ${holds}. ` +
      "Name another device, or overwrite it with `daos storage format --force`.",
  );
}

/**
 * The label of a device that was formatted before, checked against its owner; a bad copy is repaired. `repaired` tells of
 * that. Rejects with CORRUPT (no copy serves), CONFIGURATION (it is another device), VERSION, IO.
 */
export async function checkDevice(
  device: BlockDevice,
  owner: DeviceOwner,
  name: string,
): Promise<{ readonly label: DeviceLabel; readonly repaired: boolean }> {
  const [firstOffset, lastOffset] = copyOffsets(device);
  const first = await readCopy(device, firstOffset, name);
  const last = await readCopy(device, lastOffset, name);
  const label = newest(first, last);
  if (label === undefined) {
    const blank = first.kind === "none" && last.kind === "none";
    const state = blank ? "it has no label" : "both copies of its label are damaged";
    throw new DaosError(
      "CORRUPT",
      `Cannot open device "${name}" of target ${owner.target}: ${state}. ` +
        "Check that it is the right device; restore it from a backup.",
    );
  }
  checkOwner(label, owner, device, name);
  if (first.kind !== "label") await requireOurs(device, name);
  let repaired = false;
  for (const [offset, copy] of [[firstOffset, first] as const, [lastOffset, last] as const]) {
    if (copy.kind === "label" && copy.label.generation === label.generation) continue;
    await writeCopy(device, offset, label);
    repaired = true;
  }
  return { label, repaired };
}

/** Whoever put a file system over the first label took the data with it: nothing is repaired then. */
async function requireOurs(device: BlockDevice, name: string): Promise<void> {
  const head = device.allocate(HEAD_BYTES);
  const format = await device.read(0, head).then(
    () => knownFormat(head),
    () => undefined,
  );
  device.release(head);
  if (format === undefined) return;
  throw new DaosError(
    "CORRUPT",
    `Cannot open device "${name}": ${format} was written over it. Restore it from a backup, or replace it.`,
  );
}

function newest(first: DecodedLabel, last: DecodedLabel): DeviceLabel | undefined {
  if (first.kind !== "label") return last.kind === "label" ? last.label : undefined;
  if (last.kind !== "label" || last.label.generation <= first.label.generation) return first.label;
  return last.label;
}

function checkOwner(label: DeviceLabel, owner: DeviceOwner, device: BlockDevice, name: string): void {
  const facts: readonly (readonly [string, string | number, string | number])[] = [
    ["system", label.system, owner.system],
    ["engine", label.engine, owner.engine],
    ["device id", label.device, owner.device],
    ["target", label.target, owner.target],
    ["size", label.sizeBytes, device.sizeBytes],
  ];
  const wrong = facts.find(([, is, wanted]) => is !== wanted);
  if (wrong === undefined) return;
  throw new DaosError(
    "CONFIGURATION",
    `Cannot open device "${name}" for target ${owner.target}: its label has ${wrong[0]} ${wrong[1]}, ` +
      `expected ${wrong[2]}. Configure the devices in the order in which the storage was formatted.`,
  );
}

function copyOffsets(device: BlockDevice): readonly [number, number] {
  return [0, device.sizeBytes - LABEL_BYTES];
}

async function writeCopy(device: BlockDevice, offset: number, label: DeviceLabel): Promise<void> {
  const block = device.allocate(LABEL_BYTES);
  try {
    encodeDeviceLabel(block, label);
    await device.write(offset, block, { durable: true });
  } finally {
    device.release(block);
  }
}

/** A copy that cannot be read is as good as a damaged one. */
async function readCopy(device: BlockDevice, offset: number, name: string): Promise<DecodedLabel> {
  const block = device.allocate(LABEL_BYTES);
  try {
    await device.read(offset, block);
  } catch {
    device.release(block);
    return { kind: "damaged" };
  }
  const decoded = decodeDeviceLabel(block, name);
  device.release(block);
  return decoded;
}
