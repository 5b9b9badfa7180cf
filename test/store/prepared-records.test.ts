/** Prepared records: visible at once, told only when committed, gone when aborted, whatever settles or crashes meanwhile. */
import { expect, test } from "bun:test";
import type { DtxId } from "../../src/base/dtx-id.ts";
import type { CellWrite, ReclaimRange } from "../../src/store/cell.ts";
import { joinSequences } from "../../src/store/stability.ts";
import { expectCode } from "./expect-code.ts";
import { key, LATEST, put, StoreRig, tombstone } from "./store-rig.ts";

function id(sequence: number, client = 7): DtxId {
  return { client, sequence };
}

/** Appends a prepared record; it is durable when resolved. */
async function prepare(
  rig: StoreRig,
  origin: DtxId,
  writes: readonly CellWrite[],
  reclaims: readonly ReclaimRange[] = [],
): Promise<number> {
  await rig.store.admit(1000);
  const sequence = rig.store.append(writes, reclaims, { origin, prepared: true });
  await rig.durable(sequence);
  return sequence;
}

/** What whenStable has said so far: nothing, "ok" or a code. */
function stability(rig: StoreRig, sequence: number): () => string | undefined {
  let told: string | undefined;
  rig.store.whenStable(sequence, (error) => {
    if (told !== undefined) throw new Error("called twice");
    told = error === undefined ? "ok" : (error as { code?: string }).code;
  });
  return () => told;
}

test("a prepared record is read at once, and stable only when committed", async () => {
  const rig = await StoreRig.create();
  await rig.write([put("a", 1, "one")]);
  const sequence = await prepare(rig, id(1), [put("a", 2, "two")]);
  expect(rig.get("a")).toBe("two");
  const version = rig.store.get(key("a"), LATEST)!;
  expect(version.sequence).toBe(sequence);
  const told = stability(rig, version.sequence);
  expect([told(), rig.store.pending(sequence), rig.store.transactions.stateOf(id(1))]).toEqual([
    undefined,
    sequence,
    "prepared",
  ]);
  expect(rig.store.transactions.undecided()).toEqual([{ id: id(1), epoch: 2 as never, sequence, keys: [key("a")] }]);
  expect(rig.store.transactions.decide(id(1), "commit")).toBe(true);
  expect([told(), rig.store.pending(sequence), version.sequence]).toEqual(["ok", 0, 0]);
  expect(rig.store.transactions.stateOf(id(1))).toBe("committed");
  expect(rig.store.transactions.undecided()).toEqual([]);
  // What was told once is told again, and repeating the decision changes nothing.
  expect(stability(rig, sequence)()).toBe("ok");
  expect(rig.store.transactions.decide(id(1), "commit")).toBe(true);
  expectCode("CONFLICT", () => rig.store.transactions.decide(id(1), "abort"));
});

test("who listens hears of each persist before it begins, once what was appended in the turn is there", async () => {
  const rig = await StoreRig.create();
  await rig.write([put("a", 1, "one")]);
  const heard: [persists: number, appended: number][] = [];
  let appended = 0;
  rig.store.transactions.onPersist(() => heard.push([rig.machine.persists - before, appended]));
  const before = rig.machine.persists;
  const sequences = [1, 2, 3].map((number) => {
    appended += 1;
    return rig.store.append([put("b", number, "two")], [], { origin: id(number), prepared: true });
  });
  expect(heard).toEqual([]);
  await rig.durable(sequences[2]!);
  expect(heard[0]).toEqual([0, 3]);
});

test("a committed record is not stable before it is durable", async () => {
  const rig = await StoreRig.create();
  await rig.store.admit(100);
  const sequence = rig.store.append([put("a", 1, "x")], [], { origin: id(1), prepared: true });
  rig.store.transactions.decide(id(1), "commit");
  const told = stability(rig, sequence);
  expect(told()).toBeUndefined();
  expect(rig.store.get(key("a"), LATEST)!.sequence).toBe(sequence);
  await rig.durable(sequence);
  expect(told()).toBe("ok");
});

test("an aborted record's versions are gone, what it replaced is back, and who waits runs again", async () => {
  const rig = await StoreRig.create();
  await rig.write([put("a", 1, "one"), put("b", 1, "one")]);
  const sequence = await prepare(rig, id(1), [put("a", 2, "two"), put("b", 1, "other"), put("c", 2, "new")]);
  expect(rig.names()).toEqual(["a", "b", "c"]);
  const usage = rig.store.usage(1);
  const told = stability(rig, sequence);
  const aborted: string[] = [];
  rig.store.transactions.onAborted((keys) => aborted.push(...keys.map((name) => name.slice(4))));
  expect(rig.store.transactions.decide(id(1), "abort")).toBe(true);
  expect(told()).toBe("CONFLICT");
  expect(aborted).toEqual(["a", "b", "c"]);
  expect([rig.get("a"), rig.get("b"), rig.get("c")]).toEqual(["one", "one", undefined]);
  expect(rig.names()).toEqual(["a", "b"]);
  expect(rig.store.usage(1).versions).toBe(usage.versions - 3);
  // Told also to who asks later, with the sequence as it was read then.
  expect(stability(rig, sequence)()).toBe("CONFLICT");
  await rig.write([put("c", 3, "again")]);
  expect(rig.names()).toEqual(["a", "b", "c"]);
  await rig.settle();
  expect([rig.get("a"), rig.get("b"), rig.get("c")]).toEqual(["one", "one", "again"]);
});

test("an outcome that rests on several records is stable with the last of them, or with none", async () => {
  const rig = await StoreRig.create();
  const first = await prepare(rig, id(1), [put("a", 1, "x")]);
  const second = await prepare(rig, id(2), [put("b", 2, "x")]);
  const ordinary = await rig.write([put("c", 3, "x")]);
  const third = await prepare(rig, id(3), [put("d", 4, "x")]);
  const both = joinSequences(joinSequences(ordinary, first), second);
  const all = joinSequences(joinSequences(third, 0), joinSequences(second, first));
  const told = [stability(rig, both), stability(rig, all), stability(rig, ordinary)];
  const said = (): unknown[] => told.map((each) => each());
  expect(said()).toEqual([undefined, undefined, "ok"]);
  rig.store.transactions.decide(id(2), "commit");
  expect(said()).toEqual([undefined, undefined, "ok"]);
  rig.store.transactions.decide(id(1), "commit");
  expect(said()).toEqual(["ok", undefined, "ok"]);
  rig.store.transactions.decide(id(3), "abort");
  expect(said()).toEqual(["ok", "CONFLICT", "ok"]);
});

test("undecided records are there after a crash, undecided; decisions that were logged count", async () => {
  const rig = await StoreRig.create();
  await rig.write([put("a", 1, "one"), put("b", 1, "one")]);
  await prepare(rig, id(1), [put("a", 2, "two")]);
  await prepare(rig, id(2), [put("b", 3, "three")]);
  await prepare(rig, id(3), [put("c", 4, "four")]);
  rig.store.transactions.decide(id(2), "abort");
  rig.store.transactions.decide(id(3), "commit");
  await rig.durable(rig.store.transactions.logDecisions());
  await rig.crash();
  const { transactions } = rig.store;
  expect([1, 2, 3].map((number) => transactions.stateOf(id(number)))).toEqual(["prepared", "aborted", "committed"]);
  const [open] = transactions.undecided();
  expect([open!.id, open!.epoch, open!.keys]).toEqual([id(1), 2 as never, [key("a")]]);
  expect([rig.get("a"), rig.get("b"), rig.get("c")]).toEqual(["two", "one", "four"]);
  const told = stability(rig, rig.store.get(key("a"), LATEST)!.sequence);
  expect(told()).toBeUndefined();
  expect(rig.store.get(key("c"), LATEST)!.sequence).toBe(0);
  transactions.decide(id(1), "abort");
  expect([told(), rig.get("a")]).toEqual(["CONFLICT", "one"]);
});

test("a decision is logged under its id whatever object names it", async () => {
  const rig = await StoreRig.create();
  await prepare(rig, id(1), [put("a", 1, "one")]);
  const { client, sequence } = id(1);
  class Named {
    get client(): number {
      return client;
    }
    get sequence(): number {
      return sequence;
    }
  }
  rig.store.transactions.decide(new Named(), "commit");
  await rig.durable(rig.store.transactions.logDecisions());
  await rig.crash();
  expect(rig.store.transactions.stateOf(id(1))).toBe("committed");
});

test("a record that was aborted, forgotten and appended again is there after a crash", async () => {
  const rig = await StoreRig.create();
  await prepare(rig, id(1), [put("a", 1, "one")]);
  rig.store.transactions.decide(id(1), "abort");
  rig.store.transactions.forget(id(1));
  await prepare(rig, id(1), [put("a", 2, "two")]);
  await rig.durable(rig.store.transactions.logDecisions());
  rig.store.transactions.decide(id(1), "commit");
  await rig.durable(rig.store.transactions.logDecisions());
  await rig.crash();
  expect(rig.get("a")).toBe("two");
});

test("what became of an earlier record of the same id, and has a row, says nothing of a later one", async () => {
  const rig = await StoreRig.create();
  const { transactions } = rig.store;
  await prepare(rig, id(1), [put("a", 1, "one")]);
  transactions.decide(id(1), "abort");
  await rig.settle();
  transactions.forget(id(1));
  await prepare(rig, id(1), [put("a", 2, "two")]);
  transactions.decide(id(1), "commit");
  await rig.durable(transactions.logDecisions());
  await rig.crash();
  expect(rig.store.transactions.stateOf(id(1))).toBe("committed");
  // Its own row is there when the other one has gone.
  await rig.settle();
  await rig.settle();
  await rig.crash();
  expect(rig.store.transactions.stateOf(id(1))).toBe("committed");
  expect(rig.get("a")).toBe("two");
});

test("a row takes the place of one of an earlier record of the same id in one step", async () => {
  const rig = await StoreRig.create();
  const { transactions } = rig.store;
  await prepare(rig, id(1), [put("a", 1, "one")]);
  transactions.decide(id(1), "abort");
  await rig.settle();
  transactions.forget(id(1));
  await prepare(rig, id(1), [put("a", 2, "two")]);
  transactions.decide(id(1), "commit");
  await rig.settle();
  await rig.crash();
  expect(rig.store.transactions.stateOf(id(1))).toBe("committed");
});

test("a decision that is not logged is lost with the power, and the record is undecided again", async () => {
  const rig = await StoreRig.create();
  await prepare(rig, id(1), [put("a", 2, "two")]);
  rig.store.transactions.decide(id(1), "commit");
  await rig.crash();
  expect(rig.store.transactions.stateOf(id(1))).toBe("prepared");
  rig.store.transactions.decide(id(1), "commit");
  await rig.machine.timers.advance(100);
  await rig.crash();
  expect(rig.store.transactions.stateOf(id(1))).toBe("committed");
});

test("settling passes by what is undecided, again and again, and takes it when it is committed", async () => {
  const rig = await StoreRig.create();
  await rig.write([put("a", 1, "one")]);
  const sequence = await prepare(rig, id(1), [put("a", 2, "two")]);
  for (let round = 0; round < 3; round += 1) {
    for (let count = 0; count < 60; count += 1) {
      await rig.write([put(`k${count % 9}`, 100 * round + count + 10, "x".repeat(1000))]);
    }
    await rig.settle();
    expect([rig.get("a"), rig.get("k3")]).toEqual(["two", "x".repeat(1000)]);
    expect(rig.versions("a")).toEqual(["2"]);
    expect(rig.names().filter((name) => name === "a")).toEqual(["a"]);
    // What is left in the log is little.
    expect(rig.store.space().logUsedBytes).toBeLessThanOrEqual(32 * 1024);
    if (round === 1) await rig.crash();
  }
  const told = stability(rig, rig.store.get(key("a"), LATEST)!.sequence);
  rig.store.transactions.decide(id(1), "commit");
  expect(told()).toBe("ok");
  rig.store.transactions.forget(id(1));
  await rig.write([put("z", 1000, "z")]);
  await rig.settle();
  await rig.crash();
  expect(rig.get("a")).toBe("two");
  expect(rig.store.transactions.undecided()).toEqual([]);
  expect(rig.store.transactions.stateOf(id(1))).toBeUndefined();
  expect(sequence).toBeGreaterThan(0);
});

test("an aborted record never reaches the index, moved or not", async () => {
  for (const moved of [false, true]) {
    const rig = await StoreRig.create();
    await rig.write([put("a", 1, "one")]);
    await prepare(rig, id(1), [put("a", 2, "two"), put("b", 2, "two")]);
    if (moved) await rig.settle();
    rig.store.transactions.decide(id(1), "abort");
    expect([rig.get("a"), rig.get("b")]).toEqual(["one", undefined]);
    await rig.write([put("z", 9, "z")]);
    await rig.settle();
    expect([rig.get("a"), rig.get("b")]).toEqual(["one", undefined]);
    expect(rig.names()).toEqual(["a", "z"]);
    await rig.crash();
    expect(rig.names()).toEqual(["a", "z"]);
    expect(rig.store.transactions.stateOf(id(1))).toBe("aborted");
  }
});

test("a decision is remembered over settling and crashes until it is forgotten", async () => {
  const rig = await StoreRig.create();
  await prepare(rig, id(1), [put("a", 2, "two")]);
  rig.store.transactions.decide(id(1), "commit");
  for (let round = 0; round < 3; round += 1) {
    await rig.write([put("b", 10 + round, "x")]);
    await rig.settle();
    await rig.crash();
    expect(rig.store.transactions.stateOf(id(1))).toBe("committed");
    expect(rig.store.transactions.decided()).toEqual([id(1)]);
  }
  rig.store.transactions.forget(id(1));
  await rig.durable(rig.store.transactions.logDecisions());
  await rig.crash();
  expect(rig.store.transactions.stateOf(id(1))).toBeUndefined();
  expect(rig.get("a")).toBe("two");
});

test("a punch that covers what is still undecided hides it when it is committed after the punch was worked off", async () => {
  for (const decision of ["commit", "abort"] as const) {
    const rig = await StoreRig.create();
    await prepare(rig, id(1), [put("k5", 2, "two")]);
    const range = { from: key("k"), to: key("l"), epoch: 9 as never };
    await rig.write([tombstone("punch", 9)], [range]);
    await rig.settle();
    await rig.settle();
    // The punch is known by its tombstone as long as it hides something.
    expect(rig.store.get(key("punch"), LATEST)?.epoch).toBe(9 as never);
    rig.store.transactions.decide(id(1), decision);
    rig.store.transactions.forget(id(1));
    await rig.write([put("z", 20, "z")]);
    await rig.settle();
    await rig.settle();
    expect(rig.get("k5")).toBeUndefined();
    expect(rig.names()).not.toContain("k5");
  }
});

test("extents: an aborted record's are free once that is durable, an undecided one's are not, after a crash too", async () => {
  const rig = await StoreRig.create();
  const used = (): number => rig.store.space().nvmeUsedBytes / 4096;
  const large = async (name: string, number: number): Promise<void> => {
    const extent = await rig.store.writeExtent(new Uint8Array(5000).fill(number));
    const { epoch, kind, meta } = put(name, number, "");
    await prepare(rig, id(number), [{ key: key(name), epoch, kind, meta, extent }]);
  };
  const both = Promise.all([large("a", 1), large("b", 2), large("c", 3)]);
  await rig.machine.timers.advance(100);
  await both;
  rig.store.transactions.decide(id(1), "abort");
  rig.store.transactions.decide(id(2), "commit");
  expect(used()).toBe(6);
  await rig.durable(rig.store.transactions.logDecisions());
  expect(used()).toBe(4);
  await rig.crash();
  expect(used()).toBe(4);
  await rig.write([put("z", 20, "z")]);
  await rig.settle();
  await rig.crash();
  expect(used()).toBe(4);
  rig.store.transactions.decide(id(3), "abort");
  await rig.settle();
  expect(used()).toBe(2);
});

test("close keeps what is undecided and settles the rest; who waits is told", async () => {
  const rig = await StoreRig.create();
  const sequence = await prepare(rig, id(1), [put("a", 2, "two")]);
  await prepare(rig, id(2), [put("b", 3, "three")]);
  rig.store.transactions.decide(id(2), "commit");
  const told = stability(rig, sequence);
  const closed = rig.store.close();
  await rig.machine.timers.advance(1000);
  await closed;
  expect(told()).toBe("UNAVAILABLE");
  rig.machine.restart();
  await rig.open();
  expect(rig.store.transactions.undecided().map((record) => record.id)).toEqual([id(1)]);
  expect(rig.store.transactions.stateOf(id(2))).toBe("committed");
  expect([rig.get("a"), rig.get("b")]).toEqual(["two", "three"]);
});

test("a log full of ordinary records goes on behind an undecided one, and open records are bounded", async () => {
  const rig = await StoreRig.create();
  await prepare(rig, id(1), [put("a", 1, "x".repeat(900))]);
  for (let count = 0; count < 400; count += 1) await rig.write([put(`k${count % 20}`, count + 2, "x".repeat(900))]);
  expect(rig.get("a")).toBe("x".repeat(900));
  await expect(
    (async () => {
      for (let count = 0; count < 100; count += 1) {
        await prepare(rig, id(count + 2), [put(`p${count}`, count + 1000, "x".repeat(900))]);
      }
    })(),
  ).rejects.toMatchObject({ code: "OVERLOADED" });
  expect(rig.store.transactions.undecided().length).toBeGreaterThan(10);
  for (let count = 0; count < 200; count += 1) await rig.write([put(`k${count % 20}`, count + 2000, "y".repeat(900))]);
  await rig.settle();
  expect(rig.get("k3")).toBe("y".repeat(900));
  expect(rig.get("p3")).toBe("x".repeat(900));
});

test("what an id cannot be is refused: none, twice, forgotten while undecided", async () => {
  const rig = await StoreRig.create();
  expectCode("INVALID_ARGUMENT", () => rig.store.append([put("a", 1, "x")], [], { prepared: true }));
  await prepare(rig, id(1), [put("a", 1, "x")]);
  expectCode("INVALID_ARGUMENT", () => rig.store.append([put("a", 2, "x")], [], { origin: id(1), prepared: true }));
  expectCode("INVALID_ARGUMENT", () => rig.store.transactions.forget(id(1)));
  expect(rig.store.transactions.decide(id(9), "abort")).toBe(false);
  expect(rig.store.transactions.stateOf(id(9))).toBeUndefined();
});
