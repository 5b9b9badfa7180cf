/** Where the walk over what is to be brought of one container is: through all its dkeys once for each level that there is. */

export class WalkPosition {
  readonly container: number;
  /** Of what is to be brought, ascending; see levelOf. */
  #levels: readonly number[];
  readonly targets: ReadonlySet<number>;
  #place = 0;
  /** The prefix behind which it goes on; undefined: with the first. */
  after: string | undefined;
  /** Prefixes of dkeys that could not be brought this time. */
  readonly damaged = new Set<string>();
  /** Dkeys that it has come by, of those that are to be brought. */
  passed = 0;

  /** `targets`: those that are to be brought something. */
  constructor(container: number, levels: readonly number[], targets: ReadonlySet<number>) {
    this.container = container;
    this.#levels = levels;
    this.targets = targets;
  }

  get isFirst(): boolean {
    return this.#place === 0 && this.after === undefined;
  }

  /** It has been nowhere, for nothing is to be brought. */
  get isEmpty(): boolean {
    return this.#levels.length === 0;
  }

  /** Of the dkeys that are brought now; undefined: it has been everywhere. */
  get level(): number | undefined {
    return this.#levels[this.#place];
  }

  /** So many were brought, or had been. `after`: where it goes on; undefined: with the next level. */
  moved(dkeys: number, after: string | undefined): void {
    this.passed += dkeys;
    this.after = after;
    if (after === undefined) this.#place += 1;
  }

  /** Through all once more, also when nothing is to be brought. */
  restart(): void {
    if (this.isEmpty) this.#levels = [0];
    this.#place = 0;
    this.after = undefined;
    this.passed = 0;
    this.damaged.clear();
  }
}

/** The one with the least redundancy left; before it one that only has to be ended. */
export function mostUrgent(positions: readonly WalkPosition[]): WalkPosition | undefined {
  let first: WalkPosition | undefined;
  for (const position of positions) {
    if (first === undefined || (position.level ?? -1) < (first.level ?? -1)) first = position;
  }
  return first;
}
