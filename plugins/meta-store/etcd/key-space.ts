/**
 * Where our keys are in etcd:
 *
 *     <prefix>k/<key>        the store's keys; etcd's order of bytes is the contract's
 *     <prefix>identity       16 random bytes, written with the first commit: another value is another store
 *     <prefix>slot/<id>      see commit-slot.ts
 */
import { asBuffer } from "../../../src/base/bytes.ts";

export class KeySpace {
  readonly identity: Buffer;
  readonly slots: Buffer;
  readonly #keys: string;
  readonly #skippedBytes: number;

  constructor(prefix: string) {
    this.identity = Buffer.from(`${prefix}identity`);
    this.slots = Buffer.from(`${prefix}slot/`);
    this.#keys = `${prefix}k/`;
    this.#skippedBytes = Buffer.byteLength(this.#keys);
  }

  bytes(key: string): Buffer {
    return Buffer.from(this.#keys + key);
  }

  key(bytes: Uint8Array): string {
    return asBuffer(bytes).toString("utf8", this.#skippedBytes);
  }

  slot(id: Uint8Array): Buffer {
    return Buffer.concat([this.slots, Buffer.from(asBuffer(id).toString("hex"))]);
  }
}

/** The smallest bytes after all that begin with `prefix`; it ends in no 0xff, as no UTF-8 text does. */
export function afterPrefix(prefix: Uint8Array): Buffer {
  const end = Buffer.from(prefix);
  end[end.length - 1]! += 1;
  return end;
}
