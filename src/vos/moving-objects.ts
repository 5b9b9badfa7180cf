/**
 * Objects without redundancy that move to other targets. Such an object has a cell of its own on each target, which updates of
 * all of its dkeys write: while these are ordered by leaders that do not know of each other, the epochs of that cell would not
 * ascend. So before anything else a target that has a part in the move writes to the cell, at an epoch of its own, all that
 * updates could ever add to it. From then on none does, and the object is punched dkey by dkey, as with redundancy.
 */
import type { ObjectId } from "../base/object-id.ts";
import { VersionKind } from "../store/cell.ts";
import { ownCellKey } from "./cell-key.ts";
import { encodeObjectMeta, ObjectCellFlag } from "./cell-meta.ts";
import { RECORD_OVERHEAD_BYTES } from "./single-value.ts";
import type { TargetObjects } from "./target-objects.ts";

const ALL_FLAGS = ObjectCellFlag.arrays | ObjectCellFlag.dkeyPunches;

export class MovingObjects {
  readonly #target: TargetObjects;

  constructor(target: TargetObjects) {
    this.#target = target;
  }

  /** Whether the object's cell says all that updates could add. Throws NOT_FOUND (container). */
  isReady(container: number, oid: ObjectId): boolean {
    return this.#target.object(container, oid).flags === ALL_FLAGS;
  }

  /** Has the object's cell say so. Rejects with NOT_FOUND (container), NO_SPACE, READ_ONLY, IO. */
  async makeReady(container: number, oid: ObjectId): Promise<void> {
    const target = this.#target;
    await target.admit(RECORD_OVERHEAD_BYTES, true);
    const state = target.object(container, oid);
    if (state.flags === ALL_FLAGS) return;
    const epoch = target.containers.writeEpoch();
    const meta = encodeObjectMeta(ALL_FLAGS, state.punchEpoch);
    const sequence = target.store.append([{ key: ownCellKey(state.prefix), epoch, kind: VersionKind.value, meta }]);
    Object.assign(state, { flags: ALL_FLAGS, epoch, sequence });
  }
}
