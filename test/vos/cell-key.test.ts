import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { ByteString } from "../../src/base/bytes.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import { MAX_AKEY_BYTES, MAX_CELL_KEY_BYTES, MAX_DKEY_BYTES } from "../../src/base/limits.ts";
import {
  akeyCellKey,
  akeyPrefix,
  akeyPrefixOf,
  beneathStart,
  containerOf,
  containerPrefix,
  dkeyPrefix,
  dkeyPrefixOf,
  isGatedKey,
  nameOfPrefix,
  nameRange,
  objectOfPrefix,
  ownCellKey,
  prefixEnd,
  snapshotKey,
  snapshotStart,
  successor,
  windowKey,
  windowOf,
} from "../../src/vos/cell-key.ts";
import { objectClassByName } from "../../src/base/object-class.ts";
import { objectId } from "../../src/base/object-id.ts";
import { oid } from "./rig.ts";

const byte = fc.constantFrom("\0", "\x01", "\x02", "a", "\xfe", "\xff");
const name = fc.array(byte, { maxLength: 6 }).map((bytes) => bytes.join(""));
const object = containerPrefix(0x8000_0001) + oid(3);

describe("cell keys", () => {
  test("akeyCellKey is the own cell of the akey's prefix", () => {
    fc.assert(
      fc.property(name, name, (dkey, akey) => {
        expect(akeyCellKey(object, dkey, akey)).toBe(ownCellKey(akeyPrefix(dkeyPrefix(object, dkey), akey)));
      }),
    );
  });

  test("isGatedKey: the cells of erasure-coded objects are gated, and no others", () => {
    const cells = (word: string): ByteString[] => {
      const prefix = containerPrefix(3) + objectId("ARRAY", objectClassByName(word), 7, 8n);
      const akey = akeyPrefix(dkeyPrefix(prefix, "d"), "a");
      return [ownCellKey(prefix), ownCellKey(dkeyPrefix(prefix, "d")), ownCellKey(akey), beneathStart(akey)];
    };
    for (const word of ["EC_2P1G1", "EC_16P3GX"]) expect(cells(word).every(isGatedKey)).toBe(true);
    for (const word of ["S1", "SX", "RP_2G1", "RP_6GX"]) expect(cells(word).some(isGatedKey)).toBe(false);
    expect(isGatedKey(snapshotKey(containerPrefix(3), 1 as Epoch))).toBe(false);
    expect(isGatedKey(containerPrefix(3) as ByteString)).toBe(false);
  });

  test("keep the order of dkeys, and of akeys within a dkey", () => {
    fc.assert(
      fc.property(name, name, name, name, (dkey1, akey1, dkey2, akey2) => {
        const first = ownCellKey(akeyPrefix(dkeyPrefix(object, dkey1), akey1));
        const second = ownCellKey(akeyPrefix(dkeyPrefix(object, dkey2), akey2));
        const order = dkey1 === dkey2 ? compare(akey1, akey2) : compare(dkey1, dkey2);
        expect(compare(first, second)).toBe(order);
      }),
      { seed: 1, numRuns: 3000 },
    );
  });

  test("give back object, dkey and akey", () => {
    fc.assert(
      fc.property(name, name, fc.nat(2 ** 41), (dkey, akey, window) => {
        const key = windowKey(akeyPrefix(dkeyPrefix(object, dkey), akey), 12, window);
        const dkeyOf = dkeyPrefixOf(key);
        const akeyOf = akeyPrefixOf(key, dkeyOf);
        expect(containerOf(key)).toBe(0x8000_0001);
        expect(objectOfPrefix(key)).toBe(oid(3));
        expect(nameOfPrefix(dkeyOf, object) as string).toBe(dkey);
        expect(nameOfPrefix(akeyOf, dkeyOf) as string).toBe(akey);
        expect(windowOf(key)).toBe(window);
      }),
      { seed: 1 },
    );
  });

  test("of a subtree lie between its bounds, those of its neighbours do not", () => {
    fc.assert(
      fc.property(name, name, name, (dkey, other, akey) => {
        const prefix = dkeyPrefix(object, dkey);
        const key = ownCellKey(akeyPrefix(dkeyPrefix(object, other), akey));
        expect(key >= beneathStart(prefix) && key < prefixEnd(prefix)).toBe(other === dkey);
      }),
      { seed: 1, numRuns: 2000 },
    );
  });

  test("nameRange holds exactly the names with the prefix, after the anchor", () => {
    fc.assert(
      fc.property(name, name, fc.option(name, { nil: undefined }), (dkey, start, after) => {
        const range = nameRange(object, start, after);
        const key = ownCellKey(akeyPrefix(dkeyPrefix(object, dkey), ""));
        const wanted = dkey.startsWith(start) && (after === undefined || dkey > after);
        expect(key >= range.from && key < range.to).toBe(wanted);
      }),
      { seed: 1, numRuns: 3000 },
    );
  });

  test("of windows are in the order of class and address", () => {
    const keys = [
      windowKey("p", 12, 0),
      windowKey("p", 12, 255),
      windowKey("p", 12, 2 ** 32 - 1),
      windowKey("p", 12, 2 ** 32),
      windowKey("p", 12, 2 ** 41),
      windowKey("p", 16, 0),
      windowKey("p", 20, 1),
    ];
    expect([...keys].sort(compare)).toEqual(keys);
  });

  test("of snapshots come after every object and before the next container", () => {
    const container = containerPrefix(9);
    const lastObject = ownCellKey(akeyPrefix(dkeyPrefix(container + "\xff".repeat(16), "\xff"), "\xff"));
    const snapshot = snapshotKey(container, (2 ** 40 + 5) as Epoch);
    expect(lastObject < snapshot).toBe(true);
    expect(snapshot < containerPrefix(10)).toBe(true);
    expect(snapshotKey(container, 5 as Epoch) < snapshot).toBe(true);
    expect(snapshot < successor(snapshotStart(container))).toBe(true);
  });

  test("of the longest dkey and akey, all zeros, fit a cell", () => {
    const akey = akeyPrefix(dkeyPrefix(object, "\0".repeat(MAX_DKEY_BYTES)), "\0".repeat(MAX_AKEY_BYTES));
    expect(windowKey(akey, 20, 2 ** 33).length).toBeLessThanOrEqual(MAX_CELL_KEY_BYTES);
  });
});

function compare(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
