import { expect, test } from "bun:test";
import type { ByteString } from "../../src/base/bytes.ts";
import { BLOCK_BYTES, KIB, MIB } from "../../src/base/limits.ts";
import { Log } from "../../src/store/log.ts";
import { planLayout } from "../../src/store/log-layout.ts";
import { put } from "./store-rig.ts";

/** A log whose persists are done on return; `turns` are what it left for the end of the turn. */
function rig(granularityBytes: number) {
  const turns: (() => void)[] = [];
  const persists: number[] = [];
  const bytes = new Uint8Array(MIB);
  const region = { bytes, granularityBytes, persist: () => void persists.push(log.lastSequence), close: () => {} };
  const log: Log = new Log({
    region,
    timers: { after: () => () => {}, soon: (callback) => void turns.push(callback) },
    layout: planLayout(bytes.length, granularityBytes, 64 * KIB),
    storeId: "\x00".repeat(16) as ByteString,
    generation: 1,
    hooks: { segmentOpened: () => {}, advanced: () => {}, failed: () => {} },
    spans: [],
    nextOrdinal: 1,
    lastSequence: 0,
  });
  return { log, turns, persists };
}

test("on memory, what one turn's callback appended is durable before the turn ends, as one group", async () => {
  const { log, turns, persists } = rig(64);
  log.append([put("a", 1, "1")], [], []);
  log.append([put("b", 2, "2")], [], []);
  expect(log.durableSequence).toBe(0);
  await Promise.resolve();
  expect(log.durableSequence).toBe(2);
  expect(persists).toEqual([2]);
  expect(turns).toEqual([]);
});

test("on blocks, records wait for the end of the turn, for others to join them", async () => {
  const { log, turns, persists } = rig(BLOCK_BYTES);
  log.append([put("a", 1, "1")], [], []);
  await Promise.resolve();
  log.append([put("b", 2, "2")], [], []);
  expect(log.durableSequence).toBe(0);
  for (const turn of turns.splice(0)) turn();
  expect(log.durableSequence).toBe(2);
  expect(persists).toEqual([2]);
});
