/**
 * What the system does by itself, as its administrator has it: a record of the system, in force from when it is written.
 * Whoever acts by itself asks `allows` at the moment of acting.
 */
import type { TellEvent } from "../base/events.ts";
import { ALL_SELF_HEAL, checkSelfHealFlags, type SelfHealFlag } from "../base/self-heal.ts";
import { SELF_HEAL_KEY } from "../format/meta-key.ts";
import { type MetaRecords, putRecord } from "./meta-records.ts";

export interface SelfHealParts {
  readonly records: MetaRecords;
  readonly event: TellEvent;
}

export class SelfHeal {
  readonly #parts: SelfHealParts;
  #flags: readonly SelfHealFlag[] = ALL_SELF_HEAL;

  constructor(parts: SelfHealParts) {
    this.#parts = parts;
  }

  /** Reads the record. A flag that this release does not know is left alone. */
  async open(): Promise<void> {
    const stored = await this.#parts.records.get("policy", SELF_HEAL_KEY);
    if (stored !== undefined) this.#flags = ALL_SELF_HEAL.filter((flag) => stored.record.flags.includes(flag));
  }

  get flags(): readonly SelfHealFlag[] {
    return this.#flags;
  }

  allows(flag: SelfHealFlag): boolean {
    return this.#flags.includes(flag);
  }

  /** Durable when resolved. Rejects with INVALID_ARGUMENT. Resolves with the flags that are others than before. */
  async set(names: readonly string[]): Promise<readonly SelfHealFlag[]> {
    const flags = checkSelfHealFlags(names);
    const { records, event } = this.#parts;
    await records.change("set what the system does by itself", async () => ({
      compares: [],
      operations: [putRecord("policy", SELF_HEAL_KEY, { flags })],
      result: undefined,
    }));
    const changed = ALL_SELF_HEAL.filter((flag) => flags.includes(flag) !== this.#flags.includes(flag));
    this.#flags = flags;
    if (changed.length > 0) event("self_heal_set", `self-heal: ${flags.length === 0 ? "none" : flags.join(", ")}`);
    return changed;
  }
}
