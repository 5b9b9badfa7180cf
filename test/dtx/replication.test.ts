/** Replication over a store that only notes what it is told, and peers that know nothing. */
import { expect, test } from "bun:test";
import type { ByteString } from "../../src/base/bytes.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import { DaosError } from "../../src/base/errors.ts";
import { placedGroups } from "../../src/dtx/group.ts";
import type { UpdateRequest } from "../../src/dtx/led-update.ts";
import type { PeerAddress, PeerConnection } from "../../src/dtx/peer.ts";
import type { OpenUpdate, PreparedStore } from "../../src/dtx/prepared-store.ts";
import type { FillStore } from "../../src/dtx/fill-store.ts";
import { FillPace } from "../../src/dtx/fill-pace.ts";
import type { FoldStore } from "../../src/dtx/fold-store.ts";
import { PeerSession, Replication } from "../../src/dtx/replication.ts";
import { decodeIds, DtxState, encodeResyncReply } from "../../src/format/dtx-messages.ts";
import { NO_REQUEST_ID, type ObjectRequest } from "../../src/format/object-request.ts";
import { Opcode } from "../../src/format/operations.ts";
import type { PoolMap } from "../../src/format/pool-map.ts";
import type { RpcCompletion } from "../../src/rpc/pending-call.ts";
import type { RpcPeer } from "../../src/rpc/request.ts";
import { objectOf, poolMap, withStates } from "../placement/pool-maps.ts";
import { simulatedWorld } from "../simulation/world.ts";
import { payloadBytes } from "../fixtures/payload-bytes.ts";

const NOTHING = new Uint8Array(0);
const DKEY = "dkey" as ByteString;
const OID = objectOf("RP_2G1", 1);
const EPOCH = 1000 as Epoch;

function openUpdate(sequence: number, container: number): OpenUpdate {
  return { id: { client: 1, sequence }, epoch: EPOCH, container, oid: OID, dkey: DKEY };
}

/** All is durable at once. */
class NotedStore implements PreparedStore {
  readonly open: OpenUpdate[];
  readonly said: string[] = [];

  constructor(open: OpenUpdate[] = []) {
    this.open = open;
  }

  readonly whenDurable = (_sequence: number, callback: () => void): void => callback();
  readonly whenAllDurable = (callback: () => void): void => callback();
  readonly forget = (): void => {};
  readonly onPersist = (): void => {};
  readonly epochOf = (): Epoch => EPOCH;
  readonly whenDecisionsDurable = (callback: () => void): void => callback();
  readonly decided = (): [] => [];
  readonly openUpdates = (): OpenUpdate[] => [...this.open];
  readonly stateOf = ({ sequence }: { sequence: number }): "prepared" | undefined =>
    this.open.some(({ id }) => id.sequence === sequence) ? "prepared" : undefined;
  readonly decide = ({ sequence }: { sequence: number }, decision: string): void => {
    this.said.push(`${decision} ${sequence}`);
    const at = this.open.findIndex(({ id }) => id.sequence === sequence);
    if (at >= 0) this.open.splice(at, 1);
  };
}

/** A peer that answers everything, and has heard of nothing. */
const ignorant: PeerConnection = {
  isClosed: false,
  call: async (opcode, _args, payload) => {
    if (opcode !== Opcode.dtxResync) return { args: NOTHING, payload: NOTHING };
    const states = decodeIds(payloadBytes(payload)).map(() => DtxState.unknown);
    return { args: NOTHING, payload: encodeResyncReply(states, []) };
  },
  start: (_opcode, _length, _encoder, _payload, _options, completion) => completion.answered({} as never),
  flush: () => {},
  onClose: () => {},
  close: () => {},
};

interface Rig {
  readonly replication: Replication;
  readonly store: NotedStore;
  readonly pools: Map<number, string>;
  readonly set: (map: PoolMap) => void;
  /** Lets the peers get ready. */
  readonly pass: () => Promise<void>;
}

function makeRig(
  own: number,
  open: OpenUpdate[],
  dial: (address: PeerAddress) => Promise<PeerConnection> = async () => ignorant,
): Rig {
  const { timers } = simulatedWorld(1);
  const store = new NotedStore(open);
  const pools = new Map<number, string>();
  let map = poolMap([3], 1);
  const replication = new Replication({
    store,
    timers,
    dial,
    capability: () => NOTHING,
    checkCapability: () => {},
    run: () => {
      throw new Error("nobody prepares here");
    },
    observe: () => true,
    schemeOf: () => {
      throw new Error("nothing is coded here");
    },
    readShard: () => Promise.reject(new Error("nothing is read here")),
    foldStore: {} as FoldStore,
    fillStore: {
      copies: { list: () => ({ places: [], after: undefined }) },
      marks: { agreedUnder: () => 0, noteAgreed: () => Promise.resolve() },
    } as unknown as FillStore,
    pace: new FillPace({ timers, nowMs: () => 0, foreground: { count: 0, isBusy: false } }),
    setGate: () => {},
    now: () => 1 as Epoch,
    serveStates: () => {},
    serveRepair: () => {},
    poolOf: (container) => {
      const pool = pools.get(container);
      return pool === undefined ? undefined : { pool, map, own, containers: new Map() };
    },
  });
  return {
    replication,
    store,
    pools,
    set: (next) => {
      map = next;
      replication.mapChanged({ pool: "tank", map, own, containers: new Map() });
    },
    pass: () => timers.advance(100),
  };
}

const MAP = poolMap([3], 1);
const { leader: LEADER, members: MEMBERS } = placedGroups(MAP).groupOf(OID, DKEY);
const FOLLOWER = MEMBERS.find((member) => member !== LEADER)!;
const never = (): Promise<PeerConnection> => new Promise(() => {});

function updateRequest(sequence: number): UpdateRequest {
  const object: ObjectRequest = {
    ...NO_REQUEST_ID,
    client: 1,
    sequence,
    handle: 0,
    flags: 0,
    oid: OID,
    epoch: 0 as Epoch,
    recordIndex: 0,
    recordCount: 0,
    recordBytes: 0,
    dkey: DKEY,
    akey: "a" as ByteString,
  };
  return { container: 4, opcode: Opcode.valueUpdate, object, payload: undefined };
}

test("updates of containers that become known later are taken over, those of other pools are not", () => {
  const { replication, pools, set } = makeRig(LEADER, [openUpdate(1, 4), openUpdate(2, 5)], never);
  set(MAP);
  expect(replication.openCount).toBe(0);
  pools.set(4, "tank");
  set(MAP);
  expect(replication.openCount).toBe(1);
  replication.stop();
});

test("what is undecided in a container that is destroyed is undone, and nothing else", () => {
  const { replication, store, pools, set } = makeRig(
    LEADER,
    [openUpdate(1, 4), openUpdate(2, 5), openUpdate(3, 6)],
    never,
  );
  pools.set(4, "tank").set(5, "tank");
  set(MAP);
  pools.delete(4);
  replication.removeContainer(4);
  expect(store.said).toEqual(["abort 1"]);
  // Nobody has heard of this one's pool.
  replication.removeContainer(6);
  expect(store.said).toEqual(["abort 1", "abort 3"]);
  replication.stop();
});

test("a target that came in place of another one does not say what became of an update", async () => {
  const { replication, store, pools, set, pass } = makeRig(FOLLOWER, [openUpdate(1, 4)]);
  pools.set(4, "tank");
  set(MAP);
  const after = withStates(MAP, [LEADER], "DOWN", 2);
  const group = placedGroups(after).groupOf(OID, DKEY);
  expect(group).toMatchObject({ leader: FOLLOWER, readable: [FOLLOWER] });
  expect(group.members.length).toBe(2);
  set(after);
  await pass();
  expect(store.said).toEqual(["commit 1"]);
  replication.stop();
});

test("an update waits for those before it in its dkey, and goes with one that a member refuses", async () => {
  const completions: RpcCompletion[] = [];
  const slow: PeerConnection = {
    ...ignorant,
    start: (_opcode, _length, _encoder, _payload, _options, completion) => void completions.push(completion),
  };
  const { replication, store, pools, set, pass } = makeRig(LEADER, [], async () => slow);
  pools.set(4, "tank");
  set(MAP);
  expect(() => replication.begin(updateRequest(1))).toThrow("cannot be reached");
  await pass();
  const told: string[] = [];
  for (const sequence of [1, 2, 3]) {
    const update = replication.begin(updateRequest(sequence));
    update.whenDecided((error) => told.push(`${sequence} ${error?.code}`));
    update.appended((EPOCH + sequence) as Epoch, sequence);
  }
  completions[1]!.answered({} as never);
  expect(store.said).toEqual([]);
  completions[0]!.answered({} as never);
  expect(store.said).toEqual(["commit 1", "commit 2"]);
  const fourth = replication.begin(updateRequest(4));
  fourth.appended((EPOCH + 4) as Epoch, 4);
  completions[3]!.answered({} as never);
  completions[2]!.failed(new DaosError("NO_SPACE", "Cannot prepare: full."), true);
  expect(store.said).toEqual(["commit 1", "commit 2", "abort 4", "abort 3"]);
  expect(told.slice(0, 2)).toEqual(["1 undefined", "2 undefined"]);
  replication.stop();
});

test("an update that is appended after the map has changed goes to the group as it is then", async () => {
  const { replication, store, pools, set, pass } = makeRig(LEADER, []);
  pools.set(4, "tank");
  set(MAP);
  const request = updateRequest(7);
  expect(() => replication.begin(request)).toThrow("cannot be reached");
  await pass();
  const late = replication.begin(request);
  const lost = replication.begin(updateRequest(8));
  const others = MAP.targets.map(({ index }) => index).filter((index) => index !== LEADER);
  set(withStates(MAP, others, "DOWN", 2));
  const told: (string | undefined)[] = [];
  late.whenDecided((error) => told.push(error?.code));
  late.appended(EPOCH, 1);
  expect(told).toEqual([undefined]);
  expect(store.said).toEqual(["commit 7"]);
  set({ ...withStates(withStates(MAP, others, "UPIN"), [LEADER], "DOWN", 3), version: 3 });
  lost.whenDecided((error) => told.push(error?.code));
  lost.appended(EPOCH, 2);
  expect(told).toEqual([undefined, "STALE"]);
  expect(store.said).toEqual(["commit 7"]);
  replication.stop();
});

test("once a target was taken back nothing is decided before all others go by that map, members or not", async () => {
  const stranger = MAP.targets.find(({ index }) => !MEMBERS.includes(index))!;
  const map: PoolMap = {
    version: 4,
    targets: MAP.targets.map((target) => ({
      ...target,
      host: `h${target.index}`,
      since: target.index === LEADER ? 4 : 1,
    })),
  };
  let isThere = false;
  const follower: PeerConnection = {
    ...ignorant,
    call: async (opcode, _args, payload) => {
      if (opcode !== Opcode.dtxResync) return { args: NOTHING, payload: NOTHING };
      return {
        args: NOTHING,
        payload: encodeResyncReply(
          decodeIds(payloadBytes(payload)).map(() => DtxState.prepared),
          [],
        ),
      };
    },
  };
  const dial = async ({ host }: PeerAddress): Promise<PeerConnection> => {
    if (host === `h${stranger.index}` && !isThere) throw new DaosError("UNAVAILABLE", "Cannot connect: away.");
    return host === `h${FOLLOWER}` ? follower : ignorant;
  };
  const { replication, store, pools, set, pass } = makeRig(LEADER, [], dial);
  pools.set(4, "tank");
  set(map);
  await pass();
  expect(() => replication.begin(updateRequest(1))).toThrow("may not know the present pool map");
  // What others left undecided waits, too.
  store.open.push(openUpdate(9, 4));
  set(map);
  await pass();
  expect(store.said).toEqual([]);
  isThere = true;
  for (let round = 0; round < 10; round += 1) await pass();
  expect(store.said).toEqual(["commit 9"]);
  replication.begin(updateRequest(1));
  replication.stop();
});

test("without redundancy an update waits for others to go by the map when its object may have moved, and not else", () => {
  const single = objectOf("S1", 1);
  const id = { client: 1, sequence: 1 };
  const back = withStates(MAP, [FOLLOWER], "UP");
  const drained = back.targets.map((target) => (target.state === "UP" ? { ...target, drained: 2 } : target));
  for (const [targets, waits] of [
    [back.targets, false],
    [drained, true],
  ] as const) {
    const rig = makeRig(LEADER, [], never);
    rig.pools.set(4, "tank");
    rig.set(MAP);
    expect(rig.replication.isLed(4, single, id)).toBe(false);
    rig.set({ version: 2, targets });
    rig.set({ ...withStates(MAP, [FOLLOWER], "UPIN", 3), version: 3 });
    expect(rig.replication.isLed(4, single, id)).toBe(waits);
    // Another change of the map tells nothing about that.
    rig.set({ ...withStates(MAP, [FOLLOWER], "UPIN", 3), version: 4 });
    expect(rig.replication.isLed(4, single, id)).toBe(waits);
    rig.replication.stop();
  }
});

test("of another target no decision may be missed, while anything else may, and anything of a client", () => {
  const rig = makeRig(LEADER, [], never);
  rig.pools.set(4, "tank");
  rig.set(MAP);
  const session = new PeerSession(rig.replication.poolOf(4)!, FOLLOWER);
  const mayMiss = (of: unknown, opcode: number): boolean =>
    rig.replication.mayMiss({ session: of } as unknown as RpcPeer, opcode);
  expect([mayMiss(session, Opcode.dtxDecide), mayMiss(session, Opcode.dtxPrepare)]).toEqual([false, true]);
  expect(mayMiss(undefined, Opcode.dtxDecide)).toBe(true);
  rig.replication.stop();
});
