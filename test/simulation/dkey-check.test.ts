/**
 * Dkeys compared among the targets of their groups, on real targets with simulated media and network: what is planted is found,
 * with the target that is wrong, and what is in order is not, also while it is written, merged, aggregated and filled.
 */
import { afterEach, expect, test } from "bun:test";
import { byteStringOfText } from "../../src/base/bytes.ts";
import { EPOCH_MAX } from "../../src/base/epoch.ts";
import { hasCode } from "../../src/base/errors.ts";
import type { ObjectHandle } from "../../src/client/object-handle.ts";
import { judgeCopies } from "../../src/dtx/dkey-check.ts";
import type { DkeyDifference } from "../../src/format/check-questions.ts";
import { Placement } from "../../src/placement/placement.ts";
import { type RedundancyGroup, redundancyGroup } from "../../src/redundancy/redundancy-group.ts";
import { type CellWrite, VersionKind } from "../../src/store/cell.ts";
import { ownCellKey, prefixEnd } from "../../src/vos/cell-key.ts";
import type { DkeySummary } from "../../src/vos/dkey-summary.ts";
import { CONTAINER, type NodeLife } from "./cluster/node.ts";
import { ErasureRig } from "./erasure-rig.ts";
import { DKEYS, ErasureWriter } from "./erasure-writer.ts";

let rig: ErasureRig | undefined;
afterEach(() => rig?.end());

async function started(seed: number, nodes = 6): Promise<ErasureRig> {
  rig = new ErasureRig(seed, nodes);
  await rig.start();
  return rig;
}

function life(own: ErasureRig, index: number): NodeLife {
  return own.nodes[index]!.life!;
}

function groupOf(own: ErasureRig, object: ObjectHandle, dkey: string): RedundancyGroup {
  return redundancyGroup(new Placement(own.control.map), object.id, byteStringOfText(dkey));
}

interface Checked {
  readonly differences: readonly (Pick<DkeyDifference, "kind" | "target" | "isElsewhere"> & {
    readonly name: string;
  })[];
  readonly dkeys: number;
  readonly unjudged: number;
}

/** All pages of all nodes that are up. */
async function check(own: ErasureRig): Promise<Checked> {
  const differences: Checked["differences"][number][] = [];
  const counts = { dkeys: 0, unjudged: 0 };
  for (const node of own.nodes) {
    let after: Uint8Array | undefined;
    do {
      const asked = node.life?.replication.check(CONTAINER)?.page(CONTAINER, after);
      const page = asked === undefined ? undefined : await passing(own, asked);
      for (const { kind, target, isElsewhere, dkey } of page?.differences ?? []) {
        differences.push({ kind, target, isElsewhere, name: Buffer.from(dkey).toString() });
      }
      counts.dkeys += page?.dkeys ?? 0;
      counts.unjudged += page?.unjudged ?? 0;
      after = page?.next ?? undefined;
    } while (after !== undefined);
  }
  return { differences, ...counts };
}

/** Time passes until it is settled. */
async function passing<Result>(own: ErasureRig, work: Promise<Result>): Promise<Result> {
  let isOver = false;
  const ended = work.finally(() => (isOver = true));
  ended.catch(() => {});
  while (!isOver) await own.timers.advance(10);
  return ended;
}

function prefixOf(own: ErasureRig, index: number, object: ObjectHandle, dkey: string): string {
  return life(own, index).objects.copies.prefixOf(CONTAINER, object.id, byteStringOfText(dkey));
}

/** Changes bytes of all that a target has of a dkey in the record, where it is. */
function flip(own: ErasureRig, index: number, object: ObjectHandle, dkey: string): number {
  const { store } = life(own, index);
  const prefix = prefixOf(own, index, object, dkey);
  const writes: CellWrite[] = [];
  store.scan(ownCellKey(prefix), prefixEnd(prefix), EPOCH_MAX, (key, { epoch, kind, meta, inline }) => {
    if (kind !== VersionKind.value || inline === undefined || inline.length === 0) return;
    const bytes = new Uint8Array(inline);
    bytes[bytes.length - 1]! ^= 1;
    writes.push({ key, epoch, kind, meta: new Uint8Array(meta), inline: bytes });
  });
  for (const write of writes) store.append([write]);
  return writes.length;
}

test("check: copies that differ, that are missing, and that lie elsewhere are found, and whose they are", async () => {
  const own = await started(1);
  const object = own.object("RP_3GX");
  for (const dkey of ["a", "b", "c", "d", "e"]) {
    await object.update(dkey, "value", Buffer.from(`the value of ${dkey}`));
    await object.writeArray(dkey, "array", { recordIndex: 0, recordBytes: 1 }, Buffer.alloc(9_000, dkey));
  }
  await own.timers.advance(1_000);
  expect(await check(own)).toEqual({ differences: [], dkeys: 15, unjudged: 0 });
  const [a, b, c, d] = ["a", "b", "c", "d"].map((dkey) => groupOf(own, object, dkey)) as RedundancyGroup[];
  const others = (group: RedundancyGroup): number[] => group.members.filter((member) => member !== group.leader);
  expect(flip(own, others(a!)[0]!, object, "a")).toBeGreaterThan(0);
  await life(own, others(b!)[1]!).objects.copies.purge([prefixOf(own, others(b!)[1]!, object, "b")]);
  await life(own, c!.leader).objects.copies.purge([prefixOf(own, c!.leader, object, "c")]);
  const stranger = own.nodes.map(({ index }) => index).find((index) => !d!.members.includes(index))!;
  const keys = { oid: object.id, dkey: byteStringOfText("d"), akey: byteStringOfText("value") };
  await life(own, stranger).objects.updateValue(CONTAINER, keys, Buffer.from("left over"));
  const { differences } = await check(own);
  const found = new Map(differences.map((difference) => [difference.name, difference]));
  expect(found.get("a")).toMatchObject({ kind: "differs", target: others(a!)[0]! });
  expect(found.get("b")).toMatchObject({ kind: "missing", target: others(b!)[1]! });
  expect(found.get("c")).toMatchObject({ kind: "missing", target: c!.leader });
  expect(found.get("d")).toMatchObject({ kind: "misplaced", target: stranger, isElsewhere: true });
  expect([...found.keys()].toSorted()).toEqual(["a", "b", "c", "d"]);
  // What all have where it belongs may go where it does not.
  const oid = Buffer.from(object.id, "latin1");
  await passing(own, life(own, stranger).replication.check(CONTAINER)!.drop(CONTAINER, oid, Buffer.from("d")));
  expect((await check(own)).differences.map(({ name }) => name)).not.toContain("d");
  const drop = life(own, a!.leader).replication.check(CONTAINER)!.drop(CONTAINER, oid, Buffer.from("a"));
  expect(
    await passing(
      own,
      drop.catch((error: { code: string }) => error.code),
    ),
  ).toBe("BUSY");
  // Excluded and taken back, the target is filled from the others: as the advice says.
  const wrong = others(a!)[0]!;
  own.stop(wrong);
  await own.exclude();
  await own.filled();
  await own.restart(wrong);
  await own.filled(true);
  await own.timers.advance(2_000);
  expect((await check(own)).differences.map(({ name }) => name)).not.toContain("a");
}, 60_000);

test("check: what only a snapshot shows is compared, too", async () => {
  const own = await started(2);
  const object = own.object("RP_2G1");
  await object.update("a", "value", Buffer.from("before"));
  await own.snapshot();
  const { members, leader } = groupOf(own, object, "a");
  const other = members.find((member) => member !== leader)!;
  await own.timers.advance(500);
  flip(own, other, object, "a");
  await object.update("a", "value", Buffer.from("after"));
  await own.timers.advance(500);
  expect((await check(own)).differences).toMatchObject([{ kind: "differs", target: -1, name: "a" }]);
}, 60_000);

for (const className of ["EC_2P1G1", "EC_4P2GX"]) {
  test(`check: shards that do not decode to the same are found, of ${className}`, async () => {
    const own = await started(3, 7);
    const object = own.object(className);
    for (const dkey of ["a", "b", "c"]) {
      await object.update(dkey, "value", Buffer.alloc(500, dkey));
      await object.writeArray(dkey, "array", { recordIndex: 0, recordBytes: 1 }, Buffer.alloc(20_000, dkey));
    }
    await own.timers.advance(1_000);
    expect((await check(own)).differences).toEqual([]);
    const [a, b] = ["a", "b"].map((dkey) => groupOf(own, object, dkey)) as RedundancyGroup[];
    const wrong = a!.shards!.targets[0]!;
    expect(flip(own, wrong, object, "a")).toBeGreaterThan(0);
    const lost = b!.shards!.targets[1]!;
    await life(own, lost).objects.copies.purge([prefixOf(own, lost, object, "b")]);
    const { differences } = await check(own);
    const named = className === "EC_2P1G1" ? -1 : wrong;
    expect(differences.toSorted((left, right) => (left.name < right.name ? -1 : 1))).toMatchObject([
      { kind: "shard-differs", target: named, name: "a" },
      { kind: "shard-missing", target: lost, name: "b" },
    ]);
  }, 60_000);
}

for (const className of ["RP_3GX", "EC_2P1G1", "EC_4P2GX"]) {
  test(`check: nothing is found while ${className} is written, snapshots are taken, and targets are lost and filled`, async () => {
    const own = await started(4, 8);
    const object = own.object(className);
    const writer = new ErasureWriter(own, object);
    // Targets connect when they first need each other.
    for (let step = 0; step < 20; step += 1) await writer.step();
    let isWriting = true;
    let writes = 0;
    const writing = (async () => {
      while (isWriting) {
        try {
          await writer.step();
          writes += 1;
          if (writes % 25 === 0) await own.snapshot();
        } catch (error) {
          // A target that is lost holds updates up until it is excluded, for longer than a client waits.
          if (!hasCode(error, "UNAVAILABLE")) throw error;
        }
      }
    })();
    const seen: Checked[] = [];
    const checkSome = async (): Promise<void> => {
      for (let round = 0; round < 4; round += 1) seen.push(await check(own));
    };
    await passing(own, checkSome());
    const victim = groupOf(own, object, DKEYS[0]!).members[0]!;
    own.stop(victim);
    const lost = own.exclude();
    await passing(own, checkSome());
    await lost;
    await passing(own, own.filled());
    await passing(own, checkSome());
    isWriting = false;
    await passing(own, writing);
    await own.timers.advance(60_000);
    // On some only: what they have stored is then of another form.
    for (const { life: present, index } of own.nodes) if (index % 2 === 0) await present?.store.aggregate(CONTAINER);
    const last = await check(own);
    expect([...seen, last].flatMap(({ differences }) => differences)).toEqual([]);
    expect(last).toMatchObject({ unjudged: 0 });
    expect(writes).toBeGreaterThan(20);
    expect(last.dkeys).toBeGreaterThan(5);
  }, 120_000);
}

for (const className of ["RP_3GX", "EC_2P1G1"]) {
  test(`check: nothing is found of dkeys of ${className} that many clients write all the time`, async () => {
    const own = await started(5);
    const object = own.object(className);
    const range = { recordIndex: 0, recordBytes: 1 };
    for (const dkey of DKEYS) await object.writeArray(dkey, "array", range, Buffer.alloc(9_000, 1));
    let isWriting = true;
    let writes = 0;
    const write = async (writer: number): Promise<void> => {
      while (isWriting) {
        const dkey = DKEYS[own.random.below(DKEYS.length)]!;
        writes += 1;
        await new Promise<void>((resolve) => own.timers.after(own.random.below(30), resolve));
        if (writer % 2 === 0) await object.update(dkey, "value", Buffer.alloc(200, writes));
        else
          await object.writeArray(
            dkey,
            "array",
            { ...range, recordIndex: writes % 5_000 },
            Buffer.alloc(3_000, writes),
          );
      }
    };
    const writing = Promise.all([0, 1, 2, 3, 4, 5].map(write));
    let judged = 0;
    for (let round = 0; round < 10; round += 1) {
      const { differences, dkeys, unjudged } = await check(own);
      expect(differences).toEqual([]);
      judged += dkeys - unjudged;
    }
    isWriting = false;
    await passing(own, writing);
    expect(judged).toBeGreaterThan(10);
    expect(writes).toBeGreaterThan(50);
    expect((await check(own)).unjudged).toBe(0);
  }, 60_000);
}

test("judgeCopies: the majority is right; without one the one that has something; else nobody can say", () => {
  const summary = (checksum: number, changes: Partial<DkeySummary> = {}): DkeySummary => {
    return { state: "read", count: 1, newest: 5, bytes: 9, checksum, ...changes };
  };
  const nothing = summary(0, { count: 0, bytes: 0 });
  const damaged = summary(0, { state: "damaged" });
  const judged = (...shown: DkeySummary[]) =>
    judgeCopies([4, 7, 9].slice(0, shown.length), shown).map(({ kind, target }) => [kind, target]);
  expect(judged(summary(1), summary(1), summary(1))).toEqual([]);
  expect(judged(summary(1), summary(2), summary(1))).toEqual([["differs", 7]]);
  expect(judged(nothing, summary(1), summary(1))).toEqual([["missing", 4]]);
  expect(judged(summary(1), nothing)).toEqual([["missing", 7]]);
  expect(judged(summary(1), summary(2))).toEqual([["differs", -1]]);
  expect(judged(summary(1), summary(2), summary(3))).toEqual([["differs", -1]]);
  expect(judged(damaged, summary(1), summary(1))).toEqual([["damaged", 4]]);
  expect(judged(damaged, summary(1), summary(2))).toEqual([
    ["damaged", 4],
    ["differs", -1],
  ]);
  expect(judged(nothing, nothing, nothing)).toEqual([]);
});
