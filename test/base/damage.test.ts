import { expect, test } from "bun:test";
import fc from "fast-check";
import { crc32 } from "../../src/base/checksum.ts";
import { joinRuns, partOfSent, splitChecksum } from "../../src/base/damage.ts";
import { expectCode } from "../store/expect-code.ts";

/** Bytes, and runs that they are cut into, at addresses of their own. */
const CUT = fc
  .tuple(
    fc.uint8Array({ minLength: 1, maxLength: 300 }),
    fc.array(fc.nat({ max: 300 }), { maxLength: 5 }),
    fc.nat(9000),
  )
  .map(([bytes, cuts, origin]) => {
    const inside = cuts.filter((cut) => cut < bytes.length);
    const ends = [...new Set([0, ...inside, bytes.length])].toSorted((left, right) => left - right);
    const runs = ends.slice(1).map((end, index) => ({ start: origin + ends[index]!, end: origin + end }));
    return { bytes, runs, origin };
  });

test("splitChecksum gives the checksum of each run, which together make that of all", () => {
  fc.assert(
    fc.property(CUT, fc.boolean(), ({ bytes, runs, origin }, isKnown) => {
      const whole = crc32(bytes);
      const checksums = splitChecksum(bytes, isKnown ? whole : undefined, runs);
      expect(checksums).toEqual(runs.map(({ start, end }) => crc32(bytes.subarray(start - origin, end - origin))));
      expect(joinRuns(runs, checksums)).toBe(whole);
    }),
  );
});

test("bytes that are cut and are not what their checksum says are DAMAGED; what is not cut is not looked at", () => {
  fc.assert(
    fc.property(CUT, fc.nat(), ({ bytes, runs }, bit) => {
      const whole = crc32(bytes);
      bytes[(bit >> 3) % bytes.length]! ^= 1 << (bit & 7);
      if (runs.length === 1) expect(splitChecksum(bytes, whole, runs)).toEqual([whole]);
      else expectCode("DAMAGED", () => splitChecksum(bytes, whole, runs));
      if (bytes.length > 1) expectCode("DAMAGED", () => partOfSent(bytes, whole, 1, bytes.length));
    }),
  );
});

test("no runs are no bytes", () => {
  expect(splitChecksum(new Uint8Array(0), 0, [])).toEqual([]);
  expect(joinRuns([], [])).toBe(0);
});
