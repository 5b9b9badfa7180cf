/** Whether the pool of an open container can hold objects of a class. */
import type { ObjectClass } from "../base/object-class.ts";
import { checkClassFits } from "../placement/explanation.ts";
import type { ContainerSession } from "./container-session.ts";

/** Throws INVALID_ARGUMENT when the pool has too few fault domains for the class. */
export function checkHolds({ placement }: ContainerSession, objectClass: ObjectClass): void {
  if (objectClass.redundancy.shardCount > 1) checkClassFits(objectClass, placement.layouts.tree);
}
