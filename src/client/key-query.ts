/**
 * The greatest or least dkey, akey or array record that is visible (DAOS: daos_obj_query_key), over all targets of the
 * object when the dkey is asked for.
 */
import { DaosError } from "../base/errors.ts";
import { isErasureCoded, type ObjectId } from "../base/object-id.ts";
import type { ContainerSession } from "./container-session.ts";
import { outermostRecords } from "./erasure-extents.ts";
import type { ReadMoment } from "./extent-page.ts";
import { needsCover, overTargets } from "./object-targets.ts";
import type { ObjectOperations, ReadOptions } from "./object-operations.ts";
import { type FoundKey, type KeyQuery, queryTarget } from "./target-query.ts";

/** Undefined when there is nothing. */
export async function queryKey(
  operations: ObjectOperations,
  oid: ObjectId,
  query: KeyQuery,
  options: ReadOptions,
): Promise<FoundKey | undefined> {
  const { session } = operations;
  const terms = { epoch: options.epoch ?? operations.epoch, signal: options.signal };
  if (!isErasureCoded(oid) || !query.levels.includes("extent")) return bestKey(session, oid, query, terms);
  const isNamed = query.levels.length === 1;
  const retry = session.newRetry(options.signal);
  for (;;) {
    // A shard's extent is in bytes of its own array; that there is one says that it is this akey.
    const best = isNamed ? query : await bestKey(session, oid, query, terms);
    if (best?.dkey === undefined || best.akey === undefined) return undefined;
    const { dkey, akey } = best;
    const extent = await outermostRecords(session, { oid, dkey, akey }, query.direction, terms);
    if (extent !== undefined) return { dkey, akey, extent };
    if (isNamed) return undefined;
    await retry.afterFailure(punchedMeanwhile(), "refused");
  }
}

/** What is best of what the targets find. */
async function bestKey(
  session: ContainerSession,
  oid: ObjectId,
  query: KeyQuery,
  terms: ReadMoment,
): Promise<FoundKey | undefined> {
  const { dkey } = query;
  const found =
    dkey === undefined || needsCover({ oid, dkey })
      ? await overTargets(session, { oid, dkey }, terms.signal, (target, firm) =>
          queryTarget(session, oid, query, terms, target, firm),
        )
      : [await queryTarget(session, oid, query, terms, { oid, dkey }, false)];
  let best: FoundKey | undefined;
  for (const candidate of found) {
    if (candidate === undefined) continue;
    if (best === undefined || isBetter(candidate, best, query.direction)) best = candidate;
  }
  return best;
}

/** By dkey, then, where several targets hold parts of one dkey, by akey. */
function isBetter(candidate: FoundKey, best: FoundKey, direction: "max" | "min"): boolean {
  const level = (candidate.dkey ?? "") === (best.dkey ?? "") ? "akey" : "dkey";
  const isGreater = (candidate[level] ?? "") > (best[level] ?? "");
  return direction === "max" ? isGreater : !isGreater;
}

function punchedMeanwhile(): DaosError {
  const state = "the keys that are found are punched before their extents are read";
  return new DaosError("UNAVAILABLE", `Cannot query the object: ${state}. Retry.`);
}
