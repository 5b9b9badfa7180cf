/** Whether a shard of a dkey says that something may be there. */
import { VersionKind } from "../store/cell.ts";
import { akeyPrefixOf, beneathStart, prefixEnd } from "./cell-key.ts";
import { LATEST } from "./condition.ts";
import type { StoredDkey } from "./dkey-copy.ts";
import { Seen, type TargetObjects } from "./target-objects.ts";

export interface DkeyPresence {
  readonly isThere: boolean;
  /** What that rests on: see CellStore.whenStable. */
  readonly sequence: number;
}

/** Whether an akey of it is not punched, be it an array of which no byte lies here. */
export function dkeyPresence(
  target: TargetObjects,
  container: number,
  { oid, prefix }: Pick<StoredDkey, "oid" | "prefix">,
): DkeyPresence {
  const seen = new Seen();
  const floor = target.floor(target.object(container, oid), prefix, LATEST, seen);
  let isThere = false;
  target.store.scan(beneathStart(prefix), prefixEnd(prefix), LATEST, (key, version) => {
    if (key.length > akeyPrefixOf(key, prefix).length + 1) return true;
    seen.add(version.sequence);
    isThere = version.kind !== VersionKind.tombstone && version.epoch > floor;
    return !isThere;
  });
  return { isThere, sequence: seen.sequence };
}
