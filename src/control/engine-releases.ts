/** Which releases the engines are of that have joined this control plane, and what each can be asked for. */
import { DaosError } from "../base/errors.ts";
import { ENGINE_FEATURES, ENGINE_VERSIONS, type EngineFeature } from "../format/engine-version.ts";

/** What an engine speaks, as agreed, and its release; that is empty of one of version 2. */
export interface EngineRelease {
  readonly version: number;
  readonly software: string;
}

export class EngineReleases {
  readonly #releases = new Map<number, EngineRelease>();

  joined(rank: number, { version = ENGINE_VERSIONS.oldest, software = "" }: Partial<EngineRelease>): void {
    this.#releases.set(rank, { version, software });
  }

  /** Undefined of an engine that was not here since the control plane began. */
  get(rank: number): EngineRelease | undefined {
    return this.#releases.get(rank);
  }

  /** Throws VERSION when the engine is too old for what it is asked. */
  require(rank: number, feature: EngineFeature): void {
    const release = this.#releases.get(rank);
    const { since, what } = ENGINE_FEATURES[feature];
    if (release === undefined || release.version >= since) return;
    const state = `it speaks version ${release.version} among engines, and that needs ${since}`;
    throw new DaosError("VERSION", `Cannot have rank ${rank} ${what}: ${state}. Upgrade it first.`);
  }
}
