/** What filling, and checking, need of a target's objects, at both ends; and which members of a group are to be filled. */
import type { Epoch } from "../base/epoch.ts";
import type { DkeyPlace } from "../base/key-place.ts";
import { isRedundant, type ObjectId, objectClassOf } from "../base/object-id.ts";
import type { CompletedElsewhere } from "../format/fill-message.ts";
import type { PoolMap, TargetState } from "../format/pool-map.ts";
import type { CellStore } from "../store/cell.ts";
import type { DkeyCopies } from "../vos/dkey-copy.ts";
import { stable } from "../vos/durable.ts";
import type { DkeySummaries } from "../vos/dkey-summary.ts";
import type { FillMarks } from "../vos/fill-marks.ts";
import type { MovingObjects } from "../vos/moving-objects.ts";
import type { KeyHistories } from "../vos/key-history.ts";
import type { VersionedObjects } from "../vos/versioned-objects.ts";
import type { RedundancyGroup } from "./group.ts";
import type { PreparedStore } from "./prepared-store.ts";

export interface FillStore {
  readonly copies: DkeyCopies;
  readonly marks: FillMarks;
  readonly keys: KeyHistories;
  readonly summaries: DkeySummaries;
  readonly moving: MovingObjects;
  /** Objects that transactions hold here to punch them. */
  readonly heldObjects: (container: number) => readonly ObjectId[];
  /** The newest epoch at which something of the container was filled here; 0: nothing was. */
  filledAt(container: number): Epoch;
  /** The container's epoch gate here. */
  gate(container: number): Epoch;
  /** Epochs of a container's snapshots, ascending. */
  snapshots(container: number): readonly Epoch[];
  /** See Containers.adoptSnapshots. */
  adoptSnapshots(container: number, epochs: readonly Epoch[]): Promise<void>;
  /** Requests that were completed here. */
  requests(): Iterable<CompletedElsewhere>;
  /** See Requests. */
  forgottenTo(): Epoch;
  /** Repairs what is damaged of a dkey here; how many places. */
  repair(container: number, place: DkeyPlace): Promise<number>;
  /** Hears that the store cannot take what it is to be filled with, for what it has is damaged. */
  damaged(reason: string): void;
  /** Resolves when nothing that `sequence` names can be undone any more; see CellStore.whenStable. */
  stable(sequence: number): Promise<void>;
}

export function fillStore(
  store: CellStore,
  objects: VersionedObjects,
  repair: FillStore["repair"] = () => Promise.resolve(0),
  damaged: FillStore["damaged"] = () => {},
): FillStore {
  return {
    repair,
    damaged,
    copies: objects.copies,
    marks: objects.fillMarks,
    keys: objects.keyHistories,
    summaries: objects.summaries,
    moving: objects.moving,
    heldObjects: (container) => objects.locks.heldObjects(container),
    filledAt: (container) => objects.filledAt(container),
    gate: (container) => store.gate(container),
    snapshots: (container) => objects.listSnapshots(container),
    adoptSnapshots: (container, epochs) => objects.adoptSnapshots(container, epochs),
    requests: () => store.requests.remembered(),
    forgottenTo: () => store.requests.forgottenTo,
    stable: (sequence) => stable(store, sequence),
  };
}

export function allDurable(prepared: PreparedStore): Promise<void> {
  return new Promise((resolve, reject) => {
    prepared.whenAllDurable((error) => (error === undefined ? resolve() : reject(error)));
  });
}

const UNFILLED_STATES: ReadonlySet<TargetState> = new Set(["DOWN", "UP", "NEW", "DRAIN"]);

/** Whether a map has members that are to be filled. */
export function isFillingMap({ targets }: PoolMap): boolean {
  return targets.some(({ state }) => UNFILLED_STATES.has(state));
}

const NOBODY: readonly number[] = [];
const known = new WeakMap<RedundancyGroup, readonly number[]>();

/**
 * Whether nobody can bring the others what the group has, for want of shards to make it of, or of a target to bring it
 * to.
 */
export function isStuck(group: RedundancyGroup): boolean {
  return group.isStranded || (group.leader < 0 && unfilledOf(group).length > 0);
}

/** What moves and is not missing anywhere: it waits for all that is. */
const MOVING_LEVEL = 255;

/** So many more targets may be lost before something of the group is: who has the least is brought first. */
export function levelOf(oid: ObjectId, { readable }: RedundancyGroup): number {
  if (!isRedundant(oid)) return MOVING_LEVEL;
  return Math.max(0, readable.length - objectClassOf(oid).redundancy.dataShards);
}

/** Whether what the target has of a dkey that it is to be brought can be compared with what its leader has. */
export function isComparable(oid: ObjectId, group: RedundancyGroup, target: number): boolean {
  return isRedundant(oid) && group.shards === undefined && unfilledOf(group).includes(target);
}

/** The members that have to be brought what the group has. */
export function unfilledOf(group: RedundancyGroup): readonly number[] {
  if (group.members.length === group.readable.length) return NOBODY;
  let unfilled = known.get(group);
  if (unfilled === undefined) {
    unfilled = group.members.filter((member) => !group.readable.includes(member));
    known.set(group, unfilled);
  }
  return unfilled;
}
