/** What folding says of how far it is, over a store that lists what the test gives it, when it gives it. */
import { expect, test } from "bun:test";
import { byteStringOfText } from "../../src/base/bytes.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import type { AkeyPlace } from "../../src/base/key-place.ts";
import type { DataExtent } from "../../src/contracts/redundancy.ts";
import { DkeyLocks } from "../../src/dtx/dkey-locks.ts";
import type { FoldStore } from "../../src/dtx/fold-store.ts";
import { Folding } from "../../src/dtx/folding.ts";
import type { GroupLeader } from "../../src/dtx/group-leader.ts";
import type { LedUpdate } from "../../src/dtx/led-update.ts";
import type { ShardedAkey } from "../../src/dtx/sharded-akey.ts";
import { objectOf } from "../placement/pool-maps.ts";
import { simulatedWorld } from "../simulation/world.ts";

const CONTAINER = 7;
const SELF = 0;
const NOW = 1_000_000_000 as Epoch;
/** As much of the last time as is never said to be folded. */
const LAG_US = 2_000_000;
const PLACE: AkeyPlace = {
  oid: objectOf("EC_2P1G1", 1),
  dkey: byteStringOfText("dkey"),
  akey: byteStringOfText("akey"),
};

interface Rig {
  readonly folding: Folding;
  /** Lets the listing that was begun as number `index` end. */
  readonly finish: (index: number) => void;
  readonly listings: () => number;
  /** Lets the folds that wait go on. */
  readonly letFold: () => void;
  readonly pass: (ms: number) => Promise<void>;
  /** How often something was to be done in its turn. */
  readonly turns: () => number;
}

/** Listings find one akey with replicas in stripe 0, or nothing where `finds` says so. Folds wait for `letFold`. */
function makeRig(
  finds: (listing: number) => boolean = () => true,
  heldFrom: () => Epoch | undefined = () => undefined,
  now: () => Epoch = () => NOW,
): Rig {
  let turns = 0;
  const { timers } = simulatedWorld(1);
  const finishes: (() => void)[] = [];
  const mayFold = Promise.withResolvers<void>();
  const store: FoldStore = {
    apply: () => Promise.resolve(),
    wasFilled: () => false,
    heldFrom,
    async *akeys(): AsyncGenerator<AkeyPlace, void, void> {
      const listing = finishes.length;
      await new Promise<void>((resolve) => finishes.push(resolve));
      if (finds(listing)) yield PLACE;
    },
    async *akeysOf(): AsyncGenerator<AkeyPlace, void, void> {
      yield PLACE;
    },
    async *extents(): AsyncGenerator<readonly DataExtent[], void, void> {
      yield [{ address: 0, length: 1, epoch: 5 as Epoch }];
    },
    extentsIn: () => Promise.resolve([]),
  };
  const akey = {
    own: 2,
    alive: [0, 1, 2],
    scheme: { toleratedFailures: 1, stripesToFold: () => [0], planFold: () => undefined },
    run: () => mayFold.promise.then(() => ({ epoch: 5, parts: [] })),
  } as unknown as ShardedAkey;
  const leader = { locks: new DkeyLocks(), isSettling: () => false, flushDecisions: () => {} };
  const folding = new Folding({
    self: SELF,
    store,
    timers,
    leader: leader as unknown as GroupLeader,
    groupOf: () => ({ leader: SELF, members: [0, 1, 2], readable: [0, 1, 2], isStranded: false, shards: undefined }),
    now,
    shardedAkey: () => akey,
    filledOf: () => Promise.resolve([]),
    inTurn: (work) => {
      turns += 1;
      return work();
    },
    found: () => {},
  });
  return {
    folding,
    finish: (index) => finishes[index]!(),
    listings: () => finishes.length,
    letFold: () => mayFold.resolve(),
    pass: (ms) => timers.advance(ms),
    turns: () => turns,
  };
}

test("nothing is said to be folded before it is known what there is, and then nothing that is not", async () => {
  const { folding, finish, pass } = makeRig();
  folding.want(CONTAINER);
  await pass(1_000);
  expect(folding.foldedTo(CONTAINER)).toBe(0 as Epoch);
  finish(0);
  await pass(1_000);
  // A stripe of unknown age waits to be folded.
  expect(folding.foldedTo(CONTAINER)).toBe(0 as Epoch);
  folding.stop();
});

test("what was looked for under an earlier map does not count, though it ends later", async () => {
  const { folding, finish, listings, letFold, pass } = makeRig((listing) => listing > 0);
  letFold();
  folding.want(CONTAINER);
  await pass(1_000);
  folding.mapChanged(Promise.resolve());
  folding.want(CONTAINER);
  await pass(1_000);
  expect(listings()).toBe(2);
  finish(0);
  await pass(1_000);
  expect(folding.foldedTo(CONTAINER)).toBe(0 as Epoch);
  finish(1);
  // The clock of epochs stands still here, so nothing becomes ripe: a snapshot has the stripe folded.
  await pass(1_000);
  await folding.beforeUpdate(CONTAINER, PLACE, { akey: undefined, bytes: undefined }, NOW);
  expect(folding.foldedTo(CONTAINER)).toBe((NOW - LAG_US) as Epoch);
  folding.stop();
});

test("nothing is looked for while something of an earlier map may still be appended", async () => {
  const { folding, finish, listings, pass } = makeRig(() => false);
  const arriving = Promise.withResolvers<void>();
  folding.mapChanged(arriving.promise);
  folding.want(CONTAINER);
  await pass(1_000);
  expect(listings()).toBe(0);
  expect(folding.foldedTo(CONTAINER)).toBe(0 as Epoch);
  arriving.resolve();
  await pass(1_000);
  finish(0);
  await pass(1_000);
  expect(folding.foldedTo(CONTAINER)).toBe((NOW - LAG_US) as Epoch);
  folding.stop();
});

test("a fold that a change of the map overtook takes nothing from what is counted", async () => {
  const { folding, finish, letFold, pass } = makeRig();
  folding.want(CONTAINER);
  await pass(1_000);
  finish(0);
  await pass(1_000);
  const folded = folding.beforeUpdate(CONTAINER, PLACE, { akey: undefined, bytes: undefined }, NOW);
  folding.mapChanged(Promise.resolve());
  folding.want(CONTAINER);
  await pass(1_000);
  finish(1);
  await pass(1_000);
  letFold();
  await folded;
  expect(folding.foldedTo(CONTAINER)).toBe(0 as Epoch);
  folding.stop();
});

test("what a transaction holds counts as not folded from its lock on, for it is still to be written", async () => {
  let held: Epoch | undefined;
  const { folding, finish, pass } = makeRig(
    () => false,
    () => held,
  );
  folding.want(CONTAINER);
  await pass(1_000);
  finish(0);
  await pass(1_000);
  expect(folding.foldedTo(CONTAINER)).toBe((NOW - LAG_US) as Epoch);
  held = (NOW - 2 * LAG_US) as Epoch;
  expect(folding.foldedTo(CONTAINER)).toBe((held - 1) as Epoch);
  held = NOW;
  expect(folding.foldedTo(CONTAINER)).toBe((NOW - LAG_US) as Epoch);
  folding.stop();
});

test("what is found is folded in its turn, what an update leaves is not", async () => {
  let now = NOW;
  const found = makeRig(undefined, undefined, () => (now = (now + 100_000) as Epoch));
  found.letFold();
  found.folding.want(CONTAINER);
  await found.pass(300);
  found.finish(0);
  await found.pass(10_000);
  expect(found.turns()).toBe(1);
  expect(found.folding.foldedTo(CONTAINER)).toBeGreaterThan(NOW);
  found.folding.stop();
  const written = makeRig(
    () => false,
    undefined,
    () => (now = (now + 100_000) as Epoch),
  );
  written.letFold();
  const ownParts = [{ kind: "write", address: 0, length: 1 }];
  const update = { container: CONTAINER, object: PLACE, ownParts, givenEpoch: now, arrayShares: [] };
  written.folding.noteUpdate(update as unknown as LedUpdate);
  await written.pass(300);
  written.finish(0);
  await written.pass(10_000);
  expect(written.turns()).toBe(0);
  expect(written.folding.foldedTo(CONTAINER)).toBeGreaterThan(now - 2 * LAG_US);
  written.folding.stop();
});

test("a stripe that is written to again and again is folded in between, and the gate moves on", async () => {
  let now = NOW;
  const { folding, finish, letFold, pass } = makeRig(
    () => false,
    undefined,
    () => now,
  );
  letFold();
  for (let write = 0; write < 60; write += 1) {
    const ownParts = [{ kind: "write", address: 0, length: 1 }];
    const update = { container: CONTAINER, object: PLACE, ownParts, givenEpoch: now, arrayShares: [] };
    folding.noteUpdate(update as unknown as LedUpdate);
    await pass(300);
    now = (now + 300_000) as Epoch;
    if (write === 0) finish(0);
    if (write > 1) expect(folding.foldedTo(CONTAINER)).toBeGreaterThan(now - 5_000_000);
  }
  folding.stop();
});
