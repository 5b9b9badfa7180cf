/**
 * One random history of a redundancy group, from a seed: writes, punches, values, snapshots, folds, aggregation, losses and
 * rebuilds through the plans of a scheme, compared with what was done. Throws, with the seed, at the first difference.
 */
import { EPOCH_MAX, EPOCH_NONE, type Epoch } from "../../src/base/epoch.ts";
import type { EpochPart, RedundancyScheme, ShardPart } from "../../src/contracts/redundancy.ts";
import { ModelShard, runPlan, VersionedArray } from "./redundancy-model.ts";

const STEPS = 24;
const STRIPES = 3;
/** Where there are no stripes, ranges are as if there were of this size. */
const PLAIN_STRIPE_BYTES = 8192;

/** Bugs to plant. `no gate`: shards aggregate without a fold before. */
export type Sabotage = "no gate" | undefined;

export function runRedundancyHistory(scheme: RedundancyScheme, seed: number, sabotage?: Sabotage): void {
  const history = new History(scheme, seed, sabotage);
  try {
    history.run();
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new Error(`${scheme.redundancy}, seed ${seed}, ${history.log.join("; ")}: ${message}`, { cause: error });
  }
}

class History {
  readonly log: string[] = [];
  readonly #scheme: RedundancyScheme;
  readonly #sabotage: Sabotage;
  readonly #random: (below: number) => number;
  readonly #shards: ModelShard[];
  readonly #plain = new VersionedArray();
  readonly #values: { epoch: Epoch; bytes: Uint8Array }[] = [];
  readonly #snapshots: Epoch[] = [];
  readonly #lost = new Set<number>();
  readonly #stripeBytes: number;
  readonly #arrayBytes: number;
  #epoch = 10 as Epoch;
  /** Ordinary reads below may be refused. */
  #floor = EPOCH_NONE;
  /** A byte of the array whose last change was at this epoch, and the shard that led then. */
  #changed: { readonly leader: number; readonly address: number; readonly epoch: Epoch } | undefined;

  constructor(scheme: RedundancyScheme, seed: number, sabotage: Sabotage) {
    this.#scheme = scheme;
    this.#sabotage = sabotage;
    this.#random = randomBelow(seed);
    this.#shards = Array.from({ length: scheme.shardCount }, () => new ModelShard());
    this.#stripeBytes = scheme.stripeBytes || PLAIN_STRIPE_BYTES;
    this.#arrayBytes = STRIPES * this.#stripeBytes;
  }

  run(): void {
    const steps: readonly (readonly [number, () => void])[] = [
      [8, () => this.#write()],
      [2, () => this.#punch()],
      [2, () => this.#writeValue()],
      [2, () => this.#snapshot()],
      [3, () => this.#fold(this.#random(STRIPES), EPOCH_NONE)],
      [2, () => this.#aggregate()],
      [1, () => this.#lose()],
      [1, () => this.#rebuild()],
      [3, () => this.#check()],
    ];
    const total = steps.reduce((sum, [weight]) => sum + weight, 0);
    for (let step = 0; step < STEPS; step += 1) {
      let at = this.#random(total);
      steps.find(([weight]) => (at -= weight) < 0)![1]();
    }
    this.#check();
    for (const snapshot of this.#snapshots) this.#checkAt(snapshot);
  }

  get #alive(): number[] {
    return this.#shards.map((_, shard) => shard).filter((shard) => !this.#lost.has(shard));
  }

  #commit(parts: readonly (ShardPart | EpochPart)[], epoch: Epoch): void {
    for (const part of parts) {
      if (!this.#lost.has(part.shard)) this.#shards[part.shard]!.apply(part, epoch);
    }
  }

  #nextEpoch(): Epoch {
    this.#epoch = (this.#epoch + 1 + this.#random(2)) as Epoch;
    return this.#epoch;
  }

  /** Whole stripes, whole cells, or any bytes. */
  #range(): { address: number; length: number } {
    const units = [this.#stripeBytes, this.#stripeBytes / this.#scheme.dataShards, 100, 1];
    const unit = units[this.#random(units.length)]!;
    const count = this.#arrayBytes / unit;
    const first = this.#random(Math.ceil(count));
    const most = unit === this.#stripeBytes ? count : Math.ceil((1.3 * this.#stripeBytes) / unit);
    const address = first * unit;
    const length = (1 + this.#random(Math.ceil(most))) * unit;
    return { address, length: Math.min(length, this.#arrayBytes - address) };
  }

  #write(): void {
    const { address, length } = this.#range();
    const epoch = this.#nextEpoch();
    this.log.push(`write ${address}+${length}@${epoch}`);
    const bytes = this.#bytes(length);
    const parts = this.#scheme.planWrite(address, length, bytes);
    const shape = this.#scheme.planWrite(address, length);
    if (JSON.stringify(parts.map(withoutViews)) !== JSON.stringify(shape.map(withoutViews))) {
      throw new Error("a plan without bytes has other parts");
    }
    this.#commit(parts, epoch);
    this.#noteChanged(address + this.#random(length), epoch);
    this.#plain.add({ epoch, address, length, bytes });
  }

  #punch(): void {
    const { address, length } = this.#range();
    const plan = this.#scheme.planPunch(address, length, this.#alive)!;
    const rest = runPlan(plan, this.#shards, this.#alive, this.#snapshots);
    const epoch = this.#nextEpoch();
    this.log.push(`punch ${address}+${length}@${epoch}`);
    const at = address + this.#random(length);
    const isThere = this.#plain.fills(at, at + 1, EPOCH_MAX).length > 0;
    this.#commit(this.#scheme.punchParts(address, length, rest), epoch);
    if (isThere) this.#noteChanged(at, epoch);
    this.#plain.add({ epoch, address, length, bytes: undefined });
  }

  #noteChanged(address: number, epoch: Epoch): void {
    this.#changed = { leader: this.#scheme.leader(this.#alive), address, epoch };
    this.#checkFootprint();
  }

  /** The shard that led when a byte was changed knows of it, or of something later. */
  #checkFootprint(): void {
    if (this.#changed === undefined) return;
    const { leader, address, epoch } = this.#changed;
    // A data shard leads where all that knows of every stripe is gone, and copies have one kind.
    if (leader < this.#scheme.dataShards && this.#scheme.stripeBytes > 0) return;
    const runs = this.#scheme.footprint(leader, address, 1);
    const newest = Math.max(...runs.map(({ start, end }) => this.#shards[leader]!.newest(start, end)));
    if (newest < epoch) throw new Error(`the change of byte ${address} at ${epoch} is not seen by shard ${leader}`);
  }

  #writeValue(): void {
    const sizes = [0, 1, 100, 4096, 4097, 30_001];
    const bytes = this.#bytes(sizes[this.#random(sizes.length)]!);
    const epoch = this.#nextEpoch();
    this.log.push(`value ${bytes.length}@${epoch}`);
    this.#commit(this.#scheme.planValue(bytes.length, bytes), epoch);
    this.#values.push({ epoch, bytes });
  }

  #snapshot(): void {
    this.log.push(`snapshot ${this.#epoch}`);
    if (this.#snapshots.at(-1) !== this.#epoch) this.#snapshots.push(this.#epoch);
  }

  #fold(stripe: number, epoch: Epoch): void {
    const plan = this.#scheme.planFold(stripe, epoch, this.#alive)!;
    const fold = runPlan(plan, this.#shards, this.#alive, this.#snapshots);
    if (fold.parts.length > 0) this.log.push(`fold ${stripe}@${fold.epoch} as of ${epoch}`);
    this.#commit(fold.parts, fold.epoch);
    this.#checkFootprint();
  }

  /** Everything is folded, then all may aggregate up to now. */
  #aggregate(): void {
    if (this.#sabotage !== "no gate") {
      const leader = this.#scheme.leader(this.#alive);
      for (const epoch of [...this.#snapshots, EPOCH_NONE]) {
        for (const stripe of this.#scheme.stripesToFold(leader, this.#extents(leader, epoch))) {
          this.#fold(stripe, epoch);
        }
      }
    }
    this.log.push(`aggregate to ${this.#epoch}`);
    this.#floor = this.#epoch;
    this.#changed = undefined;
    for (const shard of this.#alive) {
      // Not all get that far.
      if (this.#random(4) > 0) this.#shards[shard]!.aggregate(this.#epoch, this.#snapshots);
    }
  }

  #lose(): void {
    if (this.#lost.size === this.#scheme.toleratedFailures) return;
    const shard = this.#alive[this.#random(this.#alive.length)]!;
    this.log.push(`lose ${shard}`);
    this.#lost.add(shard);
    this.#changed = undefined;
  }

  #rebuild(): void {
    const [shard] = this.#lost;
    if (shard === undefined) return;
    this.log.push(`rebuild ${shard} to ${this.#epoch}`);
    const target = this.#shards[shard]!;
    const alive = this.#alive;
    target.clear(this.#epoch);
    for (const epoch of new Set([...this.#snapshots, this.#epoch])) {
      const array = this.#scheme.planRebuild(shard, 0, this.#arrayBytes, epoch, alive)!;
      const value = this.#scheme.planValueRebuild(shard, epoch, alive)!;
      for (const plan of [array, value]) {
        for (const part of runPlan(plan, this.#shards, alive, this.#snapshots)) target.apply(part, part.epoch);
      }
    }
    this.#lost.delete(shard);
    if (this.#floor < this.#epoch) this.#floor = this.#epoch;
  }

  #check(): void {
    const epochs = [EPOCH_NONE, this.#epoch, ...this.#snapshots];
    this.#checkAt(epochs[this.#random(epochs.length)]!);
    const between = (this.#floor + this.#random(this.#epoch - this.#floor + 1)) as Epoch;
    if (between > 0) this.#checkAt(between);
  }

  /** A read of a range, the value and the extents, with up to as many shards gone as may be. */
  #checkAt(epoch: Epoch): void {
    const gone = new Set(this.#lost);
    const more = this.#random(this.#scheme.toleratedFailures - gone.size + 1);
    while (gone.size < this.#lost.size + more) gone.add(this.#random(this.#scheme.shardCount));
    const alive = this.#shards.map((_, shard) => shard).filter((shard) => !gone.has(shard));
    const { address, length } = this.#random(3) === 0 ? { address: 0, length: this.#arrayBytes } : this.#range();
    const where = `read ${address}+${length} at ${epoch} from ${alive.join()}`;
    const into = this.#random(2) === 0 ? Buffer.alloc(length, 0xee) : undefined;
    const plan = this.#scheme.planRead(address, length, epoch, alive, into);
    if (plan === undefined) throw new Error(`${where}: no plan`);
    const content = runPlan(plan, this.#shards, alive, this.#snapshots);
    const shown = epoch === EPOCH_NONE ? EPOCH_MAX : epoch;
    const expected = this.#plain.read(address, address + length, shown);
    expectSame(where, content.bytes, expected.bytes);
    expectRuns(where, content.extents, expected.extents);
    this.#checkExtents(epoch, alive);
    this.#checkValue(epoch, alive);
    if (gone.size === this.#scheme.toleratedFailures) {
      const fewer = alive.toSpliced(this.#random(alive.length), 1);
      const plans = [this.#scheme.planRead(address, length, epoch, fewer), this.#scheme.planValueRead(epoch, fewer)];
      if (plans.some((other) => other !== undefined)) throw new Error(`${where}: a plan with one shard too few`);
    }
  }

  #checkExtents(epoch: Epoch, alive: readonly number[]): void {
    const shards = this.#scheme.extentShards(alive)!;
    const found = shards.flatMap((shard) => this.#scheme.arrayExtents(shard, this.#extents(shard, epoch)));
    const shown = epoch === EPOCH_NONE ? EPOCH_MAX : epoch;
    expectRuns(`extents at ${epoch} of ${shards.join()}`, found, this.#plain.read(0, this.#arrayBytes, shown).extents);
  }

  #checkValue(epoch: Epoch, alive: readonly number[]): void {
    const value = runPlan(this.#scheme.planValueRead(epoch, alive)!, this.#shards, alive, this.#snapshots);
    const shown = epoch === EPOCH_NONE ? EPOCH_MAX : epoch;
    const expected = this.#values.findLast((candidate) => candidate.epoch <= shown);
    if (value === "absent" || expected === undefined) {
      if (value !== "absent" || expected !== undefined) throw new Error(`value at ${epoch}: there, or not there`);
      return;
    }
    expectSame(`value at ${epoch} from ${alive.join()}`, value.bytes, expected.bytes);
    if (value.epoch !== expected.epoch) throw new Error(`value at ${epoch}: of epoch ${value.epoch}`);
  }

  #extents(shard: number, epoch: Epoch) {
    return this.#scheme
      .addressSpaces(shard)
      .flatMap(({ start, end }) => this.#shards[shard]!.extents(start, end, epoch));
  }

  #bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    let state = this.#random(2 ** 30) | 1;
    for (let index = 0; index < length; index += 1) {
      state = (Math.imul(state, 1_103_515_245) + 12_345) | 0;
      bytes[index] = state >>> 16;
    }
    return bytes;
  }
}

function withoutViews({ views: _views, ...part }: ShardPart) {
  return part;
}

function expectSame(where: string, found: Uint8Array, expected: Uint8Array): void {
  if (Buffer.compare(found, expected) === 0) return;
  const at = found.findIndex((byte, index) => byte !== expected[index]);
  throw new Error(`${where}: ${found.length} bytes instead of ${expected.length}, the first other one at ${at}`);
}

function expectRuns(where: string, found: readonly Run[], expected: readonly Run[]): void {
  const [left, right] = [runs(found), runs(expected)];
  if (left !== right) throw new Error(`${where}: data at ${left} instead of ${right}`);
}

interface Run {
  readonly address: number;
  readonly length: number;
}

function runs(extents: readonly Run[]): string {
  const joined: { start: number; end: number }[] = [];
  for (const { address, length } of extents.toSorted((left, right) => left.address - right.address)) {
    const last = joined.at(-1);
    if (last !== undefined && last.end >= address) last.end = Math.max(last.end, address + length);
    else joined.push({ start: address, end: address + length });
  }
  return joined.map(({ start, end }) => `${start}-${end}`).join(" ");
}

/** Mulberry32. */
function randomBelow(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}
