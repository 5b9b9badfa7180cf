/** The model store's epoch gate against the real store's: what may be read of the same random history is the same. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { ByteString } from "../../src/base/bytes.ts";
import { EPOCH_MAX, type Epoch } from "../../src/base/epoch.ts";
import { objectClassByName } from "../../src/base/object-class.ts";
import { objectId } from "../../src/base/object-id.ts";
import { type CellStore, type ReclaimRange, VersionKind } from "../../src/store/cell.ts";
import { containerPrefix, isGatedKey } from "../../src/vos/cell-key.ts";
import { NO_META, StoreRig } from "../store/store-rig.ts";
import { ModelStore } from "./model-store.ts";

const CONTAINER = 1;
const OBJECTS = ["S1", "EC_2P1G1"].map(
  (name) => containerPrefix(CONTAINER) + objectId("ARRAY", objectClassByName(name), 0, 1n),
);
const KEYS = OBJECTS.flatMap((object) => ["a", "b", "c"].map((name) => (object + name) as ByteString));

const operation = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      type: fc.constant("write"),
      key: fc.constantFrom(...KEYS),
      kind: fc.constantFrom(VersionKind.value, VersionKind.value, VersionKind.part, VersionKind.tombstone),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("punch"), object: fc.constantFrom(...OBJECTS) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("gate"), back: fc.nat(8) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("snapshots"), count: fc.nat(2) }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant("settle") }) },
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

class Comparison {
  readonly #rig: StoreRig;
  readonly #model = new ModelStore({ durable: true });
  readonly #punches: ReclaimRange[] = [];
  #snapshots: Epoch[] = [];
  #epoch = 0 as Epoch;

  constructor(rig: StoreRig) {
    this.#rig = rig;
  }

  async apply(one: Operation): Promise<void> {
    const stores: CellStore[] = [this.#rig.store, this.#model];
    if (one.type === "settle") {
      await this.#rig.settle();
      this.#model.settle();
    } else if (one.type === "gate") {
      for (const store of stores) store.setGate(CONTAINER, (this.#epoch - one.back) as Epoch);
    } else if (one.type === "snapshots") {
      this.#snapshots = [...this.#snapshots.slice(this.#snapshots.length - one.count), this.#next()];
      for (const store of stores) store.setSnapshots(CONTAINER, this.#snapshots);
    } else if (one.type === "write") {
      const epoch = this.#next();
      const bytes = one.kind === VersionKind.tombstone ? {} : { inline: Buffer.from(`${epoch}`) };
      for (const store of stores) store.append([{ key: one.key, epoch, kind: one.kind, meta: NO_META, ...bytes }]);
    } else {
      const range = { from: one.object as ByteString, to: `${one.object}\xff` as ByteString, epoch: this.#next() };
      const mark = {
        key: `${one.object}\xff` as ByteString,
        epoch: range.epoch,
        kind: VersionKind.tombstone,
        meta: NO_META,
      };
      for (const store of stores) store.append([mark], [range]);
      this.#punches.push(range);
    }
  }

  #next(): Epoch {
    this.#epoch = (this.#epoch + 1) as Epoch;
    return this.#epoch;
  }

  compare(): void {
    const gate = this.#model.gate(CONTAINER);
    expect(this.#rig.store.gate(CONTAINER)).toBe(gate);
    const above = Array.from({ length: this.#epoch - gate + 1 }, (_, place) => (gate + place) as Epoch);
    for (const key of KEYS) {
      const viewers = [EPOCH_MAX, ...this.#snapshots, ...(isGatedKey(key) ? above : [])];
      for (const viewer of viewers) {
        expect(this.#shown(this.#rig.store, key, viewer)).toEqual(this.#shown(this.#model, key, viewer));
      }
    }
  }

  #shown(store: CellStore, key: ByteString, viewer: Epoch): string[] {
    const punches = this.#punches.filter(({ from, to, epoch }) => epoch <= viewer && key >= from && key < to);
    const floor = Math.max(0, ...punches.map(({ epoch }) => epoch));
    const found: string[] = [];
    store.versions(key, viewer, ({ epoch, inline }) => {
      if (epoch > floor) found.push(inline === undefined ? "" : Buffer.from(inline).toString());
      return epoch > floor;
    });
    while (found.at(-1) === "") found.pop();
    return found;
  }
}

test("ModelStore: at the gate and above it gated cells show what the real store shows", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { minLength: 20, maxLength: 60 }), async (history) => {
      const rig = new StoreRig();
      rig.isGated = isGatedKey;
      await rig.open(true);
      const comparison = new Comparison(rig);
      for (const one of history) await comparison.apply(one);
      comparison.compare();
      await rig.settle();
      comparison.compare();
      await rig.store.close();
    }),
    { numRuns: 60, seed: 20_261_130 },
  );
}, 60_000);
