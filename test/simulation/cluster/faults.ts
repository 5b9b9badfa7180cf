/**
 * What goes wrong in a simulated cluster, and its end: crashes in one sequence, everything else in another one, so that
 * each seed has a mix of both.
 */
import { SimulatedRandom } from "../random.ts";
import type { Cluster } from "./cluster.ts";
import { rotKinds } from "./faults/bit-rot.ts";
import { clockKind } from "./faults/clock-errors.ts";
import { crashKinds } from "./faults/crashes.ts";
import type { FaultKind, FaultParts } from "./faults/fault-kind.ts";
import { flipKind } from "./faults/flipped-bits.ts";
import { forgetKind } from "./faults/forgotten-clients.ts";
import { fullKinds } from "./faults/full-media.ts";
import { partitionKinds } from "./faults/partitions.ts";
import { slowMediaKind } from "./faults/slow-media.ts";

/** Longest time between two crashes, and between two other faults, milliseconds. */
const CRASH_PAUSE_MS = 1_500;
const PAUSE_MS = 800;
/**
 * Longest time between two times that some target forgets its clients, which comes by draws of its own, and in how many
 * seeds.
 */
const FORGET_PAUSE_MS = 100;
const FORGET_SEED = 0x464f;
const FORGET_SHARE = 0.25;
/** Longest time between two flipped bits, which come by draws of their own, and in how many seeds. */
const FLIP_PAUSE_MS = 30;
const FLIP_SEED = 0x464c;
const FLIP_SHARE = 0.25;

export class Faults {
  readonly #cluster: Cluster;
  readonly #random: SimulatedRandom;
  readonly #counts: Map<string, number>;
  readonly #crashes: FaultKind[];
  readonly #others: FaultKind[];
  readonly #forgetting: FaultKind[];
  readonly #forgettingRandom: SimulatedRandom;
  readonly #flips: FaultKind[];
  readonly #flippingRandom: SimulatedRandom;
  #isOver = false;

  /** `only`: the kinds that come, by name; all of them unless given. Throws when one is not known. */
  constructor(
    cluster: Cluster,
    random: SimulatedRandom,
    counts: Map<string, number>,
    only: ReadonlySet<string> | undefined,
  ) {
    this.#cluster = cluster;
    this.#random = random;
    this.#counts = counts;
    const note = (name: string, what: string): void => this.#note(name, what);
    const crashes = crashKinds({ cluster, random, note });
    const others = otherKinds({ cluster, random, note });
    const forgetting = [forgetKind({ cluster, random, note })];
    this.#flippingRandom = new SimulatedRandom(cluster.seed ^ FLIP_SEED);
    const flipping = [flipKind({ cluster, random: this.#flippingRandom, note })];
    const names = [...crashes, ...others, ...forgetting, ...flipping].map(({ name }) => name);
    for (const name of only ?? []) {
      if (!names.includes(name)) throw new Error(`no fault is called "${name}"; there are: ${names.join(", ")}`);
    }
    this.#crashes = crashes.filter(({ name }) => only?.has(name) ?? true);
    this.#others = others.filter(({ name }) => only?.has(name) ?? true);
    this.#forgettingRandom = new SimulatedRandom(cluster.seed ^ FORGET_SEED);
    const forgets = this.#forgettingRandom.next() < FORGET_SHARE;
    this.#forgetting = forgetting.filter(({ name }) => only?.has(name) ?? forgets);
    const flips = this.#flippingRandom.next() < FLIP_SHARE;
    this.#flips = flipping.filter(({ name }) => only?.has(name) ?? flips);
  }

  start(): void {
    const { control } = this.#cluster;
    control.excludes = this.#random.next() < 0.5;
    control.reintegrates = control.excludes && this.#random.next() < 0.8;
    control.moves = true;
    for (const kind of this.#others) kind.begin?.();
    this.#next(this.#crashes, CRASH_PAUSE_MS);
    this.#next(this.#others, PAUSE_MS);
    this.#next(this.#forgetting, FORGET_PAUSE_MS, this.#forgettingRandom);
    this.#next(this.#flips, FLIP_PAUSE_MS, this.#flippingRandom);
  }

  #next(kinds: readonly FaultKind[], pauseMs: number, random = this.#random): void {
    if (kinds.length === 0) return;
    this.#cluster.timers.after(random.next() * pauseMs, () => {
      if (this.#isOver) return;
      const { nodes } = this.#cluster;
      const node = nodes[random.below(nodes.length)]!;
      drawn(kinds, random).strike(node);
      this.#next(kinds, pauseMs, random);
    });
  }

  #note(name: string, what: string): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
    this.#cluster.log(`${name}: ${what}`);
  }

  /** Counts what has shown of the faults. */
  end(): void {
    for (const kind of this.#others) kind.end?.();
  }

  /** Ends what goes on; resolves when all targets are up that can be. */
  async heal(): Promise<void> {
    this.#isOver = true;
    const { nodes, timers, control } = this.#cluster;
    control.moves = false;
    control.resumeRebuild();
    while (nodes.some(({ isUp, isLost }) => !isUp && !isLost)) await timers.advance(50);
    for (const { index, isLost } of nodes) if (isLost) control.exclude(index);
    for (const kind of this.#others) await kind.heal?.();
  }
}

function otherKinds(parts: FaultParts): FaultKind[] {
  return [...partitionKinds(parts), clockKind(parts), ...fullKinds(parts), ...rotKinds(parts), slowMediaKind(parts)];
}

/** One of the kinds, by their weights. */
function drawn(kinds: readonly FaultKind[], random: SimulatedRandom): FaultKind {
  let draw = random.next() * kinds.reduce((sum, { weight }) => sum + weight, 0);
  for (const kind of kinds) {
    draw -= kind.weight;
    if (draw < 0) return kind;
  }
  return kinds.at(-1)!;
}
