/** The class of who names none: DAOS's table, and what size and access change. */
import { expect, test } from "bun:test";
import { type ClassWishes, automaticClass } from "../../src/placement/automatic-class.ts";
import { expectCode } from "../store/expect-code.ts";

const chosen = (
  rdFac: number,
  dataModel: ClassWishes["dataModel"],
  domains: number,
  hints: Partial<ClassWishes> = {},
) => automaticClass({ rdFac, dataModel, domains, ...hints }).objectClass.name;

test("arrays take the widest code that the domains carry", () => {
  const byDomains = (rdFac: number, domains: readonly number[]) =>
    domains.map((count) => chosen(rdFac, "array", count));
  expect(byDomains(0, [1, 100])).toEqual(["SX", "SX"]);
  expect(byDomains(1, [2, 3, 5, 6, 9, 10, 17, 18])).toEqual([
    "RP_2GX",
    "EC_2P1GX",
    "EC_2P1GX",
    "EC_4P1GX",
    "EC_4P1GX",
    "EC_8P1GX",
    "EC_8P1GX",
    "EC_16P1GX",
  ]);
  expect(byDomains(2, [3, 4, 8, 12, 20])).toEqual(["RP_3GX", "EC_2P2GX", "EC_4P2GX", "EC_8P2GX", "EC_16P2GX"]);
  expect(byDomains(3, [4, 9, 10, 14, 22])).toEqual(["RP_4GX", "RP_4GX", "EC_4P3GX", "EC_8P3GX", "EC_16P3GX"]);
  expect(byDomains(4, [5, 100])).toEqual(["RP_5GX", "RP_5GX"]);
});

test("maps and objects are replicated; an object has one group", () => {
  expect([0, 1, 2, 3, 4].map((rdFac) => chosen(rdFac, "kv", 30))).toEqual([
    "SX",
    "RP_2GX",
    "RP_3GX",
    "RP_4GX",
    "RP_5GX",
  ]);
  expect([0, 1, 2, 3, 4].map((rdFac) => chosen(rdFac, "object", 30))).toEqual([
    "S1",
    "RP_2G1",
    "RP_3G1",
    "RP_4G1",
    "RP_5G1",
  ]);
});

test("small arrays and random writes change the choice, and the reasons say so", () => {
  expect(chosen(1, "array", 30, { sizeBytes: 10_000 })).toBe("RP_2G1");
  expect(chosen(1, "array", 30, { sizeBytes: 300 * 1024 })).toBe("EC_4P1G1");
  expect(chosen(2, "array", 30, { access: "random" })).toBe("RP_3GX");
  expect(automaticClass({ rdFac: 1, dataModel: "array", domains: 7 }).reasons).toEqual([
    "rd_fac 1: 1 of 7 fault domains may fail",
    "widest erasure code for 7 domains (it asks for 6) with a full stripe",
    "an array may grow large, so it spreads over all targets",
  ]);
});

test("too few domains and wrong factors are refused", () => {
  expect(expectCode("INVALID_ARGUMENT", () => chosen(2, "kv", 2)).message).toBe(
    "Cannot choose an object class for rd_fac 2: it needs 3 fault domains, the pool has 2. Add engines, or use a lower factor.",
  );
  for (const rdFac of [-1, 5, 1.5, Number.NaN]) expectCode("INVALID_ARGUMENT", () => chosen(rdFac, "kv", 30));
});
