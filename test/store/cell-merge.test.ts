import { expect, test } from "bun:test";
import fc from "fast-check";
import { EPOCH_MAX, type Epoch } from "../../src/base/epoch.ts";
import { VersionKind } from "../../src/store/cell.ts";
import { type MergeRule, type MergeVersion, versionsToKeep } from "../../src/store/cell-merge.ts";

const { value, part, tombstone } = VersionKind;

const NO_RULE: MergeRule = { snapshots: [], punchedTo: 0 as Epoch, gate: EPOCH_MAX, holdsTombstone: () => false };

function keep(versions: readonly [number, VersionKind][], rule: Partial<MergeRule> = {}): number[] {
  const list = versions.map(([epoch, kind]) => ({ epoch: epoch as Epoch, kind }));
  const kept = versionsToKeep(list, { ...NO_RULE, ...rule });
  return versions.filter((_, index) => kept[index] === true).map(([epoch]) => epoch);
}

function epochs(...numbers: number[]): Epoch[] {
  return numbers as Epoch[];
}

test("versionsToKeep: without snapshots the newest complete version and the parts above it stay", () => {
  expect(
    keep([
      [9, part],
      [8, part],
      [7, value],
      [6, part],
      [5, value],
    ]),
  ).toEqual([9, 8, 7]);
  expect(
    keep([
      [9, value],
      [8, value],
    ]),
  ).toEqual([9]);
  expect(
    keep([
      [9, part],
      [8, part],
    ]),
  ).toEqual([9, 8]);
});

test("versionsToKeep: a snapshot keeps what it sees and nothing between", () => {
  const versions: [number, VersionKind][] = [
    [9, value],
    [8, value],
    [6, part],
    [5, value],
    [4, value],
    [2, value],
  ];
  expect(keep(versions, { snapshots: epochs(7) })).toEqual([9, 6, 5]);
  expect(keep(versions, { snapshots: epochs(3, 8) })).toEqual([9, 8, 2]);
  expect(keep(versions, { snapshots: epochs(1) })).toEqual([9]);
});

test("versionsToKeep: tombstones go once they hide nothing", () => {
  expect(
    keep([
      [9, tombstone],
      [8, value],
    ]),
  ).toEqual([]);
  expect(
    keep([
      [9, part],
      [8, tombstone],
      [7, value],
    ]),
  ).toEqual([9]);
  expect(
    keep(
      [
        [9, tombstone],
        [8, value],
      ],
      { snapshots: epochs(8) },
    ),
  ).toEqual([9, 8]);
  expect(
    keep(
      [
        [9, value],
        [8, tombstone],
        [7, value],
      ],
      { snapshots: epochs(8) },
    ),
  ).toEqual([9]);
});

test("versionsToKeep: a tombstone whose reclaim is under way stays", () => {
  const holdsTombstone = (epoch: Epoch): boolean => epoch === 9;
  expect(
    keep(
      [
        [9, tombstone],
        [8, value],
      ],
      { holdsTombstone },
    ),
  ).toEqual([9]);
  expect(
    keep(
      [
        [8, tombstone],
        [7, value],
      ],
      { holdsTombstone },
    ),
  ).toEqual([]);
});

test("versionsToKeep: a punch drops all up to its epoch but what older snapshots see", () => {
  const versions: [number, VersionKind][] = [
    [9, part],
    [6, value],
    [5, value],
    [3, value],
  ];
  const punchedTo = 6 as Epoch;
  expect(keep(versions, { punchedTo })).toEqual([9]);
  expect(keep(versions, { punchedTo, snapshots: epochs(4) })).toEqual([9, 3]);
  expect(keep(versions, { punchedTo, snapshots: epochs(6, 8) })).toEqual([9]);
});

/** What a viewer sees, by definition. */
function seen(versions: readonly MergeVersion[], viewer: number): number[] {
  const found: number[] = [];
  for (const version of versions) {
    if (version.epoch > viewer) continue;
    if (version.kind !== tombstone) found.push(version.epoch);
    if (version.kind !== part) break;
  }
  return found;
}

test("versionsToKeep: every viewer sees the same before and after, and nothing is kept that no viewer sees", () => {
  const kinds = fc.constantFrom(value, part, tombstone);
  const cells = fc.uniqueArray(fc.record({ epoch: fc.nat(40), kind: kinds }), { selector: (version) => version.epoch });
  const snapshots = fc.uniqueArray(fc.nat(40)).map((list) => list.sort((left, right) => left - right));
  fc.assert(
    fc.property(cells, snapshots, (cell, viewers) => {
      const versions = cell.sort((left, right) => right.epoch - left.epoch) as unknown as MergeVersion[];
      const kept = versionsToKeep(versions, {
        ...NO_RULE,
        snapshots: viewers as Epoch[],
      });
      const after = versions.filter((_, index) => kept[index] === true);
      const all = [...viewers, Number.MAX_SAFE_INTEGER];
      for (const viewer of all) expect(seen(after, viewer)).toEqual(seen(versions, viewer));
      const needed = new Set(all.flatMap((viewer) => seen(versions, viewer)));
      for (const version of after) expect(version.kind === tombstone || needed.has(version.epoch)).toBe(true);
    }),
  );
});

test("versionsToKeep: what is punched still ends in its hole while something beneath the hole stays", () => {
  const cell: [number, VersionKind][] = [
    [7, tombstone],
    [4, value],
  ];
  const punched = { punchedTo: 9 as Epoch };
  expect(keep(cell, { ...punched, snapshots: epochs(5) })).toEqual([7, 4]);
  expect(keep([[12, value], ...cell], { ...punched, snapshots: epochs(5) })).toEqual([12, 7, 4]);
  expect(keep([[8, value], ...cell], { ...punched, snapshots: epochs(5) })).toEqual([4]);
  expect(keep(cell, punched)).toEqual([]);
});

test("versionsToKeep: above the gate everything stays, and what is visible at it", () => {
  const versions: [number, VersionKind][] = [
    [9, value],
    [8, tombstone],
    [7, value],
    [5, part],
    [4, value],
    [3, value],
  ];
  const gate = (epoch: number): Partial<MergeRule> => ({ gate: epoch as Epoch });
  expect(keep(versions, gate(0))).toEqual([9, 8, 7, 5, 4, 3]);
  expect(keep(versions, gate(5))).toEqual([9, 8, 7, 5, 4]);
  expect(keep(versions, gate(6))).toEqual([9, 8, 7, 5, 4]);
  expect(keep(versions, gate(7))).toEqual([9, 8, 7]);
  expect(keep(versions, gate(8))).toEqual([9]);
  expect(keep([[8, tombstone]], gate(7))).toEqual([8]);
  expect(keep([[8, tombstone]], gate(8))).toEqual([]);
  expect(keep(versions, { ...gate(4), punchedTo: 7 as Epoch })).toEqual([9, 8, 5, 4]);
  expect(keep(versions, { ...gate(7), punchedTo: 7 as Epoch })).toEqual([9, 8]);
});

test("versionsToKeep: with a gate and a punch every viewer that may be asked sees the same before and after", () => {
  const kinds = fc.constantFrom(value, part, tombstone);
  const cells = fc.uniqueArray(fc.record({ epoch: fc.nat(20), kind: kinds }), { selector: (version) => version.epoch });
  const snapshotLists = fc.uniqueArray(fc.nat(20)).map((list) => list.sort((left, right) => left - right));
  fc.assert(
    fc.property(cells, snapshotLists, fc.nat(22), fc.nat(22), (cell, snapshots, gate, punchedTo) => {
      const versions = cell.sort((left, right) => right.epoch - left.epoch) as unknown as MergeVersion[];
      const rule = { ...NO_RULE, snapshots: snapshots as Epoch[], gate: gate as Epoch, punchedTo: punchedTo as Epoch };
      const kept = versionsToKeep(versions, rule);
      const after = versions.filter((_, index) => kept[index] === true);
      const above = Array.from({ length: 25 }, (_, epoch) => epoch).filter((epoch) => epoch >= gate);
      const shown = (list: readonly MergeVersion[], viewer: number): number[] =>
        seen(list, viewer).filter((epoch) => punchedTo === 0 || viewer < punchedTo || epoch > punchedTo);
      const needed = new Set<number>();
      for (const viewer of [...snapshots, ...above, Number.MAX_SAFE_INTEGER]) {
        expect(shown(after, viewer)).toEqual(shown(versions, viewer));
        for (const epoch of shown(versions, viewer)) needed.add(epoch);
      }
      for (const { epoch, kind } of after) {
        expect(needed.has(epoch) || kind === tombstone || epoch > punchedTo).toBe(true);
      }
      // Above the gate a tombstone is there even when it hides nothing.
      for (const { epoch, kind } of versions) {
        if (kind === tombstone && epoch > gate && epoch > punchedTo) {
          expect(after.some((version) => version.epoch === epoch)).toBe(true);
        }
      }
    }),
    { numRuns: 2000 },
  );
});
