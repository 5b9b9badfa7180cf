import { expect, test } from "bun:test";
import fc from "fast-check";
import type { ByteString } from "../../src/base/bytes.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import { Punches } from "../../src/store/punches.ts";

const name = fc.string({ minLength: 1, maxLength: 2, unit: fc.constantFrom("a", "b", "c") });
const epoch = fc.nat(6);

test("hide says what any of the ranges says, for keys that ascend", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(name, name, epoch)), fc.array(fc.tuple(name, epoch)), (punched, versions) => {
      const ranges = punched.map(([from, to, at]) => ({
        from: from as ByteString,
        to: to as ByteString,
        epoch: at as Epoch,
      }));
      const punches = new Punches(ranges);
      versions.sort(([left], [right]) => (left < right ? -1 : left > right ? 1 : 0));
      for (const [key, at] of versions) {
        const expected = ranges.some(
          (range) => range.from <= key && key < range.to && range.epoch >= at && range.epoch > 0,
        );
        expect(punches.hide(key as ByteString, at as Epoch)).toBe(expected);
      }
    }),
  );
});
