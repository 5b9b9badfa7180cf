/** What an update changes, as folding asks for it. */
import type { ByteString } from "../base/bytes.ts";

/** What of a dkey an update changes. */
export interface UpdateRange {
  /** Undefined: all akeys. */
  readonly akey: ByteString | undefined;
  /** Bytes of the array; undefined: all. */
  readonly bytes: { readonly start: number; readonly end: number } | undefined;
}
