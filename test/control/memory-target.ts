/** What the one target of a MemoryEngine holds, as a check asks for it. Notes outlive a restart, as snapshots do. */
import type { DtxId } from "../../src/base/dtx-id.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import type {
  DkeyPage,
  HeldContainer,
  TargetQuestionName,
  TargetQuestions,
  UndecidedUpdate,
} from "../../src/format/check-questions.ts";
import type { PoolAssignment, PoolShare } from "../../src/format/engine-operations.ts";

export interface MemoryHoldings {
  readonly assignments: ReadonlyMap<string, PoolAssignment>;
  readonly quotas: ReadonlyMap<string, PoolShare>;
  readonly open: ReadonlySet<number>;
  readonly snapshots: Map<number, Set<Epoch>>;
}

export class MemoryTarget {
  readonly notes = new Map<number, Uint8Array>();
  readonly poolNotes = new Map<string, { note: Uint8Array; map: Uint8Array }>();
  readonly undecided = new Map<string, UndecidedUpdate>();
  readonly remembered: DtxId[] = [];
  dkeyPage: Pick<DkeyPage, "mapVersion" | "differences"> = { mapVersion: 1, differences: [] };
  aggregatedTo = 0 as Epoch;
  /** Whether those who lead decide what is undecided, once they are asked. */
  decides = true;
  readonly #holdings: MemoryHoldings;

  constructor(holdings: MemoryHoldings) {
    this.#holdings = holdings;
  }

  answer(name: TargetQuestionName, value: unknown): object {
    return this.#answers[name](value as never);
  }

  #container(number: number): HeldContainer {
    const { assignments, open } = this.#holdings;
    const pool = [...assignments.values()].find(({ containers }) => containers.some((one) => one.number === number));
    const served = pool?.containers.find((one) => one.number === number);
    const isOpen = open.has(number);
    return {
      number,
      pool: isOpen ? (pool?.pool ?? null) : null,
      cellBytes: isOpen ? (served?.cellBytes ?? 0) : 0,
      note: this.notes.get(number) ?? null,
      versions: 3,
    };
  }

  readonly #answers: { readonly [Name in TargetQuestionName]: TargetQuestions[Name] } = {
    pools: () => ({ pools: [...new Set([...this.poolNotes.keys(), ...this.#holdings.assignments.keys()])] }),
    pool: ({ pool }) => {
      const assignment = this.#holdings.assignments.get(pool);
      const noted = this.poolNotes.get(pool);
      if (assignment === undefined && noted === undefined) return { held: null };
      const quota = this.#holdings.quotas.get(pool);
      return {
        held: {
          pool,
          mapVersion: assignment?.map.version ?? 0,
          own: assignment?.own[0] ?? -1,
          quota: quota === undefined ? null : { sizeBytes: quota.targetBytes, containers: quota.containers.length },
          note: noted?.note ?? null,
          map: noted?.map ?? null,
        },
      };
    },
    holdings: ({ after }) => {
      const numbers = [...new Set([...this.notes.keys(), ...this.#holdings.open])].filter((number) => number > after);
      const page = numbers.toSorted((left, right) => left - right).slice(0, 2);
      const containers = page.map((number) => this.#container(number));
      return { containers, next: numbers.length > 2 ? page.at(-1)! : null };
    },
    containers: ({ containers }) => ({ containers: containers.map((number) => this.#container(number)) }),
    snapshots: ({ containers }) => ({
      containers: containers.map((number) => {
        if (!this.#holdings.open.has(number)) return null;
        const epochs = [...(this.#holdings.snapshots.get(number) ?? [])];
        return { epochs, aggregatedTo: this.aggregatedTo };
      }),
    }),
    leftovers: () => {
      const undecided = [...this.undecided.values()];
      return {
        undecided,
        undecidedCount: undecided.length,
        remembered: [...this.remembered],
        rememberedCount: this.remembered.length,
      };
    },
    areUndecided: ({ ids }) => ({
      areUndecided: ids.map(({ client, sequence }) => this.undecided.has(`${client}/${sequence}`)),
    }),
    dkeys: () => ({ ...this.dkeyPage, dkeys: 1, bytes: 2, unjudged: 0, next: null }),
    dropDkey: () => {
      this.dkeyPage = { ...this.dkeyPage, differences: [] };
      return {};
    },
    keepNotes: ({ pools, containers }) => {
      for (const { pool, note, map } of pools) this.poolNotes.set(pool, { note, map });
      for (const { container, note } of containers) this.notes.set(container, note);
      return {};
    },
    forgetPool: ({ pool }) => {
      this.poolNotes.delete(pool);
      return {};
    },
    adoptSnapshots: ({ container, epochs }) => {
      const own = this.#holdings.snapshots.get(container) ?? new Set();
      for (const epoch of epochs) own.add(epoch);
      this.#holdings.snapshots.set(container, own);
      return {};
    },
    settle: ({ orphans }) => {
      for (const { client, sequence } of orphans) this.undecided.delete(`${client}/${sequence}`);
      if (this.decides && orphans.length === 0) this.undecided.clear();
      return {};
    },
    forgetDecisions: ({ ids }) => {
      const isForgotten = (one: DtxId): boolean =>
        ids.some(({ client, sequence }) => client === one.client && sequence === one.sequence);
      this.remembered.splice(0, Infinity, ...this.remembered.filter((one) => !isForgotten(one)));
      return {};
    },
  };
}
