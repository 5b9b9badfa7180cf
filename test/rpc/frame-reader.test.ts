/**
 * FrameReader: frames are the same however their bytes are cut, and nothing damaged comes through.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { KIB, OWNED_PAYLOAD_BYTES } from "../../src/base/limits.ts";
import type { FrameHeader } from "../../src/format/frame.ts";
import type { FrameBody } from "../../src/rpc/frame-body.ts";
import { FrameReader, type FrameSink } from "../../src/rpc/frame-reader.ts";
import { frameBytes, NOTHING } from "./harness.ts";

class Collector implements FrameSink {
  readonly events: string[] = [];
  readonly payloads: Buffer[] = [];
  readonly buffers: Uint8Array[] = [];
  released = 0;
  hasRoom = true;
  goOn = true;

  frame(header: FrameHeader, body: FrameBody): boolean {
    const payload = body.payload();
    this.events.push(`${header.requestId} ${body.args().toString("latin1")} ${payload.length}`);
    this.payloads.push(Buffer.from(payload));
    if (body.payloadBuffer !== undefined) this.buffers.push(body.payloadBuffer);
    return this.goOn;
  }

  refused(header: FrameHeader, error: Error & { code?: string }): boolean {
    this.events.push(`${header.requestId} ${error.code}`);
    return this.goOn;
  }

  admit(): boolean {
    return this.hasRoom;
  }

  allocatePayload(sizeBytes: number): Uint8Array {
    return new Uint8Array(sizeBytes + 100);
  }

  releasePayload(): void {
    this.released += 1;
  }
}

/** Reads `bytes` cut at these places, each piece gone after its call. */
function readCut(reader: FrameReader, bytes: Buffer, cuts: readonly number[]): void {
  const places = [...new Set([0, ...cuts.map((cut) => cut % bytes.length), bytes.length])].toSorted((a, b) => a - b);
  for (let index = 1; index < places.length; index += 1) {
    const piece = Buffer.concat([Buffer.alloc(3), bytes.subarray(places[index - 1]!, places[index]!), Buffer.alloc(3)]);
    expect(reader.read(piece, 3, piece.length - 3)).toBe(piece.length - 3);
    piece.fill(0xa5);
  }
}

describe("FrameReader", () => {
  test("finds the same frames however the bytes are cut", () => {
    const size = fc.oneof(
      fc.nat(100),
      fc.integer({ min: OWNED_PAYLOAD_BYTES - 2, max: OWNED_PAYLOAD_BYTES + 2 }),
      fc.nat(70_000),
    );
    const frames = fc.array(fc.record({ args: fc.nat(300), payload: size, damaged: fc.boolean() }), {
      minLength: 1,
      maxLength: 8,
    });
    fc.assert(
      fc.property(frames, fc.array(fc.nat()), (list, cuts) => {
        const expected: string[] = [];
        const parts = list.map(({ args, payload, damaged }, index) => {
          const requestId = index + 1;
          const bytes = frameBytes(
            { opcode: 9, requestId },
            Buffer.alloc(args, 65 + index),
            Buffer.alloc(payload, index),
          );
          const isDamaged = damaged && args + payload > 0;
          if (isDamaged) bytes[bytes.length - 1]! ^= 4;
          expected.push(
            isDamaged
              ? `${requestId} DAMAGED`
              : `${requestId} ${String.fromCharCode(65 + index).repeat(args)} ${payload}`,
          );
          return bytes;
        });
        const sink = new Collector();
        const reader = new FrameReader(sink);
        readCut(reader, Buffer.concat(parts), cuts);
        expect(sink.events).toEqual(expected);
        expect(reader.isInFrame).toBe(false);
        expect(reader.framesRead).toBe(list.length);
      }),
    );
  });

  test("a large payload is the prefix of a buffer of its own, a small one is not", () => {
    const sink = new Collector();
    const reader = new FrameReader(sink);
    const large = Buffer.alloc(OWNED_PAYLOAD_BYTES, 7);
    const bytes = Buffer.concat([
      frameBytes({ opcode: 1 }, NOTHING, large.subarray(1)),
      frameBytes({ opcode: 1 }, NOTHING, large),
    ]);
    reader.read(bytes, 0, bytes.length);
    expect(sink.buffers.length).toBe(1);
    expect(sink.payloads[1]!.equals(large)).toBe(true);
    expect(Buffer.from(sink.buffers[0]!.subarray(0, large.length)).equals(large)).toBe(true);
  });

  test("stops where the sink says so and goes on from there", () => {
    const sink = new Collector();
    const reader = new FrameReader(sink);
    sink.goOn = false;
    const one = frameBytes({ opcode: 1 }, Buffer.from("abc"));
    const bytes = Buffer.concat([one, one, one.subarray(0, 20)]);
    let at = 0;
    for (let round = 1; round <= 2; round += 1) {
      at = reader.read(bytes, at, bytes.length);
      expect(at).toBe(one.length * round);
      expect(sink.events.length).toBe(round);
    }
    expect(reader.read(bytes, at, bytes.length)).toBe(bytes.length);
    expect(reader.isInFrame).toBe(true);
  });

  test("skips a body it has no room for, and one over the limits, without storing it", () => {
    const sink = new Collector();
    const reader = new FrameReader(sink);
    sink.hasRoom = false;
    const small = frameBytes({ opcode: 1, requestId: 9 }, Buffer.from("ok"));
    const bytes = Buffer.concat([
      frameBytes({ opcode: 1, requestId: 1 }, NOTHING, Buffer.alloc(100 * KIB)),
      frameBytes({ opcode: 1, requestId: 2, argumentsLength: 300 * KIB }),
      Buffer.alloc(300 * KIB),
      small,
    ]);
    for (let at = 0; at < bytes.length; at += 50 * KIB) reader.read(bytes, at, Math.min(bytes.length, at + 50 * KIB));
    expect(sink.events).toEqual(["1 OVERLOADED", "2 TOO_LARGE", "9 ok 0"]);
  });

  test("throws once the stream cannot be followed, wherever it is cut", () => {
    const good = frameBytes({ opcode: 1 }, Buffer.from("abc"));
    const bad = Buffer.from(good);
    bad[8]! ^= 1;
    for (let cut = 0; cut <= bad.length; cut += 1) {
      const sink = new Collector();
      const reader = new FrameReader(sink);
      const bytes = Buffer.concat([good, bad]);
      expect(() => {
        reader.read(bytes, 0, good.length + cut);
        reader.read(bytes, good.length + cut, bytes.length);
      }).toThrow("checksum of its header");
      expect(sink.events.length).toBe(1);
    }
  });

  test("discard gives back the buffer of an open frame, once", () => {
    const sink = new Collector();
    const reader = new FrameReader(sink);
    const bytes = frameBytes({ opcode: 1 }, NOTHING, Buffer.alloc(50 * KIB));
    reader.read(bytes, 0, 1_000);
    expect(reader.isInFrame).toBe(true);
    reader.discard();
    reader.discard();
    expect(sink.released).toBe(1);
    expect(reader.isInFrame).toBe(false);
  });
});
