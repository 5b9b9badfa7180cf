/**
 * A machine that loses power: an SCM region, a block device and an index whose media outlive the program. What was not
 * durable is dropped or torn at 512-byte sectors; an index transaction happened or did not. One seed decides everything.
 */
import { SimulatedClock } from "../simulation/clock.ts";
import { SimulatedRandom } from "../simulation/random.ts";
import { SimulatedTimers } from "../simulation/timers.ts";
import type { BlockDevice, DeviceHealth } from "../../src/contracts/block-device.ts";
import type { ScmRegion } from "../../src/contracts/scm.ts";
import { BLOCK_BYTES, KIB } from "../../src/base/limits.ts";
import { ModelIndex, ModelTables } from "./model-index.ts";

const SECTOR_BYTES = 512;

/** The machine is without power. Not a DaosError: the store must not handle it. */
export class PowerLossError extends Error {
  override readonly name = "PowerLossError";
}

export interface MachineOptions {
  readonly seed: number;
  readonly regionBytes?: number;
  readonly deviceBytes?: number;
  readonly granularityBytes?: number;
  readonly indexBytes?: number;
  /** A planted bug: the persist of this number reports success and makes nothing durable. */
  readonly lyingPersist?: number;
  /** A planted bug: the device's writes are not durable, whatever was asked for. */
  readonly lyingDevice?: boolean;
  /** Of a machine that is one of several: their clock, and timers for one life of this machine. */
  readonly clock?: SimulatedClock;
  readonly lifeTimers?: () => SimulatedTimers;
}

export interface OpenScm {
  readonly region: ScmRegion;
  readonly readLog: (offset: number, length: number) => Uint8Array;
}

/** Bytes on their way to a medium. */
interface Flight {
  readonly medium: Uint8Array;
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export class CrashMachine {
  readonly random: SimulatedRandom;
  readonly clock: SimulatedClock;
  timers: SimulatedTimers;
  readonly tables = new ModelTables();
  readonly regionMedium: Uint8Array;
  readonly deviceMedium: Uint8Array;
  readonly granularityBytes: number;
  readonly #options: MachineOptions;
  readonly #flights = new Set<Flight>();
  /** What lay on the medium before writes that are not durable yet; oldest first. */
  #volatile: Flight[] = [];
  /** Points passed at which power can fail. */
  steps = 0;
  persists = 0;
  crashAt = Number.POSITIVE_INFINITY;
  dead = false;
  /** Extents that were read and failed their checksums. */
  damageReports = 0;
  /** Longest further time of an operation on the media, nanoseconds: slow disks. */
  stallNs = 0;
  /** Where the last power loss struck. */
  crashedIn = "";
  /** Calls of an earlier life of the machine change nothing any more. */
  life = 0;

  constructor(options: MachineOptions) {
    this.#options = options;
    this.random = new SimulatedRandom(options.seed);
    this.clock = options.clock ?? new SimulatedClock();
    this.timers = this.#lifeTimers();
    this.regionMedium = new Uint8Array(options.regionBytes ?? 136 * KIB);
    this.deviceMedium = new Uint8Array(options.deviceBytes ?? 1024 * KIB);
    this.granularityBytes = options.granularityBytes ?? 4 * KIB;
  }

  /** Passes a point at which power can fail; throws PowerLossError when it does. */
  step(where: string): void {
    this.steps += 1;
    if (this.steps >= this.crashAt) this.losePower(where);
    if (this.dead) throw new PowerLossError("no power");
  }

  /** Time of one operation, up to `usualNs` when the media are well. */
  delayNs(usualNs: number): number {
    const delayNs = this.random.below(usualNs);
    return this.stallNs === 0 ? delayNs : delayNs + this.random.below(this.stallNs);
  }

  /** What an earlier life left running must not touch the media. */
  checkLife(life: number): void {
    if (this.dead || life !== this.life) throw new PowerLossError("an earlier life");
  }

  losePower(where: string): void {
    if (this.dead) return;
    this.dead = true;
    this.crashedIn = where;
    for (const { medium, offset, bytes } of this.#flights) {
      for (let start = 0; start < bytes.length; start += SECTOR_BYTES) {
        if (this.random.next() < 0.5) medium.set(bytes.subarray(start, start + SECTOR_BYTES), offset + start);
      }
    }
    this.#flights.clear();
    // What a volatile cache holds is lost sector by sector.
    for (const { medium, offset, bytes } of this.#volatile.splice(0).reverse()) {
      for (let start = 0; start < bytes.length; start += SECTOR_BYTES) {
        if (this.random.next() < 0.5) medium.set(bytes.subarray(start, start + SECTOR_BYTES), offset + start);
      }
    }
    // A life has timers of its own: what is left of it, such as a close that waits, must not run on into the next.
    this.timers.end();
    this.timers = this.#lifeTimers();
  }

  #lifeTimers(): SimulatedTimers {
    return this.#options.lifeTimers?.() ?? new SimulatedTimers(this.clock);
  }

  restart(): void {
    this.losePower("restart");
    this.dead = false;
    this.life += 1;
    this.crashAt = Number.POSITIVE_INFINITY;
  }

  /** Starts a write; the returned function ends it, when the machine still lives. */
  takeOff(medium: Uint8Array, offset: number, bytes: Uint8Array, where: string): () => boolean {
    const flight = { medium, offset, bytes: bytes.slice() };
    const { life } = this;
    this.#flights.add(flight);
    this.step(where);
    return () => {
      if (this.dead || life !== this.life) return false;
      this.#flights.delete(flight);
      medium.set(flight.bytes, offset);
      return true;
    };
  }

  /** A write has landed where `before` was, and is durable only when it was flushed. */
  landedVolatile(medium: Uint8Array, offset: number, before: Uint8Array): void {
    this.#volatile.push({ medium, offset, bytes: before });
  }

  /** A durable write has landed: what is volatile beneath it cannot come back. */
  landedDurable(medium: Uint8Array, offset: number, written: Uint8Array): void {
    for (const flight of this.#volatile) {
      const start = Math.max(offset, flight.offset);
      const end = Math.min(offset + written.length, flight.offset + flight.bytes.length);
      if (flight.medium !== medium || start >= end) continue;
      flight.bytes.set(written.subarray(start - offset, end - offset), start - flight.offset);
    }
  }

  /** A flush begins; the returned function ends it: what had landed is durable. */
  flush(): () => boolean {
    const { life } = this;
    const landed = new Set(this.#volatile);
    this.step("device flush");
    return () => {
      if (this.dead || life !== this.life) return false;
      this.#volatile = this.#volatile.filter((flight) => !landed.has(flight));
      return true;
    };
  }

  get liesOnDevice(): boolean {
    return this.#options.lyingDevice === true;
  }

  /** True for the persist that lies. */
  lies(): boolean {
    this.persists += 1;
    return this.persists === this.#options.lyingPersist;
  }

  openRegion(): MachineRegion {
    return new MachineRegion(this);
  }

  /** The region for a store that is made or opened, and what its settler reads: the medium. */
  async openScm(_create: boolean): Promise<OpenScm> {
    return {
      region: this.openRegion(),
      readLog: (offset, length) => this.regionMedium.slice(offset, offset + length),
    };
  }

  openDevice(): MachineDevice {
    return new MachineDevice(this);
  }

  openIndex(): ModelIndex {
    const { life } = this;
    return new ModelIndex({
      tables: this.tables,
      totalBytes: this.#options.indexBytes ?? 64 * 1024 * KIB,
      step: (where) => {
        this.checkLife(life);
        this.step(where);
      },
    });
  }
}

class MachineRegion implements ScmRegion {
  readonly bytes: Uint8Array;
  readonly granularityBytes: number;
  readonly #machine: CrashMachine;
  readonly #life: number;

  constructor(machine: CrashMachine) {
    this.#machine = machine;
    this.#life = machine.life;
    this.granularityBytes = machine.granularityBytes;
    this.bytes = machine.regionMedium.slice();
  }

  persist(offset: number, length: number): undefined | Promise<void> {
    const machine = this.#machine;
    machine.checkLife(this.#life);
    if (offset % this.granularityBytes !== 0 || length % this.granularityBytes !== 0 || length === 0) {
      throw new Error(`persist of ${offset}, ${length} is not aligned`);
    }
    const range = this.bytes.subarray(offset, offset + length);
    const before = Bun.hash.crc32(range);
    if (machine.lies()) return undefined;
    const land = machine.takeOff(machine.regionMedium, offset, range, "persist");
    if (machine.random.next() < 0.5 && machine.stallNs === 0) {
      land();
      return undefined;
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    machine.timers.afterNs(machine.delayNs(3_000_000), () => {
      if (Bun.hash.crc32(range) !== before) reject(new Error("bytes changed while they were persisted"));
      else if (land()) resolve();
    });
    return promise;
  }

  close(): void {
    /* The medium stays. */
  }
}

class MachineDevice implements BlockDevice {
  readonly blockBytes = BLOCK_BYTES;
  readonly sizeBytes: number;
  readonly #machine: CrashMachine;
  readonly #life: number;
  /** Buffers given out and not released. */
  lent = 0;
  /** Reads that return damaged bytes. */
  damagedReads = 0;

  constructor(machine: CrashMachine) {
    this.#machine = machine;
    this.#life = machine.life;
    this.sizeBytes = machine.deviceMedium.length;
  }

  allocate(sizeBytes: number): Uint8Array {
    this.lent += 1;
    return new Uint8Array(sizeBytes);
  }

  release(): void {
    this.lent -= 1;
  }

  async read(offset: number, buffer: Uint8Array): Promise<void> {
    await this.#pause();
    buffer.set(this.#machine.deviceMedium.subarray(offset, offset + buffer.length));
    if (this.damagedReads > 0) {
      this.damagedReads -= 1;
      buffer[0]! ^= 1;
    }
  }

  reportDamage(): void {
    this.#machine.damageReports += 1;
  }

  async write(offset: number, buffer: Uint8Array, { durable }: { durable: boolean }): Promise<void> {
    this.#machine.checkLife(this.#life);
    if (offset % BLOCK_BYTES !== 0 || buffer.length % BLOCK_BYTES !== 0) throw new Error("write is not aligned");
    const machine = this.#machine;
    const { deviceMedium } = machine;
    const land = machine.takeOff(deviceMedium, offset, buffer, "device write");
    await this.#pause();
    const before = deviceMedium.slice(offset, offset + buffer.length);
    if (!land()) await new Promise(() => {});
    if (durable && !machine.liesOnDevice) machine.landedDurable(deviceMedium, offset, buffer);
    else machine.landedVolatile(deviceMedium, offset, before);
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      this.#machine.timers.afterNs(this.#machine.delayNs(2_000_000), resolve);
    });
  }

  async flush(): Promise<void> {
    this.#machine.checkLife(this.#life);
    const end = this.#machine.flush();
    await this.#pause();
    if (!end()) await new Promise(() => {});
  }

  async discard(offset: number, length: number): Promise<void> {
    await this.#pause();
    this.#machine.checkLife(this.#life);
    this.#machine.deviceMedium.fill(0xdd, offset, offset + length);
  }

  health(): DeviceHealth {
    return { state: "normal", readErrors: 0, writeErrors: 0, flushErrors: 0, discardErrors: 0 };
  }

  async close(): Promise<void> {
    /* The medium stays. */
  }
}
