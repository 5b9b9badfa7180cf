/**
 * The regions of scm `pmdk`. PmdkRegion is persistent memory itself, mapped: a persist flushes the processor's caches and
 * returns. PageRegion is what remains where there is none: the region of scm `file` on the same file, for a mapping would
 * have to be synced by the kernel, which takes longer and whose failures end the process inside libpmem2. Both leave out
 * the region's header, and that the medium is sound was checked by whoever made them.
 */
import type { PmdkAddon, PmdkMapping } from "../../../native/pmdk/addon.ts";
import { DaosError } from "../../../src/base/errors.ts";
import type { ScmFileRange, ScmRegion } from "../../../src/contracts/scm.ts";
import { nativeError } from "./native-error.ts";
import {
  encodeRegionHeader,
  HEADER_COPY_BYTES,
  headerOffset,
  REGION_OFFSET_BYTES,
  type RegionHeader,
} from "./region-header.ts";

export interface PmdkRegionParts {
  readonly addon: PmdkAddon;
  readonly mapping: PmdkMapping;
  readonly path: string;
  readonly alignmentBytes: number;
  /** As it is on the medium: the region is in use. */
  readonly header: RegionHeader;
  readonly notices: readonly string[];
}

export class PmdkRegion implements ScmRegion {
  readonly bytes: Uint8Array;
  readonly granularityBytes: number;
  readonly fileRange: ScmFileRange;
  readonly notices: readonly string[];
  readonly #addon: PmdkAddon;
  readonly #mapping: PmdkMapping;
  readonly #slot: number;
  readonly #header: RegionHeader;
  readonly #sizeBytes: number;
  /** Why nothing is taken for durable any more. */
  #failure: DaosError | undefined;
  #closed = false;

  constructor(parts: PmdkRegionParts) {
    const { mapping, header, path, alignmentBytes } = parts;
    const sizeBytes = header.regionBytes;
    this.bytes = new Uint8Array(mapping.bytes, REGION_OFFSET_BYTES, sizeBytes);
    this.granularityBytes = header.granularityBytes;
    this.fileRange = { path, offset: REGION_OFFSET_BYTES, sizeBytes, alignmentBytes };
    this.notices = parts.notices;
    this.#addon = parts.addon;
    this.#mapping = mapping;
    this.#slot = mapping.slot;
    this.#header = header;
    this.#sizeBytes = sizeBytes;
  }

  persist(offset: number, length: number): undefined | Promise<void> {
    const { granularityBytes } = this;
    if (
      this.#closed ||
      this.#failure !== undefined ||
      !(offset >= 0 && length > 0 && offset + length <= this.#sizeBytes) ||
      offset % granularityBytes !== 0 ||
      length % granularityBytes !== 0
    ) {
      return Promise.reject(this.#failure ?? refusal(this, this.fileRange.path, this.#closed, offset, length));
    }
    try {
      this.#addon.persist(this.#slot, REGION_OFFSET_BYTES + offset, length);
      return undefined;
    } catch (error) {
      this.#failure = nativeError("persist", this.fileRange.path, error);
      return Promise.reject(this.#failure);
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    // Only where the modules count unsafe shutdowns does it matter whether the region was in use.
    if (this.#header.health !== undefined && this.#failure === undefined) this.#markClosed();
    this.#addon.close(this.#slot, this.#mapping.bytes);
  }

  #markClosed(): void {
    try {
      writeHeader(this.#addon, this.#mapping, { ...this.#header, sequence: this.#header.sequence + 1, inUse: false });
    } catch {
      // It counts as in use then: the next opening is more careful than it need be.
    }
  }
}

/** Writes the header into the copy of its sequence, durable on return. The mapping's granularity is finer than a page. */
export function writeHeader(addon: PmdkAddon, mapping: PmdkMapping, header: RegionHeader): void {
  const offset = headerOffset(header.sequence);
  encodeRegionHeader(new Uint8Array(mapping.bytes), offset, header);
  addon.persist(mapping.slot, offset, HEADER_COPY_BYTES);
  try {
    // The count of unsafe shutdowns must not depend on what it counts the failures of.
    addon.deepFlush(mapping.slot, offset, HEADER_COPY_BYTES);
  } catch {
    // Not every driver has a deep flush, nor every user the right to it; the header is as durable as the data then.
  }
}

export class PageRegion implements ScmRegion {
  readonly bytes: Uint8Array;
  readonly granularityBytes: number;
  readonly notices: readonly string[];
  readonly #inner: ScmRegion;
  readonly #path: string;
  #closed = false;

  /** `inner`: the whole file, header included, in shared memory. It is closed with this one. */
  constructor(inner: ScmRegion, path: string, notices: readonly string[]) {
    this.bytes = inner.bytes.subarray(REGION_OFFSET_BYTES);
    this.granularityBytes = inner.granularityBytes;
    this.notices = notices;
    this.#inner = inner;
    this.#path = path;
  }

  persist(offset: number, length: number): undefined | Promise<void> {
    if (this.#closed || !(offset >= 0)) {
      return Promise.reject(refusal(this, this.#path, this.#closed, offset, length));
    }
    return this.#inner.persist(REGION_OFFSET_BYTES + offset, length);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#inner.close();
  }
}

function refusal(region: ScmRegion, path: string, closed: boolean, offset: number, length: number): DaosError {
  if (closed) return new DaosError("UNAVAILABLE", `Cannot persist "${path}": the region is closed.`);
  const state = `offset ${offset} and length ${length} are not ${region.granularityBytes} byte spans of the region`;
  return new DaosError("INVALID_ARGUMENT", `Cannot persist "${path}": ${state}.`);
}
