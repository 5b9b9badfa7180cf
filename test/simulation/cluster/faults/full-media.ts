/**
 * Targets whose SCM or block device runs full: another container takes what there is, and gives it back after a while or
 * when everything is healed. The store finds that out and says so by itself.
 */
import { byteStringOfText } from "../../../../src/base/bytes.ts";
import { DaosError } from "../../../../src/base/errors.ts";
import { KIB } from "../../../../src/base/limits.ts";
import { objectClassByName } from "../../../../src/base/object-class.ts";
import { objectId } from "../../../../src/base/object-id.ts";
import type { ClusterNode, NodeLife } from "../node.ts";
import { type FaultKind, type FaultParts, spanMs } from "./fault-kind.ts";

/** Longest time for which it stays full, unless it does until the end, milliseconds. */
const FULL_MS = 5_000;
/** Values that fill a tier: first large ones, then such as still find room. */
const SCM_VALUES = [3 * KIB, 256];
const NVME_VALUES = [128 * KIB, 4 * KIB + 1];
/** More than fit. */
const MAX_VALUES = 5_000;
/** Time in which room comes back, simulated milliseconds. */
const REFILL_MS = 5_000;

export function fullKinds(parts: FaultParts): FaultKind[] {
  const kindOf = (name: string, sizes: readonly number[]): FaultKind => {
    const hogs = new Hogs(parts, name, sizes);
    return { name, weight: 1, strike: (node) => void hogs.fill(node), heal: () => hogs.heal() };
  };
  return [kindOf("full scm", SCM_VALUES), kindOf("full nvme", NVME_VALUES)];
}

const ENDS: ReadonlySet<string> = new Set(["NO_SPACE", "NOT_FOUND", "READ_ONLY"]);

/** A container that fills a tier of one target. */
interface Hog {
  readonly node: ClusterNode;
  readonly container: number;
  isFilling: boolean;
}

class Hogs {
  readonly #parts: FaultParts;
  readonly #name: string;
  readonly #sizes: readonly number[];
  readonly #hogs = new Set<Hog>();
  #hasFilled = false;

  constructor(parts: FaultParts, name: string, sizes: readonly number[]) {
    this.#parts = parts;
    this.#name = name;
    this.#sizes = sizes;
  }

  async fill(node: ClusterNode): Promise<void> {
    const { random, note, cluster } = this.#parts;
    const { life } = node;
    if (life === undefined) return;
    const hog: Hog = { node, container: node.nextContainer, isFilling: true };
    node.nextContainer += 1;
    this.#hogs.add(hog);
    this.#hasFilled = true;
    life.objects.openContainer(hog.container);
    let count = 0;
    for (const sizeBytes of this.#sizes) {
      while (count < MAX_VALUES && (await this.#put(hog, life, count, sizeBytes))) count += 1;
    }
    note(this.#name, `${node.name} with ${count} values in container ${hog.container}`);
    // Some stay until everything is healed.
    if (random.next() < 0.3) return;
    cluster.timers.after(spanMs(random, 10, FULL_MS), () => void this.#empty(hog));
  }

  /** False when there is no room for the value. */
  async #put(hog: Hog, life: NodeLife, number: number, sizeBytes: number): Promise<boolean> {
    if (!hog.isFilling) return false;
    const oid = objectId("MULTI_HASHED", objectClassByName("S1"), hog.container, 1n);
    const request = { oid, dkey: byteStringOfText(`hog ${number}`), akey: byteStringOfText("value") };
    try {
      const written = await life.objects.updateValue(hog.container, request, new Uint8Array(sizeBytes).fill(number));
      return written.error === undefined;
    } catch (error) {
      // Another one may have taken the room, or this one given it back, or the log rots.
      if (error instanceof DaosError && ENDS.has(error.code)) return false;
      throw error;
    }
  }

  async #empty(hog: Hog): Promise<void> {
    const { life, name } = hog.node;
    hog.isFilling = false;
    if (life === undefined) return;
    this.#parts.cluster.log(`room on ${name}, of container ${hog.container}`);
    try {
      await life.objects.destroyContainer(hog.container);
    } catch (error) {
      if (!(error instanceof DaosError) || error.code !== "READ_ONLY") throw error;
    }
    this.#hogs.delete(hog);
  }

  async heal(): Promise<void> {
    if (!this.#hasFilled) return;
    await Promise.all([...this.#hogs].map((hog) => this.#empty(hog)));
    await this.#parts.cluster.timers.advance(REFILL_MS);
  }
}
