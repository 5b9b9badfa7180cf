/** Looking for what there is in a range of keys. */
import type { ByteString } from "../base/bytes.ts";
import { EPOCH_MAX } from "../base/epoch.ts";
import type { CellStore } from "../store/cell.ts";

/** The first cell in [from, to) that has any version; undefined without one. */
export function firstKey(store: CellStore, from: ByteString, to: ByteString): ByteString | undefined {
  let first: ByteString | undefined;
  store.scan(from, to, EPOCH_MAX, (key) => {
    first = key;
    return false;
  });
  return first;
}
