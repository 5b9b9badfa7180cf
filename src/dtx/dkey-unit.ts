/** What is ordered: the updates of one dkey of a container. */
import type { ObjectRequest } from "../format/object-request.ts";
import type { UpdateRequest } from "./led-update.ts";

export type Dkey = Pick<ObjectRequest, "oid" | "dkey">;

/** Names the dkey. */
export function unitOf(update: Pick<UpdateRequest, "container"> & { object: Dkey }): string {
  return `${update.container}/${update.object.oid}${update.object.dkey}`;
}
