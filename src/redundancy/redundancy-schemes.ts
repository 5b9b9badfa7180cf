/** The redundancy schemes of the plugins at hand, by the class's word and the size of cells; each is made once. */
import { DaosError } from "../base/errors.ts";
import type { RedundancyProvider, RedundancyScheme, SchemeOptions } from "../contracts/redundancy.ts";

export class RedundancySchemes {
  readonly #providers: readonly RedundancyProvider[];
  readonly #allocate: SchemeOptions["allocate"];
  readonly #schemes = new Map<string, RedundancyScheme>();

  /** `allocate`: see SchemeOptions. */
  constructor(providers: readonly RedundancyProvider[], allocate?: SchemeOptions["allocate"]) {
    this.#providers = providers;
    this.#allocate = allocate;
  }

  /** Throws UNSUPPORTED when no plugin serves it, INVALID_ARGUMENT for a cell size that is none. */
  of(word: string, cellBytes: number): RedundancyScheme {
    const name = `${word}/${cellBytes}`;
    let scheme = this.#schemes.get(name);
    if (scheme === undefined) {
      const provider = this.#providers.find(({ serves }) => serves.includes(word));
      if (provider === undefined) throw notServed(word);
      const allocate = this.#allocate;
      scheme = provider.scheme(word, { cellBytes, ...(allocate !== undefined && { allocate }) });
      this.#schemes.set(name, scheme);
    }
    return scheme;
  }
}

function notServed(word: string): DaosError {
  return new DaosError(
    "UNSUPPORTED",
    `Cannot use redundancy "${word}": no plugin here serves it. Load one, or connect with one.`,
  );
}
