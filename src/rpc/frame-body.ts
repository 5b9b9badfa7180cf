/**
 * The body of a frame where it was received: arguments, then payload, in one run of bytes; a large payload instead is the
 * prefix of a buffer of its own. Views are made only when they are asked for: most requests are read in place.
 *
 * A reader hands over the same body object each time, valid in the call only.
 */
import { asBuffer } from "../base/bytes.ts";
import { crc32, crc32Range } from "../base/checksum.ts";
import { checksumBehind } from "../base/checksum-join.ts";
import { DaosError } from "../base/errors.ts";

const NOTHING = Buffer.alloc(0);

export class FrameBody {
  /** Holds the arguments, and the payload too unless `payloadBuffer` does. */
  bytes: Buffer = NOTHING;
  argumentsStart = 0;
  /** Where the arguments end and a payload that is not large begins. */
  argumentsEnd = 0;
  payloadLength = 0;
  payloadBuffer: Uint8Array | undefined = undefined;
  /** CRC-32 of arguments and payload, as the frame says; what was received has it. */
  checksum = 0;

  get argumentsLength(): number {
    return this.argumentsEnd - this.argumentsStart;
  }

  /** A view of the arguments. */
  args(): Buffer {
    return this.bytes.subarray(this.argumentsStart, this.argumentsEnd);
  }

  /** A view of the payload. */
  payload(): Buffer {
    if (this.payloadLength === 0) return NOTHING;
    if (this.payloadBuffer !== undefined) return asBuffer(this.payloadBuffer).subarray(0, this.payloadLength);
    return this.bytes.subarray(this.argumentsEnd, this.argumentsEnd + this.payloadLength);
  }

  /** CRC-32 of the payload as its sender made it; the bytes that were received have it. */
  get payloadChecksum(): number {
    const before = crc32Range(this.bytes, this.argumentsStart, this.argumentsEnd);
    return checksumBehind(this.checksum, before, this.payloadLength);
  }

  /**
   * The payload in memory that is the caller's: a large one as it is, else a copy, in `place` if that is just as long. Throws
   * UNAVAILABLE when the copy is not what was received.
   */
  ownPayload(place?: Uint8Array): Uint8Array {
    if (this.payloadBuffer !== undefined) return this.payload();
    const { bytes, argumentsEnd, payloadLength } = this;
    const copy = place?.length === payloadLength ? place : new Uint8Array(payloadLength);
    if (payloadLength === 0) return copy;
    bytes.copy(copy, 0, argumentsEnd, argumentsEnd + payloadLength);
    if (crc32(copy, crc32Range(bytes, this.argumentsStart, argumentsEnd)) !== this.checksum) throw damagedCopy();
    return copy;
  }
}

function damagedCopy(): DaosError {
  const state = "it changed in this program's memory after it was received";
  const cause = new DaosError("DAMAGED", `Cannot use the payload: ${state}.`);
  return new DaosError("UNAVAILABLE", `Cannot use the answer: ${state}. Ask again; check the memory.`, { cause });
}
