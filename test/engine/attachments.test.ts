/** Handles of one connection. */
import { expect, test } from "bun:test";
import { type Attachment, Attachments, MAX_ATTACHMENTS } from "../../src/engine/attachments.ts";
import { expectCode } from "../store/expect-code.ts";

function attachment(container: number): Attachment {
  const quota = {
    pool: "pool",
    sizeBytes: 1,
    containers: new Set([container]),
    usedBytes: 0,
    writtenBytes: 0,
    renewAtMs: 0,
  };
  const pool = { pool: "pool", map: { version: 1, targets: [] }, own: 0, containers: new Map() };
  return { container, pool, writable: true, quota, expiresAtMs: 1 };
}

test("handles count from 1, and a removed one is given out again", () => {
  const attachments = new Attachments();
  expect([1, 2, 3].map((container) => attachments.add(attachment(container)))).toEqual([1, 2, 3]);
  expect(attachments.get(2).container).toBe(2);
  attachments.remove(2);
  expectCode("STALE", () => attachments.get(2));
  expect(attachments.add(attachment(9))).toBe(2);
  expect(attachments.get(2).container).toBe(9);
});

test("handles that were never given are STALE, and removing them does nothing", () => {
  const attachments = new Attachments();
  attachments.add(attachment(1));
  for (const handle of [0, -1, 2, 1.5, 0xffff_ffff, Number.NaN]) {
    expectCode("STALE", () => attachments.get(handle));
    attachments.remove(handle);
  }
  expect(attachments.get(1).container).toBe(1);
  expect(attachments.add(attachment(2))).toBe(2);
});

test("a connection holds so many handles and no more", () => {
  const attachments = new Attachments();
  for (let count = 0; count < MAX_ATTACHMENTS; count += 1) attachments.add(attachment(count));
  expectCode("OVERLOADED", () => attachments.add(attachment(0)));
  attachments.remove(500);
  expect(attachments.add(attachment(7))).toBe(500);
});

test("all handles of a container go with it, others stay", () => {
  const attachments = new Attachments();
  for (const container of [5, 6, 5]) attachments.add(attachment(container));
  expect(attachments.count(5)).toBe(2);
  attachments.removeContainer(5);
  expect(attachments.count(5)).toBe(0);
  expectCode("STALE", () => attachments.get(1));
  expect(attachments.get(2).container).toBe(6);
});
