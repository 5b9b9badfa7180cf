/**
 * Runs a store on a machine that loses power again and again: random work, a power loss at a random point, recovery, and
 * a comparison of everything the store shows with what it acknowledged. Prints nothing; throws with the seed on a failure.
 */
import { bytesEqual, type ByteString } from "../../src/base/bytes.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import { BLOCK_BYTES, KIB } from "../../src/base/limits.ts";
import { decodeNumbers, uint32OfKey } from "../../src/format/settled-row.ts";
import { decodeSettledVersion, HISTORY_SUFFIX_BYTES } from "../../src/format/settled-version.ts";
import { type CellStore, type CellWrite, type ExtentRef, VersionKind } from "../../src/store/cell.ts";
import { versionBytes } from "../../src/store/cell-rewriter.ts";
import { openStore } from "../../src/store/open-store.ts";
import { settledState } from "../../src/store/settle-batch.ts";
import { GATE_PASS_PAUSE_MS } from "../../src/store/maintenance-queue.ts";
import { InlineSettler, type Settler } from "../../src/store/settler.ts";
import { visitSpace } from "../../src/store/space-table.ts";
import { CrashMachine, type MachineOptions, PowerLossError } from "./crash-machine.ts";
import { CrashModel, destageLead, type ExtentContent, isGatedCell } from "./crash-model.ts";
import type { ModelIndex } from "./model-index.ts";

const CONTAINERS = [1, 2];
const SEGMENT_BYTES = 16 * KIB;
/** Few, so that a settle takes several transactions, and the log has several generations. */
const TRANSACTION_PAGES = { usual: 2, smallIndex: 2 };
const GENERATION_CELLS = 64;
/** More than the pause before a pass for a gate. */
const LONG_MS = GATE_PASS_PAUSE_MS + 1000;
const NO_META = new Uint8Array(0);

/** Names that are prefixes of each other, with and without the bytes that history appends. */
const NAMES = ["", "a", "a\x00\x00\x00\x00\x00\x00\x00\x00", "a\xff\xff\xff\xff\xff\xff\xff\xff", "ab", "b\x00"];

function cellKey(container: number, name: string): ByteString {
  return (String.fromCharCode(0, 0, 0, container) + name) as ByteString;
}

export interface CrashCounts {
  points: number;
  closes: number;
  operations: number;
  commits: number;
  persists: number;
  /** Operations that were refused for want of space. */
  refusals: number;
  decisions: number;
  /** Records found undecided after a power loss. */
  undecided: number;
  /** What moved to the device when it was settled. */
  destagedBytes: number;
  /** Where power failed, and how often. */
  readonly places: Map<string, number>;
}

export class CrashHarness {
  readonly machine: CrashMachine;
  readonly model = new CrashModel();
  readonly counts: CrashCounts = {
    points: 0,
    closes: 0,
    operations: 0,
    commits: 0,
    persists: 0,
    refusals: 0,
    decisions: 0,
    undecided: 0,
    destagedBytes: 0,
    places: new Map(),
  };
  #store!: CellStore;
  #index!: ModelIndex;
  /** What went wrong outside of the harness's own calls. */
  #unexpected: unknown;
  readonly #seed: number;
  readonly #wrap: (settler: Settler) => Settler;

  readonly #preparedShare: number;

  /** `wrap` may plant a bug. `preparedShare`: of the records that may be either, how many are prepared. */
  constructor(
    options: MachineOptions,
    machine = new CrashMachine(options),
    wrap = (settler: Settler) => settler,
    preparedShare = 0.3,
  ) {
    this.machine = machine;
    this.#preparedShare = preparedShare;
    this.#seed = options.seed;
    this.#wrap = wrap;
  }

  /** Passes `points` power losses. Throws what was found wrong, naming seed and point. */
  async run(points: number): Promise<CrashCounts> {
    try {
      await this.#open(true);
      while (this.counts.points < points) await this.#life();
      return this.counts;
    } catch (error) {
      const where = `seed ${this.#seed}, point ${this.counts.points} (${this.machine.crashedIn})`;
      throw new Error(`${where}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
  }

  async #open(create: boolean): Promise<void> {
    const { machine } = this;
    const { region, readLog } = await machine.openScm(create);
    this.#index = machine.openIndex();
    const settler = new InlineSettler(this.#index, readLog, isGatedCell);
    this.#store = await openStore({
      world: machine,
      region,
      device: machine.openDevice(),
      index: this.#index,
      settler: this.#wrap(settler),
      create,
      destageRule: destageLead,
      segmentBytes: SEGMENT_BYTES,
      transactionPages: TRANSACTION_PAGES,
      generationCells: GENERATION_CELLS,
    });
  }

  /** From one power loss to the next. */
  async #life(): Promise<void> {
    const { machine } = this;
    const { random } = machine;
    machine.crashAt = machine.steps + 1 + random.below(60);
    const turns = 1 + random.below(60);
    for (let turn = 0; turn < turns && !machine.dead; turn += 1) {
      const operations = 1 + random.below(4);
      for (let count = 0; count < operations && !machine.dead; count += 1) {
        try {
          this.#operate();
        } catch (error) {
          this.#refused(error);
        }
      }
      await this.#pass(random.next() < 0.02 ? LONG_MS : [0, 0.3, 1, 5, 60, 2500][random.below(6)]!);
    }
    if (!machine.dead && random.next() < 0.1) await this.#close();
    machine.losePower("between operations");
    this.counts.commits += this.#index.commits;
    this.counts.persists = machine.persists;
    this.counts.destagedBytes += this.#store.destagedBytes;
    await this.#recover();
  }

  async #close(): Promise<void> {
    const closed = this.#store.close().then(() => true);
    if (!(await this.#orCrash(closed))) return;
    this.counts.closes += 1;
    const { settledSequence } = settledState(this.#index);
    // What is undecided may leave no room to move it, and stays with all behind it.
    const isOpen = this.model.transactions.undecided().length > 0;
    if (isOpen) return;
    if (settledSequence < this.model.acknowledged) throw new Error("close left records unsettled");
    const used = this.#store.space().nvmeUsedBytes / BLOCK_BYTES;
    const settled = this.#settledBlocks();
    if (used !== settled) throw new Error(`${used} blocks are taken at the close, ${settled} are named`);
  }

  /** Lets simulated time pass; returns at a power loss too. */
  async #pass(ms: number): Promise<void> {
    const reached = Promise.withResolvers<boolean>();
    this.machine.timers.after(ms, () => reached.resolve(true));
    await this.#orCrash(reached.promise);
  }

  /** The promise's value, or undefined when power fails first. */
  async #orCrash<T>(promise: Promise<T>): Promise<T | undefined> {
    let settled = false;
    let value: T | undefined;
    let failure: unknown;
    promise.then(
      (result) => {
        settled = true;
        value = result;
      },
      (error: unknown) => {
        settled = true;
        failure = error;
      },
    );
    while (!settled && !this.machine.dead) await new Promise(setImmediate);
    if (this.machine.dead) return undefined;
    if (failure !== undefined) throw failure;
    if (this.#unexpected !== undefined) throw this.#unexpected;
    return value;
  }

  async #recover(): Promise<void> {
    const { machine, model } = this;
    for (;;) {
      await new Promise(setImmediate);
      this.counts.points += 1;
      this.counts.places.set(machine.crashedIn, (this.counts.places.get(machine.crashedIn) ?? 0) + 1);
      machine.restart();
      // Recovery itself may be struck.
      if (machine.random.next() < 0.2) machine.crashAt = machine.steps + 1 + machine.random.below(3);
      try {
        await this.#orCrash(this.#open(false));
      } catch (error) {
        if (!(error instanceof PowerLossError)) throw error;
      }
      if (!machine.dead) break;
    }
    machine.crashAt = Number.POSITIVE_INFINITY;
    model.recoverTo(this.#store, this.#store.durableSequence);
    for (const container of CONTAINERS) this.#store.setSnapshots(container, model.snapshotEpochs(container));
    this.#checkAccounts();
    await this.#checkEverything();
    this.counts.undecided += model.transactions.undecided().length;
    model.transactions.redecide(this.#store);
    model.transactions.prune();
    model.redecided();
    await this.#checkEverything();
  }

  async #checkEverything(): Promise<void> {
    const reads: Promise<void>[] = [];
    const { random } = this.machine;
    for (const key of this.model.keys()) {
      const viewers = this.model.viewers(uint32OfKey(key));
      const all = this.model.cellViewers(key);
      if (all.length > viewers.length) viewers.push(all[viewers.length]!, all[random.below(all.length)]!, all.at(-1)!);
      for (const viewer of viewers) {
        for (const content of this.model.check(this.#store, key, viewer)) reads.push(this.#checkExtent(content));
      }
    }
    for (const container of CONTAINERS) {
      const gate = this.model.gate(container);
      const above = gate + random.below(this.model.lastEpoch - gate + 1);
      for (const viewer of [...this.model.viewers(container), gate, above as Epoch]) {
        this.model.checkScan(this.#store, container, viewer, false);
        this.model.checkScan(this.#store, container, viewer, true);
      }
    }
    this.model.checkPunches(this.#store);
    await Promise.all(reads);
  }

  async #checkExtent({ extent, lead, bytes }: ExtentContent): Promise<void> {
    const from = this.machine.random.below(bytes.length);
    const length =
      this.machine.random.next() < 0.5 ? bytes.length - from : 1 + this.machine.random.below(bytes.length - from);
    const found = new Uint8Array(length);
    await this.#store.readExtent(extent, lead + from, length, found);
    if (!bytesEqual(found, bytes.subarray(from, from + length))) throw new Error(`extent ${extent.offset} differs`);
  }

  /** How many blocks the bitmap of the index has. */
  #settledBlocks(): number {
    let count = 0;
    visitSpace(this.#index, (_first, bits) => {
      for (const byte of bits) for (let rest = byte; rest !== 0; rest &= rest - 1) count += 1;
    });
    return count;
  }

  /** Every taken block belongs to exactly one version of index or log, and usage adds up. Right after recovery. */
  #checkAccounts(): void {
    const { settledSequence } = settledState(this.#index);
    const maybe = this.#loggedExtents(settledSequence);
    const taken = new Set<number>();
    const take = (extent: ExtentRef): void => {
      for (let block = extent.offset / BLOCK_BYTES; block * BLOCK_BYTES < extent.offset + extent.length; block += 1) {
        if (taken.has(block)) throw new Error(`block ${block} is in two versions`);
        taken.add(block);
      }
    };
    const usage = new Map<number, [number, number, number]>();
    for (const table of ["cells", "history"] as const) {
      for (const [rowKey, row] of this.machine.tables.rows.get(table)!) {
        const key = table === "cells" ? rowKey : (rowKey.slice(0, -HISTORY_SUFFIX_BYTES) as ByteString);
        const version = decodeSettledVersion(key, row.slice());
        const sums = usage.get(uint32OfKey(key)) ?? [0, 0, 0];
        sums[0] += versionBytes(key, version);
        sums[2] += 1;
        if (version.extent !== undefined) {
          take(version.extent);
          sums[1] += Math.ceil(version.extent.length / BLOCK_BYTES) * BLOCK_BYTES;
        }
        usage.set(uint32OfKey(key), sums);
      }
    }
    let settledBlocks = 0;
    visitSpace(this.#index, (first, bits) => {
      for (let block = 0; block < bits.length * 8; block += 1) {
        if (((bits[block >>> 3]! >>> (block & 7)) & 1) === 0) continue;
        settledBlocks += 1;
        if (!taken.has(first + block)) throw new Error(`block ${first + block} is taken by nobody`);
      }
    });
    if (settledBlocks !== taken.size) throw new Error("a settled extent is not in the bitmap");
    for (const { extent, sequence } of this.model.logged) if (sequence > 0) take(extent);
    const used = this.#store.space().nvmeUsedBytes / BLOCK_BYTES;
    const most = taken.size + maybe.filter((block) => !taken.has(block)).length;
    if (used < taken.size || used > most)
      throw new Error(`${used} blocks are taken, ${taken.size} to ${most} are named`);
    const rows = [...this.machine.tables.rows.get("usage")!];
    const stored = new Map(rows.map(([key, row]) => [uint32OfKey(key), decodeNumbers(key, row)]));
    if (JSON.stringify([...stored].sort()) !== JSON.stringify([...usage].sort())) {
      throw new Error(`usage ${JSON.stringify([...stored])} instead of ${JSON.stringify([...usage])}`);
    }
  }

  /**
   * Leaves in `logged` the extents that the log alone names. Returns the blocks of committed records of which only this
   * is known, that they are settled or were moved: until the log of this moment is settled.
   */
  #loggedExtents(settledSequence: number): number[] {
    const { model } = this;
    const recovered = this.#store.durableSequence;
    const maybe: number[] = [];
    const still: typeof model.logged = [];
    model.logged = model.logged.filter((entry) => {
      const state = model.transactions.of(entry.operation)?.state;
      if (state === "prepared") entry.sequence = Number.POSITIVE_INFINITY;
      else if (entry.sequence === Number.POSITIVE_INFINITY) entry.sequence = -recovered;
      else if (state === "committed" && entry.sequence > 0 && entry.sequence <= settledSequence) {
        entry.sequence = -recovered;
      }
      // A negative sequence: settled once the log up to there is.
      if (entry.sequence < 0 && -entry.sequence > settledSequence) {
        still.push(entry);
        const { offset, length } = entry.extent;
        for (let block = offset / BLOCK_BYTES; block * BLOCK_BYTES < offset + length; block += 1) maybe.push(block);
      }
      return entry.sequence > settledSequence;
    });
    model.logged.push(...still.filter((entry) => !model.logged.includes(entry)));
    return maybe;
  }

  #operate(): void {
    this.counts.operations += 1;
    if (this.machine.random.next() < 0.25) {
      this.#decideSome();
      return;
    }
    if (this.machine.random.next() < 0.05) {
      this.#raiseGate();
      return;
    }
    const choice = this.machine.random.next();
    if (choice < 0.55) this.#put();
    else if (choice < 0.63) this.#replace();
    else if (choice < 0.82) void this.#putExtent().catch((error: unknown) => this.#refused(error));
    else if (choice < 0.89) this.#punch();
    else if (choice < 0.94) this.#createSnapshot();
    else if (choice < 0.97) this.#destroySnapshot();
    else if (choice < 0.98) this.#aggregate();
    else this.#checkSome();
    if (choice < 0.1) this.model.checkPunches(this.#store);
  }

  #decideSome(): void {
    const { model, machine } = this;
    const { transactions } = model;
    const { random } = machine;
    const store = this.#store;
    for (let count = 1 + random.below(6); count > 0; count -= 1) {
      const choice = random.next();
      if (choice < 0.7) this.#decide();
      else if (choice < 0.9) transactions.forget(store, (candidates) => random.below(candidates));
      else transactions.logDecisions(store, () => !machine.dead && store === this.#store);
    }
  }

  #decide(): void {
    const { model, machine } = this;
    const undecided = model.transactions.undecided();
    const chosen = undecided[machine.random.below(Math.max(1, undecided.length))];
    const decision = machine.random.next() < 0.7 ? "commit" : "abort";
    // Some stay undecided for long, and everything on the same cells behind them.
    const isStuck = undecided.length < 12 && (chosen?.id.sequence ?? 0) % 7 === 0;
    if (chosen === undefined || isStuck || !model.transactions.mayDecide(chosen, decision)) return;
    model.decide(this.#store, chosen, decision);
    this.counts.decisions += 1;
  }

  /** Whether the next record is a prepared one. Cells with undecided versions are for prepared ones only. */
  #isPrepared(keys: Iterable<ByteString>): boolean {
    const undecided = this.model.transactions.undecidedKeys();
    for (const key of keys) if (undecided.has(key)) return true;
    return this.machine.random.next() < this.#preparedShare;
  }

  #refused(error: unknown): void {
    const { code } = error as { code?: string };
    if (code === "NO_SPACE") this.counts.refusals += 1;
    else if (!this.machine.dead && code !== "UNAVAILABLE" && code !== "OVERLOADED") this.#unexpected ??= error;
  }

  #randomKey(container = CONTAINERS[this.machine.random.below(CONTAINERS.length)]!): ByteString {
    const { random } = this.machine;
    if (random.next() < 0.3) return cellKey(container, NAMES[random.below(NAMES.length)]!);
    return cellKey(container, `key ${random.below(25)}`);
  }

  #randomBytes(limit: number, least = 0): Uint8Array {
    const { random } = this.machine;
    const bytes = new Uint8Array(least + random.below(limit));
    bytes.fill(random.below(256));
    random.fill(bytes.subarray(0, 8));
    return bytes;
  }

  #randomKind(): VersionKind {
    const choice = this.machine.random.next();
    if (choice < 0.55) return VersionKind.value;
    return choice < 0.8 ? VersionKind.part : VersionKind.tombstone;
  }

  /** `limit`: most bytes of one that is large enough to be destaged. */
  #write(key: ByteString, epoch: Epoch, limit = 3000): CellWrite {
    const { random } = this.machine;
    const kind = this.#randomKind();
    if (kind !== VersionKind.tombstone && random.next() < 0.3) {
      return { key, epoch, kind, meta: this.#randomBytes(18, 2), inline: this.#randomBytes(limit - 2000, 2000) };
    }
    const meta = random.next() < 0.5 ? NO_META : this.#randomBytes(20);
    if (kind === VersionKind.tombstone || random.next() < 0.1) return { key, epoch, kind, meta };
    return { key, epoch, kind, meta, inline: this.#randomBytes(300) };
  }

  /** True when a record may be appended in this turn. */
  #admitted(bytes: number, punch = false): boolean {
    const wait = this.#store.admit(bytes, { punch });
    if (wait === undefined) return true;
    wait.catch((error: unknown) => this.#refused(error));
    return false;
  }

  #put(): void {
    if (!this.#admitted(9500)) return;
    const epoch = this.model.nextEpoch();
    const keys = new Set([this.#randomKey()]);
    while (this.machine.random.next() < 0.3) keys.add(this.#randomKey());
    const chosen = [...keys].slice(0, 3);
    this.model.append(
      this.#store,
      chosen.map((key) => this.#write(key, epoch, keys.size === 1 ? 9000 : 3000)),
      [],
      [],
      this.#isPrepared(chosen),
    );
  }

  /** An equal epoch in the same cell replaces. */
  #replace(): void {
    const key = this.#randomKey();
    const newest = this.model.newest(key);
    if (newest === undefined || !this.#admitted(3200)) return;
    const write = this.#write(key, newest.epoch);
    const complete = newest.kind !== VersionKind.part && write.kind === VersionKind.part;
    const writes = [complete ? { ...write, kind: VersionKind.value } : write];
    this.model.append(this.#store, writes, [], [], this.#isPrepared([key]));
  }

  async #putExtent(): Promise<void> {
    const { random } = this.machine;
    const bytes = this.#randomBytes(random.next() < 0.05 ? 200_000 : 20_000);
    if (bytes.length === 0) return;
    const store = this.#store;
    const extent = await store.writeExtent(bytes.slice());
    try {
      await store.admit(600);
    } catch (error) {
      store.abandonExtent(extent);
      throw error;
    }
    if (random.next() < 0.15) {
      this.#store.abandonExtent(extent);
      return;
    }
    const epoch = this.model.nextEpoch();
    const kind = random.next() < 0.7 ? VersionKind.value : VersionKind.part;
    const key = this.#randomKey();
    const other = this.#randomKey();
    if (bytes.length <= BLOCK_BYTES || random.next() < 0.5 || key === other) {
      const writes = [{ key, epoch, kind, meta: NO_META, extent }];
      this.#appendExtents([extent], writes, [bytes]);
      return;
    }
    const cut = BLOCK_BYTES * (1 + random.below(Math.floor((bytes.length - 1) / BLOCK_BYTES)));
    const first = this.#store.sliceExtent(extent, 0, cut);
    const second = this.#store.sliceExtent(extent, cut, bytes.length - cut);
    const writes = [
      { key, epoch, kind, meta: NO_META, extent: first },
      { key: other, epoch, kind, meta: NO_META, extent: second },
    ];
    this.#appendExtents([first, second], writes, [bytes.subarray(0, cut), bytes.subarray(cut)]);
  }

  #appendExtents(extents: readonly ExtentRef[], writes: readonly CellWrite[], contents: readonly Uint8Array[]): void {
    const isPrepared = this.#isPrepared(writes.map(({ key }) => key));
    try {
      this.model.append(this.#store, writes, [], contents, isPrepared);
    } catch (error) {
      for (const extent of extents) this.#store.abandonExtent(extent);
      throw error;
    }
  }

  #punch(): void {
    if (!this.#admitted(400, true)) return;
    const container = CONTAINERS[this.machine.random.below(CONTAINERS.length)]!;
    const [from, to] = [this.#randomKey(container), this.#randomKey(container)].sort() as [ByteString, ByteString];
    const epoch = this.model.nextEpoch();
    if (from === to) return;
    const marker = cellKey(container, `~punch ${epoch}`);
    const write = { key: marker, epoch, kind: VersionKind.tombstone, meta: NO_META };
    const isPrepared = this.machine.random.next() < this.#preparedShare;
    const operation = this.model.append(this.#store, [write], [{ from, to, epoch }], [], isPrepared);
    this.model.punches.push({ from, to, epoch, marker, sequence: operation.sequence, operation });
  }

  #createSnapshot(): void {
    const container = CONTAINERS[this.machine.random.below(CONTAINERS.length)]!;
    const epochs = this.model.snapshotEpochs(container);
    if (epochs.length >= 5 || !this.#admitted(300)) return;
    const epoch = this.model.nextEpoch();
    this.#store.setSnapshots(container, [...epochs, epoch]);
    const write = { key: cellKey(container, `~snapshot ${epoch}`), epoch, kind: VersionKind.value, meta: NO_META };
    const createdBy = this.model.append(this.#store, [write], []).sequence;
    this.model.snapshots.push({ container, epoch, createdBy, removedBy: undefined });
  }

  #destroySnapshot(): void {
    const snapshots = this.model.snapshots.filter((snapshot) => snapshot.removedBy === undefined);
    const snapshot = snapshots[this.machine.random.below(snapshots.length)];
    if (snapshot === undefined || !this.#admitted(300, true)) return;
    const { container } = snapshot;
    const key = cellKey(container, `~snapshot ${snapshot.epoch}`);
    const write = { key, epoch: this.model.nextEpoch(), kind: VersionKind.tombstone, meta: NO_META };
    const store = this.#store;
    snapshot.removedBy = this.model.append(store, [write], []).sequence;
    store.whenDurable(snapshot.removedBy, (error) => {
      if (error !== undefined || this.machine.dead || store !== this.#store) return;
      this.model.snapshots = this.model.snapshots.filter((other) => other !== snapshot);
      try {
        store.setSnapshots(container, this.model.snapshotEpochs(container));
      } catch (refusal) {
        this.#refused(refusal);
      }
    });
  }

  #raiseGate(): void {
    const { random } = this.machine;
    const { model } = this;
    const container = CONTAINERS[random.below(CONTAINERS.length)]!;
    const before = model.gate(container);
    const isNear = random.next() < 0.5;
    const epoch = isNear ? model.lastEpoch - random.below(10) : before + random.below(model.lastEpoch - before + 1);
    this.#store.setGate(container, epoch as Epoch);
    model.gates.set(container, Math.max(before, epoch) as Epoch);
    if (this.#store.gate(container) !== model.gate(container)) throw new Error("a gate is not what it was set to");
  }

  #aggregate(): void {
    void this.#store.aggregate(CONTAINERS[0]!).catch((error: unknown) => this.#refused(error));
  }

  /** Reads while work goes on, at now, at a snapshot, and at an epoch that is not aggregated yet. */
  #checkSome(): void {
    const { random } = this.machine;
    for (const key of this.model.keys()) {
      if (random.next() < 0.7) continue;
      const container = uint32OfKey(key);
      const removed = this.model.snapshots.filter((snapshot) => snapshot.removedBy !== undefined);
      const viewers = this.model.viewers(container).filter((epoch) => !removed.some((one) => one.epoch === epoch));
      const aggregated = isGatedCell(key)
        ? this.#store.gate(container)
        : Math.max(this.#store.aggregatedTo(container), this.model.prunedTo);
      viewers.push((aggregated + random.below(this.model.lastEpoch - aggregated + 1)) as Epoch);
      for (const content of this.model.check(this.#store, key, viewers[random.below(viewers.length)]!)) {
        void this.#checkExtent(content).catch((error: unknown) => this.#refused(error));
      }
    }
  }
}
