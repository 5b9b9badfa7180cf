/**
 * What a settle thread is started with: where the index is, and the log. A region in shared memory is handed over as it
 * is; one that is not (mapped device memory) is mapped again by that thread, for reading.
 */
import { DaosError } from "../base/errors.ts";
import type { ScmFileRange, ScmRegion } from "../contracts/scm.ts";

/** A target's SCM region, as it travels to another thread. */
export type SettleRegion = { readonly bytes: Uint8Array } | { readonly fileRange: ScmFileRange };

export interface SettleSettings {
  readonly indexPath: string;
  readonly indexBytes: number;
  readonly region: SettleRegion;
}

/** What the settle thread needs to see the region. Throws UNSUPPORTED when it could not: a copy would soon be stale. */
export function settleRegion(region: ScmRegion): SettleRegion {
  const { bytes, fileRange } = region;
  if (bytes.buffer instanceof SharedArrayBuffer) return { bytes };
  if (fileRange !== undefined) return { fileRange };
  throw new DaosError(
    "UNSUPPORTED",
    'Cannot use "scm region": its bytes are not shared memory and it names no file range. Get another version of the plugin.',
  );
}
