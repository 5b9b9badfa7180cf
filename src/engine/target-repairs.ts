/** Repair as a target has it: of its store and objects, with an eye on what other targets read here. */
import type { Clock, Timers } from "../contracts/world.ts";
import { Repairs } from "../dtx/repairs.ts";
import type { Replication, ReplicationOptions } from "../dtx/replication.ts";
import type { CellStore } from "../store/cell.ts";
import type { CheckedStore } from "../store/store-checks.ts";
import type { VersionedObjects } from "../vos/versioned-objects.ts";
import { Scrubber } from "./scrubber.ts";
import type { TargetCounters } from "./target-calls.ts";
import type { ShardReadService } from "./shard-read-service.ts";

export interface TargetRepairsParts {
  readonly timers: Timers;
  readonly store: CheckedStore;
  readonly objects: VersionedObjects;
  readonly replication: () => Replication;
}

export function targetRepairs({ timers, store, objects, replication }: TargetRepairsParts): Repairs {
  return new Repairs({
    timers,
    checks: store.checks,
    poolOf: (container) => replication().poolOf(container),
    snapshots: (container) => objects.listSnapshots(container),
    shows: ({ container, ...akey }, run, written) => objects.showsWritten(container, akey, run, written),
    prefixOf: (container, { oid, dkey }) => objects.copies.prefixOf(container, oid, dkey),
  });
}

export interface TargetScrubberParts extends Omit<TargetRepairsParts, "replication"> {
  readonly clock: Clock;
  readonly repairs: Repairs;
  /** Requests of clients so far. */
  readonly requests: () => number;
}

export function targetScrubber({ store, objects, ...parts }: TargetScrubberParts): Scrubber {
  return new Scrubber({ ...parts, checks: store.checks, marks: objects.scrubMarks });
}

/** What leaders, this one among them, ask of this target's shards. */
export function watchedShards(
  repairs: Repairs,
  shardReads: ShardReadService,
): Pick<ReplicationOptions, "readShard" | "serveRepair"> {
  return {
    readShard: (container, object, kind) =>
      repairs.watch(container, object, () => shardReads.readForLeader(container, object, kind)),
    serveRepair: (request, reply) => repairs.serve(request, reply),
  };
}

/** What a target counts of its media. */
export function mediaCounters(
  { destagedBytes, isScmCrowded }: Pick<CellStore, "destagedBytes" | "isScmCrowded">,
  { counts: { damaged, repaired, lost } }: Repairs,
): Pick<TargetCounters, "destagedBytes" | "scmCrowded" | "damagedPlaces" | "repairedPlaces" | "lostPlaces"> {
  const places = { damagedPlaces: damaged, repairedPlaces: repaired, lostPlaces: lost };
  return { destagedBytes, scmCrowded: isScmCrowded ? 1 : 0, ...places };
}
