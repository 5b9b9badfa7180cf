/**
 * What settling keeps of decisions that are not forgotten, and of completed requests: for each client whose records are settled a row with the requests that it has
 * not acknowledged by then. Together with the origins of the records that are still in the log it makes the request table.
 */
import type { Epoch } from "../base/epoch.ts";
import { MAX_CLIENT_REQUESTS } from "../base/limits.ts";
import type { LogRecord } from "../format/log-record.ts";
import {
  decisionKey,
  decodeRequests,
  encodeNumbers,
  encodeRequests,
  FORGOTTEN_ROW,
  requestsKey,
} from "../format/settled-row.ts";
import { recordEpoch } from "./record-check.ts";
import type { IndexTransaction } from "./settled-index.ts";

interface Client {
  firstIncomplete: number;
  readonly completed: Map<number, Epoch>;
}

/** The requests of the records that one transaction settles. */
export class RequestRows {
  readonly #clients = new Map<number, Client>();

  add({ origin, writes, reclaims }: LogRecord): void {
    if (origin === undefined) return;
    const { client: id, sequence, firstIncomplete } = origin;
    let client = this.#clients.get(id);
    if (client === undefined) {
      client = { firstIncomplete: 0, completed: new Map() };
      this.#clients.set(id, client);
    }
    if (firstIncomplete > client.firstIncomplete) client.firstIncomplete = firstIncomplete;
    client.completed.set(sequence, recordEpoch(writes, reclaims));
  }

  /** Brings the clients' rows up to date; those of `forgotten` clients go, and `forgottenTo` is left of them. */
  apply(transaction: IndexTransaction, forgotten: Float64Array, forgottenTo: Epoch): void {
    for (const [id, client] of this.#clients) mergeRow(transaction, id, client);
    for (const id of forgotten) transaction.remove("meta", requestsKey(id));
    if (forgotten.length > 0) transaction.put("meta", FORGOTTEN_ROW, encodeNumbers(FORGOTTEN_ROW, [forgottenTo]));
  }
}

function mergeRow(transaction: IndexTransaction, id: number, client: Client): void {
  const key = requestsKey(id);
  const row = transaction.get("meta", key);
  const before = row === undefined ? undefined : decodeRequests(key, row);
  const all = new Map([...(before?.completed ?? []), ...client.completed]);
  const first = Math.max(before?.firstIncomplete ?? 0, client.firstIncomplete);
  const completed = [...all].filter(([sequence]) => sequence >= first).sort((left, right) => left[0] - right[0]);
  // As the table in memory: the lower half of too many counts as acknowledged.
  const dropped = completed.length > MAX_CLIENT_REQUESTS ? completed.length >> 1 : 0;
  const firstIncomplete = dropped > 0 ? completed[dropped]![0] : first;
  transaction.put("meta", key, encodeRequests(key, { firstIncomplete, completed: completed.slice(dropped) }));
}

/** Rows of the decisions that are remembered beyond their records. */
export function writeDecisions(
  transaction: IndexTransaction,
  { decided, forgotten }: { readonly decided: Float64Array; readonly forgotten: Float64Array },
): void {
  // First, for an id may have been decided anew.
  for (let place = 0; place < forgotten.length; place += 2) {
    transaction.remove("meta", decisionKey({ client: forgotten[place]!, sequence: forgotten[place + 1]! }));
  }
  for (let place = 0; place < decided.length; place += 3) {
    const key = decisionKey({ client: decided[place]!, sequence: decided[place + 1]! });
    transaction.put("meta", key, encodeNumbers(key, [decided[place + 2]!]));
  }
}
