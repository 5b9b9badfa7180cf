/** What keeps a transaction from a dkey, or from an object that it is to punch. */
import type { ByteString } from "../base/bytes.ts";
import type { TransactionPart } from "../format/transaction-part.ts";
import { VersionKind } from "../store/cell.ts";
import { isUndecided } from "../store/stability.ts";
import { OBJECT_PREFIX_BYTES, prefixEnd } from "./cell-key.ts";
import { LATEST } from "./condition.ts";
import type { TargetObjects } from "./target-objects.ts";
import { regionKey } from "./transaction-cells.ts";
import { isSame } from "./transaction-state.ts";

type Holds = Pick<TargetObjects, "store" | "locks">;

/** Whether another transaction holds the object of a dkey, or, of an object that is to be punched, holds a dkey or may again. */
export function isHeldByOther(target: Holds, prefix: string, { id, punchesUnder }: TransactionPart): boolean {
  const { locks } = target;
  const object = prefix.slice(0, OBJECT_PREFIX_BYTES);
  const others = punchesUnder === undefined ? locks.ofObject(object) : locks.within(object);
  for (const { part } of others) if (!isSame(part.id, id)) return true;
  return punchesUnder !== undefined && mayBeHeldAgain(target, object);
}

/**
 * Whether what has let go of a dkey of the object is not decided. Were it undone after the object was locked, the other
 * transaction would write there once the object is punched, with an epoch before the punch: nothing would hide that.
 */
function mayBeHeldAgain({ store }: Holds, object: string): boolean {
  let isUnsure = false;
  store.scan(regionKey(object as ByteString), regionKey(prefixEnd(object)), LATEST, (_key, { kind, sequence }) => {
    isUnsure = kind === VersionKind.tombstone && isUndecided(sequence);
    return !isUnsure;
  });
  return isUnsure;
}
