/**
 * An open file of the simulated disk. Asynchronous operations take simulated time; synchronous ones advance the clock.
 */
import { DaosError } from "../../src/base/errors.ts";
import type { DiskFile, OpenFileOptions } from "../../src/contracts/world.ts";
import type { SimulatedDisk } from "./disk.ts";
import { type FileContent, PAGE_BYTES } from "./file-content.ts";
import { PowerLossError } from "./power-loss.ts";

export class SimulatedFile implements DiskFile {
  readonly path: string;
  readonly #disk: SimulatedDisk;
  readonly #content: FileContent;
  readonly #options: OpenFileOptions;
  readonly #generation: number;
  #syncFailure: DaosError | undefined;
  #closed = false;

  constructor(disk: SimulatedDisk, path: string, content: FileContent, options: OpenFileOptions, generation: number) {
    this.#disk = disk;
    this.path = path;
    this.#content = content;
    this.#options = options;
    this.#generation = generation;
  }

  sizeBytes(): number {
    this.#requireAlive();
    return this.#content.size;
  }

  readSync(buffer: Uint8Array, offset: number): number {
    this.#begin(buffer, offset);
    this.#disk.clock.advance(this.#disk.latencyNs());
    this.#throwFault("read");
    return this.#content.read(buffer, offset);
  }

  read(buffer: Uint8Array, offset: number): Promise<number> {
    return this.#later(
      () => this.#begin(buffer, offset),
      () => {
        this.#throwFault("read");
        return this.#content.read(buffer, offset);
      },
    );
  }

  writeSync(buffer: Uint8Array, offset: number): void {
    const sequence = this.#beginWrite(buffer, offset);
    if (this.#disk.strikes(sequence)) throw new PowerLossError("power went during a write");
    this.#disk.clock.advance(this.#disk.latencyNs());
    this.#completeWrite(sequence, offset, buffer.length);
  }

  write(buffer: Uint8Array, offset: number): Promise<void> {
    let sequence = 0;
    return this.#later(
      () => {
        sequence = this.#beginWrite(buffer, offset);
        this.#disk.strikes(sequence);
      },
      () => this.#completeWrite(sequence, offset, buffer.length),
    );
  }

  syncSync(): void {
    this.#requireAlive();
    const sequence = this.#disk.nextSequence();
    if (this.#disk.strikes(sequence)) throw new PowerLossError("power went during a sync");
    this.#disk.clock.advance(this.#disk.latencyNs());
    this.#completeSync(sequence, this.#content.size);
  }

  sync(): Promise<void> {
    let sequence = 0;
    let sizeBytes = 0;
    return this.#later(
      () => {
        this.#requireAlive();
        sequence = this.#disk.nextSequence();
        sizeBytes = this.#content.size;
        this.#disk.strikes(sequence);
      },
      () => this.#completeSync(sequence, sizeBytes),
    );
  }

  truncate(sizeBytes: number): void {
    this.#requireWritable();
    this.#content.truncate(sizeBytes);
  }

  preallocate(sizeBytes: number): void {
    this.#requireWritable();
    const zeros = new Uint8Array(PAGE_BYTES);
    for (let offset = this.#content.size; offset < sizeBytes; offset += PAGE_BYTES) {
      const fault = this.#disk.spaceFault(this.#content, this.path, offset, PAGE_BYTES);
      if (fault !== undefined) throw fault;
      const length = Math.min(PAGE_BYTES, sizeBytes - offset);
      const sequence = this.#disk.nextSequence();
      this.#content.beginWrite(sequence, zeros.subarray(0, length), offset);
      if (this.#disk.strikes(sequence)) throw new PowerLossError("power went while preallocating");
      this.#content.completeWrite(sequence, offset, length, true);
    }
  }

  punchHole(offset: number, length: number): boolean {
    this.#requireWritable();
    this.#content.punch(offset, length);
    return true;
  }

  close(): void {
    this.#closed = true;
  }

  #begin(buffer: Uint8Array, offset: number): void {
    this.#requireAlive();
    if (this.#options.direct !== true) return;
    if (offset % PAGE_BYTES === 0 && buffer.length % PAGE_BYTES === 0 && buffer.byteOffset % PAGE_BYTES === 0) return;
    throw new DaosError("IO", `Cannot access "${this.path}": not aligned for O_DIRECT (EINVAL). Align it.`);
  }

  #beginWrite(buffer: Uint8Array, offset: number): number {
    this.#requireWritable();
    this.#begin(buffer, offset);
    const full = this.#disk.spaceFault(this.#content, this.path, offset, buffer.length);
    if (full !== undefined) throw full;
    const sequence = this.#disk.nextSequence();
    this.#content.beginWrite(sequence, buffer, offset);
    return sequence;
  }

  #completeWrite(sequence: number, offset: number, length: number): void {
    this.#throwFault("write");
    this.#content.completeWrite(sequence, offset, length, this.#options.durable === true);
  }

  #completeSync(sequence: number, sizeBytes: number): void {
    this.#syncFailure ??= this.#disk.faultFor("sync", this.path);
    if (this.#syncFailure !== undefined) throw this.#syncFailure;
    this.#content.sync(sequence, sizeBytes);
  }

  /** Starts at once, finishes after the disk's latency; never when power goes meanwhile. */
  #later<Result>(begin: () => void, finish: () => Result): Promise<Result> {
    return new Promise((resolve, reject) => {
      try {
        begin();
      } catch (error) {
        reject(error);
        return;
      }
      this.#disk.timers.afterNs(this.#disk.latencyNs(), () => {
        if (!this.#disk.isAlive(this.#generation)) return;
        try {
          resolve(finish());
        } catch (error) {
          reject(error);
        }
      });
    });
  }

  #throwFault(operation: "read" | "write"): void {
    const fault = this.#disk.faultFor(operation, this.path);
    if (fault !== undefined) throw fault;
  }

  #requireAlive(): void {
    if (!this.#disk.isAlive(this.#generation)) throw new PowerLossError("the file was open when power went");
    if (this.#closed) throw new DaosError("IO", `Cannot use "${this.path}": the file is closed (EBADF). Open it.`);
  }

  #requireWritable(): void {
    this.#requireAlive();
    if (this.#options.readOnly !== true) return;
    throw new DaosError("READ_ONLY", `Cannot write "${this.path}": it is open for reading. Open it for writing.`);
  }
}
