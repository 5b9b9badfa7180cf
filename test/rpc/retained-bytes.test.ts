import { expect, test } from "bun:test";
import { retainedBytes } from "../../src/rpc/retained-bytes.ts";

test("what is retained stays as it was, whatever becomes of its source and of what is retained later", () => {
  const source = Buffer.alloc(40_000);
  const kept: { readonly bytes: Buffer; readonly fill: number }[] = [];
  for (let round = 0; round < 500; round += 1) {
    const fill = round % 251;
    const length = [0, 1, 100, 4_200, 8_192, 8_193, 30_000][round % 7]!;
    source.fill(fill);
    kept.push({ bytes: retainedBytes(source, round, length), fill });
    expect(kept.at(-1)!.bytes.length).toBe(length);
  }
  for (const { bytes, fill } of kept) expect(bytes.equals(Buffer.alloc(bytes.length, fill))).toBe(true);
});
