/** A block device in memory whose operations a test makes fail, or never end. */
import { DaosError } from "../../src/base/errors.ts";
import type { BlockDevice, BlockDeviceOpenOptions, DeviceHealth } from "../../src/contracts/block-device.ts";

export class ScriptedDevice implements BlockDevice {
  readonly blockBytes = 4096;
  readonly content: Uint8Array;
  /** Operations from now on wait until `wake`. */
  hangs = false;
  /** Reads, or writes, fail from now on. */
  failing: readonly ("read" | "write" | "flush")[] = [];
  state: DeviceHealth["state"] = "normal";
  /** Of its health. */
  backSinceNs: number | undefined;
  closed = 0;
  writes = 0;
  readonly released: Uint8Array[] = [];
  #waiting: (() => void)[] = [];

  constructor(sizeBytes: number) {
    this.content = new Uint8Array(sizeBytes);
  }

  get sizeBytes(): number {
    return this.content.length;
  }

  allocate(sizeBytes: number): Uint8Array {
    return new Uint8Array(new SharedArrayBuffer(sizeBytes));
  }

  release(buffer: Uint8Array): void {
    this.released.push(buffer);
  }

  read(offset: number, buffer: Uint8Array): Promise<void> {
    return this.#run("read", () => buffer.set(this.content.subarray(offset, offset + buffer.length)));
  }

  write(offset: number, buffer: Uint8Array): Promise<void> {
    return this.#run("write", () => {
      this.writes += 1;
      this.content.set(buffer, offset);
    });
  }

  flush(): Promise<void> {
    return this.#run("flush", () => {});
  }

  async discard(): Promise<void> {}

  health(): DeviceHealth {
    const { state, backSinceNs } = this;
    const counts = { readErrors: 0, writeErrors: 0, flushErrors: 0, discardErrors: 0 };
    return { state, ...counts, ...(backSinceNs !== undefined && { backSinceNs }) };
  }

  async close(): Promise<void> {
    this.closed += 1;
  }

  /** Ends what hangs. */
  wake(): void {
    this.hangs = false;
    for (const end of this.#waiting.splice(0)) end();
  }

  async #run(kind: "read" | "write" | "flush", work: () => void): Promise<void> {
    if (this.hangs) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    if (this.failing.includes(kind)) throw new DaosError("IO", `Cannot ${kind} "scripted": it was told to fail.`);
    work();
  }
}

/** Gives devices out by folder: those that are there when opened, new ones when made. */
export class ScriptedProvider {
  readonly devices = new Map<string, ScriptedDevice>();
  /** Making a device gives a new one in the place of what was there, as with files. */
  replaces = false;
  /** Opening waits for ever. */
  hangs = false;

  async open(_world: unknown, { folder, sizeBytes, create }: BlockDeviceOpenOptions): Promise<BlockDevice> {
    if (this.hangs) await new Promise(() => {});
    let device = create && this.replaces ? undefined : this.devices.get(folder);
    if (device === undefined) {
      if (!create) throw new DaosError("NOT_FOUND", `Cannot open "${folder}": there is no such device.`);
      device = new ScriptedDevice(sizeBytes);
      this.devices.set(folder, device);
    }
    return device;
  }
}
