/**
 * Undecided updates of others' making, or of ours before a restart, in groups that this target leads now. Each is decided when
 * the members whose word counts have spoken: one that all of them have is committed, one that a single one does not have was
 * never acknowledged.
 *
 * The word of a member counts when it can be read, or when we have brought it all under this map: then it must have every
 * update since. Of another one that is being filled only what it has counts; it gets the rest anew.
 */
import type { Decision, DtxId } from "../base/dtx-id.ts";
import { DtxState } from "../format/dtx-messages.ts";
import { DtxMap } from "../store/dtx-map.ts";
import type { Groups } from "./group.ts";
import type { OpenUpdate } from "./prepared-store.ts";

interface Inherited extends DtxId {
  readonly update: OpenUpdate;
  readonly unit: string;
  /** Members that have not said what they know of it. */
  readonly waiting: Set<number>;
  readonly members: readonly number[];
}

export interface InheritedUpdatesOptions {
  /** Decides it here and tells the members. */
  readonly decided: (id: DtxId, decision: Decision, members: readonly number[]) => void;
  /** Of these those that take part and are others than this target. */
  readonly others: (members: readonly number[]) => readonly number[];
  /** See MapAgreement.missing. */
  readonly missing: () => ReadonlySet<number>;
}

export class InheritedUpdates {
  readonly #options: InheritedUpdatesOptions;
  readonly #updates = new DtxMap<Inherited>();
  readonly #byDkey = new Map<string, number>();

  constructor(options: InheritedUpdatesOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#updates.size;
  }

  has(id: DtxId): boolean {
    return this.#updates.get(id) !== undefined;
  }

  /** Whether there are some of the dkey. */
  hasDkey(unit: string): boolean {
    return this.#byDkey.has(unit);
  }

  add(update: OpenUpdate, unit: string, members: readonly number[]): void {
    const others = this.#options.others(members);
    const { client, sequence } = update.id;
    this.#updates.add(update.id, {
      client,
      sequence,
      update,
      unit,
      members: others,
      waiting: new Set([...others, ...this.#options.missing()]),
    });
    this.#byDkey.set(unit, (this.#byDkey.get(unit) ?? 0) + 1);
  }

  /** Ids that this member has not spoken of. */
  idsToAsk(member: number): DtxId[] {
    return [...this.#updates.values()].filter(({ waiting }) => waiting.has(member));
  }

  /** Members that take part no more are waited for no longer. */
  forgetGone(): void {
    for (const { waiting } of this.#updates.values()) {
      const left = new Set(this.#options.others([...waiting]));
      for (const member of waiting) if (!left.has(member)) waiting.delete(member);
    }
    this.settle();
  }

  /** Commits what nobody is waited for any more. */
  settle(): void {
    for (const inherited of this.#updates.values()) this.#settleIfAll(inherited);
  }

  /**
   * What a member said of these. `isComplete`: whether we have brought it all of a container. The older ones are committed
   * first, the newer ones aborted first.
   */
  heard(
    member: number,
    ids: readonly DtxId[],
    states: readonly DtxState[],
    groups: Groups,
    isComplete: (container: number) => boolean,
  ): void {
    for (const [index, id] of ids.entries()) {
      const inherited = this.#updates.get(id);
      if (inherited === undefined) continue;
      if (states[index] === DtxState.committed) this.#settle(inherited, "commit");
      else if (states[index] === DtxState.prepared || !counts(inherited, member, groups, isComplete)) {
        inherited.waiting.delete(member);
        this.#settleIfAll(inherited);
      }
    }
    for (let index = ids.length - 1; index >= 0; index -= 1) {
      const inherited = this.#updates.get(ids[index]!);
      const state = states[index];
      if (inherited === undefined || state === DtxState.prepared || state === DtxState.committed) continue;
      if (counts(inherited, member, groups, isComplete)) this.#settle(inherited, "abort");
    }
  }

  removeContainer(container: number): void {
    for (const inherited of this.#updates.values()) {
      if (inherited.update.container === container) this.#settle(inherited, "abort");
    }
  }

  #settleIfAll(inherited: Inherited): void {
    if (inherited.waiting.size === 0) this.#settle(inherited, "commit");
  }

  #settle(inherited: Inherited, decision: Decision): void {
    if (this.#updates.get(inherited) !== inherited) return;
    this.#updates.delete(inherited);
    const left = this.#byDkey.get(inherited.unit)! - 1;
    if (left === 0) this.#byDkey.delete(inherited.unit);
    else this.#byDkey.set(inherited.unit, left);
    this.#options.decided(inherited, decision, this.#options.others(inherited.members));
  }
}

function counts(
  { update }: Inherited,
  member: number,
  groups: Groups,
  isComplete: (container: number) => boolean,
): boolean {
  const { readable, members } = groups.groupOf(update.oid, update.dkey);
  return readable.includes(member) || (members.includes(member) && isComplete(update.container));
}
