/**
 * Compares the dkeys of a container among the targets of their groups, while they are written. A target judges those that it leads:
 * copies by what each member shows of them, erasure code by what the shards decode to. Of dkeys that others lead it sees to it that they
 * have them, and it finds those that should not be here at all.
 *
 * Nothing is a difference that was seen while the dkey was changed: every update comes by its leader, so what the leader
 * shows before and after has to be the same, and nothing undecided, or the dkey is compared again, at last as not judged.
 */
import { byteString, type ByteString, bytesOf } from "../base/bytes.ts";
import { DaosError } from "../base/errors.ts";
import { MIB } from "../base/limits.ts";
import { isErasureCoded, isRedundant, objectIdFromBytes } from "../base/object-id.ts";
import type { Timers } from "../contracts/world.ts";
import type { DkeyDifference, DkeyPage } from "../format/check-questions.ts";
import { decodeCbor, encodeCbor } from "../format/cbor.ts";
import { Opcode } from "../format/operations.ts";
import type { StoredDkey } from "../vos/dkey-copy.ts";
import { type DkeySummary, isSameSummary } from "../vos/dkey-summary.ts";
import { compareShards } from "./coded-check.ts";
import { unitOf } from "./dkey-unit.ts";
import type { FillStore } from "./fill-store.ts";
import type { RedundancyGroup } from "./group.ts";
import type { PoolReplication } from "./pool-replication.ts";

/** Of a page: dkeys, and bytes after which it ends early. */
const PAGE_DKEYS = 64;
const PAGE_BYTES = 16 * MIB;
/** The same, of dkeys that cannot be judged: each takes all attempts. */
const PAGE_UNJUDGED = 16;
/** Times that a dkey is compared before it is left alone, and the pause between, milliseconds. */
const ATTEMPTS = 6;
const RETRY_MS = 50;
const NO_PAYLOAD = new Uint8Array(0);

export interface DkeyCheckOptions {
  readonly pool: PoolReplication;
  readonly store: FillStore;
  readonly timers: Timers;
}

type Found = Omit<DkeyDifference, "oid" | "dkey">;

/** What members show of one dkey, in the order of the group's readable targets; undefined: one did not answer. */
type Shown = readonly (DkeySummary | undefined)[];

export class DkeyCheck {
  readonly #options: DkeyCheckOptions;

  constructor(options: DkeyCheckOptions) {
    this.#options = options;
  }

  async page(container: number, after: Uint8Array | undefined): Promise<DkeyPage> {
    const { pool, store } = this.#options;
    const { mapVersion } = pool;
    const list = store.copies.list(container, after && byteString(after), PAGE_DKEYS);
    const differences: DkeyDifference[] = [];
    const counts = { dkeys: 0, bytes: 0, unjudged: 0 };
    let next = list.after;
    for (const place of list.places) {
      const judged = await this.#judge(container, place, counts);
      counts.dkeys += 1;
      if (judged === undefined || pool.mapVersion !== mapVersion) counts.unjudged += 1;
      else differences.push(...judged.map((found) => ({ ...found, ...named(place) })));
      if (counts.bytes < PAGE_BYTES && counts.unjudged < PAGE_UNJUDGED) continue;
      next = place.prefix as ByteString;
      break;
    }
    return { mapVersion, differences, ...counts, next: next === undefined ? null : bytesOf(next as ByteString) };
  }

  /** Undefined: nobody can say now. */
  async #judge(container: number, place: StoredDkey, counts: { bytes: number }): Promise<readonly Found[] | undefined> {
    const { pool } = this.#options;
    const group = pool.groups.groupOf(place.oid, place.dkey);
    if (!group.members.includes(pool.self)) return this.#judgeMisplaced(container, place, group);
    if (group.leader < 0) return undefined;
    if (group.leader !== pool.self) return this.#judgeOthers(container, place, group);
    if (!isRedundant(place.oid)) return [];
    if (isErasureCoded(place.oid)) return this.#judgeShards(container, place, group, counts);
    return this.#attempts(() => this.#judgeCopies(container, place, group, counts));
  }

  async #attempts<Result>(work: () => Promise<Result | undefined>): Promise<Result | undefined> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        const result = await work();
        if (result !== undefined) return result;
      } catch (error) {
        if (!(error instanceof DaosError)) throw error;
      }
      if (attempt === ATTEMPTS) return undefined;
      await new Promise<void>((resolve) => void this.#options.timers.after(RETRY_MS, resolve));
    }
  }

  /** Undefined: it was changed meanwhile. */
  async #judgeCopies(
    container: number,
    place: StoredDkey,
    { readable }: RedundancyGroup,
    counts: { bytes: number },
  ): Promise<readonly Found[] | undefined> {
    const { pool, store } = this.#options;
    const unit = unitOf({ container, object: place });
    if (pool.leader.isSettling(unit)) return undefined;
    // With what is compared nobody waits for a decision that the others do not know.
    pool.leader.flushDecisions();
    const epochs = store.snapshots(container);
    const before = await store.summaries.read(container, place, epochs);
    counts.bytes += before.bytes;
    const shown = await this.#shownBy(container, place, readable, before);
    const isConclusive = shown.every((one) => one?.state === "read" || one?.state === "damaged");
    if (!isConclusive) return undefined;
    const found = judgeCopies(readable, shown as readonly DkeySummary[]);
    if (found.length === 0) return found;
    const now = await store.summaries.read(container, place, epochs);
    const isSame = now.state === before.state && (now.state === "damaged" || isSameSummary(now, before));
    return isSame && !pool.leader.isSettling(unit) ? found : undefined;
  }

  async #shownBy(container: number, place: StoredDkey, targets: readonly number[], own?: DkeySummary): Promise<Shown> {
    const { pool, store } = this.#options;
    const { oid, dkey } = named(place);
    const args = encodeCbor({ container, epochs: store.snapshots(container), dkeys: [{ oid, dkey }] });
    return Promise.all(
      targets.map(async (target): Promise<DkeySummary | undefined> => {
        if (target === pool.self) return own ?? store.summaries.read(container, place, store.snapshots(container));
        const answer = await pool.call(target, Opcode.dtxSummary, args, NO_PAYLOAD);
        return (decodeCbor(answer.args) as { summaries: DkeySummary[] }).summaries[0];
      }),
    );
  }

  /** A dkey of which this target is a member, and another one the leader, which has to have it. */
  #judgeOthers(
    container: number,
    place: StoredDkey,
    { leader, readable }: RedundancyGroup,
  ): Promise<readonly Found[] | undefined> {
    const { pool, store } = this.#options;
    if (!readable.includes(pool.self) || isErasureCoded(place.oid)) return Promise.resolve([]);
    return this.#attempts(async () => {
      const own = await store.summaries.read(container, place, []);
      if (own.state !== "read") return undefined;
      const [theirs] = await this.#shownBy(container, place, [leader]);
      if (theirs?.state === "damaged" || (theirs?.state === "read" && (theirs.count > 0 || own.count === 0))) return [];
      return theirs?.state === "read" ? [difference("missing", leader, "others of its group have it")] : undefined;
    });
  }

  /** The one shard that has nothing, where the others have something. */
  async #emptyShard(container: number, place: StoredDkey, readable: readonly number[]): Promise<number | undefined> {
    const shown = await this.#shownBy(container, place, readable);
    const empty = readable.filter((_target, at) => shown[at]?.state === "read" && shown[at].count === 0);
    return empty.length === 1 ? empty[0] : undefined;
  }

  async #judgeShards(
    container: number,
    place: StoredDkey,
    { readable }: RedundancyGroup,
    counts: { bytes: number },
  ): Promise<readonly Found[] | undefined> {
    const { pool, store } = this.#options;
    const unit = unitOf({ container, object: place });
    const compare = async (): Promise<readonly Found[] | undefined> => {
      if (pool.leader.isSettling(unit)) return undefined;
      pool.leader.flushDecisions();
      const judged = await compareShards({ pool, store }, container, place);
      counts.bytes += judged.bytes;
      if (judged.isUndecided) return undefined;
      const empty = judged.wrong.some(({ kind }) => kind === "shard-differs")
        ? await this.#emptyShard(container, place, readable)
        : undefined;
      return judged.wrong.map(({ kind, target, detail }) =>
        kind === "shard-differs" && empty !== undefined
          ? difference("shard-missing", empty, "it has nothing of the dkey, the others have")
          : difference(kind, target, detail),
      );
    };
    const first = await this.#attempts(compare);
    if (first?.length === 0) return first;
    return this.#attempts(async () => {
      const unlock = await pool.leader.locks.exclusive(unit);
      try {
        return await compare();
      } finally {
        unlock();
      }
    });
  }

  /** What has moved away is removed by and by: while that goes on nothing is misplaced. */
  async #judgeMisplaced(
    container: number,
    place: StoredDkey,
    group: RedundancyGroup,
  ): Promise<readonly Found[] | undefined> {
    const { pool } = this.#options;
    if (pool.isFilling || !pool.fillStatus([container]).isDone || group.readable.length === 0) return undefined;
    return this.#attempts(async () => {
      const isElsewhere = await this.#isElsewhere(container, place, group);
      if (isElsewhere === undefined) return undefined;
      const detail = isElsewhere ? "all targets where it belongs have it" : "not all targets where it belongs have it";
      return [{ ...difference("misplaced", pool.self, detail), isElsewhere }];
    });
  }

  /** Whether those have the dkey who should; undefined: nobody can say now. */
  async #isElsewhere(
    container: number,
    place: StoredDkey,
    { readable }: RedundancyGroup,
  ): Promise<boolean | undefined> {
    const shown = await this.#shownBy(container, place, readable);
    if (shown.some((one) => one?.state !== "read" && one?.state !== "damaged")) return undefined;
    return shown.every((one) => one?.state === "read" && one.count > 0);
  }

  /** Removes what is here and does not belong here. Rejects with BUSY. */
  async drop(container: number, oid: Uint8Array, dkey: Uint8Array): Promise<void> {
    const { pool, store } = this.#options;
    const [object, key] = [objectIdFromBytes(oid), byteString(dkey)];
    const place: StoredDkey = { oid: object, dkey: key, prefix: store.copies.prefixOf(container, object, key) };
    const group = pool.groups.groupOf(object, key);
    const { mapVersion } = pool;
    const isOurs = (): boolean => pool.isFilling || pool.mapVersion !== mapVersion || group.members.includes(pool.self);
    if (isOurs() || (await this.#isElsewhere(container, place, group)) !== true || isOurs()) {
      const state = "it belongs here, or not all have it where it belongs";
      throw new DaosError("BUSY", `Cannot remove the dkey: ${state}. Check again.`);
    }
    await store.copies.purge([place.prefix]);
  }
}

function named({ oid, dkey }: StoredDkey): { oid: Uint8Array; dkey: Uint8Array } {
  return { oid: bytesOf(oid as unknown as ByteString), dkey: bytesOf(dkey) };
}

function difference(kind: DkeyDifference["kind"], target: number, detail: string): Found {
  return { kind, target, detail, isElsewhere: false };
}

/**
 * Who is wrong, by what the targets show: those whose copy is damaged, and those that do not show what most of the others
 * show; when there is no such majority nobody can say who. Pure.
 */
export function judgeCopies(targets: readonly number[], shown: readonly DkeySummary[]): Found[] {
  const found: Found[] = [];
  const read: { target: number; summary: DkeySummary }[] = [];
  targets.forEach((target, at) => {
    const summary = shown[at]!;
    if (summary.state === "damaged") found.push(difference("damaged", target, "its copy cannot be read"));
    else read.push({ target, summary });
  });
  const alike: { target: number; summary: DkeySummary }[][] = [];
  for (const one of read) {
    const known = alike.find(([first]) => isSameSummary(first!.summary, one.summary));
    if (known === undefined) alike.push([one]);
    else known.push(one);
  }
  if (alike.length <= 1) return found;
  const largest = alike.toSorted((left, right) => right.length - left.length)[0]!;
  // An acknowledged update is on all of them: one that has nothing has lost it.
  const having = alike.filter(([first]) => first!.summary.count > 0);
  const right = largest.length * 2 > read.length ? largest : having.length === 1 ? having[0]! : undefined;
  if (right === undefined) {
    const newest = read.map(({ target, summary }) => `target ${target} ${textOf(summary)}`).join(", ");
    return [...found, difference("differs", -1, newest)];
  }
  for (const { target, summary } of read) {
    if (right.some((one) => one.target === target)) continue;
    const kind = summary.count === 0 ? "missing" : "differs";
    found.push(difference(kind, target, `it has ${textOf(summary)}, others ${textOf(right[0]!.summary)}`));
  }
  return found;
}

function textOf({ count, bytes, newest, checksum }: DkeySummary): string {
  if (count === 0) return "nothing";
  return `${count} value(s) of ${bytes} bytes, newest epoch ${newest}, checksum ${checksum.toString(16)}`;
}
