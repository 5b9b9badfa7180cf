/**
 * The meta store on etcd. Reads and commits are transactions that compare the store's identity (identity.ts); a commit
 * happens once, though it may be sent several times (commit-slot.ts); watchers are told every change once
 * (watch-feed.ts). A revision is etcd's own: other keys of the cluster raise it too.
 */
import { DaosError, hasCode } from "../../../src/base/errors.ts";
import { UUID_BYTES } from "../../../src/base/uuid.ts";
import type { MetaCompare, MetaEntry, MetaEvent, MetaOperation, MetaStore } from "../../../src/contracts/meta-store.ts";
import type { Random, Timers, World } from "../../../src/contracts/world.ts";
import { checkCommit, checkKey, checkLeaseTtl } from "../checks.ts";
import { Cluster } from "./cluster.ts";
import { CommitSlot } from "./commit-slot.ts";
import { Identity } from "./identity.ts";
import { afterPrefix, KeySpace } from "./key-space.ts";
import { PAGE_ENTRIES } from "./members.ts";
import {
  type KeyValue,
  LEASE_GRANT,
  LEASE_KEEP_ALIVE,
  LEASE_REVOKE,
  type RangeRequest,
  type RangeResponse,
  type RequestOp,
  TARGET_MOD,
} from "./protocol.ts";
import type { EtcdSettings } from "./settings.ts";
import { WatchFeed } from "./watch-feed.ts";

/** Operations of one transaction: more are nested, for etcd counts them (--max-txn-ops, 128) by level. */
const NESTED_OPERATIONS = 60;
/** A range whose revision is compacted between its pages is read again, so many times. */
const MAX_RANGE_READS = 3;
const LEASE = /^[1-9]\d{0,18}$/;
const LEASE_ENDED = "0";
const UNTIL_THE_END = Number.POSITIVE_INFINITY;

interface PageOptions {
  readonly limit: number;
  readonly after?: string;
  readonly revision?: number;
  readonly keysOnly: boolean;
}

export class EtcdMetaStore implements MetaStore {
  readonly #cluster: Cluster;
  readonly #keys: KeySpace;
  readonly #identity: Identity;
  readonly #slot: CommitSlot;
  readonly #random: Random;
  readonly #timers: Timers;
  readonly #feeds = new Set<WatchFeed>();
  #closing: Promise<void> | undefined;

  private constructor(world: World, settings: EtcdSettings) {
    this.#cluster = new Cluster(world, settings);
    this.#keys = new KeySpace(settings.prefix);
    this.#identity = new Identity(this.#cluster, this.#keys);
    this.#slot = new CommitSlot(this.#cluster, this.#identity, this.#keys, world.random);
    this.#random = world.random;
    this.#timers = world.timers;
  }

  /** Writes nothing. Rejects with CONFIGURATION (files), UNAVAILABLE, PERMISSION (user, TLS), UNSUPPORTED. */
  static async open(world: World, settings: EtcdSettings): Promise<EtcdMetaStore> {
    const store = new EtcdMetaStore(world, settings);
    try {
      await store.#identity.fetch("open", [store.#identity.read()], store.#cluster.deadlineNs());
      return store;
    } catch (error) {
      store.#cluster.close();
      throw error;
    }
  }

  async get(key: string): Promise<MetaEntry | undefined> {
    checkKey(key);
    this.#checkOpen("read");
    const read = { requestRange: { key: this.#keys.bytes(key) } };
    const { responses } = await this.#identity.fetch("read", [read], this.#cluster.deadlineNs());
    const found = responses[0]?.responseRange?.kvs[0];
    return found === undefined ? undefined : this.#entry(found);
  }

  async range(prefix: string, options: { limit?: number; after?: string } = {}): Promise<MetaEntry[]> {
    this.#checkOpen("read");
    const { limit = UNTIL_THE_END, after } = options;
    const { entries } = await this.#read(prefix, { limit, keysOnly: false, ...(after !== undefined && { after }) });
    return entries;
  }

  async commit(compares: readonly MetaCompare[], operations: readonly MetaOperation[]): Promise<number> {
    checkCommit(compares, operations);
    this.#checkOpen("commit to");
    const compared = compares.map(({ key, revision }) => {
      return { target: TARGET_MOD, key: this.#keys.bytes(key), modRevision: revision } as const;
    });
    return this.#slot.commit(compared, nested(operations.map((operation) => this.#operation(operation))));
  }

  watch(prefix: string, handler: (event: MetaEvent) => void): () => void {
    this.#checkOpen("watch");
    const feed = new WatchFeed({
      cluster: this.#cluster,
      keys: this.#keys,
      timers: this.#timers,
      prefix,
      after: this.#identity.revision,
      handler,
      read: (options) => this.#read(prefix, { limit: UNTIL_THE_END, ...options }),
    });
    this.#feeds.add(feed);
    return () => {
      this.#feeds.delete(feed);
      feed.stop();
    };
  }

  /** etcd counts in seconds, and has a least time of its own: the lease may last longer than asked for. */
  async grantLease(ttlMs: number): Promise<string> {
    checkLeaseTtl(ttlMs);
    this.#checkOpen("grant a lease in");
    const lease = this.#newLease();
    try {
      await this.#cluster.call("grant a lease in", LEASE_GRANT, { TTL: Math.ceil(ttlMs / 1000), ID: lease });
    } catch (error) {
      // Its id is random: an earlier copy of the request granted it.
      if (!hasCode(error, "ALREADY_EXISTS")) throw error;
    }
    return lease;
  }

  async keepAlive(lease: string): Promise<boolean> {
    this.#checkOpen("keep a lease in");
    if (!LEASE.test(lease)) return false;
    const { TTL } = await this.#cluster.call("keep a lease in", LEASE_KEEP_ALIVE, { ID: lease });
    return TTL !== LEASE_ENDED;
  }

  async revokeLease(lease: string): Promise<void> {
    this.#checkOpen("revoke a lease in");
    if (!LEASE.test(lease)) return;
    try {
      await this.#cluster.call("revoke a lease in", LEASE_REVOKE, { ID: lease });
    } catch (error) {
      if (!hasCode(error, "NOT_FOUND")) throw error;
    }
  }

  /** Waits for the commits that are under way. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    for (const feed of this.#feeds) feed.stop();
    this.#feeds.clear();
    await this.#slot.close();
    this.#cluster.close();
  }

  async #read(prefix: string, options: PageOptions): Promise<{ entries: MetaEntry[]; revision: number }> {
    for (let reads = 1; ; reads += 1) {
      try {
        return await this.#pages(prefix, options);
      } catch (error) {
        const again = hasCode(error, "EPOCH_AGGREGATED") && options.revision === undefined && reads < MAX_RANGE_READS;
        if (!again) throw error;
      }
    }
  }

  /** All pages are of one revision. EPOCH_AGGREGATED: it was compacted. */
  async #pages(prefix: string, options: PageOptions): Promise<{ entries: MetaEntry[]; revision: number }> {
    const { limit, after, keysOnly } = options;
    let { revision } = options;
    const entries: MetaEntry[] = [];
    const start = this.#keys.bytes(prefix);
    const rangeEnd = afterPrefix(start);
    let key = after === undefined ? start : larger(start, following(this.#keys.bytes(after)));
    while (entries.length < limit && Buffer.compare(key, rangeEnd) < 0) {
      const page = Math.min(PAGE_ENTRIES, limit - entries.length);
      const range: RangeRequest = { key, rangeEnd, limit: page, keysOnly, ...(revision !== undefined && { revision }) };
      const answer = await this.#identity.fetch("read", [{ requestRange: range }], this.#cluster.deadlineNs());
      const { kvs, more }: RangeResponse = answer.responses[0]?.responseRange ?? { kvs: [], more: false };
      revision ??= answer.at;
      for (const found of kvs) entries.push(this.#entry(found));
      if (!more || kvs.length === 0) break;
      key = following(kvs.at(-1)!.key);
    }
    return { entries, revision: revision ?? this.#identity.revision };
  }

  #entry({ key, value, modRevision }: KeyValue): MetaEntry {
    return { key: this.#keys.key(key), value: new Uint8Array(value), revision: Number(modRevision) };
  }

  #operation(operation: MetaOperation): RequestOp {
    if ("remove" in operation) return { requestDeleteRange: { key: this.#keys.bytes(operation.remove) } };
    const { put, value, lease } = operation;
    if (lease !== undefined && !LEASE.test(lease)) {
      throw new DaosError("NOT_FOUND", `Cannot use lease "${lease}": it has ended. Grant another.`);
    }
    return { requestPut: { key: this.#keys.bytes(put), value: value.slice(), ...(lease !== undefined && { lease }) } };
  }

  #newLease(): string {
    const bytes = Buffer.alloc(UUID_BYTES);
    this.#random.fill(bytes);
    // Ids are positive 64-bit numbers.
    return ((bytes.readBigUInt64BE() >> 1n) | 1n).toString();
  }

  #checkOpen(action: string): void {
    if (this.#closing !== undefined) {
      throw this.#cluster.error("UNAVAILABLE", action, "the store is closed", "Open it again");
    }
  }
}

/** At most NESTED_OPERATIONS operations: more go into transactions within, which are applied as one. */
function nested(operations: readonly RequestOp[]): readonly RequestOp[] {
  if (operations.length <= NESTED_OPERATIONS) return operations;
  const groups: RequestOp[] = [];
  for (let start = 0; start < operations.length; start += NESTED_OPERATIONS) {
    groups.push({ requestTxn: { success: operations.slice(start, start + NESTED_OPERATIONS) } });
  }
  return groups;
}

function larger(left: Buffer, right: Buffer): Buffer {
  return Buffer.compare(left, right) < 0 ? right : left;
}

/** The smallest key after this one. */
function following(key: Uint8Array): Buffer {
  return Buffer.concat([key, Buffer.alloc(1)]);
}
