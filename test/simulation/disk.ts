/**
 * A disk in memory that can lose power, fail and run full, all from one seed. What was not synced is lost, kept or torn
 * at 512-byte sectors; a durable (O_DSYNC) write is safe once it has returned, and torn at worst before. Names (create,
 * rename, remove) are durable at once, as the real disk's are. After a power loss open files are dead: synchronous calls
 * throw PowerLossError and promises never settle, for the program that waits for them is gone.
 */
import { DaosError, type ErrorCode } from "../../src/base/errors.ts";
import type { Disk, DiskFile, OpenFileOptions } from "../../src/contracts/world.ts";
import type { SimulatedClock } from "./clock.ts";
import { type CrashOutcome, FileContent, PAGE_BYTES } from "./file-content.ts";
import { PowerLossError } from "./power-loss.ts";
import type { SimulatedRandom } from "./random.ts";
import { SimulatedFile } from "./simulated-file.ts";
import type { SimulatedTimers } from "./timers.ts";

export type DiskOperation = "read" | "write" | "sync";

export interface DiskFault {
  readonly operation: DiskOperation;
  readonly code: Extract<ErrorCode, "IO" | "NO_SPACE" | "READ_ONLY">;
  /** Only files whose path contains this. */
  readonly path?: string;
  /** Operations that still succeed before the fault; default none. */
  readonly after?: number;
  /** Operations that fail; default one. */
  readonly times?: number;
}

export interface SimulatedDiskOptions {
  readonly capacityBytes?: number;
  /** Time of one operation, uniform in this range, nanoseconds. */
  readonly latencyNs?: readonly [min: number, max: number];
}

export class SimulatedDisk implements Disk {
  readonly random: SimulatedRandom;
  readonly clock: SimulatedClock;
  /** Of the program that runs now; a test that restarts it may give the new one's. */
  timers: SimulatedTimers;
  readonly #files = new Map<string, FileContent>();
  readonly #folders = new Set<string>(["/"]);
  readonly #locks = new Set<string>();
  readonly #latencyNs: readonly [number, number];
  #capacityBytes: number;
  #faults: { fault: DiskFault; seen: number }[] = [];
  #sequence = 0;
  #powerOffAt = Number.POSITIVE_INFINITY;
  /** Raised by each power loss: files opened before are dead. */
  #generation = 0;
  #powered = true;

  constructor(
    random: SimulatedRandom,
    clock: SimulatedClock,
    timers: SimulatedTimers,
    options: SimulatedDiskOptions = {},
  ) {
    this.random = random;
    this.clock = clock;
    this.timers = timers;
    this.#capacityBytes = options.capacityBytes ?? Number.POSITIVE_INFINITY;
    this.#latencyNs = options.latencyNs ?? [50_000, 200_000];
  }

  /** Writes and syncs begun so far: the points at which `losePowerAt` can strike. */
  get operations(): number {
    return this.#sequence;
  }

  /** Power goes when this many writes and syncs have begun: that one is torn. */
  losePowerAt(operation: number): void {
    this.#powerOffAt = operation;
  }

  get powered(): boolean {
    return this.#powered;
  }

  /** Power goes now. Simulated time stops for what waits on this disk. */
  losePower(): void {
    this.#powered = false;
    this.#generation += 1;
  }

  /** Power comes back: unsynced bytes are what the seed, or `outcome`, makes of them. */
  restorePower(outcome?: CrashOutcome): void {
    this.#powered = true;
    this.#powerOffAt = Number.POSITIVE_INFINITY;
    this.#generation += 1;
    this.#locks.clear();
    const draw = this.random.next();
    const chosen = outcome ?? (draw < 0.25 ? "lost" : draw < 0.4 ? "kept" : "torn");
    for (const content of this.#files.values()) content.crash(this.random, chosen);
  }

  crash(outcome?: CrashOutcome): void {
    this.losePower();
    this.restorePower(outcome);
  }

  injectFault(fault: DiskFault): void {
    this.#faults.push({ fault, seen: 0 });
  }

  clearFaults(): void {
    this.#faults = [];
  }

  setCapacity(capacityBytes: number): void {
    this.#capacityBytes = capacityBytes;
  }

  /** Damages stored bytes behind everyone's back: bit rot. */
  corrupt(path: string, offset: number, xor = 0xff): void {
    const content = this.#contentOf(path);
    const byte = new Uint8Array(1);
    content.read(byte, offset);
    byte[0] = byte[0]! ^ xor;
    const sequence = this.nextSequence();
    content.beginWrite(sequence, byte, offset);
    content.completeWrite(sequence, offset, 1, true);
  }

  openFile(path: string, options: OpenFileOptions = {}): DiskFile {
    this.#requirePower();
    let content = this.#files.get(path);
    if (content === undefined) {
      if (options.create !== true) throw absent("open", path);
      if (!this.#folders.has(parentOf(path))) throw absent("create", path);
      content = new FileContent();
      this.#files.set(path, content);
    }
    return new SimulatedFile(this, path, content, options, this.#generation);
  }

  exists(path: string): boolean {
    return this.#files.has(path) || this.#folders.has(path);
  }

  makeFolder(path: string): void {
    this.#requirePower();
    for (let folder = path; folder !== "/"; folder = parentOf(folder)) this.#folders.add(folder);
  }

  list(path: string): string[] {
    if (!this.#folders.has(path)) throw absent("list", path);
    const names = [...this.#files.keys(), ...this.#folders].filter(
      (entry) => entry !== "/" && parentOf(entry) === path,
    );
    return names.map((entry) => entry.slice(entry.lastIndexOf("/") + 1)).toSorted();
  }

  remove(path: string): void {
    this.#requirePower();
    for (const entry of [...this.#files.keys(), ...this.#folders]) {
      if (entry !== path && !entry.startsWith(`${path}/`)) continue;
      this.#files.delete(entry);
      this.#folders.delete(entry);
    }
  }

  rename(from: string, to: string): void {
    this.#requirePower();
    const content = this.#contentOf(from);
    content.sync(this.#sequence, content.size);
    this.#files.delete(from);
    this.#files.set(to, content);
  }

  freeBytes(): number {
    let pages = 0;
    for (const content of this.#files.values()) pages += content.pageCount;
    return Math.max(0, this.#capacityBytes - pages * PAGE_BYTES);
  }

  lockFolder(path: string): { release(): void } {
    if (this.#locks.has(path)) throw new DaosError("BUSY", `Cannot lock "${path}": process 1 holds it. Stop that one.`);
    this.#locks.add(path);
    return { release: () => void this.#locks.delete(path) };
  }

  // For the files of this disk.

  isAlive(generation: number): boolean {
    return this.#powered && generation === this.#generation;
  }

  nextSequence(): number {
    this.#sequence += 1;
    return this.#sequence;
  }

  /** True when this write or sync is the one at which power goes. */
  strikes(sequence: number): boolean {
    if (sequence < this.#powerOffAt) return false;
    this.losePower();
    return true;
  }

  latencyNs(): number {
    const [min, max] = this.#latencyNs;
    return min + Math.floor(this.random.next() * (max - min));
  }

  /** The error this operation meets, if any. */
  faultFor(operation: DiskOperation, path: string): DaosError | undefined {
    for (const entry of this.#faults) {
      const { fault } = entry;
      if (fault.operation !== operation || (fault.path !== undefined && !path.includes(fault.path))) continue;
      entry.seen += 1;
      const nth = entry.seen - (fault.after ?? 0);
      if (nth < 1 || nth > (fault.times ?? 1)) continue;
      return new DaosError(fault.code, `Cannot ${operation} "${path}": injected fault. Clear it.`);
    }
    return undefined;
  }

  /** Undefined when a write of new pages fits. */
  spaceFault(content: FileContent, path: string, offset: number, length: number): DaosError | undefined {
    if (this.#capacityBytes === Number.POSITIVE_INFINITY || length === 0) return undefined;
    let pages = 0;
    const last = Math.floor((offset + length - 1) / PAGE_BYTES);
    for (let index = Math.floor(offset / PAGE_BYTES); index <= last; index += 1) {
      if (!content.hasPage(index)) pages += 1;
    }
    if (pages * PAGE_BYTES <= this.freeBytes()) return undefined;
    return new DaosError("NO_SPACE", `Cannot write "${path}": the file system is full (ENOSPC). Free space on it.`);
  }

  #contentOf(path: string): FileContent {
    const content = this.#files.get(path);
    if (content === undefined) throw absent("find", path);
    return content;
  }

  #requirePower(): void {
    if (!this.#powered) throw new PowerLossError("no power");
  }
}

function absent(action: string, path: string): DaosError {
  return new DaosError("NOT_FOUND", `Cannot ${action} "${path}": there is no such file or folder. Check the path.`);
}

function parentOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash <= 0 ? "/" : path.slice(0, slash);
}
