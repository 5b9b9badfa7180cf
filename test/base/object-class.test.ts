/** Object classes: golden numbers of the redundancies, names both ways, and what the errors say. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  GROUPS_MAX,
  MAX_GROUP_COUNT,
  objectClassByName,
  objectClassByNumbers,
  REDUNDANCIES,
} from "../../src/base/object-class.ts";
import { formatObjectId, objectClassOf, objectId } from "../../src/base/object-id.ts";
import { expectCode } from "../store/expect-code.ts";

test("redundancies keep their numbers and shards", () => {
  const table = REDUNDANCIES.map(
    ({ number, word, kind, dataShards, parityShards, shardCount, toleratedFailures }) =>
      `${number} ${word} ${kind} ${dataShards}+${parityShards}=${shardCount} tolerates ${toleratedFailures}`,
  );
  expect(table).toEqual([
    "1 none none 1+0=1 tolerates 0",
    "2 RP_2 replica 1+1=2 tolerates 1",
    "3 RP_3 replica 1+2=3 tolerates 2",
    "4 RP_4 replica 1+3=4 tolerates 3",
    "5 RP_5 replica 1+4=5 tolerates 4",
    "6 RP_6 replica 1+5=6 tolerates 5",
    "32 EC_2P1 erasure 2+1=3 tolerates 1",
    "33 EC_2P2 erasure 2+2=4 tolerates 2",
    "34 EC_4P1 erasure 4+1=5 tolerates 1",
    "35 EC_4P2 erasure 4+2=6 tolerates 2",
    "36 EC_4P3 erasure 4+3=7 tolerates 3",
    "37 EC_8P1 erasure 8+1=9 tolerates 1",
    "38 EC_8P2 erasure 8+2=10 tolerates 2",
    "39 EC_8P3 erasure 8+3=11 tolerates 3",
    "40 EC_16P1 erasure 16+1=17 tolerates 1",
    "41 EC_16P2 erasure 16+2=18 tolerates 2",
    "42 EC_16P3 erasure 16+3=19 tolerates 3",
  ]);
});

test("ids keep their bits", () => {
  const idOf = (name: string) => formatObjectId(objectId("ARRAY_BYTE", objectClassByName(name), 0, 1n));
  expect(["S1", "SX", "RP_3G1", "RP_2GX", "EC_4P2G16", "ec_16p3gx"].map(idOf)).toEqual([
    "0d01000100000000.0000000000000001",
    "0d01ffff00000000.0000000000000001",
    "0d03000100000000.0000000000000001",
    "0d02ffff00000000.0000000000000001",
    "0d23001000000000.0000000000000001",
    "0d2affff00000000.0000000000000001",
  ]);
});

test("every class has one name, and its id gives it back", () => {
  const redundancy = fc.constantFrom(...REDUNDANCIES);
  const count = fc.oneof(fc.integer({ min: 1, max: MAX_GROUP_COUNT }), fc.constant(GROUPS_MAX));
  fc.assert(
    fc.property(redundancy, count, ({ number }, groupCount) => {
      const given = objectClassByNumbers(number, groupCount);
      expect(objectClassByName(given.name)).toEqual(given);
      expect(objectClassByName(given.name.toLowerCase())).toEqual(given);
      expect(objectClassOf(objectId("ARRAY", given, 7, 7n))).toEqual(given);
    }),
  );
});

test("names that are no class are refused, with what there is", () => {
  const messageOf = (name: string) => expectCode("INVALID_ARGUMENT", () => objectClassByName(name)).message;
  expect(messageOf("EC_4P5G1")).toBe(
    'Cannot use object class "EC_4P5G1": 5 parity shards are more than its 4 data shards. Use one of EC_2P1, EC_2P2, ' +
      "EC_4P1, EC_4P2, EC_4P3, EC_8P1, EC_8P2, EC_8P3, EC_16P1, EC_16P2, EC_16P3.",
  );
  expect(messageOf("EC_3P1G1")).toContain("there is no code of 3 data and 1 parity shards. Use one of EC_2P1");
  expect(messageOf("RP_7G1")).toContain("that many copies are not kept. Use RP_2 to RP_6.");
  expect(messageOf("S65535")).toContain("it has 65535 groups. Use 1 to 65534, or X");
  for (const name of ["EC_4P5", "RP_3", "RP_3G0", "S0", "S01", "SY", "", "RP_3G1 ", "EC_PG1", "RP_2P1G1", "S123456"]) {
    expectCode("INVALID_ARGUMENT", () => objectClassByName(name));
  }
  for (const [number, count] of [
    [0, 1],
    [1, 0],
    [7, 1],
    [31, 1],
    [43, 1],
    [255, 1],
  ] as const) {
    expectCode("INVALID_ARGUMENT", () => objectClassByNumbers(number, count));
  }
});
