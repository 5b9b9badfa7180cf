/**
 * What one engine believes, with what follows from it: a suspicion runs while a member is a suspect, what is new is told
 * on, and whoever wants to know hears of it.
 */
import { MAX_ACCUSERS, MemberState, type MemberUpdate } from "../format/membership-message.ts";
import type { GossipQueue } from "./gossip-queue.ts";
import { compareUpdates, joinAccusers, MemberViews } from "./member-views.ts";
import type { Roster } from "./roster.ts";
import { accusersAmong, suspicionLastsMs, type SwimSettings } from "./settings.ts";
import { Suspicions } from "./suspicions.ts";

const NOBODY: readonly number[] = [];

export class Beliefs {
  readonly views: MemberViews;
  readonly suspicions = new Suspicions();
  readonly #settings: SwimSettings;
  readonly #queue: GossipQueue;
  readonly #changed: ((update: MemberUpdate) => void) | undefined;

  constructor(
    roster: Roster,
    settings: SwimSettings,
    queue: GossipQueue,
    changed: ((update: MemberUpdate) => void) | undefined,
  ) {
    this.views = new MemberViews(roster);
    this.#settings = settings;
    this.#queue = queue;
    this.#changed = changed;
  }

  adopt(roster: Roster): void {
    this.views.adopt(roster);
    this.suspicions.keep((rank) => this.views.doubt(rank)?.state === MemberState.suspect);
  }

  /** Takes a statement that wins over what was believed, or the same with more accusers. */
  believe(update: MemberUpdate, nowMs: number): void {
    const { rank, state, accusers } = update;
    const before = this.suspicions.get(rank);
    const view = this.views.get(rank)!;
    const goesOn = before !== undefined && view.start === update.start && view.refutation === update.refutation;
    this.views.set(update);
    this.#queue.add(rank);
    if (state === MemberState.suspect) {
      const sinceMs = goesOn ? before.sinceMs : nowMs;
      const untilMs = sinceMs + suspicionLastsMs(this.#settings, this.views.roster.size, accusers.length);
      this.suspicions.set({ rank, sinceMs, untilMs: Math.max(untilMs, nowMs), isOwn: goesOn && before.isOwn });
    } else {
      this.suspicions.delete(rank);
    }
    this.#changed?.(update);
  }

  /** A suspicion that is not news: others may have found the same by themselves. */
  confirm(update: MemberUpdate, nowMs: number): void {
    const view = this.views.doubt(update.rank);
    if (view === undefined || compareUpdates(view, update) !== 0) return;
    const accusers = joinAccusers(view.accusers, update.accusers, this.#accuserLimit);
    if (accusers.length > view.accusers.length) this.believe({ ...view, accusers }, nowMs);
  }

  /** `accusers` have found that a member does not answer, we among them. False: that was known of all of them. */
  accuse(rank: number, by: readonly number[], nowMs: number): boolean {
    const view = this.views.get(rank)!;
    const known = view.state === MemberState.suspect ? view.accusers : NOBODY;
    const accusers = joinAccusers(known, by, this.#accuserLimit);
    const isNews = this.suspicions.get(rank) === undefined || accusers.length > known.length;
    if (isNews) this.believe({ ...view, state: MemberState.suspect, accusers }, nowMs);
    this.suspicions.get(rank)!.isOwn = true;
    return isNews;
  }

  /** Suspicions that are over: their suspects are dead. */
  endSuspicions(nowMs: number): void {
    for (const rank of this.suspicions.due(nowMs)) {
      const view = this.views.doubt(rank);
      if (view?.state === MemberState.suspect) this.believe({ ...view, state: MemberState.dead }, nowMs);
      else this.suspicions.delete(rank);
    }
  }

  get #accuserLimit(): number {
    return Math.min(MAX_ACCUSERS, accusersAmong(this.#settings, this.views.roster.size));
  }
}
