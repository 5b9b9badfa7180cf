/**
 * What a region that persists whole blocks refuses, the same for each plugin: ranges off the blocks or the region, anything
 * after `close`, and everything after the first failure, since nobody can say then what the medium holds.
 */
import { DaosError } from "../src/base/errors.ts";

export class PersistGuard {
  readonly #path: string;
  readonly #regionBytes: number;
  readonly #granularityBytes: number;
  #failure: DaosError | undefined;
  #closed = false;

  /** `path`: where the region's bytes are kept, for messages. */
  constructor(path: string, regionBytes: number, granularityBytes: number) {
    this.#path = path;
    this.#regionBytes = regionBytes;
    this.#granularityBytes = granularityBytes;
  }

  get failure(): DaosError | undefined {
    return this.#failure;
  }

  /** Why the range may not be persisted; undefined when it may. */
  refusal(offset: number, length: number): DaosError | undefined {
    if (this.#failure !== undefined) return this.#failure;
    const what = `Cannot persist "${this.#path}"`;
    if (this.#closed) return new DaosError("UNAVAILABLE", `${what}: the region is closed.`);
    const granularity = this.#granularityBytes;
    const isAligned = offset % granularity === 0 && length % granularity === 0;
    if (isAligned && offset >= 0 && length > 0 && offset + length <= this.#regionBytes) return undefined;
    const state = `offset ${offset} and length ${length} are not ${granularity} byte blocks of the region`;
    return new DaosError("INVALID_ARGUMENT", `${what}: ${state}.`);
  }

  /** Keeps the first failure; returns it. */
  fail(error: unknown): DaosError {
    if (this.#failure === undefined) {
      const message = `Cannot persist "${this.#path}": ${String(error)}. Check the device.`;
      this.#failure = error instanceof DaosError ? error : new DaosError("IO", message, { cause: error });
    }
    return this.#failure;
  }

  /** False when it was closed before. */
  close(): boolean {
    const isFirst = !this.#closed;
    this.#closed = true;
    return isFirst;
  }
}
