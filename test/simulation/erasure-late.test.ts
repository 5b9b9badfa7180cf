/** What its leader of before has sent is appended on a target that has come to lead the dkey meanwhile. */
import { afterEach, expect, test } from "bun:test";
import { byteStringOfText } from "../../src/base/bytes.ts";
import { type Epoch, EPOCH_NONE } from "../../src/base/epoch.ts";
import { Placement } from "../../src/placement/placement.ts";
import type { ObjectHandle } from "../../src/client/object-handle.ts";
import { redundancyGroup } from "../../src/redundancy/redundancy-group.ts";
import { CONTROL } from "./cluster/control-plane.ts";
import { CONTAINER, SCHEMES, SERVED } from "./cluster/node.ts";
import { ErasureRig } from "./erasure-rig.ts";

const DKEY = "d";
const AKEY = "array";
const SCHEME = SCHEMES.of("EC_2P2", SERVED.cellBytes);

let rig: ErasureRig | undefined;

afterEach(() => rig?.end());

test("part of a stripe that is appended after its target has come to lead counts as not folded until it is", async () => {
  const own = new ErasureRig(1);
  rig = own;
  await own.start();
  const object = own.object("EC_2P2G1");
  const [oid, dkey, akey] = [object.id, byteStringOfText(DKEY), byteStringOfText(AKEY)];
  const content = Buffer.alloc(4 * SCHEME.stripeBytes, 1);
  const write = (index: number, bytes: Uint8Array): Promise<Epoch> =>
    object.writeArray(DKEY, AKEY, { recordIndex: index, recordBytes: 1 }, bytes);
  await write(0, content);
  await own.timers.advance(3_000);

  const [next, leader] = groupOf(own, object).shards!.targets.slice(2);
  const names = own.nodes.map(({ name }) => name);
  const { objects, replication } = own.nodes[next!]!.life!;
  const pool = replication.poolOf(CONTAINER)!;
  const writeShard = objects.writeShard.bind(objects);
  const slow = Promise.withResolvers<void>();
  const came = Promise.withResolvers<void>();
  objects.writeShard = async (...update) => {
    came.resolve();
    await slow.promise;
    return await writeShard(...update);
  };
  const part = Buffer.alloc(100, 2);
  const writing = write(20, part);
  part.copy(content, 20);
  await Promise.all([came.promise, own.timers.advance(20)]);
  own.stop(leader!);
  own.control.excludes = true;
  while (own.control.map.version === 1) await own.timers.advance(1);
  // The others hear of the map later: they do not ask its new leader yet what became of the update.
  for (const name of names) if (name !== names[next!]) own.network.hold(CONTROL, name);
  // Time enough to look for what is to be folded.
  await own.timers.advance(400);
  expect(pool.mapVersion).toBe(2);
  objects.writeShard = writeShard;
  slow.resolve();
  for (const name of names) own.network.release(CONTROL, name);
  const written = await writing;

  const { start } = SCHEME.addressSpaces(2)[0]!;
  const replicas = async (): Promise<readonly Epoch[]> => {
    const range = { oid, dkey, akey, epoch: EPOCH_NONE, from: start, to: start + SCHEME.stripeBytes, limit: 9 };
    return (await objects.listExtents(CONTAINER, range)).extents.map(({ epoch }) => epoch);
  };
  expect(await replicas()).toEqual([written]);
  for (let waits = 0; pool.folding.foldedTo(CONTAINER) < written; waits += 1) {
    expect(waits).toBeLessThan(100);
    await own.timers.advance(100);
  }
  expect(await replicas()).toEqual([]);
  const read = { recordIndex: 0, recordCount: content.length, recordBytes: 1 };
  expect(Buffer.from(await object.readArray(DKEY, AKEY, read)).equals(content)).toBe(true);
}, 60_000);

function groupOf(own: ErasureRig, { id }: ObjectHandle): ReturnType<typeof redundancyGroup> {
  return redundancyGroup(new Placement(own.control.map), id, byteStringOfText(DKEY));
}
