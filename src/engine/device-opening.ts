/**
 * Opens a target's part of a device: the plugin, the label, the guard. At format whatever the device holds is protected;
 * later a device that is missing, or does not open in time, is replaced by one that refuses everything, where the engine
 * has others to serve from. The device that is returned begins behind the label.
 */
import { DaosError, hasCode } from "../base/errors.ts";
import type { BlockDevice, BlockDeviceOpenOptions, BlockDeviceProvider } from "../contracts/block-device.ts";
import type { World } from "../contracts/world.ts";
import { LABEL_AREA_BYTES, labelledDataBytes } from "../format/device-label.ts";
import { AbsentDevice } from "./device-absent.ts";
import { readContent } from "./device-content.ts";
import type { FaultSettings } from "./device-faults.ts";
import { DeviceGuard } from "./device-guard.ts";
import { withTimeLimit } from "./time-limit.ts";
import { checkDevice, type DeviceOwner, formatDevice, requireFree } from "./device-labels.ts";

/** What a target is told about its device; structured-cloned between threads. */
export interface TargetDeviceSettings {
  readonly owner: DeviceOwner;
  /** For messages: plugin and place. */
  readonly name: string;
  /** Storage of format version 1 has no labels. */
  readonly isLabelled: boolean;
  /** The device takes the place of another one: it is formatted, the target's store is not. */
  readonly isNew: boolean;
  /** Overwrite whatever a device holds that is formatted. */
  readonly force: boolean;
  /** Why the device is faulty since an earlier run; empty when it is not. */
  readonly fault: string;
  /** The engine has other devices: without this one the target serves what its SCM holds. */
  readonly mayBeAbsent: boolean;
  readonly faults: FaultSettings;
}

export interface OpenDevice {
  readonly device: DeviceGuard;
  /** What the admin should know. */
  readonly notices: readonly string[];
}

/**
 * Rejects with ALREADY_EXISTS (format: the device holds something), CORRUPT or CONFIGURATION (the label), VERSION, TIMEOUT,
 * and what the plugin's `open` rejects with. `faulted` hears once when the device becomes faulty.
 */
export async function openTargetDevice(
  world: World,
  provider: BlockDeviceProvider,
  options: BlockDeviceOpenOptions,
  settings: TargetDeviceSettings,
  faulted: (reason: string) => void,
): Promise<OpenDevice> {
  const opening = new DeviceOpening(world, provider, options, settings);
  const dataOffset = settings.isLabelled ? LABEL_AREA_BYTES : 0;
  const dataBytes = settings.isLabelled ? labelledDataBytes(options.sizeBytes) : options.sizeBytes;
  const { device, notices } = await opening.run();
  const { name, faults, fault } = settings;
  const { clock, timers } = world;
  const guard = new DeviceGuard({
    device,
    name,
    dataOffset,
    dataBytes,
    settings: faults,
    clock,
    timers,
    faulted,
  });
  if (fault !== "") guard.markFaulty(fault);
  else if (device instanceof AbsentDevice) guard.markFaulty("it could not be opened");
  return { device: guard, notices };
}

class DeviceOpening {
  readonly #world: World;
  readonly #provider: BlockDeviceProvider;
  readonly #options: BlockDeviceOpenOptions;
  readonly #settings: TargetDeviceSettings;

  constructor(
    world: World,
    provider: BlockDeviceProvider,
    options: BlockDeviceOpenOptions,
    settings: TargetDeviceSettings,
  ) {
    this.#world = world;
    this.#provider = provider;
    this.#options = options;
    this.#settings = settings;
  }

  async run(): Promise<{ device: BlockDevice; notices: readonly string[] }> {
    if (this.#options.create) return { device: await this.#inTime(this.#format()), notices: [] };
    try {
      return await this.#inTime(this.#reopen());
    } catch (error) {
      const gone = hasCode(error, "NOT_FOUND") || hasCode(error, "IO") || hasCode(error, "TIMEOUT");
      if (!gone && !hasCode(error, "UNAVAILABLE")) throw error;
      if (!this.#settings.mayBeAbsent && this.#settings.fault === "") throw error;
      const notice = `device ${this.#settings.owner.device} is missing: ${error.message}`;
      return { device: new AbsentDevice(this.#options.sizeBytes, error.message), notices: [notice] };
    }
  }

  async #format(): Promise<BlockDevice> {
    const { owner, name, force } = this.#settings;
    if (!force) await this.#protectOlder();
    const options = force ? { ...this.#options, overwrite: true } : this.#options;
    return this.#with(options, (device) =>
      formatDevice(device, owner, { force, name, nowMs: this.#world.clock.wallMs() }),
    );
  }

  /** Formatting a file replaces it, so what is there already is looked at first. */
  async #protectOlder(): Promise<void> {
    const { owner, name } = this.#settings;
    let older: BlockDevice;
    try {
      older = await this.#provider.open(this.#world, { ...this.#options, create: false });
    } catch (error) {
      if (!hasCode(error, "CORRUPT")) return;
      const advice = "Name another device, or overwrite it with `daos storage format --force`.";
      throw new DaosError(
        "ALREADY_EXISTS",
        `Cannot format device "${name}" for target ${owner.target}: something is there already (${error.message}) ${advice}`,
        { cause: error },
      );
    }
    try {
      requireFree(await readContent(older), owner, name);
    } finally {
      await older.close();
    }
  }

  async #reopen(): Promise<{ device: BlockDevice; notices: readonly string[] }> {
    const { owner, name, isLabelled } = this.#settings;
    let repaired = false;
    const device = await this.#with(this.#options, async (opened) => {
      if (isLabelled) ({ repaired } = await checkDevice(opened, owner, name));
    });
    const notices = repaired ? [`one copy of the label of device ${owner.device} was damaged and is repaired`] : [];
    return { device, notices };
  }

  /** Opens, and closes again when `use` fails. */
  async #with(options: BlockDeviceOpenOptions, use: (device: BlockDevice) => Promise<unknown>): Promise<BlockDevice> {
    const device = await this.#provider.open(this.#world, options);
    try {
      await use(device);
      return device;
    } catch (error) {
      await device.close();
      throw error;
    }
  }

  /** A device that hangs while it is opened must not keep the engine from starting. */
  #inTime<Result>(work: Promise<Result>): Promise<Result> {
    const { name, faults, owner } = this.#settings;
    const state = `it did not open within ${faults.timeout_ms} ms`;
    const advice = "Mend it, or set nvme.faulty.timeout_ms higher";
    return withTimeLimit(
      this.#world.timers,
      faults.timeout_ms,
      work,
      `Cannot open device "${name}" of target ${owner.target}: ${state}. ${advice}.`,
    );
  }
}
