/**
 * What the redundancy suite runs plans on: shards that keep versions as a target does, as unfavourably as its rules allow, and
 * beside them the object as a plain list of what was done to it.
 *
 * A shard writes nothing for a punch of what is not there; aggregation drops every epoch it may, and gives all that a MiB
 * of addresses got between two epochs that are left the epoch of the newest.
 */
import { DaosError } from "../../src/base/errors.ts";
import { EPOCH_MAX, EPOCH_NONE, type Epoch } from "../../src/base/epoch.ts";
import { readableEpoch } from "../../src/base/epoch-gate.ts";
import { MIB } from "../../src/base/limits.ts";
import type { DataExtent, Plan, ShardPart, ShardRead, ShardReadResult } from "../../src/contracts/redundancy.ts";

interface Change {
  readonly epoch: Epoch;
  readonly address: number;
  readonly length: number;
  /** Undefined: a hole. */
  readonly bytes: Uint8Array | undefined;
}

interface Fill {
  readonly change: Change;
  readonly start: number;
  readonly end: number;
}

/** Versions of one array: changes in the order in which they hide each other. */
export class VersionedArray {
  #changes: Change[] = [];

  /** Later than all changes of the same epoch. */
  add(change: Change): void {
    const after = this.#changes.findIndex((other) => other.epoch > change.epoch);
    this.#changes.splice(after === -1 ? this.#changes.length : after, 0, change);
  }

  fills(start: number, end: number, epoch: Epoch): Fill[] {
    const fills: Fill[] = [];
    let open = start < end ? [{ start, end }] : [];
    for (let index = this.#changes.length - 1; index >= 0 && open.length > 0; index -= 1) {
      const change = this.#changes[index]!;
      if (change.epoch > epoch) continue;
      const changeEnd = change.address + change.length;
      const left: { start: number; end: number }[] = [];
      for (const run of open) {
        const from = Math.max(run.start, change.address);
        const to = Math.min(run.end, changeEnd);
        if (from >= to) {
          left.push(run);
          continue;
        }
        if (change.bytes !== undefined) fills.push({ change, start: from, end: to });
        if (run.start < from) left.push({ start: run.start, end: from });
        if (to < run.end) left.push({ start: to, end: run.end });
      }
      open = left;
    }
    return fills.sort((left, right) => left.start - right.start);
  }

  read(start: number, end: number, epoch: Epoch): { bytes: Uint8Array; extents: DataExtent[] } {
    const fills = this.fills(start, end, epoch);
    const bytes = new Uint8Array(fills.length === 0 ? 0 : end - start);
    for (const fill of fills) {
      const at = fill.start - fill.change.address;
      bytes.set(fill.change.bytes!.subarray(at, at + fill.end - fill.start), fill.start - start);
    }
    return { bytes, extents: fills.map(extentOf) };
  }

  /** Epoch of the newest change that touches [start, end), holes included. */
  newest(start: number, end: number): Epoch {
    const touching = this.#changes.filter(({ address, length }) => address < end && address + length > start);
    return touching.reduce((newest, { epoch }) => (epoch > newest ? epoch : newest), EPOCH_NONE);
  }

  /** `kept`: the epochs that can still be read, ascending; all others up to the last of them go. */
  aggregate(kept: readonly Epoch[]): void {
    const last = kept.at(-1) ?? EPOCH_NONE;
    const old = this.#changes.filter((change) => change.epoch <= last).flatMap((change) => [...inWindows(change)]);
    const newest = new Map<string, Epoch>();
    const keyOf = ({ epoch, address }: Change) =>
      `${kept.findIndex((candidate) => candidate >= epoch)} ${Math.floor(address / MIB)}`;
    for (const change of old) newest.set(keyOf(change), change.epoch);
    const merged = old.map((change) => ({ ...change, epoch: newest.get(keyOf(change))! }));
    const recent = this.#changes.filter((change) => change.epoch > last);
    // A stable sort: what hid another goes on to hide it.
    this.#changes = [...merged.sort((left, right) => left.epoch - right.epoch), ...recent];
  }

  clear(): void {
    this.#changes = [];
  }
}

function extentOf(fill: Fill): DataExtent {
  return { address: fill.start, length: fill.end - fill.start, epoch: fill.change.epoch };
}

function* inWindows(change: Change): Generator<Change> {
  const end = change.address + change.length;
  for (let at = change.address; at < end;) {
    const to = Math.min(end, (Math.floor(at / MIB) + 1) * MIB);
    const from = at - change.address;
    yield { ...change, address: at, length: to - at, bytes: change.bytes?.subarray(from, from + to - at) };
    at = to;
  }
}

export class ModelShard {
  aggregatedTo = EPOCH_NONE;
  /** Ordinary reads below are refused, unless at a snapshot. */
  rebuiltTo = EPOCH_NONE;
  readonly #array = new VersionedArray();
  #values: { epoch: Epoch; bytes: Uint8Array }[] = [];

  apply(part: ShardPart, epoch: Epoch): void {
    const bytes = Buffer.concat(part.views);
    if (part.kind !== "punch" && bytes.length !== part.length) throw new Error("a part has other bytes than it says");
    if (part.kind === "value") {
      this.#values = [...this.#values.filter((value) => value.epoch !== epoch), { epoch, bytes }];
      this.#values.sort((left, right) => left.epoch - right.epoch);
      return;
    }
    const { address, length } = part;
    if (part.kind === "write") this.#array.add({ epoch, address, length, bytes });
    else if (this.#array.fills(address, address + length, epoch).length > 0) {
      this.#array.add({ epoch, address, length, bytes: undefined });
    }
  }

  read(read: ShardRead, snapshots: readonly Epoch[]): ShardReadResult {
    const shownAt = this.#shownAt(read, snapshots);
    if (read.kind === "value") {
      const value = this.#values.findLast((candidate) => candidate.epoch <= shownAt);
      if (value === undefined) return { bytes: new Uint8Array(0), extents: [], shownAt };
      const extent = { address: 0, length: value.bytes.length, epoch: value.epoch };
      return { bytes: value.bytes, extents: [extent], shownAt };
    }
    return { ...this.#array.read(read.address, read.address + read.length, shownAt), shownAt };
  }

  newest(start: number, end: number): Epoch {
    return this.#array.newest(start, end);
  }

  extents(start: number, end: number, epoch: Epoch): DataExtent[] {
    return this.#array.fills(start, end, epoch === EPOCH_NONE ? EPOCH_MAX : epoch).map(extentOf);
  }

  aggregate(to: Epoch, snapshots: readonly Epoch[]): void {
    const kept = [...snapshots.filter((snapshot) => snapshot < to), to];
    this.aggregatedTo = to;
    this.#array.aggregate(kept);
    this.#values = this.#values.filter((value, index) => {
      const next = this.#values[index + 1]?.epoch ?? EPOCH_MAX;
      return value.epoch > to || kept.some((epoch) => value.epoch <= epoch && epoch < next);
    });
  }

  clear(rebuiltTo: Epoch): void {
    this.#array.clear();
    this.#values = [];
    this.rebuiltTo = rebuiltTo;
  }

  #shownAt(read: ShardRead, snapshots: readonly Epoch[]): Epoch {
    if (read.epoch === EPOCH_NONE) return EPOCH_MAX;
    const first = readableEpoch(read.epoch, this.aggregatedTo, snapshots);
    if (read.orNextReadable) return first;
    const isRefused = first !== read.epoch || (read.epoch < this.rebuiltTo && !snapshots.includes(read.epoch));
    if (isRefused) throw new DaosError("EPOCH_AGGREGATED", `Cannot read at ${read.epoch}: it was aggregated.`);
    return read.epoch;
  }
}

/** Runs a plan on shards. `alter` may change what is read. */
export function runPlan<Result>(
  plan: Plan<Result>,
  shards: readonly ModelShard[],
  alive: readonly number[],
  snapshots: readonly Epoch[],
): Result {
  for (let rounds = 0; ; rounds += 1) {
    const reads = plan.next();
    if (reads.length === 0) break;
    if (rounds > 16) throw new Error("a plan does not end");
    const wrong = reads.find((read) => !alive.includes(read.shard));
    if (wrong !== undefined) throw new Error(`a plan reads shard ${wrong.shard}, which is lost`);
    plan.take(reads.map((read) => shards[read.shard]!.read(read, snapshots)));
  }
  if (plan.result === undefined) throw new Error("a plan is done without a result");
  return plan.result;
}
