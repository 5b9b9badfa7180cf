/** What the client of an update hears that has met damage, at the leader or at a member: their copies are repaired first. */
import { DaosError } from "../base/errors.ts";
import type { DkeyPlace } from "../base/key-place.ts";
import { isRedundant } from "../base/object-id.ts";
import { isDamage } from "../dtx/fill-round.ts";
import type { Repairs } from "../dtx/repairs.ts";

/** The error to answer with: UNAVAILABLE when something was repaired, so that the update is sent again. */
export async function afterRepair(
  repairs: Repairs | undefined,
  error: unknown,
  container: number,
  place: DkeyPlace,
): Promise<unknown> {
  if (repairs === undefined || !isDamage(error) || !isRedundant(place.oid)) return error;
  const { repaired } = await repairs.group(container, place);
  if (repaired === 0) return error;
  const state = `what a target had of it was damaged, and is repaired in ${repaired} places`;
  return new DaosError("UNAVAILABLE", `Cannot update the object: ${state}. Retry.`, { cause: error });
}

/** Does work on an update; rejects as the work, once what it has found damaged was looked at. */
export function repairing(
  repairs: Repairs | undefined,
  { container, object }: { readonly container: number; readonly object: DkeyPlace },
  work: () => Promise<void> | undefined,
): Promise<void> | undefined {
  const raise = async (error: unknown): Promise<never> => {
    throw await afterRepair(repairs, error, container, object);
  };
  try {
    return work()?.catch(raise);
  } catch (error) {
    if (isDamage(error)) return raise(error);
    throw error;
  }
}
