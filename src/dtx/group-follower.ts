/**
 * The other members' part of two-phase commit, for one pool: runs what the leader sends at the epoch that it gave, in the
 * order in which it came, answers when that is durable, and learns later what was decided. A reader that meets an update
 * which is not decided asks the leader.
 */
import { EPOCH_NONE, type Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import type { ObjectId } from "../base/object-id.ts";
import { decodeDecisions, decodeStates, DtxState, encodeIds, type OpenDtx } from "../format/dtx-messages.ts";
import { Opcode } from "../format/operations.ts";
import { decodePrepareRequest, type PrepareRequest } from "../format/prepare-request.ts";
import type { RpcReply, RpcRequest } from "../rpc/request.ts";
import { DtxMap } from "../store/dtx-map.ts";
import type { WriteOutcome } from "../vos/single-value.ts";
import type { OrderedShard, WriteOrder } from "../vos/write-order.ts";
import type { Timers } from "../contracts/world.ts";
import type { Groups } from "./group.ts";
import type { Peer } from "./peer.ts";
import type { OpenUpdate, PreparedStore } from "./prepared-store.ts";

/** Pause before a leader that has not decided either is asked again, milliseconds. */
const ASK_AGAIN_MS = 20;
const NO_ARGUMENTS = new Uint8Array(0);

/** Runs an update on this target's objects. Retains the message, whose payload it stores, unless it is done with it at once. */
export type RunUpdate = (
  request: PrepareRequest,
  message: Pick<RpcRequest, "payload" | "payloadChecksum" | "payloadLength" | "payloadBuffer" | "retain">,
  order: WriteOrder,
) => WriteOutcome | Promise<WriteOutcome>;

export interface GroupFollowerOptions {
  readonly self: number;
  readonly store: PreparedStore;
  readonly timers: Timers;
  readonly peer: (index: number) => Peer | undefined;
  readonly run: RunUpdate;
  /** As an update comes: undefined when it may be run in its turn, else settles when it may. */
  readonly before: (container: number, oid: ObjectId) => Promise<void> | undefined;
  /** Moves the clock past the epoch; false when that is too far ahead. */
  readonly observe: (epoch: PrepareRequest["epoch"]) => boolean;
  /** Something was appended that was sent under an earlier map: it may be this target's to decide. */
  readonly appendedLate: () => void;
}

export class GroupFollower {
  readonly #options: GroupFollowerOptions;
  #groups: Groups;
  /** Settles when all that came before is appended, by leader; absent when it is. */
  readonly #turns = new Map<number, Promise<void>>();
  /** The newest epoch in a message of a leader whose updates before it are all appended. */
  readonly #heard = new Map<number, Epoch>();
  #isAsking = false;
  /** What is open now is to be asked about. */
  #mustAsk = false;

  constructor(options: GroupFollowerOptions, groups: Groups) {
    this.#options = options;
    this.#groups = groups;
  }

  mapChanged(groups: Groups): void {
    this.#groups = groups;
  }

  /** Of an erasure-coded dkey. */
  #shardOf({ oid, dkey }: PrepareRequest["object"], leader: number): OrderedShard | undefined {
    const numberOf = this.#groups.groupOf(oid, dkey).shards?.numberOf;
    const own = numberOf?.get(this.#options.self);
    return own === undefined ? undefined : { own, leader: numberOf!.get(leader)! };
  }

  /** Serves `prepare` of a leader. A large payload is kept until `done`. */
  prepare(leader: number, request: RpcRequest, reply: RpcReply, done: () => void): void {
    const prepare = decodePrepareRequest(request.bytes, request.argumentsStart, request.argumentsLength);
    const { store, observe } = this.#options;
    const state = store.stateOf(prepare);
    // Its leader has closed what was undone, and the client has sent it again.
    if (state === "aborted") store.forget(prepare);
    else if (state !== undefined) {
      this.#answerAgain(leader, prepare, reply);
      done();
      return;
    }
    if (!observe(prepare.epoch)) throw clockAhead(prepare);
    const groups = this.#groups;
    const turn = this.#turns.get(leader);
    const before = this.#options.before(prepare.container, prepare.object.oid);
    // It waits here for what came before it: what is logged then must not lie in the receive buffer.
    if (turn !== undefined || before !== undefined) request.retain();
    const shard = prepare.opcode === Opcode.transactionStep ? this.#shardOf(prepare.object, leader) : undefined;
    let hasAppended = (): void => {};
    const order: WriteOrder = {
      origin: prepare,
      isPrepared: true,
      epoch: prepare.epoch,
      turn,
      shard,
      appended: () => hasAppended(),
    };
    const isLarge = request.payloadBuffer !== undefined;
    const run = (): WriteOutcome | Promise<WriteOutcome> => this.#options.run(prepare, request, order);
    const inTurn = isLarge ? undefined : turn;
    const mayRun = before === undefined ? inTurn : Promise.all([inTurn, before]);
    const outcome = mayRun === undefined ? run() : (mayRun as Promise<unknown>).then(run);
    if (!(outcome instanceof Promise)) {
      this.#prepared(outcome, reply);
      this.#heard.set(leader, request.epoch);
      done();
      return;
    }
    const appended = new Promise<void>((resolve) => {
      hasAppended = resolve;
    });
    const ended = outcome
      .then(
        (written) => {
          this.#prepared(written, reply);
          if (groups !== this.#groups) this.#options.appendedLate();
        },
        (error: unknown) => {
          if (!(error instanceof DaosError)) throw error;
          reply.fail(error);
        },
      )
      .finally(done);
    this.#follow(leader, Promise.race([appended, ended]), request.epoch);
  }

  #follow(leader: number, appended: Promise<void>, epoch: Epoch): void {
    const before = this.#turns.get(leader);
    const turn = before === undefined ? appended : Promise.all([before, appended]).then(() => {});
    this.#turns.set(leader, turn);
    void turn.then(() => {
      if (this.#turns.get(leader) !== turn) return;
      this.#turns.delete(leader);
      this.#heard.set(leader, epoch);
    });
  }

  #prepared(outcome: WriteOutcome, reply: RpcReply): void {
    if (outcome.error !== undefined) {
      reply.fail(outcome.error);
      return;
    }
    this.#options.store.whenDurable(outcome.sequence, (error) => {
      if (error === undefined) reply.send(NO_ARGUMENTS);
      else reply.fail(error as DaosError);
    });
  }

  /** It has come before: answers when everything is durable that is logged. */
  #answerAgain(leader: number, prepare: PrepareRequest, reply: RpcReply): void {
    const { store } = this.#options;
    const answer = (): void => {
      // Another attempt under the same name is not this one: the leader finds out when it asks what is open.
      if (store.epochOf(prepare) !== prepare.epoch) reply.fail(otherAttempt());
      else {
        store.whenAllDurable((error) => {
          if (error === undefined) reply.send(NO_ARGUMENTS);
          else reply.fail(error as DaosError);
        });
      }
    };
    const turn = this.#turns.get(leader);
    if (turn === undefined) answer();
    else void turn.then(answer);
  }

  /** Resolves when all that the leader has sent so far is appended, and what it has decided is decided. */
  async settled(leader: number): Promise<void> {
    await this.#turns.get(leader);
  }

  /** Settles when all that leaders have sent so far is appended. */
  allSettled(): Promise<unknown> {
    return Promise.allSettled(this.#turns.values());
  }

  /** A leader says what its clock is; it has sent all updates of before. */
  hear(leader: number, epoch: Epoch): void {
    if (!this.#turns.has(leader)) this.#heard.set(leader, epoch);
  }

  /** Up to which epoch every update of the leader is here; 0 when that is not known. */
  heardTo(leader: number): Epoch {
    return this.#turns.has(leader) ? EPOCH_NONE : (this.#heard.get(leader) ?? EPOCH_NONE);
  }

  /** Serves `decide` of a leader: answers when the decisions are durable. */
  decide(leader: number, request: RpcRequest, reply: RpcReply): void {
    const decisions = decodeDecisions(request.args, request.payload);
    const apply = (): void => {
      const { store } = this.#options;
      for (const id of decisions.commits) if (store.stateOf(id) === "prepared") store.decide(id, "commit");
      for (const id of decisions.aborts) if (store.stateOf(id) === "prepared") store.decide(id, "abort");
      for (const id of decisions.forgets) store.forget(id);
      if (decisions.commits.length + decisions.aborts.length === 0) reply.send(NO_ARGUMENTS);
      else {
        store.whenDecisionsDurable((error) => {
          if (error === undefined) reply.send(NO_ARGUMENTS);
          else reply.fail(error as DaosError);
        });
      }
    };
    const turn = this.#turns.get(leader);
    if (turn === undefined) apply();
    else void turn.then(apply);
  }

  /** What is open here of the groups that `leader` leads, once all that it has sent is appended. */
  async openOf(leader: number): Promise<OpenDtx[]> {
    await this.#turns.get(leader);
    return this.#options.store
      .openUpdates()
      .filter(({ oid, dkey }) => this.#groups.groupOf(oid, dkey).leader === leader)
      .map(({ id, epoch }) => ({ client: id.client, sequence: id.sequence, epoch }));
  }

  /** Somebody waits for updates that are not decided now: asks their leaders about them. */
  ask(): void {
    this.#mustAsk = true;
    if (this.#isAsking) return;
    this.#isAsking = true;
    void this.#askLeaders().finally(() => (this.#isAsking = false));
  }

  async #askLeaders(): Promise<void> {
    let asked: OpenUpdate[] = [];
    while (this.#mustAsk || asked.length > 0) {
      // What is asked about already is among them: a leader that does not answer holds up nobody else's.
      if (this.#mustAsk) asked = this.#undecided();
      this.#mustAsk = false;
      await Promise.all([...byLeader(asked, this.#groups)].map(([leader, updates]) => this.#askOne(leader, updates)));
      asked = asked.filter(({ id }) => this.#options.store.stateOf(id) === "prepared");
      if (asked.length > 0) await this.#pause();
    }
  }

  #undecided(): OpenUpdate[] {
    const { store, self } = this.#options;
    const isOthers = ({ oid, dkey }: OpenUpdate): boolean => this.#groups.groupOf(oid, dkey).leader !== self;
    return store.openUpdates().filter(isOthers);
  }

  async #askOne(leader: number, updates: readonly OpenUpdate[]): Promise<void> {
    const peer = this.#options.peer(leader);
    if (peer === undefined) return;
    const { store } = this.#options;
    const ids = updates.map(({ id }) => id);
    const { mapVersion } = this.#groups;
    try {
      const answer = await peer.call(Opcode.dtxRefresh, NO_ARGUMENTS, encodeIds(ids), { mapVersion });
      const states = decodeStates(answer.payload);
      if (states.length !== ids.length || mapVersion !== this.#groups.mapVersion) return;
      const epochs = new DtxMap<OpenUpdate["epoch"]>();
      for (const { id, epoch } of store.openUpdates()) epochs.add(id, epoch);
      // Meanwhile it may have been undone and sent again: the answer is not about that.
      const isOpen = (index: number): boolean =>
        store.stateOf(ids[index]!) === "prepared" && epochs.get(ids[index]!) === updates[index]!.epoch;
      // The older ones are committed first, the newer ones aborted first.
      for (let index = 0; index < ids.length; index += 1) {
        if (states[index] === DtxState.committed && isOpen(index)) store.decide(ids[index]!, "commit");
      }
      for (let index = ids.length - 1; index >= 0; index -= 1) {
        if (states[index] !== DtxState.prepared && isOpen(index)) store.decide(ids[index]!, "abort");
      }
    } catch (error) {
      if (!(error instanceof DaosError)) throw error;
    }
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => void this.#options.timers.after(ASK_AGAIN_MS, resolve));
  }
}

function byLeader(updates: readonly OpenUpdate[], groups: Groups): Map<number, OpenUpdate[]> {
  const sorted = new Map<number, OpenUpdate[]>();
  for (const update of updates) {
    const { leader } = groups.groupOf(update.oid, update.dkey);
    if (leader < 0) continue;
    const others = sorted.get(leader);
    if (others === undefined) sorted.set(leader, [update]);
    else others.push(update);
  }
  return sorted;
}

function otherAttempt(): DaosError {
  return new DaosError(
    "UNAVAILABLE",
    "Cannot prepare the update: an earlier attempt is not settled. Ask what is open.",
  );
}

function clockAhead({ epoch }: PrepareRequest): DaosError {
  const state = `its epoch ${epoch} is too far ahead of this target's clock`;
  return new DaosError("INVALID_ARGUMENT", `Cannot prepare the update: ${state}. Set the clocks of the hosts.`);
}
