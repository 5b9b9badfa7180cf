/**
 * A leader's part in finding out what a target that is filled has already: from before it was excluded, from an earlier map,
 * or from before one of the two has started anew. Of copies only: of erasure code nobody else has what a shard has.
 *
 * Two targets that show the same versions of all cells to the same readers have the same dkey: so digests are compared, first
 * of a range of dkeys together, then of each. What is the same counts as brought, and what the target has and the leader has
 * not is to be removed there, as a dkey of which nothing is left. An update of a dkey that does not count as brought waits until it is, so nothing changes
 * meanwhile but by being brought.
 */
import { DaosError } from "../base/errors.ts";
import {
  type ComparedDkey,
  type CompareAnswer,
  type CompareRequest,
  decodeCompareAnswer,
  summaryOf,
} from "../format/fill-compare.ts";
import { encodeFillRequest } from "../format/fill-message.ts";
import type { StoredDkey } from "../vos/dkey-copy.ts";
import { unitOf } from "./dkey-unit.ts";
import type { FillLinks } from "./fill-links.ts";
import { type Destination, type FillRound, type LevelledDkey, notYet } from "./fill-round.ts";
import { type FillStore, isComparable, levelOf } from "./fill-store.ts";
import type { Groups } from "./group.ts";
import type { GroupLeader } from "./group-leader.ts";

export interface FillCompareOptions {
  readonly self: number;
  readonly store: FillStore;
  readonly groups: () => Groups;
  readonly leader: GroupLeader;
}

type Compared = ComparedDkey & LevelledDkey & StoredDkey;

export class FillCompare {
  readonly #options: FillCompareOptions;
  readonly #links: FillLinks;

  constructor(options: FillCompareOptions, links: FillLinks) {
    this.#options = options;
    this.#links = links;
  }

  /**
   * Compares a range: behind `after`, up to `upTo`; `places`: what is stored here of it. Rejects with UNAVAILABLE, and as the target
   * does.
   */
  async run(
    round: FillRound,
    destination: Destination,
    places: readonly StoredDkey[],
    after: string,
    upTo: string,
  ): Promise<void> {
    const dkeys = places.flatMap((place) => this.#compared(round, destination, place) ?? []);
    const summary = summaryOf(dkeys);
    if (summary !== undefined) {
      const { isSame } = await this.#ask(round, destination, { after, upTo, dkeys: summary });
      if (isSame) {
        for (const dkey of dkeys) this.#accept(round, destination, dkey);
        return;
      }
    }
    for (let from = after; from < upTo;) {
      const left = dkeys.filter(({ prefix }) => prefix > from);
      const answer = await this.#ask(round, destination, { after: from, upTo, dkeys: left });
      if (answer.upTo <= from) throw notYet("it was not compared");
      for (const [index, dkey] of left.entries()) {
        if (dkey.prefix <= answer.upTo && answer.same[index] === true) this.#accept(round, destination, dkey);
      }
      for (const prefix of answer.others) this.#noteLeftOver(round, destination, prefix);
      from = answer.upTo;
    }
  }

  async #ask(round: FillRound, destination: Destination, compare: CompareRequest): Promise<CompareAnswer> {
    const { container, target } = destination;
    if (!this.#links.isPresent(destination)) throw notYet(`target ${target} has another connection`);
    const { args, payload } = encodeFillRequest({ kind: "compare", container, compare });
    const answer = decodeCompareAnswer(await this.#links.call(round, target, args, payload));
    round.check();
    return answer;
  }

  /** Undefined when the target is not to have it, or cannot have it from before. */
  #compared(round: FillRound, destination: Destination, place: StoredDkey): Compared | undefined {
    const { groups, self, store } = this.#options;
    const group = groups().groupOf(place.oid, place.dkey);
    if (group.leader !== self || !isComparable(place.oid, group, destination.target)) return undefined;
    const dkey = { ...place, level: levelOf(place.oid, group) };
    if (!this.#isOpen(round, destination, dkey)) return { ...dkey, digest: undefined };
    try {
      return { ...dkey, digest: store.copies.digest(destination.container, place.prefix) };
    } catch (error) {
      // It is found damaged when it is brought.
      if (!(error instanceof DaosError)) throw error;
      return { ...dkey, digest: undefined };
    }
  }

  /** Whether it is not known what the target has of it, and nothing is happening to it. */
  #isOpen(round: FillRound, destination: Destination, dkey: StoredDkey & LevelledDkey): boolean {
    const { prefix } = dkey;
    if (destination.has(dkey) || destination.broken.has(prefix) || round.filling.has(prefix)) return false;
    return !this.#options.leader.isSettling(unitOf({ container: destination.container, object: dkey }));
  }

  #accept(round: FillRound, destination: Destination, dkey: Compared): void {
    if (!this.#isOpen(round, destination, dkey)) return;
    destination.add(dkey);
    round.counts.same += 1;
  }

  /** The target has something of a dkey of which nothing is here. */
  #noteLeftOver(round: FillRound, destination: Destination, prefix: string): void {
    const { groups, self, store } = this.#options;
    const place = store.copies.placeOf(prefix);
    if (place === undefined) return;
    const group = groups().groupOf(place.oid, place.dkey);
    if (group.leader !== self || !isComparable(place.oid, group, destination.target)) return;
    const dkey = { ...place, level: levelOf(place.oid, group) };
    if (destination.has(dkey) || round.filling.has(prefix)) return;
    destination.broken.add(prefix);
  }
}
