/**
 * Copies of the records of pools and containers that targets keep beside the data (src/vos/holding-notes.ts): should the meta
 * store lose a record, it can be made again from them (`daos system check`). What changes all the time is left out, and what
 * would make them large. A note that cannot be written holds nothing up: it is sent again when its engine joins.
 */
import { USER_ATTRIBUTE_PREFIX } from "../base/properties.ts";
import { containerPrefix, mapKey, poolKey } from "../format/meta-key.ts";
import {
  type ContainerRecord,
  decodeMetaRecord,
  encodeMetaRecord,
  type MapRecord,
  type MetaRecord,
  type PoolRecord,
} from "../format/meta-record.ts";
import type { MetaRecords } from "./meta-records.ts";
import type { TargetControl } from "./target-control.ts";

/** Containers whose notes one message brings: of about half a KiB each. */
const NOTES_PER_MESSAGE = 256;

export interface Notes {
  readonly pools: readonly { readonly pool: string; readonly note: Uint8Array; readonly map: Uint8Array }[];
  readonly containers: readonly { readonly container: number; readonly note: Uint8Array }[];
}

export function noteOfPool(record: PoolRecord): Uint8Array {
  return encodeMetaRecord("pool", { ...plain(record), containers: 0, state: "ready" });
}

/** That it is effective is left out: who makes the record again finds out anew. */
export function noteOfMap({ isEffective: _isEffective, ...map }: MapRecord): Uint8Array {
  return encodeMetaRecord("map", map);
}

export function noteOfContainer(record: ContainerRecord): Uint8Array {
  return encodeMetaRecord("container", { ...plain(record), snapshots: 0, state: "ready" });
}

function plain<Record extends PoolRecord | ContainerRecord>(record: Record): Record {
  const kept = Object.entries(record.properties).filter(([name]) => !name.startsWith(USER_ATTRIBUTE_PREFIX));
  return { ...record, properties: Object.fromEntries(kept) };
}

/** The record in a note; undefined when it is none that this program knows. */
export function recordOfNote<Kind extends "pool" | "container" | "map">(
  kind: Kind,
  note: Uint8Array | null,
): MetaRecord<Kind> | undefined {
  if (note === null) return undefined;
  try {
    return decodeMetaRecord(kind, "note", note);
  } catch {
    return undefined;
  }
}

/** The note of a pool and of its map; undefined when there is no such pool. */
async function poolNotes(records: MetaRecords, pool: string): Promise<Notes | undefined> {
  const stored = await records.get("pool", poolKey(pool));
  const map = await records.get("map", mapKey(pool));
  if (stored === undefined || map === undefined) return undefined;
  return { pools: [{ pool, note: noteOfPool(stored.record), map: noteOfMap(map.record) }], containers: [] };
}

/** Sends the targets of a pool its note and that of its map. */
export async function keepPoolNotes(
  records: MetaRecords,
  targets: Pick<TargetControl, "keepNotes">,
  pool: string,
): Promise<void> {
  const notes = await poolNotes(records, pool);
  if (notes !== undefined) await targets.keepNotes(pool, notes);
}

/** The notes of a pool and of all its containers, as many at a time as one message brings. */
export async function* notesOf(records: MetaRecords, pool: string): AsyncGenerator<Notes, void, void> {
  const notes = await poolNotes(records, pool);
  if (notes === undefined) return;
  yield notes;
  for (let after: string | undefined; ;) {
    const page = await records.page("container", containerPrefix(pool), NOTES_PER_MESSAGE, after);
    const ready = page.filter(({ record }) => record.state === "ready");
    const containers = ready.map(({ record }) => ({ container: record.number, note: noteOfContainer(record) }));
    if (containers.length > 0) yield { pools: [], containers };
    if (page.length < NOTES_PER_MESSAGE) return;
    after = page.at(-1)!.key;
  }
}
