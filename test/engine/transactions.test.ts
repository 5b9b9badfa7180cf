/** Transactions through the client library, on a real engine of two targets that is killed and started again. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  type Container,
  DaosError,
  objectClassByName,
  type ObjectId,
  objectId,
  type Transaction,
} from "../../src/library.ts";
import { EngineRig } from "./engine-rig.ts";

let rig: EngineRig;
let container: Container;
let accounts: ObjectId[];

beforeAll(async () => {
  rig = await EngineRig.start({ targets: 2 });
  await rig.system.pool("tank").createContainer({ label: "bank", type: "object" });
  container = await rig.system.pool("tank").openContainer("bank");
  accounts = Array.from({ length: 4 }, () => container.newObjectId("MULTI_HASHED", "S1"));
  await container.runTransaction(async (transaction) => {
    for (const account of accounts) await transaction.object(account).update("d", "balance", amount(100));
  });
}, 30_000);

afterAll(async () => {
  await rig.remove();
});

const amount = (value: number): Uint8Array => Buffer.from(String(value));
const number = (found: { value: Uint8Array } | undefined): number => Number(Buffer.from(found!.value).toString());
const codeOf = (error: unknown): string => (error instanceof DaosError ? error.code : String(error));

async function balance(transaction: Transaction, account: ObjectId): Promise<number> {
  return number(await transaction.object(account).fetch("d", "balance"));
}

async function total(): Promise<number> {
  return container.runTransaction(async (transaction) => {
    let sum = 0;
    for (const account of accounts) sum += await balance(transaction, account);
    return sum;
  });
}

test("concurrent transfers keep the sum, which is seen at every moment", async () => {
  let done = 0;
  const transfers = Array.from({ length: 6 }, async (_, teller) => {
    for (let round = 0; round < 15; round += 1) {
      const from = accounts[(teller + round) % accounts.length]!;
      const to = accounts[(teller + 2 * round + 1) % accounts.length]!;
      if (from === to) continue;
      await container.runTransaction(async (transaction) => {
        const left = await balance(transaction, from);
        await transaction.object(from).update("d", "balance", amount(left - 1));
        await transaction.object(to).update("d", "balance", amount((await balance(transaction, to)) + 1));
      });
      done += 1;
    }
  });
  const watching = (async () => {
    while (done < 40) expect(await total()).toBe(400);
  })();
  await Promise.all([...transfers, watching]);
  expect(await total()).toBe(400);
}, 60_000);

test("a transaction sees one moment and its own writes; nobody else does before the commit", async () => {
  const [first, second] = accounts as [ObjectId, ObjectId];
  const transaction = container.transaction();
  const before = await balance(transaction, first);
  await container.object(second).update("d", "note", Buffer.from("later"));
  expect(await transaction.object(second).fetch("d", "note")).toBeUndefined();
  await transaction.object(first).update("e", "a", Buffer.from("own"));
  await transaction.object(first).writeArray("e", "r", { recordIndex: 2, recordBytes: 2 }, Buffer.from("abcd"));
  expect(Buffer.from((await transaction.object(first).fetch("e", "a"))!.value).toString()).toBe("own");
  const range = { recordIndex: 0, recordCount: 4, recordBytes: 2 };
  expect(Buffer.from(await transaction.object(first).readArray("e", "r", range)).toString()).toBe("\0\0\0\0abcd");
  expect((await transaction.object(first).listAkeys("e")).map((akey) => Buffer.from(akey).toString())).toEqual([
    "a",
    "r",
  ]);
  expect(await container.object(first).fetch("e", "a")).toBeUndefined();
  expect(before).toBeGreaterThan(0);
  // It has read what is not so any more.
  expect(codeOf(await transaction.commit().catch((error: unknown) => error))).toBe("CONFLICT");
  expect(await container.object(first).fetch("e", "a")).toBeUndefined();
}, 30_000);

test("an aborted transaction, and one whose body throws, leave nothing", async () => {
  const [first] = accounts as [ObjectId];
  const transaction = container.transaction();
  await transaction.object(first).update("f", "a", Buffer.from("x"));
  transaction.abort();
  expect(codeOf(await transaction.commit().catch((error: unknown) => error))).toBe("INVALID_ARGUMENT");
  const failing = container.runTransaction(async (other) => {
    await other.object(first).update("f", "a", Buffer.from("x"));
    await other.object(first).update("f", "a", Buffer.from("y"), { condition: "ifAbsent" });
  });
  expect(codeOf(await failing.catch((error: unknown) => error))).toBe("ALREADY_EXISTS");
  expect(await container.object(first).fetch("f", "a")).toBeUndefined();
});

test("what was committed is there after kill -9, large values and all", async () => {
  const large = new Uint8Array(300_000).fill(7);
  await container.runTransaction(async (transaction) => {
    for (const account of accounts) await transaction.object(account).update("large", "a", large);
    await transaction.object(accounts[0]!).punchAkey("d", "note");
  });
  await rig.kill();
  await rig.startAgain();
  container = await rig.system.pool("tank").openContainer("bank");
  for (const account of accounts) {
    const found = await container.object(account).fetch("large", "a");
    expect(Buffer.compare(found!.value, large)).toBe(0);
  }
  expect(await total()).toBe(400);
}, 60_000);

test("an object of a class that the pool cannot hold is refused", () => {
  const coded = objectId("MULTI_HASHED", objectClassByName("EC_2P1G1"), 0, 1n);
  expect(() => container.transaction().object(coded)).toThrow("EC_2P1G1");
});
