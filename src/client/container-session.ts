/**
 * An open container as the data path sees it: the pool map, the capability, and for each target the link that it is
 * attached on. It sends requests to the target that placement names, attaches where it is not attached yet, and sends
 * again what failed for a passing reason: a lost connection, a full queue, or a map or capability that is out of date
 * (STALE: the container is opened afresh first).
 *
 * The way of a hot request that succeeds is plain calls without `await`: everything else is off that way.
 */
import type { DkeyPlace } from "../base/key-place.ts";
import type { HybridLogicalClock } from "../base/epoch.ts";
import { DaosError, hasCode } from "../base/errors.ts";
import { DEFAULT_ERASURE_CELL_BYTES } from "../base/limits.ts";
import { isRedundant } from "../base/object-id.ts";
import type { RedundancyScheme } from "../contracts/redundancy.ts";
import type { World } from "../contracts/world.ts";
import { encodeCbor } from "../format/cbor.ts";
import { type AttachedTarget, AttachedTargets } from "./attached-targets.ts";
import { attempted, NotSent } from "./call-attempt.ts";
import { CallPlaces } from "./call-places.ts";
import { HedgedReads } from "./hedged-reads.ts";
import { objectRequestBytes } from "../format/object-request.ts";
import type { ContainerDescription, ContainerOpenReply, Opcode } from "../format/operations.ts";
import { Placement } from "../placement/placement.ts";
import type { RedundancySchemes } from "../redundancy/redundancy-schemes.ts";
import { type CallSender, type ObjectCall, TARGET_OF_DKEY } from "./object-call.ts";
import type { ReceiveBuffers } from "./receive-buffers.ts";
import type { SummedPayload } from "../rpc/pending-call.ts";
import { RequestNumbers } from "../rpc/request-numbers.ts";
import { abortable, type AttemptReach, clientClosed, Retry } from "./retry.ts";
import type { RpcAnswer, RpcCallOptions, RpcLink } from "./rpc-link.ts";
import { stageUpdate } from "./staged-update.ts";
import type { TargetConnections } from "./target-connection.ts";
import { isOfTarget, TargetRound } from "./target-round.ts";

/** So long an attempt waits for a newer map, milliseconds. */
const LOOK_WAIT_MS = 200;
/** A call that has no answer after so long may wait for a target that is out of service: time between looks for that, milliseconds. */
const LATE_LOOK_MS = 1_000;
/** Sends to an attached target, under the session's or the caller's options. */
type Send<T> = (link: RpcLink, handle: number, options: RpcCallOptions) => Promise<T>;

export interface SessionOptions {
  readonly world: World;
  /** That of all connections. */
  readonly clock: HybridLogicalClock;
  readonly connections: TargetConnections;
  readonly buffers: ReceiveBuffers;
  readonly readOnly: boolean;
  readonly timeoutMs: number;
  readonly retryWindowMs: number;
  /** Updates of redundant objects with so many bytes or more are staged: see stageUpdate. */
  readonly stagedUpdateBytes: number;
  /** How erasure-coded objects are put together. */
  readonly schemes: RedundancySchemes;
  /** Opens the container once more: a new capability and the latest map. */
  readonly reopen: () => Promise<ContainerOpenReply>;
  /** Hears once that the session was closed. */
  readonly closed: (session: ContainerSession) => void;
}

export class ContainerSession implements CallSender {
  readonly #options: SessionOptions;
  #targets!: AttachedTargets;
  #placement!: Placement;
  #places!: CallPlaces;
  #container!: ContainerDescription;
  /** Counts the openings, so that many requests that meet the same stale map cause one reopening. */
  #generation = 0;
  #reopening: Promise<void> | undefined;
  #looking: Promise<void> | undefined;
  #lookedMs = 0;
  #closed = false;
  readonly #numbers: RequestNumbers;
  /** Reads that are sent a second time. */
  readonly hedges: HedgedReads;

  /** Throws PROTOCOL when the reply's map is of no use. */
  constructor(opened: ContainerOpenReply, options: SessionOptions) {
    this.#options = options;
    this.#numbers = new RequestNumbers(options.world.random, { now: () => options.clock.latest });
    this.hedges = new HedgedReads({
      paces: options.connections.paces,
      paceOf: (target) => this.#targets.at(target)?.connection.pace,
      places: () => this.#places,
      send: (call) => this.send(call),
    });
    this.#adopt(opened);
  }

  get readOnly(): boolean {
    return this.#options.readOnly;
  }

  get container(): ContainerDescription {
    return this.#container;
  }

  get placement(): Placement {
    return this.#placement;
  }

  /** Where payloads are received. */
  get buffers(): ReceiveBuffers {
    return this.#options.buffers;
  }

  get world(): World {
    return this.#options.world;
  }

  /** Whether some target is late. */
  get hasLate(): boolean {
    return this.#options.connections.paces.hasLate;
  }

  /** Whether the target is to be asked last, for it does not answer as quickly as it did. */
  isLate(target: number): boolean {
    return this.#targets.at(target)?.connection.pace.isLate === true;
  }

  /** The scheme of a class by what redundancy plugins serve, such as `EC_4P2`. Throws UNSUPPORTED without its plugin. */
  schemeOf(word: string): RedundancyScheme {
    const cellBytes = this.#container.properties["ec_cell_sz"];
    return this.#options.schemes.of(word, typeof cellBytes === "number" ? cellBytes : DEFAULT_ERASURE_CELL_BYTES);
  }

  /** Of this client's updates. */
  get numbers(): RequestNumbers {
    return this.#numbers;
  }

  /** Of an operation that may be repeated. */
  newRetry(signal: AbortSignal | undefined): Retry {
    return new Retry(this.#options.world, this.#options.retryWindowMs, "harmless", signal);
  }

  /** A read by this placement failed: looks for a newer one, unless there is one. Rejects when the container cannot be opened. */
  async renew(placement: Placement, error: DaosError, signal: AbortSignal | undefined): Promise<void> {
    if (this.#closed) throw clientClosed();
    if (this.#placement !== placement) return;
    await abortable(error.code === "STALE" ? this.#reopen(this.#generation) : this.#lookAgain(), signal);
  }

  /** Sends a hot request; what it makes of the answer. */
  send<T>(call: ObjectCall<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      call.resolve = resolve;
      call.reject = reject;
      call.sender = this;
      let place: number;
      try {
        place = this.#places.of(call, 0);
      } catch (error) {
        call.giveUp(error);
        return;
      }
      const target = this.#targets.at(place);
      const link = target?.link;
      this.#placed(call as ObjectCall<unknown>, place);
      call.pace?.began(call);
      if (call.isRead) this.hedges.began(call as ObjectCall<unknown>);
      if (link === undefined || link.isClosed || this.#closed) {
        this.#sendAgain(call as ObjectCall<unknown>, undefined, "refused");
        return;
      }
      const { callOptions } = this.#targets;
      const options = call.signal === undefined ? callOptions : { ...callOptions, signal: call.signal };
      call.handle = target!.handle;
      call.generation = this.#generation;
      call.sendings += 1;
      call.link = link;
      link.start(call.opcode, objectRequestBytes(call), call, call.payload, options, call);
    });
  }

  #placed(call: ObjectCall<unknown>, target: number): void {
    call.placed = target;
    call.pace = this.#targets.at(target)?.connection.pace;
  }

  /** Sends a hot request that changes something: it takes effect once, however often it has to be sent. */
  sendUpdate<T>(call: ObjectCall<T>): Promise<T> {
    call.name(this.#numbers);
    const { payload } = call;
    const isSummed = payload !== undefined && "views" in payload;
    const isStaged = isSummed && payload.length >= this.#options.stagedUpdateBytes && isRedundant(call.oid);
    return isStaged ? this.#sendStaged(call, payload) : this.send(call);
  }

  async #sendStaged<T>(call: ObjectCall<T>, payload: SummedPayload): Promise<T> {
    await stageUpdate(this, call as ObjectCall<unknown>, payload);
    return this.send(call);
  }

  callFailed(call: ObjectCall<unknown>, error: DaosError, wasSent: boolean): void {
    this.#sendAgain(call, error, wasSent ? "sent" : "refused");
  }

  callRenamed(call: ObjectCall<unknown>): void {
    this.#sendAgain(call, undefined, "refused");
  }

  callLate(call: ObjectCall<unknown>): boolean {
    if (this.hedges.late(call)) return true;
    this.#lookForLate();
    return false;
  }

  /**
   * Sends a CBOR request that only reads to one target, or to one that has the dkey. `makeArgs` is given the handle there.
   * `firm`: not sent again when the target cannot be reached.
   */
  async read<T>(
    opcode: Opcode,
    place: number | DkeyPlace,
    makeArgs: (handle: number) => object,
    decode: (answer: RpcAnswer) => T,
    signal: AbortSignal | undefined,
    firm = false,
  ): Promise<T> {
    const retry = firm ? new Retry(this.world, 0, "harmless", signal) : this.newRetry(signal);
    const send: Send<RpcAnswer> = (link, handle, options) =>
      link.call(opcode, encodeCbor(makeArgs(handle)), undefined, options);
    const placeOf = (attempt: number): number =>
      typeof place === "number" ? place : this.#places.readable(place.oid, place.dkey, attempt);
    const alternatives = (): number => (typeof place === "number" ? 1 : this.#places.countOf(place.oid, place.dkey));
    return decode(await this.#attempts(retry, placeOf, alternatives, send, signal, undefined, "refused", 0));
  }

  /** Gives up the handles, as far as the targets can be reached. Requests under way finish, or fail with CANCELED. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#options.closed(this);
    await this.#targets.detach();
  }

  /** Off the hot way: the call was not sent for want of a link, or it failed. Settles it in the end. */
  #sendAgain(call: ObjectCall<unknown>, failure: DaosError | undefined, reach: AttemptReach): void {
    const { signal, generation } = call;
    const retry = call.firm ? new Retry(this.world, 0, "harmless", signal) : this.newRetry(signal);
    const send: Send<void> = (link, handle, options) => attempted(call, link, handle, options);
    const place = (attempt: number): number => {
      const target = this.#places.of(call, attempt);
      this.#placed(call, target);
      return target;
    };
    const isRead = call.sequence === 0 && call.target === TARGET_OF_DKEY;
    const alternatives = (): number => (isRead ? this.#places.countOf(call.oid, call.dkey) : 1);
    this.#attempts(retry, place, alternatives, send, signal, failure, reach, generation).catch((error: unknown) =>
      call.giveUp(error),
    );
  }

  /** Sends until it succeeds or may not be tried again. `failure`: of an attempt before, made under `generation`. */
  async #attempts<T>(
    retry: Retry,
    place: (attempt: number) => number,
    alternatives: () => number,
    send: Send<T>,
    signal: AbortSignal | undefined,
    failure: DaosError | undefined,
    failureReach: AttemptReach,
    generation: number,
  ): Promise<T> {
    const round = new TargetRound();
    if (failure !== undefined) round.failed(failure);
    let error: unknown = failure;
    let reach = failureReach;
    let seen = generation;
    for (let attempt = failure === undefined ? 0 : 1; ; attempt += 1) {
      const mayAskOther = round.asked < alternatives() && isOfTarget(error);
      if (error !== undefined && !mayAskOther) {
        await retry.afterFailure(round.outcome(error), reach);
        round.begin();
      }
      if (this.#closed) throw clientClosed();
      reach = "refused";
      let ended: (() => void) | undefined;
      try {
        if (hasCode(error, "STALE")) await abortable(this.#reopen(seen), signal);
        else if (hasCode(error, "UNAVAILABLE")) await abortable(this.#lookAgain(), signal);
        seen = this.#generation;
        const targets = this.#targets;
        const target = targets.existing(place(attempt));
        ended = this.#watch(target);
        const link = await abortable(targets.attach(target), signal);
        const options = signal === undefined ? targets.callOptions : { ...targets.callOptions, signal };
        reach = "sent";
        const answer = await send(link, target.handle, options);
        target.connection.pace.heard();
        return answer;
      } catch (caught) {
        if (caught instanceof NotSent) reach = "refused";
        error = caught instanceof NotSent ? caught.error : caught;
        round.failed(error);
      } finally {
        ended?.();
      }
    }
  }

  /** From now on a call waits for the target, until what is returned is called. */
  #watch(target: AttachedTarget): () => void {
    const late = (): boolean => {
      this.#lookForLate();
      return false;
    };
    const call = { isSettled: false, startedTick: 0, late };
    target.connection.pace.began(call);
    return () => void (call.isSettled = true);
  }

  /** Opens the container afresh, unless that has happened since generation `seen`. */
  #reopen(seen: number): Promise<void> {
    if (this.#generation !== seen) return Promise.resolve();
    this.#reopening ??= this.#options
      .reopen()
      .then((opened) => this.#adopt(opened))
      .finally(() => (this.#reopening = undefined));
    return this.#reopening;
  }

  /**
   * A target does not answer: its engine may be elsewhere by now, or excluded. Never rejects: the next attempt tells.
   * What the control plane does not say at once is not waited for: the target may be there again before the control plane
   * is.
   */
  async #lookAgain(): Promise<void> {
    let cancel = (): void => {};
    const enough = new Promise<void>((resolve) => {
      cancel = this.world.timers.after(LOOK_WAIT_MS, resolve);
    });
    await Promise.race([this.#look(), enough]);
    cancel();
  }

  /** A call has waited for long: whoever it waits for may be out of service by now. */
  #lookForLate(): void {
    const nowMs = this.world.clock.monotonicNs() / 1e6;
    if (this.#closed || nowMs - this.#lookedMs < LATE_LOOK_MS) return;
    this.#lookedMs = nowMs;
    void this.#look();
  }

  #look(): Promise<void> {
    this.#looking ??= this.#options
      .reopen()
      .then((opened) => {
        if (this.#closed) return;
        this.#targets.endSilent(opened.map);
        if (this.#targets.isMovedIn(opened.map)) this.#adopt(opened);
      })
      .catch((error: unknown) => {
        if (!(error instanceof DaosError)) throw error;
      })
      .finally(() => (this.#looking = undefined));
    return this.#looking;
  }

  #adopt(opened: ContainerOpenReply): void {
    const { connections, timeoutMs } = this.#options;
    const targets = new AttachedTargets(opened, connections, timeoutMs);
    const placement = new Placement(opened.map);
    void (this.#targets as AttachedTargets | undefined)?.detach();
    this.#targets = targets;
    this.#placement = placement;
    this.#places = new CallPlaces({
      placement,
      client: this.#numbers.client,
      label: opened.container.label,
      hasLate: () => this.hasLate,
      isLate: (target) => this.isLate(target),
    });
    this.#container = opened.container;
    this.#generation += 1;
  }
}
