/**
 * An object as one long array of equal records (DAOS's array API); with records of one byte, a file without a name. It
 * is cut into chunks, each under a dkey of its own, so that a large array spreads over the targets of its class.
 *
 * The sizes of record and chunk are stored with the array when it is first written, and read from there ever after: who
 * opens it need not know them. Reads and writes of any length are split and run side by side; each piece is atomic,
 * the whole is not. Positions and lengths count records.
 */
import { notBytes } from "../base/bytes-argument.ts";
import type { Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { GIB } from "../base/limits.ts";
import { formatObjectId, type ObjectId } from "../base/object-id.ts";
import type { ArrayAttributes } from "../format/array-attributes.ts";
import { Opcode } from "../format/operations.ts";
import { ArrayAttributeStore, type RequestedAttributes } from "./array-attribute-store.ts";
import {
  ARRAY_AKEY,
  arrayPieces,
  checkRange,
  chunkDkey,
  chunkOfDkey,
  onlyPiece,
  recordsPerChunk,
} from "./array-pieces.ts";
import { readArrayStream, type ReadStreamOptions, writeArrayStream, type WriteStreamOptions } from "./array-stream.ts";
import { keyPages } from "./key-pages.ts";
import { queryKey } from "./key-query.ts";
import type { ObjectOperations, ReadOptions } from "./object-operations.ts";
import { forEachParallel, Window } from "./parallel.ts";

/** Requests of one read or write under way at once. */
const ARRAY_WINDOW = 16;
/** Most bytes one `read` returns; more is for `readStream`. */
const MAX_READ_BYTES = 1 * GIB;

export interface SignalOptions {
  readonly signal?: AbortSignal | undefined;
}

export class ArrayHandle {
  readonly id: ObjectId;
  readonly #operations: ObjectOperations;
  readonly #store: ArrayAttributeStore;

  constructor(operations: ObjectOperations, id: ObjectId, requested: RequestedAttributes) {
    this.id = id;
    this.#operations = operations;
    this.#store = new ArrayAttributeStore(operations, id, requested);
  }

  /** Bytes of a chunk: the stored array's once it was read or written, before that what a new one would have. */
  get chunkBytes(): number {
    return this.#store.current.chunkBytes;
  }

  /** Bytes of a record, likewise. */
  get recordBytes(): number {
    return this.#store.current.recordBytes;
  }

  /** One more than the index of the last record written and not punched; 0 for an array that is not there. */
  async size(options: ReadOptions = {}): Promise<number> {
    const attributes = await this.#store.forRead(options);
    const query = { direction: "max", levels: ["dkey", "extent"], akey: ARRAY_AKEY } as const;
    const found = await queryKey(this.#operations, this.id, query, options);
    if (found?.dkey === undefined || found.extent === undefined) return 0;
    const chunk = chunkOfDkey(found.dkey);
    if (chunk === undefined || chunk < 0) throw notAnArray(this.id);
    return chunk * recordsPerChunk(attributes) + found.extent.index + found.extent.count;
  }

  /**
   * Cuts the array off at `size` records, or makes it so long by writing a zero record at its end. Not atomic: writes
   * beyond the new end meanwhile may stay.
   */
  async setSize(size: number, options: SignalOptions = {}): Promise<void> {
    const attributes = await this.#store.forWrite(options);
    checkRange("resize", attributes, size, 0);
    if ((await this.size(options)) > size) {
      await this.punch(size, Number.MAX_SAFE_INTEGER, options);
    }
    if (size === 0 || (await this.size(options)) >= size) return;
    await this.write(size - 1, new Uint8Array(attributes.recordBytes), options);
  }

  /**
   * `count` records from `index` on. What was never written, also beyond the end, reads as zeros. At most 1 GiB
   * (TOO_LARGE); more comes through `readStream`.
   */
  async read(index: number, count: number, options: ReadOptions = {}): Promise<Uint8Array> {
    const attributes = this.#store.stored ?? (await this.#store.forRead(options));
    checkRange("read", attributes, index, count);
    const { recordBytes } = attributes;
    if (count * recordBytes > MAX_READ_BYTES) throw readTooLarge();
    const only = onlyPiece(attributes, index, count);
    if (only !== undefined) {
      const bytes = await this.#operations.readRecords(this.id, only.dkey, ARRAY_AKEY, only, options);
      return bytes ?? new Uint8Array(count * recordBytes);
    }
    const result = Buffer.allocUnsafeSlow(count * recordBytes);
    await this.#fill(attributes, index, result, options);
    return result;
  }

  /**
   * As `read`, into memory of the caller's, whole records of any length: what it costs to map fresh memory and to copy is
   * saved. It must not be used until the read ends, and holds anything when that rejects.
   */
  async readInto(index: number, into: Uint8Array, options: ReadOptions = {}): Promise<void> {
    if (!(into instanceof Uint8Array)) throw notBytes("read the array", into);
    const attributes = this.#store.stored ?? (await this.#store.forRead(options));
    const count = into.length / attributes.recordBytes;
    if (!Number.isInteger(count)) throw brokenRecords("read", into.length, attributes.recordBytes);
    checkRange("read", attributes, index, count);
    await this.#fill(attributes, index, into, options);
  }

  /**
   * Writes whole records from `index` on. Durable when resolved; `bytes` must not change until then. When it rejects, any
   * of the pieces may have been written, and none is still on its way unless the signal ended it.
   */
  async write(index: number, bytes: Uint8Array, options: SignalOptions = {}): Promise<void> {
    if (!(bytes instanceof Uint8Array)) throw notBytes("write the array", bytes);
    const attributes = this.#store.stored ?? (await this.#store.forWrite(options));
    const { recordBytes } = attributes;
    const count = bytes.length / recordBytes;
    if (!Number.isInteger(count)) throw brokenRecords("write", bytes.length, recordBytes);
    checkRange("write", attributes, index, count);
    const only = onlyPiece(attributes, index, count);
    if (only !== undefined) {
      await this.#operations.writeRecords(this.id, only.dkey, ARRAY_AKEY, only, bytes, options);
      return;
    }
    await forEachParallel(arrayPieces(attributes, index, count), ARRAY_WINDOW, (piece) => {
      const part = bytes.subarray(piece.offsetBytes, piece.offsetBytes + piece.recordCount * recordBytes);
      return this.#operations.writeRecords(this.id, piece.dkey, ARRAY_AKEY, piece, part, options);
    });
  }

  /** Makes `count` records from `index` on read as zeros. Costs what is there, not what is named. Durable when resolved. */
  async punch(index: number, count: number, options: SignalOptions = {}): Promise<void> {
    const attributes = await this.#store.forWrite(options);
    const end = Math.min(index + count, Number.MAX_SAFE_INTEGER);
    checkRange("punch", attributes, index, 0);
    checkRange("punch", { ...attributes, recordBytes: 0 }, index, count);
    const perChunk = recordsPerChunk(attributes);
    const firstChunk = Math.floor(index / perChunk);
    const after = chunkDkey(firstChunk - 1);
    const window = new Window(ARRAY_WINDOW);
    for await (const page of keyPages(
      this.#operations,
      { opcode: Opcode.dkeyList, oid: this.id },
      { ...options, after },
    )) {
      const chunks = page.map(chunkOfDkey).filter((chunk) => chunk !== undefined);
      for (const chunk of chunks) {
        if (chunk * perChunk < end) await window.add(() => this.#punchInChunk(attributes, chunk, index, end, options));
      }
      if (chunks.some((chunk) => chunk * perChunk >= end)) break;
    }
    await window.drain();
  }

  /** The records as a stream of pieces of up to 1 MiB, read ahead, in bounded memory; ends at the array's end. */
  readStream(options: ReadStreamOptions = {}): AsyncGenerator<Uint8Array, void, void> {
    return readArrayStream(this, this.#operations, options);
  }

  /**
   * Writes what comes, from record `offset` (0) on, in bounded memory; resolves with the number of bytes when all are
   * durable. The chunks' memory may be used again at once. What stood behind stays: `setSize` cuts it off.
   */
  async writeStream(
    chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    options: WriteStreamOptions = {},
  ): Promise<number> {
    const attributes = await this.#store.forWrite(options);
    return writeArrayStream(this.#operations, this.id, attributes, chunks, options);
  }

  /** The sizes to read by. For the streams. */
  attributes(options: ReadOptions = {}): Promise<ArrayAttributes> {
    return this.#store.forRead(options);
  }

  /** Reads as many records as `into` holds. */
  async #fill(attributes: ArrayAttributes, index: number, into: Uint8Array, options: ReadOptions): Promise<void> {
    const { recordBytes } = attributes;
    const pieces = arrayPieces(attributes, index, into.length / recordBytes);
    await forEachParallel(pieces, ARRAY_WINDOW, async (piece) => {
      const { offsetBytes, recordCount } = piece;
      const place = into.subarray(offsetBytes, offsetBytes + recordCount * recordBytes);
      const bytes = await this.#operations.readRecords(this.id, piece.dkey, ARRAY_AKEY, piece, options, place);
      if (bytes === undefined) {
        place.fill(0);
        return;
      }
      if (bytes.buffer === place.buffer) return;
      into.set(bytes, offsetBytes);
      this.#operations.session.buffers.recycle(bytes);
    });
  }

  #punchInChunk(
    attributes: ArrayAttributes,
    chunk: number,
    index: number,
    end: number,
    options: SignalOptions,
  ): Promise<Epoch> {
    const perChunk = recordsPerChunk(attributes);
    const first = Math.max(index - chunk * perChunk, 0);
    const last = Math.min(end - chunk * perChunk, perChunk);
    if (first === 0 && last === perChunk) return this.#operations.punchDkey(this.id, chunkDkey(chunk), options);
    const range = { recordIndex: first, recordCount: last - first, recordBytes: attributes.recordBytes };
    return this.#operations.punchRecords(this.id, chunkDkey(chunk), ARRAY_AKEY, range, options);
  }
}

function notAnArray(id: ObjectId): DaosError {
  const state = "it has records under a dkey that no array has";
  return new DaosError("CORRUPT", `Cannot size array ${formatObjectId(id)}: ${state}. Use it as an object.`);
}

function readTooLarge(): DaosError {
  const state = `more than ${MAX_READ_BYTES} bytes are wanted at once`;
  return new DaosError("TOO_LARGE", `Cannot read array: ${state}. Use readStream.`);
}

function brokenRecords(action: string, sizeBytes: number, recordBytes: number): DaosError {
  const state = `${sizeBytes} bytes are no whole number of records of ${recordBytes} bytes`;
  return new DaosError("INVALID_ARGUMENT", `Cannot ${action} array: ${state}. Give whole records.`);
}
