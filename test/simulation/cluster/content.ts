/** Bytes by which what was written is known again: a value or record tells its id, and every byte of it is checked. */

/** Bytes of a record; of erasure-coded arrays larger, so that a few make a stripe. */
export const RECORD_BYTES = 256;
export const CODED_RECORD_BYTES = 2048;
const HEADER_BYTES = 4;

/** Every fifth value is too large for SCM. */
export function valueOf(id: number): Uint8Array {
  return filledWith(id, id % 5 === 0 ? 4_500 + (id % 7) * 100 : 20 + (id % 11));
}

export function recordsOf(id: number, count: number, recordBytes: number): Uint8Array {
  const bytes = new Uint8Array(count * recordBytes);
  for (let record = 0; record < count; record += 1) bytes.set(filledWith(id, recordBytes), record * recordBytes);
  return bytes;
}

function filledWith(id: number, length: number): Uint8Array {
  const bytes = Buffer.alloc(length);
  for (let place = HEADER_BYTES; place < length; place += 1) bytes[place] = (place * 31 + id * 17) & 0xff;
  bytes.writeUInt32LE(id, 0);
  return bytes;
}

export class WrongBytesError extends Error {
  override readonly name = "WrongBytesError";
}

/** Id of a value. Throws WrongBytesError when these are not all its bytes. */
export function idOfValue(bytes: Uint8Array | undefined): number {
  if (bytes === undefined) return 0;
  const id = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).readUInt32LE(0);
  if (Buffer.compare(bytes, valueOf(id)) !== 0) throw new WrongBytesError(`a value says it is ${id}, and is not`);
  return id;
}

/** Ids of records, 0 for those that read as zeros. Throws WrongBytesError. */
export function idsOfRecords(bytes: Uint8Array | undefined, count: number, recordBytes: number): number[] {
  if (bytes === undefined) return new Array<number>(count).fill(0);
  return Array.from({ length: count }, (_, record) => {
    const part = Buffer.from(bytes.subarray(record * recordBytes, (record + 1) * recordBytes));
    const id = part.readUInt32LE(0);
    const wanted = id === 0 ? Buffer.alloc(recordBytes) : filledWith(id, recordBytes);
    if (Buffer.compare(part, wanted) !== 0) throw new WrongBytesError(`a record says it is ${id}, and is not`);
    return id;
  });
}
