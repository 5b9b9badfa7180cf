/**
 * Stands in for a device that is not there, so that the target serves what its SCM holds while the rest waits for the
 * device. Has the size that the device had; every operation fails with IO and the reason.
 */
import { DaosError } from "../base/errors.ts";
import { BLOCK_BYTES } from "../base/limits.ts";
import type { BlockDevice, DeviceHealth } from "../contracts/block-device.ts";

export class AbsentDevice implements BlockDevice {
  readonly sizeBytes: number;
  readonly blockBytes = BLOCK_BYTES;
  readonly #reason: string;

  constructor(sizeBytes: number, reason: string) {
    this.sizeBytes = sizeBytes;
    this.#reason = reason;
  }

  allocate(sizeBytes: number): Uint8Array {
    return new Uint8Array(new SharedArrayBuffer(sizeBytes));
  }

  release(): void {}

  read(): Promise<void> {
    return this.#refuse("read");
  }

  write(): Promise<void> {
    return this.#refuse("write");
  }

  flush(): Promise<void> {
    return this.#refuse("flush");
  }

  discard(): Promise<void> {
    return this.#refuse("discard");
  }

  health(): DeviceHealth {
    return { state: "unplugged", readErrors: 0, writeErrors: 0, flushErrors: 0, discardErrors: 0 };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #refuse(action: string): Promise<never> {
    return Promise.reject(new DaosError("IO", `Cannot ${action} the device: it is not there (${this.#reason}).`));
  }
}
