/**
 * CallTable: ids, and answers that come for calls given up.
 */
import { expect, test } from "bun:test";
import { CallTable } from "../../src/rpc/call-table.ts";
import { PendingCall } from "../../src/rpc/pending-call.ts";

function call(opcode = 1): PendingCall {
  return new PendingCall(opcode, { answered: () => {}, failed: () => {} }, 1);
}

test("ids come round behind the largest, leave out 0, those in use and those given up", () => {
  const table = new CallTable(5);
  const calls = Array.from({ length: 5 }, () => call());
  expect(calls.map((each) => table.add(each))).toEqual([1, 2, 3, 4, 5]);
  table.abandon(calls[1]!);
  expect(table.take(3, 1)).toBe(calls[2]!);
  expect(table.take(4, 1)).toBe(calls[3]!);
  expect([table.size, table.abandonedCount]).toEqual([2, 1]);
  expect(table.add(call())).toBe(3);
  expect(table.add(call())).toBe(4);
  expect(table.takeAbandoned(2)).toBe(true);
  expect(table.takeAbandoned(2)).toBe(false);
  expect(table.add(call())).toBe(2);
});

test("an answer is its call's only with the call's opcode, and only once", () => {
  const table = new CallTable();
  const only = call(7);
  const id = table.add(only);
  expect(table.take(id, 8)).toBeUndefined();
  expect(table.take(id + 1, 7)).toBeUndefined();
  expect(table.take(id, 7)).toBe(only);
  expect(table.take(id, 7)).toBeUndefined();
});

test("calls stay found while thousands come and go around one that never ends", () => {
  const table = new CallTable(3000);
  const stuck = call();
  const stuckId = table.add(stuck);
  const open = new Map<number, PendingCall>();
  for (let round = 0; round < 20_000; round += 1) {
    const each = call();
    const id = table.add(each);
    expect(open.has(id) || id === stuckId).toBe(false);
    open.set(id, each);
    if (open.size <= round % 700) continue;
    const [oldest, expected] = open.entries().next().value!;
    open.delete(oldest);
    expect(table.take(oldest, 1)).toBe(expected);
  }
  expect(table.size).toBe(open.size + 1);
  expect(table.list()).toHaveLength(open.size + 1);
  expect(table.take(stuckId, 1)).toBe(stuck);
});
