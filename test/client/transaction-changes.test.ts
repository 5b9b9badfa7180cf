import { expect, test } from "bun:test";
import fc from "fast-check";
import type { ByteString } from "../../src/base/bytes.ts";
import { type AkeyChange, covers, DkeyChanges, overlay } from "../../src/client/transaction-changes.ts";
import { refusal } from "../vos/rig.ts";

const A = "a" as ByteString;
const bytes = (text: string): Uint8Array => Buffer.from(text);
const none = (): Promise<Uint8Array> => Promise.reject(new Error("nothing is to be filled"));

function records(changes: DkeyChanges): AkeyChange & { kind: "records" } {
  const change = changes.of(A);
  if (change?.kind !== "records") throw new Error("no records");
  return change;
}

test("the last of several writes to an akey is sent, and may replace what was punched before it", async () => {
  const changes = new DkeyChanges();
  changes.update(A, bytes("1"));
  changes.update(A, bytes("2"));
  expect(await changes.writes(none)).toEqual([
    { kind: "update", akey: A, value: Uint8Array.from(bytes("2")), replaces: false },
  ]);
  changes.punchAkey(A);
  expect(await changes.writes(none)).toEqual([{ kind: "punchAkey", akey: A }]);
  changes.update(A, bytes("3"));
  expect(await changes.writes(none)).toMatchObject([{ replaces: true }]);
  changes.punchDkey();
  expect(await changes.writes(none)).toEqual([{ kind: "punchDkey" }]);
});

test("runs of records show the newest bytes of each record, however they are written", () => {
  const run = fc.record({ from: fc.nat(12), count: fc.integer({ min: 1, max: 6 }), isHole: fc.boolean() });
  fc.assert(
    fc.property(fc.array(run, { minLength: 1, maxLength: 8 }), (runs) => {
      const changes = new DkeyChanges();
      const expected: (number | undefined)[] = new Array(20).fill(undefined);
      runs.forEach(({ from, count, isHole }, index) => {
        const data = new Uint8Array(2 * count).fill(index + 1);
        changes.write(A, { recordIndex: from, recordCount: count, recordBytes: 2 }, isHole ? undefined : data);
        expected.fill(isHole ? 0 : index + 1, from, from + count);
      });
      const seen = new Uint8Array(40).fill(99);
      const range = { recordIndex: 0, recordCount: 20, recordBytes: 2 };
      overlay(seen, range, records(changes));
      expect([...seen].filter((_, place) => place % 2 === 0)).toEqual(expected.map((byte) => byte ?? 99));
      for (let record = 0; record < 20; record += 1) {
        const isCovered = covers(records(changes), { recordIndex: record, recordCount: 1, recordBytes: 2 });
        expect(isCovered).toBe(expected[record] !== undefined);
      }
    }),
  );
});

test("runs that touch are one; what lies between two is filled with what is there", async () => {
  const changes = new DkeyChanges();
  changes.write(A, { recordIndex: 0, recordCount: 1, recordBytes: 1 }, bytes("a"));
  changes.write(A, { recordIndex: 1, recordCount: 1, recordBytes: 1 }, bytes("b"));
  expect(await changes.writes(none)).toMatchObject([{ kind: "write", recordIndex: 0, recordCount: 2 }]);
  changes.write(A, { recordIndex: 4, recordCount: 1, recordBytes: 1 }, bytes("e"));
  const filled = async (
    _akey: ByteString,
    { recordIndex, recordCount }: { recordIndex: number; recordCount: number },
  ) => bytes(`abcde`.slice(recordIndex, recordIndex + recordCount));
  expect(await changes.writes(filled)).toMatchObject([{ kind: "write", recordCount: 5, value: bytes("abcde") }]);
});

test("what a transaction cannot do yet is refused", async () => {
  const changes = new DkeyChanges();
  const range = { recordIndex: 0, recordCount: 1, recordBytes: 1 };
  changes.write(A, range, undefined);
  expect(await refusal(() => changes.listed())).toBe("UNSUPPORTED");
  expect(await refusal(() => changes.update(A, bytes("x")))).toBe("INVALID_ARGUMENT");
  expect(await refusal(() => changes.write(A, { ...range, recordIndex: 2 ** 40 }, bytes("x")))).toBe("TOO_LARGE");
  changes.punchAkey(A);
  expect(await refusal(() => changes.write(A, range, bytes("x")))).toBe("UNSUPPORTED");
  changes.punchDkey();
  expect(await refusal(() => changes.update(A, bytes("x")))).toBe("UNSUPPORTED");
});
