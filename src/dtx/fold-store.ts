/** What folding needs of a target's objects. */
import type { Epoch } from "../base/epoch.ts";
import type { AkeyPlace, DkeyPlace } from "../base/key-place.ts";
import type { AddressSpace, DataExtent } from "../contracts/redundancy.ts";
import type { ObjectRequest } from "../format/object-request.ts";
import type { PartBytes } from "../format/prepare-request.ts";
import type { FoldMoment } from "../vos/shard-write.ts";

export interface FoldStore {
  /** Does one shard's share of a fold. Resolves when it is durable. */
  apply(container: number, object: ObjectRequest, parts: readonly PartBytes[], fold: FoldMoment): Promise<void>;
  /**
   * The erasure-coded akeys that this target has something of. This and the other listings rest on nothing that could
   * still be undone: they wait for it, and reject with UNAVAILABLE when it was.
   */
  akeys(container: number): AsyncGenerator<AkeyPlace, void, void>;
  akeysOf(container: number, dkey: DkeyPlace): AsyncGenerator<AkeyPlace, void, void>;
  /** Whether this target was ever filled with something of the container. */
  wasFilled(container: number): boolean;
  /** The epoch of the oldest lock that a transaction has on an erasure-coded dkey here; undefined without one. */
  heldFrom(container: number): Epoch | undefined;
  /** Extents of one of them here, ascending, page by page. */
  extents(container: number, akey: AkeyPlace): AsyncGenerator<readonly DataExtent[], void, void>;
  /** The first SHARD_PAGE_EXTENTS extents in [start, end), as of an epoch, once they are decided; fewer: all there are. */
  extentsIn(
    container: number,
    request: AkeyPlace & { readonly epoch: Epoch },
    space: AddressSpace,
  ): Promise<readonly DataExtent[]>;
}
