/**
 * The slots that a crash load writes, one kind for each way to store something: small and large single values, blocks
 * and long runs of arrays, parts of a chunked array, values under dkeys and in objects of their own (which are punched
 * whole). Objects are of the class that the load is made for; single values of the container's.
 */
import { KIB, MIB } from "../../src/base/limits.ts";
import type { ObjectClass } from "../../src/base/object-class.ts";
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

const BLOCK = 4 * KIB;
const RUN = 300 * KIB;
/** A slot of the chunked array lies in one chunk: a write over several is not atomic. */
const PART = 8 * KIB;
const CHUNK = 4 * PART;

/** The object of this number in a space of its own. */
type Numbered = (space: number, index: number) => ObjectId;

const arrayKind = (
  numbered: Numbered,
  {
    space,
    size,
    stride,
    perArray,
    count,
  }: Readonly<Record<"space" | "size" | "stride" | "perArray" | "count", number>>,
): SlotKind => ({
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

const chunkedKind = (id: ObjectId, count: number): SlotKind => {
  const arrayOf = (view: ContainerView) => view.array(id, { chunkBytes: CHUNK });
  return {
    count,
    size: () => PART,
    write: (container, index, bytes) => arrayOf(container).write(index * PART, bytes),
    punch: (container, index) => arrayOf(container).punch(index * PART, PART),
    async read(view, index) {
      const bytes = await arrayOf(view).read(index * PART, PART);
      return bytes.every((byte) => byte === 0) ? undefined : bytes;
    },
  };
};

function slotKinds(objectClass: ObjectClass): Readonly<Record<string, SlotKind>> {
  const numbered: Numbered = (space, index) => objectId("MULTI_LEXICAL", objectClass, space, BigInt(index));
  return {
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
    block: arrayKind(numbered, { space: 1, size: BLOCK, stride: BLOCK, perArray: 64, count: 512 }),
    // Blocks that lie across the windows' borders, in which parts of windows pile up.
    shifted: arrayKind(numbered, { space: 2, size: 1000, stride: 1000, perArray: 100, count: 400 }),
    run: arrayKind(numbered, { space: 3, size: RUN, stride: RUN, perArray: 8, count: 48 }),
    chunked: chunkedKind(objectId("ARRAY_BYTE", objectClass, 6, 0n), 480),
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
}

/** Slots of all kinds, named `kind/index`. */
export class Slots {
  readonly #kinds: Readonly<Record<string, SlotKind>>;
  readonly #share: number;

  /** `share`: of all slots, those that are used, 0 to 1. */
  constructor(objectClass: ObjectClass, share = 1) {
    this.#kinds = slotKinds(objectClass);
    this.#share = share;
  }

  countOf(kind: string): number {
    return Math.ceil(this.#kinds[kind]!.count * this.#share);
  }

  /** Writes a version of the slot, or punches it (version ABSENT). */
  write(container: Container, slot: string, version: number, draw: Draw): Promise<unknown> {
    const { kind, index } = this.#parse(slot);
    if (version === ABSENT) return kind.punch(container, index);
    return kind.write(container, index, slotContent(slot, version, kind.size(draw)));
  }

  /** The version that the slot holds, ABSENT for none. Rejects when its bytes are no version of it. */
  async read(view: ContainerView, slot: string): Promise<number> {
    const { kind, index } = this.#parse(slot);
    const bytes = await kind.read(view, index);
    return bytes === undefined ? ABSENT : slotVersion(slot, bytes);
  }

  #parse(slot: string): { kind: SlotKind; index: number } {
    const [name, index] = slot.split("/");
    return { kind: this.#kinds[name!]!, index: Number(index) };
  }
}
