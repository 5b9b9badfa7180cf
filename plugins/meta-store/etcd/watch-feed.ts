/**
 * One watcher: every change under its prefix after a revision, in order, each once, over lost connections and members.
 *
 * The stream is resumed after the last revision that was told. When etcd has compacted that one meanwhile, the changes in
 * between cannot be had any more: then the prefix is read, and told is what differs from what was told before: the keys
 * written since, in the order of their revisions, then the keys that are gone. For that the keys are known.
 */
import { hasCode } from "../../../src/base/errors.ts";
import type { MetaEntry, MetaEvent } from "../../../src/contracts/meta-store.ts";
import type { Timers } from "../../../src/contracts/world.ts";
import type { Cluster } from "./cluster.ts";
import type { Failure } from "./failure.ts";
import { afterPrefix, type KeySpace } from "./key-space.ts";
import { EVENT_DELETE, type WatchResponse } from "./protocol.ts";

/** Before the stream is opened again, milliseconds. */
const RESUME_PAUSE_MS = 200;
const NOT_COMPACTED = "0";

/** A prefix as it was at a revision. */
export interface PrefixState {
  readonly entries: readonly MetaEntry[];
  readonly revision: number;
}

export interface WatchFeedParts {
  readonly cluster: Cluster;
  readonly keys: KeySpace;
  readonly timers: Timers;
  readonly prefix: string;
  /** The handler is told what is later. */
  readonly after: number;
  readonly handler: (event: MetaEvent) => void;
  /** Reads the prefix, at that revision or the newest; EPOCH_AGGREGATED when it was compacted. Keys alone: no values. */
  readonly read: (options: { revision?: number; keysOnly: boolean }) => Promise<PrefixState>;
}

export class WatchFeed {
  readonly #parts: WatchFeedParts;
  /** Keys under the prefix at revision `#told`; undefined before the first stream. */
  #known: Set<string> | undefined;
  #told: number;
  #fragments: WatchResponse["events"][number][] = [];
  #isBehind = false;
  #stopped = false;
  #cancel: () => void = () => {};

  constructor(parts: WatchFeedParts) {
    this.#parts = parts;
    this.#told = parts.after;
    void this.#begin();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  async #begin(): Promise<void> {
    try {
      await this.#prepare();
    } catch {
      // No member serves, or etcd is not what it was: reads and commits say so; the feed goes on once it is.
      this.#later();
      return;
    }
    if (!this.#stopped) this.#openStream();
  }

  /** Reads what must be known before the stream can go on. Also proves that etcd still is the store that was opened. */
  async #prepare(): Promise<void> {
    const { read } = this.#parts;
    if (this.#known === undefined) {
      try {
        const { entries } = await read({ revision: this.#told, keysOnly: true });
        this.#known = new Set(entries.map(({ key }) => key));
        return;
      } catch (error) {
        if (!hasCode(error, "EPOCH_AGGREGATED")) throw error;
        this.#isBehind = true;
      }
    }
    const state = await read({ keysOnly: !this.#isBehind });
    if (!this.#isBehind || this.#stopped) return;
    this.#tellDifference(state, this.#known ?? new Set());
    this.#isBehind = false;
  }

  #tellDifference({ entries, revision }: PrefixState, before: ReadonlySet<string>): void {
    const now = new Set(entries.map(({ key }) => key));
    const written = entries.filter((entry) => entry.revision > this.#told);
    this.#known = now;
    this.#told = revision;
    for (const entry of written.toSorted((left, right) => left.revision - right.revision)) this.#tell(entry);
    for (const key of before) if (!now.has(key)) this.#tell({ key, revision });
  }

  #openStream(): void {
    const { cluster, keys, prefix } = this.#parts;
    const member = cluster.current;
    const key = keys.bytes(prefix);
    const range = { key, rangeEnd: afterPrefix(key), startRevision: this.#told + 1, fragment: true };
    this.#fragments = [];
    this.#cancel = cluster.watch(
      member,
      { createRequest: range },
      {
        received: (response) => this.#receive(response, member),
        ended: (failure) => this.#ended(failure, member),
      },
    );
  }

  #receive(response: WatchResponse, member: number): void {
    if (response.canceled) {
      this.#cancel();
      this.#isBehind = response.compactRevision !== NOT_COMPACTED;
      if (!this.#isBehind) this.#parts.cluster.leave(member);
      this.#later();
      return;
    }
    this.#fragments.push(...response.events);
    if (response.fragment) return;
    const events = this.#fragments;
    this.#fragments = [];
    const told = this.#told;
    for (const { type, kv } of events) {
      const revision = Number(kv.modRevision);
      if (revision <= told) continue;
      this.#told = revision;
      const key = this.#parts.keys.key(kv.key);
      if (type === EVENT_DELETE) this.#known?.delete(key);
      else this.#known?.add(key);
      this.#tell({ revision, key, ...(type !== EVENT_DELETE && { value: kv.value }) });
    }
  }

  #ended(failure: Failure, member: number): void {
    if (failure.kind !== "token") this.#parts.cluster.leave(member);
    this.#later();
  }

  #later(): void {
    if (this.#stopped) return;
    const cancel = this.#parts.timers.after(RESUME_PAUSE_MS, () => void this.#begin());
    this.#cancel = cancel;
  }

  /**
   * A handler that throws has a bug: it ends the process as any uncaught error, and the feed's state is as if it had not.
   */
  #tell({ revision, key, value }: MetaEvent): void {
    if (this.#stopped) return;
    try {
      this.#parts.handler({ revision, key, ...(value !== undefined && { value: new Uint8Array(value) }) });
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}
