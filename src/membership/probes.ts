/**
 * Pings that wait for their answer: our own probes, and those that we send for others. Bounded: an engine that is asked
 * to help more often than MAX_RELAYS at a time does not.
 */
const MAX_RELAYS = 64;

/** A probe of ours. */
export interface Probe {
  readonly target: number;
  readonly sequence: number;
  /** Others were asked to ping too. */
  isIndirect: boolean;
  /** How many of them. */
  helpers: number;
  /** Those of them who told in time that they found no answer either. */
  readonly nackedBy: number[];
  untilMs: number;
}

/** A ping that we sent for another engine. */
export interface Relay {
  readonly target: number;
  readonly sequence: number;
  readonly asker: number;
  /** Of the asker. */
  readonly askedSequence: number;
  untilMs: number;
}

export class Probes {
  #own: Probe[] = [];
  #relays: Relay[] = [];
  #sequence = 0;
  /** When the first wait ends, milliseconds. */
  dueMs = Number.POSITIVE_INFINITY;

  probe(target: number, untilMs: number): Probe {
    const probe = { target, sequence: this.#next(), isIndirect: false, helpers: 0, nackedBy: [], untilMs };
    this.#own.push(probe);
    this.dueMs = Math.min(this.dueMs, untilMs);
    return probe;
  }

  /** Undefined when there are too many. */
  relay(target: number, asker: number, askedSequence: number, untilMs: number): Relay | undefined {
    if (this.#relays.length >= MAX_RELAYS) return undefined;
    const relay = { target, sequence: this.#next(), asker, askedSequence, untilMs };
    this.#relays.push(relay);
    this.dueMs = Math.min(this.dueMs, untilMs);
    return relay;
  }

  isProbing(target: number): boolean {
    return this.#own.some((probe) => probe.target === target);
  }

  /** `target` has answered: the probe of that sequence, taken out. */
  answered(target: number, sequence: number): Probe | undefined {
    const index = this.#own.findIndex((probe) => probe.sequence === sequence && probe.target === target);
    return index < 0 ? undefined : this.#own.splice(index, 1)[0];
  }

  relayAnswered(target: number, sequence: number): Relay | undefined {
    const index = this.#relays.findIndex((relay) => relay.sequence === sequence && relay.target === target);
    return index < 0 ? undefined : this.#relays.splice(index, 1)[0];
  }

  refused(target: number, sequence: number, by: number): void {
    const probe = this.#own.find((own) => own.sequence === sequence && own.target === target);
    if (probe !== undefined && !probe.nackedBy.includes(by)) probe.nackedBy.push(by);
  }

  /** Takes out what is over, and measures anew. Whoever goes on with one calls `resume`. */
  due(nowMs: number): { readonly probes: readonly Probe[]; readonly relays: readonly Relay[] } {
    const probes = this.#own.filter(({ untilMs }) => untilMs <= nowMs);
    const relays = this.#relays.filter(({ untilMs }) => untilMs <= nowMs);
    if (probes.length > 0) this.#own = this.#own.filter(({ untilMs }) => untilMs > nowMs);
    if (relays.length > 0) this.#relays = this.#relays.filter(({ untilMs }) => untilMs > nowMs);
    this.#measure();
    return { probes, relays };
  }

  resume(probe: Probe, untilMs: number): void {
    probe.untilMs = untilMs;
    this.#own.push(probe);
    this.dueMs = Math.min(this.dueMs, untilMs);
  }

  /** Time that does not count. */
  shift(byMs: number): void {
    for (const probe of this.#own) probe.untilMs += byMs;
    for (const relay of this.#relays) relay.untilMs += byMs;
    this.#measure();
  }

  #next(): number {
    this.#sequence = (this.#sequence + 1) >>> 0;
    return this.#sequence;
  }

  #measure(): void {
    this.dueMs = Number.POSITIVE_INFINITY;
    for (const { untilMs } of this.#own) this.dueMs = Math.min(this.dueMs, untilMs);
    for (const { untilMs } of this.#relays) this.dueMs = Math.min(this.dueMs, untilMs);
  }
}
