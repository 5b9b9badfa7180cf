/**
 * Commits what a transaction has read and is to write: each dkey is prepared at its leader, the one that is
 * protected best first, the others then at once; when all are, the first one commits, at the latest epoch of all. From then on it has happened, and
 * the others are told. If the client ends in the middle, or cannot reach somebody, the targets do the rest by themselves.
 */
import type { DkeyPlace } from "../base/key-place.ts";
import type { ByteString } from "../base/bytes.ts";
import type { DtxId } from "../base/dtx-id.ts";
import { type Epoch, EPOCH_NONE } from "../base/epoch.ts";
import { DaosError, type ErrorCode, hasCode } from "../base/errors.ts";
import { MAX_TRANSACTION_BYTES, MAX_TRANSACTION_PARTS } from "../base/limits.ts";
import { objectClassOf } from "../base/object-id.ts";
import { TransactionConflict } from "../base/transaction-conflict.ts";
import { decodeObjectReply } from "../format/object-request.ts";
import { Opcode } from "../format/operations.ts";
import { summed } from "../rpc/pending-call.ts";
import {
  encodeTransactionDecision,
  encodeTransactionStep,
  type PartRead,
  type PartWrite,
  type TransactionStep,
} from "../format/transaction-part.ts";
import type { ContainerSession } from "./container-session.ts";
import { type AnswerDecoder, ObjectCall } from "./object-call.ts";

const NO_KEY = "" as ByteString;

/** Answers to a commit after which it did not happen, and will not. */
const NOT_COMMITTED: ReadonlySet<ErrorCode> = new Set([
  "CONFLICT",
  "NO_SPACE",
  "TOO_LARGE",
  "INVALID_ARGUMENT",
  "UNSUPPORTED",
  "PERMISSION",
]);

/** A dkey of a transaction. */
export interface CommitPart extends DkeyPlace {
  readonly reads: readonly PartRead[];
  readonly writes: readonly PartWrite[];
  /** See TransactionPart. */
  readonly punchesUnder?: number | undefined;
  /** What it does takes steps of its own, after the decision: it is taken elsewhere. */
  readonly isSwept?: boolean | undefined;
}

interface NumberedPart extends CommitPart {
  readonly prepareSequence: number;
  readonly resolveSequence: number;
}

const decodeEpoch: AnswerDecoder<Epoch> = (body) =>
  decodeObjectReply(body.bytes, body.argumentsStart, body.argumentsLength).epoch;

export class TransactionCommit {
  readonly #session: ContainerSession;
  readonly #snapshot: Epoch;
  readonly #parts: readonly NumberedPart[];
  readonly #id: DtxId;
  readonly #commitSequence: number;
  readonly #forgetSequence: number;
  readonly #signal: AbortSignal | undefined;
  /** Those that may have been prepared. */
  readonly #begun: NumberedPart[] = [];
  /** Settles when nothing is left to be told, or the targets are left to do it. */
  settled: Promise<void> = Promise.resolve();

  /** Throws TOO_LARGE. */
  constructor(session: ContainerSession, snapshot: Epoch, parts: readonly CommitPart[], signal?: AbortSignal) {
    checkSize(parts);
    this.#session = session;
    this.#snapshot = snapshot;
    this.#signal = signal;
    const { numbers } = session;
    // Decided where most failures are borne. All clients in the same order: those that meet do so at their first common dkey.
    this.#parts = parts.toSorted(compareParts).map((part) => ({
      ...part,
      prepareSequence: numbers.begin(),
      resolveSequence: numbers.begin(),
    }));
    this.#commitSequence = numbers.begin();
    this.#forgetSequence = numbers.begin();
    this.#id = { client: numbers.client, sequence: this.#parts[0]!.prepareSequence };
  }

  /** The epoch of the transaction. Rejects with CONFLICT when it did not happen, for others were in its way. */
  async run(): Promise<Epoch> {
    const epochs: Epoch[] = [];
    const [primary, ...others] = this.#parts as readonly [NumberedPart, ...NumberedPart[]];
    try {
      epochs.push(await this.#prepare(primary, undefined));
      const outcomes = await Promise.allSettled(others.map((part) => this.#prepare(part, primary)));
      const failures = outcomes.flatMap((outcome) =>
        outcome.status === "rejected" ? [outcome.reason as unknown] : [],
      );
      if (failures.length > 0) throw failures.find((failure) => !hasCode(failure, "CONFLICT")) ?? failures[0];
      for (const outcome of outcomes) if (outcome.status === "fulfilled") epochs.push(outcome.value);
    } catch (error) {
      this.#end(this.#commitSequence, this.#forgetSequence);
      const others = this.#parts.filter((part) => !this.#begun.includes(part));
      this.#end(...others.flatMap(({ prepareSequence, resolveSequence }) => [prepareSequence, resolveSequence]));
      this.settled = this.#undo();
      throw conflictOf(error);
    }
    return await this.#commit(
      primary,
      others,
      epochs.reduce((latest, epoch) => (epoch > latest ? epoch : latest)),
    );
  }

  #prepare(part: NumberedPart, primary: NumberedPart | undefined): Promise<Epoch> {
    const { reads, writes, resolveSequence, punchesUnder } = part;
    this.#begun.push(part);
    const place = primary === undefined ? undefined : { oid: primary.oid, dkey: primary.dkey };
    const endBytes = primary === undefined ? this.#decisionBytes() : undefined;
    const header = { id: this.#id, primary: place, resolveSequence, punchesUnder, endBytes };
    const step = { kind: "prepare", part: header, reads, writes } as const;
    return this.#send(part, part.prepareSequence, this.#snapshot, step, this.#signal);
  }

  /** What the decision takes where it is kept. */
  #decisionBytes(): number {
    const epoch = Number.MAX_SAFE_INTEGER as Epoch;
    const participants = this.#parts.slice(1);
    return encodeTransactionDecision({ id: this.#id, epoch, forgetSequence: this.#forgetSequence, participants })
      .length;
  }

  async #commit(primary: NumberedPart, others: readonly NumberedPart[], epoch: Epoch): Promise<Epoch> {
    const participants = others.map(({ oid, dkey }) => ({ oid, dkey }));
    const decision = { id: this.#id, epoch, forgetSequence: this.#forgetSequence, participants };
    try {
      await this.#send(primary, this.#commitSequence, epoch, { kind: "commit", decision }, undefined);
    } catch (error) {
      this.#end(this.#forgetSequence);
      if (error instanceof DaosError && NOT_COMMITTED.has(error.code)) this.settled = this.#undo();
      else this.#end(...this.#parts.map(({ resolveSequence }) => resolveSequence));
      throw conflictOf(error);
    }
    this.#end(primary.resolveSequence);
    this.settled = this.#tell(primary, others, epoch);
    return epoch;
  }

  /** Tells the others of the commit, and the first one that it need not be remembered. What fails is left to the targets. */
  async #tell(primary: NumberedPart, others: readonly NumberedPart[], epoch: Epoch): Promise<void> {
    const told = await Promise.allSettled(others.map((part) => this.#resolve(part, epoch)));
    const isKept = others.length > 0 && told.every(({ status }) => status === "fulfilled");
    if (!isKept) this.#end(this.#forgetSequence);
    else {
      const forget = this.#send(primary, this.#forgetSequence, EPOCH_NONE, { kind: "forget", id: this.#id }, undefined);
      await forget.catch(mustBeOurs);
    }
  }

  async #undo(): Promise<void> {
    await Promise.allSettled(this.#begun.map((part) => this.#resolve(part, EPOCH_NONE)));
  }

  #resolve(part: NumberedPart, epoch: Epoch): Promise<Epoch> {
    return this.#send(part, part.resolveSequence, epoch, { kind: "resolve", id: this.#id }, undefined);
  }

  #end(...sequences: number[]): void {
    for (const sequence of sequences) this.#session.numbers.end(sequence);
  }

  #send(
    { oid, dkey }: DkeyPlace,
    sequence: number,
    epoch: Epoch,
    step: TransactionStep,
    signal: AbortSignal | undefined,
  ): Promise<Epoch> {
    const { numbers } = this.#session;
    const call = new ObjectCall(Opcode.transactionStep, oid, dkey, NO_KEY, decodeEpoch);
    call.numbers = numbers;
    call.client = numbers.client;
    call.sequence = sequence;
    call.epoch = epoch;
    call.payload = summed(encodeTransactionStep(step));
    call.signal = signal;
    return this.#session.send(call);
  }
}

function compareParts(left: CommitPart, right: CommitPart): number {
  const [isLeftSwept, isRightSwept] = [left.isSwept === true, right.isSwept === true];
  if (isLeftSwept !== isRightSwept) return isLeftSwept ? 1 : -1;
  const borne = toleratedFailures(right) - toleratedFailures(left);
  if (borne !== 0) return borne;
  if (left.oid !== right.oid) return left.oid < right.oid ? -1 : 1;
  if (left.dkey === right.dkey) return 0;
  return left.dkey < right.dkey ? -1 : 1;
}

function toleratedFailures({ oid }: DkeyPlace): number {
  return objectClassOf(oid).redundancy.toleratedFailures;
}

function checkSize(parts: readonly CommitPart[]): void {
  if (parts.length > MAX_TRANSACTION_PARTS) {
    throw tooLarge(`${parts.length} dkeys and leaders of punched objects`, `${MAX_TRANSACTION_PARTS}`);
  }
  let bytes = 0;
  for (const { dkey, writes } of parts) {
    bytes += dkey.length;
    for (const write of writes) bytes += "value" in write ? write.akey.length + write.value.length : 0;
  }
  if (bytes > MAX_TRANSACTION_BYTES) throw tooLarge(`${bytes} bytes to write`, `${MAX_TRANSACTION_BYTES}`);
}

function tooLarge(what: string, limit: string): DaosError {
  return new DaosError(
    "TOO_LARGE",
    `Cannot commit the transaction: it has ${what}, ${limit} are allowed. Use several.`,
  );
}

/** The wire carries the code of a conflict alone. */
function conflictOf(error: unknown): unknown {
  if (!hasCode(error, "CONFLICT") || error instanceof TransactionConflict) return error;
  return new TransactionConflict("others were in its way", { cause: error });
}

function mustBeOurs(error: unknown): void {
  if (!(error instanceof DaosError)) throw error;
}
