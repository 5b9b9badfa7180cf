/** What a target has and cannot be read of: it is not listed, however long it takes until it is removed. */
import { expect, test } from "bun:test";
import { byteString, bytesOf } from "../../src/base/bytes.ts";
import type { Epoch } from "../../src/base/epoch.ts";
import type { ObjectId } from "../../src/base/object-id.ts";
import { FillPace } from "../../src/dtx/fill-pace.ts";
import type { FoldStore } from "../../src/dtx/fold-store.ts";
import { type FillStore, fillStore } from "../../src/dtx/fill-store.ts";
import { placedGroups } from "../../src/dtx/group.ts";
import { preparedStore } from "../../src/dtx/prepared-store.ts";
import { Replication } from "../../src/dtx/replication.ts";
import { EnumerationService } from "../../src/engine/enumeration-service.ts";
import { encodeCbor } from "../../src/format/cbor.ts";
import { Opcode } from "../../src/format/operations.ts";
import type { PoolMap } from "../../src/format/pool-map.ts";
import type { RpcRequest } from "../../src/rpc/request.ts";
import { objectOf, poolMap, withStates } from "../placement/pool-maps.ts";
import { simulatedWorld } from "../simulation/world.ts";
import { CONTAINER, key, makeRig, settled } from "../vos/rig.ts";

const NOTHING = new Uint8Array(0);
const OWN = 0;
const MAP = poolMap([6], 1);
const NAMES = Array.from({ length: 24 }, (_, index) => key(`d${String(index).padStart(2, "0")}`));

interface Lists {
  readonly objects: readonly ObjectId[];
  readonly dkeys: readonly string[];
  readonly most: string | undefined;
  readonly changed: readonly string[];
}

for (const name of ["SX", "RP_2GX"]) {
  test(`${name}: what a target cannot be read of is not listed, before it is removed and after`, async () => {
    const { timers } = simulatedWorld(1);
    const { store, objects } = makeRig({ strict: true, durable: true });
    const oid = objectOf(name, 3);
    // All of it lies elsewhere.
    const other = Array.from({ length: 50 }, (_, user) => objectOf("S1", user)).find(
      (candidate) => placedGroups(MAP).groupOf(candidate, NAMES[0]!).leader !== OWN,
    )!;
    const before = (
      await settled(objects.updateValue(CONTAINER, { oid: other, dkey: NAMES[0]!, akey: key("") }, NOTHING))
    ).epoch;
    for (const dkey of NAMES) await settled(objects.updateValue(CONTAINER, { oid, dkey, akey: key("") }, NOTHING));
    let mayPurge = (): void => {};
    const allowed = new Promise<void>((resolve) => (mayPurge = resolve));
    const filled = fillStore(store, objects);
    const { copies } = filled;
    const held = {
      ...filled,
      copies: new Proxy(copies, {
        get: (from, property) => {
          if (property === "purge")
            return (...given: Parameters<typeof copies.purge>) => allowed.then(() => from.purge(...given));
          const value: unknown = Reflect.get(from, property);
          return typeof value === "function" ? (value.bind(from) as unknown) : value;
        },
      }),
    } as FillStore;
    let map: PoolMap = MAP;
    const containers = new Map([[CONTAINER, {}]]);
    const replication = new Replication({
      store: preparedStore(store),
      timers,
      dial: () => new Promise(() => {}),
      capability: () => NOTHING,
      checkCapability: () => {},
      run: () => Promise.reject(new Error("nobody prepares here")),
      observe: () => true,
      schemeOf: () => {
        throw new Error("nothing is coded here");
      },
      readShard: () => Promise.reject(new Error("nothing is read here")),
      foldStore: { akeys: async function* () {} } as unknown as FoldStore,
      fillStore: held,
      pace: new FillPace({ timers, nowMs: () => 0, foreground: { count: 0, isBusy: false } }),
      setGate: () => {},
      now: () => 1 as Epoch,
      serveStates: () => {},
      serveRepair: () => {},
      poolOf: () => ({ pool: "tank", map, own: OWN, containers }),
    });
    const set = (next: PoolMap): void => {
      map = next;
      replication.mapChanged({ pool: "tank", map, own: OWN, containers });
    };
    const service = new EnumerationService(objects, (container) => replication.shownDkeys(container));
    const ask = async (opcode: number, args: object): Promise<never> => {
      const request = { opcode, args: encodeCbor({ handle: 1, ...args }) } as RpcRequest;
      return (await service.run(request, () => CONTAINER)).reply as never;
    };
    const lists = async (): Promise<Lists> => {
      const page = { limit: 100, epoch: 0 };
      const listed = (await ask(Opcode.objectList, page)) as { keys: Uint8Array[] };
      const dkeys = (await ask(Opcode.dkeyList, { ...page, oid: bytesOf(oid) })) as { keys: Uint8Array[] };
      const query = { oid: bytesOf(oid), direction: "max", levels: ["dkey"], epoch: 0 };
      const { dkey } = (await ask(Opcode.keyQuery, query)) as { dkey?: Uint8Array };
      const since = { fromEpoch: before, toEpoch: 0, limit: 100 };
      const { changes } = (await ask(Opcode.changeList, since)) as { changes: { dkey: Uint8Array }[] };
      return {
        objects: listed.keys.map((each) => byteString(each) as string as ObjectId),
        dkeys: dkeys.keys.map((dkey) => byteString(dkey)),
        most: dkey && byteString(dkey),
        changed: changes.map((change) => byteString(change.dkey)),
      };
    };
    set(MAP);
    expect((await lists()).dkeys).toEqual(NAMES);
    // Somebody else is gone, and has been replaced.
    set(withStates(MAP, [5], "DOWNOUT", 2));
    await timers.advance(100);
    const own = NAMES.filter((dkey) => placedGroups(map).groupOf(oid, dkey).readable.includes(OWN));
    expect(own.length).toBeGreaterThan(1);
    expect(own.length).toBeLessThan(NAMES.length - 1);
    const shown = { objects: [oid], dkeys: own, most: own.at(-1)!, changed: own };
    expect(await lists()).toEqual(shown);
    expect(copies.list(CONTAINER, undefined, 100).places).toHaveLength(NAMES.length + 1);
    mayPurge();
    await timers.advance(1_000);
    // What nobody can be read of may be needed yet.
    const kept = NAMES.filter((dkey) => placedGroups(map).groupOf(oid, dkey).leader < 0);
    expect(copies.list(CONTAINER, undefined, 100).places).toHaveLength(own.length + kept.length);
    expect(replication.shownDkeys(CONTAINER) === undefined).toBe(kept.length === 0);
    expect(await lists()).toEqual(shown);
    replication.stop();
  });
}
