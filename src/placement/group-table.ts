/**
 * The table of redundancy groups of a pool map, for one number of shards: rows of as many targets as a group has shards.
 * All targets have nearly the same number of cells in it, two targets of a row share no fault domain while one is free,
 * and appending targets moves cells onto the new ones only: as much as they are due, and nothing else.
 *
 * It is the outcome of a play that starts with no target and appends them one by one, in the map's order:
 *
 *     1. the rows double (row r + rows becomes a copy of row r) while the table has under CELLS_PER_TARGET cells a target;
 *     2. in each row the new target takes the cell that shares the most domains, if it shares fewer itself;
 *     3. it takes cells of the targets that have most, where it shares no more, until none has two more than itself.
 *
 * Rows are found by the low bits of a hash: when the rows double, the keys of row r part over r and its copy, which is on
 * the same targets, so that doubling moves nothing. Which row an object uses is layout.ts's; docs/protocol.md has the whole.
 */
import { assert } from "../base/assert.ts";
import type { FaultDomainTree } from "./fault-domain.ts";
import { mix32 } from "./jump-hash.ts";

/** The table has from this to twice this many cells a target. */
const CELLS_PER_TARGET = 4;
/** Targets of one load that are tried for a cell to take, and cells of one of them. */
const PROBES = 8;
/** A cell without target yet. */
export const EMPTY_CELL = -1;

export class GroupTable {
  readonly shardCount: number;
  /** A power of two. */
  rowCount = 1;
  /** Position of the target of each cell, row by row. */
  cells: Int32Array;
  /** The cells as they were before each doubling. */
  readonly #earlier: Int32Array[] = [];
  readonly #tree: FaultDomainTree;
  readonly #salt: number;
  /** Cells of each target, by position. */
  readonly #cellsOf: number[][] = [];
  /** Place of each cell in its target's list. */
  #placeOf: Int32Array;
  /** Targets by how many cells they have, and the place of each in there. */
  readonly #byLoad: number[][] = [[]];
  readonly #placeInLoad: Int32Array;
  /** Targets of each topmost domain so far. */
  readonly #inDomain: number[][] = [];
  /** Number of targets so far, by level and domain. */
  readonly #domainSizes: Int32Array[];
  /** Some row has an empty cell, or two that share a domain. */
  #imperfect = true;
  #targetCount = 0;

  /** `positions` ascending: the targets to append. `family` tells tables of one map and shard count apart. */
  constructor(tree: FaultDomainTree, positions: readonly number[], shardCount: number, family: number) {
    assert(shardCount > 0, "a group has a shard");
    this.shardCount = shardCount;
    this.#tree = tree;
    this.#salt = mix32((family << 8) | shardCount);
    this.cells = new Int32Array(shardCount).fill(EMPTY_CELL);
    this.#placeOf = new Int32Array(shardCount);
    this.#placeInLoad = new Int32Array(tree.targetCount);
    this.#domainSizes = tree.domainCounts.map((count) => new Int32Array(count));
    for (const position of positions) this.#append(position);
  }

  /** Positions of the targets of a row; EMPTY_CELL where there are too few. */
  row(index: number): readonly number[] {
    return this.#rowOf(this.cells, index);
  }

  /** A row of the table as it was just before it came to have more than `rowCount` rows; as it is, if it has no more. */
  earlierRow(rowCount: number, index: number): readonly number[] {
    const cells = this.#earlier.find(({ length }) => length === rowCount * this.shardCount) ?? this.cells;
    return this.#rowOf(cells, index);
  }

  #rowOf(cells: Int32Array, index: number): readonly number[] {
    return Array.from(cells.subarray(index * this.shardCount, (index + 1) * this.shardCount));
  }

  #append(target: number): void {
    this.#targetCount += 1;
    while (this.shardCount * this.rowCount < CELLS_PER_TARGET * this.#targetCount) this.#double();
    this.#cellsOf[target] = [];
    this.#enterLoad(target, 0);
    (this.#inDomain[this.#tree.domains[0]![target]!] ??= []).push(target);
    if (this.#imperfect) this.#separate(target);
    for (const [level, sizes] of this.#domainSizes.entries()) sizes[this.#tree.domains[level]![target]!]! += 1;
    this.#balance(target);
  }

  /** Step 1. */
  #double(): void {
    const { cells } = this;
    const doubled = new Int32Array(cells.length * 2);
    doubled.set(cells);
    doubled.set(cells, cells.length);
    const places = new Int32Array(doubled.length);
    places.set(this.#placeOf);
    this.#placeOf = places;
    for (let cell = 0; cell < cells.length; cell += 1) {
      const target = cells[cell]!;
      if (target === EMPTY_CELL) continue;
      const own = this.#cellsOf[target]!;
      places[cell + cells.length] = own.length;
      own.push(cell + cells.length);
    }
    this.#earlier.push(cells);
    this.cells = doubled;
    this.rowCount *= 2;
    const loads = this.#byLoad.splice(0);
    this.#byLoad.push([]);
    for (const [load, targets] of loads.entries()) for (const target of targets) this.#enterLoad(target, load * 2);
  }

  /** Step 2. */
  #separate(target: number): void {
    const { cells, shardCount } = this;
    if (!this.#opensRoom(target, shardCount)) return;
    this.#imperfect = false;
    for (let start = 0; start < cells.length; start += shardCount) {
      if (!this.#opensRoomIn(target, start)) {
        this.#imperfect = true;
        continue;
      }
      const { cell, shared } = this.#worstOfRow(start);
      if (shared === 0) continue;
      if (this.#tree.sharedLevels(target, cells, start, shardCount, cell) < shared) this.#take(target, cell);
      this.#imperfect ||= this.#worstOfRow(start).shared > 0;
    }
  }

  /** Some domain of the target had fewer than `count` targets: else no row can have lacked a place there. */
  #opensRoom(target: number, count: number): boolean {
    return this.#domainSizes.some((sizes, level) => sizes[this.#tree.domains[level]![target]!]! < count);
  }

  /** The row has all the targets that some domain of this one had (or it had none): else the row's place there is old. */
  #opensRoomIn(target: number, start: number): boolean {
    for (let level = this.#tree.levelCount - 1; level >= 0; level -= 1) {
      const domains = this.#tree.domains[level]!;
      const size = this.#domainSizes[level]![domains[target]!]!;
      if (size >= this.shardCount) return false;
      let count = 0;
      for (let cell = start; cell < start + this.shardCount; cell += 1) {
        const other = this.cells[cell]!;
        if (other !== EMPTY_CELL && domains[other] === domains[target]) count += 1;
      }
      if (count === size) return true;
    }
    return false;
  }

  /** The cell of the row that shares the most domains; of equals the one whose target has most cells, then the first. */
  #worstOfRow(start: number): { cell: number; shared: number } {
    let worst = { cell: start, shared: -1, load: 0 };
    for (let cell = start; cell < start + this.shardCount; cell += 1) {
      const target = this.cells[cell]!;
      if (target === EMPTY_CELL) return { cell, shared: Number.POSITIVE_INFINITY };
      const shared = this.#tree.sharedLevels(target, this.cells, start, this.shardCount, cell);
      const load = this.#cellsOf[target]!.length;
      if (shared > worst.shared || (shared === worst.shared && load > worst.load)) worst = { cell, shared, load };
    }
    return worst;
  }

  /** Step 3. */
  #balance(target: number): void {
    const own = this.#cellsOf[target]!;
    for (;;) {
      let cell = this.#cellOfLoaded(target, own.length);
      if (cell === EMPTY_CELL) cell = this.#cellOfNeighbour(target, own.length);
      if (cell === EMPTY_CELL) return;
      this.#take(target, cell);
    }
  }

  /** A cell of a target that has at least `load` + 2, of those that have most first. */
  #cellOfLoaded(target: number, load: number): number {
    const key = this.#key(target, load);
    for (let level = this.#byLoad.length - 1; level >= load + 2; level -= 1) {
      const targets = this.#byLoad[level]!;
      for (let probe = 0; probe < Math.min(PROBES, targets.length); probe += 1) {
        const cell = this.#cellToTake(target, targets[(key + probe) % targets.length]!, key);
        if (cell !== EMPTY_CELL) return cell;
      }
    }
    return EMPTY_CELL;
  }

  /** The same among the targets of its own topmost domain: in rows that have that domain, only these can give. */
  #cellOfNeighbour(target: number, load: number): number {
    let giver = EMPTY_CELL;
    let most = load + 1;
    for (const candidate of this.#inDomain[this.#tree.domains[0]![target]!]!) {
      const count = this.#cellsOf[candidate]!.length;
      if (count <= most) continue;
      giver = candidate;
      most = count;
    }
    return giver === EMPTY_CELL ? EMPTY_CELL : this.#cellToTake(target, giver, this.#key(target, load));
  }

  /** A cell of `giver` in whose row `target` shares no more domains than it; the search starts at `key`. */
  #cellToTake(target: number, giver: number, key: number): number {
    const { cells, shardCount } = this;
    const own = this.#cellsOf[giver]!;
    for (let step = 0; step < Math.min(PROBES, own.length); step += 1) {
      const cell = own[(key + step) % own.length]!;
      const start = cell - (cell % shardCount);
      const shared = this.#tree.sharedLevels(target, cells, start, shardCount, cell);
      if (shared === 0) return cell;
      if (shared <= this.#tree.sharedLevels(giver, cells, start, shardCount, cell) && Number.isFinite(shared))
        return cell;
    }
    return EMPTY_CELL;
  }

  #take(target: number, cell: number): void {
    const giver = this.cells[cell]!;
    if (giver !== EMPTY_CELL) {
      const list = this.#cellsOf[giver]!;
      const load = list.length;
      const last = list.pop()!;
      if (last !== cell) {
        list[this.#placeOf[cell]!] = last;
        this.#placeOf[last] = this.#placeOf[cell]!;
      }
      this.#leaveLoad(giver, load);
      this.#enterLoad(giver, load - 1);
    }
    const own = this.#cellsOf[target]!;
    this.#leaveLoad(target, own.length);
    this.#placeOf[cell] = own.length;
    own.push(cell);
    this.#enterLoad(target, own.length);
    this.cells[cell] = target;
  }

  #enterLoad(target: number, load: number): void {
    while (this.#byLoad.length <= load) this.#byLoad.push([]);
    const targets = this.#byLoad[load]!;
    this.#placeInLoad[target] = targets.length;
    targets.push(target);
  }

  /** The last of the list takes its place. */
  #leaveLoad(target: number, load: number): void {
    const targets = this.#byLoad[load]!;
    const last = targets.pop()!;
    if (last !== target) {
      targets[this.#placeInLoad[target]!] = last;
      this.#placeInLoad[last] = this.#placeInLoad[target]!;
    }
    while (this.#byLoad.length > 1 && this.#byLoad.at(-1)!.length === 0) this.#byLoad.pop();
  }

  /** Where a search for a cell starts. */
  #key(target: number, load: number): number {
    return mix32(mix32(this.#salt ^ target) + load);
  }
}
