/**
 * Which requests of which clients have changed records, so that one that is sent again, to this leader or to a later one,
 * is answered and not run again (RIFL: Lee et al., "Implementing linearizability at large scale and low latency", 2015). A
 * client that lost its connection cannot know otherwise whether ALREADY_EXISTS means its own success.
 *
 * What a request was done to is written in the commit that makes it irrevocable (`Mark`): both are there, or neither.
 * Whoever finds it there does what may be left to do, which every operation can do again, and answers from the records.
 *
 * Bounded as the targets' table is (src/store/request-table.ts): of a client what it has not acknowledged, at most
 * MAX_CLIENT_CHANGES; of clients MAX_CHANGE_CLIENTS, and then the newer half. One number is left of those that are forgotten:
 * an epoch that none of their requests got its number after. What is not known and has an earlier number is OLD_REQUEST.
 */
import { DaosError } from "../base/errors.ts";
import { MAX_CHANGE_CLIENTS, MAX_CLIENT_CHANGES, MAX_META_COMMIT_COMPARES } from "../base/limits.ts";
import { FORGOTTEN_REQUESTS_KEY, REQUESTS_PREFIX, requestsKey } from "../format/meta-key.ts";
import type { RequestsRecord } from "../format/meta-record.ts";
import type { RequestId } from "../format/request-id.ts";
import type { KeyedLock } from "./keyed-lock.ts";
import { absent, type Change, type MetaRecords, putRecord, type Stored, unchanged } from "./meta-records.ts";

/** Adds to a change that it is the outcome of this request, done to `subject`. */
export type Mark = <Result>(change: Change<Result>, subject: string) => Promise<Change<Result>>;

/** Of a request that is not sent again, or of nobody's. */
export const unmarked: Mark = (change) => Promise.resolve(change);

/** What is known of a client. */
interface Known {
  readonly stored: Stored<"requests"> | undefined;
  readonly forgottenTo: Stored<"counter"> | undefined;
}

/** Clients forgotten in one commit: it compares each of them, the counter, and the leader's record. */
const FORGOTTEN_AT_ONCE = MAX_META_COMMIT_COMPARES - 2;

export class RequestOutcomes {
  readonly #records: MetaRecords;
  readonly #locks: KeyedLock;
  readonly #maxClients: number;
  /** Clients that are remembered, about; undefined: not counted yet. */
  #clientCount: number | undefined;

  constructor(records: MetaRecords, locks: KeyedLock, maxClients = MAX_CHANGE_CLIENTS) {
    this.#records = records;
    this.#locks = locks;
    this.#maxClients = maxClients;
  }

  /**
   * Runs a request, or, when it was done before, `again` with what it was done to. Copies of it run one after the other.
   * Rejects with OLD_REQUEST, and as these do.
   */
  async once<Reply>(
    id: RequestId | undefined,
    run: (mark: Mark) => Promise<Reply>,
    again: (subject: string) => Promise<Reply>,
  ): Promise<Reply> {
    if (id === undefined) return run(unmarked);
    return this.#locks.run(`request/${id.client}/${id.sequence}`, async () => {
      const known = await this.#known(id);
      const before = subjectOf(id, known);
      if (before !== undefined) return again(before);
      if (known.stored === undefined) await this.#makeRoom();
      try {
        return await run((change, subject) => this.#marked(id, change, subject));
      } catch (error) {
        return again(await this.#doneInSpiteOf(error, id));
      }
    });
  }

  /**
   * The commit may have happened all the same: one that timed out, or a copy in another process that was faster. Rejects with
   * `failure` when it has not, as far as one can see.
   */
  async #doneInSpiteOf(failure: unknown, id: RequestId): Promise<string> {
    if (!(failure instanceof DaosError)) throw failure;
    const subject = await this.#known(id).then(
      (known) => subjectOf(id, known),
      () => undefined,
    );
    if (subject === undefined) throw failure;
    return subject;
  }

  async #known({ client }: RequestId): Promise<Known> {
    const stored = await this.#records.get("requests", requestsKey(client));
    return { stored, forgottenTo: await this.#records.get("counter", FORGOTTEN_REQUESTS_KEY) };
  }

  /** Called within a change. */
  async #marked<Result>(id: RequestId, change: Change<Result>, subject: string): Promise<Change<Result>> {
    const known = await this.#known(id);
    if (subjectOf(id, known) !== undefined) throw doneMeanwhile(id);
    const { stored, forgottenTo } = known;
    const key = requestsKey(id.client);
    return {
      compares: [
        ...change.compares,
        stored === undefined ? absent(key) : unchanged(stored),
        // What is forgotten meanwhile may be an outcome of this request.
        { key: FORGOTTEN_REQUESTS_KEY, revision: forgottenTo?.revision ?? 0 },
      ],
      operations: [...change.operations, putRecord("requests", key, noted(stored?.record, id, subject))],
      result: change.result,
    };
  }

  /** For one more client. */
  async #makeRoom(): Promise<void> {
    this.#clientCount = (this.#clientCount ?? Number.POSITIVE_INFINITY) + 1;
    if (this.#clientCount <= this.#maxClients) return;
    const all = await this.#records.all("requests", REQUESTS_PREFIX);
    this.#clientCount = all.length + 1;
    if (this.#clientCount <= this.#maxClients) return;
    const oldest = all.toSorted((left, right) => left.record.latest - right.record.latest);
    const gone = oldest.slice(0, Math.ceil(all.length / 2));
    for (let from = 0; from < gone.length; from += FORGOTTEN_AT_ONCE) {
      await this.#forget(gone.slice(from, from + FORGOTTEN_AT_ONCE));
    }
  }

  /** Those that are as they were read. */
  #forget(clients: readonly Stored<"requests">[]): Promise<void> {
    const records = this.#records;
    return records.change("forget clients", async (): Promise<Change<void>> => {
      const counter = await records.get("counter", FORGOTTEN_REQUESTS_KEY);
      const present = await Promise.all(clients.map(({ key }) => records.get("requests", key)));
      const gone = clients.filter(({ revision }, at) => present[at]?.revision === revision);
      const value = Math.max(counter?.record.value ?? 0, ...gone.map(({ record }) => record.latest));
      return {
        compares: [...gone.map(unchanged), { key: FORGOTTEN_REQUESTS_KEY, revision: counter?.revision ?? 0 }],
        operations: [
          ...gone.map(({ key }) => ({ remove: key })),
          putRecord("counter", FORGOTTEN_REQUESTS_KEY, { value }),
        ],
        result: undefined,
      };
    });
  }
}

/** Undefined: it was not done. Throws OLD_REQUEST when that is not known any more. */
function subjectOf({ client, sequence, issued }: RequestId, { stored, forgottenTo }: Known): string | undefined {
  const done = stored?.record.done.find((one) => one.sequence === sequence);
  if (done !== undefined) return done.subject;
  const isForgotten =
    stored === undefined ? issued <= (forgottenTo?.record.value ?? 0) : sequence < stored.record.firstIncomplete;
  if (!isForgotten) return undefined;
  const state = "it got its number so long ago that it may have been run before, and that is forgotten";
  throw new DaosError(
    "OLD_REQUEST",
    `Cannot run request ${sequence} of client ${client}: ${state}. Look what is there before you ask again.`,
  );
}

/** With one more that is done; without what the client has acknowledged, nor the older half when they are too many. */
function noted(record: RequestsRecord | undefined, id: RequestId, subject: string): RequestsRecord {
  const before = record ?? { firstIncomplete: 0, latest: 0, done: [] };
  const all = [...before.done, { sequence: id.sequence, subject }].toSorted((left, right) => {
    return left.sequence - right.sequence;
  });
  const half = all.length > MAX_CLIENT_CHANGES ? all[all.length >> 1]!.sequence : 0;
  const firstIncomplete = Math.max(before.firstIncomplete, id.firstIncomplete, half);
  return {
    firstIncomplete,
    latest: Math.max(before.latest, id.issued),
    done: all.filter(({ sequence }) => sequence >= firstIncomplete),
  };
}

function doneMeanwhile({ client, sequence }: RequestId): DaosError {
  const state = "a copy of it was done meanwhile";
  return new DaosError("CONFLICT", `Cannot run request ${sequence} of client ${client}: ${state}. Ask again.`);
}
