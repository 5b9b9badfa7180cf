/**
 * Who may change a dkey: many updates at a time, which their leader orders, or one that has to read first what it changes
 * (punches of parts of stripes, folds). First come, first served; what waits is bounded by the requests that are open.
 */

/** Gives the lock back; once. */
export type Unlock = () => void;

interface Waiting {
  readonly isExclusive: boolean;
  readonly go: () => void;
}

interface Lock {
  shared: number;
  isExclusive: boolean;
  readonly waiting: Waiting[];
}

export class DkeyLocks {
  readonly #locks = new Map<string, Lock>();

  /** Among others of its kind. `unit`: names the dkey. */
  shared(unit: string): Promise<Unlock> {
    return this.#acquire(unit, false);
  }

  /** Alone. */
  exclusive(unit: string): Promise<Unlock> {
    return this.#acquire(unit, true);
  }

  async #acquire(unit: string, isExclusive: boolean): Promise<Unlock> {
    let lock = this.#locks.get(unit);
    if (lock === undefined) {
      lock = { shared: 0, isExclusive: false, waiting: [] };
      this.#locks.set(unit, lock);
    }
    const isFree = !lock.isExclusive && (!isExclusive || lock.shared === 0);
    if (isFree && lock.waiting.length === 0) take(lock, isExclusive);
    else {
      const { waiting } = lock;
      await new Promise<void>((go) => waiting.push({ isExclusive, go }));
    }
    return this.#unlocker(unit, lock, isExclusive);
  }

  #unlocker(unit: string, lock: Lock, isExclusive: boolean): Unlock {
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      if (isExclusive) lock.isExclusive = false;
      else lock.shared -= 1;
      for (let next = lock.waiting[0]; next !== undefined; next = lock.waiting[0]) {
        if (lock.isExclusive || (next.isExclusive && lock.shared > 0)) return;
        lock.waiting.shift();
        take(lock, next.isExclusive);
        next.go();
      }
      if (lock.shared === 0 && !lock.isExclusive) this.#locks.delete(unit);
    };
  }
}

function take(lock: Lock, isExclusive: boolean): void {
  if (isExclusive) lock.isExclusive = true;
  else lock.shared += 1;
}
