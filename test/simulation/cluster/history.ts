/**
 * What clients asked for and were told, and whether some order of it explains every answer (linearisability; Wing and
 * Gong, 1993, with memo as Lowe, 2017). One history a dkey: all operations on a dkey are atomic together.
 */

/** Single values and array records under one dkey. */
export const VALUE_COUNT = 2;
export const RECORD_COUNT = 6;
/** Never tried longer: then the history counts as explained. */
const MAX_STEPS = 400_000;

/** Ids of what was written, values first, then records; 0: absent. */
export type DkeyState = readonly number[];
export const EMPTY_STATE: DkeyState = new Array<number>(VALUE_COUNT + RECORD_COUNT).fill(0);

export type Action =
  | { readonly kind: "fetch"; readonly at: number }
  | { readonly kind: "update"; readonly at: number; readonly id: number; readonly condition?: "ifExists" | "ifAbsent" }
  | { readonly kind: "punchAkey"; readonly at: number }
  | { readonly kind: "punchDkey" }
  | { readonly kind: "read"; readonly from: number; readonly to: number }
  | { readonly kind: "write"; readonly from: number; readonly to: number; readonly id: number };

export type Outcome =
  | { readonly kind: "done"; readonly epoch: number }
  | { readonly kind: "seen"; readonly ids: readonly number[] }
  | { readonly kind: "refused" }
  | { readonly kind: "unknown"; readonly code: string };

export interface Operation {
  readonly client: number;
  readonly action: Action;
  readonly startNs: number;
  /** Infinity: it may happen yet. */
  endNs: number;
  outcome: Outcome;
}

/** The state after the operation, or undefined when its outcome cannot be. */
export function apply(state: DkeyState, { action, outcome }: Operation): DkeyState | undefined {
  switch (action.kind) {
    case "fetch":
    case "read": {
      const [from, to] = action.kind === "fetch" ? [action.at, action.at + 1] : rangeOf(action);
      if (outcome.kind !== "seen") return state;
      return outcome.ids.every((id, place) => id === state[from + place]) && to - from === outcome.ids.length
        ? state
        : undefined;
    }
    case "update": {
      const exists = state[action.at] !== 0;
      const holds = action.condition === undefined || exists === (action.condition === "ifExists");
      if (!holds) return outcome.kind === "done" ? undefined : state;
      if (outcome.kind === "refused") return undefined;
      return filled(state, action.at, action.at + 1, action.id);
    }
    case "punchAkey":
      return filled(state, action.at, action.at + 1, 0);
    case "punchDkey":
      return EMPTY_STATE;
    case "write": {
      const [from, to] = rangeOf(action);
      return filled(state, from, to, action.id);
    }
    default:
      return action satisfies never;
  }
}

function onlyLooks({ outcome }: Operation): boolean {
  return outcome.kind === "seen" || outcome.kind === "refused";
}

function rangeOf({ from, to }: { readonly from: number; readonly to: number }): [from: number, to: number] {
  return [VALUE_COUNT + from, VALUE_COUNT + to];
}

function filled(state: DkeyState, from: number, to: number, id: number): DkeyState {
  return state.map((before, place) => (place >= from && place < to ? id : before));
}

export interface Explanation {
  readonly isExplained: boolean;
  /** The search was given up. */
  readonly isOpen: boolean;
  /** The operation that no order got past. */
  readonly stuckAt: Operation | undefined;
}

/** Whether an order of the operations, each between its start and end, explains all outcomes. */
export function explain(history: readonly Operation[]): Explanation {
  const isKnownRead = ({ action, outcome }: Operation): boolean =>
    outcome.kind !== "unknown" || (action.kind !== "fetch" && action.kind !== "read");
  const operations = history.filter(isKnownRead).toSorted((left, right) => left.startNs - right.startNs);
  const search = new Search(operations);
  return search.run();
}

/** Depth first, without recursion: a history may be long. */
class Search {
  readonly #operations: readonly Operation[];
  readonly #done: Uint8Array;
  readonly #seen = new Set<string>();
  #left: number;
  #steps = 0;
  #furthest = 0;
  #stuckAt: Operation | undefined;

  constructor(operations: readonly Operation[]) {
    this.#operations = operations;
    this.#done = new Uint8Array(operations.length);
    this.#left = operations.filter(({ outcome }) => outcome.kind !== "unknown").length;
  }

  run(): Explanation {
    const stack: { state: DkeyState; candidates: number[]; next: number; taken: number }[] = [];
    let state = EMPTY_STATE;
    stack.push({ state, candidates: this.#candidates(state), next: 0, taken: -1 });
    while (stack.length > 0) {
      if (this.#left === 0) return { isExplained: true, isOpen: false, stuckAt: undefined };
      this.#steps += 1;
      if (this.#steps > MAX_STEPS) return { isExplained: true, isOpen: true, stuckAt: undefined };
      const top = stack.at(-1)!;
      if (top.taken >= 0) this.#untake(top.taken);
      top.taken = -1;
      const candidate = top.candidates[top.next];
      if (candidate === undefined) {
        stack.pop();
        continue;
      }
      top.next += 1;
      const after = apply(top.state, this.#operations[candidate]!);
      if (after === undefined) continue;
      this.#take(candidate);
      const key = this.#key(after);
      if (this.#seen.has(key)) {
        this.#untake(candidate);
        continue;
      }
      this.#seen.add(key);
      top.taken = candidate;
      state = after;
      stack.push({ state, candidates: this.#candidates(state), next: 0, taken: -1 });
    }
    return { isExplained: false, isOpen: false, stuckAt: this.#stuckAt };
  }

  #take(index: number): void {
    this.#done[index] = 1;
    if (this.#operations[index]!.outcome.kind !== "unknown") this.#left -= 1;
  }

  #untake(index: number): void {
    this.#done[index] = 0;
    if (this.#operations[index]!.outcome.kind !== "unknown") this.#left += 1;
  }

  #key(state: DkeyState): string {
    let first = 0;
    while (first < this.#done.length && this.#done[first] === 1) first += 1;
    return `${first}/${this.#done.subarray(first).join("").replace(/0+$/, "")}/${state.join(",")}`;
  }

  /** What may come next: began before all that is left has ended. Known ones by epoch or end, then those that may not have been. */
  #candidates(state: DkeyState): number[] {
    let limit = Number.POSITIVE_INFINITY;
    let first = -1;
    for (const [index, { endNs }] of this.#operations.entries()) {
      if (this.#done[index] === 1 || endNs >= limit) continue;
      limit = endNs;
      first = index;
    }
    const done = this.#operations.length - this.#left;
    if (done > this.#furthest && first >= 0) {
      this.#furthest = done;
      this.#stuckAt = this.#operations[first];
    }
    const found: number[] = [];
    for (const [index, operation] of this.#operations.entries()) {
      if (operation.startNs > limit) break;
      if (this.#done[index] === 1) continue;
      // What only looks, and fits, can as well come at once. (A punch of what is empty cannot: it would punch more later.)
      if (onlyLooks(operation) && apply(state, operation) === state) return [index];
      found.push(index);
    }
    return found.toSorted((left, right) => this.#rank(left) - this.#rank(right));
  }

  #rank(index: number): number {
    const { outcome, endNs, startNs } = this.#operations[index]!;
    if (outcome.kind === "unknown") return 1e18 + startNs;
    if (outcome.kind === "done" && outcome.epoch > 0) return outcome.epoch;
    return 1e17 + endNs;
  }
}
