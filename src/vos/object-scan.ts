/** What kinds of objects a target has cells of, found without looking at each dkey. */
import type { ByteString } from "../base/bytes.ts";
import { FIRST_ERASURE_NUMBER } from "../base/object-class.ts";
import { isErasureCoded } from "../base/object-id.ts";
import type { CellStore } from "../store/cell.ts";
import { containerPrefix, objectOfPrefix, snapshotStart } from "./cell-key.ts";
import { firstKey } from "./first-key.ts";

/** Whether there are cells of an erasure-coded object. */
export function hasCodedObject(store: CellStore, container: number): boolean {
  const prefix = containerPrefix(container);
  for (let from = prefix as ByteString; ;) {
    const found = firstKey(store, from, snapshotStart(prefix));
    if (found === undefined) return false;
    const oid = objectOfPrefix(found);
    if (isErasureCoded(oid)) return true;
    // Of one type of objects those with other redundancy come first.
    from = (prefix + oid.slice(0, 1) + String.fromCharCode(FIRST_ERASURE_NUMBER)) as ByteString;
  }
}
