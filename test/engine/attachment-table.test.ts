/** Attach and detach over several connections. */
import { expect, test } from "bun:test";
import { DaosError } from "../../src/base/errors.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import { AttachmentTable } from "../../src/engine/attachment-table.ts";
import { decodeCbor, encodeCbor } from "../../src/format/cbor.ts";
import { Opcode } from "../../src/format/operations.ts";
import { type RpcPeer, RpcRequest } from "../../src/rpc/request.ts";
import { bodyOf } from "../rpc/harness.ts";
import { expectCode } from "../store/expect-code.ts";

const quota = { pool: "pool", sizeBytes: 1, containers: new Set([1]), usedBytes: 0, writtenBytes: 0, renewAtMs: 0 };

const pool = { pool: "pool", map: { version: 1, targets: [] }, own: 0, containers: new Map() };

class Rig {
  nowMs = 1_000;
  /** A capability is the container's number; container 0 is refused. */
  readonly table = new AttachmentTable(
    (capability) => {
      const container = capability[0]!;
      if (container === 0) throw new DaosError("PERMISSION", "Cannot attach: forged.");
      return { container, pool, writable: true, quota, expiresAtMs: 2_000 };
    },
    () => this.nowMs,
  );

  peer(): RpcPeer {
    return { session: undefined, remoteAddress: "test", isClosed: false } as unknown as RpcPeer;
  }

  request(peer: RpcPeer, opcode: number, value?: unknown): RpcRequest {
    const args = value instanceof Buffer ? value : Buffer.from(encodeCbor(value));
    return new RpcRequest(opcode, 1, 0, 0 as Epoch, peer as never, bodyOf(args));
  }

  attach(peer: RpcPeer, container: number): number {
    const reply = this.table.handle(this.request(peer, Opcode.attach, { capability: Uint8Array.of(container) }));
    return (decodeCbor(reply) as { handle: number }).handle;
  }

  container(peer: RpcPeer, handle: number): number {
    return this.table.get(this.request(peer, Opcode.valueFetch, {}), handle).container;
  }
}

test("a handle is good on the connection that attached it only, until it detaches", () => {
  const rig = new Rig();
  const [first, second] = [rig.peer(), rig.peer()];
  expect(rig.attach(first, 7)).toBe(1);
  expect(rig.container(first, 1)).toBe(7);
  expectCode("STALE", () => rig.container(second, 1));
  rig.table.handle(rig.request(first, Opcode.detach, { handle: 1 }));
  expectCode("STALE", () => rig.container(first, 1));
});

test("a refused capability gives no handle", () => {
  const rig = new Rig();
  const peer = rig.peer();
  expectCode("PERMISSION", () => rig.attach(peer, 0));
  expectCode("STALE", () => rig.container(peer, 1));
  expect(rig.table.count(0)).toBe(0);
});

test("an expired capability is STALE, so that a client opens the container again", () => {
  const rig = new Rig();
  const peer = rig.peer();
  rig.attach(peer, 7);
  rig.nowMs = 2_000;
  expect(rig.container(peer, 1)).toBe(7);
  rig.nowMs = 2_001;
  expectCode("STALE", () => rig.container(peer, 1));
  expect(rig.table.count(7)).toBe(0);
});

test("arguments of any other shape are INVALID_ARGUMENT or PROTOCOL, never a crash", () => {
  const rig = new Rig();
  const peer = rig.peer();
  for (const value of [
    undefined,
    null,
    5,
    "text",
    [1],
    {},
    { capability: "text", handle: "1" },
    { handle: -1 },
    { capability: new Uint8Array(5000) },
  ]) {
    for (const opcode of [Opcode.attach, Opcode.detach]) {
      expectCode("INVALID_ARGUMENT", () => rig.table.handle(rig.request(peer, opcode, value)));
    }
  }
  expectCode("PROTOCOL", () => rig.table.handle(rig.request(peer, Opcode.attach, Buffer.from("ff", "hex"))));
});

test("a connection's end and a container's end both end its handles", () => {
  const rig = new Rig();
  const [first, second] = [rig.peer(), rig.peer()];
  for (const peer of [first, second]) for (const container of [3, 4]) rig.attach(peer, container);
  expect(rig.table.count(3)).toBe(2);
  rig.table.connectionClosed(first);
  expect(rig.table.count(3)).toBe(1);
  rig.table.removeContainer(3);
  expect(rig.table.count(3)).toBe(0);
  expectCode("STALE", () => rig.container(second, 1));
  expect(rig.container(second, 2)).toBe(4);
});
