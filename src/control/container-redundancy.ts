/**
 * What a new container's data survives: its class of objects and its redundancy factor, made to agree with each other, with
 * the pool's targets, and with how arrays are cut.
 */
import { checkStripe, wholeStripes } from "../base/erasure-cell.ts";
import { DaosError } from "../base/errors.ts";
import { DEFAULT_CHUNK_BYTES, DEFAULT_ERASURE_CELL_BYTES } from "../base/limits.ts";
import { type ObjectClass, objectClassByName } from "../base/object-class.ts";
import type { PropertyMap } from "../base/properties.ts";
import { formatSize } from "../base/size.ts";
import type { PoolMap } from "../format/pool-map.ts";
import { checkClassFits } from "../placement/explanation.ts";
import { FaultDomainTree } from "../placement/fault-domain.ts";

/** Properties that follow from others. */
interface DerivedProperties {
  readonly rd_fac: number;
  readonly oclass?: string;
  readonly chunk_size?: number;
}

/**
 * `rd_fac` and `oclass` for the given properties of a container and its pool's `rd_fac`, and `chunk_size` where none was
 * given and the usual one is no whole number of stripes. Throws INVALID_ARGUMENT when the class survives less than asked
 * for, needs more fault domains than the pool has, or has a stripe that does not fit a request or the chunks.
 */
export function containerRedundancy(given: PropertyMap, poolFactor: number, map: PoolMap): DerivedProperties {
  const named = given["oclass"] === undefined ? undefined : objectClassByName(String(given["oclass"]));
  const asked = given["rd_fac"] === undefined ? undefined : Number(given["rd_fac"]);
  const factor = asked ?? named?.redundancy.toleratedFailures ?? poolFactor;
  if (named === undefined && factor === 0) return { rd_fac: 0 };
  const chosen = named ?? objectClassByName(`RP_${factor + 1}GX`);
  checkClass(chosen, factor);
  checkClassFits(chosen, new FaultDomainTree(map));
  const chunks = chunksFor(chosen, given);
  return { rd_fac: factor, oclass: chosen.name, ...chunks };
}

/** A stripe that a chunk cuts off is never whole: what is in it stays as it was written, on every parity shard. */
function chunksFor(chosen: ObjectClass, given: PropertyMap): { readonly chunk_size?: number } {
  const stripeBytes = checkStripe(chosen, Number(given["ec_cell_sz"] ?? DEFAULT_ERASURE_CELL_BYTES));
  const chunkBytes = Number(given["chunk_size"] ?? DEFAULT_CHUNK_BYTES);
  const fitting = wholeStripes(chunkBytes, stripeBytes);
  if (fitting === chunkBytes) return {};
  if (given["chunk_size"] === undefined) return { chunk_size: fitting };
  const state = `chunks of ${formatSize(chunkBytes)} are no whole number of its stripes of ${formatSize(stripeBytes)}`;
  throw new DaosError(
    "INVALID_ARGUMENT",
    `Cannot use object class ${chosen.name}: ${state}. Use a chunk_size of ${formatSize(fitting)}, or another ec_cell_sz.`,
  );
}

function checkClass({ name, redundancy }: ObjectClass, factor: number): void {
  if (redundancy.toleratedFailures >= factor) return;
  const state = `it survives ${redundancy.toleratedFailures} faults, rd_fac asks for ${factor}`;
  throw new DaosError("INVALID_ARGUMENT", `Cannot use object class ${name}: ${state}. Use RP_${factor + 1}GX.`);
}
