/**
 * Bytes at rest that change: in extents on the device, and in the part of the log whose loss the next start must notice. One
 * target of a seed rots, in half of the seeds, and no other one is excluded then: everything has one good copy at least.
 */
import { DaosError } from "../../../../src/base/errors.ts";
import { BLOCK_BYTES, KIB } from "../../../../src/base/limits.ts";
import { decodeSegmentHeader } from "../../../../src/format/segment-header.ts";
import { type LogLayout, planLayout, slotOffset } from "../../../../src/store/log-layout.ts";
import type { ClusterNode } from "../node.ts";
import { restart } from "./crashes.ts";
import type { FaultKind, FaultParts } from "./fault-kind.ts";

/** Damage to extents comes in so many places at a time, at most. */
const MAX_PLACES = 200;
/** What a discarded or fresh block is filled with. */
const EMPTY = new Set([0, 0xdd]);

export function rotKinds(parts: FaultParts): FaultKind[] {
  const rot = new BitRot(parts);
  return [
    { name: "rot", weight: 2, begin: () => rot.begin(), strike: () => rot.damageExtents() },
    {
      name: "rot of log",
      weight: 0.3,
      begin: () => rot.begin(),
      strike: () => rot.damageLog(),
      heal: () => rot.heal(),
    },
  ];
}

class BitRot {
  readonly #parts: FaultParts;
  #isChosen = false;
  #node: ClusterNode | undefined;

  constructor(parts: FaultParts) {
    this.#parts = parts;
  }

  begin(): void {
    if (this.#isChosen) return;
    this.#isChosen = true;
    const { random, cluster } = this.#parts;
    if (random.next() < 0.5) return;
    this.#node = cluster.nodes[random.below(cluster.nodes.length)]!;
    cluster.control.expendable = this.#node.index;
  }

  damageExtents(): void {
    const node = this.#node;
    if (node === undefined) return;
    const { random, note } = this.#parts;
    const { deviceMedium } = node.machine;
    const used: number[] = [];
    for (let block = 0; block < deviceMedium.length; block += BLOCK_BYTES) {
      if (!EMPTY.has(deviceMedium[block + 9]!)) used.push(block);
    }
    if (used.length === 0) return;
    const count = Math.floor(MAX_PLACES ** random.next());
    note("rot", `${node.name} in ${count} places`);
    node.isRotten = true;
    for (let place = 0; place < count; place += 1) {
      flip(deviceMedium, used[random.below(used.length)]! + random.below(BLOCK_BYTES), random.below(8));
    }
  }

  /** Not in its last segment: of what is there the next start cannot know that it was durable. */
  damageLog(): void {
    const node = this.#node;
    if (node === undefined) return;
    const { random, note } = this.#parts;
    const { regionMedium, granularityBytes } = node.machine;
    const layout = planLayout(regionMedium.length, granularityBytes, node.segmentBytes);
    const segments = segmentsOf(regionMedium, layout);
    if (segments.length < 2) return;
    const offset = segments[random.below(segments.length - 1)]! + random.below(layout.segmentBytes);
    note("rot of log", `${node.name} at ${offset}`);
    node.isRotten = true;
    flip(regionMedium, offset, random.below(8));
  }

  /** A target that can write no more is started again, and tells what it has. */
  async heal(): Promise<void> {
    const node = this.#node;
    if (node?.life === undefined || canWrite(node)) return;
    this.#parts.cluster.log(`${node.name} is read-only`);
    node.kill(0);
    await restart(this.#parts, node);
    if (node.isLost) this.#parts.cluster.control.exclude(node.index);
  }
}

/** Offsets of the segments that hold something, in the order in which they were written. */
function segmentsOf(medium: Uint8Array, layout: LogLayout): number[] {
  return Array.from({ length: layout.segmentCount }, (_, slot) => slotOffset(layout, slot))
    .map((offset) => ({ offset, ordinal: decodeSegmentHeader(medium, offset)?.ordinal }))
    .filter(({ ordinal }) => ordinal !== undefined)
    .toSorted((left, right) => left.ordinal! - right.ordinal!)
    .map(({ offset }) => offset);
}

function canWrite({ life }: ClusterNode): boolean {
  try {
    void life!.store.admit(KIB, { punch: true });
    return true;
  } catch (error) {
    if (error instanceof DaosError && error.code === "READ_ONLY") return false;
    throw error;
  }
}

function flip(medium: Uint8Array, offset: number, bit: number): void {
  medium[offset]! ^= 1 << bit;
}
