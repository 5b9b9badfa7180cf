/**
 * Whether a dkey of an object that a transaction punches was punched before. The lock that keeps the others of the object's
 * dkeys is of one dkey, in an order of its own: a crash may bring it back when they have been punched, and written again.
 */
import type { ByteString } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";
import { isUndecided } from "../store/stability.ts";
import { akeyPrefixOf, ownCellKey, prefixEnd } from "./cell-key.ts";
import { LATEST } from "./condition.ts";
import { firstKey } from "./first-key.ts";
import type { WriteOutcome } from "./single-value.ts";
import type { TargetObjects } from "./target-objects.ts";
import { notSettled } from "./transaction-refusals.ts";

/**
 * The outcome of a punch at `at` of the dkey with this prefix when something of it is newer: nothing is to be done then,
 * for that came after the punch, in the dkey's own order. Undefined when nothing is. Throws UNAVAILABLE while that is not
 * decided.
 */
export function sweptBefore({ store }: TargetObjects, prefix: string, at: Epoch): WriteOutcome | undefined {
  const end = prefixEnd(prefix);
  for (let found = firstKey(store, ownCellKey(prefix), end); found !== undefined;) {
    const isOwn = found.length === prefix.length + 1;
    const cell = isOwn ? prefix : akeyPrefixOf(found, prefix);
    const newest = store.get(ownCellKey(cell), LATEST);
    if (newest !== undefined && newest.epoch > at) {
      if (isUndecided(newest.sequence)) throw notSettled();
      return { epoch: at, sequence: newest.sequence, error: undefined };
    }
    found = firstKey(store, isOwn ? (`${found}\x00` as ByteString) : prefixEnd(cell), end);
  }
  return undefined;
}
