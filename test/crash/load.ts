/**
 * A load that a crash interrupts: writers put, overwrite and punch their own slots while snapshots are taken and, where
 * wanted, readers check what they find; a ledger keeps what was acknowledged. After the crash everything is read back
 * against the ledger.
 */
import { DaosError } from "../../src/base/errors.ts";
import { type ObjectClass, objectClassByName } from "../../src/base/object-class.ts";
import type { Container } from "../../src/library.ts";
import { Ledger } from "./ledger.ts";
import { type Draw, Slots } from "./slots.ts";

const WRITERS = 24;
const SNAPSHOTS_KEPT = 4;
const READERS = 32;
/** Of a worker, after an operation that failed. */
const FAILURE_PAUSE_MS = 200;
/** One in so many operations is a punch. */
const PUNCH_ONE_IN = 8;
/** How often each kind is drawn. */
const WEIGHTS: Readonly<Record<string, number>> = {
  small: 50,
  large: 4,
  block: 16,
  shifted: 8,
  run: 4,
  chunked: 8,
  dkey: 12,
  object: 6,
};

export interface Snapshot {
  readonly name: string;
  readonly expected: ReadonlyMap<string, number>;
}

export interface LoadSize {
  readonly writers?: number;
  /** Of all slots, those that are used, 0 to 1: there are at least as many of each kind as writers. */
  readonly share?: number;
}

export interface LoadOptions {
  readonly endIsAllowed?: boolean;
  /** Readers beside the writers; none unless given. */
  readonly readers?: number;
  /** `none`: no snapshots are taken. `may fail`: they need every engine, so while one is away they may fail. */
  readonly snapshots?: "none" | "may fail";
  /** What operations may fail with: they are counted, and the load goes on. Writers leave the slot alone until it is verified. */
  readonly mayFail?: (error: unknown) => boolean;
  /** Pause of each worker after an operation, milliseconds; none unless given. */
  readonly pauseMs?: number;
}

export class CrashLoad {
  readonly ledger = new Ledger();
  readonly snapshots: Snapshot[] = [];
  /** Of the run that goes on or was last: how long its slowest acknowledged write took, and which one that was. */
  longest = { ms: 0, slot: "" };
  longestRead = { ms: 0, slot: "" };
  reads = 0;
  /** Operations that failed as they may, by code. */
  readonly failures = new Map<string, number>();
  readonly #writers: number;
  readonly #draw: Draw;
  readonly #kinds: readonly string[];
  readonly #slots: Slots;

  constructor(
    random: () => number,
    objectClass: ObjectClass = objectClassByName("S1"),
    { writers = WRITERS, share = 1 }: LoadSize = {},
  ) {
    this.#writers = writers;
    this.#slots = new Slots(objectClass, share);
    this.#draw = (below) => Math.floor(random() * below);
    this.#kinds = Object.entries(WEIGHTS).flatMap(([kind, weight]) => Array<string>(weight).fill(kind));
  }

  /**
   * Writes, in turn through these openings of one container, until `stopped` says so, or the engine ends where that is
   * allowed. Rejects with anything else that fails; what runs then is waited for.
   */
  async run(containers: readonly Container[], stopped: () => boolean, options: LoadOptions = {}): Promise<void> {
    const { endIsAllowed = true, readers = 0, snapshots } = options;
    let failed = false;
    const isOver = (): boolean => failed || stopped();
    const opening = (worker: number): Container => containers[worker % containers.length]!;
    this.longest = { ms: 0, slot: "" };
    this.longestRead = { ms: 0, slot: "" };
    const works = [
      ...(snapshots === "none" ? [] : [this.#takeSnapshots(opening(0), isOver, snapshots === "may fail")]),
      ...Array.from({ length: this.#writers }, (_value, writer) =>
        this.#write(opening(writer), writer, isOver, options),
      ),
      ...Array.from({ length: readers }, (_value, reader) => this.#read(opening(reader), isOver, options)),
    ];
    const guarded = works.map(async (work) => {
      try {
        await work;
      } catch (error) {
        if (endIsAllowed && isEnd(error)) return;
        failed = true;
        throw error;
      }
    });
    const failure = (await Promise.allSettled(guarded)).find(({ status }) => status === "rejected");
    if (failure?.status === "rejected") throw failure.reason;
  }

  async #write(container: Container, writer: number, stopped: () => boolean, options: LoadOptions): Promise<void> {
    while (!stopped()) {
      const kind = this.#kinds[this.#draw(this.#kinds.length)]!;
      const own = Math.floor(this.#slots.countOf(kind) / this.#writers);
      const slot = `${kind}/${this.#draw(own) * this.#writers + writer}`;
      if (options.pauseMs !== undefined) await pause(options.pauseMs);
      if (this.ledger.isDoubtful(slot)) {
        await pause(1);
        continue;
      }
      const state = this.ledger.begin(slot, this.#draw(PUNCH_ONE_IN) === 0);
      const startedMs = performance.now();
      try {
        await this.#slots.write(container, slot, state, this.#draw);
        this.ledger.acknowledge(slot, state);
        const ms = performance.now() - startedMs;
        if (ms > this.longest.ms) this.longest = { ms, slot };
      } catch (error) {
        this.ledger.lost(slot);
        await this.#bear(error, options);
      }
    }
  }

  /** Reads slots that writers write meanwhile. */
  async #read(container: Container, stopped: () => boolean, options: LoadOptions): Promise<void> {
    while (!stopped()) {
      const kind = this.#kinds[this.#draw(this.#kinds.length)]!;
      const slot = `${kind}/${this.#draw(this.#slots.countOf(kind))}`;
      if (options.pauseMs !== undefined) await pause(options.pauseMs);
      if (!this.ledger.has(slot)) {
        await pause(1);
        continue;
      }
      const startedMs = performance.now();
      try {
        await this.ledger.read(slot, () => this.#slots.read(container, slot));
        this.reads += 1;
        const ms = performance.now() - startedMs;
        if (ms > this.longestRead.ms) this.longestRead = { ms, slot };
      } catch (error) {
        await this.#bear(error, options);
      }
    }
  }

  /** Throws the error unless it may be. */
  async #bear(error: unknown, { mayFail }: LoadOptions): Promise<void> {
    if (mayFail?.(error) !== true) throw error;
    const code = (error as { code?: string }).code ?? "unknown";
    this.failures.set(code, (this.failures.get(code) ?? 0) + 1);
    await pause(FAILURE_PAUSE_MS);
  }

  async #takeSnapshots(container: Container, stopped: () => boolean, mayFail: boolean): Promise<void> {
    while (!stopped()) {
      try {
        await this.#takeSnapshot(container);
      } catch (error) {
        if (!mayFail || !isEnd(error)) throw error;
      }
      await pause(20 + this.#draw(200));
    }
  }

  async #takeSnapshot(container: Container): Promise<void> {
    const frozen = this.ledger.freeze();
    const { name } = await container.createSnapshot();
    this.snapshots.push({ name, expected: this.ledger.unchangedSince(frozen) });
    if (this.snapshots.length <= SNAPSHOTS_KEPT) return;
    const [oldest] = this.snapshots.splice(this.#draw(SNAPSHOTS_KEPT), 1);
    await container.destroySnapshot(oldest!.name);
  }

  /** Reads everything back, at the latest epoch and at the snapshots. Rejects naming what is wrong. */
  async verify(container: Container): Promise<{ slots: number; snapshotSlots: number }> {
    const slots = [...this.ledger.slots()];
    await inParallel(slots, async (slot) => this.ledger.observe(slot, await this.#slots.read(container, slot)));
    let snapshotSlots = 0;
    for (const { name, expected } of this.snapshots) {
      const view = await container.at(name);
      snapshotSlots += expected.size;
      await inParallel([...expected], async ([slot, state]) => {
        const found = await this.#slots.read(view, slot);
        if (found !== state) throw new Error(`snapshot ${name}: slot ${slot} holds version ${found}, not ${state}`);
      });
    }
    return { slots: slots.length, snapshotSlots };
  }
}

/** The engine is gone: what was asked may or may not have happened. */
function isEnd(error: unknown): boolean {
  return error instanceof DaosError && ["UNAVAILABLE", "TIMEOUT", "CANCELED"].includes(error.code);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function inParallel<Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: READERS }, async () => {
      while (next < items.length) await work(items[next++]!);
    }),
  );
}
