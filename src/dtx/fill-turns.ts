/** In which order a target does what one leader brings. */

/** What a leader sends of one dkey is done one after the other; the rest when all before it is done, and before all after. */
export class FillTurns {
  readonly #byDkey = new Map<string, Promise<void>>();
  #barrier: Promise<unknown> = Promise.resolve();

  run(dkey: string | undefined, work: () => Promise<void>): Promise<void> {
    if (dkey === undefined) {
      const turn = Promise.all([this.#barrier, ...this.#byDkey.values()]).then(work);
      this.#barrier = turn;
      return turn;
    }
    const turn = Promise.all([this.#barrier, this.#byDkey.get(dkey)])
      .then(work)
      .finally(() => {
        if (this.#byDkey.get(dkey) === turn) this.#byDkey.delete(dkey);
      });
    this.#byDkey.set(dkey, turn);
    return turn;
  }
}
