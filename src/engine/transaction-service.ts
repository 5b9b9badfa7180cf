/**
 * Transactions on the data path of one target: who would read or write what a transaction holds waits here until that is
 * resolved; and what other targets ask about transactions is answered. What nobody resolves, transaction-resolver.ts does.
 */
import { type Epoch, EPOCH_NONE } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { type ObjectId, objectIdFromBytes } from "../base/object-id.ts";
import { byteString, type ByteString } from "../base/bytes.ts";
import type { Clock, Timers } from "../contracts/world.ts";
import type { Replication } from "../dtx/replication.ts";
import { decodeCbor } from "../format/cbor.ts";
import { decodeObjectRequest, ObjectFlag } from "../format/object-request.ts";
import { checkArguments } from "../format/operation-arguments.ts";
import { Opcode } from "../format/operations.ts";
import { decodeStateQueries, encodeStates, type StateQuery } from "../format/transaction-part.ts";
import type { RpcReply, RpcRequest } from "../rpc/request.ts";
import type { CellStore } from "../store/cell.ts";
import { isUndecided, joinSequences } from "../store/stability.ts";
import { containerPrefix, dkeyPrefix } from "../vos/cell-key.ts";
import type { VersionedObjects } from "../vos/versioned-objects.ts";
import type { Attachment } from "./attachments.ts";
import { TransactionResolver } from "./transaction-resolver.ts";
import type { UpdateService } from "./update-service.ts";

/** How long a request waits for a transaction before its sender is to try again, milliseconds. */
const WAIT_MS = 1_000;
const NO_ARGUMENTS = new Uint8Array(0);
/** Of a dkey, at an epoch: a shard that did not wait would show what others show no more, or not yet. */
const READS: ReadonlySet<number> = new Set([
  Opcode.valueFetch,
  Opcode.arrayRead,
  Opcode.shardValueFetch,
  Opcode.shardArrayRead,
]);

export interface TransactionServiceParts {
  readonly store: CellStore;
  readonly objects: VersionedObjects;
  readonly replication: Replication;
  readonly updates: UpdateService;
  readonly timers: Timers;
  readonly clock: Clock;
  /** The container of a handle. Throws STALE. */
  readonly attached: (request: RpcRequest, handle: number) => Attachment;
}

/** What a request is about: a container, an object of it, or a dkey of that; EPOCH_NONE: now. */
interface Subject {
  readonly handle: number;
  readonly oid?: ObjectId;
  readonly dkey?: ByteString | undefined;
  readonly epoch: Epoch;
}

export class TransactionService {
  readonly #parts: TransactionServiceParts;
  readonly #resolver: TransactionResolver;

  constructor(parts: TransactionServiceParts) {
    this.#parts = parts;
    this.#resolver = new TransactionResolver({ ...parts, states: (queries) => this.#states(queries) });
  }

  stop(): void {
    this.#resolver.stop();
  }

  /**
   * Undefined when no transaction is in the way of the request; else settles when it is to be looked at again, or rejects
   * with UNAVAILABLE. The request is retained then.
   */
  gate(request: RpcRequest): Promise<void> | undefined {
    const { locks } = this.#parts.objects;
    if (locks.isEmpty) return undefined;
    const subject = subjectOf(request);
    if (subject === undefined) return undefined;
    const { container } = this.#parts.attached(request, subject.handle);
    const { oid, dkey, epoch } = subject;
    const object = containerPrefix(container) + (oid ?? "");
    const prefix = dkey === undefined ? object : dkeyPrefix(object, dkey);
    if (locks.blocking(prefix, epoch) === undefined) return undefined;
    request.retain();
    return this.#wait(prefix, epoch);
  }

  async #wait(prefix: string, epoch: Epoch): Promise<void> {
    const { timers, objects } = this.#parts;
    let isLate = false;
    let cancel = (): void => {};
    const late = new Promise<void>((resolve) => {
      cancel = timers.after(WAIT_MS, () => {
        isLate = true;
        resolve();
      });
    });
    this.#resolver.hurry();
    while (objects.locks.blocking(prefix, epoch) !== undefined && !isLate) {
      await Promise.race([objects.locks.changed(), late]);
    }
    cancel();
    if (isLate) throw held();
  }

  /** Serves `transactionState`. */
  serveStates(request: RpcRequest, reply: RpcReply): void {
    this.#states(decodeStateQueries(request.payload)).then(
      (states) => reply.send(NO_ARGUMENTS, encodeStates(states)),
      (error: unknown) => {
        if (!(error instanceof DaosError)) throw error;
        reply.fail(error);
      },
    );
  }

  /** What dkeys that this target leads know of transactions. Rejects with STALE, UNAVAILABLE. */
  async #states(queries: readonly StateQuery[]): Promise<number[]> {
    const { objects, replication, store } = this.#parts;
    let sequence = 0;
    const states = queries.map(({ container, id, oid, dkey }) => {
      const pool = replication.poolOf(container);
      if (pool === undefined || pool.groups.groupOf(oid, dkey).leader !== pool.self) throw notLeader();
      const outcome = objects.transactionState(container, { oid, dkey }, id);
      sequence = joinSequences(sequence, outcome.sequence);
      return outcome.state;
    });
    await new Promise<void>((resolve, reject) => {
      store.whenStable(sequence, (error) => (error === undefined ? resolve() : reject(unsettled(error))));
      if (isUndecided(sequence)) replication.ask();
    });
    return states;
  }
}

/** What transactions may be in the way of; undefined for what none is. Throws as the operation itself does. */
function subjectOf(request: RpcRequest): Subject | undefined {
  const { opcode } = request;
  switch (opcode) {
    case Opcode.valueFetch:
    case Opcode.valueUpdate:
    case Opcode.arrayRead:
    case Opcode.shardValueFetch:
    case Opcode.shardArrayRead:
    case Opcode.arrayWrite:
    case Opcode.arrayPunch:
    case Opcode.objectPunch:
    case Opcode.dkeyPunch:
    case Opcode.akeyPunch: {
      const object = decodeObjectRequest(request.bytes, request.argumentsStart, request.argumentsLength);
      const isOfObject = opcode === Opcode.objectPunch || (object.flags & ObjectFlag.ifObjectExists) !== 0;
      const isRead = READS.has(opcode);
      const { handle, oid, dkey } = object;
      return { handle, oid, dkey: isOfObject ? undefined : dkey, epoch: isRead ? object.epoch : EPOCH_NONE };
    }
    case Opcode.dkeyList:
    case Opcode.akeyList:
    case Opcode.extentList:
    case Opcode.keyQuery: {
      const { handle, oid, dkey, epoch } = checkArguments(opcode, decodeCbor(request.args));
      const isOfDkey = opcode === Opcode.akeyList || opcode === Opcode.extentList;
      const at = isOfDkey && dkey !== undefined ? byteString(dkey) : undefined;
      return { handle, oid: objectIdFromBytes(oid), dkey: at, epoch };
    }
    case Opcode.objectList: {
      const { handle, epoch } = checkArguments(opcode, decodeCbor(request.args));
      return { handle, epoch };
    }
    case Opcode.changeList: {
      const { handle, toEpoch } = checkArguments(opcode, decodeCbor(request.args));
      return { handle, epoch: toEpoch };
    }
    default:
      return undefined;
  }
}

function held(): DaosError {
  return new DaosError("UNAVAILABLE", "Cannot use the dkey: a transaction is committing there. Retry.");
}

function notLeader(): DaosError {
  return new DaosError("STALE", "Cannot tell of the transaction: another target leads its dkey. Retry.");
}

function unsettled(cause: Error): DaosError {
  return new DaosError("UNAVAILABLE", "Cannot tell of the transaction: it is not settled. Retry.", { cause });
}
