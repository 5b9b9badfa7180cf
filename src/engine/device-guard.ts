/**
 * A target's device as its store sees it: the data between the labels, under watch. Counts errors and slow operations
 * and marks the device faulty by the thresholds of device-faults.ts. A faulty device takes no more writes; reads are still
 * tried, for with one copy of the data they are all there is. An operation that does not end in time is a hang: it, all
 * others in flight and all to come are refused with IO, so that nobody waits for a dead device. A device that was away and
 * came back is neither slow nor hung for it: how long it is waited for is its plugin's to limit.
 *
 * Memory of an operation that was given up stays the device's until the operation really ends: `release` waits for that.
 */
import { DaosError, hasCode } from "../base/errors.ts";
import type { BlockDevice, DeviceHealth, MemoryContent } from "../contracts/block-device.ts";
import type { Clock, Timers } from "../contracts/world.ts";
import type { DeviceReport } from "./device-report.ts";
import { FaultCounters, type FaultSettings } from "./device-faults.ts";

/** How often operations in flight are looked at, in parts of the time limit. */
const CHECKS_PER_TIMEOUT = 4;
const NS_PER_MS = 1e6;

type OperationKind = "read" | "write" | "flush" | "discard";

/** One operation in flight. Used again and again: its functions are made once. */
class Operation {
  readonly #guard: DeviceGuard;
  kind: OperationKind = "read";
  buffer: Uint8Array | undefined;
  startNs = 0;
  /** The caller was told that it failed; the device still has it. */
  givenUp = false;
  resolve!: () => void;
  reject!: (error: unknown) => void;
  readonly arm = (resolve: () => void, reject: (error: unknown) => void): void => {
    this.resolve = resolve;
    this.reject = reject;
  };
  readonly succeeded = (): void => this.#guard.operationEnded(this, undefined);
  readonly failed = (error: unknown): void => this.#guard.operationEnded(this, error);

  constructor(guard: DeviceGuard) {
    this.#guard = guard;
  }
}

export interface DeviceGuardOptions {
  readonly device: BlockDevice;
  /** For messages. */
  readonly name: string;
  /** Where the data begin on the device, and their bytes. */
  readonly dataOffset: number;
  readonly dataBytes: number;
  readonly settings: FaultSettings;
  readonly clock: Clock;
  readonly timers: Timers;
  /** Called once, when the device becomes faulty by itself. */
  readonly faulted?: (reason: string) => void;
}

export class DeviceGuard implements BlockDevice {
  readonly sizeBytes: number;
  readonly blockBytes: number;
  readonly #options: DeviceGuardOptions;
  readonly #device: BlockDevice;
  readonly #counters: FaultCounters;
  readonly #timeoutNs: number;
  /** Oldest first. */
  readonly #running = new Set<Operation>();
  readonly #idle: Operation[] = [];
  /** Released while an operation that was given up still uses them. */
  readonly #heldBack: Uint8Array[] = [];
  #givenUp = 0;
  /** Found late at the last check. */
  #late: Operation | undefined;
  #lateStartNs = 0;
  #cancelCheck: (() => void) | undefined;
  #fault: string | undefined;
  #hung = false;

  constructor(options: DeviceGuardOptions) {
    this.#options = options;
    this.#device = options.device;
    this.sizeBytes = options.dataBytes;
    this.blockBytes = options.device.blockBytes;
    this.#counters = new FaultCounters(options.settings);
    this.#timeoutNs = options.settings.timeout_ms * NS_PER_MS;
  }

  allocate(sizeBytes: number, content?: MemoryContent): Uint8Array {
    return this.#device.allocate(sizeBytes, content);
  }

  release(buffer: Uint8Array): void {
    if (this.#givenUp > 0 && this.#isInUse(buffer)) this.#heldBack.push(buffer);
    else this.#device.release(buffer);
  }

  read(offset: number, buffer: Uint8Array): Promise<void> {
    if (this.#hung || !this.#isInside(offset, buffer.length)) return this.#refuse("read", offset, buffer.length);
    const operation = this.#begin("read", buffer);
    const ended = new Promise<void>(operation.arm);
    this.#device.read(this.#options.dataOffset + offset, buffer).then(operation.succeeded, operation.failed);
    return ended;
  }

  write(offset: number, buffer: Uint8Array, options: { durable: boolean }): Promise<void> {
    if (this.#fault !== undefined || !this.#isInside(offset, buffer.length)) {
      return this.#refuse("write", offset, buffer.length);
    }
    const operation = this.#begin("write", buffer);
    const ended = new Promise<void>(operation.arm);
    this.#device.write(this.#options.dataOffset + offset, buffer, options).then(operation.succeeded, operation.failed);
    return ended;
  }

  flush(): Promise<void> {
    if (this.#fault !== undefined) return Promise.reject(this.#refusal("flush"));
    const operation = this.#begin("flush", undefined);
    const ended = new Promise<void>(operation.arm);
    this.#device.flush().then(operation.succeeded, operation.failed);
    return ended;
  }

  discard(offset: number, length: number): Promise<void> {
    if (this.#fault !== undefined || !this.#isInside(offset, length)) return this.#refuse("discard", offset, length);
    const operation = this.#begin("discard", undefined);
    const ended = new Promise<void>(operation.arm);
    this.#device.discard(this.#options.dataOffset + offset, length).then(operation.succeeded, operation.failed);
    return ended;
  }

  reportDamage(offset: number): void {
    this.#counters.damagedAt(offset);
    this.#judge();
  }

  health(): DeviceHealth {
    const health = this.#device.health();
    return this.#fault === undefined ? health : { ...health, state: "faulty" };
  }

  report(): DeviceReport {
    const health = this.#device.health();
    const { readErrors, writeErrors, flushErrors, checksumErrors, slowOperations } = this.#counters;
    const isUnplugged = health.state === "unplugged";
    const state = isUnplugged ? "unplugged" : this.#fault === undefined ? "normal" : "faulty";
    return {
      state,
      reason: this.#fault ?? "",
      inFlight: this.#running.size,
      readErrors: Math.max(readErrors, health.readErrors),
      writeErrors: Math.max(writeErrors, health.writeErrors),
      flushErrors: Math.max(flushErrors, health.flushErrors),
      discardErrors: health.discardErrors,
      checksumErrors,
      slowOperations,
      ...(health.readLatency !== undefined && { readLatency: health.readLatency }),
      ...(health.writeLatency !== undefined && { writeLatency: health.writeLatency }),
    };
  }

  /** Somebody else says that the device is faulty: the admin, the state of the last run, another of its targets. */
  markFaulty(reason: string): void {
    this.#fault ??= reason;
  }

  /** The device is back in service. Throws BUSY while it still has operations that were given up. */
  markNormal(): void {
    if (this.#givenUp > 0) {
      throw new DaosError(
        "BUSY",
        `Cannot use device "${this.#options.name}" again: ${this.#givenUp} operations still hang in it. ` +
          "Mend it and restart the engine.",
      );
    }
    this.#fault = undefined;
    this.#hung = false;
    this.#counters.reset();
  }

  /** A device that hangs is left alone: nothing can be closed under its operations. */
  close(): Promise<void> {
    this.#cancelCheck?.();
    if (this.#givenUp > 0) return Promise.resolve();
    return this.#device.close();
  }

  /** For operations only. */
  operationEnded(operation: Operation, error: unknown): void {
    this.#running.delete(operation);
    if (operation.givenUp) this.#endGivenUp();
    else {
      this.#counters.took(this.#durationMs(operation));
      if (error === undefined) operation.resolve();
      else {
        this.#count(operation.kind, error);
        operation.reject(error);
      }
      if (error !== undefined || this.#counters.isSlow) this.#judge();
    }
    operation.buffer = undefined;
    operation.givenUp = false;
    this.#idle.push(operation);
  }

  #begin(kind: OperationKind, buffer: Uint8Array | undefined): Operation {
    const operation = this.#idle.pop() ?? new Operation(this);
    operation.kind = kind;
    operation.buffer = buffer;
    operation.startNs = this.#options.clock.monotonicNs();
    this.#running.add(operation);
    this.#cancelCheck ??= this.#arm();
    return operation;
  }

  /** Without what it waited for a device that was away. */
  #durationMs({ startNs }: Operation): number {
    const nowNs = this.#options.clock.monotonicNs();
    const durationMs = (nowNs - startNs) / NS_PER_MS;
    if (durationMs <= this.#options.settings.max_latency_ms) return durationMs;
    return (nowNs - Math.max(startNs, this.#backSinceNs)) / NS_PER_MS;
  }

  get #backSinceNs(): number {
    return this.#device.health().backSinceNs ?? -Infinity;
  }

  #count(kind: OperationKind, error: unknown): void {
    // A full file system is no fault of the device.
    if (hasCode(error, "NO_SPACE") || hasCode(error, "INVALID_ARGUMENT")) return;
    if (kind === "read") this.#counters.readErrors += 1;
    else if (kind === "write") this.#counters.writeErrors += 1;
    else if (kind === "flush") this.#counters.flushErrors += 1;
  }

  #judge(): void {
    if (this.#fault !== undefined) return;
    const { fault } = this.#counters;
    if (fault !== undefined) this.#setFault(fault);
    else if (this.#device.health().state === "unplugged") this.#setFault("it is unplugged");
  }

  #setFault(reason: string): void {
    if (this.#fault === reason) return;
    this.#fault = reason;
    this.#options.faulted?.(reason);
  }

  #arm(): () => void {
    const { timers, settings } = this.#options;
    return timers.after(settings.timeout_ms / CHECKS_PER_TIMEOUT, () => {
      this.#cancelCheck = undefined;
      this.#giveUpLate();
      if (this.#running.size > this.#givenUp) this.#cancelCheck = this.#arm();
    });
  }

  #giveUpLate(): void {
    const deadlineNs = this.#options.clock.monotonicNs() - this.#timeoutNs;
    const oldest = this.#oldest(deadlineNs);
    // A device that is away, or was until now, does not hang: its plugin says how long it is waited for.
    const late = oldest !== undefined && this.#backSinceNs <= deadlineNs ? oldest : undefined;
    // This thread itself may have stood still: what is late is looked at again when all that had ended was heard of.
    const isSeenAgain = late !== undefined && late === this.#late && late.startNs === this.#lateStartNs;
    this.#late = late;
    this.#lateStartNs = late?.startNs ?? 0;
    if (!isSeenAgain) return;
    this.#hung = true;
    this.#setFault(`an operation did not end within ${this.#options.settings.timeout_ms} ms`);
    for (const operation of this.#running) {
      if (operation.givenUp) continue;
      operation.givenUp = true;
      this.#givenUp += 1;
      operation.reject(this.#refusal(operation.kind));
    }
  }

  /** The oldest operation that is still waited for, if it began before `deadlineNs`. */
  #oldest(deadlineNs: number): Operation | undefined {
    for (const operation of this.#running) {
      if (!operation.givenUp) return operation.startNs <= deadlineNs ? operation : undefined;
    }
    return undefined;
  }

  #endGivenUp(): void {
    this.#givenUp -= 1;
    for (let index = this.#heldBack.length - 1; index >= 0; index -= 1) {
      const buffer = this.#heldBack[index]!;
      if (this.#isInUse(buffer)) continue;
      this.#heldBack.splice(index, 1);
      this.#device.release(buffer);
    }
  }

  #isInUse(buffer: Uint8Array): boolean {
    for (const { givenUp, buffer: used } of this.#running) {
      if (!givenUp || used === undefined || used.buffer !== buffer.buffer) continue;
      const apart =
        used.byteOffset >= buffer.byteOffset + buffer.length || buffer.byteOffset >= used.byteOffset + used.length;
      if (!apart) return true;
    }
    return false;
  }

  #isInside(offset: number, length: number): boolean {
    return offset >= 0 && offset + length <= this.sizeBytes;
  }

  #refuse(action: OperationKind, offset: number, length: number): Promise<never> {
    if (this.#isInside(offset, length)) return Promise.reject(this.#refusal(action));
    const state = `offset ${offset} and length ${length} are not inside its ${this.sizeBytes} bytes`;
    return Promise.reject(new DaosError("INVALID_ARGUMENT", `Cannot ${action} "${this.#options.name}": ${state}.`));
  }

  #refusal(action: OperationKind): DaosError {
    return new DaosError(
      "IO",
      `Cannot ${action} device "${this.#options.name}": it is faulty (${this.#fault ?? "it hangs"}). ` +
        "See `daos storage query`; replace it with `daos storage replace`.",
    );
  }
}
