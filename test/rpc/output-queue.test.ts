/**
 * OutputQueue and FrameWriter: order, partial writes, when memory of others is released.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { KIB } from "../../src/base/limits.ts";
import type { Socket } from "../../src/contracts/world.ts";
import { FrameReader } from "../../src/rpc/frame-reader.ts";
import { FrameWriter } from "../../src/rpc/frame-writer.ts";
import { OUTPUT_BLOCK_BYTES, OUTPUT_REFERENCE_BYTES, OutputBlocks, OutputQueue } from "../../src/rpc/output-queue.ts";

/** Takes as many bytes as `take` says. */
class CountingSocket implements Socket {
  readonly remoteAddress = "test";
  readonly taken: Buffer[] = [];
  writes = 0;
  take: (wanted: number) => number = (wanted) => wanted;

  write(bytes: Uint8Array): number {
    this.writes += 1;
    const count = Math.min(bytes.length, this.take(bytes.length));
    if (count > 0) this.taken.push(Buffer.from(bytes.subarray(0, count)));
    return count;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.taken);
  }

  receive(): number {
    return 0;
  }

  pause(): void {}
  resume(): void {}
  end(): void {}
  terminate(): void {}
}

function put(queue: OutputQueue, bytes: Uint8Array): void {
  const at = queue.reserve(bytes.length);
  queue.block!.set(bytes, at);
}

describe("OutputQueue", () => {
  test("sends everything once and in order, whatever the socket takes at a time", () => {
    const action = fc.record({
      size: fc.oneof(fc.nat(500), fc.nat(200_000)),
      byReference: fc.boolean(),
      flush: fc.boolean(),
    });
    fc.assert(
      fc.property(
        fc.array(action, { maxLength: 30 }),
        fc.array(fc.nat(100_000), { minLength: 1 }),
        (actions, takes) => {
          const socket = new CountingSocket();
          let turn = 0;
          // Every seventh write makes progress, so that the loop below ends however little the others take.
          socket.take = () => {
            turn += 1;
            return turn % 7 === 0 ? 5001 : takes[turn % takes.length]!;
          };
          const queue = new OutputQueue(socket, new OutputBlocks());
          const expected: Buffer[] = [];
          let released = 0;
          let lent = 0;
          for (const [index, { size, byReference, flush }] of actions.entries()) {
            const bytes = Buffer.alloc(size, index + 1);
            expected.push(bytes);
            if (byReference) {
              lent += 1;
              queue.append(bytes, () => {
                released += 1;
              });
            } else {
              put(queue, bytes);
            }
            if (flush) queue.flush();
          }
          for (let round = 0; round < 20_000 && queue.queuedBytes > 0; round += 1) {
            queue.unblock();
            queue.flush();
          }
          queue.unblock();
          queue.flush();
          expect(socket.bytes.equals(Buffer.concat(expected))).toBe(true);
          expect(queue.sentBytes).toBe(socket.bytes.length);
          expect(released).toBe(lent);
        },
      ),
      { numRuns: 60 },
    );
  });

  test("writes nothing while the socket is full, and all small pieces at once", () => {
    const socket = new CountingSocket();
    const queue = new OutputQueue(socket, new OutputBlocks());
    socket.take = () => 0;
    put(queue, Buffer.from("abc"));
    expect(queue.flush()).toBe(false);
    put(queue, Buffer.from("def"));
    expect(queue.flush()).toBe(false);
    expect(socket.writes).toBe(1);
    socket.take = (wanted) => wanted;
    queue.unblock();
    expect(queue.flush()).toBe(true);
    expect(socket.writes).toBe(2);
    expect(socket.bytes.toString()).toBe("abcdef");
    expect(queue.block).toBeUndefined();
  });

  test("takes blocks from the pool and gives them back; larger pieces get memory of their own", () => {
    const blocks = new OutputBlocks();
    const queue = new OutputQueue(new CountingSocket(), blocks);
    put(queue, Buffer.alloc(10));
    const first = queue.block;
    queue.flush();
    put(queue, Buffer.alloc(10));
    expect(queue.block).toBe(first);
    put(queue, Buffer.alloc(OUTPUT_BLOCK_BYTES + 1));
    expect(queue.block!.length).toBe(OUTPUT_BLOCK_BYTES + 1);
    queue.flush();
    expect(blocks.take(1)).toBe(first!);
  });

  test("close releases what was lent, and what comes later goes nowhere", () => {
    const socket = new CountingSocket();
    socket.take = () => 0;
    const queue = new OutputQueue(socket, new OutputBlocks());
    let released = 0;
    const release = (): void => {
      released += 1;
    };
    put(queue, Buffer.alloc(10));
    queue.append(Buffer.alloc(100_000), release);
    queue.flush();
    queue.close();
    queue.close();
    expect(released).toBe(1);
    expect(queue.queuedBytes).toBe(0);
    put(queue, Buffer.alloc(10));
    queue.append(Buffer.alloc(10), release);
    expect(released).toBe(2);
    queue.unblock();
    expect(queue.flush()).toBe(false);
    expect(socket.writes).toBe(1);
  });

  test("a closed socket counts as one that takes nothing", () => {
    const socket = new CountingSocket();
    socket.take = () => -1;
    const queue = new OutputQueue(socket, new OutputBlocks());
    put(queue, Buffer.alloc(10));
    queue.append(Buffer.alloc(100_000), undefined);
    expect(queue.flush()).toBe(false);
    expect(queue.queuedBytes).toBe(100_010);
  });
});

describe("FrameWriter", () => {
  test("what it writes is what FrameReader reads, in place, copied and by reference", () => {
    const socket = new CountingSocket();
    const queue = new OutputQueue(socket, new OutputBlocks());
    const writer = new FrameWriter(queue);
    const large = Buffer.alloc(OUTPUT_REFERENCE_BYTES, 8);
    let released = 0;
    const release = (): void => {
      released += 1;
    };
    writer.header.requestId = 1;
    writer.write(Buffer.from("copied"), Buffer.from("payload"), release);
    expect(released).toBe(1);
    writer.header.requestId = 2;
    writer.write(Buffer.from("lent"), large, release);
    expect(released).toBe(1);
    writer.header.requestId = 3;
    const at = writer.start(3, 2);
    writer.block.write("abcde", at);
    writer.finish();
    writer.header.requestId = 4;
    const behind = writer.start(1, 1);
    writer.block.write("xy", behind);
    writer.finishWith(large, release);
    writer.header.requestId = 5;
    writer.write(Buffer.alloc(0), Buffer.alloc(0), undefined);
    queue.flush();
    expect(released).toBe(3);
    const seen: string[] = [];
    const reader = new FrameReader({
      frame: (header, body) => {
        const args = body.args();
        const payload = body.payload();
        seen.push(`${header.requestId} ${args.toString()} ${payload.length} ${payload.at(0)} ${payload.at(-1)}`);
        return true;
      },
      refused: (_header, error) => {
        throw error;
      },
      admit: () => true,
      allocatePayload: (sizeBytes) => Buffer.alloc(sizeBytes),
      releasePayload: () => {},
    });
    reader.read(socket.bytes, 0, socket.bytes.length);
    expect(seen).toEqual([
      "1 copied 7 112 100",
      `2 lent ${64 * KIB} 8 8`,
      "3 abc 2 100 101",
      `4 x ${64 * KIB + 1} 121 8`,
      "5  0 undefined undefined",
    ]);
  });

  test("a frame within a frame is a bug", () => {
    const writer = new FrameWriter(new OutputQueue(new CountingSocket(), new OutputBlocks()));
    writer.start(1, 1);
    expect(() => writer.start(1, 1)).toThrow("while another is open");
  });
});
