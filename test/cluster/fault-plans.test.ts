/** What fault rounds draw, and how bits rot; the rounds themselves are `npm run test:faults`. */
import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seeded } from "../crash/kill-rounds.ts";
import { type Draw, FAULT_KINDS, type PlannedFault } from "./faults/faults.ts";
import { flipBits } from "./faults/host-disk.ts";

const HOSTS = 7;
const BLOCK = 4096;

function drawing(seed: number): Draw {
  const random = seeded(seed);
  return (below) => Math.floor(random() * below);
}

function plans(seed: number): PlannedFault[] {
  const draw = drawing(seed);
  return Object.values(FAULT_KINDS).map(({ plan }) => plan(draw, HOSTS));
}

test("fault rounds draw the same from the same seed, on hosts that there are", () => {
  const texts = (seed: number): string[] => plans(seed).map(({ text }) => text);
  expect(texts(5)).toEqual(texts(5));
  expect(texts(5)).not.toEqual(texts(6));
  for (let seed = 0; seed < 200; seed += 1) {
    for (const { text, host } of plans(seed)) {
      for (const [, named] of text.matchAll(/\bh(\d+)/g)) expect(Number(named)).toBeLessThan(HOSTS);
      expect(text).not.toMatch(/NaN|undefined|-\d+(\.\d+)? s$/);
      if (host !== undefined) expect(text).toContain(`h${host}`);
    }
  }
});

test("flipBits turns one bit in each of so many blocks that hold something, and leaves the rest", () => {
  const folder = mkdtempSync(join(tmpdir(), "daos-faults-"));
  try {
    const path = join(folder, "file");
    const before = Buffer.alloc(64 * BLOCK);
    for (let block = 0; block < 64; block += 4) before.fill(block + 1, block * BLOCK, block * BLOCK + 1000);
    writeFileSync(path, before);
    expect(flipBits(path, 5, drawing(1))).toBe(5);
    const after = readFileSync(path);
    let flipped = 0;
    for (const [index, byte] of after.entries()) {
      if (byte === before[index]) continue;
      expect(before[index]).not.toBe(0);
      flipped += (byte ^ before[index]!).toString(2).replaceAll("0", "").length;
    }
    expect(flipped).toBe(5);
    writeFileSync(path, Buffer.alloc(8 * BLOCK));
    expect(flipBits(path, 5, drawing(1))).toBe(0);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
