/**
 * Which requests of which clients were completed, so that one that is sent again is answered and not run again (RIFL: Lee
 * et al., "Implementing linearizability at large scale and low latency", 2015). Filled from the origins of records;
 * a client's acknowledgement ("all below this one are answered") lets entries go.
 *
 * Bounded: clients that sent nothing for FORGET_CLIENT_MS to twice that, or of which there are too many, are forgotten, the
 * longest silent first. One number is left of them all: an epoch that none of their requests was completed after. A request
 * completes after the epoch at which it got its number (ObjectRequest.issued); so one that is not known, and was numbered
 * before that epoch, may have been completed: it is "old". Of a client with more than MAX_CLIENT_REQUESTS entries the
 * lower half goes, and counts as acknowledged: such requests are "old", too.
 */
import type { DtxId } from "../base/dtx-id.ts";
import { type Epoch, EPOCH_NONE } from "../base/epoch.ts";
import { FORGET_CLIENT_MS, MAX_CLIENT_REQUESTS, MAX_REQUEST_CLIENTS, MAX_REQUESTS } from "../base/limits.ts";
import type { Timers } from "../contracts/world.ts";
import type { RequestRow } from "../format/settled-row.ts";
import type { CompletedRequest, RememberedRequest, Requests } from "./cell.ts";

interface Client {
  /** Requests below it are acknowledged. */
  firstIncomplete: number;
  readonly entries: Map<number, CompletedRequest>;
}

export class RequestTable implements Requests {
  /** Clients heard of lately, and those before: the latter go when the former are too many or too long there. */
  #young = new Map<number, Client>();
  #old = new Map<number, Client>();
  #lastId = 0;
  #last: Client | undefined;
  #youngRequests = 0;
  /** The newest epoch of any request, and what it was when the young ones became the old ones. */
  #latest: Epoch = EPOCH_NONE;
  #oldLatest: Epoch = EPOCH_NONE;
  #forgottenTo: Epoch = EPOCH_NONE;
  /** Clients whose rows in the index are to go, and the last sequence that may make one anew. */
  readonly #forgotten = new Map<number, number>();
  #timers: Timers | undefined;
  #timer: (() => void) | undefined;
  /** See CellStore.pending. */
  pending: (sequence: number) => number = (sequence) => sequence;
  /** Of the log. */
  lastSequence: () => number = () => 0;

  #find(id: number): Client | undefined {
    if (id === this.#lastId && this.#last !== undefined) return this.#last;
    let client = this.#young.get(id);
    if (client === undefined) {
      client = this.#old.get(id);
      if (client === undefined) return undefined;
      this.#old.delete(id);
      this.#enter(id, client);
    }
    this.#lastId = id;
    this.#last = client;
    return client;
  }

  /** Ages from now on. */
  start(timers: Timers): void {
    this.#timers = timers;
    this.#arm();
  }

  stop(): void {
    this.#timers = undefined;
    this.#timer?.();
  }

  #arm(): void {
    if (this.#timer !== undefined || this.clientCount === 0) return;
    this.#timer = this.#timers?.after(FORGET_CLIENT_MS, () => {
      this.#timer = undefined;
      this.age();
      this.#arm();
    });
  }

  #enter(id: number, client: Client): void {
    if (this.#young.size >= MAX_REQUEST_CLIENTS / 2 || this.#youngRequests >= MAX_REQUESTS / 2) this.age();
    this.#young.set(id, client);
    this.#youngRequests += client.entries.size;
    this.#arm();
  }

  /** Forgets the clients that were silent since it was called last. */
  age(): void {
    const lastSequence = this.lastSequence();
    for (const id of this.#old.keys()) this.#forgotten.set(id, lastSequence);
    if (this.#old.size > 0) this.forget(this.#oldLatest);
    this.#old = this.#young;
    this.#oldLatest = this.#latest;
    this.#young = new Map();
    this.#youngRequests = 0;
    this.#last = undefined;
  }

  /** See Requests. */
  get forgottenTo(): Epoch {
    return this.#forgottenTo;
  }

  /** See Requests. */
  forget(upTo: Epoch): void {
    if (upTo > this.#forgottenTo) this.#forgottenTo = upTo;
  }

  #seen(epoch: Epoch): void {
    if (epoch > this.#latest) this.#latest = epoch;
  }

  /** Clients that are not remembered and may have a row in the index. */
  forgotten(): Float64Array {
    for (const id of this.#forgotten.keys()) if (this.#young.has(id) || this.#old.has(id)) this.#forgotten.delete(id);
    return new Float64Array(this.#forgotten.keys());
  }

  /** Their rows are gone, and the records up to `sequence` settled. */
  forgottenSettled(clients: Float64Array, sequence: number): void {
    for (const id of clients) if (this.#forgotten.get(id)! <= sequence) this.#forgotten.delete(id);
  }

  /** Takes what the index has of a client that is not there yet. */
  restore(id: number, { firstIncomplete, completed }: RequestRow): void {
    for (const [, epoch] of completed) this.#seen(epoch);
    const entries = new Map(completed.map(([sequence, epoch]) => [sequence, { epoch, sequence: 0 }]));
    this.#enter(id, { firstIncomplete, entries });
  }

  /** Clients that are remembered. */
  get clientCount(): number {
    return this.#young.size + this.#old.size;
  }

  /** See Requests. */
  completed({ client: id, sequence }: DtxId, firstIncomplete = 0): CompletedRequest | "old" | undefined {
    const client = this.#find(id);
    if (client === undefined) return undefined;
    this.#acknowledge(client, firstIncomplete);
    if (sequence < client.firstIncomplete) return "old";
    const found = client.entries.get(sequence);
    return found === undefined ? undefined : { epoch: found.epoch, sequence: this.pending(found.sequence) };
  }

  /** See Requests. */
  *remembered(): Generator<RememberedRequest, void, void> {
    for (const [client, { firstIncomplete, entries }] of [...this.#young, ...this.#old]) {
      for (const [sequence, entry] of entries) {
        if (this.pending(entry.sequence) !== 0) continue;
        yield { client, sequence, firstIncomplete, epoch: entry.epoch };
      }
    }
  }

  /** A record of this origin was appended: `sequence` is what rests on it, 0 when it is settled. */
  add({ client: id, sequence: number }: DtxId, firstIncomplete: number, epoch: Epoch, sequence: number): void {
    let client = this.#find(id);
    if (client === undefined) {
      client = { firstIncomplete: 0, entries: new Map() };
      this.#enter(id, client);
      this.#lastId = id;
      this.#last = client;
    }
    this.#seen(epoch);
    this.#acknowledge(client, firstIncomplete);
    if (number < client.firstIncomplete) return;
    const { entries } = client;
    const before = entries.size;
    entries.set(number, { epoch, sequence });
    this.#youngRequests += entries.size - before;
    if (entries.size > MAX_CLIENT_REQUESTS) this.#halve(client);
    if (this.#youngRequests > MAX_REQUESTS) this.age();
  }

  #halve(client: Client): void {
    const numbers = [...client.entries.keys()].sort((left, right) => left - right);
    this.#acknowledge(client, numbers[numbers.length >> 1]!);
  }

  #acknowledge(client: Client, firstIncomplete: number): void {
    const from = client.firstIncomplete;
    if (firstIncomplete <= from) return;
    client.firstIncomplete = firstIncomplete;
    const { entries } = client;
    const before = entries.size;
    if (firstIncomplete - from <= before) {
      for (let number = from; number < firstIncomplete; number += 1) entries.delete(number);
    } else {
      for (const number of entries.keys()) if (number < firstIncomplete) entries.delete(number);
    }
    this.#youngRequests -= before - entries.size;
  }

  /** The record of this origin was aborted: the request may run again. */
  remove({ client: id, sequence }: DtxId): void {
    const client = this.#find(id);
    if (client?.entries.delete(sequence) === true) this.#youngRequests -= 1;
  }
}
