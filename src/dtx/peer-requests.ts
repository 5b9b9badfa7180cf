/**
 * What the other targets of a pool ask of one of them, on the connections that they opened: updates to prepare, decisions,
 * folds, what they fill it with, reads of its shards, and what it knows of undecided updates.
 */
import { byteString } from "../base/bytes.ts";
import { EPOCH_NONE } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import { objectIdFromBytes } from "../base/object-id.ts";
import { decodeCbor, encodeCbor } from "../format/cbor.ts";
import { decodeIds, encodeResyncReply } from "../format/dtx-messages.ts";
import { decodeContainers, encodeContainers, encodeFoldedTo } from "../format/folded-to.ts";
import { decodeObjectRequest } from "../format/object-request.ts";
import { checkArguments } from "../format/operation-arguments.ts";
import { Opcode } from "../format/operations.ts";
import { decodePrepareRequest } from "../format/prepare-request.ts";
import { encodeShardReadReply } from "../format/shard-read.ts";
import type { RpcPeer, RpcReply, RpcRequest } from "../rpc/request.ts";
import type { FillStore } from "./fill-store.ts";
import type { FillReceiver } from "./fill-receiver.ts";
import type { FoldStore } from "./fold-store.ts";
import type { Folding } from "./folding.ts";
import type { GroupFollower } from "./group-follower.ts";
import type { GroupLeader } from "./group-leader.ts";
import type { PreparedStore } from "./prepared-store.ts";
import type { DkeySummary } from "../vos/dkey-summary.ts";
import { receivedParts } from "./shard-parts.ts";
import type { ListOwnShard, ReadOwnShard } from "./sharded-akey.ts";

const NO_ARGUMENTS = new Uint8Array(0);
const NO_SHARD_READ = { shownAt: EPOCH_NONE, newest: EPOCH_NONE, completeTo: EPOCH_NONE, recordBytes: 0 };

export interface PeerRequestsOptions {
  readonly store: PreparedStore;
  readonly foldStore: FoldStore;
  readonly fillStore: Pick<FillStore, "summaries">;
  readonly readShard: ReadOwnShard;
  readonly listShard: ListOwnShard;
  /** Serves `transactionState`. */
  readonly serveStates: (request: RpcRequest, reply: RpcReply) => void;
  /** Serves `dtxRepair`. */
  readonly serveRepair: (request: RpcRequest, reply: RpcReply) => void;
  readonly leader: GroupLeader;
  readonly follower: GroupFollower;
  readonly folding: Folding;
  readonly receiver: FillReceiver;
  readonly mapVersion: () => number;
  /** This target has something erasure-coded in a container. */
  readonly isCoded: (container: number) => void;
}

export class PeerRequests {
  readonly #options: PeerRequestsOptions;
  /** The connection on which each other target talks to us: an older one counts no more. */
  readonly #sessions = new Map<number, RpcPeer>();

  constructor(options: PeerRequestsOptions) {
    this.#options = options;
  }

  /** Target `index` talks on this connection from now on: what an older one still brings is too late. */
  attach(index: number, connection: RpcPeer): void {
    const before = this.#sessions.get(index);
    this.#sessions.set(index, connection);
    if (before !== undefined && before !== connection) before.terminate();
  }

  detach(index: number, connection: RpcPeer): void {
    if (this.#sessions.get(index) === connection) this.#sessions.delete(index);
  }

  /** Serves what target `index` asks; `done` when the request's payload is no longer needed. */
  handle(index: number, request: RpcRequest, reply: RpcReply, done: () => void): void {
    if (this.#sessions.get(index) !== request.connection) {
      throw new DaosError("UNAVAILABLE", "Cannot serve the request: its sender has another connection. Use that.");
    }
    switch (request.opcode) {
      case Opcode.dtxPrepare:
        this.#options.follower.prepare(index, request, reply, done);
        return;
      case Opcode.dtxFold:
        this.#serveFold(index, request, reply, done);
        return;
      case Opcode.dtxFill: {
        const { connection } = request;
        const isPresent = (): boolean => this.#sessions.get(index) === connection;
        this.#options.receiver.serve(index, request, reply, isPresent, done);
        return;
      }
      case Opcode.dtxFoldedTo: {
        const containers = decodeContainers(request.payload);
        const epochs = containers.map((container) => this.#options.folding.foldedTo(container));
        reply.send(NO_ARGUMENTS, encodeFoldedTo(epochs));
        break;
      }
      case Opcode.dtxSummary:
        this.#serveSummary(index, request, reply);
        break;
      case Opcode.dtxDecide:
        this.#options.follower.decide(index, request, reply);
        break;
      case Opcode.dtxShardArrayRead:
      case Opcode.dtxShardValueFetch:
        this.#serveShardRead(request, reply);
        break;
      case Opcode.dtxShardExtents:
        this.#serveShardExtents(index, request, reply);
        break;
      case Opcode.dtxRefresh:
        this.#answerDurable(reply, new Uint8Array(this.#options.leader.statesOf(decodeIds(request.payload))));
        break;
      case Opcode.transactionState:
        this.#options.serveStates(request, reply);
        break;
      case Opcode.dtxRepair:
        this.#options.serveRepair(request, reply);
        break;
      default:
        this.#serveResync(index, request, reply);
    }
    done();
  }

  #serveFold(leader: number, request: RpcRequest, reply: RpcReply, done: () => void): void {
    request.retain();
    const { container, object, epoch, parts } = decodePrepareRequest(
      request.bytes,
      request.argumentsStart,
      request.argumentsLength,
    );
    if (parts === undefined) throw new DaosError("PROTOCOL", "Cannot fold: the request has no parts.");
    const { foldStore } = this.#options;
    const version = this.#options.mapVersion();
    const fold = { epoch, mayAppend: (): void => this.#checkVersion(version) };
    this.#options.isCoded(container);
    // What the leader decided before has to be decided here, too.
    this.#options.follower
      .settled(leader)
      .then(() =>
        foldStore.apply(container, object, receivedParts(parts, request.payload, request.payloadChecksum), fold),
      )
      .then(
        () => reply.send(NO_ARGUMENTS),
        (error: unknown) => {
          if (!(error instanceof DaosError)) throw error;
          reply.fail(error);
        },
      )
      .finally(done);
  }

  #serveShardRead(request: RpcRequest, reply: RpcReply): void {
    const object = decodeObjectRequest(request.bytes, request.argumentsStart, request.argumentsLength);
    const kind = request.opcode === Opcode.dtxShardArrayRead ? "array" : "value";
    this.#options.readShard(object.handle, object, kind).then(
      (answer) => reply.send(encodeShardReadReply(answer), answer.bytes, undefined, answer.checksum),
      (error: unknown) => {
        if (!(error instanceof DaosError)) throw error;
        reply.fail(error);
      },
    );
  }

  #serveShardExtents(leader: number, request: RpcRequest, reply: RpcReply): void {
    const object = decodeObjectRequest(request.bytes, request.argumentsStart, request.argumentsLength);
    const { handle, recordIndex: start, recordCount } = object;
    // What the leader decided before has to be decided here, too.
    this.#options.follower
      .settled(leader)
      .then(() => this.#options.listShard(handle, object, { start, end: start + recordCount }))
      .then(
        (extents) => reply.send(encodeShardReadReply({ ...NO_SHARD_READ, extents })),
        (error: unknown) => {
          if (!(error instanceof DaosError)) throw error;
          reply.fail(error);
        },
      );
  }

  #serveSummary(leader: number, request: RpcRequest, reply: RpcReply): void {
    const { container, epochs, dkeys } = checkArguments(Opcode.dtxSummary, decodeCbor(request.args));
    const { summaries } = this.#options.fillStore;
    const places = dkeys.map(({ oid, dkey }) => ({ oid: objectIdFromBytes(oid), dkey: byteString(dkey) }));
    const summed = async (): Promise<Uint8Array> => {
      // What the leader decided before has to be decided here, too.
      await this.#options.follower.settled(leader);
      const read: DkeySummary[] = [];
      for (const place of places) read.push(await summaries.read(container, place, epochs));
      return encodeCbor({ summaries: read });
    };
    summed().then(
      (answer) => reply.send(answer),
      (error: unknown) => {
        if (!(error instanceof DaosError)) throw error;
        reply.fail(error);
      },
    );
  }

  #serveResync(index: number, request: RpcRequest, reply: RpcReply): void {
    const ids = decodeIds(request.payload);
    const version = this.#options.mapVersion();
    this.#options.follower.hear(index, request.epoch);
    void this.#options.follower.openOf(index).then((open) => {
      if (version !== this.#options.mapVersion()) {
        reply.fail(new DaosError("STALE", "Cannot answer: the pool map has changed. Retry."));
        return;
      }
      const complete = encodeContainers(this.#options.receiver.completeFrom(index));
      this.#answerDurable(reply, encodeResyncReply(this.#options.leader.statesOf(ids), open), complete);
    });
  }

  /** Others decide, and forget, by what we say: so it must be there after a crash. */
  #answerDurable(reply: RpcReply, states: Uint8Array, args: Uint8Array = NO_ARGUMENTS): void {
    this.#options.store.whenAllDurable((error) => {
      if (error === undefined) reply.send(args, states);
      else reply.fail(error as DaosError);
    });
  }

  #checkVersion(version: number): void {
    if (version !== this.#options.mapVersion()) {
      throw new DaosError("STALE", "Cannot go on: the pool map has changed. Retry.");
    }
  }
}
