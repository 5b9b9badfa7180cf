/**
 * The ledger of a crash test: what each slot (a key, an array block) may hold. A slot has one writer at a time. While an
 * operation runs, and after it failed without an answer, both its old and its new state are possible; once acknowledged,
 * or once read back, exactly one is. States are version numbers; content follows from slot and version, so a mixture of
 * two versions is seen as wrong.
 */
export const ABSENT = 0;

interface Slot {
  /** What a read may return now: one state, or more after an unanswered operation. */
  possible: Set<number>;
  running: boolean;
  /** Counts operations, to see that none ran meanwhile. */
  operations: number;
  /** Of reads that run now: what they may return. */
  readonly reads: Set<Set<number>>;
}

export class Ledger {
  acknowledged = 0;
  readonly #slots = new Map<string, Slot>();
  #version = 1;

  slots(): IterableIterator<string> {
    return this.#slots.keys();
  }

  /** Something was begun on it. */
  has(slot: string): boolean {
    return this.#slots.has(slot);
  }

  /** It had an operation that ended without an answer, and has not been looked at since. */
  isDoubtful(slot: string): boolean {
    const entry = this.#slots.get(slot);
    return entry !== undefined && !entry.running && entry.possible.size > 1;
  }

  isIdle(slot: string): boolean {
    return this.#slots.get(slot)?.running !== true;
  }

  /** Starts an operation that will leave the slot at a new version, or ABSENT for a punch. Returns that state. */
  begin(slot: string, punch: boolean): number {
    let entry = this.#slots.get(slot);
    if (entry === undefined) {
      entry = { possible: new Set([ABSENT]), running: false, operations: 0, reads: new Set() };
      this.#slots.set(slot, entry);
    }
    if (entry.running) throw new Error(`slot ${slot} has two writers`);
    const state = punch ? ABSENT : this.#version++;
    entry.running = true;
    entry.operations += 1;
    entry.possible.add(state);
    for (const read of entry.reads) read.add(state);
    return state;
  }

  /** Runs a read that writers do not wait for; it must return what was there at some time while it ran. */
  async read(slot: string, read: () => Promise<number>): Promise<void> {
    const { possible, reads } = this.#slots.get(slot)!;
    const allowed = new Set(possible);
    reads.add(allowed);
    try {
      const state = await read();
      if (!allowed.has(state)) throw new Error(`slot ${slot} read as ${state}, possible: ${[...allowed].join(", ")}`);
    } finally {
      reads.delete(allowed);
    }
  }

  acknowledge(slot: string, state: number): void {
    const entry = this.#slots.get(slot)!;
    entry.possible = new Set([state]);
    entry.running = false;
    this.acknowledged += 1;
  }

  /** The operation ended without an answer: either state may be there. */
  lost(slot: string): void {
    this.#slots.get(slot)!.running = false;
  }

  /** Checks a state read back while nothing runs on the slot; from now on only that state is possible. */
  observe(slot: string, state: number): void {
    const entry = this.#slots.get(slot)!;
    if (!entry.possible.has(state)) {
      throw new Error(`slot ${slot} holds version ${state}, possible: ${[...entry.possible].join(", ")}`);
    }
    entry.possible = new Set([state]);
  }

  /** The certain slots and their states, for a snapshot that begins now. */
  freeze(): FrozenLedger {
    const frozen = new Map<string, { state: number; operations: number }>();
    for (const [slot, entry] of this.#slots) {
      if (entry.running || entry.possible.size !== 1) continue;
      const [state] = entry.possible;
      frozen.set(slot, { state: state!, operations: entry.operations });
    }
    return frozen;
  }

  /** Of a frozen ledger, the slots on which nothing has begun since: what the snapshot must show. */
  unchangedSince(frozen: FrozenLedger): Map<string, number> {
    const certain = new Map<string, number>();
    for (const [slot, { state, operations }] of frozen) {
      if (this.#slots.get(slot)!.operations === operations) certain.set(slot, state);
    }
    return certain;
  }
}

export type FrozenLedger = ReadonlyMap<string, { readonly state: number; readonly operations: number }>;
