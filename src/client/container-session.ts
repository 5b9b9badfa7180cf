/**
 * An open container as the data path sees it: the pool map, the capability, and for each target the link that it is
 * attached on. It sends requests to the target that placement names, attaches where it is not attached yet, and sends
 * again what failed for a passing reason: a lost connection, a full queue, or a map or capability that is out of date
 * (STALE: the container is opened afresh first).
 *
 * The way of a hot request that succeeds is plain calls without `await`: everything else is off that way.
 */
import type { DkeyPlace } from "../base/key-place.ts";
import type { ByteString } from "../base/bytes.ts";
import { EPOCH_NONE, type HybridLogicalClock } from "../base/epoch.ts";
import { DaosError, hasCode } from "../base/errors.ts";
import { DEFAULT_ERASURE_CELL_BYTES } from "../base/limits.ts";
import { isRedundant, type ObjectId } from "../base/object-id.ts";
import type { RedundancyScheme } from "../contracts/redundancy.ts";
import type { World } from "../contracts/world.ts";
import { encodeCbor } from "../format/cbor.ts";
import { attempted, NotSent } from "./call-attempt.ts";
import { objectRequestBytes } from "../format/object-request.ts";
import { type AttachReply, type ContainerDescription, type ContainerOpenReply, Opcode } from "../format/operations.ts";
import type { PoolMap } from "../format/pool-map.ts";
import { Placement } from "../placement/placement.ts";
import { redundancyGroup } from "../redundancy/redundancy-group.ts";
import type { RedundancySchemes } from "../redundancy/redundancy-schemes.ts";
import { type CallSender, type ObjectCall, TARGET_OF_DKEY } from "./object-call.ts";
import type { ReceiveBuffers } from "./receive-buffers.ts";
import { decodeReply, wrongReply } from "./reply.ts";
import { RequestNumbers } from "../rpc/request-numbers.ts";
import { abortable, type AttemptReach, clientClosed, Retry } from "./retry.ts";
import type { RpcAnswer, RpcCallOptions, RpcLink } from "./rpc-link.ts";
import { stageUpdate } from "./staged-update.ts";
import type { TargetConnection, TargetConnections } from "./target-connection.ts";
import { isOfTarget, TargetRound } from "./target-round.ts";

/** So long an attempt waits for a newer map, milliseconds. */
const LOOK_WAIT_MS = 200;
/** Highest target index a pool map may name. */
const MAX_TARGET_INDEX = 65_535;

interface AttachedTarget {
  readonly connection: TargetConnection;
  /** The link on which `handle` is valid; undefined before the first attach. */
  link: RpcLink | undefined;
  handle: number;
  attaching: Promise<RpcLink> | undefined;
}

/** What decides where a call goes. */
type CallPlace = Pick<ObjectCall<unknown>, "target" | "oid" | "dkey" | "sequence" | "epoch">;

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
  /** By target index; holes where the map has none. */
  #targets: (AttachedTarget | undefined)[] = [];
  #capability!: Uint8Array;
  #placement!: Placement;
  #container!: ContainerDescription;
  #callOptions!: RpcCallOptions;
  /** Counts the openings, so that many requests that meet the same stale map cause one reopening. */
  #generation = 0;
  #reopening: Promise<void> | undefined;
  #looking: Promise<void> | undefined;
  #closed = false;
  readonly #numbers: RequestNumbers;

  /** Throws PROTOCOL when the reply's map is of no use. */
  constructor(opened: ContainerOpenReply, options: SessionOptions) {
    this.#options = options;
    this.#numbers = new RequestNumbers(options.world.random, { now: () => options.clock.latest });
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
    return new Retry(this.#options.world, this.#options.retryWindowMs, true, signal);
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
        place = this.#placeOf(call, 0);
      } catch (error) {
        call.giveUp(error);
        return;
      }
      const target = this.#targets[place];
      const link = target?.link;
      if (link === undefined || link.isClosed || this.#closed) {
        this.#sendAgain(call as ObjectCall<unknown>, undefined, "refused");
        return;
      }
      const options = call.signal === undefined ? this.#callOptions : { ...this.#callOptions, signal: call.signal };
      call.handle = target!.handle;
      call.generation = this.#generation;
      call.sendings += 1;
      link.start(call.opcode, objectRequestBytes(call), call, call.payload, options, call);
    });
  }

  /** Sends a hot request that changes something: it takes effect once, however often it has to be sent. */
  sendUpdate<T>(call: ObjectCall<T>): Promise<T> {
    call.name(this.#numbers);
    const { payload } = call;
    const isStaged = payload instanceof Uint8Array && payload.length >= this.#options.stagedUpdateBytes;
    return isStaged && isRedundant(call.oid) ? this.#sendStaged(call, payload) : this.send(call);
  }

  async #sendStaged<T>(call: ObjectCall<T>, payload: Uint8Array): Promise<T> {
    await stageUpdate(this, call as ObjectCall<unknown>, payload);
    return this.send(call);
  }

  callFailed(call: ObjectCall<unknown>, error: DaosError, wasSent: boolean): void {
    this.#sendAgain(call, error, wasSent ? "sent" : "refused");
  }

  callRenamed(call: ObjectCall<unknown>): void {
    this.#sendAgain(call, undefined, "refused");
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
    const retry = firm ? new Retry(this.world, 0, true, signal) : this.newRetry(signal);
    const send: Send<RpcAnswer> = (link, handle, options) =>
      link.call(opcode, encodeCbor(makeArgs(handle)), undefined, options);
    const placeOf = (attempt: number): number =>
      typeof place === "number" ? place : this.#readablePlace(place.oid, place.dkey, attempt);
    const alternatives = (): number => (typeof place === "number" ? 1 : this.#placesOf(place.oid, place.dkey));
    return decode(await this.#attempts(retry, placeOf, alternatives, send, signal, undefined, "refused", 0));
  }

  /** Gives up the handles, as far as the targets can be reached. Requests under way finish, or fail with CANCELED. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#options.closed(this);
    await Promise.all(this.#targets.map((target) => this.#detach(target)));
  }

  /** The target for a call's attempt of this number, from 0. */
  #placeOf(call: CallPlace, attempt: number): number {
    if (call.target !== TARGET_OF_DKEY) return call.target;
    if (!isRedundant(call.oid)) return this.#placement.targetOf(call.oid, call.dkey);
    // What is read at an epoch is read where epochs are given, so that nothing is written before it afterwards.
    if (call.sequence === 0 && call.epoch === EPOCH_NONE) return this.#readablePlace(call.oid, call.dkey, attempt);
    const { leader, readable } = redundancyGroup(this.#placement, call.oid, call.dkey);
    if (leader < 0) throw this.#nothingLeft();
    return call.sequence === 0 ? readable[attempt % readable.length]! : leader;
  }

  /** Clients begin with different ones of the targets that can be read, and go round. */
  #readablePlace(oid: ObjectId, dkey: ByteString, attempt: number): number {
    if (!isRedundant(oid)) return this.#placement.targetOf(oid, dkey);
    const { readable } = redundancyGroup(this.#placement, oid, dkey);
    if (readable.length === 0) throw this.#nothingLeft();
    return readable[(this.#numbers.client + attempt) % readable.length]!;
  }

  /** Targets that can be asked about a dkey. */
  #placesOf(oid: ObjectId, dkey: ByteString): number {
    return isRedundant(oid) ? redundancyGroup(this.#placement, oid, dkey).readable.length : 1;
  }

  #nothingLeft(): DaosError {
    const state = "no target that has it is in service";
    return new DaosError(
      "UNAVAILABLE",
      `Cannot reach a part of container "${this.#container.label}": ${state}. Bring excluded engines back.`,
    );
  }

  /** Off the hot way: the call was not sent for want of a link, or it failed. Settles it in the end. */
  #sendAgain(call: ObjectCall<unknown>, failure: DaosError | undefined, reach: AttemptReach): void {
    const { signal, generation } = call;
    const retry = call.firm ? new Retry(this.world, 0, true, signal) : this.newRetry(signal);
    const send: Send<void> = (link, handle, options) => attempted(call, link, handle, options);
    const place = (attempt: number): number => this.#placeOf(call, attempt);
    const isRead = call.sequence === 0 && call.target === TARGET_OF_DKEY;
    const alternatives = (): number => (isRead ? this.#placesOf(call.oid, call.dkey) : 1);
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
      try {
        if (hasCode(error, "STALE")) await abortable(this.#reopen(seen), signal);
        else if (hasCode(error, "UNAVAILABLE")) await abortable(this.#lookAgain(), signal);
        seen = this.#generation;
        const target = this.#target(place(attempt));
        const link = await abortable(this.#attach(target), signal);
        const options = signal === undefined ? this.#callOptions : { ...this.#callOptions, signal };
        reach = "sent";
        return await send(link, target.handle, options);
      } catch (caught) {
        if (caught instanceof NotSent) reach = "refused";
        error = caught instanceof NotSent ? caught.error : caught;
        round.failed(error);
      }
    }
  }

  #target(index: number): AttachedTarget {
    const target = this.#targets[index];
    if (target !== undefined) return target;
    const state = `pool map version ${this.#placement.mapVersion} has no target ${index}`;
    throw new DaosError(
      "UNAVAILABLE",
      `Cannot reach a part of container "${this.#container.label}": ${state}. Try again.`,
    );
  }

  /** The link on which the target's handle is valid. One attach runs at a time. */
  #attach(target: AttachedTarget): Promise<RpcLink> {
    if (target.link?.isClosed === false) return Promise.resolve(target.link);
    target.attaching ??= this.#attachNow(target).finally(() => (target.attaching = undefined));
    return target.attaching;
  }

  async #attachNow(target: AttachedTarget): Promise<RpcLink> {
    const link = await target.connection.open();
    const args = encodeCbor({ capability: this.#capability });
    const answer = await link.call(Opcode.attach, args, undefined, this.#callOptions);
    const { handle } = decodeReply<AttachReply>(answer.args, "attach", { handle: "count" });
    target.handle = handle;
    target.link = link;
    return link;
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

  #look(): Promise<void> {
    this.#looking ??= this.#options
      .reopen()
      .then((opened) => {
        if (!this.#closed && this.#isMoved(opened.map)) this.#adopt(opened);
      })
      .catch((error: unknown) => {
        if (!(error instanceof DaosError)) throw error;
      })
      .finally(() => (this.#looking = undefined));
    return this.#looking;
  }

  /** The map is another one, or a target of it is elsewhere. */
  #isMoved({ version, targets }: PoolMap): boolean {
    if (version !== this.#placement.mapVersion) return true;
    return targets.some(({ index, host, port }) => {
      const known = this.#targets[index]?.connection.address;
      return known?.host !== host || known.port !== port;
    });
  }

  #adopt(opened: ContainerOpenReply): void {
    const placement = new Placement(opened.map);
    const targets: (AttachedTarget | undefined)[] = [];
    for (const { index, host, port } of opened.map.targets) {
      if (index > MAX_TARGET_INDEX) throw wrongReply("container open", `target index ${index} is too high`);
      const connection = this.#options.connections.to({ host, port });
      targets[index] = { connection, link: undefined, handle: 0, attaching: undefined };
    }
    for (const old of this.#targets) void this.#detach(old);
    const seenVersion = this.#generation === 0 ? placement.mapVersion : this.#placement.mapVersion;
    this.#targets = targets;
    this.#placement = placement;
    this.#capability = opened.capability;
    this.#container = opened.container;
    this.#callOptions = { timeoutMs: this.#options.timeoutMs, mapVersion: placement.mapVersion };
    this.#generation += 1;
    this.#options.connections.dropLost(opened.map, seenVersion);
  }

  /** Lets the target forget a handle. Never rejects: nothing depends on the answer. */
  async #detach(target: AttachedTarget | undefined): Promise<void> {
    if (target === undefined || target.link?.isClosed !== false) return;
    const args = encodeCbor({ handle: target.handle });
    await target.link.call(Opcode.detach, args, undefined, this.#callOptions).catch(() => {});
  }
}
