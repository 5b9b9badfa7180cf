/**
 * What a new container's data survives: its class of objects and its redundancy factor, made to agree with each other and
 * with the pool's targets.
 */
import { DaosError } from "../base/errors.ts";
import { type ObjectClass, objectClassByName } from "../base/object-class.ts";
import type { PropertyMap } from "../base/properties.ts";
import type { PoolMap } from "../format/pool-map.ts";
import { checkClassFits } from "../placement/explanation.ts";
import { FaultDomainTree } from "../placement/fault-domain.ts";

/**
 * `rd_fac` and `oclass` for the given properties of a container and its pool's `rd_fac`. Throws INVALID_ARGUMENT when the
 * class survives less than asked for, or needs more fault domains than the pool has; UNSUPPORTED for a class with
 * redundancy unless `rd_preview` accepts it.
 */
export function containerRedundancy(
  given: PropertyMap,
  poolFactor: number,
  map: PoolMap,
): { readonly rd_fac: number; readonly oclass?: string } {
  const named = given["oclass"] === undefined ? undefined : objectClassByName(String(given["oclass"]));
  const asked = given["rd_fac"] === undefined ? undefined : Number(given["rd_fac"]);
  const factor = asked ?? named?.redundancy.toleratedFailures ?? poolFactor;
  if (named === undefined && factor === 0) return { rd_fac: 0 };
  const chosen = named ?? objectClassByName(`RP_${factor + 1}GX`);
  checkClass(chosen, factor);
  checkClassFits(chosen, new FaultDomainTree(map));
  if (chosen.redundancy.toleratedFailures > 0 && given["rd_preview"] !== true) throw preview(chosen);
  return { rd_fac: factor, oclass: chosen.name };
}

function preview({ name }: ObjectClass): DaosError {
  const state = "redundancy is a preview: it is young, and what is erasure-coded cannot be filled again";
  return new DaosError(
    "UNSUPPORTED",
    `Cannot use object class ${name}: ${state}. Use SX, or set rd_preview:true for data that you can lose.`,
  );
}

function checkClass({ name, redundancy }: ObjectClass, factor: number): void {
  if (redundancy.toleratedFailures >= factor) return;
  const state = `it survives ${redundancy.toleratedFailures} faults, rd_fac asks for ${factor}`;
  throw new DaosError("INVALID_ARGUMENT", `Cannot use object class ${name}: ${state}. Use RP_${factor + 1}GX.`);
}
