/**
 * The prepared records of a crash model, and what the group that they belong to knows of them: a decision that was made
 * stays made, so a record that a crash left undecided is decided the same way again. Nothing is forgotten before its
 * decision is durable.
 */
import type { ByteString } from "../../src/base/bytes.ts";
import type { Decision, DtxId } from "../../src/base/dtx-id.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import type { CellStore, DtxState } from "../../src/store/cell.ts";
import type { ModelOperation } from "./crash-model.ts";

const CLIENT = 77;
/** Requests that the client has not acknowledged. */
export const REQUEST_WINDOW = 20;

export interface ModelTransaction {
  readonly id: DtxId;
  readonly operation: ModelOperation;
  readonly epoch: Epoch;
  readonly keys: readonly ByteString[];
  decision: Decision | undefined;
  /** The decision was reported durable. */
  isDurable: boolean;
  isForgotten: boolean;
  /** As the store sees it: decided in this life, or found so after a crash. */
  state: DtxState;
}

export class ModelTransactions {
  #lastNumber = 0;
  /** Oldest first. */
  #all: ModelTransaction[] = [];

  nextId(): DtxId {
    this.#lastNumber += 1;
    return { client: CLIENT, sequence: this.#lastNumber };
  }

  add(id: DtxId, operation: ModelOperation, epoch: Epoch): void {
    const keys = operation.writes.map(({ key }) => key);
    const begun = { decision: undefined, isDurable: false, isForgotten: false, state: "prepared" as const };
    this.#all.push({ id, operation, epoch, keys, ...begun });
  }

  of(operation: ModelOperation): ModelTransaction | undefined {
    return this.#all.find((transaction) => transaction.operation === operation);
  }

  undecided(): ModelTransaction[] {
    return this.#all.filter(({ state }) => state === "prepared");
  }

  /** Cells in which an undecided version lies. */
  undecidedKeys(): Set<ByteString> {
    return new Set(this.undecided().flatMap(({ keys }) => keys));
  }

  /** Whether the caller's rules allow the decision now: the same cell's oldest first, or newest first. */
  mayDecide(transaction: ModelTransaction, decision: Decision): boolean {
    const undecided = this.undecided();
    const place = undecided.indexOf(transaction);
    const others = decision === "commit" ? undecided.slice(0, place) : undecided.slice(place + 1);
    return others.every(({ keys }) => !keys.some((key) => transaction.keys.includes(key)));
  }

  decide(store: CellStore, transaction: ModelTransaction, decision: Decision): void {
    if (!store.transactions.decide(transaction.id, decision)) throw new Error("a prepared record is unknown");
    transaction.decision = decision;
    transaction.state = decision === "commit" ? "committed" : "aborted";
  }

  /** Logs what is decided; `alive` says whether the answer still counts. */
  logDecisions(store: CellStore, alive: () => boolean): void {
    const decided = this.#all.filter(({ state }) => state !== "prepared");
    store.whenDurable(store.transactions.logDecisions(), (error) => {
      if (error === undefined && alive()) for (const transaction of decided) transaction.isDurable = true;
    });
  }

  /** Forgets a decision that is durable, if there is one. */
  forget(store: CellStore, pick: (count: number) => number): void {
    const candidates = this.#all.filter(({ isDurable, isForgotten }) => isDurable && !isForgotten);
    const chosen = candidates[pick(Math.max(1, candidates.length))];
    if (chosen === undefined) return;
    store.transactions.forget(chosen.id);
    chosen.isForgotten = true;
  }

  /** Takes what the store says of every record up to `sequence` after a crash, and checks that it may say so. */
  recoverTo(store: CellStore, sequence: number): void {
    this.#all = this.#all.filter(({ operation }) => operation.sequence <= sequence);
    for (const transaction of this.#all) {
      const { id, decision, isDurable, isForgotten } = transaction;
      const found = store.transactions.stateOf(id);
      const decided = decision === undefined ? undefined : decision === "commit" ? "committed" : "aborted";
      const isAllowed =
        found === decided
          ? decided !== undefined
          : found === undefined
            ? isForgotten
            : found === "prepared" && !isDurable;
      if (!isAllowed) throw new Error(`record ${id.sequence} is ${found}, decided ${decided}, durable ${isDurable}`);
      transaction.state = found ?? decided!;
    }
    const listed = store.transactions.undecided().map(({ id, epoch, keys }) => ({ id, epoch, keys }));
    const expected = this.undecided().map(({ id, epoch, keys }) => ({ id, epoch, keys }));
    if (JSON.stringify(sorted(listed)) !== JSON.stringify(sorted(expected))) {
      throw new Error(`undecided are ${JSON.stringify(listed)} instead of ${JSON.stringify(expected)}`);
    }
    this.#checkRequests(store);
  }

  /** What was settled is not looked at any more. */
  prune(): void {
    const newest = this.#all.at(-1)?.id.sequence ?? 0;
    this.#all = this.#all.filter(({ isForgotten, id }) => !isForgotten || id.sequence > newest - REQUEST_WINDOW);
  }

  #checkRequests(store: CellStore): void {
    const newest = this.#all.at(-1)?.id.sequence ?? 0;
    for (let sequence = Math.max(1, newest - REQUEST_WINDOW + 2); sequence <= newest; sequence += 1) {
      const transaction = this.#all.find(({ id }) => id.sequence === sequence);
      const found = store.requests.completed({ client: CLIENT, sequence });
      const epoch = transaction === undefined || transaction.state === "aborted" ? undefined : transaction.epoch;
      const shown = typeof found === "object" ? found.epoch : found;
      if (shown !== epoch)
        throw new Error(`request ${sequence} (${transaction?.state}) is ${shown} instead of ${epoch}`);
    }
  }

  /** Decides again what was decided before the crash, in the order that the rules ask for. */
  redecide(store: CellStore): void {
    for (const again of this.undecided()) if (again.decision === "commit") this.decide(store, again, "commit");
    for (const again of this.undecided().reverse()) if (again.decision === "abort") this.decide(store, again, "abort");
  }
}

function sorted<T extends { readonly id: DtxId }>(list: readonly T[]): T[] {
  return list.toSorted((left, right) => left.id.sequence - right.id.sequence);
}
