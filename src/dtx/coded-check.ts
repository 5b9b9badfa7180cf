/**
 * Whether the shards of an erasure-coded dkey agree: whether its values and arrays are the same bytes by whichever of them they
 * are decoded. By its leader, which has the dkey's keys.
 */
import { crc32 } from "../base/checksum.ts";
import { EPOCH_NONE } from "../base/epoch.ts";
import type { ByteString } from "../base/bytes.ts";
import { hasCode } from "../base/errors.ts";
import type { Plan } from "../contracts/redundancy.ts";
import { VersionKind } from "../store/cell.ts";
import { MetaType } from "../vos/cell-meta.ts";
import { LATEST } from "../vos/condition.ts";
import type { StoredDkey } from "../vos/dkey-copy.ts";
import { runPlan } from "../redundancy/plan-run.ts";
import type { FillStore } from "./fill-store.ts";
import type { PoolReplication } from "./pool-replication.ts";
import { akeyRequest, type ShardedAkey, without } from "./sharded-akey.ts";
import { stripeWindow } from "./stripe-window.ts";

export interface WrongShard {
  readonly kind: "damaged" | "shard-differs";
  /** -1: one of them. */
  readonly target: number;
  readonly detail: string;
}

export interface ComparedShards {
  readonly wrong: readonly WrongShard[];
  readonly bytes: number;
  readonly isUndecided: boolean;
}

export interface ShardCheckParts {
  readonly pool: Pick<PoolReplication, "shardedAkey">;
  readonly store: FillStore;
}

/** What some shards decode to: bytes and extents, summed up; undefined: one of them is damaged. */
type Decoded = string | undefined;

/** Rejects as ShardedAkey.run. */
export async function compareShards(
  { pool, store }: ShardCheckParts,
  container: number,
  { oid, dkey, prefix }: StoredDkey,
): Promise<ComparedShards> {
  const wrong = new Map<string, WrongShard>();
  const counts = { bytes: 0 };
  let from: ByteString | undefined;
  do {
    const page = store.keys.read(container, prefix, from);
    if (page.isUndecided) return { wrong: [], bytes: counts.bytes, isUndecided: true };
    for (const { akey, views } of page.akeys) {
      const version = views.find(({ viewer }) => viewer === LATEST)?.version;
      if (version?.kind !== VersionKind.value) continue;
      const sharded = pool.shardedAkey(container, akeyRequest({ oid, dkey, akey }));
      const comparison = new ShardComparison(sharded, counts);
      const isArray = version.meta[0] === MetaType.array;
      const found = isArray ? await comparison.array() : await comparison.value();
      for (const one of found) wrong.set(`${one.kind} ${one.target}`, one);
    }
    from = page.next;
  } while (from !== undefined);
  return { wrong: [...wrong.values()], bytes: counts.bytes, isUndecided: false };
}

class ShardComparison {
  readonly #akey: ShardedAkey;
  readonly #counts: { bytes: number };
  readonly #damaged = new Set<number>();

  constructor(akey: ShardedAkey, counts: { bytes: number }) {
    this.#akey = akey;
    this.#counts = counts;
  }

  value(): Promise<WrongShard[]> {
    const { scheme } = this.#akey;
    return this.#compare(async (shards) => {
      const plan = scheme.planValueRead(EPOCH_NONE, shards);
      return this.#decoded(plan, (value) =>
        value === "absent" ? "absent" : `${value.epoch}:${value.bytes.length}:${this.#sum(value.bytes)}`,
      );
    });
  }

  async array(): Promise<WrongShard[]> {
    const { scheme } = this.#akey;
    const { stripeBytes } = scheme;
    for (let from: number | undefined = 0; from !== undefined;) {
      const window = await stripeWindow(this.#akey, [EPOCH_NONE], from);
      for (const { stripe } of window.stripes) {
        const found = await this.#compare((shards) => {
          const plan = scheme.planRead(stripe * stripeBytes, stripeBytes, EPOCH_NONE, shards);
          return this.#decoded(plan, ({ bytes, extents }) => `${runsOf(extents)}#${this.#sum(bytes)}`);
        });
        if (found.length > 0) return found;
      }
      from = window.next;
    }
    return [];
  }

  #sum(bytes: Uint8Array): number {
    this.#counts.bytes += bytes.length;
    return crc32(bytes);
  }

  async #decoded<Result>(plan: Plan<Result> | undefined, textOf: (result: Result) => string): Promise<Decoded> {
    if (plan === undefined) return undefined;
    let damaged: number | undefined;
    try {
      const result = await runPlan(plan, async (read) => {
        try {
          return await this.#akey.read(read);
        } catch (error) {
          if (hasCode(error, "CORRUPT")) damaged = read.shard;
          throw error;
        }
      });
      return textOf(result);
    } catch (error) {
      // What no shards give: they do not fit each other.
      if (damaged === undefined && hasCode(error, "CORRUPT")) return "nothing";
      if (damaged === undefined) throw error;
      this.#damaged.add(damaged);
      return undefined;
    }
  }

  /** By the data shards, and by each parity shard in place of one of them; who is to blame when that differs. */
  async #compare(decode: (shards: readonly number[]) => Promise<Decoded>): Promise<WrongShard[]> {
    const { alive } = this.#akey;
    const { dataShards } = this.#akey.scheme;
    const parity = alive.filter((shard) => shard >= dataShards);
    const data = alive.filter((shard) => shard < dataShards);
    if (parity.length === 0) return [];
    const shown = new Set<Decoded>([await decode(alive)]);
    if (data.length === dataShards) shown.add(await decode(data));
    for (const [at, shard] of parity.entries()) {
      // Without one data shard its part is decoded from the parity.
      const left = without(data, data.length < dataShards ? -1 : data[at % data.length]!);
      shown.add(await decode([...left, shard].toSorted((one, other) => one - other)));
    }
    const damaged = [...this.#damaged].map((shard) => this.#wrong("damaged", shard, "its shard cannot be read"));
    shown.delete(undefined);
    if (shown.size <= 1) return damaged;
    return [...damaged, await this.#blamed(decode)];
  }

  /** The shard without which the others agree; when several are, or none, nobody can say which. */
  async #blamed(decode: (shards: readonly number[]) => Promise<Decoded>): Promise<WrongShard> {
    const { alive } = this.#akey;
    const { dataShards } = this.#akey.scheme;
    const suspects: number[] = [];
    for (const shard of alive) {
      const rest = without(alive, shard);
      if (rest.length <= dataShards) continue;
      const choices = rest.map((other) => without(rest, other).slice(0, dataShards));
      const shown = new Set(await Promise.all(choices.map(decode)));
      if (shown.size === 1) suspects.push(shard);
    }
    const [suspect] = suspects;
    if (suspect !== undefined && suspects.length === 1) {
      return this.#wrong("shard-differs", suspect, "the others decode to something else");
    }
    return { kind: "shard-differs", target: -1, detail: "its shards decode to different bytes" };
  }

  #wrong(kind: WrongShard["kind"], shard: number, detail: string): WrongShard {
    return { kind, target: this.#akey.targetOf(shard), detail };
  }
}

function runsOf(extents: readonly { readonly address: number; readonly length: number }[]): string {
  const runs: { address: number; length: number }[] = [];
  for (const { address, length } of extents) {
    const last = runs.at(-1);
    if (last !== undefined && last.address + last.length === address) last.length += length;
    else runs.push({ address, length });
  }
  return runs.map(({ address, length }) => `${address}+${length}`).join();
}
