/**
 * ISA-L and its portable twin: each against vectors made by other programs, and both against one another on arguments
 * that fast-check thinks up. Where the addon was not built the twin alone is tested; one that was built must load.
 */
import { afterAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { loadIsalAddon, type IsalAddon } from "../../native/isal/addon.ts";
import { MAX_CELLS, type Codec } from "../../native/isal/codec.ts";
import { bestCodec, isalCodec } from "../../native/isal/isal-codec.ts";
import { portableCodec } from "../../native/isal/portable-codec.ts";

const isBuilt = existsSync(join(import.meta.dir, "..", "..", "native", "isal", "build", "Release", "isal.node"));
const result = loadIsalAddon();
const reason = "reason" in result ? result.reason : "";
const skipped = isBuilt ? "" : ` (skipped: ${reason})`;

/** Throws the reason when there is no addon: a test that is not skipped then fails. */
function addon(): IsalAddon {
  if ("reason" in result) throw new Error(result.reason);
  return result.addon;
}

const CODECS: readonly { name: string; run: boolean; codec: () => Codec }[] = [
  { name: "portable", run: true, codec: () => portableCodec },
  { name: `isal${skipped}`, run: isBuilt, codec: () => isalCodec(addon()) },
];

const hex = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");
const filled = (sizeBytes: number, byteAt: (index: number) => number) =>
  Uint8Array.from({ length: sizeBytes }, (_, index) => byteAt(index));
const cellsOf = (count: number, sizeBytes: number) => Array.from({ length: count }, () => new Uint8Array(sizeBytes));

for (const { name, run, codec } of CODECS) {
  describe.skipIf(!run)(`codec ${name}`, () => {
    test.each([
      ["the standard's check word", new TextEncoder().encode("123456789"), 0xe3069283],
      ["no bytes", new Uint8Array(0), 0],
      // RFC 3720, B.4
      ["32 zeros", new Uint8Array(32), 0x8a9136aa],
      ["32 ones", filled(32, () => 0xff), 0x62a8ab43],
      ["32 bytes going up", filled(32, (index) => index), 0x46dd794e],
      ["32 bytes going down", filled(32, (index) => 31 - index), 0x113fdb5c],
    ])("crc32c of %s", (_, bytes, expected) => {
      expect(codec().crc32c(bytes)).toBe(expected);
    });

    test("crc32c goes on from what came before, wherever the bytes are split and however they are aligned", () => {
      const bytes = filled(5000, (index) => index * 7 + (index >> 5));
      const whole = codec().crc32c(bytes);
      for (const place of [0, 1, 7, 8, 63, 64, 191, 192, 193, 1024, 4097, 4999, 5000]) {
        expect(codec().crc32c(bytes.subarray(place), codec().crc32c(bytes.subarray(0, place)))).toBe(whole);
      }
    });

    test("encode 4+2: the first parity bytes that ISA-L's gf_gen_cauchy1_matrix gives", () => {
      const data = [0, 1, 2, 3].map((row) => filled(64, (index) => 37 * row + 11 * index + 5));
      const parity = cellsOf(2, 64);
      codec().erasureCode(4, 2).encode(data, parity);
      expect(parity.map((cell) => hex(cell.subarray(0, 8)))).toEqual(["b84d6d2bb562d3ff", "8a99c8d08dfeb396"]);
    });

    test("encode 4+2: the coefficients of the Cauchy matrix", () => {
      const coefficients = [0, 1, 2, 3].map((row) => {
        const parity = cellsOf(2, 1);
        codec()
          .erasureCode(4, 2)
          .encode(
            [0, 1, 2, 3].map((index) => Uint8Array.of(index === row ? 1 : 0)),
            parity,
          );
        return parity.map((cell) => cell[0]);
      });
      expect(coefficients).toEqual([
        [71, 167],
        [167, 71],
        [122, 186],
        [186, 122],
      ]);
    });

    test("reconstruct 4+2 gives back any one or two cells, from survivors in any order", () => {
      const code = codec().erasureCode(4, 2);
      const data = [0, 1, 2, 3].map((row) => filled(1000, (index) => 91 * row + index * index));
      const parity = cellsOf(2, 1000);
      code.encode(data, parity);
      const cells = [...data, ...parity];
      for (let first = 0; first < 6; first += 1) {
        for (let second = 0; second < 6; second += 1) {
          const lost = first === second ? [first] : [first, second];
          const survivors = [5, 2, 0, 4, 1, 3].filter((index) => !lost.includes(index));
          const outputs = cellsOf(lost.length, 1000);
          // Twice: the second time from tables that were kept.
          for (let turn = 0; turn < 2; turn += 1) {
            outputs.forEach((cell) => cell.fill(0));
            code.reconstruct(
              survivors,
              survivors.map((index) => cells[index]!),
              lost,
              outputs,
            );
            expect(outputs.map(hex)).toEqual(lost.map((index) => hex(cells[index]!)));
          }
        }
      }
    });

    test("cells may be views of shared memory at odd offsets", () => {
      const pool = new SharedArrayBuffer(6 * 1009 + 3);
      const cells: Uint8Array[] = [0, 1, 2, 3, 4, 5].map((row) => new Uint8Array(pool, 3 + row * 1009, 1009));
      cells.slice(0, 4).forEach((cell, row) => cell.forEach((_, index) => (cell[index] = row * 31 + index * 3)));
      codec().erasureCode(4, 2).encode(cells.slice(0, 4), cells.slice(4));
      const output = new Uint8Array(1009);
      codec()
        .erasureCode(4, 2)
        .reconstruct(
          [1, 2, 4, 5],
          [1, 2, 4, 5].map((index) => cells[index]!),
          [0],
          [output],
        );
      expect(hex(output)).toBe(hex(Uint8Array.from(cells[0]!)));
      expect(Array.from(new Uint8Array(pool, 0, 3))).toEqual([0, 0, 0]);
    });

    test(`the widest codes (${MAX_CELLS} cells) reconstruct, also when their tables outgrow what is kept`, () => {
      for (const [dataCells, parityCells] of [
        [1, 254],
        [254, 1],
        [127, 128],
      ] as const) {
        const code = codec().erasureCode(dataCells, parityCells);
        const data = Array.from({ length: dataCells }, (_, row) => filled(33, (index) => row * 5 + index));
        const parity = cellsOf(parityCells, 33);
        code.encode(data, parity);
        const cells = [...data, ...parity];
        for (const shift of [0, 1, 2, 3]) {
          const lost = Array.from({ length: parityCells }, (_, index) => (index + shift) % MAX_CELLS);
          const survivors = cells.map((_, index) => index).filter((index) => !lost.includes(index));
          const outputs = cellsOf(lost.length, 33);
          code.reconstruct(
            survivors,
            survivors.map((index) => cells[index]!),
            lost,
            outputs,
          );
          expect(outputs).toEqual(lost.map((index) => cells[index]!));
        }
      }
    });

    test("cells without bytes and no lost cell are nothing to do", () => {
      const code = codec().erasureCode(2, 1);
      code.encode(cellsOf(2, 0), cellsOf(1, 0));
      code.reconstruct([0, 1], cellsOf(2, 0), [2], cellsOf(1, 0));
      code.reconstruct([0, 1], cellsOf(2, 8), [], []);
    });

    refusals(codec);
  });
}

function refusals(codec: () => Codec): void {
  const shared = new Uint8Array(16);
  const notBytes = new Uint16Array(8) as unknown as Uint8Array;
  test.each<[string, (made: Codec) => void]>([
    ["no data cell", (made) => made.erasureCode(0, 1)],
    ["no parity cell", (made) => made.erasureCode(1, 0)],
    ["half a cell", (made) => made.erasureCode(1.5, 1)],
    ["too many cells", (made) => made.erasureCode(200, 56)],
    ["too few data", (made) => made.erasureCode(3, 1).encode(cellsOf(2, 8), cellsOf(1, 8))],
    ["too much parity", (made) => made.erasureCode(2, 1).encode(cellsOf(2, 8), cellsOf(2, 8))],
    ["unequal data", (made) => made.erasureCode(2, 1).encode([...cellsOf(1, 8), ...cellsOf(1, 9)], cellsOf(1, 8))],
    ["shorter parity", (made) => made.erasureCode(2, 1).encode(cellsOf(2, 8), cellsOf(1, 7))],
    ["not bytes", (made) => made.erasureCode(2, 1).encode([notBytes, ...cellsOf(1, 8)], cellsOf(1, 8))],
    [
      "parity over data",
      (made) => made.erasureCode(2, 1).encode([shared.subarray(0, 8), ...cellsOf(1, 8)], [shared.subarray(7, 15)]),
    ],
    [
      "parity over parity",
      (made) => made.erasureCode(1, 2).encode(cellsOf(1, 8), [shared.subarray(0, 8), shared.subarray(4, 12)]),
    ],
    ["too few survivors", (made) => made.erasureCode(2, 2).reconstruct([0], cellsOf(1, 8), [1], cellsOf(1, 8))],
    ["a survivor twice", (made) => made.erasureCode(2, 2).reconstruct([0, 0], cellsOf(2, 8), [1], cellsOf(1, 8))],
    ["a lost survivor", (made) => made.erasureCode(2, 2).reconstruct([0, 1], cellsOf(2, 8), [1], cellsOf(1, 8))],
    ["a lost cell twice", (made) => made.erasureCode(2, 2).reconstruct([0, 1], cellsOf(2, 8), [2, 2], cellsOf(2, 8))],
    ["an unknown cell", (made) => made.erasureCode(2, 2).reconstruct([0, 1], cellsOf(2, 8), [4], cellsOf(1, 8))],
    ["a negative cell", (made) => made.erasureCode(2, 2).reconstruct([0, -1], cellsOf(2, 8), [2], cellsOf(1, 8))],
    [
      "fewer cells than indices",
      (made) => made.erasureCode(2, 2).reconstruct([0, 1], cellsOf(1, 8), [2], cellsOf(1, 8)),
    ],
    [
      "fewer outputs than lost",
      (made) => made.erasureCode(2, 2).reconstruct([0, 1], cellsOf(2, 8), [2, 3], cellsOf(1, 8)),
    ],
    ["longer outputs", (made) => made.erasureCode(2, 2).reconstruct([0, 1], cellsOf(2, 8), [2], cellsOf(1, 9))],
    [
      "an output over a survivor",
      (made) => made.erasureCode(1, 1).reconstruct([0], [shared.subarray(0, 8)], [1], [shared.subarray(0, 8)]),
    ],
  ])("refuses %s with INVALID_ARGUMENT", (_, action) => {
    expect(() => action(codec())).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
  });
}

describe.skipIf(!isBuilt)(`both twins${skipped}`, () => {
  test("crc32c is the same for any bytes, place and seed", () => {
    const isal = isalCodec(addon());
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 3000 }),
        fc.nat(40),
        fc.integer({ min: 0, max: 2 ** 32 - 1 }),
        (bytes, offset, seed) => {
          const view = bytes.subarray(Math.min(offset, bytes.length));
          const expected = portableCodec.crc32c(view, seed);
          expect([isal.crc32c(view, seed), addon().crc32c(view, seed)]).toEqual([expected, expected]);
        },
      ),
    );
  });

  test("encode and reconstruct give the same bytes for any shape, length and loss", () => {
    const shape = fc
      .record({ dataCells: fc.integer({ min: 1, max: 20 }), parityCells: fc.integer({ min: 1, max: 9 }) })
      .chain(({ dataCells, parityCells }) =>
        fc.record({
          dataCells: fc.constant(dataCells),
          parityCells: fc.constant(parityCells),
          sizeBytes: fc.integer({ min: 0, max: 5000 }),
          seed: fc.integer(),
          order: fc.shuffledSubarray([...Array(dataCells + parityCells).keys()], {
            minLength: dataCells + parityCells,
          }),
          lostCount: fc.integer({ min: 1, max: parityCells }),
        }),
      );
    fc.assert(
      fc.property(shape, ({ dataCells, parityCells, sizeBytes, seed, order, lostCount }) => {
        const data = Array.from({ length: dataCells }, (_, row) =>
          filled(sizeBytes, (index) => Math.imul(seed ^ (row * 65_537 + index), 0x9e3779b1) >>> 23),
        );
        const lost = order.slice(0, lostCount);
        const survivors = order.slice(lostCount);
        const made = [portableCodec, isalCodec(addon())].map((codec) => {
          const code = codec.erasureCode(dataCells, parityCells);
          const parity = cellsOf(parityCells, sizeBytes);
          code.encode(data, parity);
          const cells = [...data, ...parity];
          const outputs = cellsOf(lostCount, sizeBytes);
          code.reconstruct(
            survivors,
            survivors.map((index) => cells[index]!),
            lost,
            outputs,
          );
          expect(outputs.map(hex)).toEqual(lost.map((index) => hex(cells[index]!)));
          return parity.map(hex);
        });
        expect(made[1]).toEqual(made[0]!);
      }),
      { numRuns: 150 },
    );
  }, 60_000);
});

test("bestCodec gives ISA-L where it was built, else the twin with the reason", () => {
  const choice = bestCodec();
  expect(choice.codec.name).toBe(isBuilt ? "isal" : "portable");
  expect(choice.reason === undefined).toBe(isBuilt);
});

afterAll(() => {
  if (!isBuilt) console.warn(`the ISA-L addon was not tested: ${reason}`);
});
