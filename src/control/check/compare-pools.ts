/** A pool's records among each other, and with what its targets hold. Pure. */
import type { HeldPool } from "../../format/check-questions.ts";
import type { MapRecord, PoolRecord } from "../../format/meta-record.ts";
import { noteOfMap, noteOfPool, recordOfNote } from "../notes.ts";
import { takesPart } from "../pool-map-changes.ts";
import { type Answered, type Difference, targetName } from "./difference.ts";

export interface PoolView {
  readonly pool: PoolRecord;
  readonly map: MapRecord | undefined;
  /** Id that the label record of the pool's label has; undefined: there is none. */
  readonly labelled: string | undefined;
  /** Records of containers in it, and those that count against its quota. */
  readonly containers: number;
  readonly counted: number;
  /** Bytes that each target is to have of it, and the threshold. */
  readonly targetBytes: number;
  readonly held: readonly Answered<HeldPool | null>[];
}

export function comparePool(view: PoolView): Difference[] {
  const { pool, map, labelled, containers } = view;
  const place = `pool ${pool.label}`;
  const subject = { pool };
  if (pool.state === "destroying") {
    return [{ class: "POOL_HALF_REMOVED", place, state: "its destruction was begun and not ended", subject }];
  }
  const found: Difference[] = [];
  if (labelled !== pool.id) {
    const state =
      labelled === undefined ? "no record says whose its label is" : `its label is that of pool ${labelled}`;
    found.push({ class: "POOL_BAD_LABEL", place, state, subject });
  }
  if (containers !== pool.containers) {
    const state = `its record counts ${pool.containers} containers, there are ${containers}`;
    found.push({ class: "POOL_BAD_COUNT", place, state, subject });
  }
  if (map !== undefined) found.push(...compareHeld(view, map));
  return found;
}

function compareHeld({ pool, counted, targetBytes, held }: PoolView, map: MapRecord): Difference[] {
  const found: Difference[] = [];
  const [note, mapNote] = [noteOfPool(pool), noteOfMap(map)];
  for (const { rank, target, answer } of held) {
    const mapped = map.targets.find((other) => other.rank === rank && other.target === target);
    if (mapped === undefined) continue;
    const place = `pool ${pool.label}, ${targetName({ rank, target })}`;
    const add = (name: Difference["class"], state: string): void => {
      found.push({ class: name, place, state, subject: { pool, rank, target } });
    };
    // Who has no containers of a pool to serve need not know it.
    const isServed = counted > 0;
    if (answer === null || answer.mapVersion === 0) {
      if (isServed && takesPart(mapped.state)) add("POOL_NONEXIST_ON_ENGINE", "the target does not know the pool");
      else if (answer !== null && isNewer(answer, map)) add("POOL_OLD_MAP", newer(answer, map));
      continue;
    }
    if (isNewer(answer, map)) add("POOL_OLD_MAP", newer(answer, map));
    else if (answer.mapVersion < map.version) {
      add("POOL_BAD_MAP", `the target goes by pool map ${answer.mapVersion}, the record is version ${map.version}`);
    } else if (answer.own !== mapped.index) {
      add("POOL_BAD_MAP", `the target takes itself for number ${answer.own} of the map, it is ${mapped.index}`);
    }
    if (isServed && takesPart(mapped.state)) {
      const { sizeBytes = 0, containers = 0 } = answer.quota ?? {};
      if (sizeBytes !== targetBytes || containers !== counted) {
        const present = `${sizeBytes} bytes for ${containers} containers`;
        add("POOL_BAD_QUOTA", `the target goes by ${present}, the records say ${targetBytes} for ${counted}`);
      }
    }
    if (!isSame(answer.note, note)) add("POOL_BAD_NOTE", "its copy of the pool's record is missing or another one");
    else if (!isNewer(answer, map) && !isSame(answer.map, mapNote)) {
      add("POOL_BAD_NOTE", "its copy of the pool's map is missing or another one");
    }
  }
  return found;
}

/** The map by which the target goes, or went at last, is newer than the record. */
function isNewer(held: HeldPool, map: MapRecord): boolean {
  return versionOf(held) > map.version;
}

function newer(held: HeldPool, map: MapRecord): string {
  return `the target knows pool map ${versionOf(held)}, the record is version ${map.version}`;
}

function versionOf(held: HeldPool): number {
  return Math.max(held.mapVersion, recordOfNote("map", held.map)?.version ?? 0);
}

export function isSame(left: Uint8Array | null, right: Uint8Array): boolean {
  return left !== null && Buffer.compare(left, right) === 0;
}
