/** What the client does when things fail: what is sent again, what never is, and what the caller is told. */
import { afterEach, describe, expect, test } from "bun:test";
import { DaosError } from "../../src/base/errors.ts";
import { connect, type Container, type System } from "../../src/client/index.ts";
import { encodeCbor } from "../../src/format/cbor.ts";
import { objectClassByName } from "../../src/base/object-class.ts";
import { objectId } from "../../src/base/object-id.ts";
import { Opcode } from "../../src/format/operations.ts";
import { RpcServer } from "../../src/rpc/server.ts";
import { codeOf, collect, FakeEngine, HOST, kvInterface, pattern } from "./fake-engine.ts";

const cleanups: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

interface Opened {
  readonly engine: FakeEngine;
  readonly system: System;
  readonly container: Container;
}

interface OpenOptions {
  readonly targets?: number;
  readonly isSpread?: boolean;
  readonly retryWindowMs?: number;
  readonly timeoutMs?: number;
}

async function open(options: OpenOptions = {}): Promise<Opened> {
  const engine = new FakeEngine(11, { targets: options.targets ?? 1, isSpread: options.isSpread ?? false });
  cleanups.push(() => engine.close());
  const system = await engine.connect(options);
  cleanups.push(() => system.close());
  return { engine, system, container: await system.pool("tank").openContainer("box") };
}

async function errorOf(operation: Promise<unknown>): Promise<DaosError> {
  const error: unknown = await operation.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  if (error instanceof DaosError) return error;
  throw new Error(`not a DaosError: ${String(error)}`);
}

test("a leader that is silent is left for another one once its engine is excluded, whatever the time limit", async () => {
  const { engine, system, container } = await open({ targets: 2, isSpread: true, timeoutMs: 60_000 });
  const { clock, timers } = engine.world;
  const object = container.object(objectId("MULTI_LEXICAL", objectClassByName("RP_2G1"), 0, 1n));
  await object.update("d", "a", pattern(3));
  // Whichever of the two is asked; nothing else is going on that would tell the client.
  for (const target of engine.targets) target.mishap(Opcode.valueUpdate, "ignored");
  const startNs = clock.monotonicNs();
  const updating = object.update("d", "a", pattern(4));
  await timers.advance(5_000);
  const asked = engine.targets.findIndex(({ mishaps }) => mishaps.get(Opcode.valueUpdate)!.length === 0);
  engine.targets[1 - asked]!.mishaps.clear();
  engine.down.add(asked);
  engine.mapVersion += 1;
  engine.targets[1 - asked]!.mapVersion = engine.mapVersion;
  await updating;
  expect((clock.monotonicNs() - startNs) / 1e6).toBeLessThan(8_000);
  await system.close();
});

test("a target that is gone without a word is left for another one, before anybody knows", async () => {
  const { engine, container } = await open({ targets: 2, isSpread: true, timeoutMs: 60_000 });
  const { clock, network } = engine.world;
  const object = container.object(objectId("MULTI_LEXICAL", objectClassByName("RP_2G1"), 0, 1n));
  await object.fetch("d", "a");
  const asked = engine.targets.findIndex((target) => target.count(Opcode.valueFetch) > 0);
  network.silence(engine.listeners[asked]!.port);
  const startNs = clock.monotonicNs();
  await object.fetch("d", "a");
  expect((clock.monotonicNs() - startNs) / 1e6).toBeLessThan(15_000);
});

test("an engine that is gone without a word is left for the next address, also by what changes something, under its number", async () => {
  const first = new FakeEngine(7);
  const second = new FakeEngine(7, {}, first.world);
  cleanups.push(() => first.close());
  cleanups.push(() => second.close());
  const addresses = [first.address, second.address].join();
  const system = await connect(first.world, { system: addresses, interfaces: [kvInterface] });
  cleanups.push(() => system.close());
  await system.query();
  first.world.network.silence(first.management.port);
  const startNs = first.world.clock.monotonicNs();
  const changing = codeOf(system.createPool({ label: "new", sizeBytes: 1 << 30 }));
  await system.query();
  expect(await changing).toBe("none");
  expect((first.world.clock.monotonicNs() - startNs) / 1e6).toBeLessThan(10_000);
  expect(second.asked.get(Opcode.poolCreate)).toBe(1);
  expect(second.asked.get(Opcode.systemQuery)).toBe(1);
});

describe("a connection that is lost", () => {
  test("is opened again: reads and plain writes do not notice", async () => {
    const { engine, container } = await open();
    const kv = container.kv();
    await kv.put("a", pattern(1));
    engine.target.cut();
    expect((await kv.get("a"))!.value).toEqual(pattern(1));
    engine.target.mishap(Opcode.valueFetch, "lost");
    expect((await kv.get("a"))!.value).toEqual(pattern(1));
    engine.target.mishap(Opcode.valueUpdate, "lost");
    await kv.put("a", pattern(2));
    engine.target.mishap(Opcode.valueUpdate, "unanswered");
    await kv.put("a", pattern(3));
    expect((await kv.get("a"))!.value).toEqual(pattern(3));
    expect(engine.target.count(Opcode.attach)).toBe(5);
  });

  test("does not stop a conditional write: it is sent again under its number, and happens once", async () => {
    const { engine, container } = await open();
    const kv = container.kv();
    await kv.get("a");
    for (const mishap of ["lost", "unanswered"] as const) {
      engine.target.mishap(Opcode.valueUpdate, mishap);
      await kv.put(mishap, pattern(1), { condition: "ifAbsent" });
      expect((await kv.get(mishap))!.value).toEqual(pattern(1));
    }
  });

  test("does not stop a conditional write that was not sent yet", async () => {
    const { engine, container } = await open();
    const kv = container.kv();
    await kv.get("a");
    engine.target.cut();
    await new Promise((resolve) => void engine.world.timers.after(10, () => resolve(undefined)));
    await kv.put("a", pattern(1), { condition: "ifAbsent" });
    expect(engine.target.count(Opcode.valueUpdate)).toBe(1);
  });

  test("costs one connection and one attach, however many requests meet it", async () => {
    const { engine, container } = await open();
    const kv = container.kv();
    await Promise.all(Array.from({ length: 100 }, (_unused, index) => kv.put(`k${index}`, pattern(9))));
    expect(engine.target.count(Opcode.attach)).toBe(1);
    engine.target.mishap(Opcode.valueFetch, "lost");
    await Promise.all(Array.from({ length: 100 }, (_unused, index) => kv.get(`k${index}`)));
    expect(engine.target.count(Opcode.attach)).toBe(2);
    expect(engine.listeners[0]!.connections).toBe(1);
  });

  test("to a target is one for all containers", async () => {
    const { engine, system, container } = await open();
    const other = await system.pool("tank").openContainer("box");
    await Promise.all([container.kv().get("a"), other.kv().get("a")]);
    expect(engine.listeners[0]!.connections).toBe(1);
    expect(engine.target.count(Opcode.attach)).toBe(2);
  });

  test("that does not come back ends in UNAVAILABLE after the retry window", async () => {
    const { engine, container } = await open({ retryWindowMs: 3000 });
    const kv = container.kv();
    await kv.put("a", pattern(1));
    engine.world.network.sever(engine.listeners[0]!.port);
    const startNs = engine.world.clock.monotonicNs();
    expect(await codeOf(kv.get("a"))).toBe("UNAVAILABLE");
    const tookMs = (engine.world.clock.monotonicNs() - startNs) / 1e6;
    expect(tookMs).toBeGreaterThan(1500);
    expect(tookMs).toBeLessThan(3500);
    engine.world.network.heal(engine.listeners[0]!.port);
    expect((await kv.get("a"))!.value).toEqual(pattern(1));
  });

  test("while keys are listed does not lose or repeat any", async () => {
    const { engine, container } = await open({ targets: 3 });
    const kv = container.kv();
    const names = Array.from({ length: 40 }, (_unused, index) => `key ${String(index).padStart(2, "0")}`);
    for (const name of names) await kv.put(name, pattern(1));
    const listed: string[] = [];
    for await (const key of kv.list()) {
      listed.push(Buffer.from(key).toString());
      if (listed.length % 7 === 0) engine.targets[listed.length % 3]!.cut();
    }
    expect(listed).toEqual(names);
  });
});

describe("a request that the target refuses", () => {
  test("for an old map or capability: the container is opened afresh, once, and the request sent again", async () => {
    const { engine, container } = await open({ targets: 2 });
    const kv = container.kv();
    await kv.put("a", pattern(1));
    engine.renewMap();
    await Promise.all([
      ...Array.from({ length: 50 }, (_unused, index) => kv.get(`k${index}`)),
      kv.put("b", pattern(1), { condition: "ifAbsent" }),
      collect(kv.list()),
    ]);
    expect(engine.asked.get(Opcode.containerOpen)).toBe(2);
    engine.target.forgetHandles();
    engine.targets[1]!.forgetHandles();
    expect((await kv.get("a"))!.value).toEqual(pattern(1));
    expect((await kv.get("b"))!.value).toEqual(pattern(1));
  });

  test("for want of room is sent again; for any other reason it is not", async () => {
    const { engine, container } = await open();
    const kv = container.kv();
    for (let index = 0; index < 3; index += 1) {
      engine.target.mishap(Opcode.valueUpdate, { error: new DaosError("OVERLOADED", "full") });
    }
    await kv.put("a", pattern(1), { condition: "ifAbsent" });
    expect(engine.target.count(Opcode.valueUpdate)).toBe(1);
    for (const code of ["NO_SPACE", "CORRUPT", "READ_ONLY", "PERMISSION", "IO", "EPOCH_AGGREGATED"] as const) {
      engine.target.mishap(Opcode.valueUpdate, { error: new DaosError(code, "so it is") });
      const error = await errorOf(kv.put("a", pattern(1)));
      expect([error.code, error.message]).toEqual([code, "so it is"]);
    }
    engine.target.mishap(Opcode.attach, { error: new DaosError("PERMISSION", "not for you") });
    engine.target.cut();
    expect(await codeOf(kv.get("a"))).toBe("PERMISSION");
  });

  test("as stale for ever is not tried for ever", async () => {
    const { engine, container } = await open({ retryWindowMs: 2000 });
    for (let index = 0; index < 1000; index += 1) {
      engine.target.mishap(Opcode.valueFetch, { error: new DaosError("STALE", "old") });
    }
    expect(await codeOf(container.kv().get("a"))).toBe("STALE");
    expect(engine.asked.get(Opcode.containerOpen)!).toBeLessThan(30);
  });
});

describe("a request that takes too long", () => {
  test("ends at its time limit, unsent again", async () => {
    const { engine, container } = await open({ timeoutMs: 2000 });
    engine.target.mishap(Opcode.valueFetch, "ignored");
    const startNs = engine.world.clock.monotonicNs();
    expect(await codeOf(container.kv().get("a"))).toBe("TIMEOUT");
    expect(engine.world.clock.monotonicNs() - startNs).toBeLessThan(3e9);
    expect(await container.kv().get("a")).toBeUndefined();
  });

  test("ends when its signal fires: under way, waiting for a retry, or before it begins", async () => {
    const { engine, container } = await open();
    const kv = container.kv();
    await kv.get("a");
    engine.target.mishap(Opcode.valueFetch, "ignored");
    for (const breakIt of [(): void => {}, (): void => engine.world.network.sever(engine.listeners[0]!.port)]) {
      breakIt();
      const controller = new AbortController();
      const pending = codeOf(kv.get("a", { signal: controller.signal }));
      engine.world.timers.after(200, () => controller.abort());
      expect(await pending).toBe("CANCELED");
      expect(await codeOf(kv.get("a", { signal: controller.signal }))).toBe("CANCELED");
    }
    expect(await codeOf(collect(kv.list({ signal: AbortSignal.abort() })))).toBe("CANCELED");
  });

  test("ends when the client is closed, and nothing can be asked any more", async () => {
    const { engine, system, container } = await open();
    const kv = container.kv();
    await kv.get("a");
    engine.target.mishap(Opcode.valueFetch, "ignored");
    const pending = codeOf(kv.get("a"));
    await system.close();
    expect(await pending).toBe("CANCELED");
    expect(await codeOf(kv.get("a"))).toBe("CANCELED");
    expect(await codeOf(system.query())).toBe("CANCELED");
    await new Promise((resolve) => void engine.world.timers.after(10, () => resolve(undefined)));
    expect(engine.management.connections + engine.listeners[0]!.connections).toBe(0);
  });

  test("a container that is closed gives its handle back", async () => {
    const { engine, container } = await open();
    await container.kv().get("a");
    await container.close();
    expect(engine.target.count(Opcode.detach)).toBe(1);
    expect(await codeOf(container.kv().get("a"))).toBe("CANCELED");
  });
});

describe("the management connection", () => {
  test("goes through the addresses until one answers, and moves on when that one is lost", async () => {
    const first = new FakeEngine(3);
    const second = new FakeEngine(3, {}, first.world);
    cleanups.push(
      () => first.close(),
      () => second.close(),
    );
    const system = await connect(first.world, { system: `${HOST}:9,${first.address},${second.address}` });
    cleanups.push(() => system.close());
    await system.query();
    first.world.network.sever(first.management.port);
    await system.query();
    expect([first.asked.get(Opcode.systemQuery), second.asked.get(Opcode.systemQuery)]).toEqual([1, 1]);
  });

  test("fails at once, naming the system, when no engine answers", async () => {
    const engine = new FakeEngine(3);
    await engine.close();
    const error = await errorOf(engine.connect());
    expect([error.code, error.message]).toEqual(["UNAVAILABLE", expect.stringContaining(engine.address)]);
    expect(await codeOf(connect(engine.world, { system: "a b:c" }))).toBe("INVALID_ARGUMENT");
  });

  const pool = { label: "p", sizeBytes: 1 << 30 };
  const sequences = ({ numbered }: FakeEngine): number[] => numbered.map(({ sequence }) => sequence);

  test("repeats what only reads, and what changes records, under one number until its answer comes", async () => {
    const { engine, system } = await open();
    engine.mishaps.set(Opcode.systemQuery, ["lost"]);
    await system.query();
    const late = { error: new DaosError("TIMEOUT", "the leader did not answer") };
    engine.mishaps.set(Opcode.poolCreate, ["lost", "unanswered", late]);
    expect((await system.createPool(pool)).label).toBe("p");
    expect(sequences(engine)).toEqual([1, 1, 1, 1]);
    await system.createPool(pool);
    expect(engine.numbered.at(-1)).toMatchObject({ sequence: 2, firstIncomplete: 2 });
  });

  test("gives a change up after a while: it may have happened; what an engine remembers no number of at once", async () => {
    const { engine, system } = await open({ retryWindowMs: 0 });
    engine.mishaps.set(Opcode.poolCreate, ["lost"]);
    const error = await errorOf(system.createPool(pool));
    expect([error.code, error.message]).toEqual(["UNAVAILABLE", expect.stringContaining("may have happened")]);
    const patient = (await open()).engine;
    const admin = await patient.connect();
    cleanups.push(() => admin.close());
    patient.mishaps.set(Opcode.serverStop, ["lost"]);
    expect((await errorOf(admin.stop())).message).toContain("may have happened");
  });

  test("takes another number for a change whose first sending was too old, and no other one", async () => {
    const { engine, system } = await open();
    const old = { error: new DaosError("OLD_REQUEST", "forgotten") };
    engine.mishaps.set(Opcode.poolCreate, [old, old]);
    await system.createPool(pool);
    expect(sequences(engine)).toEqual([1, 2, 3]);
    engine.mishaps.set(Opcode.poolCreate, ["lost", old]);
    expect((await errorOf(system.createPool(pool))).code).toBe("OLD_REQUEST");
    expect(sequences(engine)).toEqual([1, 2, 3, 4, 4]);
  });

  test("puts the pages of a list together", async () => {
    const { system } = await open();
    expect((await system.listPools()).map(({ label }) => label)).toEqual(["a", "b", "c"]);
  });
});

test("answers that are not what was asked for are refused with PROTOCOL", async () => {
  const engine = new FakeEngine(5);
  const { network, timers } = engine.world;
  const replies: unknown[] = [
    { system: 1 },
    [],
    "text",
    { system: "s", software: "x", map: { version: 1, targets: [{}] } },
  ];
  const server = new RpcServer({
    network,
    timers,
    clock: engine.clock,
    host: HOST,
    port: 0,
    role: "management",
    software: "odd",
    handler: { handle: (_request, reply) => reply.send(encodeCbor(replies.shift())) },
  });
  cleanups.push(
    () => engine.close(),
    () => server.close(),
  );
  const system = await connect(engine.world, { system: `${HOST}:${server.port}`, interfaces: [kvInterface] });
  cleanups.push(() => system.close());
  for (let index = 0; index < 4; index += 1) expect(await codeOf(system.query())).toBe("PROTOCOL");
});
