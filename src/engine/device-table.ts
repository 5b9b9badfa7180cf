/**
 * The devices of an engine as its superblock has them: which serves which target, and in what state it is. Every change
 * is durable before anybody acts on it, so that a faulty device is still faulty after a restart.
 */
import { DaosError } from "../base/errors.ts";
import type { Uuid } from "../base/uuid.ts";
import type { StorageDevice, StorageSuperblock } from "../format/storage-superblock.ts";

export class DeviceTable {
  #superblock: StorageSuperblock;
  readonly #save: (superblock: StorageSuperblock) => void;

  /** `save` makes a superblock durable; it throws what the disk throws. */
  constructor(superblock: StorageSuperblock, save: (superblock: StorageSuperblock) => void) {
    this.#superblock = superblock;
    this.#save = save;
  }

  get superblock(): StorageSuperblock {
    return this.#superblock;
  }

  get devices(): readonly StorageDevice[] {
    return this.#superblock.devices;
  }

  /** Index of the device that serves a target. */
  indexOf(target: number): number {
    return this.devices.findIndex(({ targets }) => targets.includes(target));
  }

  /** Throws NOT_FOUND, which names those that there are. */
  get(id: string): StorageDevice {
    const found = this.devices.find((device) => device.id === id);
    if (found !== undefined) return found;
    const known = this.devices.map((device) => device.id).join(", ");
    throw new DaosError("NOT_FOUND", `Cannot use device "${id}": this engine has none of that id. It has ${known}.`);
  }

  /** A superblock that was made durable elsewhere. */
  adopt(superblock: StorageSuperblock): void {
    this.#superblock = superblock;
  }

  markFaulty(id: string, reason: string): void {
    this.#change(id, ({ successor: _successor, ...device }) => ({ ...device, state: "faulty", reason }));
  }

  markNormal(id: string): void {
    this.#change(id, ({ successor: _successor, ...device }) => ({ ...device, state: "normal", reason: "" }));
  }

  /** From the next start on, device `successor` is in its place, formatted then. */
  setSuccessor(id: string, successor: Uuid): void {
    this.#change(id, (device) => ({ ...device, successor }));
  }

  /** The successors are formatted and in service. */
  completeSuccession(): void {
    const devices = this.devices.map(({ successor, ...device }): StorageDevice =>
      successor === undefined ? device : { ...device, id: successor, state: "normal", reason: "", labelled: true },
    );
    this.#replace({ ...this.#superblock, devices });
  }

  /** Where the control plane is now, for the next start. */
  setControl(control: string): void {
    const { membership } = this.#superblock;
    if (membership === undefined || membership.control === control) return;
    this.#replace({ ...this.#superblock, membership: { ...membership, control } });
  }

  #change(id: string, to: (device: StorageDevice) => StorageDevice): void {
    const devices = this.devices.map((device) => (device.id === id ? to(device) : device));
    this.#replace({ ...this.#superblock, devices });
  }

  #replace(superblock: StorageSuperblock): void {
    this.#save(superblock);
    this.#superblock = superblock;
  }
}
