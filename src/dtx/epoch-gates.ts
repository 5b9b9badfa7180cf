/**
 * The epoch gates of a pool's containers, as one target keeps them: aggregation here may not pass the epoch as of which all
 * stripes are folded (src/base/epoch-gate.ts). Each target asks all others of the pool, for any of them may lead a dkey that
 * this one has a shard of; one that does not answer holds the gate where it is.
 */
import { epochGate } from "../base/epoch-gate.ts";
import { EPOCH_NONE, type Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import type { Timers } from "../contracts/world.ts";
import { decodeFoldedTo, encodeContainers } from "../format/folded-to.ts";
import { Opcode } from "../format/operations.ts";
import type { ShardedAkeyParts } from "./sharded-akey.ts";

/** Pause between two rounds of questions, milliseconds. */
const ASK_MS = 1_000;
const NO_ARGUMENTS = new Uint8Array(0);

export interface EpochGatesOptions {
  readonly timers: Timers;
  /** Those of the pool in which this target has something erasure-coded, as far as it knows. */
  readonly containers: () => readonly number[];
  readonly others: () => readonly number[];
  /** This target's own answer. */
  readonly foldedTo: (container: number) => Epoch;
  readonly call: ShardedAkeyParts["call"];
  readonly mapVersion: () => number;
  readonly setGate: (container: number, epoch: Epoch) => void;
}

export class EpochGates {
  readonly #options: EpochGatesOptions;
  #cancel: () => void;
  #isStopped = false;

  constructor(options: EpochGatesOptions) {
    this.#options = options;
    this.#cancel = options.timers.after(ASK_MS, () => void this.#round());
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel();
  }

  async #round(): Promise<void> {
    const { timers, containers, others, mapVersion, foldedTo } = this.#options;
    const asked = containers();
    const version = mapVersion();
    if (asked.length > 0) {
      const own = asked.map((container) => foldedTo(container));
      const answers = await Promise.all(others().map((target) => this.#ask(target, asked)));
      // Whoever leads what may have changed with the map.
      if (!this.#isStopped && version === mapVersion()) this.#raise(asked, [own, ...answers]);
    }
    if (!this.#isStopped) this.#cancel = timers.after(ASK_MS, () => void this.#round());
  }

  #raise(asked: readonly number[], answers: readonly (readonly Epoch[] | undefined)[]): void {
    asked.forEach((container, index) => {
      const gate = epochGate(answers.map((answer) => answer?.[index] ?? EPOCH_NONE));
      if (gate !== EPOCH_NONE) this.#options.setGate(container, gate);
    });
  }

  async #ask(target: number, containers: readonly number[]): Promise<readonly Epoch[] | undefined> {
    try {
      const answer = await this.#options.call(target, Opcode.dtxFoldedTo, NO_ARGUMENTS, encodeContainers(containers));
      return decodeFoldedTo(answer.payload, containers.length);
    } catch (error) {
      if (error instanceof DaosError) return undefined;
      throw error;
    }
  }
}
