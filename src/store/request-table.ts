/**
 * Which requests of which clients were completed, so that one that is sent again is answered and not run again (RIFL: Lee
 * et al., "Implementing linearizability at large scale and low latency", 2015). Filled from the origins of records;
 * a client's acknowledgement ("all below this one are answered") lets entries go.
 *
 * Bounded: clients that sent nothing for FORGET_CLIENT_MS to twice that, or of which there are too many, are forgotten, the
 * longest silent first; a request of theirs that is sent again later is run again. Of a client with more than
 * MAX_CLIENT_REQUESTS entries the lower half goes, and counts as acknowledged: such requests are "old".
 *
 * A clock is none of its business: whoever owns it calls `age` every FORGET_CLIENT_MS.
 */
import type { DtxId } from "../base/dtx-id.ts";
import type { Epoch } from "../base/epoch.ts";
import { MAX_CLIENT_REQUESTS, MAX_REQUEST_CLIENTS, MAX_REQUESTS } from "../base/limits.ts";
import type { CompletedRequest, Requests } from "./cell.ts";

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
  #forgotten: number[] = [];
  /** See CellStore.pending. */
  pending: (sequence: number) => number = (sequence) => sequence;

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

  #enter(id: number, client: Client): void {
    if (this.#young.size >= MAX_REQUEST_CLIENTS / 2 || this.#youngRequests >= MAX_REQUESTS / 2) this.age();
    this.#young.set(id, client);
    this.#youngRequests += client.entries.size;
  }

  /** Forgets the clients that were silent since it was called last. */
  age(): void {
    for (const id of this.#old.keys()) this.#forgotten.push(id);
    this.#old = this.#young;
    this.#young = new Map();
    this.#youngRequests = 0;
    this.#last = undefined;
  }

  /** Clients forgotten since this was asked last. */
  takeForgotten(): number[] {
    const forgotten = this.#forgotten.filter((id) => !this.#young.has(id) && !this.#old.has(id));
    this.#forgotten = [];
    return forgotten;
  }

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

  /** A record of this origin was appended: `sequence` is what rests on it, 0 when it is settled. */
  add({ client: id, sequence: number }: DtxId, firstIncomplete: number, epoch: Epoch, sequence: number): void {
    let client = this.#find(id);
    if (client === undefined) {
      client = { firstIncomplete: 0, entries: new Map() };
      this.#enter(id, client);
      this.#lastId = id;
      this.#last = client;
    }
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
