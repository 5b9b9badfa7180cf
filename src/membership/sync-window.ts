/** What a sync tells: as many of our beliefs as a datagram has room for, each in its turn. */
import { MAX_MEMBER_UPDATES, type MemberUpdate } from "../format/membership-message.ts";
import type { MemberViews } from "./member-views.ts";

export class SyncWindow {
  readonly #views: MemberViews;
  /** Where the next window begins. */
  #offset = 0;

  constructor(views: MemberViews) {
    this.#views = views;
  }

  /** `first` goes before the rest; at most MAX_MEMBER_UPDATES. */
  take(first: readonly MemberUpdate[]): readonly MemberUpdate[] {
    const { saidCount } = this.#views;
    if (saidCount === 0) return first;
    const room = MAX_MEMBER_UPDATES - first.length;
    const from = this.#offset % saidCount;
    const window = [...first];
    let index = 0;
    for (const update of this.#views.said()) {
      if (index >= from && index < from + room) window.push(update);
      index += 1;
    }
    this.#offset = from + room >= saidCount ? 0 : from + room;
    return window;
  }
}
