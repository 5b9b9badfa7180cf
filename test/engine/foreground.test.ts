/** Which requests filling makes way for. */
import { expect, test } from "bun:test";
import { ForegroundRequests } from "../../src/engine/foreground.ts";
import { Opcode } from "../../src/format/operations.ts";
import type { RpcReply } from "../../src/rpc/request.ts";

test("requests of clients, and what leaders have prepared for them, count until they are answered", () => {
  const foreground = new ForegroundRequests();
  expect([foreground.count, foreground.isBusy]).toEqual([0, false]);
  for (const opcode of [Opcode.valueFetch, Opcode.arrayWrite, Opcode.dtxPrepare, Opcode.dkeyList]) {
    const before = foreground.count;
    const reply = { isDone: false };
    foreground.note(opcode, reply as RpcReply);
    expect([foreground.count, foreground.isBusy]).toEqual([before + 1, true]);
    reply.isDone = true;
    expect(foreground.isBusy).toBe(false);
  }
});

test("what targets want of each other on their own account does not count", () => {
  const foreground = new ForegroundRequests();
  const reply = { isDone: false } as RpcReply;
  for (const opcode of [Opcode.dtxFill, Opcode.dtxResync, Opcode.dtxFold, Opcode.dtxFoldedTo, Opcode.dtxShardArrayRead])
    foreground.note(opcode, reply);
  expect([foreground.count, foreground.isBusy]).toEqual([0, false]);
});
