/**
 * Whether every target of a pool goes by the present map, or a newer one. When targets are taken back (UP -> UPIN), those that
 * stood in for them lose what they had, while they serve: until they have heard of it they may show it to clients that have
 * not heard either. So nothing is decided under a map that has taken something from others before all of them go by it; a
 * target that agrees with us on what is open between us does. An exclusion needs no such agreement: the control plane makes
 * it known after the excluded engine knows it, or has lost its lease.
 */
import type { PoolMap } from "../format/pool-map.ts";

export interface MapAgreementOptions {
  /** Version as of which all agreed once, durably; 0: none. */
  readonly noted: () => number;
  /** Resolves when that is durable. */
  readonly note: (version: number) => Promise<void>;
}

export class MapAgreement {
  readonly #options: MapAgreementOptions;
  readonly #missing = new Set<number>();
  #version = 0;

  constructor(options: MapAgreementOptions) {
    this.#options = options;
  }

  /** A new map; `others`: the targets that take part beside this one. */
  mapChanged(map: PoolMap, others: readonly number[]): void {
    this.#version = Math.max(...map.targets.map(({ state, since }) => (state === "UPIN" ? since : 1)));
    this.#missing.clear();
    if (this.#version > 1 && this.#options.noted() < this.#version)
      for (const other of others) this.#missing.add(other);
  }

  /** Targets that may go by an older map. */
  get missing(): ReadonlySet<number> {
    return this.#missing;
  }

  /** Target `index` goes by the present map. Resolves when what follows from it is noted. */
  async heard(index: number): Promise<void> {
    if (!this.#missing.delete(index) || this.#missing.size > 0) return;
    await this.#options.note(this.#version);
  }
}
