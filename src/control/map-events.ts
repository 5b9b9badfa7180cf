/** What a change of a pool's map means to the administrator, as events. Pure. */
import { unreachable } from "../base/assert.ts";
import type { EventId } from "../base/events.ts";
import type { MapRecord } from "../format/meta-record.ts";
import type { TargetState } from "../format/pool-map.ts";

type MapTarget = MapRecord["targets"][number];

export interface MapEvent {
  readonly id: EventId;
  readonly message: string;
  /** When all is about one. */
  readonly rank?: number;
}

/** `from`: absent for a target that was not there. */
function meaningOf(from: TargetState | undefined, to: TargetState): readonly [EventId, string] | undefined {
  if (from === to) return undefined;
  switch (to) {
    case "NEW":
      return ["pool_extended", "are added"];
    case "DRAIN":
      return ["pool_draining", "are drained"];
    case "UP":
      return ["pool_reintegrating", "come back"];
    case "UPIN":
      return ["pool_reintegrated", "serve"];
    case "DOWN":
      return ["pool_excluded", "are out of service"];
    case "DOWNOUT":
      if (from === "DRAIN") return ["pool_drained", "are drained: nothing is on them any more"];
      return from === "UP" ? ["pool_excluded", "are out of service"] : undefined;
    default:
      return unreachable(to);
  }
}

/** `isFilled`: others stand in for targets that are gone, and are filled. */
export function mapEvents(label: string, before: MapRecord, after: MapRecord, isFilled: boolean): MapEvent[] {
  const known = new Map(before.targets.map((target) => [target.index, target]));
  const groups = new Map<EventId, { words: string; targets: MapTarget[] }>();
  const put = (meaning: readonly [EventId, string] | undefined, target: MapTarget): void => {
    if (meaning === undefined) return;
    const group = groups.get(meaning[0]) ?? { words: meaning[1], targets: [] };
    groups.set(meaning[0], group);
    group.targets.push(target);
  };
  for (const target of after.targets) {
    put(meaningOf(known.get(target.index)?.state, target.state), target);
    known.delete(target.index);
  }
  for (const target of known.values()) put(["pool_excluded", "are no part of it any more"], target);
  const events = [...groups].map(([id, { words, targets }]) => describe(label, after.version, id, words, targets));
  const isLost = groups.get("pool_excluded")?.targets.some(({ state }) => state === "DOWN") === true;
  if (!isFilled || !isLost) return events;
  const message = `pool "${label}": others are filled with what they had (pool map version ${after.version})`;
  return [...events, { id: "pool_rebuild_started", message }];
}

function describe(label: string, version: number, id: EventId, words: string, targets: readonly MapTarget[]): MapEvent {
  const ranks = [...new Set(targets.map(({ rank }) => rank))];
  const indices = targets.map(({ index }) => index).join(", ");
  const message = `pool "${label}": targets ${indices} (rank ${ranks.join(", ")}) ${words} (pool map version ${version})`;
  return ranks.length === 1 ? { id, message, rank: ranks[0]! } : { id, message };
}
