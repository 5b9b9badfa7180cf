/**
 * What a leader and a target that it fills tell each other to find out what the target has already, of the dkeys in a range
 * of prefixes. Little-endian. `text`: u16 length, bytes.
 *
 *   request   u8 1: a summary   text: behind this prefix   text: up to this one
 *             summary:  16 bytes, of all digests of the range (summaryOf)
 *             else:     u32 count, then for each dkey  text: prefix, u8 1 when a digest follows, 16 bytes
 *   answer    u8 1: it has the same of all dkeys of the range, and no others; else 0
 *             without a summary: text: it has looked so far   u32 count, count bytes: 1 where it has the same
 *                                u32 count, texts: prefixes of dkeys that it has and the request does not name
 */
import { byteString, type ByteString, bytesOf } from "../base/bytes.ts";
import { Digest, DIGEST_BYTES } from "../base/digest.ts";
import { DaosError } from "../base/errors.ts";

export interface ComparedDkey {
  readonly prefix: string;
  /** Undefined: it is not compared. */
  readonly digest: Uint8Array | undefined;
}

export interface CompareRequest {
  readonly after: string;
  readonly upTo: string;
  /** Ascending by prefix; or a digest of all. */
  readonly dkeys: readonly ComparedDkey[] | Uint8Array;
}

export interface CompareAnswer {
  readonly isSame: boolean;
  /** Of what was asked without a summary. */
  readonly upTo: string;
  readonly same: readonly boolean[];
  readonly others: readonly string[];
}

/** A digest of the dkeys of a range; undefined when one of them has none. */
export function summaryOf(dkeys: readonly ComparedDkey[]): Uint8Array | undefined {
  const digest = new Digest();
  for (const dkey of dkeys) {
    if (dkey.digest === undefined) return undefined;
    digest.addText(dkey.prefix as ByteString);
    digest.addBytes(dkey.digest);
  }
  return digest.finish();
}

export function encodeCompareRequest({ after, upTo, dkeys }: CompareRequest): Uint8Array {
  const isSummary = dkeys instanceof Uint8Array;
  const parts = [Uint8Array.of(isSummary ? 1 : 0), text(after), text(upTo)];
  if (isSummary) parts.push(dkeys);
  else {
    parts.push(number(dkeys.length));
    for (const { prefix, digest } of dkeys) {
      parts.push(text(prefix), Uint8Array.of(digest === undefined ? 0 : 1));
      if (digest !== undefined) parts.push(digest);
    }
  }
  return Buffer.concat(parts);
}

/** Throws INVALID_ARGUMENT. */
export function decodeCompareRequest(bytes: Uint8Array): CompareRequest {
  const reader = new Reader(bytes);
  const isSummary = reader.flag();
  const [after, upTo] = [reader.text(), reader.text()];
  if (isSummary) return reader.end({ after, upTo, dkeys: reader.bytes(DIGEST_BYTES) });
  const count = reader.number();
  const dkeys: ComparedDkey[] = [];
  while (dkeys.length < count) {
    const prefix = reader.text();
    dkeys.push({ prefix, digest: reader.flag() ? reader.bytes(DIGEST_BYTES) : undefined });
  }
  return reader.end({ after, upTo, dkeys });
}

export const SAME: CompareAnswer = { isSame: true, upTo: "", same: [], others: [] };

export function encodeCompareAnswer({ isSame, upTo, same, others }: CompareAnswer): Uint8Array {
  if (isSame) return Uint8Array.of(1);
  const flags = Uint8Array.from(same, (each) => (each ? 1 : 0));
  const parts = [Uint8Array.of(0), text(upTo), number(same.length), flags, number(others.length)];
  return Buffer.concat([...parts, ...others.map(text)]);
}

/** Throws INVALID_ARGUMENT. */
export function decodeCompareAnswer(bytes: Uint8Array): CompareAnswer {
  const reader = new Reader(bytes);
  if (reader.flag()) return reader.end(SAME);
  const upTo = reader.text();
  const same = Array.from(reader.bytes(reader.number()), (each) => each === 1);
  const count = reader.number();
  const others: string[] = [];
  while (others.length < count) others.push(reader.text());
  return reader.end({ isSame: false, upTo, same, others });
}

function text(value: string): Uint8Array {
  const bytes = Buffer.alloc(2 + value.length);
  bytes.writeUInt16LE(value.length);
  bytes.set(bytesOf(value as ByteString), 2);
  return bytes;
}

function number(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

class Reader {
  readonly #view: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  bytes(count: number): Buffer {
    const start = this.#at;
    this.#at += count;
    if (this.#at > this.#view.length) throw malformed();
    return this.#view.subarray(start, this.#at);
  }

  flag(): boolean {
    return this.bytes(1)[0] === 1;
  }

  number(): number {
    return this.bytes(4).readUInt32LE();
  }

  text(): string {
    return byteString(this.bytes(this.bytes(2).readUInt16LE()));
  }

  /** The value, with nothing behind it. */
  end<Value>(value: Value): Value {
    if (this.#at === this.#view.length) return value;
    throw malformed();
  }
}

function malformed(): DaosError {
  return new DaosError("INVALID_ARGUMENT", "Cannot read what is to be compared: its lengths do not add up.");
}
