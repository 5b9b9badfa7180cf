/** Completed requests: the table against a naive model, and the table of a store over settling and power losses. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { DtxId } from "../../src/base/dtx-id.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import { FORGET_CLIENT_MS, MAX_CLIENT_REQUESTS } from "../../src/base/limits.ts";
import { RequestTable } from "../../src/store/request-table.ts";
import { put, StoreRig } from "./store-rig.ts";

const CLIENTS = 3;

test("RequestTable agrees with a model that remembers everything", () => {
  const step = fc.record({
    client: fc.integer({ min: 1, max: CLIENTS }),
    sequence: fc.integer({ min: 1, max: 30 }),
    lag: fc.nat(12),
    action: fc.constantFrom("add", "add", "ask", "remove", "age"),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const table = new RequestTable();
      const model = new Map<number, { first: number; done: Map<number, number> }>();
      const heard = new Map<number, number>();
      let turn = 0;
      for (const { client, sequence, lag, action } of steps) {
        const id: DtxId = { client, sequence };
        const first = Math.max(0, sequence - lag);
        // Who was silent between two agings is forgotten.
        const known = model.get(client);
        if (action === "age") {
          table.age();
          turn += 1;
          for (const [other, last] of heard) if (last < turn - 1) model.delete(other);
        } else if (action === "remove") {
          table.remove(id);
          known?.done.delete(sequence);
          if (known !== undefined) heard.set(client, turn);
        } else if (action === "add") {
          table.add(id, first, (sequence * 10) as Epoch, 0);
          const entry = known ?? { first: 0, done: new Map() };
          model.set(client, entry);
          entry.first = Math.max(entry.first, first);
          entry.done.set(sequence, sequence * 10);
          heard.set(client, turn);
        } else {
          const found = table.completed(id, first);
          if (known === undefined) {
            expect(found).toBeUndefined();
            continue;
          }
          heard.set(client, turn);
          known.first = Math.max(known.first, first);
          if (sequence < known.first) expect(found).toBe("old");
          else {
            const epoch = known.done.get(sequence);
            expect(found).toEqual(epoch === undefined ? undefined : { epoch: epoch as Epoch, sequence: 0 });
          }
        }
      }
    }),
  );
});

test("RequestTable: of a client that acknowledges nothing the lower half goes, and is old", () => {
  const table = new RequestTable();
  for (let number = 1; number <= MAX_CLIENT_REQUESTS + 1; number += 1) {
    table.add({ client: 5, sequence: number }, 0, number as Epoch, 0);
  }
  expect(table.completed({ client: 5, sequence: 1 })).toBe("old");
  expect(table.completed({ client: 5, sequence: MAX_CLIENT_REQUESTS })).toEqual({
    epoch: MAX_CLIENT_REQUESTS as Epoch,
    sequence: 0,
  });
});

/** Writes as the client's request of this number. */
async function request(rig: StoreRig, sequence: number, firstIncomplete: number, prepared = false): Promise<void> {
  await rig.store.admit(500);
  const origin = { client: 9, sequence };
  const written = rig.store.append([put(`k${sequence % 5}`, sequence, "x")], [], { origin, firstIncomplete, prepared });
  await rig.durable(written);
}

function completed(rig: StoreRig, sequence: number): number | string | undefined {
  const found = rig.store.requests.completed({ client: 9, sequence });
  return typeof found === "object" ? found.epoch : found;
}

test("a store knows completed requests after settling and power losses, until they are acknowledged", async () => {
  const rig = await StoreRig.create();
  for (let number = 1; number <= 6; number += 1) await request(rig, number, Math.max(1, number - 2));
  const expected = ["old", "old", "old", 4, 5, 6, undefined];
  const all = (): unknown[] => [1, 2, 3, 4, 5, 6, 7].map((number) => completed(rig, number));
  expect(all()).toEqual(expected);
  await rig.crash();
  expect(all()).toEqual(expected);
  await rig.settle();
  expect(rig.store.space().logUsedBytes).toBe(0);
  await rig.crash();
  expect(all()).toEqual(expected);
  await request(rig, 7, 6);
  await rig.settle();
  await rig.crash();
  expect(all()).toEqual(["old", "old", "old", "old", "old", 6, 7]);
});

test("a prepared record's request is completed as soon as it is there, and not any more when it is aborted", async () => {
  const rig = await StoreRig.create();
  await request(rig, 1, 1, true);
  await request(rig, 2, 1, true);
  const { requests, transactions } = rig.store;
  const found = requests.completed({ client: 9, sequence: 1 });
  expect(found).toEqual({
    epoch: 1 as Epoch,
    sequence: transactions.undecidedRecord({ client: 9, sequence: 1 })!.sequence,
  });
  transactions.decide({ client: 9, sequence: 1 }, "commit");
  expect(requests.completed({ client: 9, sequence: 1 })).toEqual({ epoch: 1 as Epoch, sequence: 0 });
  transactions.decide({ client: 9, sequence: 2 }, "abort");
  expect(completed(rig, 2)).toBeUndefined();
  await rig.durable(transactions.logDecisions());
  await rig.crash();
  expect([completed(rig, 1), completed(rig, 2)]).toEqual([1, undefined]);
  await rig.settle();
  await rig.crash();
  expect([completed(rig, 1), completed(rig, 2)]).toEqual([1, undefined]);
});

test("RequestTable: of what is forgotten an epoch is left that nothing of it was completed after", () => {
  const table = new RequestTable();
  table.add({ client: 1, sequence: 1 }, 1, 10 as Epoch, 0);
  table.age();
  expect(table.forgottenTo).toBe(0 as Epoch);
  table.add({ client: 2, sequence: 1 }, 1, 20 as Epoch, 0);
  table.age();
  expect(table.completed({ client: 1, sequence: 1 })).toBeUndefined();
  expect(table.forgottenTo).toBe(10 as Epoch);
  table.forget(15 as Epoch);
  table.forget(5 as Epoch);
  expect(table.forgottenTo).toBe(15 as Epoch);
  table.age();
  table.age();
  expect(table.forgottenTo).toBe(20 as Epoch);
});

test("a store knows how far it has forgotten over settling and power losses", async () => {
  const rig = await StoreRig.create();
  await request(rig, 1, 1);
  await rig.machine.timers.advance(2 * FORGET_CLIENT_MS + 1000);
  expect([completed(rig, 1), rig.store.requests.forgottenTo]).toEqual([undefined, 1]);
  // It is in the log: nothing is forgotten as long as that is so.
  await rig.crash();
  expect([completed(rig, 1), rig.store.requests.forgottenTo]).toEqual([1, 0]);
  await rig.machine.timers.advance(2 * FORGET_CLIENT_MS + 1000);
  await rig.write([put("other", 9, "x")]);
  await rig.settle();
  await rig.crash();
  expect([completed(rig, 1), rig.store.requests.forgottenTo]).toEqual([undefined, 1]);
});

test("a client that stays silent is forgotten, in the index too", async () => {
  const rig = await StoreRig.create();
  await request(rig, 1, 1);
  await rig.settle();
  const rows = (): number =>
    [...rig.machine.tables.rows.get("meta")!.keys()].filter((k) => k.startsWith("request")).length;
  expect(rows()).toBe(1);
  await rig.machine.timers.advance(2 * FORGET_CLIENT_MS + 1000);
  expect(completed(rig, 1)).toBeUndefined();
  await rig.write([put("other", 9, "x")]);
  await rig.settle();
  expect(rows()).toBe(0);
});

test("of a forgotten client no row is left, however late the last of its records are settled", async () => {
  const maySettle = Promise.withResolvers<void>();
  let settles = 0;
  const rig = await StoreRig.create({}, (settler) => ({
    settle: async (asked) => {
      settles += 1;
      await maySettle.promise;
      return settler.settle(asked);
    },
    maintain: (asked) => settler.maintain(asked),
    close: () => settler.close(),
  }));
  for (let number = 1; number <= 150; number += 1) {
    await rig.store.admit(500);
    const writes = [put(`k${number}`, number, "x".repeat(200))];
    const written = rig.store.append(writes, [], { origin: { client: 9, sequence: number }, firstIncomplete: number });
    if (number % 30 === 0) await rig.durable(written);
  }
  const table = rig.store.requests as RequestTable;
  table.age();
  table.age();
  maySettle.resolve();
  await rig.settle();
  expect(settles).toBeGreaterThan(1);
  expect(rig.store.space().logUsedBytes).toBe(0);
  const rows = [...rig.machine.tables.rows.get("meta")!.keys()];
  expect(rows.filter((name) => name.startsWith("request"))).toEqual([]);
});
