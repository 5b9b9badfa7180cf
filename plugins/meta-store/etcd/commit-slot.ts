/**
 * Commits that happen once, however often they are sent.
 *
 * An etcd transaction whose answer was lost may have been applied, or may be still: a member that was stopped can wake up
 * and apply what it had received long before. So each commit also compares and writes one key of this store, its *slot*:
 *
 *     compare  slot.mod_revision = what our last commit made it;  the caller's compares
 *     then     the caller's operations;  slot := a new random id
 *     else     read the slot
 *
 * Of all copies of a commit at most one finds the slot as it was, and the slot's value tells whether one did. Before we
 * say that none did although a copy is on its way, the slot is written anew, which makes every such copy fail. Nothing
 * depends on time. Commits of one store follow one another. The value of a slot is the id of the last commit, 16 bytes.
 * Slots of stores that were not closed are removed when there are over MAX_SLOTS, those first that wrote least recently;
 * a live store that loses its slot makes another.
 */
import { bytesEqual } from "../../../src/base/bytes.ts";
import type { DaosError } from "../../../src/base/errors.ts";
import type { Random } from "../../../src/contracts/world.ts";
import type { Answer, Cluster } from "./cluster.ts";
import type { Identity } from "./identity.ts";
import { afterPrefix, type KeySpace } from "./key-space.ts";
import {
  type Compare,
  type KeyValue,
  type RequestOp,
  TARGET_MOD,
  TXN,
  type TxnRequest,
  type TxnResponse,
} from "./protocol.ts";

const ACTION = "commit to";
const ID_BYTES = 16;
/** Slots that may be in etcd. */
const MAX_SLOTS = 64;
/** Slots looked at in one go, and removed. */
const SLOT_PAGE = 60;
/** Commits of one store that wait for their turn. */
const MAX_WAITING = 4096;
/** A slot that cannot be removed within this time is left to others. */
const CLOSE_TIMEOUT_MS = 1_000;
/** A slot that is lost again and again: something else writes our keys. */
const MAX_SLOTS_A_COMMIT = 4;

interface Slot {
  readonly key: Buffer;
  revision: number;
}

/** What the slot says about a commit. */
type Verdict = { readonly applied: number } | "not applied" | "slot lost";

export class CommitSlot {
  readonly #cluster: Cluster;
  readonly #identity: Identity;
  readonly #keys: KeySpace;
  readonly #random: Random;
  #slot: Slot | undefined;
  /** A slot given up while a copy of its last commit may be on its way: removed with the next slot's making. */
  #abandoned: Buffer | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(cluster: Cluster, identity: Identity, keys: KeySpace, random: Random) {
    this.#cluster = cluster;
    this.#identity = identity;
    this.#keys = keys;
    this.#random = random;
  }

  /**
   * The commit's revision. Rejects with CONFLICT, NOT_FOUND (lease), NO_SPACE, PERMISSION, UNAVAILABLE, OVERLOADED: nothing
   * happened nor will. TIMEOUT: it may have happened, or may still until this store's next commit.
   */
  commit(compares: readonly Compare[], operations: readonly RequestOp[]): Promise<number> {
    if (this.#waiting >= MAX_WAITING) {
      const state = `${this.#waiting} commits wait already`;
      return Promise.reject(this.#cluster.error("OVERLOADED", ACTION, state, "Try again later"));
    }
    this.#waiting += 1;
    const deadlineNs = this.#cluster.deadlineNs();
    const turn = this.#turn.then(() => this.#commit(compares, operations, deadlineNs));
    this.#turn = turn.catch(() => {});
    return turn.finally(() => {
      this.#waiting -= 1;
    });
  }

  /** Removes the slot, if etcd can be reached; after the commits that wait. */
  async close(): Promise<void> {
    await this.#turn;
    const slot = this.#slot;
    if (slot === undefined) return;
    this.#slot = undefined;
    const compare = [this.#identity.compare(), unchanged(slot.key, slot.revision)];
    const request = { compare, success: [{ requestDeleteRange: { key: slot.key } }], failure: [] };
    await this.#cluster.ask("leave", TXN, request, this.#cluster.deadlineNs(CLOSE_TIMEOUT_MS));
  }

  async #commit(compares: readonly Compare[], operations: readonly RequestOp[], deadlineNs: number): Promise<number> {
    for (let slots = 1; slots <= MAX_SLOTS_A_COMMIT; slots += 1) {
      const slot = (this.#slot ??= await this.#open(deadlineNs));
      const id = this.#newId();
      const least = this.#identity.revision;
      const answer = await this.#ask(deadlineNs, {
        compare: [this.#identity.compare(), unchanged(slot.key, slot.revision), ...compares],
        success: [...operations, { requestPut: { key: slot.key, value: id } }],
        failure: [{ requestRange: { key: slot.key } }, this.#identity.read()],
      });
      if (answer.error !== undefined) {
        if (!answer.uncertain) throw answer.error;
        return await this.#settle(slot, id, answer.error, deadlineNs);
      }
      const { response } = answer;
      const at = this.#identity.check(ACTION, response, least);
      if (response.succeeded) return (slot.revision = at);
      const verdict = this.#verdict(response, slot, id);
      if (typeof verdict === "object") return (slot.revision = verdict.applied);
      if (verdict === "slot lost") {
        this.#slot = undefined;
        if (answer.uncertain) throw this.#unknown("the slot was lost");
        continue;
      }
      const conflict = this.#cluster.error(
        "CONFLICT",
        ACTION,
        "a key was changed meanwhile",
        "Read it again and retry",
      );
      if (!answer.uncertain) throw conflict;
      return await this.#settle(slot, id, conflict, deadlineNs);
    }
    throw this.#cluster.error("IO", ACTION, "its bookkeeping keeps vanishing", "See who else writes under its prefix");
  }

  /**
   * A copy of the commit may be on its way: makes sure that it fails, and throws `error`; or finds that one was applied,
   * and returns its revision.
   */
  async #settle(slot: Slot, id: Uint8Array, error: DaosError, deadlineNs: number): Promise<number> {
    const fence = this.#newId();
    const answer = await this.#ask(deadlineNs, {
      compare: [this.#identity.compare(), unchanged(slot.key, slot.revision)],
      success: [{ requestPut: { key: slot.key, value: fence } }],
      failure: [{ requestRange: { key: slot.key } }, this.#identity.read()],
    });
    if (answer.error !== undefined) {
      this.#abandon(slot);
      throw this.#unknown(answer.error.message, answer.error);
    }
    const { response } = answer;
    if (response.succeeded) {
      slot.revision = Number(response.header.revision);
      throw error;
    }
    const committed = this.#verdict(response, slot, id);
    if (typeof committed === "object") return (slot.revision = committed.applied);
    const fenced = this.#verdict(response, slot, fence);
    if (typeof fenced !== "object") {
      this.#abandon(slot);
      throw this.#unknown("the slot was lost");
    }
    slot.revision = fenced.applied;
    throw error;
  }

  #verdict(response: TxnResponse, slot: Slot, id: Uint8Array): Verdict {
    // The identity was absent and another store made it: ours has not been written, so there is no slot either.
    if (!this.#identity.adopt(ACTION, response, 1)) return "slot lost";
    const found = response.responses[0]?.responseRange?.kvs[0];
    if (found === undefined) return "slot lost";
    if (bytesEqual(found.value, id)) return { applied: Number(found.modRevision) };
    return Number(found.modRevision) === slot.revision ? "not applied" : "slot lost";
  }

  #abandon(slot: Slot): void {
    this.#slot = undefined;
    this.#abandoned = slot.key;
  }

  async #open(deadlineNs: number): Promise<Slot> {
    const id = this.#newId();
    const key = this.#keys.slot(id);
    const removals = this.#abandoned === undefined ? [] : [{ requestDeleteRange: { key: this.#abandoned } }];
    let revision: number | undefined;
    while (revision === undefined) {
      const identity = this.#identity.making(this.#newId());
      const making = identity === undefined ? [] : [identity.operation];
      const least = this.#identity.revision;
      const request = {
        compare: [this.#identity.compare(), unchanged(key, 0)],
        success: [{ requestPut: { key, value: id } }, ...making, ...removals],
        failure: [{ requestRange: { key } }, this.#identity.read()],
      };
      const response = await this.#cluster.call(ACTION, TXN, request, deadlineNs);
      const at = this.#identity.check(ACTION, response, least);
      if (response.succeeded) {
        identity?.made();
        revision = at;
      } else {
        // An earlier copy made it, or another store made the identity first: then it is tried again.
        const verdict = this.#verdict(response, { key, revision: 0 }, id);
        if (typeof verdict === "object") revision = verdict.applied;
      }
    }
    this.#abandoned = undefined;
    await this.#removeOld(deadlineNs);
    return { key, revision };
  }

  async #removeOld(deadlineNs: number): Promise<void> {
    const range = { key: this.#keys.slots, rangeEnd: afterPrefix(this.#keys.slots), keysOnly: true };
    const found = await this.#identity.fetch(ACTION, [{ requestRange: range }], deadlineNs);
    const slots = [...(found.responses[0]?.responseRange?.kvs ?? [])];
    if (slots.length <= MAX_SLOTS) return;
    const ages = slots.toSorted((left, right) => Number(left.modRevision) - Number(right.modRevision));
    const old = ages.slice(0, Math.min(slots.length - MAX_SLOTS, SLOT_PAGE));
    const compare = old.map((slot: KeyValue) => unchanged(slot.key, Number(slot.modRevision)));
    const success = old.map(({ key }) => ({ requestDeleteRange: { key } }));
    await this.#cluster.call(ACTION, TXN, { compare, success, failure: [] }, deadlineNs);
  }

  #ask(deadlineNs: number, request: TxnRequest): Promise<Answer<TxnResponse>> {
    return this.#cluster.ask(ACTION, TXN, request, deadlineNs);
  }

  #newId(): Uint8Array {
    const id = new Uint8Array(ID_BYTES);
    this.#random.fill(id);
    return id;
  }

  #unknown(state: string, cause?: unknown): DaosError {
    const known = "whether it happened is not known";
    return this.#cluster.error("TIMEOUT", ACTION, `${known} (${state})`, "Read what it should have changed", cause);
  }
}

function unchanged(key: Uint8Array, revision: number): Compare {
  return { target: TARGET_MOD, key, modRevision: revision };
}
