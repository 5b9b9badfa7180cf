/**
 * Damage that is repaired: bits that flip in each medium of each target of an object's group, as scrubbing, reads and updates
 * find them, and what each target has by itself afterwards.
 */
import { afterEach, expect, test } from "bun:test";
import { type ByteString, byteStringOfText } from "../../src/base/bytes.ts";
import { EPOCH_NONE, type Epoch } from "../../src/base/epoch.ts";
import { objectClassByName } from "../../src/base/object-class.ts";
import { objectId, type ObjectId } from "../../src/base/object-id.ts";
import { BLOCK_BYTES, KIB } from "../../src/base/limits.ts";
import { ObjectOperations } from "../../src/client/object-operations.ts";
import { scrubContainer, scrubStore } from "../../src/dtx/scrub-walk.ts";
import { NO_REQUEST_ID, ObjectFlag } from "../../src/format/object-request.ts";
import { Placement } from "../../src/placement/placement.ts";
import { redundancyGroup } from "../../src/redundancy/redundancy-group.ts";
import type { StoredExtent } from "../../src/store/stored-extents.ts";
import { containerPrefix, snapshotStart } from "../../src/vos/cell-key.ts";
import { Cluster } from "./cluster/cluster.ts";
import { openSession } from "./cluster/client.ts";
import { NodeClock } from "./cluster/node-clock.ts";
import { type ClusterNode, CONTAINER } from "./cluster/node.ts";

const DKEY = byteStringOfText("dkey");
const ARRAY = byteStringOfText("array");
const VALUE = byteStringOfText("value");
const SMALL = byteStringOfText("small");
const RANGE = containerPrefix(CONTAINER);

function pattern(length: number, seed: number): Uint8Array {
  return new Uint8Array(length).map((_, index) => (index * 31 + seed * 7 + (index >> 9)) & 0xff);
}

class Rig {
  readonly cluster: Cluster;
  readonly oid: ObjectId;
  operations!: ObjectOperations;
  static opened: Rig | undefined;

  constructor(className: string, seed: number) {
    this.cluster = new Cluster({ seed, classes: [className] });
    this.oid = objectId("MULTI_HASHED", objectClassByName(className), 7, 9n);
  }

  static async open(className: string, seed = 1): Promise<Rig> {
    const rig = new Rig(className, seed);
    Rig.opened = rig;
    const { cluster } = rig;
    const started = cluster.nodes.map((node) => cluster.started(node, node.start(true)));
    await rig.within(Promise.all(started));
    await cluster.timers.advance(2_000);
    const { timers, random, network, control } = cluster;
    const session = openSession("client", new NodeClock(cluster.clock), { timers, random, network, control });
    rig.operations = new ObjectOperations(session, EPOCH_NONE);
    return rig;
  }

  /** Lets simulated time pass until the promise settles. */
  async within<Result>(promise: Promise<Result>): Promise<Result> {
    let isSettled = false;
    void promise.then(
      () => (isSettled = true),
      () => (isSettled = true),
    );
    while (!isSettled) await this.cluster.timers.advance(1);
    return promise;
  }

  pass(ms: number): Promise<void> {
    return this.cluster.timers.advance(ms);
  }

  get group(): ReturnType<typeof redundancyGroup> {
    return redundancyGroup(new Placement(this.cluster.control.map), this.oid, DKEY);
  }

  /** The targets of the dkey's group. */
  get members(): ClusterNode[] {
    return this.group.members.map((member) => this.cluster.nodes[member]!);
  }

  get leader(): ClusterNode {
    return this.cluster.nodes[this.group.leader]!;
  }

  write(seed: number, from = 0, length = 40 * KIB): Promise<Epoch> {
    const range = { recordIndex: from, recordCount: length, recordBytes: 1 };
    return this.within(this.operations.writeRecords(this.oid, DKEY, ARRAY, range, pattern(length, seed)));
  }

  update(akey: ByteString, value: Uint8Array): Promise<Epoch> {
    return this.within(this.operations.updateValue(this.oid, DKEY, akey, value));
  }

  /** Everything is written, folded and settled. */
  async fill(): Promise<void> {
    await this.write(1);
    await this.update(VALUE, pattern(9_000, 2));
    await this.update(SMALL, pattern(50, 3));
    await this.pass(15_000);
  }

  extents({ life }: ClusterNode): StoredExtent[] {
    const found: StoredExtent[] = [];
    for (let from: ByteString | undefined = RANGE as ByteString; from !== undefined;) {
      const slice = life!.store.checks.extentsIn(from, snapshotStart(RANGE));
      found.push(...slice.extents);
      from = slice.next;
    }
    return found;
  }

  /** Flips a bit in a chunk of each extent of the target; how many. */
  rotExtents(node: ClusterNode): number {
    const extents = this.extents(node);
    for (const [index, { extent }] of extents.entries()) {
      const chunk = index % extent.checksums.length;
      const within = Math.min(BLOCK_BYTES, extent.length - chunk * BLOCK_BYTES);
      node.machine.deviceMedium[extent.offset + chunk * BLOCK_BYTES + ((index * 97) % within)]! ^= 1 << (index & 7);
    }
    return extents.length;
  }

  /** Flips a bit in each row of the object's cells. */
  rotRows(node: ClusterNode): number {
    let count = 0;
    for (const table of ["cells", "history"] as const) {
      for (const [key, row] of node.machine.tables.rows.get(table)!) {
        if (!key.startsWith(RANGE) || key >= snapshotStart(RANGE)) continue;
        row[(count * 13) % row.length]! ^= 1 << (count & 7);
        count += 1;
      }
    }
    return count;
  }

  async scrub(node: ClusterNode): Promise<{ damaged: number; repaired: number; lost: number }> {
    const { store, repairs } = node.life!;
    const before = { ...repairs.counts };
    const walk = async (): Promise<void> => {
      for await (const { bytes } of scrubStore(store.checks, repairs)) expect(bytes).toBeGreaterThanOrEqual(0);
      for await (const { bytes } of scrubContainer(store.checks, repairs, CONTAINER))
        expect(bytes).toBeGreaterThanOrEqual(0);
    };
    await this.within(walk());
    const { damaged, repaired, lost } = repairs.counts;
    return { damaged: damaged - before.damaged, repaired: repaired - before.repaired, lost: lost - before.lost };
  }

  /** What one target shows by itself, from its media. */
  async shown(node: ClusterNode, akey: ByteString, epoch: Epoch = EPOCH_NONE): Promise<string> {
    const { objects } = node.life!;
    const flags = epoch === EPOCH_NONE ? 0 : ObjectFlag.epochIsSeen;
    const request = { ...NO_REQUEST_ID, oid: this.oid, dkey: DKEY, akey, epoch, flags };
    const reading = akey === ARRAY ? this.#array(objects, request) : objects.readShardValue(CONTAINER, request);
    const { bytes, extents } = await this.within(Promise.resolve(reading));
    return `${extents.length} ${Bun.hash(bytes)}`;
  }

  #array(
    objects: NonNullable<ClusterNode["life"]>["objects"],
    request: Parameters<NonNullable<ClusterNode["life"]>["objects"]["readShardArray"]>[1],
  ): ReturnType<NonNullable<ClusterNode["life"]>["objects"]["readShardArray"]> {
    return objects.readShardArray(CONTAINER, request, { address: 0, length: 64 * KIB });
  }

  async shownAll(node: ClusterNode, epoch?: Epoch): Promise<string[]> {
    const shown: string[] = [];
    for (const akey of [ARRAY, VALUE, SMALL]) shown.push(await this.shown(node, akey, epoch));
    return shown;
  }

  /** The target anew: nothing is in memory that its media do not have. */
  async restart(node: ClusterNode): Promise<void> {
    node.kill(0);
    await this.within(this.cluster.started(node, node.restart()));
    await this.pass(3_000);
  }
}

afterEach(() => {
  Rig.opened?.cluster.timers.end();
  Rig.opened = undefined;
});

for (const className of ["RP_2G1", "RP_3G1", "EC_2P1G1"]) {
  test(`${className}: flipped bits on the device and in rows are found by scrubbing, repaired, and each target is right`, async () => {
    const rig = await Rig.open(className);
    await rig.fill();
    for (const node of rig.members) {
      const before = await rig.shownAll(node);
      const count = rig.rotExtents(node);
      expect(count).toBeGreaterThan(0);
      expect(await rig.scrub(node)).toEqual({ damaged: count, repaired: count, lost: 0 });
      const rows = rig.rotRows(node);
      expect(rows).toBeGreaterThan(2);
      expect(await rig.scrub(node)).toEqual({ damaged: rows, repaired: rows, lost: 0 });
      await rig.restart(node);
      expect(await rig.shownAll(node)).toEqual(before);
      expect(await rig.scrub(node)).toEqual({ damaged: 0, repaired: 0, lost: 0 });
    }
  }, 60_000);
}

test("damage on every target of a group, each in other places, is repaired from the others, at leaders too", async () => {
  for (const className of ["RP_2G1", "EC_2P1G1"]) {
    const rig = await Rig.open(className, 2);
    await rig.fill();
    const before: string[][] = [];
    for (const node of rig.members) before.push(await rig.shownAll(node));
    // Of each its own extents: another target's chunk of the same number is whole.
    const damaged = rig.members.map((node, index) => {
      const stored = rig.extents(node).filter(({ extent }) => extent.checksums.length > rig.members.length);
      for (const { extent } of stored) node.machine.deviceMedium[extent.offset + index * BLOCK_BYTES + 5]! ^= 16;
      return stored.length;
    });
    for (const [index, node] of rig.members.entries()) {
      const { repaired, lost } = await rig.scrub(node);
      // Of erasure code a stripe of which two shards are damaged at once is lost; here each cell is one chunk apart.
      expect([repaired, lost]).toEqual([damaged[index]!, 0]);
    }
    for (const [index, node] of rig.members.entries()) expect(await rig.shownAll(node)).toEqual(before[index]!);
    rig.cluster.timers.end();
  }
}, 60_000);

test("updates go on while rows at the leader or at a member are damaged, and what they show stays right", async () => {
  for (const className of ["RP_2G1", "RP_3G1", "EC_2P1G1"]) {
    const rig = await Rig.open(className, 3);
    await rig.fill();
    for (const node of rig.members) {
      await rig.restart(node);
      expect(rig.rotRows(node)).toBeGreaterThan(2);
      await rig.update(SMALL, pattern(60, node.index));
      await rig.update(VALUE, pattern(8_500, node.index));
      await rig.write(node.index, 100, 20_000);
      const { oid, operations } = rig;
      const value = await rig.within(operations.fetchValue(oid, DKEY, VALUE));
      expect(Bun.hash(value!.value)).toBe(Bun.hash(pattern(8_500, node.index)));
      await rig.within(rig.cluster.timers.advance(12_000));
      await rig.scrub(node);
    }
    const range = { recordIndex: 100, recordCount: 20_000, recordBytes: 1 };
    const bytes = await rig.within(rig.operations.readRecords(rig.oid, DKEY, ARRAY, range));
    expect(Bun.hash(bytes!)).toBe(Bun.hash(pattern(20_000, rig.members.at(-1)!.index)));
    for (const node of rig.members) expect((await rig.scrub(node)).damaged).toBe(0);
    rig.cluster.timers.end();
  }
}, 120_000);

test("erasure code: a punch that has to read what is damaged at the leader succeeds once that is repaired", async () => {
  const rig = await Rig.open("EC_2P1G1", 4);
  await rig.fill();
  for (const node of rig.members) {
    await rig.restart(node);
    expect(rig.rotExtents(node)).toBeGreaterThan(0);
    const range = { recordIndex: 3_000 + 100 * node.index, recordCount: 50, recordBytes: 1 };
    await rig.within(rig.operations.punchRecords(rig.oid, DKEY, ARRAY, range));
    expect((await rig.scrub(node)).lost).toBe(0);
    await rig.pass(5_000);
  }
  for (const node of rig.members) expect((await rig.scrub(node)).lost).toBe(0);
}, 60_000);

test("erasure code: what a snapshot shows as replicas rots, and the object's punch ends", async () => {
  const rig = await Rig.open("EC_2P1G1", 5);
  await rig.write(1, 0, 40 * KIB);
  await rig.pass(8_000);
  // Part of a stripe, and a snapshot of it before it is folded.
  await rig.write(2, 100, 9_000);
  const lives = rig.cluster.nodes.map(({ life }) => life!);
  const [at] = await rig.within(Promise.all(lives.map(({ objects }) => objects.createSnapshot(CONTAINER))));
  expect(at).toBeGreaterThan(0);
  for (const node of rig.members) if (node !== rig.leader) expect(rig.extents(node).length).toBeGreaterThan(0);
  rig.rotExtents(rig.leader);
  await rig.within(rig.operations.punchObject(rig.oid));
  await rig.pass(5_000);
  for (const { life } of rig.cluster.nodes) expect(life!.objects.locks.isEmpty).toBe(true);
}, 60_000);

test("a snapshot's version is repaired, also where later writes hide a part of it", async () => {
  for (const className of ["RP_2G1", "EC_2P1G1"]) {
    const rig = await Rig.open(className, 6);
    await rig.write(1);
    await rig.update(VALUE, pattern(9_000, 2));
    await rig.pass(4_000);
    const at = rig.cluster.control.snapshots.at(-1);
    await rig.within(waitForSnapshot(rig));
    const snapshot = rig.cluster.control.snapshots.at(-1)!;
    expect(snapshot).not.toBe(at!);
    await rig.write(5, 0, 30 * KIB);
    await rig.update(VALUE, pattern(9_100, 6));
    await rig.pass(15_000);
    for (const node of rig.members) {
      const [then, now] = [await rig.shownAll(node, snapshot), await rig.shownAll(node)];
      const count = rig.rotExtents(node);
      expect(await rig.scrub(node)).toEqual({ damaged: count, repaired: count, lost: 0 });
      expect([await rig.shownAll(node, snapshot), await rig.shownAll(node)]).toEqual([then, now]);
    }
    rig.cluster.timers.end();
  }
}, 60_000);

async function waitForSnapshot(rig: Rig): Promise<void> {
  const before = rig.cluster.control.snapshots.length;
  const { timers } = rig.cluster;
  while (rig.cluster.control.snapshots.length === before) await timers.advance(100);
}

test("what nobody has is lost, counted, and read as damaged; what is written over it is whole", async () => {
  const rig = await Rig.open("RP_2G1", 7);
  await rig.fill();
  for (const node of rig.members) {
    for (const { extent } of rig.extents(node)) node.machine.deviceMedium[extent.offset + 9]! ^= 3;
  }
  for (const node of rig.members) {
    const { lost, damaged, repaired } = await rig.scrub(node);
    expect([lost, repaired]).toEqual([damaged, 0]);
    await expect(rig.shown(node, VALUE)).rejects.toMatchObject({ code: "CORRUPT" });
  }
  await expect(rig.within(rig.operations.fetchValue(rig.oid, DKEY, VALUE))).rejects.toMatchObject({ code: "CORRUPT" });
  await rig.update(VALUE, pattern(9_000, 9));
  for (const node of rig.members) expect(await rig.shown(node, VALUE)).toBe(`1 ${Bun.hash(pattern(9_000, 9))}`);
}, 60_000);

test("a read that finds damage is answered by another target, and has it repaired", async () => {
  for (const className of ["RP_2G1", "EC_2P1G1"]) {
    const rig = await Rig.open(className, 8);
    await rig.fill();
    const range = { recordIndex: 0, recordCount: 40 * KIB, recordBytes: 1 };
    let byReads = 0;
    for (const node of rig.members) {
      const before = await rig.shownAll(node);
      await rig.restart(node);
      const count = rig.rotExtents(node);
      // Of erasure code nobody reads parity while all data are there.
      for (let reads = 0; reads < 20 && node.life!.repairs.counts.repaired < count; reads += 1) {
        const bytes = await rig.within(rig.operations.readRecords(rig.oid, DKEY, ARRAY, range));
        expect(Bun.hash(bytes!)).toBe(Bun.hash(pattern(40 * KIB, 1)));
        const value = await rig.within(rig.operations.fetchValue(rig.oid, DKEY, VALUE));
        expect(Bun.hash(value!.value)).toBe(Bun.hash(pattern(9_000, 2)));
        await rig.pass(500);
      }
      byReads += node.life!.repairs.counts.repaired;
      await rig.scrub(node);
      expect(await rig.shownAll(node)).toEqual(before);
    }
    expect(byReads).toBeGreaterThan(0);
    rig.cluster.timers.end();
  }
}, 60_000);
