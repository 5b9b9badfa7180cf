/**
 * A load that a crash interrupts: writers put, overwrite and punch their own slots while snapshots are taken, and a
 * ledger keeps what was acknowledged. After the crash everything is read back against the ledger.
 */
import { DaosError } from "../../src/base/errors.ts";
import type { Container } from "../../src/library.ts";
import { Ledger } from "./ledger.ts";
import { type Draw, readSlot, SLOT_KINDS, writeSlot } from "./slots.ts";

const WRITERS = 24;
const SNAPSHOTS_KEPT = 4;
const READERS = 32;
/** One in so many operations is a punch. */
const PUNCH_ONE_IN = 8;
/** How often each kind is drawn. */
const WEIGHTS: Readonly<Record<string, number>> = {
  small: 50,
  large: 4,
  block: 16,
  shifted: 8,
  run: 4,
  dkey: 12,
  object: 6,
};

export interface Snapshot {
  readonly name: string;
  readonly expected: ReadonlyMap<string, number>;
}

export class CrashLoad {
  readonly ledger = new Ledger();
  readonly snapshots: Snapshot[] = [];
  readonly #draw: Draw;
  readonly #kinds: readonly string[];

  constructor(random: () => number) {
    this.#draw = (below) => Math.floor(random() * below);
    this.#kinds = Object.entries(WEIGHTS).flatMap(([kind, weight]) => Array<string>(weight).fill(kind));
  }

  /**
   * Writes until `stopped` says so, or the engine ends where that is allowed. Rejects with anything else that fails; what
   * runs then is waited for.
   */
  async run(
    container: Container,
    stopped: () => boolean,
    { endIsAllowed = true }: { readonly endIsAllowed?: boolean } = {},
  ): Promise<void> {
    let failed = false;
    const isOver = (): boolean => failed || stopped();
    const works = [
      this.#takeSnapshots(container, isOver),
      ...Array.from({ length: WRITERS }, (_value, writer) => this.#write(container, writer, isOver)),
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

  async #write(container: Container, writer: number, stopped: () => boolean): Promise<void> {
    while (!stopped()) {
      const kind = this.#kinds[this.#draw(this.#kinds.length)]!;
      const own = Math.floor(SLOT_KINDS[kind]!.count / WRITERS);
      const slot = `${kind}/${this.#draw(own) * WRITERS + writer}`;
      const state = this.ledger.begin(slot, this.#draw(PUNCH_ONE_IN) === 0);
      try {
        await writeSlot(container, slot, state, this.#draw);
        this.ledger.acknowledge(slot, state);
      } catch (error) {
        this.ledger.lost(slot);
        throw error;
      }
    }
  }

  async #takeSnapshots(container: Container, stopped: () => boolean): Promise<void> {
    while (!stopped()) {
      const frozen = this.ledger.freeze();
      const { name } = await container.createSnapshot();
      this.snapshots.push({ name, expected: this.ledger.unchangedSince(frozen) });
      if (this.snapshots.length > SNAPSHOTS_KEPT) {
        const [oldest] = this.snapshots.splice(this.#draw(SNAPSHOTS_KEPT), 1);
        await container.destroySnapshot(oldest!.name);
      }
      await new Promise((resolve) => setTimeout(resolve, 20 + this.#draw(200)));
    }
  }

  /** Reads everything back, at the latest epoch and at the snapshots. Rejects naming what is wrong. */
  async verify(container: Container): Promise<{ slots: number; snapshotSlots: number }> {
    const slots = [...this.ledger.slots()];
    await inParallel(slots, async (slot) => this.ledger.observe(slot, await readSlot(container, slot)));
    let snapshotSlots = 0;
    for (const { name, expected } of this.snapshots) {
      const view = await container.at(name);
      snapshotSlots += expected.size;
      await inParallel([...expected], async ([slot, state]) => {
        const found = await readSlot(view, slot);
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

async function inParallel<Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: READERS }, async () => {
      while (next < items.length) await work(items[next++]!);
    }),
  );
}
