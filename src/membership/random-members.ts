/** Members drawn at random: never ourselves, never one that is dead or has left. */
import type { Random } from "../contracts/world.ts";
import type { MemberViews } from "./member-views.ts";

/** Draws before there is none: most members are gone then. */
const MAX_DRAWS = 16;

export class RandomMembers {
  readonly #own: number;
  readonly #views: MemberViews;
  readonly #random: Pick<Random, "next">;

  constructor(own: number, views: MemberViews, random: Pick<Random, "next">) {
    this.#own = own;
    this.#views = views;
    this.#random = random;
  }

  /** One; undefined when there seems to be none. */
  draw(): number | undefined {
    return this.drawSeveral(1)[0];
  }

  /** Up to `count` different ones, without `other`. */
  drawSeveral(count: number, other?: number): readonly number[] {
    const { ranks } = this.#views.roster;
    const drawn: number[] = [];
    for (let draw = 0; draw < MAX_DRAWS && drawn.length < count; draw += 1) {
      const rank = ranks[Math.floor(this.#random.next() * ranks.length)];
      if (rank === undefined) break;
      if (rank !== this.#own && rank !== other && !this.#views.isGone(rank) && !drawn.includes(rank)) drawn.push(rank);
    }
    return drawn;
  }
}
