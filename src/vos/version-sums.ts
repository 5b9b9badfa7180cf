/** What stands for a version of a cell in a digest: all of it but the bytes, and a checksum of these wherever they lie. */
import { checksumOfChunks } from "../base/checksum-join.ts";
import { crc32 } from "../base/checksum.ts";
import { BLOCK_BYTES } from "../base/limits.ts";
import type { CopiedVersion } from "../format/fill-message.ts";
import { VersionKind } from "../store/cell.ts";
import { windowLead } from "./array-window.ts";
import { DKEY_PUNCH_META } from "./cell-meta.ts";
import type { VersionMaker } from "./shown-cells.ts";

export interface SummedVersion extends Omit<CopiedVersion, "bytes"> {
  readonly checksum: number;
  readonly sizeBytes: number;
}

/**
 * Sums up versions. What an extent has before its bytes, in their first block, is anything: where there is something, the checksum
 * is of the blocks behind.
 */
export const SUMMING: VersionMaker<SummedVersion> = {
  of(key, version) {
    const { epoch, kind, inline, extent } = version;
    const common = { key, epoch, kind, meta: new Uint8Array(version.meta) };
    const lead = (windowLead(version) ?? 0) % BLOCK_BYTES;
    const skipped = lead === 0 ? 0 : BLOCK_BYTES - lead;
    if (extent !== undefined) {
      const sizeBytes = extent.length - lead;
      const isMore = sizeBytes > skipped;
      const checksum = isMore ? checksumOfChunks(extent.checksums, lead === 0 ? 0 : 1, sizeBytes - skipped) : 0;
      return { ...common, checksum, sizeBytes };
    }
    const sizeBytes = inline?.length ?? 0;
    return { ...common, checksum: sizeBytes > skipped ? crc32(inline!.subarray(skipped)) : 0, sizeBytes };
  },
  punch: (key, epoch) => {
    return { key, epoch, kind: VersionKind.value, meta: DKEY_PUNCH_META, checksum: 0, sizeBytes: 0 };
  },
};
