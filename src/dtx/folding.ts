/**
 * Folds stripes: what lies as replicas on the parity shards of an erasure-coded array goes into parity, in the background.
 * Each stripe is folded by the leader of its dkey, alone on the dkey: it reads what it needs, has the other parity shards
 * write first, and writes itself last. So a stripe that its leader has folded is folded everywhere, and one that a crash
 * left half done is folded again.
 *
 * DAOS: EC aggregation on the leader's parity shard (src/object/srv_ec_aggregate.c).
 */
import type { AkeyPlace, DkeyPlace } from "../base/key-place.ts";
import type { ByteString } from "../base/bytes.ts";
import { EPOCH_NONE, type Epoch } from "../base/epoch.ts";
import { DaosError } from "../base/errors.ts";
import type { Timers } from "../contracts/world.ts";
import { NO_REQUEST_ID, type ObjectRequest } from "../format/object-request.ts";
import { Opcode } from "../format/operations.ts";
import { encodePrepareRequest, type PreparedPart, prepareRequestBytes } from "../format/prepare-request.ts";
import type { Groups } from "./group.ts";
import { unitOf } from "./dkey-unit.ts";
import type { GroupLeader } from "./group-leader.ts";
import type { LedUpdate } from "./led-update.ts";
import type { FoldStore } from "./fold-store.ts";
import { notFolded } from "./leader-errors.ts";
import { levelled, mayBeAhead, stripesOfOthers } from "./levelling.ts";
import { NO_PARTS, payloadOf, type ShardParts, shardParts } from "./shard-parts.ts";
import { akeyRequest, type ShardedAkey } from "./sharded-akey.ts";
import type { UpdateRange } from "./update-range.ts";

/** Pause between looks at what is to be folded, and how long a stripe is left alone after a write, but waits at most, milliseconds. */
const LOOK_MS = 250;
const SETTLE_MS = 1_000;
const LONGEST_WAIT_MS = 4_000;
/** Stripes folded at a time. */
const FOLD_WINDOW = 4;
/** Stripes that are remembered; of a container with more the rest is looked for again later. */
export const MAX_UNFOLDED_STRIPES = 65_536;
/** What is younger counts as not folded: readers may be at it (docs/redundancy.md), microseconds. */
const GATE_LAG_US = 2_000_000;

export interface FoldingOptions {
  readonly self: number;
  readonly store: FoldStore;
  readonly timers: Timers;
  readonly leader: GroupLeader;
  readonly groupOf: Groups["groupOf"];
  /** A new epoch. It moves on when nothing else happens, too. */
  readonly now: () => Epoch;
  /** The akey as its leader works on it; throws STALE when this target does not lead it. */
  readonly shardedAkey: (container: number, object: ObjectRequest) => ShardedAkey;
  /** See Filling.filledOf. */
  readonly filledOf: (container: number, dkey: DkeyPlace) => Promise<readonly number[]>;
  /** Has something done that no update of now has made necessary, in its turn; see FillPace. */
  readonly inTurn: (work: () => Promise<boolean>) => Promise<boolean>;
  /** Hears that this target has something erasure-coded in the container. */
  readonly found: (container: number) => void;
}

const OLDEST = 1 as Epoch;
interface Unfolded {
  /** Of the first write that is not folded. */
  readonly first: Epoch;
  /** When it may be folded, by the epochs' clock, and when it is, whatever is written. */
  notBefore: Epoch;
  readonly dueAt: Epoch;
  isFolding: boolean;
}

/** An akey with stripes that are not folded. */
interface UnfoldedAkey {
  readonly container: number;
  readonly place: AkeyPlace;
  readonly stripes: Map<number, Unfolded>;
}

/** One look for what is to be folded in a container; another one counts when it is looked at anew. */
interface Scan {
  state: "wanted" | "running" | "done";
}

export class Folding {
  readonly #options: FoldingOptions;
  /** By dkey, in each by akey. */
  readonly #unfolded = new Map<string, Map<ByteString, UnfoldedAkey>>();
  #unfoldedCount = 0;
  /** How far what was there before is known, by container. */
  readonly #scans = new Map<number, Scan>();
  /** Settles when nothing that came under an earlier map is still to be appended; undefined when that is so. */
  #arriving: Promise<unknown> | undefined;
  #folding = 0;
  #isStopped = false;
  #cancel: () => void;

  constructor(options: FoldingOptions) {
    this.#options = options;
    this.#cancel = options.timers.after(LOOK_MS, () => this.#look());
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel();
  }

  /**
   * This target may lead other dkeys now: what is to be folded is looked for again. Not before `arriving` settles: what the
   * leaders of before have sent, and is appended after the look, nobody would note.
   */
  mapChanged(arriving: Promise<unknown>): void {
    this.#unfolded.clear();
    this.#unfoldedCount = 0;
    this.#scans.clear();
    this.#arriving = arriving;
    void arriving.finally(() => {
      if (this.#arriving === arriving) this.#arriving = undefined;
    });
  }

  removeContainer(container: number): void {
    this.#scans.delete(container);
    for (const akey of this.#akeys()) {
      if (akey.container === container) for (const stripe of akey.stripes.keys()) this.#forget(akey, stripe);
    }
  }

  *#akeys(): Generator<UnfoldedAkey, void, void> {
    for (const dkey of this.#unfolded.values()) yield* dkey.values();
  }

  /**
   * The epoch as of which all stripes of the container that this target leads are folded, also as of each snapshot up to it
   * (src/base/epoch-gate.ts). EPOCH_NONE while that is not known.
   */
  foldedTo(container: number): Epoch {
    if (this.#scans.get(container)?.state !== "done") {
      this.want(container);
      return EPOCH_NONE;
    }
    let least = this.#options.now() - GATE_LAG_US;
    // What a transaction writes there has a later epoch, whenever it comes.
    const held = this.#options.store.heldFrom(container);
    if (held !== undefined && held <= least) least = held - 1;
    for (const akey of this.#akeys()) {
      if (akey.container !== container) continue;
      for (const { first } of akey.stripes.values()) if (first <= least) least = first - 1;
    }
    return Math.max(least, EPOCH_NONE) as Epoch;
  }

  /** Looks for what is to be folded in a container, unless that is known. */
  want(container: number): void {
    if (!this.#scans.has(container)) this.#scans.set(container, { state: "wanted" });
  }

  /** An update that this target leads was appended: its stripes are to be folded. */
  noteUpdate({ container, object, ownParts, givenEpoch, arrayShares }: LedUpdate): void {
    this.#noteParts(container, object, ownParts ?? NO_PARTS, givenEpoch);
    for (const { akey, parts } of arrayShares) this.#noteParts(container, { ...object, akey }, parts, object.epoch);
  }

  #noteParts(container: number, object: ObjectRequest, parts: readonly PreparedPart[], epoch: Epoch): void {
    const replicas = parts.filter(({ kind }) => kind === "write");
    if (replicas.length === 0) return;
    const extents = replicas.map(({ address, length }) => ({ address, length, epoch }));
    const { scheme, own } = this.#options.shardedAkey(container, object);
    this.#note(container, object, scheme.stripesToFold(own, extents), epoch);
    this.want(container);
  }

  #note(container: number, { oid, dkey, akey }: AkeyPlace, stripes: readonly number[], epoch: Epoch): void {
    if (stripes.length === 0) return;
    const unit = unitOf({ container, object: { oid, dkey } });
    let akeys = this.#unfolded.get(unit);
    if (akeys === undefined) this.#unfolded.set(unit, (akeys = new Map()));
    let known = akeys.get(akey);
    if (known === undefined) {
      known = { container, place: { oid, dkey, akey }, stripes: new Map() };
      akeys.set(akey, known);
    }
    for (const stripe of stripes) this.#noteStripe(known, stripe, epoch);
  }

  #noteStripe({ container, stripes }: UnfoldedAkey, stripe: number, epoch: Epoch): void {
    const known = stripes.get(stripe);
    if (known !== undefined) {
      // One that could not be folded when it was due waits for its next try.
      known.notBefore = Math.max(known.notBefore, Math.min(this.#later(SETTLE_MS), known.dueAt)) as Epoch;
      return;
    }
    if (this.#unfoldedCount >= MAX_UNFOLDED_STRIPES) return void this.#scans.set(container, { state: "wanted" });
    const [notBefore, dueAt] = [this.#later(SETTLE_MS), this.#later(LONGEST_WAIT_MS)];
    stripes.set(stripe, { first: epoch, notBefore, dueAt, isFolding: false });
    this.#unfoldedCount += 1;
  }

  #later(afterMs: number): Epoch {
    return (this.#options.now() + afterMs * 1_000) as Epoch;
  }

  /** The stripe is folded, or nobody needs it to be. What was noted under an earlier map is not counted any more. */
  #forget(akey: UnfoldedAkey, stripe: number): void {
    const unit = unitOf({ container: akey.container, object: akey.place });
    const akeys = this.#unfolded.get(unit);
    if (akeys?.get(akey.place.akey) !== akey) return;
    if (akey.stripes.delete(stripe)) this.#unfoldedCount -= 1;
    if (akey.stripes.size > 0) return;
    akeys.delete(akey.place.akey);
    if (akeys.size === 0) this.#unfolded.delete(unit);
  }

  /**
   * Before an update of a dkey: folds what of it a snapshot shows with replicas. Later replicas must not be folded with those,
   * for parity can only be made of the latest state. Rejects with UNAVAILABLE when that cannot be done now.
   */
  async beforeUpdate(container: number, { oid, dkey }: DkeyPlace, range: UpdateRange, snapshot: Epoch): Promise<void> {
    const fold = (akey: UnfoldedAkey, stripe: number): Promise<boolean> => this.#fold(akey, stripe);
    await this.#foldAll(container, { oid, dkey }, [range], snapshot, fold);
  }

  /**
   * The same of all that there is up to an epoch, for whoever keeps the dkey alone. Up to EPOCH_MAX: then nothing of these
   * ranges has to be folded before the next update of the dkey, whatever snapshots are taken.
   */
  async foldAlone(
    container: number,
    { oid, dkey }: DkeyPlace,
    ranges: readonly UpdateRange[],
    upTo: Epoch,
  ): Promise<void> {
    const unit = unitOf({ container, object: { oid, dkey } });
    const fold = (akey: UnfoldedAkey, stripe: number): Promise<boolean> => this.#foldHeld(akey, stripe, unit);
    await this.#foldAll(container, { oid, dkey }, ranges, upTo, fold);
  }

  async #foldAll(
    container: number,
    dkey: DkeyPlace,
    ranges: readonly UpdateRange[],
    upTo: Epoch,
    fold: (akey: UnfoldedAkey, stripe: number) => Promise<boolean>,
  ): Promise<void> {
    if (this.#scans.get(container)?.state !== "done") await this.#scanRanges(container, dkey, ranges);
    const unit = unitOf({ container, object: dkey });
    for (const akey of this.#unfolded.get(unit)?.values() ?? []) {
      const own = ranges.filter((range) => range.akey === undefined || range.akey === akey.place.akey);
      for (const [stripe, { first }] of akey.stripes) {
        if (first > upTo || !own.some((range) => this.#touches(akey, stripe, range))) continue;
        if (!(await fold(akey, stripe))) throw notFolded();
      }
    }
  }

  #touches({ container, place }: UnfoldedAkey, stripe: number, { bytes }: UpdateRange): boolean {
    if (bytes === undefined) return true;
    const { stripeBytes } = this.#options.shardedAkey(container, akeyRequest(place)).scheme;
    return bytes.start < (stripe + 1) * stripeBytes && bytes.end > stripe * stripeBytes;
  }

  #look(): void {
    if (this.#isStopped) return;
    this.#foldRipe();
    this.#scanNext();
    this.#cancel = this.#options.timers.after(LOOK_MS, () => this.#look());
  }

  /** One container at a time, while there is room for what is found. */
  #scanNext(): void {
    if (this.#arriving !== undefined || this.#unfoldedCount >= MAX_UNFOLDED_STRIPES / 2) return;
    const scans = [...this.#scans];
    if (scans.some(([, { state }]) => state === "running")) return;
    const next = scans.find(([, { state }]) => state === "wanted");
    if (next !== undefined) void this.#scan(...next);
  }

  #foldRipe(): void {
    const now = this.#options.now();
    for (const akey of this.#akeys()) {
      for (const [stripe, state] of akey.stripes) {
        if (this.#folding >= FOLD_WINDOW) return;
        if (state.isFolding || state.notBefore > now) continue;
        state.isFolding = true;
        this.#folding += 1;
        const fold = (): Promise<boolean> => this.#fold(akey, stripe);
        void (state.first === OLDEST ? this.#options.inTurn(fold) : fold()).finally(() => {
          this.#folding -= 1;
          state.isFolding = false;
          state.notBefore = this.#later(SETTLE_MS);
        });
      }
    }
  }

  /** False when it has to be tried again. */
  async #fold(unfolded: UnfoldedAkey, stripe: number): Promise<boolean> {
    if (this.#isStopped) return false;
    const { container, place } = unfolded;
    const unit = unitOf({ container, object: place });
    const unlock = await this.#options.leader.locks.exclusive(unit);
    try {
      return await this.#foldHeld(unfolded, stripe, unit);
    } finally {
      unlock();
    }
  }

  /** With the dkey held alone. */
  async #foldHeld(unfolded: UnfoldedAkey, stripe: number, unit: string): Promise<boolean> {
    const { container, place } = unfolded;
    const { leader, shardedAkey } = this.#options;
    try {
      if (leader.isSettling(unit)) return false;
      const object = akeyRequest(place);
      const akey = shardedAkey(container, object);
      leader.flushDecisions();
      const filled = await this.#options.filledOf(container, place);
      const { epoch, parts } = await akey.run((alive) => akey.scheme.planFold(stripe, EPOCH_NONE, alive));
      if (parts.length === 0) await this.#level(container, object, akey, stripe);
      else await this.#write(container, object, akey, shardParts(parts), epoch, filled);
      this.#forget(unfolded, stripe);
      return true;
    } catch (error) {
      if (error instanceof DaosError) return false;
      throw error;
    }
  }

  /**
   * The other parity shards first: until this one has it, the stripe counts as not folded. `filled`: targets of shards that
   * cannot be read yet.
   */
  async #write(
    container: number,
    object: ObjectRequest,
    akey: ShardedAkey,
    parts: ShardParts,
    epoch: Epoch,
    filled: readonly number[],
  ): Promise<void> {
    const { self, store } = this.#options;
    const header = { ...NO_REQUEST_ID, epoch, container, opcode: Opcode.arrayWrite, object };
    const others = [...akey.alive.map((shard) => akey.targetOf(shard)), ...filled].flatMap((target) => {
      const share = parts.get(akey.numberOf(target)!);
      if (target === self || share === undefined) return [];
      const request = { ...header, parts: share };
      const args = Buffer.alloc(prepareRequestBytes(request));
      encodePrepareRequest(args, 0, request);
      return [akey.call(target, Opcode.dtxFold, args, payloadOf(share))];
    });
    const outcomes = await Promise.allSettled(others);
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
    const own = parts.get(akey.own);
    const mayAppend = (): void => akey.checkMap();
    if (own !== undefined) await store.apply(container, object, own, { epoch, mayAppend });
  }

  /** See levelled. */
  async #level(container: number, object: ObjectRequest, akey: ShardedAkey, stripe: number): Promise<void> {
    if (!mayBeAhead(akey, this.#options.store.wasFilled(container))) return;
    for await (const { epoch, parts } of levelled(akey, stripe, this.#options.now())) {
      await this.#write(container, object, akey, shardParts(parts), epoch, []);
    }
  }

  /** Notes what was there before. Counts for nothing when the container is looked at anew meanwhile. */
  async #scan(container: number, scan: Scan): Promise<void> {
    scan.state = "running";
    const isOver = (): boolean => this.#isStopped || this.#scans.get(container) !== scan;
    try {
      for await (const place of this.#options.store.akeys(container)) {
        if (isOver()) return;
        this.#options.found(container);
        await this.#scanAkey(container, place);
      }
      scan.state = "done";
    } catch (error) {
      if (!(error instanceof DaosError)) throw error;
      scan.state = "wanted";
    }
  }

  async #scanRanges(container: number, { oid, dkey }: DkeyPlace, ranges: readonly UpdateRange[]): Promise<void> {
    const akeys = new Set(ranges.map(({ akey }) => akey));
    if (akeys.has(undefined)) await this.#scanDkey(container, { oid, dkey });
    else for (const akey of akeys) await this.#scanAkey(container, { oid, dkey, akey: akey! });
  }

  async #scanDkey(container: number, dkey: DkeyPlace): Promise<void> {
    for await (const place of this.#options.store.akeysOf(container, dkey)) await this.#scanAkey(container, place);
  }

  async #scanAkey(container: number, place: AkeyPlace): Promise<void> {
    const { store, self, shardedAkey, groupOf } = this.#options;
    for await (const extents of store.extents(container, place)) {
      if (groupOf(place.oid, place.dkey).leader !== self) return;
      const { scheme, own } = shardedAkey(container, akeyRequest(place));
      this.#note(container, place, scheme.stripesToFold(own, extents), OLDEST);
    }
    if (groupOf(place.oid, place.dkey).leader !== self) return;
    const akey = shardedAkey(container, akeyRequest(place));
    if (!mayBeAhead(akey, store.wasFilled(container))) return;
    for await (const stripes of stripesOfOthers(akey)) this.#note(container, place, stripes, OLDEST);
  }
}
