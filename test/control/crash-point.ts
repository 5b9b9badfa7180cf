/**
 * Ends a control plane as kill -9 would: at a chosen step (commit or call to the targets), before or after it took
 * effect. From then on everything the old process tries fails, so none of its clean-up code has any effect either.
 */
export class Crashed extends Error {
  override readonly name = "Crashed";
}

export class CrashPoint {
  readonly #at: number;
  readonly #after: boolean;
  #steps = 0;
  #dead = false;

  /** Crashes at step `at` (1 = the first), before it takes effect or right after. 0: never. */
  constructor(at: number, after: boolean) {
    this.#at = at;
    this.#after = after;
  }

  get crashed(): boolean {
    return this.#dead;
  }

  get steps(): number {
    return this.#steps;
  }

  alive(): void {
    if (this.#dead) throw new Crashed("dead");
  }

  step<Result>(apply: () => Result): Result {
    this.alive();
    this.#steps += 1;
    if (this.#steps !== this.#at) return apply();
    this.#dead = true;
    if (this.#after) apply();
    throw new Crashed(`at step ${this.#at}, ${this.#after ? "after" : "before"} it`);
  }
}
