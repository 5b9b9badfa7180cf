/** Pieces of shards as cells: each viewer sees what it is to see, byte by byte, and no window reaches beyond the piece. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { Epoch } from "../../src/base/epoch.ts";
import { KIB, MIB } from "../../src/base/limits.ts";
import { objectClassByName } from "../../src/base/object-class.ts";
import { objectId } from "../../src/base/object-id.ts";
import type { EpochPart } from "../../src/contracts/redundancy.ts";
import type { CopiedVersion } from "../../src/format/fill-message.ts";
import { VersionKind } from "../../src/store/cell.ts";
import { windowBytes } from "../../src/vos/array-window.ts";
import {
  akeyPrefix,
  containerPrefix,
  dkeyPrefix,
  ownCellKey,
  windowClassOf,
  windowOf,
} from "../../src/vos/cell-key.ts";
import { encodeArrayMeta } from "../../src/vos/cell-meta.ts";
import { ShardImage } from "../../src/vos/shard-image.ts";
import { CONTAINER, key, makeRig } from "./rig.ts";

const OID = objectId("MULTI_HASHED", objectClassByName("EC_2P1G1"), 0, 1n);
const [DKEY, AKEY] = [key("dkey"), key("akey")];
const DKEY_PREFIX = dkeyPrefix(containerPrefix(CONTAINER) + OID, DKEY);
const AKEY_PREFIX = akeyPrefix(DKEY_PREFIX, AKEY);
/** Between two viewers. */
const STEP = 1_000;

/** The epoch of each byte of a piece, 0 where there is none; its byte follows from that. */
class Piece {
  readonly epochs: Uint32Array;
  readonly start: number;

  constructor(start: number, length: number) {
    this.start = start;
    this.epochs = new Uint32Array(length);
  }

  /** As planRebuild gives them: the whole piece, then the data. */
  parts(viewer: Epoch): EpochPart[] {
    const { start, epochs } = this;
    const common = { shard: 0, holds: "data" } as const;
    const parts: EpochPart[] = [
      { ...common, kind: "punch", address: start, length: epochs.length, views: [], epoch: viewer },
    ];
    for (let at = 0; at < epochs.length;) {
      const epoch = epochs[at]! as Epoch;
      let end = at + 1;
      while (end < epochs.length && epochs[end] === epoch) end += 1;
      const views = [this.bytes().subarray(at, end)];
      if (epoch > 0) parts.push({ ...common, kind: "write", address: start + at, length: end - at, views, epoch });
      at = end;
    }
    return parts;
  }

  bytes(): Uint8Array {
    return Uint8Array.from(this.epochs, (epoch, at) => (epoch === 0 ? 0 : ((epoch * 7 + at) % 255) + 1));
  }

  copy(): Piece {
    const copy = new Piece(this.start, this.epochs.length);
    copy.epochs.set(this.epochs);
    return copy;
  }
}

const change = fc.record({
  start: fc.nat(),
  length: fc.constantFrom(1, 3, 500, 4 * KIB, 70 * KIB, MIB),
  isHole: fc.boolean(),
});
const views = fc.array(fc.array(change, { maxLength: 60 }), { minLength: 1, maxLength: 5 });

for (const [name, start, length, ownsBlocks] of [
  ["cells of 12 KiB", 5 * 12 * KIB, 12 * KIB, false],
  ["cells of 128 KiB", 3 * 128 * KIB, 128 * KIB, false],
  ["blocks of a parity shard", 4 * MIB, 200 * KIB, true],
] as const) {
  test(`${name}: every viewer sees its state`, async () => {
    const property = fc.asyncProperty(views, async (changes) => {
      const rig = makeRig();
      const image = new ShardImage(AKEY_PREFIX, ownsBlocks);
      const versions: CopiedVersion[] = [
        {
          key: ownCellKey(AKEY_PREFIX),
          epoch: 1 as Epoch,
          kind: VersionKind.value,
          meta: encodeArrayMeta({ recordBytes: 1, classMask: 7, since: 1 }),
          bytes: undefined,
        },
      ];
      let piece = new Piece(start, length);
      const states: { viewer: Epoch; piece: Piece }[] = [];
      for (const [index, some] of changes.entries()) {
        const viewer = ((index + 1) * STEP) as Epoch;
        piece = piece.copy();
        for (const [place, { start: from, length: bytes, isHole }] of some.entries()) {
          const at = from % length;
          piece.epochs.fill(isHole ? 0 : index * STEP + 2 + place, at, Math.min(length, at + bytes));
        }
        states.push({ viewer, piece });
        if (some.length === 0 && index > 0) image.pass(viewer);
        else versions.push(...image.show(viewer, piece.parts(viewer)));
      }
      const last = new Map<string, number>();
      for (const { key: cell, epoch } of versions) {
        expect(epoch).toBeGreaterThan(last.get(cell) ?? 0);
        last.set(cell, epoch);
        if (cell.length === AKEY_PREFIX.length + 1) continue;
        const size = windowBytes(windowClassOf(cell));
        const block = ownsBlocks ? MIB : 1;
        expect(windowOf(cell) * size).toBeGreaterThanOrEqual(start);
        expect((windowOf(cell) + 1) * size).toBeLessThanOrEqual(Math.ceil((start + length) / block) * block);
      }
      await rig.objects.adoptSnapshots(
        CONTAINER,
        states.map(({ viewer }) => viewer),
      );
      await rig.objects.copies.write(CONTAINER, DKEY_PREFIX, versions, () => {});
      for (const { viewer, piece: shown } of states) {
        const request = { oid: OID, dkey: DKEY, akey: AKEY, epoch: viewer };
        const { bytes, extents } = await rig.objects.readShardArray(CONTAINER, request, { address: start, length });
        const written = new Uint8Array(length);
        for (const extent of extents) written.fill(1, extent.address - start, extent.address - start + extent.length);
        expect(
          Buffer.compare(
            written,
            Uint8Array.from(shown.epochs, (epoch) => (epoch === 0 ? 0 : 1)),
          ),
        ).toBe(0);
        if (bytes.length > 0) expect(Buffer.compare(bytes, shown.bytes())).toBe(0);
      }
    });
    await fc.assert(property, { numRuns: 25 });
  }, 60_000);
}

test("what does not change between viewers keeps its epoch, whatever changes beside it", () => {
  const image = new ShardImage(AKEY_PREFIX, true);
  const parity: EpochPart = {
    shard: 2,
    kind: "write",
    holds: "parity",
    address: 8 * MIB,
    length: 4 * KIB,
    views: [new Uint8Array(4 * KIB)],
    epoch: 5 as Epoch,
  };
  const replica: EpochPart = { ...parity, holds: "replica", address: 0, epoch: 1_500 as Epoch };
  expect(image.show(1_000 as Epoch, [parity]).map(({ epoch }) => epoch)).toEqual([5 as Epoch]);
  expect(image.show(2_000 as Epoch, [parity, replica]).map(({ epoch }) => epoch)).toEqual([1_500 as Epoch]);
  // The replica goes without a trace of when.
  expect(image.show(3_000 as Epoch, [parity]).map(({ kind, epoch }) => [kind, epoch])).toEqual([
    [VersionKind.tombstone, 2_001 as Epoch],
  ]);
});
