/** Waiting for the log of a store. */
import type { CellStore } from "../store/cell.ts";

/** Resolves when the store has everything up to `sequence` on its medium. Rejects with READ_ONLY, IO. */
export function durable(store: CellStore, sequence: number): Promise<void> {
  return new Promise((resolve, reject) => {
    store.whenDurable(sequence, (error) => (error === undefined ? resolve() : reject(error)));
  });
}

/** Resolves when nothing that `sequence` names can be undone any more. Rejects as CellStore.whenStable calls back. */
export function stable(store: CellStore, sequence: number): Promise<void> {
  return new Promise((resolve, reject) => {
    store.whenStable(sequence, (error) => (error === undefined ? resolve() : reject(error)));
  });
}
