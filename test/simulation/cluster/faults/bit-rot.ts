/**
 * Bytes at rest that change: in extents on the device, and in the part of the log whose loss the next start must notice. One
 * target of a seed rots, in half of the seeds, and no other one is excluded then: everything has one good copy at least.
 */
import type { ByteString } from "../../../../src/base/bytes.ts";
import { EPOCH_MAX } from "../../../../src/base/epoch.ts";
import { decodeSegmentHeader } from "../../../../src/format/segment-header.ts";
import { Placement } from "../../../../src/placement/placement.ts";
import { type LogLayout, planLayout, slotOffset } from "../../../../src/store/log-layout.ts";
import type { ExtentRef } from "../../../../src/store/cell.ts";
import { containerPrefix } from "../../../../src/vos/cell-key.ts";
import { type ClusterNode, CONTAINER } from "../node.ts";
import { restart } from "./crashes.ts";
import type { FaultKind, FaultParts } from "./fault-kind.ts";

/** Damage to extents comes in so many places at a time, at most. */
const MAX_PLACES = 20;

export function rotKinds(parts: FaultParts): FaultKind[] {
  const rot = new BitRot(parts);
  const common = { begin: () => rot.begin(), heal: () => rot.heal(), end: () => rot.end() };
  return [
    { ...common, name: "rot", weight: 4, strike: () => rot.damageExtents() },
    { ...common, name: "rot of log", weight: 0.3, strike: () => rot.damageLog() },
  ];
}

class BitRot {
  readonly #parts: FaultParts;
  #isChosen = false;
  #isHealed = false;
  #node: ClusterNode | undefined;

  constructor(parts: FaultParts) {
    this.#parts = parts;
  }

  begin(): void {
    const { random, cluster } = this.#parts;
    // What moves is read where it is.
    if (this.#isChosen || cluster.control.isMoving) return;
    this.#isChosen = true;
    if (random.next() < 0.5) return;
    const { oid, dkey } = cluster.subjects[random.below(cluster.subjects.length)]!;
    const { shards } = new Placement(cluster.control.map).groupOf(oid, dkey);
    this.#node = cluster.nodes[shards[random.below(shards.length)]!.target]!;
    cluster.control.expendable = this.#node.index;
  }

  /** Of what can be read now: what is older is rarely asked for. */
  damageExtents(): void {
    const node = this.#node;
    if (node?.life === undefined) return;
    const { random, note } = this.#parts;
    const extents: ExtentRef[] = [];
    const [from, to] = [CONTAINER, CONTAINER + 1].map((number) => containerPrefix(number) as ByteString);
    node.life.store.scan(from!, to!, EPOCH_MAX, (_key, { extent }) => {
      if (extent !== undefined) extents.push(extent);
    });
    if (extents.length === 0) return;
    const count = Math.floor(MAX_PLACES ** random.next());
    note("rot", `${node.name} in ${count} places`);
    node.isRotten = true;
    for (let place = 0; place < count; place += 1) {
      const { offset, length } = extents[random.below(extents.length)]!;
      flip(node.machine.deviceMedium, offset + random.below(length), random.below(8));
    }
  }

  /** Before its last segment: of what is in that the next start cannot know that it was durable. Older ones may be settled. */
  damageLog(): void {
    const node = this.#node;
    if (node === undefined) return;
    const { random, note } = this.#parts;
    const { regionMedium, granularityBytes } = node.machine;
    const layout = planLayout(regionMedium.length, granularityBytes, node.segmentBytes);
    const segments = segmentsOf(regionMedium, layout);
    if (segments.length < 2) return;
    const age = random.next() < 0.7 ? 2 : 2 + random.below(segments.length - 1);
    const offset = segments.at(-age)! + random.below(layout.segmentBytes);
    note("rot of log", `${node.name} at ${offset}`);
    node.isRotten = true;
    flip(regionMedium, offset, random.below(8));
  }

  /** Has the target started again: nothing that is only in memory hides what its media have. */
  async heal(): Promise<void> {
    const node = this.#node;
    if (node?.isRotten !== true || this.#isHealed) return;
    this.#isHealed = true;
    if (node.isUp) {
      node.kill(0);
      await restart(this.#parts, node);
    }
    if (node.isLost) this.#parts.cluster.control.exclude(node.index);
  }

  /** Notes what reads have found. */
  end(): void {
    const node = this.#node;
    if (node === undefined) return;
    for (let count = 0; count < node.machine.damageReports; count += 1) this.#parts.note("rot found", node.name);
    node.machine.damageReports = 0;
    const { repaired, lost } = node.repaired;
    for (let count = 0; count < repaired; count += 1) this.#parts.note("rot repaired", node.name);
    for (let count = 0; count < lost; count += 1) this.#parts.note("rot left", node.name);
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

function flip(medium: Uint8Array, offset: number, bit: number): void {
  medium[offset]! ^= 1 << bit;
}
