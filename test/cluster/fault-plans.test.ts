/** What fault rounds draw, how bits rot, and what transfers find; the rounds themselves are `npm run test:faults`. */
import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seeded } from "../crash/kill-rounds.ts";
import { type Draw, FAULT_KINDS, type PlannedFault } from "./faults/faults.ts";
import { flipBits } from "./faults/host-disk.ts";
import { Transfers } from "./faults/transfers.ts";
import type { Container, Transaction } from "../../src/library.ts";

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
    const before = Buffer.alloc(16 * BLOCK);
    for (let block = 0; block < 16; block += 2) before.fill(block + 1, block * BLOCK, block * BLOCK + 1000);
    writeFileSync(path, before);
    expect(flipBits(path, 5, drawing(1))).toBe(5);
    const after = readFileSync(path);
    const different = [...after.keys()].filter((index) => after[index] !== before[index]);
    const bits = different.map((index) => (after[index]! ^ before[index]!).toString(2).replaceAll("0", "").length);
    expect(bits).toEqual([1, 1, 1, 1, 1]);
    expect(different.every((index) => before[index] !== 0)).toBe(true);
    writeFileSync(path, Buffer.alloc(8 * BLOCK));
    expect(flipBits(path, 5, drawing(1))).toBe(0);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

/** A container in memory; `commit` takes what a transaction wrote over into what there is. */
function containerWith(
  commit: (kept: Map<string, Uint8Array>, written: Map<string, Uint8Array>, count: number) => void,
): Container {
  const kept = new Map<string, Uint8Array>();
  let count = 0;
  const runTransaction = async <T>(body: (transaction: Transaction) => Promise<T>): Promise<T> => {
    const written = new Map<string, Uint8Array>();
    const object = {
      fetch: (dkey: string) => Promise.resolve(kept.has(dkey) ? { value: kept.get(dkey)! } : undefined),
      update: (dkey: string, _akey: string, value: Uint8Array) => Promise.resolve(void written.set(dkey, value)),
    };
    const result = await body({ object: () => object } as unknown as Transaction);
    commit(kept, written, (count += 1));
    return result;
  };
  return { runTransaction } as unknown as Container;
}

const keep = (kept: Map<string, Uint8Array>, written: Map<string, Uint8Array>): void => {
  for (const [dkey, value] of written) kept.set(dkey, value);
};

async function transfer(container: Container, times: number): Promise<void> {
  const transfers = new Transfers(drawing(3));
  await transfers.prepare(container);
  const options = { tellers: 1, pauseMs: 0, mayFail: () => false };
  await transfers.run([container], () => transfers.committed >= times, options);
  await transfers.verify(container);
}

test("transfers find a commit of which a part is lost, and one that is lost as a whole", async () => {
  await transfer(containerWith(keep), 200);
  const half = containerWith((kept, written, count) => {
    const lost = count === 60 ? 1 : 0;
    keep(kept, new Map([...written].slice(lost)));
  });
  await expect(transfer(half, 200)).rejects.toThrow(/accounts hold \d+, not 40000|shows write/);
  const forgetful = containerWith((kept, written, count) => {
    if (count !== 60) keep(kept, written);
  });
  await expect(transfer(forgetful, 200)).rejects.toThrow(/account \d+ was written \d+ times, and shows write \d+/);
}, 30_000);
