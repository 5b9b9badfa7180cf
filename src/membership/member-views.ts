/**
 * What one engine believes of the others: the roster, and what was said that differs from it (that all live, and doubted
 * nothing yet). Statements are ordered by start, refutations and state, and the highest is kept: engines that have heard
 * the same, in whatever order and however often, believe the same.
 *
 * Holds an entry only of those of whom something was said, so that thousands of views of thousands of members fit a
 * simulation.
 */
import { MemberState, type MemberUpdate } from "../format/membership-message.ts";
import type { Roster } from "./roster.ts";

const NOBODY: readonly number[] = [];

export class MemberViews {
  #roster: Roster;
  readonly #said = new Map<number, MemberUpdate>();
  readonly #gone = new Set<number>();

  constructor(roster: Roster) {
    this.#roster = roster;
  }

  get roster(): Roster {
    return this.#roster;
  }

  /** Ranks that are dead or have left. */
  get gone(): ReadonlySet<number> {
    return this.#gone;
  }

  /** All of whom something was said. */
  said(): Iterable<MemberUpdate> {
    return this.#said.values();
  }

  get saidCount(): number {
    return this.#said.size;
  }

  /** Undefined for who is no member. */
  get(rank: number): MemberUpdate | undefined {
    const said = this.#said.get(rank);
    if (said !== undefined) return said;
    const start = this.#roster.start(rank);
    if (start === undefined) return undefined;
    return { rank, start, refutation: 0, state: MemberState.alive, accusers: NOBODY };
  }

  /** What was said of a member, unless it is that it lives. */
  doubt(rank: number): MemberUpdate | undefined {
    const said = this.#said.get(rank);
    return said === undefined || said.state === MemberState.alive ? undefined : said;
  }

  /** Nothing was said of this member, and it says nothing new of itself: the usual case, quick. */
  isUndoubted(rank: number, start: number, refutation: number): boolean {
    return refutation === 0 && !this.#said.has(rank) && this.#roster.start(rank) === start;
  }

  isGone(rank: number): boolean {
    return this.#gone.has(rank);
  }

  /** Whether the statement wins over what we believe. False for who is no member. */
  isNews(update: MemberUpdate): boolean {
    const start = this.#roster.start(update.rank);
    if (start === undefined) return false;
    const said = this.#said.get(update.rank);
    if (said !== undefined) return compareUpdates(update, said) > 0;
    if (update.start !== start) return update.start > start;
    return update.refutation > 0 || update.state !== MemberState.alive;
  }

  /** Takes a statement that is news, or the same with more accusers. */
  set(update: MemberUpdate): void {
    this.#said.set(update.rank, update);
    if (update.state >= MemberState.dead) this.#gone.add(update.rank);
    else this.#gone.delete(update.rank);
  }

  /** Another roster: what was said of those who are no members any more, or of an earlier start, is forgotten. */
  adopt(roster: Roster): void {
    this.#roster = roster;
    for (const { rank, start } of this.#said.values()) {
      const current = roster.start(rank);
      if (current !== undefined && current <= start) continue;
      this.#said.delete(rank);
      this.#gone.delete(rank);
    }
  }
}

/** Both, no one twice, at most `limit`. */
export function joinAccusers(left: readonly number[], right: readonly number[], limit: number): readonly number[] {
  const more = right.filter((rank) => !left.includes(rank));
  return more.length === 0 ? left : [...left, ...more].slice(0, Math.max(limit, left.length));
}

/** Above 0 when `left` wins. */
export function compareUpdates(left: MemberUpdate, right: MemberUpdate): number {
  return left.start - right.start || left.refutation - right.refutation || left.state - right.state;
}
