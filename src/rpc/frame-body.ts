/**
 * The body of a frame where it was received: arguments, then payload, in one run of bytes; a large payload instead is the
 * prefix of a buffer of its own. Views are made only when they are asked for: most requests are read in place.
 *
 * A reader hands over the same body object each time, valid in the call only.
 */
import { asBuffer } from "../base/bytes.ts";

const NOTHING = Buffer.alloc(0);

export class FrameBody {
  /** Holds the arguments, and the payload too unless `payloadBuffer` does. */
  bytes: Buffer = NOTHING;
  argumentsStart = 0;
  /** Where the arguments end and a payload that is not large begins. */
  argumentsEnd = 0;
  payloadLength = 0;
  payloadBuffer: Uint8Array | undefined = undefined;

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

  /** The payload in memory that is the caller's: a large one as it is, else a copy. */
  ownPayload(): Uint8Array {
    if (this.payloadBuffer !== undefined) return this.payload();
    const copy = new Uint8Array(this.payloadLength);
    if (this.payloadLength > 0) this.bytes.copy(copy, 0, this.argumentsEnd, this.argumentsEnd + this.payloadLength);
    return copy;
  }
}
