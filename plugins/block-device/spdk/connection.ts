/**
 * A connection to a vhost-user-blk back-end that outlives it: gives requests to the rings, polls or sleeps for their ends,
 * and when the back-end dies connects again and submits what was in flight once more. Requests are idempotent here (whole
 * sectors, flush, discard), and a dead back-end's own I/O has ended before its successor can open the device.
 *
 * Each request ends exactly once. When the back-end stays away longer than `reconnectTimeoutMs`, all in flight fail with
 * UNAVAILABLE and are forgotten; new ones fail at once until it is back, which goes on being tried. A back-end that breaks
 * the rules of the ring is never spoken to again. Buffers, ranges and durability are the device's.
 */
import {
  COMMAND_DOUBLES,
  ExchangeFailure,
  type VhostUserAddon,
  type VhostUserConnection,
  type VhostUserDescription,
  VhostUserEvent,
  VhostUserFailure,
  type VhostUserSettings,
} from "../../../native/vhost-user/addon.ts";
import { assert } from "../../../src/base/assert.ts";
import { DaosError } from "../../../src/base/errors.ts";
import type { Clock, Timers } from "../../../src/contracts/world.ts";
import type { BlockRequest } from "./block-request.ts";
import { changedError, closedError, connectionError, memoryError, violationError } from "./connection-failure.ts";
import { Fifo } from "./fifo.ts";
import { PollPolicy } from "./poll-policy.ts";
import { SpinPolicy } from "./spin-policy.ts";

const SECTOR_BYTES = 512;
const PAGES_PER_HUGE_PAGE = 512;
const FIRST_RETRY_MS = 20;
const MAX_RETRY_MS = 1_000;

export interface ConnectionOptions {
  readonly addon: VhostUserAddon;
  readonly timers: Timers;
  readonly clock: Clock;
  readonly settings: VhostUserSettings;
  /** How long a back-end that is not there yet is waited for at first. */
  readonly openTimeoutMs: number;
  readonly reconnectTimeoutMs: number;
  readonly pollUs: number;
  /** The back-end is gone; whoever runs it may start it again. */
  lost(reason: DaosError): void;
  /** It is back, and has what was in flight. */
  restored(): void;
  /** It announced another size. */
  resized(capacityBytes: number): void;
}

/** `lost`: being reconnected; `failed`: for good. */
export type ConnectionState = "opening" | "connected" | "lost" | "closing" | "failed" | "closed";

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #addon: VhostUserAddon;
  readonly #shared: VhostUserConnection;
  readonly #commands: Float64Array;
  readonly #completions: Uint32Array;
  readonly #policy: PollPolicy;
  readonly #spins: SpinPolicy;
  readonly #waiting = new Fifo<BlockRequest>();
  /** By slot. */
  #requests: (BlockRequest | undefined)[] = [];
  #freeSlots: number[] = [];
  #inFlight = 0;
  #commandCount = 0;
  #turnScheduled = false;
  #inTurn = false;
  #state: ConnectionState = "opening";
  #description: VhostUserDescription | undefined;
  /** Set when the back-end has been away for too long: requests fail at once. */
  #givenUp: DaosError | undefined;
  #backSinceNs: number | undefined;
  #retryMs = FIRST_RETRY_MS;
  #cancelRetry: (() => void) | undefined;
  #cancelDeadline: (() => void) | undefined;
  #openDeadlineNs = 0;
  #settleOpen: { resolve(): void; reject(error: DaosError): void } | undefined;
  #settleClose: (() => void) | undefined;
  #refreshing = false;

  /** Connects. Rejects with UNAVAILABLE, TIMEOUT, PROTOCOL, UNSUPPORTED, or NO_SPACE when there is no such memory. */
  static open(options: ConnectionOptions): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const connection = new Connection(options);
      connection.#settleOpen = { resolve: () => resolve(connection), reject };
      connection.#openDeadlineNs = options.clock.monotonicNs() + options.openTimeoutMs * 1e6;
      connection.#addon.connect(connection.#shared.handle);
    });
  }

  private constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#addon = options.addon;
    this.#policy = new PollPolicy(options.pollUs);
    this.#spins = new SpinPolicy(options.pollUs > 0);
    const { settings } = options;
    try {
      this.#shared = this.#addon.create(settings, (events) => this.#handle(events));
    } catch (error) {
      throw memoryError(error, settings.hugePages === 2, Math.ceil(settings.poolPages / PAGES_PER_HUGE_PAGE));
    }
    this.#commands = new Float64Array(this.#shared.commands);
    this.#completions = new Uint32Array(this.#shared.completions);
  }

  get state(): ConnectionState {
    return this.#state;
  }

  get description(): VhostUserDescription {
    assert(this.#description !== undefined, "the connection was opened");
    return this.#description;
  }

  get memory(): ArrayBuffer {
    return this.#shared.memory;
  }

  /** Bytes at the front of the memory that are the rings'. */
  get ringBytes(): number {
    return this.#shared.ringBytes;
  }

  get hugePages(): boolean {
    return this.#shared.hugePages;
  }

  /** As of DeviceHealth. */
  get backSinceNs(): number | undefined {
    return this.#backSinceNs;
  }

  /** Requests that have not ended. */
  get pending(): number {
    return this.#inFlight + this.#waiting.length;
  }

  /** Takes the request; it ends by one of its two calls, which may come within this one. */
  submit(request: BlockRequest): void {
    if (this.#state === "connected" && this.#freeSlots.length > 0) {
      const alone = this.#inFlight === 0;
      this.#place(request);
      if (!alone) this.#spins.company();
      // A lone request goes at once; company is submitted together at the end of the turn.
      const spinNs = alone && !this.#inTurn ? this.#spins.lone() : -1;
      if (spinNs >= 0) this.#turn(spinNs);
      else this.#schedule();
      return;
    }
    const error = this.#givenUp ?? (this.#state === "closed" || this.#state === "closing" ? closedError() : undefined);
    if (error === undefined) this.#waiting.push(request);
    else request.failed(error);
  }

  /** Has the size read again, in the background; `resized` tells. */
  refresh(): void {
    if (this.#state !== "connected" || this.#refreshing) return;
    this.#refreshing = true;
    this.#addon.refresh(this.#shared.handle);
  }

  /** Ends the connection; nothing may be pending. The memory lives until nobody refers to it. */
  close(): Promise<void> {
    assert(this.pending === 0, "nothing is in flight");
    if (this.#state === "closed" || this.#state === "failed") return Promise.resolve();
    const polite = this.#state === "connected";
    this.#state = "closing";
    this.#cancelTimers();
    if (!polite) {
      this.#destroy("closed");
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      this.#settleClose = resolve;
      this.#addon.disconnect(this.#shared.handle);
    });
  }

  #place(request: BlockRequest): void {
    const slot = this.#freeSlots.pop()!;
    this.#requests[slot] = request;
    if (this.#inFlight === 0) this.#policy.started(this.#options.clock.monotonicNs());
    this.#inFlight += 1;
    const commands = this.#commands;
    const at = this.#commandCount * COMMAND_DOUBLES;
    this.#commandCount += 1;
    commands[at] = slot;
    commands[at + 1] = request.type;
    commands[at + 2] = request.deviceByte / SECTOR_BYTES;
    commands[at + 3] = request.place;
    commands[at + 4] = request.length;
  }

  #schedule(): void {
    if (this.#turnScheduled) return;
    this.#turnScheduled = true;
    this.#options.timers.soon(this.#scheduledTurn);
  }

  readonly #scheduledTurn = (): void => {
    this.#turnScheduled = false;
    this.#spins.turned();
    this.#turn(0);
  };

  /** Submits what has gathered, ends what is complete, and decides how to wait for the rest. */
  #turn(spinNs: number): void {
    if (this.#state !== "connected") return;
    const submitted = this.#commandCount;
    const count = this.#exchange(spinNs);
    if (spinNs > 0) this.#spins.waited(count > 0 ? this.#policy.lastWaitNs : spinNs, count === 0);
    if (this.#inFlight === 0 || count < 0) return;
    if (count > 0 || submitted > 0 || this.#commandCount > 0) {
      this.#schedule();
    } else if (this.#policy.polls(this.#options.clock.monotonicNs()) || !this.#addon.arm(this.#shared.handle)) {
      this.#schedule();
    }
  }

  /** Count of requests that ended; negative when the back-end broke the rules, and then nothing is left. */
  #exchange(spinNs: number): number {
    const commandCount = this.#commandCount;
    this.#commandCount = 0;
    const count = this.#shared.exchange(commandCount, spinNs);
    if (count === 0) return 0;
    if (count < 0) {
      assert(count !== ExchangeFailure.wrongCommand, "the addon takes the command");
      this.#failForGood(violationError(this.#options.settings.socketPath));
      return count;
    }
    this.#inTurn = true;
    this.#policy.completed(this.#options.clock.monotonicNs());
    const completions = this.#completions;
    for (let index = 0; index < 2 * count; index += 2) {
      const slot = completions[index]!;
      const request = this.#requests[slot]!;
      this.#requests[slot] = undefined;
      this.#freeSlots.push(slot);
      this.#inFlight -= 1;
      request.completed(completions[index + 1]!);
    }
    this.#refill();
    this.#inTurn = false;
    return count;
  }

  #refill(): void {
    while (this.#waiting.length > 0 && this.#freeSlots.length > 0 && this.#state === "connected") {
      this.#place(this.#waiting.shift()!);
    }
  }

  #handle(events: number): void {
    if (this.#state === "closed" || this.#state === "failed") return;
    if ((events & VhostUserEvent.disconnected) !== 0) {
      this.#destroy("closed");
      this.#settleClose?.();
      return;
    }
    if (this.#state === "closing") return;
    if ((events & VhostUserEvent.connected) !== 0) this.#connected();
    if ((events & VhostUserEvent.configChanged) !== 0) this.refresh();
    if ((events & VhostUserEvent.configRead) !== 0) this.#configRead();
    if ((events & VhostUserEvent.completion) !== 0) this.#turn(0);
    if ((events & VhostUserEvent.lost) !== 0) this.#lost();
    if ((events & VhostUserEvent.connectFailed) !== 0) this.#connectFailed();
  }

  #connected(): void {
    const description = this.#addon.describe(this.#shared.handle);
    if (this.#description !== undefined && !sameDevice(this.#description, description)) {
      this.#failForGood(changedError(this.#options.settings.socketPath));
      return;
    }
    const first = this.#description === undefined;
    this.#description = description;
    if (first) this.#makeSlots(description.queues * this.#options.settings.depth);
    this.#cancelTimers();
    this.#retryMs = FIRST_RETRY_MS;
    this.#givenUp = undefined;
    this.#state = "connected";
    if (!first) this.#backSinceNs = this.#options.clock.monotonicNs();
    this.#addon.resume(this.#shared.handle);
    this.#refill();
    if (this.#inFlight > 0) this.#schedule();
    this.#settleOpen?.resolve();
    this.#settleOpen = undefined;
    if (first) return;
    this.#options.restored();
    this.#options.resized(description.capacityBytes);
  }

  #makeSlots(count: number): void {
    this.#requests = Array.from({ length: count }, () => undefined);
    this.#freeSlots = Array.from({ length: count }, (_, index) => count - 1 - index);
  }

  #configRead(): void {
    this.#refreshing = false;
    this.#description = this.#addon.describe(this.#shared.handle);
    this.#options.resized(this.#description.capacityBytes);
  }

  #lost(): void {
    if (this.#state !== "connected") return;
    // What completed before the end counts; what was not submitted yet joins what was, for the next connection.
    if (this.#exchange(0) < 0) return;
    this.#state = "lost";
    this.#backSinceNs = Infinity;
    this.#refreshing = false;
    const reason = connectionError(this.#options.settings.socketPath, this.#addon.failure(this.#shared.handle));
    this.#cancelDeadline = this.#options.timers.after(this.#options.reconnectTimeoutMs, () => this.#giveUp(reason));
    this.#options.lost(reason);
    this.#retry();
  }

  #connectFailed(): void {
    const failure = this.#addon.failure(this.#shared.handle);
    const error = connectionError(this.#options.settings.socketPath, failure);
    if (this.#settleOpen !== undefined) {
      const mayCome = failure.kind === VhostUserFailure.unavailable;
      if (!mayCome || this.#options.clock.monotonicNs() >= this.#openDeadlineNs) {
        this.#destroy("closed");
        this.#settleOpen.reject(error);
        this.#settleOpen = undefined;
        return;
      }
    }
    this.#cancelRetry = this.#options.timers.after(this.#retryMs, () => this.#retry());
    this.#retryMs = Math.min(2 * this.#retryMs, MAX_RETRY_MS);
  }

  #retry(): void {
    this.#cancelRetry = undefined;
    this.#addon.connect(this.#shared.handle);
  }

  /** The back-end stayed away: everything fails now, and nothing of it is submitted when the back-end comes after all. */
  #giveUp(reason: DaosError): void {
    this.#cancelDeadline = undefined;
    const seconds = this.#options.reconnectTimeoutMs / 1000;
    const text = `${reason.message} It has been away for more than ${seconds} s.`;
    this.#givenUp = new DaosError("UNAVAILABLE", text, { cause: reason });
    this.#addon.abandon(this.#shared.handle);
    this.#commandCount = 0;
    this.#failAll(this.#givenUp);
  }

  #failForGood(error: DaosError): void {
    this.#givenUp = error;
    this.#destroy("failed");
    this.#settleOpen?.reject(error);
    this.#settleOpen = undefined;
    this.#failAll(error);
  }

  #failAll(error: DaosError): void {
    const failed: BlockRequest[] = [];
    for (const [slot, request] of this.#requests.entries()) {
      if (request === undefined) continue;
      failed.push(request);
      this.#requests[slot] = undefined;
      this.#freeSlots.push(slot);
    }
    failed.push(...this.#waiting.takeAll());
    this.#inFlight = 0;
    for (const request of failed) request.failed(error);
  }

  #destroy(state: "closed" | "failed"): void {
    this.#cancelTimers();
    this.#state = state;
    this.#addon.destroy(this.#shared.handle);
  }

  #cancelTimers(): void {
    this.#cancelRetry?.();
    this.#cancelDeadline?.();
    this.#cancelRetry = undefined;
    this.#cancelDeadline = undefined;
  }
}

/** Whether requests made for the one can be given to the other. */
function sameDevice(before: VhostUserDescription, after: VhostUserDescription): boolean {
  return (
    after.blockBytes === before.blockBytes &&
    after.queues === before.queues &&
    after.flush === before.flush &&
    after.readOnly === before.readOnly &&
    after.segmentBytes >= before.segmentBytes &&
    after.maxSegments >= before.maxSegments &&
    (before.maxDiscardSectors === 0 || after.maxDiscardSectors >= before.maxDiscardSectors)
  );
}
