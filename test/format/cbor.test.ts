/**
 * CBOR: RFC 8949's own examples, round trips, and what is refused.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { DaosError } from "../../src/base/errors.ts";
import { MAX_CBOR_DEPTH } from "../../src/base/limits.ts";
import { decodeCbor, encodeCbor } from "../../src/format/cbor.ts";

function fromHex(hex: string): Buffer {
  return Buffer.from(hex.replaceAll(" ", ""), "hex");
}

/** The code of the DaosError, or "accepted"; any other error fails the test. */
function refusal(bytes: Uint8Array): string {
  try {
    decodeCbor(bytes);
  } catch (error) {
    if (error instanceof DaosError) return error.code;
    throw error;
  }
  return "accepted";
}

describe("decodeCbor", () => {
  // RFC 8949, appendix A.
  test.each([
    ["00", 0],
    ["17", 23],
    ["1818", 24],
    ["1903e8", 1000],
    ["1a000f4240", 1_000_000],
    ["1b000000e8d4a51000", 1_000_000_000_000],
    ["20", -1],
    ["3903e7", -1000],
    ["f90000", 0],
    ["f93c00", 1],
    ["fb3ff199999999999a", 1.1],
    ["fa47c35000", 100_000],
    ["fb7e37e43c8800759c", 1e300],
    ["f97c00", Infinity],
    ["f4", false],
    ["f5", true],
    ["f6", null],
    ["40", new Uint8Array(0)],
    ["4401020304", new Uint8Array([1, 2, 3, 4])],
    ["60", ""],
    ["6161", "a"],
    ["62c3bc", "ü"],
    ["64f0908591", "\u{10151}"],
    ["80", []],
    ["83010203", [1, 2, 3]],
    ["8301820203820405", [1, [2, 3], [4, 5]]],
    ["a0", {}],
    ["a26161016162820203", { a: 1, b: [2, 3] }],
    ["a56161614161626142616361436164614461656145", { a: "A", b: "B", c: "C", d: "D", e: "E" }],
    ["b90001616101", { a: 1 }],
    ["5a0000000101", new Uint8Array([1])],
  ])("%s", (hex, value) => {
    expect(decodeCbor(fromHex(hex))).toEqual(value);
  });

  test.each([
    ["nothing", ""],
    ["more than one value", "0000"],
    ["a number over 2^53", "1bffffffffffffffff"],
    ["a negative number over 2^53", "3b0020000000000000"],
    ["an indefinite byte string", "5f42010243030405ff"],
    ["an indefinite array", "9fff"],
    ["an indefinite map", "bfff"],
    ["a break", "ff"],
    ["reserved lengths", "1c"],
    ["a tag: date", "c11a514b67b0"],
    ["a tag: bignum", "c249010000000000000000"],
    ["a tag: record of some codecs", "d9dfff8361786161"],
    ["an unassigned simple value", "f0"],
    ["an extended simple value", "f8ff"],
    ["a map key that is a number", "a1 01 02"],
    ["a map key that is a map", "a1 a0 02"],
    ["a byte string longer than there is", "5affffffff00"],
    ["a byte string of 2^64 - 1", "5bffffffffffffffff"],
    ["an array longer than there is", "9affffffff00"],
    ["an array of 2^53 items", "9b0020000000000000"],
    ["a map longer than there is", "bbffffffffffffffff"],
    ["a truncated length", "19 01"],
    ["text that is not UTF-8", "62c328"],
    ["text with half a surrogate pair", "63eda080"],
    ["text cut in a character", "61c3"],
  ])("refuses %s", (_what, hex) => {
    expect(refusal(fromHex(hex))).toBe("PROTOCOL");
  });

  test("refuses what is nested deeper than the limit, however deep", () => {
    expect(refusal(Buffer.concat([Buffer.alloc(MAX_CBOR_DEPTH, 0x81), Buffer.from([0])]))).toBe("accepted");
    for (const depth of [MAX_CBOR_DEPTH + 1, 1_000, 250_000]) {
      expect(refusal(Buffer.concat([Buffer.alloc(depth, 0x81), Buffer.from([0])]))).toBe("PROTOCOL");
    }
    expect(refusal(Buffer.concat([...Array.from({ length: 50 }, () => fromHex("a1 61 61")), Buffer.from([0])]))).toBe(
      "PROTOCOL",
    );
  });

  test("a member named __proto__ reaches no prototype", () => {
    const bytes = Buffer.concat([
      Buffer.from([0xa1, 0x69]),
      Buffer.from("__proto__"),
      fromHex("a1 65"),
      Buffer.from("admin"),
      fromHex("f5"),
    ]);
    const value = decodeCbor(bytes) as Record<string, unknown>;
    expect(value["admin"]).toBeUndefined();
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect(({} as Record<string, unknown>)["admin"]).toBeUndefined();
  });

  test("byte strings have memory of their own", () => {
    const bytes = encodeCbor({ key: new Uint8Array([1, 2, 3]) });
    const value = decodeCbor(bytes) as { key: Uint8Array };
    bytes.fill(0);
    expect(value.key).toEqual(new Uint8Array([1, 2, 3]));
  });

  test("random and damaged bytes decode or are refused, nothing else", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => void refusal(bytes)),
      { numRuns: 5_000 },
    );
    const good = encodeCbor({
      pool: "p",
      list: [1, { a: new Uint8Array(5) }],
      deep: { deeper: { deepest: "ö" } },
      n: 2 ** 40,
    });
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.nat(255), fc.nat(good.length), (at, value, length) => {
        const bytes = good.slice(0, length);
        if (at < length) bytes[at] = value;
        void refusal(bytes);
      }),
      { numRuns: 5_000 },
    );
  });
});

describe("encodeCbor", () => {
  test("gives back what went in, by way of decodeCbor", () => {
    const leaf = fc.oneof(
      fc.constant(null),
      fc.boolean(),
      fc.string({ unit: "grapheme" }),
      fc.maxSafeInteger(),
      fc.double({ noNaN: true }).map((value) => (Object.is(value, -0) ? 0 : value)),
      fc.uint8Array(),
    );
    const name = fc.string().filter((text) => text !== "__proto__");
    const { value } = fc.letrec<{ value: unknown }>((tie) => ({
      value: fc.oneof(
        { depthSize: "small", withCrossShrink: true },
        leaf,
        fc.array(tie("value"), { maxLength: 5 }),
        fc.dictionary(name, tie("value"), { maxKeys: 5, noNullPrototype: true }),
      ),
    }));
    fc.assert(
      fc.property(value, (sample) => expect(decodeCbor(encodeCbor(sample))).toEqual(sample)),
      { numRuns: 500 },
    );
  });

  test("writes plain maps with short lengths, untagged byte strings, and leaves out what is undefined", () => {
    const bytes = encodeCbor({ a: 1, b: undefined, c: { d: undefined }, e: [new Uint8Array([9]), Buffer.from([8])] });
    expect(Buffer.from(bytes).toString("hex")).toBe("a3616101" + "6163a0" + "6165824109" + "4108");
  });

  test("results do not share memory", () => {
    const first = encodeCbor({ a: 1 });
    const copy = first.slice();
    encodeCbor({ b: "something else that is longer" });
    expect(first).toEqual(copy);
  });
});
