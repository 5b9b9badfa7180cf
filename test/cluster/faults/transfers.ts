/**
 * Transfers between accounts of a key-value container, each a transaction: the sum stays whatever happens, and what an
 * acknowledged transfer has left is never seen older again. An account holds its balance and how often it was written.
 */
import { DaosError } from "../../../src/base/errors.ts";
import { type ObjectClass, objectClassByName } from "../../../src/base/object-class.ts";
import { objectId, type ObjectId } from "../../../src/base/object-id.ts";
import type { Container, Transaction } from "../../../src/library.ts";
import { delay } from "./shell.ts";

const ACCOUNTS = 40;
const START_BALANCE = 1_000;
/** In one dkey each, over objects of two kinds. */
const CLASSES = ["RP_3GX", "EC_2P1GX"].map((name): ObjectClass => objectClassByName(name));
const SUM_EVERY = 10;
const FAILURE_PAUSE_MS = 200;

interface Account {
  readonly balance: number;
  readonly writes: number;
}

export interface TransferOptions {
  readonly tellers: number;
  readonly pauseMs: number;
  readonly mayFail: (error: unknown) => boolean;
}

export class Transfers {
  committed = 0;
  conflicts = 0;
  sums = 0;
  /** Of those since it was set last: how long it took, with how often it was tried and how long the last reads took. */
  longest = { ms: 0, slot: "" };
  readonly failures = new Map<string, number>();
  /** Writes that each account had after the last acknowledged transfer: it never has fewer again. */
  readonly #floors = Array<number>(ACCOUNTS).fill(0);
  readonly #draw: (below: number) => number;

  constructor(draw: (below: number) => number) {
    this.#draw = draw;
  }

  async prepare(container: Container): Promise<void> {
    for (let first = 0; first < ACCOUNTS; first += 10) {
      await container.runTransaction(async (transaction) => {
        for (let index = first; index < first + 10; index += 1) {
          await put(transaction, index, { balance: START_BALANCE, writes: 0 });
        }
      });
    }
  }

  async run(containers: readonly Container[], stopped: () => boolean, options: TransferOptions): Promise<void> {
    let failed = false;
    const tellers = Array.from({ length: options.tellers }, async (_value, teller) => {
      const container = containers[teller % containers.length]!;
      for (let count = 1; !stopped() && !failed; count += 1) {
        await delay(options.pauseMs);
        try {
          if (count % SUM_EVERY === 0) await this.verify(container);
          else await this.#transfer(container);
        } catch (error) {
          if (error instanceof DaosError && error.code === "CONFLICT") this.conflicts += 1;
          else await this.#bear(error, options);
        }
      }
    });
    const guarded = tellers.map((work) =>
      work.catch((error: unknown) => {
        failed = true;
        throw error;
      }),
    );
    const failure = (await Promise.allSettled(guarded)).find(({ status }) => status === "rejected");
    if (failure?.status === "rejected") throw failure.reason;
  }

  /** Reads all accounts in one transaction. Rejects when their sum is not what it was, or one is older than it may be. */
  async verify(container: Container): Promise<void> {
    const floors = [...this.#floors];
    const accounts = await container.runTransaction((transaction) =>
      Promise.all(floors.map((_floor, index) => get(transaction, index))),
    );
    const sum = accounts.reduce((total, { balance }) => total + balance, 0);
    if (sum !== ACCOUNTS * START_BALANCE) throw new Error(`accounts hold ${sum}, not ${ACCOUNTS * START_BALANCE}`);
    for (const [index, { writes }] of accounts.entries()) this.#check(index, writes, floors[index]!);
    this.sums += 1;
  }

  async #transfer(container: Container): Promise<void> {
    const from = this.#draw(ACCOUNTS);
    const to = (from + 1 + this.#draw(ACCOUNTS - 1)) % ACCOUNTS;
    const amount = 1 + this.#draw(9);
    const floors = [this.#floors[from]!, this.#floors[to]!] as const;
    const startedMs = performance.now();
    let attempts = 0;
    let readMs = 0;
    const written = await container.runTransaction(async (transaction) => {
      attempts += 1;
      const beganMs = performance.now();
      const [payer, payee] = await Promise.all([get(transaction, from), get(transaction, to)]);
      readMs = performance.now() - beganMs;
      await put(transaction, from, { balance: payer.balance - amount, writes: payer.writes + 1 });
      await put(transaction, to, { balance: payee.balance + amount, writes: payee.writes + 1 });
      return [payer.writes + 1, payee.writes + 1] as const;
    });
    const ms = performance.now() - startedMs;
    if (ms > this.longest.ms) {
      const slot = `${from} to ${to}, attempt ${attempts}, its reads ${Math.round(readMs)} ms`;
      this.longest = { ms, slot };
    }
    // What it had read, at an epoch at which it is known to have been current.
    this.#check(from, written[0] - 1, floors[0]);
    this.#check(to, written[1] - 1, floors[1]);
    this.#floors[from] = Math.max(this.#floors[from]!, written[0]);
    this.#floors[to] = Math.max(this.#floors[to]!, written[1]);
    this.committed += 1;
  }

  #check(index: number, writes: number, floor: number): void {
    if (writes < floor) throw new Error(`account ${index} was written ${floor} times, and shows write ${writes}`);
  }

  async #bear(error: unknown, { mayFail }: TransferOptions): Promise<void> {
    if (!mayFail(error)) throw error;
    const code = (error as { code?: string }).code ?? "unknown";
    this.failures.set(code, (this.failures.get(code) ?? 0) + 1);
    await delay(FAILURE_PAUSE_MS);
  }
}

function placeOf(index: number): { id: ObjectId; dkey: string } {
  return { id: objectId("MULTI_LEXICAL", CLASSES[index % CLASSES.length]!, 9, 0n), dkey: `account ${index}` };
}

async function get(transaction: Transaction, index: number): Promise<Account> {
  const { id, dkey } = placeOf(index);
  const found = await transaction.object(id).fetch(dkey, "account");
  if (found === undefined) throw new Error(`account ${index} is not there`);
  return JSON.parse(Buffer.from(found.value).toString()) as Account;
}

async function put(transaction: Transaction, index: number, account: Account): Promise<void> {
  const { id, dkey } = placeOf(index);
  await transaction.object(id).update(dkey, "account", Buffer.from(JSON.stringify(account)));
}
