import { expect, test } from "bun:test";
import type { Uuid } from "../../src/base/uuid.ts";
import { GIB } from "../../src/base/limits.ts";
import { openSystem } from "../../src/control/system-service.ts";
import { SYSTEM_KEY } from "../../src/format/meta-key.ts";
import { ENGINE_PROTOCOL_VERSION } from "../../src/format/engine-version.ts";
import { Opcode } from "../../src/format/operations.ts";
import type { PoolMap } from "../../src/format/pool-map.ts";
import { codeOf, emptyDurable, ENGINE_ID, fakeClock, fakeRandom, failureOf, MAP, start, SYSTEM_ID } from "./harness.ts";
import { MemoryMetaStore } from "./memory-meta-store.ts";

/** The members this file looks at, of all replies. */
interface AnyReply {
  readonly label: string;
  readonly map: PoolMap;
  readonly pools: unknown[];
  readonly containers: unknown[];
  readonly snapshots: unknown[];
  readonly properties: Record<string, unknown>;
  readonly capability: Uint8Array;
}

const box = { pool: "tank", container: "box" };

test("every operation of the management listener by its opcode", async () => {
  const { plane } = await start();
  const call = (opcode: number, args: unknown): Promise<AnyReply> => plane.call(opcode, args) as Promise<AnyReply>;
  await call(Opcode.poolCreate, { label: "tank", sizeBytes: GIB });
  expect((await call(Opcode.poolList, undefined)).pools.length).toBe(1);
  expect((await call(Opcode.poolQuery, { pool: "tank" })).label).toBe("tank");
  await call(Opcode.poolSetProperties, { pool: "tank", properties: { "user.a": "b" } });
  expect((await call(Opcode.poolGetProperties, { pool: "tank" })).properties["user.a"]).toBe("b");
  await call(Opcode.containerCreate, { pool: "tank", label: "box", type: "kv" });
  expect((await call(Opcode.containerList, { pool: "tank" })).containers.length).toBe(1);
  expect((await call(Opcode.containerQuery, box)).label).toBe("box");
  await call(Opcode.containerSetProperties, { ...box, properties: { "user.a": "b" } });
  expect((await call(Opcode.containerGetProperties, box)).properties["user.a"]).toBe("b");
  expect((await call(Opcode.containerOpen, { ...box, readOnly: true })).capability).toBeInstanceOf(Uint8Array);
  await call(Opcode.snapshotCreate, { ...box, name: "s" });
  expect((await call(Opcode.snapshotList, box)).snapshots.length).toBe(1);
  expect<unknown>(await call(Opcode.snapshotDestroy, { ...box, name: "s" })).toEqual({});
  expect((await call(Opcode.poolQueryTargets, { pool: "tank" })).map).toEqual(MAP);
  expect((await call(Opcode.poolReintegrate, { pool: "tank", ranks: [0] })).map).toEqual(MAP);
  expect(await codeOf(call(Opcode.poolExclude, { pool: "tank", ranks: [0] }))).toBe("INVALID_ARGUMENT");
  expect<unknown>(await call(Opcode.containerDestroy, { ...box, force: false })).toEqual({});
  expect<unknown>(await call(Opcode.poolDestroy, { pool: "tank", force: false })).toEqual({});
  expect<unknown>(await call(Opcode.systemQuery, undefined)).toEqual({
    system: "daos",
    software: "daos 0.1.0",
    uptimeMs: 5000,
    storage: "/data",
    pid: 7,
    map: MAP,
    scmTotalBytes: 1 * GIB,
    scmUsedBytes: 10,
    nvmeTotalBytes: 9 * GIB,
    nvmeUsedBytes: 20,
    pools: [],
    engines: [
      {
        rank: 0,
        id: ENGINE_ID,
        state: "joined",
        software: "daos 0.1.0",
        version: ENGINE_PROTOCOL_VERSION,
        domain: "/",
        address: "127.0.0.1:10001",
        targets: 1,
        scmTotalBytes: 1,
        scmUsedBytes: 0,
        nvmeTotalBytes: 9,
        nvmeUsedBytes: 0,
      },
    ],
  });
});

test("an opcode that is not the control plane's is UNSUPPORTED", async () => {
  const { plane } = await start();
  for (const opcode of [0, Opcode.hello, Opcode.attach, Opcode.valueFetch, 65535]) {
    expect(await codeOf(plane.call(opcode, {}))).toBe("UNSUPPORTED");
  }
});

test("arguments of the wrong shape are INVALID_ARGUMENT and named", async () => {
  const { plane } = await start();
  const withoutNeed: ReadonlySet<number> = new Set([
    Opcode.poolList,
    Opcode.systemEvents,
    Opcode.systemLeader,
    Opcode.selfHealGet,
    Opcode.selfHealEval,
    Opcode.systemStop,
    Opcode.systemStart,
    Opcode.systemBackup,
  ]);
  const management = Object.values(Opcode).filter((opcode) => opcode >= 32 && opcode < 96 && !withoutNeed.has(opcode));
  for (const opcode of management) {
    for (const args of [
      undefined,
      null,
      3,
      "x",
      [],
      { pool: 1 },
      { pool: "x".repeat(256), force: true },
      { label: {} },
    ]) {
      expect(await codeOf(plane.call(opcode, args))).toBe("INVALID_ARGUMENT");
    }
  }
  const error = await failureOf(plane.call(Opcode.poolCreate, { label: "x", sizeBytes: "4GiB" }));
  expect(error.message).toBe(
    'Cannot run poolCreate: "sizeBytes": expected number, received string. Correct the request.',
  );
});

test("resume on an empty system has nothing to do", async () => {
  const { plane } = await start();
  expect(await plane.resume()).toEqual({ pools: 0, containers: 0, finished: [], failures: [] });
});

test("the system record is made once, kept, and refuses another storage", async () => {
  const durable = emptyDurable();
  const store = new MemoryMetaStore(durable.meta);
  const options = { create: false, id: SYSTEM_ID, name: "daos", clock: fakeClock(), random: fakeRandom(1) };
  expect(await codeOf(openSystem(store, options))).toBe("CORRUPT");
  const made = await openSystem(store, { ...options, create: true });
  expect(made.capabilityKey).toMatch(/^[0-9a-f]{64}$/);
  expect(await openSystem(store, { ...options, random: fakeRandom(2) })).toEqual(made);
  expect(await codeOf(openSystem(store, { ...options, name: "other" }))).toBe("CORRUPT");
  const otherId = "99999999-2222-4333-8444-555555555555" as Uuid;
  expect(await codeOf(openSystem(store, { ...options, create: true, id: otherId }))).toBe("CORRUPT");
});

test("a damaged or newer record is told, not believed", async () => {
  const durable = emptyDurable();
  const { plane } = await start(durable);
  await plane.pools.create({ label: "tank", sizeBytes: GIB });
  const key = [...durable.meta.entries.keys()].find((name) => name.startsWith("pool/"))!;
  const good = durable.meta.entries.get(key)!;
  const text = Buffer.from(good.value).toString();
  const put = (value: string): void => void durable.meta.entries.set(key, { ...good, value: Buffer.from(value) });
  put(text.replace("tank", "tonk"));
  expect(await codeOf(plane.pools.query({ pool: "tank" }))).toBe("CORRUPT");
  put(text.replace("pool/1", "pool/2"));
  expect(await codeOf(plane.pools.query({ pool: "tank" }))).toBe("VERSION");
  put("");
  expect(await codeOf(plane.pools.query({ pool: "tank" }))).toBe("CORRUPT");
  expect(durable.meta.entries.has(SYSTEM_KEY)).toBe(true);
});
