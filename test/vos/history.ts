/**
 * Random histories of every operation on versioned objects, and their comparison with the definition: a list of all
 * operations that is read through. Used on the model store and on the real one.
 */
import { expect } from "bun:test";
import fc from "fast-check";
import { crc32 } from "../../src/base/checksum.ts";
import type { ByteString } from "../../src/base/bytes.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import type { CellStore } from "../../src/store/cell.ts";
import { durable } from "../../src/vos/durable.ts";
import type { VersionedObjects } from "../../src/vos/versioned-objects.ts";
import { CONTAINER, key, oid, refusal, settled } from "./rig.ts";
import { type Address, NaiveModel, paint, paintAll } from "./naive-model.ts";

const DKEYS = ["", "a", "a\0", "\xff\xff"];
/** Most operations on the first are on single values, most on the others on arrays of this record size. */
const AKEYS = ["", "\0\x01", "z"];
const RECORD_BYTES: Readonly<Record<string, number>> = { "": 1, "\0\x01": 1, z: 3 };
const OIDS = [oid(1), oid(2)];
const KIB = 1024;

const address = fc.record({
  oid: fc.constantFrom(OIDS[0]!, OIDS[0]!, ...OIDS),
  dkey: fc.constantFrom("a", "a", "a", "a", ...DKEYS),
  akey: fc.constantFrom("\0\x01", "\0\x01", "\0\x01", ...AKEYS),
});
/** 0: what the akey mostly has. */
const recordBytes = fc.oneof(
  { weight: 15, arbitrary: fc.constant(0) },
  { weight: 1, arbitrary: fc.constantFrom(1, 3, 4096) },
);
/** Byte ranges near the window boundaries, in every size class; at most ARRAY_END. */
const range = fc.oneof(
  { weight: 1, arbitrary: fc.constant({ start: 0, length: 1024 * KIB }) },
  {
    weight: 20,
    arbitrary: fc.record({
      start: fc.oneof(
        fc.nat(10 * KIB),
        fc.nat(10 * KIB),
        fc.constantFrom(0, 4 * KIB, 60 * KIB, 64 * KIB, 1020 * KIB, 1024 * KIB),
        fc.integer({ min: 1020 * KIB, max: 1030 * KIB }),
      ),
      length: fc.oneof(
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 9 * KIB }),
        fc.constantFrom(4 * KIB, 8 * KIB, 64 * KIB, 70 * KIB),
        fc.integer({ min: 1, max: 80 * KIB }),
      ),
    }),
  },
);

type Operation =
  | {
      readonly type: "value";
      readonly at: typeof address extends fc.Arbitrary<infer A> ? A : never;
      readonly size: number;
      readonly flags: number;
    }
  | {
      readonly type: "write" | "hole";
      readonly at: Place;
      readonly range: { start: number; length: number };
      readonly recordBytes: number;
      readonly flags: number;
    }
  | { readonly type: "punchAkey" | "punchDkey" | "punchObject"; readonly at: Place; readonly flags: number }
  | { readonly type: "snapshot" | "unsnapshot" | "settle" | "settleLazily" | "reopen" | "merge" | "congest" };
interface Place {
  readonly oid: (typeof OIDS)[number];
  readonly dkey: string;
  readonly akey: string;
}

const flags = fc.oneof(
  { weight: 4, arbitrary: fc.constant(0) },
  { weight: 1, arbitrary: fc.constantFrom(1, 2, 4, 8, 16, 1 | 4, 2 | 8 | 16) },
);
export const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant("value" as const),
      at: fc.record({
        oid: fc.constantFrom(...OIDS),
        dkey: fc.constantFrom(...DKEYS),
        akey: fc.constantFrom("", "", "", "", "", "z"),
      }),
      size: fc.constantFrom(0, 1, 100, 4096, 4097, 9000),
      flags,
    }),
  },
  { weight: 10, arbitrary: fc.record({ type: fc.constant("write" as const), at: address, range, recordBytes, flags }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant("hole" as const), at: address, range, recordBytes, flags }) },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constantFrom("punchAkey" as const, "punchDkey" as const), at: address, flags }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("punchObject" as const), at: address, flags }) },
  {
    weight: 5,
    arbitrary: fc.record({
      type: fc.constantFrom(
        "snapshot" as const,
        "unsnapshot" as const,
        "settle" as const,
        "settleLazily" as const,
        "reopen" as const,
        "merge" as const,
        "congest" as const,
      ),
    }),
  },
);

/** Objects on some store, and what the histories do to it. */
export interface HistoryRig {
  readonly store: CellStore;
  readonly objects: VersionedObjects;
  /** Settles and aggregates; `lazily`: what punches hid need not be reclaimed yet. */
  settle(lazily: boolean): void | Promise<void>;
  /** Opens store and objects again, at best after a loss of power. */
  reopen(): void | Promise<void>;
  /** Makes the next writes wait. */
  congest(): void;
}

/** Small limits, so that short histories reach what long ones would. */
export const HISTORY_LIMITS = { stepCells: 3, windowParts: 3, singlyPunchedAkeys: 1 };

export class Comparison {
  readonly rig: HistoryRig;
  readonly model = new NaiveModel();
  readonly snapshots: Epoch[] = [];

  constructor(rig: HistoryRig) {
    this.rig = rig;
  }
  #fill = 1;

  async apply(operation: Operation): Promise<void> {
    const { rig } = this;
    switch (operation.type) {
      case "snapshot":
        if (this.snapshots.length < 4) this.snapshots.push(await rig.objects.createSnapshot(CONTAINER));
        return;
      case "unsnapshot": {
        const epoch = this.snapshots.shift();
        if (epoch !== undefined) await rig.objects.destroySnapshot(CONTAINER, epoch);
        return;
      }
      case "settle":
        return rig.settle(false);
      case "settleLazily":
        return rig.settle(true);
      case "reopen":
        await rig.objects.idle();
        return rig.reopen();
      case "merge":
        return rig.objects.idle();
      case "congest":
        rig.congest();
        return;
      default:
        return this.#write(operation);
    }
  }

  async #write(
    operation: Exclude<
      Operation,
      { type: "snapshot" | "unsnapshot" | "settle" | "settleLazily" | "reopen" | "merge" | "congest" }
    >,
  ): Promise<void> {
    const { rig, model } = this;
    const { oid, dkey, akey } = operation.at;
    const keys = { oid, dkey: key(dkey), akey: key(akey), flags: operation.flags };
    const latest = Number.MAX_SAFE_INTEGER;
    const view = model.view(operation.at, latest);
    const punch = operation.type.startsWith("punch");
    let expected = this.#condition(operation.at, operation.type, operation.flags);
    this.#fill = (this.#fill % 250) + 1;
    const fill = this.#fill;
    let run: () => Promise<{ epoch: Epoch; sequence: number }>;
    let record: (epoch: number) => void;
    if (operation.type === "value") {
      const value = new Uint8Array(operation.size).fill(fill);
      if (view.holds === "array") expected ??= "INVALID_ARGUMENT";
      run = () => settled(rig.objects.updateValue(CONTAINER, keys, value));
      record = (epoch) => model.add({ type: "value", epoch, ...operation.at, value });
    } else if (operation.type === "write" || operation.type === "hole") {
      const size = operation.recordBytes === 0 ? RECORD_BYTES[akey]! : operation.recordBytes;
      const recordIndex = Math.floor(operation.range.start / size);
      const recordCount = Math.ceil(operation.range.length / size);
      const request = { ...keys, recordIndex, recordCount, recordBytes: size };
      const start = recordIndex * size;
      const end = start + recordCount * size;
      if (view.holds === "value" || (view.holds === "array" && view.recordBytes !== size))
        expected ??= "INVALID_ARGUMENT";
      if (operation.type === "write") {
        const data = new Uint8Array(end - start).map((_, index) => ((fill * 31 + index) % 255) + 1);
        run = () => settled(rig.objects.writeArray(CONTAINER, request, data));
        record = (epoch) => model.add({ type: "write", epoch, ...operation.at, start, bytes: data, recordBytes: size });
      } else {
        run = () => settled(rig.objects.punchArray(CONTAINER, request));
        record = (epoch) => model.add({ type: "hole", epoch, ...operation.at, start, end });
      }
    } else {
      const allowed = { punchAkey: 26, punchDkey: 18, punchObject: 16 }[operation.type];
      if ((operation.flags & ~allowed) !== 0) expected = "INVALID_ARGUMENT";
      run = () => settled(rig.objects[operation.type as "punchAkey"](CONTAINER, keys));
      const scope = operation.type === "punchObject" ? {} : operation.type === "punchDkey" ? { dkey } : { dkey, akey };
      record = (epoch) => model.add({ type: "punch", epoch, oid, ...scope });
    }
    if (expected === undefined) {
      const { epoch, sequence } = await run();
      if (sequence > rig.store.durableSequence) await durable(rig.store, sequence);
      record(epoch);
    } else expect(await refusal(run), `${operation.type} ${punch}`).toBe(expected);
  }

  #condition(at: Place, type: string, flags: number): string | undefined {
    const visible = this.model.visible(Number.MAX_SAFE_INTEGER).filter((candidate) => candidate.oid === at.oid);
    const inDkey = visible.filter((candidate) => candidate.dkey === at.dkey);
    const inAkey = inDkey.filter((candidate) => candidate.akey === at.akey);
    if ((flags & 4) !== 0 && inAkey.length > 0) return "ALREADY_EXISTS";
    if ((flags & 8) !== 0 && inAkey.length === 0) return "DOES_NOT_EXIST";
    if ((flags & 1) !== 0 && inDkey.length > 0) return "ALREADY_EXISTS";
    if ((flags & 2) !== 0 && inDkey.length === 0) return "DOES_NOT_EXIST";
    if ((flags & 16) !== 0 && visible.length === 0) return "DOES_NOT_EXIST";
    return type === "" ? "" : undefined;
  }

  /** Compares everything visible at the latest epoch and every snapshot. */
  async compare(): Promise<void> {
    for (const epoch of [0 as Epoch, ...this.snapshots, ...this.#recentEpochs()]) {
      const at = epoch === 0 ? Number.MAX_SAFE_INTEGER : epoch;
      for (const where of this.model.addresses()) await this.#compareAkey(where, epoch, at);
      await this.#compareNames(epoch, at);
    }
    for (const snapshot of this.snapshots) await this.#compareChanges(snapshot, 0 as Epoch);
    if (this.snapshots.length > 1) await this.#compareChanges(this.snapshots[0]!, this.snapshots.at(-1)!);
  }

  /** Two epochs of the past that no snapshot keeps and that are not aggregated yet. */
  #recentEpochs(): Epoch[] {
    const oldest = this.rig.store.aggregatedTo(CONTAINER);
    const epochs = this.model.events.map((event) => event.epoch as Epoch).filter((epoch) => epoch >= oldest);
    return epochs.length === 0 ? [] : [epochs[0]!, epochs[epochs.length >> 1]!];
  }

  async #compareAkey(where: Address, epoch: Epoch, at: number): Promise<void> {
    const { objects } = this.rig;
    const view = this.model.view(where, at);
    const keys = { oid: where.oid as Place["oid"], dkey: key(where.dkey), akey: key(where.akey), epoch };
    if (view.holds !== "array") {
      const fetched = await settled(objects.fetchValue(CONTAINER, keys)).catch((error) => error);
      const expected =
        view.holds === "value" ? { found: true, value: view.value, epoch: view.epoch as Epoch } : { found: false };
      // An array of which everything was punched is still no value, and no error is owed.
      if (view.holds === "value" || fetched.found !== undefined) expect(fetched).toMatchObject(expected);
      if (view.holds === "value") expect(fetched.checksum).toBe(crc32(fetched.value));
      const extents = await objects.listExtents(CONTAINER, { ...keys, from: 0, limit: 100 });
      expect(extents.extents).toEqual([]);
      return;
    }
    const size = view.recordBytes;
    const ranges = [
      [0, 24 * KIB],
      [1016 * KIB, 100 * KIB],
      [0, 1200 * KIB],
      [4 * KIB, 4 * KIB],
      [60 * KIB, 5000],
    ] as const;
    for (const [start, length] of ranges) {
      const recordIndex = Math.floor(start / size);
      const recordCount = Math.ceil(length / size);
      const read = await settled(
        objects.readArray(CONTAINER, { ...keys, recordIndex, recordCount, recordBytes: size }),
      );
      const expected = paint(view, recordIndex * size, (recordIndex + recordCount) * size);
      const found = expected.present.includes(1);
      expect(read.found).toBe(found);
      const shown = found ? read.bytes : new Uint8Array(expected.bytes.length);
      expect(Buffer.compare(shown, expected.bytes)).toBe(0);
      expect(read.checksum).toBe(crc32(read.bytes));
      const present = new Uint8Array(expected.present.length).fill(1);
      for (const hole of read.holes)
        present.fill(0, (hole.index - recordIndex) * size, (hole.index - recordIndex + hole.count) * size);
      expect(Buffer.compare(present, expected.present)).toBe(0);
    }
    await this.#compareExtents(keys, paintAll(view).present, size, epoch);
  }

  async #compareExtents(
    keys: { oid: Place["oid"]; dkey: ByteString; akey: ByteString; epoch: Epoch },
    present: Uint8Array,
    size: number,
    epoch: Epoch,
  ): Promise<void> {
    const listed = new Uint8Array(present.length);
    for (let from = 0, end = 0, done = false, pages = 0; !done; pages += 1) {
      expect(pages).toBeLessThan(400);
      const page = await this.rig.objects.listExtents(CONTAINER, { ...keys, from, limit: 3 });
      for (const extent of page.extents) {
        expect(extent.index).toBeGreaterThanOrEqual(end);
        end = extent.index + extent.count;
        listed.fill(1, extent.index * size, end * size);
      }
      from = page.next;
      done = page.done;
    }
    expect(Buffer.compare(listed, present)).toBe(0);
    const first = present.indexOf(1) / size;
    const last = present.lastIndexOf(1);
    const max = await this.rig.objects.queryKey(CONTAINER, { ...keys, direction: "max", levels: ["extent"], epoch });
    expect((max.extent!.index + max.extent!.count) * size).toBe(last + 1);
    const min = await this.rig.objects.queryKey(CONTAINER, { ...keys, direction: "min", levels: ["extent"], epoch });
    expect(min.extent!.index).toBe(first);
    for (const { index, count } of [max.extent!, min.extent!]) {
      expect(present.subarray(index * size, (index + count) * size).includes(0)).toBe(false);
    }
  }

  async #compareNames(epoch: Epoch, at: number): Promise<void> {
    const { objects } = this.rig;
    expect(
      await this.#pages((after) => objects.listObjects(CONTAINER, { limit: 1, epoch, ...after }), "objects"),
    ).toEqual(this.model.objects(at));
    for (const object of OIDS) {
      const dkeys = this.model.dkeys(object, at);
      expect(
        await this.#pages((after) => objects.listDkeys(CONTAINER, { oid: object, limit: 2, epoch, ...after }), "keys"),
      ).toEqual(dkeys);
      const withPrefix = await this.#pages(
        (after) => objects.listDkeys(CONTAINER, { oid: object, limit: 2, epoch, prefix: key("a"), ...after }),
        "keys",
      );
      expect(withPrefix).toEqual(dkeys.filter((dkey) => dkey.startsWith("a")));
      for (const direction of ["max", "min"] as const) {
        const found = await objects.queryKey(CONTAINER, { oid: object, direction, levels: ["dkey", "akey"], epoch });
        const dkey = direction === "max" ? dkeys.at(-1) : dkeys[0];
        const akeys = dkey === undefined ? [] : this.model.akeys(object, dkey, at);
        expect([found.dkey as string | undefined, found.akey as string | undefined]).toEqual([
          dkey,
          direction === "max" ? akeys.at(-1) : akeys[0],
        ]);
      }
      for (const dkey of DKEYS) {
        const listed = await this.#pages(
          (after) => objects.listAkeys(CONTAINER, { oid: object, dkey: key(dkey), limit: 2, epoch, ...after }),
          "keys",
        );
        expect(listed).toEqual(this.model.akeys(object, dkey, at));
      }
    }
  }

  async #pages(list: (after: { after?: ByteString }) => unknown, field: "keys" | "objects"): Promise<string[]> {
    const names: string[] = [];
    let after: { after?: ByteString } = {};
    for (let pages = 0; ; pages += 1) {
      expect(pages).toBeLessThan(100);
      const page = (await list(after)) as Record<string, unknown> & { done: boolean; anchor: ByteString | undefined };
      names.push(...(page[field] as string[]));
      if (page.done) return names;
      after = page.anchor === undefined ? {} : { after: page.anchor };
    }
  }

  async #compareChanges(from: Epoch, to: Epoch): Promise<void> {
    const listed: string[] = [];
    let after: { after?: ByteString } = {};
    for (let done = false; !done;) {
      const page = await this.rig.objects.listChanges(CONTAINER, { fromEpoch: from, toEpoch: to, limit: 2, ...after });
      listed.push(...page.changes.map((change) => [change.change, change.oid, change.dkey, change.akey].join("|")));
      done = page.done;
      after = page.anchor === undefined ? {} : { after: page.anchor };
    }
    const upTo = to === 0 ? Number.MAX_SAFE_INTEGER : to;
    const certain: string[] = [];
    for (const where of this.model.addresses()) {
      const before = this.model.view(where, from);
      const now = this.model.view(where, upTo);
      const name = `|${where.oid}|${where.dkey}|${where.akey}`;
      if (before.holds === "nothing" && now.holds !== "nothing") certain.push(`added${name}`);
      else if (before.holds !== "nothing" && now.holds === "nothing") certain.push(`removed${name}`);
      else if (before.holds !== "nothing" && this.#touched(where, from, upTo)) certain.push(`changed${name}`);
    }
    expect(new Set(listed).size).toBe(listed.length);
    for (const name of certain) expect(listed).toContain(name);
    // Holes punched where nothing was may be told as changes, nothing else.
    const holes = this.model.events.filter(
      (event) => event.type === "hole" && event.epoch > from && event.epoch <= upTo,
    );
    const possible = holes.map((hole) =>
      ["changed", hole.oid, "dkey" in hole && hole.dkey, "akey" in hole && hole.akey].join("|"),
    );
    for (const name of listed) if (!certain.includes(name)) expect(possible).toContain(name);
  }

  /** True when the akey was written, or something of it punched, between the epochs. */
  #touched(where: Address, from: number, to: number): boolean {
    const written = this.model.events.some(
      (event) =>
        (event.type === "value" || event.type === "write") &&
        event.epoch > from &&
        event.epoch <= to &&
        event.oid === where.oid &&
        event.dkey === where.dkey &&
        event.akey === where.akey,
    );
    return written || this.#print(where, from) !== this.#print(where, to);
  }

  #print(where: Address, epoch: number): string | number {
    const view = this.model.view(where, epoch);
    if (view.holds === "array") return Bun.hash(paintAll(view).present).toString();
    return view.holds === "value" ? view.epoch : 0;
  }
}
