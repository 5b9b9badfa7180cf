/**
 * What a target that is filled may have already, of dkeys whose leaders it cannot be read beside: it stays until the leader has
 * compared it (fill-compare.ts). Nobody reads it, and no update comes to it before that.
 *
 * A leader that has nothing for this target does not open it; it is told that something is here, and then says that it has
 * nothing (`close`), so what is here is removed.
 */
import { bytesEqual } from "../base/bytes.ts";
import { DaosError } from "../base/errors.ts";
import { isErasureCoded, isRedundant, type ObjectId } from "../base/object-id.ts";
import { type CompareAnswer, type ComparedDkey, type CompareRequest, SAME, summaryOf } from "../format/fill-compare.ts";
import { type FillStore, isComparable } from "./fill-store.ts";
import type { Groups } from "./group.ts";

/** Dkeys that one answer speaks of. */
const ANSWER_DKEYS = 1024;

export interface HeldDkeysOptions {
  readonly self: number;
  readonly store: FillStore;
  readonly groups: () => Groups;
}

export class HeldDkeys {
  readonly #options: HeldDkeysOptions;
  /** Leaders of what may be here, by container. */
  readonly #leaders = new Map<number, Set<number>>();

  constructor(options: HeldDkeysOptions) {
    this.#options = options;
  }

  /** Something is here that this leader may have otherwise. */
  note(container: number, leader: number): void {
    const leaders = this.#leaders.get(container);
    if (leaders === undefined) this.#leaders.set(container, new Set([leader]));
    else leaders.add(leader);
  }

  forget(container: number, leader: number): void {
    this.#leaders.get(container)?.delete(leader);
  }

  has(container: number, leader: number): boolean {
    return this.#leaders.get(container)?.has(leader) === true;
  }

  /** Containers and leaders, of each that something may be here. */
  *all(): Generator<{ readonly container: number; readonly leader: number }, void, void> {
    for (const [container, leaders] of this.#leaders) for (const leader of leaders) yield { container, leader };
  }

  /** Answers a leader's question. Nothing of the range is being written. */
  answer(container: number, leader: number, { after, upTo, dkeys }: CompareRequest): CompareAnswer {
    const here = this.#list(container, leader, after, upTo);
    if (dkeys instanceof Uint8Array) {
      if (here.isCut) return { isSame: false, upTo: after, same: [], others: [] };
      const summary = summaryOf(here.prefixes.map((prefix) => this.#digested(container, prefix)));
      const isSame = summary !== undefined && bytesEqual(summary, dkeys);
      return isSame ? SAME : { isSame, upTo: after, same: [], others: [] };
    }
    const asked = new Set(dkeys.map(({ prefix }) => prefix));
    const present = new Set(here.prefixes);
    return {
      isSame: false,
      upTo: here.isCut ? here.prefixes.at(-1)! : upTo,
      same: dkeys.map(({ prefix, digest }) => {
        if (digest === undefined || !present.has(prefix)) return false;
        const own = this.#digested(container, prefix).digest;
        return own !== undefined && bytesEqual(own, digest);
      }),
      others: here.prefixes.filter((prefix) => !asked.has(prefix)),
    };
  }

  #list(
    container: number,
    leader: number,
    after: string,
    upTo: string,
  ): { readonly prefixes: readonly string[]; readonly isCut: boolean } {
    const { groups, self, store } = this.#options;
    const prefixes: string[] = [];
    const wanted = (oid: ObjectId): boolean => isRedundant(oid) && !isErasureCoded(oid);
    for (let from: string | undefined = after === "" ? undefined : after; ;) {
      const list = store.copies.list(container, from, ANSWER_DKEYS, wanted);
      for (const { oid, dkey, prefix } of list.places) {
        if (prefix > upTo) return { prefixes, isCut: false };
        const group = groups().groupOf(oid, dkey);
        if (group.leader !== leader || !isComparable(oid, group, self)) continue;
        prefixes.push(prefix);
        if (prefixes.length >= ANSWER_DKEYS) return { prefixes, isCut: prefix < upTo };
      }
      if (list.after === undefined) return { prefixes, isCut: false };
      from = list.after;
    }
  }

  /** Without a digest when something of it is not decided here, or damaged. */
  #digested(container: number, prefix: string): ComparedDkey {
    try {
      return { prefix, digest: this.#options.store.copies.digest(container, prefix) };
    } catch (error) {
      if (!(error instanceof DaosError)) throw error;
      return { prefix, digest: undefined };
    }
  }
}
