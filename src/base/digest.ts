/**
 * A digest of 16 bytes by which two sides find out whether they have the same, without sending it. Not for secrets: who
 * chooses the words can make two digests meet. Four MurmurHash3 (Appleby, 2011; x86, 32 bits) side by side, with seeds and
 * multipliers of their own.
 */
import { asBuffer, type ByteString } from "./bytes.ts";

export const DIGEST_BYTES = 16;

const LANES = [
  { seed: 0x9e37_79b9, first: 0xcc9e_2d51, second: 0x1b87_3593 },
  { seed: 0x85eb_ca6b, first: 0x239b_961b, second: 0xab0e_9789 },
  { seed: 0xc2b2_ae35, first: 0x38b3_4ae5, second: 0xa1e3_8b93 },
  { seed: 0x27d4_eb2f, first: 0x87c3_7b91, second: 0x4cf5_ad43 },
] as const;
const WORD = 2 ** 32;

export class Digest {
  readonly #lanes = LANES.map(({ seed }) => seed | 0);
  #words = 0;

  /** A whole number from 0 to 2^53 - 1. */
  add(value: number): void {
    this.#mix(value % WORD);
    this.#mix(Math.floor(value / WORD));
  }

  addText(text: ByteString): void {
    this.add(text.length);
    for (let at = 0; at < text.length; at += 4) {
      const word =
        text.charCodeAt(at) |
        (text.charCodeAt(at + 1) << 8) |
        (text.charCodeAt(at + 2) << 16) |
        (text.charCodeAt(at + 3) << 24);
      this.#mix(word);
    }
  }

  addBytes(bytes: Uint8Array): void {
    this.add(bytes.length);
    for (let at = 0; at < bytes.length; at += 4) {
      const word =
        bytes[at]! | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24);
      this.#mix(word);
    }
  }

  #mix(word: number): void {
    this.#words += 1;
    for (const [index, { first, second }] of LANES.entries()) {
      const mixed = Math.imul(rotated(Math.imul(word, first), 15), second);
      this.#lanes[index] = (Math.imul(rotated(this.#lanes[index]! ^ mixed, 13), 5) + 0xe654_6b64) | 0;
    }
  }

  /** Of all that was added. */
  finish(): Uint8Array {
    const bytes = asBuffer(new Uint8Array(DIGEST_BYTES));
    let sum = 0;
    const lanes = this.#lanes.map((lane) => {
      const ended = ending(lane ^ this.#words);
      sum = (sum + ended) | 0;
      return ended;
    });
    for (const [index, lane] of lanes.entries())
      bytes.writeInt32LE((lane + Math.imul(sum, 2 * index + 1)) | 0, 4 * index);
    return bytes;
  }
}

function rotated(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

function ending(lane: number): number {
  let mixed = Math.imul(lane ^ (lane >>> 16), 0x85eb_ca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2_ae35);
  return mixed ^ (mixed >>> 16);
}
