/**
 * Dkeys that stand for an object: one at least for each set of its dkeys (Placement.dkeySetsOf) that have the same targets and
 * the same leader, under this pool map and, where the object moves, under the one that it moves to. Who holds these with
 * their leaders and members holds the object.
 */
import { assert } from "../base/assert.ts";
import type { ByteString } from "../base/bytes.ts";
import type { ObjectId } from "../base/object-id.ts";
import type { Placement } from "../placement/placement.ts";

/** Names that are tried for each set: with so many one is missed once in e^64 times. */
const TRIES = 64;

/** Names are short, and none of those `taken`. At most two a target of the pool. */
export function dkeyOfEachLeader(
  placement: Placement,
  oid: ObjectId,
  taken: ReadonlySet<ByteString>,
): readonly ByteString[] {
  const count = placement.dkeySetCount(oid);
  const found = new Map<number, ByteString>();
  for (let number = 0; found.size < count; number += 1) {
    assert(number < TRIES * (count + taken.size), "each set of an object's dkeys has its share of names");
    const dkey = `punch ${number}` as ByteString;
    if (taken.has(dkey)) continue;
    for (const set of placement.dkeySetsOf(oid, dkey)) if (!found.has(set)) found.set(set, dkey);
  }
  return [...new Set(found.values())];
}
