/** Which object a stored extent belongs to, and which bytes of what its akey shows lie in one of its chunks. */
import type { AkeyPlace } from "../base/key-place.ts";
import { BLOCK_BYTES, MAX_CELL_KEY_BYTES } from "../base/limits.ts";
import { chunkBytes } from "../store/extent-check.ts";
import type { StoredExtent } from "../store/stored-extents.ts";
import { addPieces, isHole, type Piece, windowBytes } from "./array-window.ts";
import {
  akeyPrefixOf,
  containerOf,
  dkeyPrefixOf,
  nameOfPrefix,
  OBJECT_PREFIX_BYTES,
  objectOfPrefix,
  snapshotStart,
  windowClassOf,
  windowOf,
} from "./cell-key.ts";
import { MetaType } from "./cell-meta.ts";
import { isTransactionKey } from "./transaction-cells.ts";

export interface StoredPlace extends AkeyPlace {
  readonly container: number;
  readonly kind: "array" | "value";
}

/** Bytes of an array, or of a value, that lie in a chunk from `at` on. */
export interface ChunkRun {
  readonly at: number;
  readonly address: number;
  readonly length: number;
}

/** Undefined for what is no object's data. */
export function placeOfExtent({ key, metaType }: Pick<StoredExtent, "key" | "metaType">): StoredPlace | undefined {
  const isObject = key.length > OBJECT_PREFIX_BYTES + 1 && key.length <= MAX_CELL_KEY_BYTES && !isTransactionKey(key);
  if (!isObject || key >= snapshotStart(key.slice(0, 4))) return undefined;
  const object = key.slice(0, OBJECT_PREFIX_BYTES);
  const dkey = dkeyPrefixOf(key);
  const akey = akeyPrefixOf(key, dkey);
  const kind = metaType === MetaType.single ? "value" : "array";
  const isAkey = akey.length > dkey.length && (kind === "value") === (key.length === akey.length + 1);
  if (!isAkey) return undefined;
  return {
    container: containerOf(key),
    oid: objectOfPrefix(object),
    dkey: nameOfPrefix(dkey, object),
    akey: nameOfPrefix(akey, dkey),
    kind,
  };
}

/** What lies in a chunk; the rest of it are zeros. Throws CORRUPT. */
export function runsOfChunk(stored: StoredExtent, chunk: number): ChunkRun[] {
  const start = chunk * BLOCK_BYTES;
  const end = start + chunkBytes(stored.extent, chunk);
  if (stored.metaType === MetaType.single) return [{ at: 0, address: start, length: end - start }];
  const pieces: Piece[] = [];
  const windowClass = windowClassOf(stored.key);
  const base = windowOf(stored.key) * windowBytes(windowClass);
  addPieces(pieces, { ...stored, inline: undefined, checksum: 0, sequence: 0 }, windowClass, base);
  return pieces.flatMap((piece) => {
    if (isHole(piece)) return [];
    const low = Math.max(piece.storedAt, start);
    const high = Math.min(piece.storedAt + piece.end - piece.start, end);
    if (low >= high) return [];
    return [{ at: low - start, address: piece.start + low - piece.storedAt, length: high - low }];
  });
}
