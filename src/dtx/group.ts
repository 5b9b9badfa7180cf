/**
 * Redundancy groups as the targets of one pool see them: who orders the updates of an object's group, and who has to have
 * each one. An object has at most one group on a target.
 */
import type { ObjectId } from "../base/object-id.ts";

export interface Group {
  /** Number in the pool map of the target that orders the updates; it is among the members. */
  readonly leader: number;
  /** Targets that have to have every update, ascending. */
  readonly members: readonly number[];
}

/** Under one version of the pool map. */
export interface Groups {
  readonly mapVersion: number;
  /** The group of the object that has a shard on this target; undefined when there is none, or it tolerates no loss. */
  groupHere(oid: ObjectId): Group | undefined;
  /** This target's shard of the object has everything, so that it may be read. */
  isReadableHere(oid: ObjectId): boolean;
}
