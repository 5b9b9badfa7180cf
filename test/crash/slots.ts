/**
 * The slots that a crash load writes, one kind for each way to store something: small and large single values, blocks
 * and long runs of arrays, values under dkeys and in objects of their own (which are punched whole).
 */
import { KIB, MIB } from "../../src/base/limits.ts";
import { objectClassByName } from "../../src/base/object-class.ts";
import { objectId, type ObjectId } from "../../src/base/object-id.ts";
import type { Container, ContainerView } from "../../src/library.ts";
import { slotContent, slotVersion } from "./content.ts";
import { ABSENT } from "./ledger.ts";

export type Draw = (below: number) => number;

interface SlotKind {
  readonly count: number;
  /** Bytes of a new version; arrays have a fixed size. */
  size(draw: Draw): number;
  write(container: Container, index: number, bytes: Uint8Array): Promise<unknown>;
  punch(container: Container, index: number): Promise<unknown>;
  read(view: ContainerView, index: number): Promise<Uint8Array | undefined>;
}

const S1 = objectClassByName("S1");
const BLOCK = 4 * KIB;
const BLOCKS_AN_ARRAY = 64;
const RUN = 300 * KIB;

function numbered(space: number, index: number): ObjectId {
  return objectId("MULTI_LEXICAL", S1, space, BigInt(index));
}

const arrayKind = (space: number, size: number, stride: number, perArray: number, count: number): SlotKind => ({
  count,
  size: () => size,
  write: (container, index, bytes) =>
    container
      .object(numbered(space, Math.floor(index / perArray)))
      .writeArray("chunk", "0", { recordIndex: (index % perArray) * stride, recordBytes: 1 }, bytes),
  punch: (container, index) =>
    container
      .object(numbered(space, Math.floor(index / perArray)))
      .punchArray("chunk", "0", { recordIndex: (index % perArray) * stride, recordCount: size, recordBytes: 1 }),
  async read(view, index) {
    const bytes = await view
      .object(numbered(space, Math.floor(index / perArray)))
      .readArray("chunk", "0", { recordIndex: (index % perArray) * stride, recordCount: size, recordBytes: 1 });
    return bytes === undefined || bytes.every((byte) => byte === 0) ? undefined : bytes;
  },
});

export const SLOT_KINDS: Readonly<Record<string, SlotKind>> = {
  small: {
    count: 2000,
    size: (draw) => 16 + draw(600),
    write: (container, index, bytes) => container.kv().put(`small-${index}`, bytes),
    punch: (container, index) => container.kv().delete(`small-${index}`),
    read: async (view, index) => (await view.kv().get(`small-${index}`))?.value,
  },
  large: {
    count: 60,
    size: (draw) => 4 * KIB + 1 + draw(1 * MIB),
    write: (container, index, bytes) => container.kv().put(`large-${index}`, bytes),
    punch: (container, index) => container.kv().delete(`large-${index}`),
    read: async (view, index) => (await view.kv().get(`large-${index}`))?.value,
  },
  block: arrayKind(1, BLOCK, BLOCK, BLOCKS_AN_ARRAY, 8 * BLOCKS_AN_ARRAY),
  // Blocks that lie across the windows' borders, in which parts of windows pile up.
  shifted: arrayKind(2, 1000, 1000, 100, 400),
  run: arrayKind(3, RUN, RUN, 8, 48),
  dkey: {
    count: 300,
    size: (draw) => 16 + draw(5000),
    write: (container, index, bytes) =>
      container.object(numbered(4, index % 7)).update(`dkey-${index}`, "value", bytes),
    punch: (container, index) => container.object(numbered(4, index % 7)).punchDkey(`dkey-${index}`),
    read: async (view, index) => (await view.object(numbered(4, index % 7)).fetch(`dkey-${index}`, "value"))?.value,
  },
  object: {
    count: 100,
    size: (draw) => 16 + draw(300),
    write: (container, index, bytes) => container.object(numbered(5, index)).update("dkey", "value", bytes),
    punch: (container, index) => container.object(numbered(5, index)).punch(),
    read: async (view, index) => (await view.object(numbered(5, index)).fetch("dkey", "value"))?.value,
  },
};

function parse(slot: string): { kind: SlotKind; index: number } {
  const [name, index] = slot.split("/");
  return { kind: SLOT_KINDS[name!]!, index: Number(index) };
}

/** Writes a version of the slot, or punches it (version ABSENT). */
export function writeSlot(container: Container, slot: string, version: number, draw: Draw): Promise<unknown> {
  const { kind, index } = parse(slot);
  if (version === ABSENT) return kind.punch(container, index);
  return kind.write(container, index, slotContent(slot, version, kind.size(draw)));
}

/** The version that the slot holds, ABSENT for none. Rejects when its bytes are no version of it. */
export async function readSlot(view: ContainerView, slot: string): Promise<number> {
  const { kind, index } = parse(slot);
  const bytes = await kind.read(view, index);
  return bytes === undefined ? ABSENT : slotVersion(slot, bytes);
}
