/**
 * Looks at the tiers and devices of the engine every few seconds, and tells what an administrator should know before
 * something fails: SCM over its watermark, NVMe nearly full, errors and wrong checksums of devices. What is so at two
 * looks in a row is told once, until it is over.
 */
import type { TellEvent } from "../base/events.ts";
import { DaosError } from "../base/errors.ts";
import type { Timers } from "../contracts/world.ts";
import type { DeviceDescription } from "../format/device-operations.ts";
import type { DeviceService } from "./device-service.ts";
import type { Targets } from "./targets.ts";

const TICK_MS = 5_000;
/** Looks that have to agree. */
const IN_A_ROW = 2;
/** Share of the NVMe tier from which on it is nearly full, and below which it is not any more. */
const LOW_SPACE_SHARE = 0.9;
const ENOUGH_SPACE_SHARE = 0.85;

export interface HealthWatchParts {
  readonly timers: Timers;
  readonly targets: Pick<Targets, "spaceByTarget" | "counters">;
  readonly devices: Pick<DeviceService, "query">;
  readonly rank: number;
  readonly event: TellEvent;
}

/** Something that is so, or not. */
interface Condition {
  isTold: boolean;
  /** Looks in a row that say the opposite. */
  count: number;
}

interface DeviceErrors {
  readonly operations: number;
  readonly checksums: number;
}

export class HealthWatch {
  readonly #parts: HealthWatchParts;
  readonly #conditions = new Map<string, Condition>();
  readonly #errors = new Map<string, DeviceErrors>();
  #cancel: (() => void) | undefined;
  #isStopped = false;

  constructor(parts: HealthWatchParts) {
    this.#parts = parts;
  }

  start(): void {
    if (this.#isStopped) return;
    this.#cancel = this.#parts.timers.after(TICK_MS, () => {
      void this.tick().then(
        () => this.start(),
        (error: unknown) => {
          // A thread has ended, and the engine with it.
          if (!(error instanceof DaosError)) throw error;
        },
      );
    });
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel?.();
  }

  /** One look. */
  async tick(): Promise<void> {
    const { targets, devices } = this.#parts;
    const [spaces, counters, { devices: described }] = await Promise.all([
      targets.spaceByTarget(),
      targets.counters(),
      devices.query(),
    ]);
    for (const [target, { scmCrowded }] of counters.entries()) this.#lookAtScm(target, scmCrowded > 0);
    for (const [target, { nvmeUsedBytes, nvmeTotalBytes }] of spaces.entries()) {
      this.#lookAtSpace(target, nvmeUsedBytes, nvmeTotalBytes);
    }
    for (const device of described) this.#lookAtDevice(device);
  }

  #lookAtScm(target: number, isCrowded: boolean): void {
    const { event, rank } = this.#parts;
    const now = this.#becomes(`scm/${target}`, isCrowded, !isCrowded);
    if (now === undefined) return;
    const state = now ? "is over its watermark" : "has room again";
    event(now ? "scm_over_watermark" : "space_right", `rank ${rank}, target ${target}: SCM ${state}`, { rank, target });
  }

  #lookAtSpace(target: number, usedBytes: number, totalBytes: number): void {
    if (totalBytes === 0) return;
    const { event, rank } = this.#parts;
    const share = usedBytes / totalBytes;
    const now = this.#becomes(`nvme/${target}`, share >= LOW_SPACE_SHARE, share < ENOUGH_SPACE_SHARE);
    if (now === undefined) return;
    const state = `is used to ${Math.floor(share * 100)} %`;
    event(now ? "space_low" : "space_right", `rank ${rank}, target ${target}: NVMe ${state}`, { rank, target });
  }

  /** True when it has become so, false when it is over, undefined when nothing is new. */
  #becomes(name: string, isSo: boolean, isOver: boolean): boolean | undefined {
    const condition = this.#conditions.get(name) ?? { isTold: false, count: 0 };
    this.#conditions.set(name, condition);
    condition.count = (condition.isTold ? isOver : isSo) ? condition.count + 1 : 0;
    if (condition.count < IN_A_ROW) return undefined;
    condition.count = 0;
    condition.isTold = !condition.isTold;
    return condition.isTold;
  }

  #lookAtDevice(device: DeviceDescription): void {
    const { id, readErrors, writeErrors, flushErrors, discardErrors, checksumErrors } = device;
    const { event, rank } = this.#parts;
    const before = this.#errors.get(id) ?? { operations: 0, checksums: 0 };
    const errors = { operations: readErrors + writeErrors + flushErrors + discardErrors, checksums: checksumErrors };
    this.#errors.set(id, errors);
    const place = { rank, device: id };
    const failed = errors.operations - before.operations;
    const wrong = errors.checksums - before.checksums;
    if (failed > 0) event("device_errors", `rank ${rank}: ${failed} operation(s) of device ${id} failed`, place);
    if (wrong > 0)
      event("checksum_failed", `rank ${rank}: ${wrong} place(s) of device ${id} failed their checksum`, place);
  }
}
