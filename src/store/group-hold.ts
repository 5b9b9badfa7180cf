/**
 * Whether a group of records that could be persisted now should wait a turn of the event loop for more. Where a persist
 * takes a medium's latency, a few records more in it save whole persists: with 50 clients that each have one put in
 * flight, groups grow from some 10 to some 50 records and puts by a third. It holds only while it pays: after a group of
 * several records, as long as every turn brings new ones, up to HOLD_RECORDS. A client that is alone never waits.
 */

/** A group of so many records waits no longer. */
export const HOLD_RECORDS = 64;
/** Fewer records in the group before tell of too few writers to wait for. */
export const LEAST_GROUP_RECORDS = 4;

export class GroupHold {
  readonly #isWorthwhile: boolean;
  #lastGroupRecords = 0;
  /** Last record of the group persisted last. */
  #groupSequence = 0;
  #seenSequence = 0;

  /** `isWorthwhile`: a persist takes longer than a turn. `lastSequence`: the records up to here are durable. */
  constructor(isWorthwhile: boolean, lastSequence: number) {
    this.#isWorthwhile = isWorthwhile;
    this.#groupSequence = lastSequence;
    this.#seenSequence = lastSequence;
  }

  /** Asked once a turn, with the last record appended so far. */
  holds(lastSequence: number): boolean {
    const hasGrown = lastSequence > this.#seenSequence;
    this.#seenSequence = lastSequence;
    if (!this.#isWorthwhile || !hasGrown || this.#lastGroupRecords < LEAST_GROUP_RECORDS) return false;
    return lastSequence - this.#groupSequence < HOLD_RECORDS;
  }

  /** A group that ends with this record is being persisted. */
  persisting(lastSequence: number): void {
    this.#lastGroupRecords = lastSequence - this.#groupSequence;
    this.#groupSequence = lastSequence;
  }
}
