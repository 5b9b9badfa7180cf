/**
 * What a target knows by itself of what it holds: copies of the control plane's records of its pools and containers, as bytes
 * that mean nothing here. They tell what the data here is of when the control plane has lost its own record, and that a
 * container has not been destroyed: its note goes with it, at once, while its cells go in the background.
 *
 *     FF FF FF FD "n" container (u32, big-endian)    value: the note of a container
 *     FF FF FF FD "p" pool (36 bytes) 00             the same of a pool
 *     FF FF FF FD "p" pool 01 piece (u8)             4 KiB of the note of the pool's map, the last one what is left
 */
import type { ByteString } from "../base/bytes.ts";
import { EPOCH_MAX } from "../base/epoch.ts";
import { MAX_MAP_NOTE_BYTES, MAX_NOTE_BYTES } from "../base/limits.ts";
import { type CellStore, type CellWrite, VersionKind } from "../store/cell.ts";
import { containerPrefix, containerOf, successor, TARGET_REGION } from "./cell-key.ts";
import { NO_META, NOTE_META } from "./cell-meta.ts";
import type { Containers } from "./snapshots.ts";
import { durable } from "./durable.ts";
import type { TargetObjects } from "./target-objects.ts";

/** Of a record with one of these cells, more than enough beside the note. */
const RECORD_BYTES = 256;
const CONTAINER = `${TARGET_REGION}n`;
const POOL = `${TARGET_REGION}p`;
const POOL_BYTES = 36;

export interface ContainerNote {
  readonly container: number;
  readonly note: Uint8Array;
}

export interface PoolNote {
  readonly pool: string;
  readonly note: Uint8Array;
  readonly map: Uint8Array;
}

interface NotedCell {
  readonly key: ByteString;
  readonly note: Uint8Array;
}

function containerKey(container: number): ByteString {
  return (CONTAINER + containerPrefix(container)) as ByteString;
}

/** What ends the note of a container with its destruction; undefined when there is none. */
export function endOfNote(store: CellStore, containers: Containers, container: number): CellWrite | undefined {
  const key = containerKey(container);
  if (noteAt(store, key) === undefined) return undefined;
  return { key, epoch: containers.writeEpoch(), kind: VersionKind.tombstone, meta: NO_META };
}

function noteAt(store: CellStore, key: ByteString): Uint8Array | undefined {
  const version = store.get(key, EPOCH_MAX);
  return version === undefined || version.kind === VersionKind.tombstone ? undefined : version.inline;
}

export class HoldingNotes {
  readonly #target: TargetObjects;

  constructor(target: TargetObjects) {
    this.#target = target;
  }

  /** Of containers with higher numbers than `after`, ascending, `limit` at most. */
  containers(after: number, limit: number): ContainerNote[] {
    return this.#scan(`${containerKey(after)}\x00`, successor(CONTAINER), limit).map(({ key, note }) => ({
      container: containerOf(key.slice(CONTAINER.length)),
      note,
    }));
  }

  /** Of all pools. */
  pools(): PoolNote[] {
    const cells = this.#scan(POOL, successor(POOL));
    const byPool = Map.groupBy(cells, ({ key }) => key.slice(POOL.length, POOL.length + POOL_BYTES));
    return [...byPool].map(([pool, [first, ...pieces]]) => {
      return { pool, note: first!.note, map: Buffer.concat(pieces.map(({ note }) => note)) };
    });
  }

  /** Durable when resolved; what is noted already is not written. Rejects as CellStore.admit. */
  async keepContainer(container: number, note: Uint8Array): Promise<void> {
    await this.#replace([], [{ key: containerKey(container), note }]);
  }

  async keepPool(pool: string, note: Uint8Array, map: Uint8Array): Promise<void> {
    if (map.length > MAX_MAP_NOTE_BYTES) return;
    const base = POOL + pool;
    const cells: NotedCell[] = [{ key: `${base}\x00` as ByteString, note }];
    for (let at = 0; at < map.length; at += MAX_NOTE_BYTES) {
      const key = `${base}\x01${String.fromCharCode(at / MAX_NOTE_BYTES)}` as ByteString;
      cells.push({ key, note: map.subarray(at, at + MAX_NOTE_BYTES) });
    }
    await this.#replace(this.#scan(base, successor(base)), cells);
  }

  /** The pool is gone. */
  async forgetPool(pool: string): Promise<void> {
    await this.#replace(this.#scan(POOL + pool, successor(POOL + pool)), []);
  }

  #scan(from: string, to: string, limit = Number.POSITIVE_INFINITY): NotedCell[] {
    const found: NotedCell[] = [];
    this.#target.store.scan(from as ByteString, to as ByteString, EPOCH_MAX, (key, { kind, inline }) => {
      if (kind === VersionKind.tombstone) return undefined;
      found.push({ key, note: new Uint8Array(inline ?? []) });
      return found.length < limit;
    });
    return found;
  }

  /** In one record. */
  async #replace(present: readonly NotedCell[], cells: readonly NotedCell[]): Promise<void> {
    const { store, containers } = this.#target;
    const isWanted = new Set(cells.map(({ key }) => key));
    const ended = present.filter(({ key }) => !isWanted.has(key));
    const isNoted = ({ key, note }: NotedCell): boolean => {
      const known = noteAt(store, key);
      return known !== undefined && Buffer.compare(known, note) === 0;
    };
    const changed = cells.filter((cell) => cell.note.length <= MAX_NOTE_BYTES && !isNoted(cell));
    if (changed.length + ended.length === 0) return;
    const bytes = changed.reduce((sum, { note }) => sum + RECORD_BYTES + note.length, RECORD_BYTES * ended.length);
    await this.#target.admit(bytes, cells.length === 0);
    const epoch = containers.writeEpoch();
    const writes = changed.map(({ key, note }): CellWrite => {
      return { key, epoch, kind: VersionKind.value, meta: NOTE_META, inline: note };
    });
    const ends = ended.map(({ key }): CellWrite => ({ key, epoch, kind: VersionKind.tombstone, meta: NO_META }));
    await durable(store, store.append([...writes, ...ends]));
  }
}
