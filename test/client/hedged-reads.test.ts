/** Copies of which one does not answer: what is asked besides, whom the next reads ask, and how much is sent twice. */
import { afterEach, expect, test } from "bun:test";
import { objectClassByName } from "../../src/base/object-class.ts";
import { objectId } from "../../src/base/object-id.ts";
import type { Container } from "../../src/client/index.ts";
import { Opcode } from "../../src/format/operations.ts";
import { FakeEngine, pattern } from "./fake-engine.ts";
import type { FakeTarget } from "./fake-target.ts";

const cleanups: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

const VALUE = pattern(10);

interface Opened {
  readonly engine: FakeEngine;
  readonly container: Container;
  /** That the client asks first. */
  readonly first: FakeTarget;
  readonly fetches: () => number[];
  readonly pause: (ms: number) => Promise<void>;
}

/** What one target has all have. */
function share({ targets }: FakeEngine): void {
  const all = targets.flatMap(({ objects }) => [...objects]);
  for (const { objects } of targets) for (const [oid, dkeys] of all) objects.set(oid, dkeys);
}

/** Three copies of a value. */
async function opened(type: "kv" | "object" = "kv"): Promise<Opened> {
  const engine = new FakeEngine(3, { targets: 3, isSpread: true, type, objectClass: "RP_3G1" });
  cleanups.push(() => engine.close());
  // No time limit is to end anything here.
  const system = await engine.connect({ timeoutMs: 300_000, retryWindowMs: 300_000 });
  cleanups.push(() => system.close());
  const container = await system.pool("tank").openContainer("box");
  if (type === "kv") {
    await container.kv().put("a", VALUE);
    share(engine);
    await container.kv().get("a");
  }
  const fetches = (): number[] => engine.targets.map((target) => target.count(Opcode.valueFetch));
  const first = engine.targets.find((target) => target.count(Opcode.valueFetch) > 0) ?? engine.target;
  const pause = (ms: number): Promise<void> => new Promise((resolve) => void engine.world.timers.after(ms, resolve));
  return { engine, container, first, fetches, pause };
}

test("a read that is not answered is answered by another copy, and the next ones do not wait for that target", async () => {
  // No time limit ends anything here: only another copy does.
  const { engine, container, first, fetches } = await opened();
  first.hang();
  const before = fetches();
  expect((await container.kv().get("a"))!.value).toEqual(VALUE);
  const sinceNs = engine.world.clock.monotonicNs();
  for (let count = 0; count < 20; count += 1) expect((await container.kv().get("a"))!.value).toEqual(VALUE);
  const tookMs = (engine.world.clock.monotonicNs() - sinceNs) / 1e6;
  const asked = fetches().map((count, index) => count - before[index]!);
  expect(asked[engine.targets.indexOf(first)]).toBe(0);
  expect(asked.reduce((sum, count) => sum + count)).toBe(21);
  expect(tookMs).toBeLessThan(20);
});

test("a target that answers a probe is asked first again", async () => {
  const { container, first, pause } = await opened();
  first.hang();
  await container.kv().get("a");
  first.goOn();
  // The probe that it was sent while it stood still took long, or it was sent none.
  const before = first.count(Opcode.valueFetch);
  for (let count = 0; first.count(Opcode.valueFetch) < before + 10; count += 1) {
    expect(count).toBeLessThan(100);
    await container.kv().get("a");
    await pause(100);
  }
  const others = first.count(Opcode.valueFetch);
  for (let count = 0; count < 20; count += 1) await container.kv().get("a");
  expect(first.count(Opcode.valueFetch)).toBe(others + 20);
});

test("memory that the caller reads into is not written to by the target that was late", async () => {
  const { engine, container, pause } = await opened("object");
  const bytes = pattern(100_000);
  const array = container.array(objectId("ARRAY_BYTE", objectClassByName("RP_3G1"), 0, 1n));
  await array.write(0, bytes);
  const into = new Uint8Array(bytes.length);
  share(engine);
  await array.readInto(0, into);
  const first = engine.targets.find((target) => target.count(Opcode.arrayRead) > 0)!;
  first.hang();
  into.fill(0);
  await array.readInto(0, into);
  expect(Buffer.compare(into, bytes)).toBe(0);
  into.fill(1);
  first.goOn();
  await pause(100);
  expect(first.count(Opcode.arrayRead)).toBe(2);
  expect(into.every((byte) => byte === 1)).toBe(true);
});

test("few of the reads are sent twice to targets that answer something, however late they are", async () => {
  const { container, first, fetches, pause } = await opened();
  for (let count = 0; count < 100; count += 1) await container.kv().get("a");
  const before = fetches().reduce((sum, count) => sum + count);
  first.hang();
  const reads = 600;
  const slow = Promise.all(Array.from({ length: reads }, () => container.kv().get("a")));
  await pause(200);
  first.goOn();
  await slow;
  await pause(10);
  const sentTwice = fetches().reduce((sum, count) => sum + count) - before - reads;
  expect(sentTwice).toBeGreaterThan(0);
  expect(sentTwice).toBeLessThanOrEqual(32 + reads / 20);
});

test("an update is sent to the new leader when its leader is out of service and does not answer", async () => {
  const { engine, container } = await opened();
  const counts = engine.targets.map((target) => target.count(Opcode.valueUpdate));
  const leader = counts.indexOf(Math.max(...counts));
  engine.targets[leader]!.hang();
  const put = container.kv().put("a", pattern(20));
  await new Promise<void>((resolve) => void engine.world.timers.after(4_000, resolve));
  engine.down.add(leader);
  engine.renewMap();
  await put;
  expect((await container.kv().get("a"))!.value.length).toBe(20);
});
