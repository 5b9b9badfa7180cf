/**
 * GroupHold: a lone writer never waits, several do as long as more comes, and no group waits for ever.
 */
import { expect, test } from "bun:test";
import { GroupHold, HOLD_RECORDS, LEAST_GROUP_RECORDS } from "../../src/store/group-hold.ts";

/** A hold after a group of `records`. */
function after(records: number, isWorthwhile = true): GroupHold {
  const hold = new GroupHold(isWorthwhile, 100);
  expect(hold.holds(100 + records)).toBe(false);
  hold.persisting(100 + records);
  return hold;
}

test("after a small group nothing waits, after a larger one the next does", () => {
  expect(after(LEAST_GROUP_RECORDS - 1).holds(200)).toBe(false);
  const hold = after(LEAST_GROUP_RECORDS);
  expect(hold.holds(100 + LEAST_GROUP_RECORDS + 1)).toBe(true);
});

test("a turn without a new record ends the wait", () => {
  const hold = after(10);
  expect(hold.holds(111)).toBe(true);
  expect(hold.holds(112)).toBe(true);
  expect(hold.holds(112)).toBe(false);
});

test("a group of HOLD_RECORDS waits no longer, however many come", () => {
  const hold = after(10);
  for (let records = 1; records < HOLD_RECORDS; records += 1) expect(hold.holds(110 + records)).toBe(true);
  expect(hold.holds(110 + HOLD_RECORDS)).toBe(false);
});

test("where a persist takes no time nothing waits", () => {
  expect(after(10, false).holds(111)).toBe(false);
});
