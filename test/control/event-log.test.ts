/** The log of events in the meta store: bounded, numbered, over restarts, each event once. */
import { expect, test } from "bun:test";
import { DaosError } from "../../src/base/errors.ts";
import { MAX_EVENTS, MAX_META_COMMIT_COMPARES, MAX_PENDING_EVENTS } from "../../src/base/limits.ts";
import { EventLog } from "../../src/control/event-log.ts";
import { KeyedLock } from "../../src/control/keyed-lock.ts";
import { MetaRecords } from "../../src/control/meta-records.ts";
import type { ReportedEvent } from "../../src/format/event-operations.ts";
import { EVENT_PREFIX } from "../../src/format/meta-key.ts";
import { emptyMetaState, MemoryMetaStore, type MetaState } from "./memory-meta-store.ts";

const BY = { rank: 1, incarnation: 5 };

function logOn(meta: MetaState, store = new MemoryMetaStore(meta)): EventLog {
  return new EventLog(new MetaRecords(store), new KeyedLock());
}

function reported(sequence: number, more: Partial<ReportedEvent> = {}): ReportedEvent {
  return {
    sequence,
    id: "pool_created",
    severity: "info",
    timeMs: 1000 * sequence,
    message: `no ${sequence}`,
    ...more,
  };
}

function reports(from: number, count: number): ReportedEvent[] {
  return Array.from({ length: count }, (_value, index) => reported(from + index));
}

async function messagesOf(log: EventLog): Promise<string[]> {
  return (await log.query({ after: 0, limit: MAX_EVENTS })).events.map(({ message }) => message);
}

test("events are kept in order, over restarts, and number on", async () => {
  const meta = emptyMetaState();
  await logOn(meta).append(BY, reports(1, 3));
  const log = logOn(meta);
  await log.append({ rank: 2, incarnation: 1 }, [reported(1, { rank: 7, target: 0, device: "d", pool: "tank" })]);
  const { events, next, isMore } = await log.query({ after: 2 });
  expect(events.map(({ number, message }) => [number, message])).toEqual([
    [3, "no 3"],
    [4, "no 1"],
  ]);
  expect(events[1]).toEqual({
    number: 4,
    id: "pool_created",
    severity: "info",
    time: "1970-01-01T00:00:01.000Z",
    message: "no 1",
    rank: 7,
    target: 0,
    device: "d",
    pool: "tank",
    advice: "",
  });
  expect({ next, isMore }).toEqual({ next: 4, isMore: false });
});

test("what is reported again is kept once, also by another leader and after a restart", async () => {
  const meta = emptyMetaState();
  await logOn(meta).append(BY, reports(1, 3));
  const log = logOn(meta);
  await log.append(BY, reports(2, 3));
  expect(await messagesOf(log)).toEqual(["no 1", "no 2", "no 3", "no 4"]);
  // Its next start counts from 1 again.
  await log.append({ ...BY, incarnation: 6 }, reports(1, 1));
  expect(await messagesOf(log)).toEqual(["no 1", "no 2", "no 3", "no 4", "no 1"]);
});

test("a commit that happened and whose answer was lost is not made again", async () => {
  const meta = emptyMetaState();
  const store = new MemoryMetaStore(meta);
  const commit = store.commit.bind(store);
  let isLost = true;
  store.commit = async (compares, operations) => {
    const revision = await commit(compares, operations);
    if (!isLost) return revision;
    isLost = false;
    throw new DaosError("TIMEOUT", "Cannot commit: no answer.");
  };
  const log = logOn(meta, store);
  await expect(log.append(BY, reports(1, 2))).rejects.toThrow("no answer");
  await log.append(BY, reports(1, 3));
  expect(await messagesOf(log)).toEqual(["no 1", "no 2", "no 3"]);
});

test("the oldest go, in the store too, and who has not seen them is told how many", async () => {
  const meta = emptyMetaState();
  const log = logOn(meta);
  const count = MAX_EVENTS + 10;
  for (let from = 1; from <= count; from += MAX_PENDING_EVENTS) {
    await log.append(BY, reports(from, Math.min(MAX_PENDING_EVENTS, count - from + 1)));
  }
  const keys = [...meta.entries.keys()].filter((key) => key.startsWith(EVENT_PREFIX));
  expect(keys).toHaveLength(MAX_EVENTS);
  const page = await log.query({ after: 3, limit: 2 });
  expect(page.events.map(({ number }) => number)).toEqual([11, 12]);
  expect(page).toMatchObject({ next: 12, isMore: true, missed: 7 });
  expect((await logOn(meta).query({ limit: 1 })).events[0]?.number).toBe(count);
});

test("a query is filtered by severity and time, and goes on where it stopped", async () => {
  const log = logOn(emptyMetaState());
  await log.append(BY, [
    reported(1, { severity: "error" }),
    reported(2, { severity: "warn" }),
    reported(3),
    reported(4, { severity: "error" }),
  ]);
  const numbers = async (args: Parameters<EventLog["query"]>[0]): Promise<number[]> =>
    (await log.query(args)).events.map(({ number }) => number);
  expect(await numbers({ severity: "warn" })).toEqual([1, 2, 4]);
  expect(await numbers({ severity: "error", sinceMs: 2000 })).toEqual([4]);
  expect(await log.query({ severity: "warn", after: 0, limit: 2 })).toMatchObject({ next: 2, isMore: true });
  expect(await log.query({ severity: "warn", after: 4 })).toMatchObject({ events: [], next: 4, isMore: false });
});

test("an id of a newer release is kept and told without advice", async () => {
  const log = logOn(emptyMetaState());
  await log.append(BY, [reported(1, { id: "moon_fell", severity: "error" })]);
  expect((await log.query({})).events).toMatchObject([{ id: "moon_fell", severity: "error", advice: "" }]);
});

test("a commit has room for the fence of who leads, and another writer's events are not written over", async () => {
  const meta = emptyMetaState();
  const store = new MemoryMetaStore(meta);
  const commit = store.commit.bind(store);
  const compares: number[] = [];
  store.commit = (compared, operations) => {
    compares.push(compared.length);
    return commit(compared, operations);
  };
  const log = logOn(meta, store);
  await log.append(BY, reports(1, MAX_PENDING_EVENTS));
  expect(Math.max(...compares)).toBeLessThan(MAX_META_COMMIT_COMPARES);
  store.beforeCommit = async () => {
    store.beforeCommit = undefined;
    await logOn(meta).append({ rank: 9, incarnation: 1 }, [reported(1, { message: "another one's" })]);
  };
  await log.append({ ...BY, incarnation: 6 }, [reported(1, { message: "ours" })]);
  expect((await messagesOf(log)).slice(-2)).toEqual(["another one's", "ours"]);
});
