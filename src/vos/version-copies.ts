/** Copies of versions of a dkey, with their bytes and the checksum that these were stored with. */
import type { ByteString } from "../base/bytes.ts";
import type { Epoch } from "../base/epoch.ts";
import { BLOCK_BYTES } from "../base/limits.ts";
import { type CopiedVersion, copiedVersionBytes } from "../format/fill-message.ts";
import { type ExtentRef, type Version, VersionKind } from "../store/cell.ts";
import { windowLead } from "./array-window.ts";
import { DKEY_PUNCH_META } from "./cell-meta.ts";
import type { VersionMaker } from "./shown-cells.ts";
import type { TargetObjects } from "./target-objects.ts";

interface VersionCopy extends Omit<CopiedVersion, "bytes" | "checksum"> {
  checksum?: number | undefined;
  bytes: Uint8Array | undefined;
}

/** The bytes of what is copied come later. */
export class VersionCopies implements VersionMaker<VersionCopy> {
  sizeBytes = 0;
  readonly #target: TargetObjects;
  readonly #prefix: string;
  readonly #reads: Promise<void>[] = [];

  constructor(target: TargetObjects, prefix: string) {
    this.#target = target;
    this.#prefix = prefix;
  }

  of(key: ByteString, version: Version): VersionCopy {
    const { epoch, kind, inline, checksum, extent } = version;
    const copy: VersionCopy = {
      key,
      epoch,
      kind,
      meta: new Uint8Array(version.meta),
      bytes: inline === undefined ? undefined : new Uint8Array(inline),
      checksum: inline === undefined ? undefined : checksum,
    };
    if (extent !== undefined) {
      const lead = (windowLead(version) ?? 0) % BLOCK_BYTES;
      copy.bytes = new Uint8Array(extent.length - lead);
      this.#reads.push(this.#read(extent, lead, copy));
    }
    this.sizeBytes += copiedVersionBytes(this.#prefix, copy);
    return copy;
  }

  punch(key: ByteString, epoch: Epoch): VersionCopy {
    return { key, epoch, kind: VersionKind.value, meta: DKEY_PUNCH_META, bytes: undefined };
  }

  async #read(extent: ExtentRef, lead: number, copy: VersionCopy): Promise<void> {
    copy.checksum = await this.#target.store.readExtent(extent, lead, extent.length - lead, copy.bytes!);
  }

  /** Resolves when all bytes are there. Rejects with CORRUPT, IO. */
  async read(): Promise<void> {
    const outcomes = await Promise.allSettled(this.#reads);
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  }
}
