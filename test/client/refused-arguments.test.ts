/** Arguments that type checks would have caught, from callers without any: refused before anything is sent or stored. */
import { afterEach, expect, test } from "bun:test";
import { DaosError } from "../../src/base/errors.ts";
import type { Key } from "../../src/base/key.ts";
import { MAX_ARRAY_BYTES, MAX_ARRAY_IO_BYTES, MAX_RECORD_BYTES } from "../../src/base/limits.ts";
import type { Container } from "../../src/client/index.ts";
import { Opcode } from "../../src/format/operations.ts";
import { codeOf, collect, FakeEngine } from "./fake-engine.ts";

const closing: (() => Promise<void>)[] = [];

async function openContainer(type: "kv" | "object" = "object"): Promise<{ engine: FakeEngine; container: Container }> {
  const engine = new FakeEngine(7, { type });
  const system = await engine.connect();
  closing.push(async () => {
    await system.close();
    await engine.close();
  });
  return { engine, container: await system.pool("tank").openContainer("box") };
}

afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

function done(engine: FakeEngine): number {
  return engine.targets.reduce((sum, target) => sum + [...target.done.values()].reduce((one, two) => one + two, 0), 0);
}

/** The error of a call, which may also be thrown at once. */
async function errorOf(run: () => Promise<unknown>): Promise<DaosError> {
  try {
    await run();
  } catch (error) {
    if (error instanceof DaosError) return error;
    throw error;
  }
  throw new Error("expected a failure");
}

const NO_BYTES = [
  "text",
  undefined,
  null,
  7,
  new ArrayBuffer(4),
  [1, 2],
  new Uint16Array(2),
] as unknown as Uint8Array[];

test("a range that is none is INVALID_ARGUMENT or TOO_LARGE, and the container works on", async () => {
  const { engine, container } = await openContainer();
  const object = container.object(container.newObjectId("MULTI_LEXICAL"));
  await object.update("d", "v", Buffer.from("x"));
  const before = done(engine);
  const whole = { recordIndex: 0, recordCount: 1, recordBytes: 1 };
  const wrong = [
    ...[-1, 1.5, NaN, Infinity, 2 ** 53, "0" as unknown as number].flatMap((value) => [
      { recordIndex: value },
      { recordCount: value },
      { recordBytes: value },
    ]),
    { recordBytes: 0 },
    { recordBytes: MAX_RECORD_BYTES + 1 },
  ];
  for (const change of wrong) {
    const range = { ...whole, ...change };
    expect([change, await codeOf(object.readArray("d", "a", range))]).toEqual([change, "INVALID_ARGUMENT"]);
    expect([change, await codeOf(object.punchArray("d", "a", range))]).toEqual([change, "INVALID_ARGUMENT"]);
    if ("recordCount" in change) continue;
    expect([change, await codeOf(object.writeArray("d", "a", range, Buffer.alloc(8)))]).toEqual([
      change,
      "INVALID_ARGUMENT",
    ]);
  }
  const beyond = { recordIndex: MAX_ARRAY_BYTES, recordBytes: 1 };
  expect(await codeOf(object.readArray("d", "a", { ...beyond, recordCount: 1 }))).toBe("TOO_LARGE");
  expect(await codeOf(object.punchArray("d", "a", { ...beyond, recordCount: 1 }))).toBe("TOO_LARGE");
  expect(await codeOf(object.writeArray("d", "a", beyond, Buffer.alloc(1)))).toBe("TOO_LARGE");
  for (const epoch of [-1, 1.5, NaN, 2 ** 53, "1"] as never[]) {
    expect(await codeOf(object.fetch("d", "v", { epoch }))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(object.readArray("d", "a", whole, { epoch }))).toBe("INVALID_ARGUMENT");
  }
  expect(done(engine)).toBe(before);
  expect(Buffer.from((await object.fetch("d", "v"))!.value).toString()).toBe("x");
});

test("a transaction reads no more of an array at a time than a request does, whatever memory there is", async () => {
  const { engine, container } = await openContainer();
  const before = done(engine);
  const object = container.transaction().object(container.newObjectId("MULTI_LEXICAL"));
  for (const recordCount of [MAX_ARRAY_IO_BYTES + 1, MAX_ARRAY_BYTES]) {
    const range = { recordIndex: 0, recordCount, recordBytes: 1 };
    expect(await codeOf(object.readArray("d", "a", range))).toBe("TOO_LARGE");
    await object.punchAkey("d", "gone");
    expect(await codeOf(object.readArray("d", "gone", range))).toBe("TOO_LARGE");
  }
  expect(done(engine)).toBe(before);
});

test("values that are no Uint8Array are INVALID_ARGUMENT and nothing is stored", async () => {
  const { engine, container } = await openContainer();
  const object = container.object(container.newObjectId("MULTI_LEXICAL"));
  const array = container.array(container.newObjectId("ARRAY_BYTE"));
  const kv = (await openContainer("kv")).container.kv();
  for (const bytes of NO_BYTES) {
    const at = { recordIndex: 0, recordBytes: 1 };
    const calls = [
      () => object.update("d", "a", bytes),
      () => object.writeArray("d", "a", at, bytes),
      () => kv.put("k", bytes),
      () => array.write(0, bytes),
      () => array.readInto(0, bytes),
      () => array.writeStream([bytes]),
    ];
    for (const call of calls) {
      const error = await errorOf(call);
      expect([bytes, error.code]).toEqual([bytes, "INVALID_ARGUMENT"]);
      expect(error.message).toContain("Uint8Array");
    }
  }
  expect(await codeOf(array.writeStream("text" as never))).toBe("INVALID_ARGUMENT");
  expect(await kv.get("k")).toBeUndefined();
  for (const opcode of [Opcode.arrayWrite]) {
    expect(engine.targets.every((target) => target.count(opcode) === 0)).toBe(true);
  }
  await object.update("d", "a", Buffer.from("fine"));
});

test("unknown conditions are INVALID_ARGUMENT wherever one can be given", async () => {
  const { engine, container } = await openContainer();
  const object = container.object(container.newObjectId("MULTI_LEXICAL"));
  const kv = (await openContainer("kv")).container.kv();
  const before = done(engine);
  for (const condition of ["ifexists", "", null, 1, true] as never[]) {
    const options = { condition };
    expect(await codeOf(object.update("d", "a", Buffer.alloc(1), options))).toBe("INVALID_ARGUMENT");
    expect(
      await codeOf(object.writeArray("d", "a", { recordIndex: 0, recordBytes: 1 }, Buffer.alloc(1), options)),
    ).toBe("INVALID_ARGUMENT");
    expect(await codeOf(object.punch(options))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(object.punchDkey("d", options))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(object.punchAkey("d", "a", options))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(kv.put("k", Buffer.alloc(1), options))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(kv.delete("k", options))).toBe("INVALID_ARGUMENT");
  }
  expect(await codeOf(object.punchAkey("d", "a", { condition: "ifAbsent" }))).toBe("INVALID_ARGUMENT");
  expect(await codeOf(object.punch({ condition: "ifAbsent" }))).toBe("INVALID_ARGUMENT");
  expect(done(engine)).toBe(before);
  await object.update("d", "a", Buffer.alloc(1), { condition: "always" });
});

test("keys that are neither text nor bytes are INVALID_ARGUMENT", async () => {
  const { container } = await openContainer();
  const object = container.object(container.newObjectId("MULTI_LEXICAL"));
  const kv = (await openContainer("kv")).container.kv();
  for (const key of [7, undefined, null, {}, [1], true, new ArrayBuffer(3)] as unknown as Key[]) {
    const calls = [
      () => object.fetch(key, "a"),
      () => object.update("d", key, Buffer.alloc(1)),
      () => object.punchDkey(key),
      () => collect(object.listAkeys(key)),
      () => kv.get(key),
      () => kv.put(key, Buffer.alloc(9 * 1024 * 1024)),
      () => kv.put(key, Buffer.alloc(1)),
      () => kv.delete(key),
    ];
    for (const call of calls) {
      const error = await errorOf(call);
      expect([key, error.code]).toEqual([key, "INVALID_ARGUMENT"]);
      expect(error.message).toContain("Uint8Array");
    }
  }
});
