/**
 * The devices of a running engine for the admin: how they do, which are faulty, and what takes the place of which. Hears
 * of every device that a target finds faulty, writes that down, and tells the device's other targets. A target that does
 * not answer is reported, never waited for.
 */
import { DaosError } from "../base/errors.ts";
import type { TellEvent } from "../base/events.ts";
import { formatSize } from "../base/size.ts";
import { parseUuid, type Uuid } from "../base/uuid.ts";
import type { StorageDevice } from "../format/storage-superblock.ts";
import type { DeviceDescription, DeviceQueryReply } from "../format/device-operations.ts";
import { type DeviceConfiguration, devicePathOf } from "./device-configuration.ts";
import type { DeviceReport } from "./device-report.ts";
import type { DeviceTable } from "./device-table.ts";
import type { Targets } from "./targets.ts";

export interface DeviceServiceParts {
  readonly table: DeviceTable;
  readonly configured: readonly DeviceConfiguration[];
  readonly targets: Targets;
  readonly rank: number;
  readonly newId: () => Uuid;
  readonly event: TellEvent;
  /** Lights the lamp of the device at a path. Rejects with UNSUPPORTED where there is none. */
  readonly identify: (path: string) => Promise<void>;
}

const NO_REPORT: DeviceReport = {
  state: "normal",
  reason: "",
  inFlight: 0,
  readErrors: 0,
  writeErrors: 0,
  flushErrors: 0,
  discardErrors: 0,
  checksumErrors: 0,
  slowOperations: 0,
};

export class DeviceService {
  readonly #parts: DeviceServiceParts;

  constructor(parts: DeviceServiceParts) {
    this.#parts = parts;
  }

  /** Listens to every target. Returns at once. */
  watch(): void {
    const { table, targets } = this.#parts;
    for (const { targets: served } of table.devices) {
      for (const target of served) {
        targets.deviceFault(target).then(
          (reason) => this.#faulted(target, reason),
          // The thread has ended, and the engine with it.
          () => {},
        );
      }
    }
  }

  async query(): Promise<DeviceQueryReply> {
    const { table } = this.#parts;
    return { devices: await Promise.all(table.devices.map((device) => this.#describe(device))) };
  }

  /** Rejects with NOT_FOUND; with BUSY unless `force`, because with one copy its data cannot be had elsewhere. */
  async setFaulty(id: string, force: boolean): Promise<DeviceDescription> {
    const { table } = this.#parts;
    const device = table.get(id);
    if (device.state === "faulty") return this.#describe(device);
    if (!force) {
      throw new DaosError(
        "BUSY",
        `Cannot mark device "${id}" faulty: this system keeps one copy, and its targets ${device.targets.join(", ")} ` +
          "would take no more large values. Use --force, and `daos storage replace` to undo it.",
      );
    }
    await this.#mark(device, "marked by the administrator");
    return this.#describe(table.get(id));
  }

  /**
   * The same id twice puts a device back into service. Another id is that of the device that takes its place, empty, at the
   * next start: refused with BUSY unless `force`, which gives up what is on the old one.
   */
  async replace(oldId: string, newId: string, force: boolean): Promise<DeviceDescription> {
    const { table, event, rank } = this.#parts;
    const device = table.get(oldId);
    if (newId === oldId) return this.#restore(device);
    const successor = newId === "new" ? this.#parts.newId() : parseUuid(newId);
    if (successor === undefined || table.devices.some(({ id }) => id === successor)) {
      throw new DaosError(
        "INVALID_ARGUMENT",
        `Cannot replace device "${oldId}" by "${newId}": that is no id of a further device. Use a new UUID, or "new".`,
      );
    }
    const { usedBytes } = await this.#describe(device);
    if (!force) {
      throw new DaosError(
        "BUSY",
        `Cannot replace device "${oldId}": this system keeps one copy, and ${formatSize(usedBytes)} on it would be ` +
          `lost (targets ${device.targets.join(", ")}). Use --force to give them up.`,
      );
    }
    table.setSuccessor(oldId, successor);
    event(
      "device_replaced",
      `device ${oldId} is replaced by ${successor} at the next start; ${formatSize(usedBytes)} are given up`,
      { rank, device: oldId },
    );
    return this.#describe(table.get(oldId));
  }

  /** Rejects with NOT_FOUND, UNSUPPORTED. */
  async identify(id: string): Promise<DeviceDescription> {
    const { table, configured, identify } = this.#parts;
    const device = table.get(id);
    const path = devicePathOf(configured[table.devices.indexOf(device)]!);
    if (path === undefined) {
      throw new DaosError(
        "UNSUPPORTED",
        `Cannot identify device "${id}": it is a file of the storage folder and has no lamp. Use it on NVMe devices.`,
      );
    }
    await identify(path);
    return this.#describe(device);
  }

  async #restore(device: StorageDevice): Promise<DeviceDescription> {
    const { table, targets, event, rank } = this.#parts;
    for (const target of device.targets) await targets.ask(target, "markDevice", "");
    table.markNormal(device.id);
    event("device_restored", `device ${device.id} is back in service`, { rank, device: device.id });
    return this.#describe(table.get(device.id));
  }

  /** A target found its device faulty. */
  #faulted(target: number, reason: string): void {
    const { table } = this.#parts;
    const device = table.devices[table.indexOf(target)]!;
    if (device.state === "faulty") return;
    void this.#mark(device, `target ${target}: ${reason}`);
  }

  async #mark(device: StorageDevice, reason: string): Promise<void> {
    const { table, targets, event, rank } = this.#parts;
    const served = device.targets.join(", ");
    const state = `is faulty (${reason}): its targets ${served} take no more large values`;
    event("device_faulty", `device ${device.id} ${state}`, { rank, device: device.id });
    try {
      table.markFaulty(device.id, reason);
    } catch (error) {
      const cause = error instanceof Error ? error.message : String(error);
      event("error", `that device ${device.id} is faulty could not be written down: ${cause}`);
    }
    await Promise.allSettled(device.targets.map((target) => targets.ask(target, "markDevice", reason)));
  }

  async #describe(device: StorageDevice): Promise<DeviceDescription> {
    const { table, configured, targets, rank } = this.#parts;
    const index = table.devices.findIndex(({ id }) => id === device.id);
    const outcomes = await Promise.allSettled(device.targets.map((target) => targets.ask(target, "device", undefined)));
    const reports = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
    const spaces = await targets.spaceByTarget();
    const sum = (of: (report: DeviceReport) => number): number =>
      reports.reduce((total, report) => total + of(report), 0);
    const bad = reports.find(({ state }) => state !== "normal");
    const silent = reports.length < device.targets.length;
    const recorded = { ...NO_REPORT, state: device.state, reason: device.reason };
    const worst = bad ?? (device.state === "faulty" ? recorded : NO_REPORT);
    return {
      id: device.id,
      rank,
      plugin: device.plugin,
      path: devicePathOf(configured[index]!) ?? "",
      targets: device.targets,
      labelled: device.labelled,
      state: silent && worst.state === "normal" ? "unresponsive" : worst.state,
      reason: worst.reason,
      ...(device.successor !== undefined && { successor: device.successor }),
      totalBytes: device.targets.reduce((total, target) => total + spaces[target]!.nvmeTotalBytes, 0),
      usedBytes: device.targets.reduce((total, target) => total + spaces[target]!.nvmeUsedBytes, 0),
      inFlight: sum((report) => report.inFlight),
      readErrors: sum((report) => report.readErrors),
      writeErrors: sum((report) => report.writeErrors),
      flushErrors: sum((report) => report.flushErrors),
      discardErrors: sum((report) => report.discardErrors),
      checksumErrors: sum((report) => report.checksumErrors),
      slowOperations: sum((report) => report.slowOperations),
      readP99Us: Math.max(0, ...reports.map((report) => report.readLatency?.p99Us ?? 0)),
      writeP99Us: Math.max(0, ...reports.map((report) => report.writeLatency?.p99Us ?? 0)),
    };
  }
}

/** The lamp of a device where there is none. */
export function noLamp(path: string): Promise<never> {
  const state = "this program cannot reach its lamp";
  return Promise.reject(new DaosError("UNSUPPORTED", `Cannot identify "${path}": ${state}. Use ledctl by hand.`));
}
