/**
 * Clients of a simulated cluster that run transactions over a few dkeys of plain, replicated and, in some, erasure-coded
 * objects, and single operations on the same between them.
 */
import { byteStringOfText } from "../../../src/base/bytes.ts";
import { EPOCH_NONE } from "../../../src/base/epoch.ts";
import { DaosError, hasCode } from "../../../src/base/errors.ts";
import { objectClassByName } from "../../../src/base/object-class.ts";
import { objectId } from "../../../src/base/object-id.ts";
import type { RpcLink } from "../../../src/client/rpc-link.ts";
import { ObjectOperations } from "../../../src/client/object-operations.ts";
import type { ObjectCall } from "../../../src/client/object-call.ts";
import type { Transaction } from "../../../src/client/transaction.ts";
import { isConflict } from "../../../src/client/conflict-retry.ts";
import { Transactions } from "../../../src/client/transactions.ts";
import { Opcode } from "../../../src/format/operations.ts";
import { decodeTransactionStep } from "../../../src/format/transaction-part.ts";
import { akeyOfValue, type ClientParts, type ClusterClient, type Subject } from "./client.ts";
import { CODED_RECORD_BYTES, idOfValue, idsOfRecords, RECORD_BYTES, recordsOf, valueOf } from "./content.ts";
import { RECORD_COUNT as CODED_RECORD_COUNT } from "./history.ts";
import type { ClusterNode } from "./node.ts";
import { type KnownTransaction, type SnapshotRead, TransactionHistory } from "./transaction-history.ts";
import { payloadBytes } from "../../fixtures/payload-bytes.ts";

const CLIENT_COUNT = 3;
const RECORD_COUNT = 4;
const ARRAY = "array";
/** Of transactions whose client ends in the middle: they hold up others for a while. */
const END_PROBABILITY = 0.02;
/** Of transactions that punch an object. */
const PUNCH_PROBABILITY = 0.05;

export interface TransactionCounts {
  committed: number;
  conflicts: number;
  unknown: number;
  reads: number;
}

/** A single value, or the records of an array. */
interface Account {
  readonly name: string;
  readonly oid: ReturnType<typeof objectId>;
  readonly dkey: string;
  readonly akey: string;
  /** Of an array. */
  readonly recordCount: number;
  readonly recordBytes: number;
}

const COPIED_CLASSES = ["RP_2G1", "RP_3GX", "S1", "S2"];
const CODED_CLASSES = ["RP_2G1", "S1", "EC_2P1G1", "EC_2P1GX"];

function accountsOf(isCoded: boolean): readonly Account[] {
  return (isCoded ? CODED_CLASSES : COPIED_CLASSES).flatMap((name, user) => {
    const oid = objectId("MULTI_HASHED", objectClassByName(name), 77, BigInt(user + 1));
    const isCoded = name.startsWith("EC");
    const recordCount = isCoded ? CODED_RECORD_COUNT : RECORD_COUNT;
    const recordBytes = isCoded ? CODED_RECORD_BYTES : RECORD_BYTES;
    return [`dkey 0`, `dkey 1`].flatMap((dkey) =>
      [akeyOfValue(0), akeyOfValue(1), ARRAY].map((akey) => ({
        name: `${name} ${dkey} ${akey}`,
        oid,
        dkey,
        akey,
        recordCount,
        recordBytes,
      })),
    );
  });
}

/** Their erasure-coded dkeys, for checks of what snapshots and shards show. */
function codedSubjects(accounts: readonly Account[]): readonly Subject[] {
  const arrays = accounts.filter(({ name, akey }) => name.startsWith("EC") && akey === ARRAY);
  return arrays.map(({ name, oid, dkey, recordBytes }) => ({
    name,
    oid,
    dkey: byteStringOfText(dkey),
    recordBytes,
    history: [],
    past: new Map(),
    snapshots: new Map(),
  }));
}

interface Worker {
  readonly client: ClusterClient;
  readonly parts: ClientParts;
  readonly transactions: Transactions;
  readonly operations: ObjectOperations;
}

export class TransactionWork {
  readonly counts: TransactionCounts = { committed: 0, conflicts: 0, unknown: 0, reads: 0 };
  readonly #workers: Worker[] = [];
  /** Steps that each client takes before it ends, until its next transaction. */
  readonly #stepsLeft: number[] = [];
  readonly #history = new TransactionHistory();
  /** What commits asked for, by the id of the transaction. */
  readonly #commits = new Map<string, number>();

  readonly #accounts: readonly Account[];
  /** Of its dkeys those that are erasure-coded. */
  readonly coded: readonly Subject[];

  /** `isCoded`: erasure-coded objects are among the others. */
  constructor(
    isCoded: boolean,
    join: (number: number, spy: (link: RpcLink) => RpcLink) => Pick<Worker, "client" | "parts">,
  ) {
    this.#accounts = accountsOf(isCoded);
    this.coded = codedSubjects(this.#accounts);
    for (let number = 0; number < CLIENT_COUNT; number += 1) {
      const { client, parts } = join(number, (link) => this.#spied(link, number));
      const transactions = new Transactions(client.session);
      const operations = new ObjectOperations(client.session, EPOCH_NONE);
      this.#workers.push({ client, parts, transactions, operations });
    }
  }

  /**
   * The link, which tells at which epoch a commit is asked for: who asks may never hear whether it happened. After so many
   * steps a client takes no more: it has ended in the middle, as far as the targets can tell.
   */
  #spied(link: RpcLink, number: number): RpcLink {
    return {
      get isClosed() {
        return link.isClosed;
      },
      call: (...call) => link.call(...call),
      abandon: (completion) => link.abandon(completion),
      close: () => link.close(),
      start: (opcode, length, encoder, payload, options, completion) => {
        if (opcode === Opcode.transactionStep && payload !== undefined) {
          const step = decodeTransactionStep(payloadBytes(payload));
          const { client, epoch } = encoder as ObjectCall<unknown>;
          const left = this.#stepsLeft[number]!;
          this.#stepsLeft[number] = left - 1;
          if (left <= 0) {
            const gone = new DaosError("CANCELED", "Cannot go on: the client has ended.");
            this.#workers[number]!.parts.timers.soon(() => completion.failed(gone, false));
            return;
          }
          if (step.kind === "commit") this.#commits.set(`${client}/${step.decision.id.sequence}`, epoch);
        }
        link.start(opcode, length, encoder, payload, options, completion);
      },
    };
  }

  async work(isOver: () => boolean): Promise<void> {
    await Promise.all(this.#workers.map((worker) => this.#workAs(worker, isOver)));
  }

  async #workAs(worker: Worker, isOver: () => boolean): Promise<void> {
    const { random, timers } = worker.parts;
    while (!isOver()) {
      const draw = random.next();
      if (draw < 0.2) await this.#fetch(worker);
      else if (draw < 0.3) await this.#update(worker);
      else if (draw < 0.35 && this.coded.length > 0) {
        await worker.client.readSnapshot(this.coded[random.below(this.coded.length)]!);
      } else if (draw < 0.4) await this.#punchObject(worker);
      else await this.#transact(worker);
      await timers.advance(random.next() < 0.7 ? random.next() * 5 : random.next() * 150);
    }
  }

  #account(worker: Worker): Account {
    return this.#accounts[worker.parts.random.below(this.#accounts.length)]!;
  }

  async #fetch(worker: Worker): Promise<void> {
    const account = this.#account(worker);
    const { name: key, oid, dkey, akey } = account;
    if (akey === ARRAY) return this.#readArray(worker, account);
    const startNs = worker.parts.clock.monotonicNs();
    try {
      const found = await worker.operations.fetchValue(oid, byteStringOfText(dkey), byteStringOfText(akey));
      const id = idOfValue(found?.value);
      worker.parts.log(`${worker.client.name} fetches ${key}: ${id} of ${found?.epoch}`);
      if (found !== undefined) this.#history.noteVersion(key, found.epoch, id);
      this.#history.latestReads.push({ key, epoch: found?.epoch ?? 0, id, startNs });
    } catch (error) {
      if (!(error instanceof DaosError)) throw error;
    }
  }

  async #update(worker: Worker): Promise<void> {
    const account = this.#account(worker);
    const { name: key, oid, dkey, akey } = account;
    if (akey === ARRAY) return this.#writeArray(worker, account);
    const id = worker.parts.nextId();
    const { operations } = worker;
    try {
      const epoch = await operations.updateValue(oid, byteStringOfText(dkey), byteStringOfText(akey), valueOf(id));
      worker.parts.log(`${worker.client.name} updates ${key}: ${id} of ${epoch}`);
      this.#history.noteVersion(key, epoch, id, worker.parts.clock.monotonicNs());
    } catch (error) {
      if (!(error instanceof DaosError)) throw error;
      worker.parts.log(`${worker.client.name} updates ${key}: ${id} ${error.code} ${error.message}`);
    }
  }

  async #readArray({ client, parts, operations }: Worker, account: Account): Promise<void> {
    const { oid, dkey, akey, recordCount, recordBytes } = account;
    const keys = keysOf(account, 0, recordCount);
    const startNs = parts.clock.monotonicNs();
    const range = { recordIndex: 0, recordCount, recordBytes };
    try {
      const bytes = await operations.readRecords(oid, byteStringOfText(dkey), byteStringOfText(akey), range);
      const ids = idsOfRecords(bytes, recordCount, recordBytes);
      parts.log(`${client.name} reads ${account.name}: ${ids.join(" ")}`);
      this.#history.arrayReads.push({ keys, ids, startNs });
    } catch (error) {
      if (!(error instanceof DaosError)) throw error;
    }
  }

  async #writeArray({ client, parts, operations }: Worker, account: Account): Promise<void> {
    const { oid, recordBytes } = account;
    const { random, nextId, clock, log } = parts;
    const id = random.next() < 0.3 ? 0 : nextId();
    const { from, count } = this.#range(account, random);
    const range = { recordIndex: from, recordCount: count, recordBytes };
    const [dkey, akey] = [byteStringOfText(account.dkey), byteStringOfText(account.akey)];
    const keys = keysOf(account, from, count);
    try {
      const epoch =
        id === 0
          ? await operations.punchRecords(oid, dkey, akey, range)
          : await operations.writeRecords(oid, dkey, akey, range, recordsOf(id, count, recordBytes));
      log(`${client.name} writes ${keys.join(", ")}: ${id} of ${epoch}`);
      for (const key of keys) this.#history.noteVersion(key, epoch, id, clock.monotonicNs());
    } catch (error) {
      if (!(error instanceof DaosError)) throw error;
      log(`${client.name} writes ${keys.join(", ")}: ${id} ${error.code} ${error.message}`);
      for (const key of keys) this.#history.notePossible(key, id);
    }
  }

  #range({ recordCount }: Account, random: Worker["parts"]["random"]): { from: number; count: number } {
    const from = random.below(recordCount);
    return { from, count: 1 + random.below(recordCount - from) };
  }

  /** A transaction of a few random reads and writes. Whether it was committed. */
  async #transact(worker: Worker, mayEnd = true): Promise<boolean> {
    const { random } = worker.parts;
    const reads: SnapshotRead[] = [];
    const writes = new Map<string, number>();
    const transaction = worker.transactions.begin();
    const wanted = new Set(Array.from({ length: 1 + random.below(5) }, () => this.#account(worker)));
    const punched = random.next() < PUNCH_PROBABILITY ? this.#account(worker).oid : undefined;
    const known = await this.#commit(worker, writes, reads, mayEnd, async () => {
      for (const account of wanted) {
        if (random.next() < 0.7) reads.push(...(await this.#read(transaction, account)));
        if (random.next() < 0.6) await this.#write(worker, transaction, account, writes);
      }
      if (punched !== undefined) {
        await transaction.object(punched).punch();
        for (const key of this.#keysOf(punched)) writes.set(key, 0);
      }
      return transaction.commit();
    });
    transaction.abort();
    const at = transaction.snapshot ?? 0;
    const seen = reads.map((read) => ({ ...read, at }));
    this.#history.snapshotReads.push(...seen);
    this.counts.reads += seen.length;
    return known.isCommitted;
  }

  /** An object punched by itself: of those on one target it is no transaction. */
  async #punchObject(worker: Worker): Promise<void> {
    const { name, oid } = this.#account(worker);
    const writes = new Map(this.#keysOf(oid).map((key) => [key, 0]));
    const known = await this.#commit(worker, writes, [], true, () => worker.operations.punchObject(oid));
    const isOne = name.startsWith("S1");
    if (isOne && !known.isCommitted) for (const key of writes.keys()) this.#history.notePossible(key, 0);
  }

  /** Every value and record of an object. */
  #keysOf(oid: Account["oid"]): string[] {
    return this.#accounts
      .filter((account) => account.oid === oid)
      .flatMap((account) => (account.akey === ARRAY ? keysOf(account, 0, account.recordCount) : [account.name]));
  }

  /** Has `run` commit what is to make of keys what `writes` say, and notes what became of it. */
  async #commit(
    worker: Worker,
    writes: ReadonlyMap<string, number>,
    reads: SnapshotRead[],
    mayEnd: boolean,
    run: () => Promise<number>,
  ): Promise<KnownTransaction> {
    const { random, nextId } = worker.parts;
    const first = worker.client.session.numbers;
    const known: KnownTransaction = {
      name: `${worker.client.name} ${nextId()}`,
      epoch: undefined,
      isCommitted: false,
      writes,
      reads,
      endNs: Number.POSITIVE_INFINITY,
    };
    const mark = this.#commits.size;
    const endsInside = mayEnd && random.next() < END_PROBABILITY;
    this.#stepsLeft[this.#workers.indexOf(worker)] = endsInside ? random.below(8) : Number.POSITIVE_INFINITY;
    let error: DaosError | undefined;
    try {
      const epoch = await run();
      known.isCommitted = true;
      known.epoch = epoch === EPOCH_NONE ? undefined : epoch;
      known.endNs = worker.parts.clock.monotonicNs();
      this.counts.committed += 1;
    } catch (caught) {
      if (!(caught instanceof DaosError)) throw caught;
      error = caught;
      if (isConflict(error)) this.counts.conflicts += 1;
      else this.counts.unknown += 1;
    }
    // The client runs one transaction at a time: what it asked for last is this one's.
    const asked = [...this.#commits].slice(mark).filter(([id]) => id.startsWith(`${first.client}/`));
    const attempt = asked.at(-1)?.[1];
    if (!known.isCommitted && attempt !== undefined && (error === undefined || !isConflict(error)))
      known.epoch = attempt;
    this.#history.transactions.push(known);
    const outcome = error === undefined ? `at ${known.epoch}` : `${error.code}: ${error.message}, asked ${attempt}`;
    worker.parts.log(
      `${known.name} reads ${JSON.stringify(reads.map(({ key, id, epoch }) => [key, id, epoch]))}, writes ${JSON.stringify([...writes])}: ${outcome}`,
    );
    return known;
  }

  async #read(transaction: Transaction, account: Account): Promise<SnapshotRead[]> {
    const { name, oid, dkey, akey, recordCount, recordBytes } = account;
    const object = transaction.object(oid);
    if (akey !== ARRAY) {
      const found = await object.fetch(dkey, akey);
      const id = idOfValue(found?.value);
      if (found !== undefined) this.#history.noteVersion(name, found.epoch, id);
      return [{ key: name, epoch: found?.epoch, id, at: 0 }];
    }
    const range = { recordIndex: 0, recordCount, recordBytes };
    const ids = idsOfRecords(await object.readArray(dkey, akey, range), recordCount, recordBytes);
    const keys = keysOf(account, 0, recordCount);
    return ids.map((id, record) => ({ key: keys[record]!, epoch: undefined, id, at: 0 }));
  }

  async #write(worker: Worker, transaction: Transaction, account: Account, writes: Map<string, number>): Promise<void> {
    const { name, oid, dkey, akey, recordBytes } = account;
    const { random, nextId } = worker.parts;
    const object = transaction.object(oid);
    const id = random.next() < 0.1 ? 0 : nextId();
    if (akey !== ARRAY) {
      if (id === 0) await object.punchAkey(dkey, akey);
      else await object.update(dkey, akey, valueOf(id));
      writes.set(name, id);
      return;
    }
    const { from, count } = this.#range(account, random);
    const at = { recordIndex: from, recordBytes };
    if (id === 0) await object.punchArray(dkey, akey, { ...at, recordCount: count });
    else await object.writeArray(dkey, akey, at, recordsOf(id, count, recordBytes));
    for (const key of keysOf(account, from, count)) writes.set(key, id);
  }

  /** Each client can commit, and nothing is left of any transaction. */
  async checkLiveness(nodes: readonly ClusterNode[]): Promise<void> {
    await this.#untilResolved(nodes);
    for (const worker of this.#workers) {
      for (let committed = 0; committed < 3;) if (await this.#transact(worker, false)) committed += 1;
      await worker.transactions.settled();
      for (const account of this.#accounts) await this.#readAtLast(worker, account);
    }
    await this.#untilResolved(nodes);
  }

  async #readAtLast(worker: Worker, account: Account): Promise<void> {
    try {
      await worker.transactions.run(async (transaction) => {
        const reads = await this.#read(transaction, account);
        this.#history.snapshotReads.push(...reads.map((read) => ({ ...read, at: transaction.snapshot ?? 0 })));
      });
    } catch (error) {
      // The medium may have let the only copy rot.
      if (!hasCode(error, "CORRUPT") || !account.name.startsWith("S")) throw error;
    }
  }

  async #untilResolved(nodes: readonly ClusterNode[]): Promise<void> {
    const { timers } = this.#workers[0]!.parts;
    while (nodes.some(({ life }) => (life?.objects.locks.size ?? 0) > 0)) await timers.advance(100);
  }

  /** Throws what cannot be. */
  check(): TransactionCounts {
    this.#history.check();
    return this.counts;
  }
}

/** Names of the records [from, from + count) of an array. */
function keysOf({ name }: Account, from: number, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${name} ${from + index}`);
}
