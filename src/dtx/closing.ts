/**
 * Closes decisions that nobody tells of any more: those that a crash left, of ours or of the leader that made them. As long
 * as a target may ask about one it is remembered; when every other target of the pools that we are in says that it does not
 * have it undecided, nobody will.
 */
import type { DtxId } from "../base/dtx-id.ts";
import { DaosError } from "../base/errors.ts";
import type { Timers } from "../contracts/world.ts";
import { decodeStates, DtxState, encodeIds } from "../format/dtx-messages.ts";
import { Opcode } from "../format/operations.ts";
import type { PoolReplication } from "./pool-replication.ts";
import type { PreparedStore } from "./prepared-store.ts";

/** Between two looks; a decision is asked about when it was there at the one before, milliseconds. */
const LOOK_MS = 5_000;
/** Decisions that are asked about at a time. */
const MAX_IDS = 1024;
const NO_ARGUMENTS = new Uint8Array(0);

export interface ClosingOptions {
  readonly store: PreparedStore;
  readonly timers: Timers;
  readonly pools: () => Iterable<PoolReplication>;
}

export class Closing {
  readonly #options: ClosingOptions;
  #seen = new Set<string>();
  #cancel: () => void;
  #isStopped = false;

  constructor(options: ClosingOptions) {
    this.#options = options;
    this.#cancel = options.timers.after(LOOK_MS, () => this.#look());
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel();
  }

  #look(): void {
    const pools = [...this.#options.pools()];
    const left = this.#options.store.decided().filter((id) => !pools.some(({ leader }) => leader.tells(id)));
    const old = left.filter((id) => this.#seen.has(nameOf(id))).slice(0, MAX_IDS);
    this.#seen = new Set(left.map(nameOf));
    void this.#close(old, pools).finally(() => {
      if (!this.#isStopped) this.#cancel = this.#options.timers.after(LOOK_MS, () => this.#look());
    });
  }

  async #close(ids: readonly DtxId[], pools: readonly PoolReplication[]): Promise<void> {
    if (ids.length === 0) return;
    const asked = pools.flatMap((pool) => pool.others.map((target) => statesAt(pool, target, ids)));
    const answers = await Promise.all(asked);
    const { store } = this.#options;
    for (const [index, id] of ids.entries()) {
      const isClosed = answers.every((states) => states !== undefined && states[index] !== DtxState.prepared);
      if (isClosed) store.forget(id);
    }
  }
}

/** What a target knows of these; undefined when it does not say. */
async function statesAt(
  pool: PoolReplication,
  target: number,
  ids: readonly DtxId[],
): Promise<readonly DtxState[] | undefined> {
  try {
    const answer = await pool.call(target, Opcode.dtxRefresh, NO_ARGUMENTS, encodeIds(ids));
    const states = decodeStates(answer.payload);
    return states.length === ids.length ? states : undefined;
  } catch (error) {
    if (error instanceof DaosError) return undefined;
    throw error;
  }
}

function nameOf({ client, sequence }: DtxId): string {
  return `${client}.${sequence}`;
}
