/**
 * The ISA-L addon itself: arguments that are not what it expects never reach memory, and threads that load it may be
 * ended at any moment. Skipped, with the reason, where the addon was not built; one that was built must load.
 */
import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { loadIsalAddon, type IsalAddon } from "../../native/isal/addon.ts";

const isBuilt = existsSync(join(import.meta.dir, "..", "..", "native", "isal", "build", "Release", "isal.node"));
const result = loadIsalAddon();
const skipped = "reason" in result && !isBuilt ? ` (skipped: ${result.reason})` : "";
const THREAD = join(import.meta.dir, "isal-thread.ts");
const THREADS = 3;
const ROUNDS = 8;

function addon(): IsalAddon {
  if ("reason" in result) throw new Error(result.reason);
  return result.addon;
}

type AnyFunction = (...args: unknown[]) => unknown;

test("loadIsalAddon gives the addon where it was built, else a reason that names its package", () => {
  if (isBuilt) expect(addon().crc32c(new Uint8Array(0))).toBe(0);
  else expect(result).toEqual({ reason: expect.stringContaining("Install libisal-dev") });
});

describe.skipIf(!isBuilt)(`ISA-L addon${skipped}`, () => {
  const oddities: readonly unknown[] = [
    undefined,
    null,
    0,
    -1,
    300,
    1.5,
    NaN,
    "text",
    {},
    [],
    [new Uint8Array(4)],
    [new Uint16Array(4)],
    [undefined],
    new Array(1000),
    new Array(2 ** 32 - 1),
    new Uint8Array(0),
    new Uint8Array(64),
    new Int8Array(64),
    new Uint8ClampedArray(64),
    new Uint16Array(32),
    new Float64Array(4),
    new DataView(new ArrayBuffer(8)),
    new ArrayBuffer(8),
    () => 0,
    Symbol("odd"),
    10n,
  ];

  test("odd arguments give TypeError or RangeError, in each place of each function", () => {
    const good: Record<keyof IsalAddon, () => unknown[]> = {
      crc32c: () => [new Uint8Array(8), 0],
      makeEncodeTables: () => [2, 1, new Uint8Array(64)],
      makeDecodeTables: () => [2, 1, Uint8Array.of(0, 2), Uint8Array.of(1), new Uint8Array(64)],
      applyTables: () => [new Uint8Array(64), [new Uint8Array(8), new Uint8Array(8)], [new Uint8Array(8)]],
    };
    const accepted: string[] = [];
    for (const name of Object.keys(good) as (keyof IsalAddon)[]) {
      const call = addon()[name] as AnyFunction;
      expect(() => call(...good[name]())).not.toThrow();
      expect(() => call()).toThrow(TypeError);
      for (let place = 0; place < good[name]().length; place += 1) {
        for (const odd of oddities) {
          try {
            call(...good[name]().with(place, odd));
            accepted.push(`${name} ${place}: ${Bun.inspect(odd).replace(/\s+/g, "").slice(0, 16)}`);
          } catch (error) {
            expect(error instanceof TypeError || error instanceof RangeError).toBe(true);
          }
        }
      }
    }
    // What is a number, bytes or cells, and of the right size.
    expect(accepted).toEqual([
      "crc32c 0: Uint8Array(0)[]",
      "crc32c 0: Uint8Array(64)[0",
      "crc32c 1: undefined",
      "crc32c 1: 0",
      "crc32c 1: -1",
      "crc32c 1: 300",
      "crc32c 1: 1.5",
      "crc32c 1: NaN",
      "makeEncodeTables 1: 1.5",
      "makeEncodeTables 2: Uint8Array(64)[0",
      "makeDecodeTables 1: 1.5",
      "makeDecodeTables 4: Uint8Array(64)[0",
      "applyTables 0: Uint8Array(64)[0",
      "applyTables 2: [Uint8Array(4)[0",
    ]);
  });

  test("indices that no cell has, and repeated survivors, make no tables", () => {
    const tables = new Uint8Array(64);
    const make = (survivors: number[], lost: number[]) =>
      addon().makeDecodeTables(2, 1, Uint8Array.from(survivors), Uint8Array.from(lost), tables);
    expect(make([0, 2], [1])).toBe(true);
    expect(make([0, 0], [1])).toBe(false);
    expect(() => make([0, 3], [1])).toThrow(RangeError);
    expect(() => make([0, 2], [255])).toThrow(RangeError);
    expect(() => make([0], [1])).toThrow(RangeError);
    expect(() => make([0, 2], [])).toThrow(RangeError);
  });

  test("a getter that takes memory away while cells are looked at does no harm", () => {
    const buffer = new ArrayBuffer(4096, { maxByteLength: 4096 });
    const inputs: Uint8Array[] = [new Uint8Array(buffer), new Uint8Array(4096)];
    Object.defineProperty(inputs, 1, {
      get: () => {
        buffer.resize(16);
        return new Uint8Array(4096);
      },
    });
    const output = new Uint8Array(4096).fill(9);
    addon().applyTables(new Uint8Array(64), inputs, [output]);
    expect([output[15], output[16]]).toEqual([0, 9]);
  });

  test("threads load it and are ended in the middle of a call, again and again", async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const threads = Array.from({ length: THREADS }, () => new Worker(THREAD));
      const words = await Promise.all(
        threads.map(
          (thread) =>
            new Promise<unknown>((resolve, reject) => {
              thread.onmessage = (event) => resolve(event.data);
              thread.onerror = (event) => reject(new Error(event.message));
            }),
        ),
      );
      expect(words).toEqual(Array.from({ length: THREADS }, () => 0xe3069283));
      for (const thread of threads) thread.terminate();
      expect(addon().crc32c(new TextEncoder().encode("123456789"))).toBe(0xe3069283);
    }
  });
});
