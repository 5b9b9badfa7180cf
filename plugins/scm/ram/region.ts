/**
 * The region of scm `ram`. What was persisted before a crash is on the log device after it; a range whose persist had not
 * finished may be old, new or torn at sectors, which the log's checksums are for. Once a write has failed the region takes
 * no more, since nobody can say what the medium holds.
 *
 * A persist that is alone blocks the thread while the device is quick, as that costs least, also under load; on a slow
 * device, and in company, it returns a promise and the thread goes on taking requests. Figures: docs/plugins.md.
 */
import { KIB } from "../../../src/base/limits.ts";
import type { BlockDevice } from "../../../src/contracts/block-device.ts";
import type { ScmRegion } from "../../../src/contracts/scm.ts";
import type { Clock, DiskFile } from "../../../src/contracts/world.ts";
import { PersistGuard } from "../../persist-guard.ts";
import { IoStrategy, type IoMode } from "../../io-strategy.ts";
import { type Path, PathChoice } from "./path-choice.ts";

/** Spans that a persist writes as a whole: those of scm `file`, so that a region's file serves both. */
export const GRANULARITY_BYTES = 4 * KIB;
/** Larger persists do not block: they take longer than the thread should wait. */
const MAX_BLOCKING_BYTES = 256 * KIB;

const DEVICE: Path = 0;
const FILE: Path = 1;
const DURABLE = { durable: true };

export interface RamRegionParts {
  /** Shared memory. */
  readonly bytes: Uint8Array;
  readonly device: BlockDevice;
  /** The same file or device, each write durable; without it every write goes through `device`. Closed with the region. */
  readonly file: DiskFile | undefined;
  /** For messages. */
  readonly path: string;
  readonly mode: IoMode;
  readonly notices: readonly string[];
}

export class RamScmRegion implements ScmRegion {
  readonly bytes: Uint8Array;
  readonly granularityBytes = GRANULARITY_BYTES;
  readonly notices: readonly string[];
  readonly #device: BlockDevice;
  readonly #file: DiskFile | undefined;
  readonly #clock: Clock;
  readonly #strategy: IoStrategy;
  readonly #choice = new PathChoice();
  readonly #guard: PersistGuard;
  #inFlight = 0;
  #closing: Promise<void> = Promise.resolve();

  constructor(parts: RamRegionParts, clock: Clock) {
    this.bytes = parts.bytes;
    this.notices = parts.notices;
    this.#device = parts.device;
    this.#file = parts.file;
    this.#guard = new PersistGuard(parts.path, parts.bytes.length, GRANULARITY_BYTES);
    this.#clock = clock;
    this.#strategy = new IoStrategy(parts.mode, clock, MAX_BLOCKING_BYTES);
  }

  persist(offset: number, length: number): undefined | Promise<void> {
    const refusal = this.#guard.refusal(offset, length);
    if (refusal !== undefined) return Promise.reject(refusal);
    const range = this.bytes.subarray(offset, offset + length);
    const file = this.#file;
    if (file === undefined) return this.#persistThrough(DEVICE, this.#device.write(offset, range, DURABLE));
    if (this.#inFlight === 0 && this.#strategy.blocks(length)) return this.#persistBlocking(file, range, offset);
    if (this.#choice.pick() === FILE) return this.#persistThrough(FILE, file.write(range, offset));
    return this.#persistThrough(DEVICE, this.#device.write(offset, range, DURABLE));
  }

  close(): void {
    if (!this.#guard.close()) return;
    this.#file?.close();
    // Everything was durable before: there is nothing to lose by a device that does not close.
    this.#closing = this.#device.close().catch(() => undefined);
  }

  closing(): Promise<void> {
    return this.#closing;
  }

  #persistBlocking(file: DiskFile, range: Uint8Array, offset: number): undefined | Promise<void> {
    const startNs = this.#strategy.start();
    try {
      file.writeSync(range, offset);
    } catch (error) {
      return Promise.reject(this.#guard.fail(error));
    }
    this.#strategy.finished(startNs);
    return undefined;
  }

  #persistThrough(path: Path, writing: Promise<void>): Promise<void> {
    const startNs = this.#clock.monotonicNs();
    this.#inFlight += 1;
    return writing.then(
      () => {
        this.#inFlight -= 1;
        this.#choice.finished(path, this.#clock.monotonicNs() - startNs);
        // Another range failed meanwhile: a device that lost one write may have lost this one as well.
        if (this.#guard.failure !== undefined) throw this.#guard.failure;
      },
      (error: unknown) => {
        this.#inFlight -= 1;
        throw this.#guard.fail(error);
      },
    );
  }
}
