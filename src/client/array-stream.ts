/**
 * Arrays as streams, in bounded memory whatever their length: writing collects what comes into pieces and keeps a window
 * of them under way; reading keeps a window of pieces ahead of the consumer.
 */
import { assert } from "../base/assert.ts";
import { notBytes } from "../base/bytes-argument.ts";
import { DaosError } from "../base/errors.ts";
import { KIB, MIB } from "../base/limits.ts";
import type { ObjectId } from "../base/object-id.ts";
import type { ArrayAttributes } from "../format/array-attributes.ts";
import type { ArrayHandle } from "./array-handle.ts";
import { ARRAY_AKEY, type ArrayPiece, arrayPieces, checkRange, onlyPiece } from "./array-pieces.ts";
import type { ObjectOperations, ReadOptions } from "./object-operations.ts";
import { Window } from "./parallel.ts";

/** Bytes of one piece of a stream, unless a record is larger. */
const PIECE_BYTES = 1 * MIB;
/** Pieces under way: with PIECE_BYTES what bounds a stream's memory. */
const STREAM_WINDOW = 16;
/** A piece's buffer begins so large and doubles as bytes come: small files are many. */
const FIRST_BUFFER_BYTES = 64 * KIB;

export interface ReadStreamOptions extends ReadOptions {
  /** First record; 0. */
  readonly offset?: number;
  /** Most records; to the array's end without. */
  readonly length?: number;
}

export interface WriteStreamOptions {
  /** Record to begin at; 0. */
  readonly offset?: number;
  readonly signal?: AbortSignal | undefined;
}

/** See ArrayHandle.readStream. */
export async function* readArrayStream(
  array: ArrayHandle,
  operations: ObjectOperations,
  options: ReadStreamOptions,
): AsyncGenerator<Uint8Array, void, void> {
  const { offset = 0, length = Number.MAX_SAFE_INTEGER - offset } = options;
  const attributes = await array.attributes(options);
  checkRange("read", { ...attributes, recordBytes: 0 }, offset, length);
  const count = Math.min(length, (await array.size(options)) - offset);
  if (count <= 0) return;
  const { recordBytes } = attributes;
  const reading: Promise<Uint8Array>[] = [];
  const stopped = new AbortController();
  const signal = options.signal === undefined ? stopped.signal : AbortSignal.any([stopped.signal, options.signal]);
  const begin = (piece: ArrayPiece): void => {
    const bytes = operations
      .readRecords(array.id, piece.dkey, ARRAY_AKEY, piece, { epoch: options.epoch, signal })
      .then((found) => found ?? new Uint8Array(piece.recordCount * recordBytes));
    // Its failure comes out when its turn has come, or not at all when the consumer has stopped.
    bytes.catch(() => {});
    reading.push(bytes);
  };
  try {
    for (const piece of arrayPieces(attributes, offset, count, PIECE_BYTES)) {
      if (reading.length >= STREAM_WINDOW) yield await reading.shift()!;
      begin(piece);
    }
    for (const bytes of reading) yield await bytes;
  } finally {
    stopped.abort();
  }
}

/** See ArrayHandle.writeStream. */
export async function writeArrayStream(
  operations: ObjectOperations,
  oid: ObjectId,
  attributes: ArrayAttributes,
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  options: WriteStreamOptions,
): Promise<number> {
  const writer = new StreamWriter(operations, oid, attributes, options);
  try {
    for await (const chunk of chunks) await writer.take(chunk);
    return await writer.finish();
  } catch (error) {
    await writer.settled();
    throw error;
  }
}

class StreamWriter {
  readonly #operations: ObjectOperations;
  readonly #oid: ObjectId;
  readonly #attributes: ArrayAttributes;
  readonly #options: WriteStreamOptions;
  readonly #window = new Window(STREAM_WINDOW);
  /** Buffers of pieces that are durable, for the next ones. */
  readonly #free: Buffer[] = [];
  #buffer: Buffer | undefined;
  #filled = 0;
  /** Record at which the open piece begins. */
  #index: number;
  #pieceBytes: number;
  #totalBytes = 0;

  constructor(operations: ObjectOperations, oid: ObjectId, attributes: ArrayAttributes, options: WriteStreamOptions) {
    this.#operations = operations;
    this.#oid = oid;
    this.#attributes = attributes;
    this.#options = options;
    this.#index = options.offset ?? 0;
    checkRange("write", attributes, this.#index, 0);
    this.#pieceBytes = this.#nextPieceBytes();
  }

  async take(chunk: Uint8Array): Promise<void> {
    if (!(chunk instanceof Uint8Array)) throw notBytes("write the stream", chunk);
    this.#totalBytes += chunk.length;
    let at = 0;
    while (at < chunk.length) {
      const count = Math.min(chunk.length - at, this.#pieceBytes - this.#filled);
      this.#reserve(this.#filled + count);
      this.#buffer!.set(chunk.subarray(at, at + count), this.#filled);
      this.#filled += count;
      at += count;
      if (this.#filled === this.#pieceBytes) await this.#send();
    }
  }

  async finish(): Promise<number> {
    const { recordBytes } = this.#attributes;
    if (this.#filled % recordBytes !== 0) {
      const state = `it ends within a record of ${recordBytes} bytes`;
      throw new DaosError("INVALID_ARGUMENT", `Cannot write the stream: ${state}. Send whole records.`);
    }
    if (this.#filled > 0) await this.#send();
    await this.#window.drain();
    return this.#totalBytes;
  }

  /** Resolves when nothing is under way any more. */
  async settled(): Promise<void> {
    await this.#window.drain().catch(() => {});
  }

  /** Up to the end of the chunk that the next piece begins in. */
  #nextPieceBytes(): number {
    const { recordBytes, chunkBytes } = this.#attributes;
    const untilChunkEnd = chunkBytes - ((this.#index * recordBytes) % chunkBytes);
    return Math.min(untilChunkEnd, Math.max(1, Math.floor(PIECE_BYTES / recordBytes)) * recordBytes);
  }

  async #send(): Promise<void> {
    const { recordBytes } = this.#attributes;
    const buffer = this.#buffer!;
    const bytes = buffer.subarray(0, this.#filled);
    const recordCount = this.#filled / recordBytes;
    checkRange("write", this.#attributes, this.#index, recordCount);
    const piece = onlyPiece(this.#attributes, this.#index, recordCount);
    assert(piece !== undefined, "a piece of a stream takes one request");
    const options = { signal: this.#options.signal };
    this.#buffer = undefined;
    this.#filled = 0;
    this.#index += recordCount;
    this.#pieceBytes = this.#nextPieceBytes();
    await this.#window.add(async () => {
      await this.#operations.writeRecords(this.#oid, piece.dkey, ARRAY_AKEY, piece, bytes, options);
      if (buffer.length >= PIECE_BYTES) this.#free.push(buffer);
    });
  }

  /** Makes room for `sizeBytes` in the open piece. */
  #reserve(sizeBytes: number): void {
    const had = this.#buffer;
    if (had !== undefined && had.length >= sizeBytes) return;
    if (had === undefined && this.#free.length > 0) {
      const free = this.#free.pop()!;
      if (free.length >= this.#pieceBytes) {
        this.#buffer = free;
        return;
      }
    }
    let wanted = had === undefined ? FIRST_BUFFER_BYTES : had.length * 2;
    while (wanted < sizeBytes) wanted *= 2;
    const larger = Buffer.allocUnsafeSlow(Math.min(wanted, this.#pieceBytes));
    had?.copy(larger, 0, 0, this.#filled);
    this.#buffer = larger;
  }
}
