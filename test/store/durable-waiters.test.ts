import { expect, test } from "bun:test";
import { DurableWaiters } from "../../src/store/durable-waiters.ts";

test("DurableWaiters calls back in order of sequence, each once, those that are added meanwhile too", () => {
  const waiters = new DurableWaiters();
  const called: string[] = [];
  for (const sequence of [3, 5, 4, 3]) waiters.add(sequence, () => called.push(`${sequence}`));
  waiters.add(4, () => waiters.add(9, () => called.push("late 9")));
  waiters.reached(2);
  expect(called).toEqual([]);
  waiters.reached(4);
  expect(called).toEqual(["3", "3", "4"]);
  waiters.reached(9);
  expect(called).toEqual(["3", "3", "4", "5", "late 9"]);
  waiters.reached(10);
  expect(called.length).toBe(5);
});

test("DurableWaiters.fail gives the error to those that were not called yet", () => {
  const waiters = new DurableWaiters();
  const called: (Error | undefined)[] = [];
  waiters.add(1, (error) => called.push(error));
  waiters.add(2, (error) => called.push(error));
  waiters.reached(1);
  const failure = new Error("medium");
  waiters.fail(failure);
  waiters.reached(2);
  expect(called).toEqual([undefined, failure]);
});

test("DurableWaiters keeps its order over many thousand entries", () => {
  const waiters = new DurableWaiters();
  const called: number[] = [];
  for (let sequence = 1; sequence <= 10_000; sequence += 1) {
    waiters.add(sequence, () => called.push(sequence));
    if (sequence > 5) waiters.reached(sequence - 5);
  }
  waiters.reached(10_000);
  expect(called).toEqual(Array.from({ length: 10_000 }, (_, index) => index + 1));
});
