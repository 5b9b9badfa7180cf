/**
 * A peer that speaks in bytes of its own making: for frames that no client of ours would send.
 */
import { expect } from "bun:test";
import { connect, type Socket } from "node:net";
import type { ByteString } from "../../src/base/bytes.ts";
import { crc32 } from "../../src/base/checksum.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import { ERROR_CODES, type ErrorCode } from "../../src/base/errors.ts";
import { objectClassByName } from "../../src/base/object-class.ts";
import { objectId } from "../../src/base/object-id.ts";
import { decodeCbor } from "../../src/format/cbor.ts";
import {
  decodeFrameHeader,
  emptyFrameHeader,
  encodeFrameHeader,
  FRAME_HEADER_BYTES,
  FrameFlag,
  type FrameHeader,
} from "../../src/format/frame.ts";
import {
  NO_REQUEST_ID,
  encodeObjectRequest,
  type ObjectRequest,
  objectRequestBytes,
} from "../../src/format/object-request.ts";
import { Opcode } from "../../src/format/operations.ts";
import { encodeHello } from "../../src/rpc/hello.ts";

const NOTHING = Buffer.alloc(0);
/** The object that `objectRequest` is about. */
export const OID = objectId("MULTI_LEXICAL", objectClassByName("S1"), 9, 9n);

export interface RawReply {
  readonly header: FrameHeader;
  readonly args: Buffer;
  readonly payload: Buffer;
}

/** A whole frame. `change` overrides fields of the header after lengths and checksum were filled in. */
export function frame(
  opcode: number,
  requestId: number,
  args: Uint8Array = NOTHING,
  payload: Uint8Array = NOTHING,
  change: Partial<FrameHeader> = {},
): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(FRAME_HEADER_BYTES), args, payload]);
  encodeFrameHeader(bytes, 0, {
    ...emptyFrameHeader(),
    opcode,
    requestId,
    argumentsLength: args.length,
    payloadLength: payload.length,
    bodyChecksum: args.length + payload.length === 0 ? 0 : crc32(bytes.subarray(FRAME_HEADER_BYTES)),
    ...change,
  });
  return bytes;
}

/** Makes the header's checksum right again after its bytes were changed. */
export function seal(bytes: Buffer): Buffer {
  bytes.writeUInt32LE(crc32(bytes.subarray(0, FRAME_HEADER_BYTES - 4)), FRAME_HEADER_BYTES - 4);
  return bytes;
}

export class RawPeer {
  readonly socket: Socket;
  isClosed = false;
  #isEnded = false;
  #bytes: Buffer = NOTHING;
  readonly #replies: RawReply[] = [];
  #wake: () => void = () => {};

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
      this.#decode();
      this.#wake();
    });
    socket.on("error", () => {});
    socket.on("end", () => {
      this.#isEnded = true;
      this.#wake();
    });
    socket.on("close", () => {
      this.isClosed = true;
      this.#wake();
    });
  }

  static connect(address: { host: string; port: number }): Promise<RawPeer> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: address.host, port: address.port, allowHalfOpen: true });
      socket.once("error", reject);
      socket.once("connect", () => resolve(new RawPeer(socket)));
    });
  }

  /** Connected, and greeted. */
  static async greeted(address: { host: string; port: number }): Promise<RawPeer> {
    const peer = await RawPeer.connect(address);
    peer.socket.write(frame(Opcode.hello, 1, encodeHello("raw")));
    await peer.reply();
    return peer;
  }

  #decode(): void {
    while (this.#bytes.length >= FRAME_HEADER_BYTES) {
      const header = emptyFrameHeader();
      decodeFrameHeader(this.#bytes, 0, header);
      const argsEnd = FRAME_HEADER_BYTES + header.argumentsLength;
      const end = argsEnd + header.payloadLength;
      if (this.#bytes.length < end) return;
      const args = this.#bytes.subarray(FRAME_HEADER_BYTES, argsEnd);
      this.#replies.push({ header, args, payload: this.#bytes.subarray(argsEnd, end) });
      this.#bytes = this.#bytes.subarray(end);
    }
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => (this.#wake = resolve));
  }

  /** The next reply; undefined when the connection ended without one. */
  async reply(): Promise<RawReply | undefined> {
    await this.#until(() => this.#replies.length > 0 || this.isClosed || this.#isEnded);
    return this.#replies.shift();
  }

  async call(
    opcode: number,
    requestId: number,
    args?: Uint8Array,
    payload?: Uint8Array,
  ): Promise<RawReply | undefined> {
    this.socket.write(frame(opcode, requestId, args, payload));
    return this.reply();
  }

  /** Resolves when the other side has ended the connection. */
  ended(): Promise<void> {
    return this.#until(() => this.isClosed || this.#isEnded);
  }

  close(): void {
    this.socket.destroy();
  }
}

/** The error's number in an error reply, 0 in another. */
export function errorNumber(reply: RawReply | undefined): number {
  if (reply === undefined || (reply.header.flags & FrameFlag.error) === 0) return 0;
  return (decodeCbor(reply.args) as { code: number }).code;
}

/** The arguments of an object operation, all in order unless changed. */
export function objectRequest(change: Partial<ObjectRequest> = {}): Buffer {
  const request: ObjectRequest = {
    handle: 1,
    flags: 0,
    oid: OID,
    epoch: 0 as Epoch,
    recordIndex: 0,
    recordCount: 0,
    recordBytes: 0,
    ...NO_REQUEST_ID,
    dkey: "dkey" as ByteString,
    akey: "akey" as ByteString,
    ...change,
  };
  const bytes = Buffer.alloc(objectRequestBytes(request));
  encodeObjectRequest(bytes, 0, request);
  return bytes;
}

/** The reply is an error of this code. */
export function expectError(reply: Parameters<typeof errorNumber>[0], code: ErrorCode): void {
  expect(errorNumber(reply)).toBe(ERROR_CODES[code]);
}
