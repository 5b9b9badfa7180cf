/** What is ordered: the updates of one dkey of a container. */
import type { DkeyPlace } from "../base/key-place.ts";
import type { UpdateRequest } from "./led-update.ts";

/** Names the dkey. */
export function unitOf(update: Pick<UpdateRequest, "container"> & { object: DkeyPlace }): string {
  return `${update.container}/${update.object.oid}${update.object.dkey}`;
}
