/** Containers over a fake engine: values, keys, arrays, snapshots, over one target and several. */
import { afterEach, describe, expect, test } from "bun:test";
import { byteStringOfText, bytesOf } from "../../src/base/bytes.ts";
import { MAX_SINGLE_VALUE_BYTES } from "../../src/base/limits.ts";
import { formatObjectId, objectClassOf, objectIdFromBytes } from "../../src/base/object-id.ts";
import { Opcode } from "../../src/format/operations.ts";
import type { Container, System } from "../../src/client/index.ts";
import { codeOf, collect, FakeEngine, type FakeEngineOptions, pattern, textOf } from "./fake-engine.ts";

const open: { engine: FakeEngine; system: System }[] = [];

async function openContainer(
  options: FakeEngineOptions = {},
  readOnly = false,
): Promise<{ engine: FakeEngine; container: Container }> {
  const engine = new FakeEngine(7, options);
  const system = await engine.connect();
  open.push({ engine, system });
  return { engine, container: await system.pool("tank").openContainer("box", { readOnly }) };
}

afterEach(async () => {
  for (const { engine, system } of open.splice(0)) {
    await system.close();
    await engine.close();
  }
});

describe.each([1, 4])("a container of %i targets", (targets) => {
  test("kv: puts, gets, deletes and lists in order", async () => {
    const { engine, container } = await openContainer({ targets });
    const kv = container.kv();
    const names = Array.from({ length: 60 }, (_unused, index) => `key ${String(index).padStart(2, "0")}`);
    const epochs = await Promise.all(names.map((name) => kv.put(name, Buffer.from(`value of ${name}`))));
    const got = await kv.get("key 07");
    expect(textOf(got!.value)).toBe("value of key 07");
    expect(got!.epoch).toBe(epochs[7]!);
    expect(await kv.get("nothing")).toBeUndefined();
    await kv.delete("key 07");
    expect(await kv.get("key 07")).toBeUndefined();
    const listed = (await collect(kv.list())).map(textOf);
    expect(listed).toEqual(names.filter((name) => name !== "key 07"));
    const some = (await collect(kv.list({ prefix: "key 1", after: "key 13", limit: 4 }))).map(textOf);
    expect(some).toEqual(["key 14", "key 15", "key 16", "key 17"]);
    const holding = engine.targets.filter((target) => target.objects.size > 0);
    expect(holding.length).toBe(targets);
  });

  test("values that were got stay as they were", async () => {
    const { container } = await openContainer({ targets });
    const kv = container.kv();
    const sizes = [...Array(40).keys()].map((index) => index * index * 20);
    await Promise.all(sizes.map((size, index) => kv.put(`k${index}`, pattern(size, index))));
    const first = await Promise.all(sizes.map((_size, index) => kv.get(`k${index}`)));
    await Promise.all(sizes.map((_size, index) => kv.get(`k${39 - index}`)));
    for (const [index, found] of first.entries())
      expect(Buffer.compare(found!.value, pattern(sizes[index]!, index))).toBe(0);
  });

  test("values and keys: empty, binary, at and over the limits", async () => {
    const { container } = await openContainer({ targets });
    const kv = container.kv();
    await kv.put("", new Uint8Array(0));
    expect((await kv.get(""))!.value.length).toBe(0);
    const binary = new Uint8Array([0, 255, 128, 0]);
    await kv.put(binary, binary);
    expect((await kv.get(binary))!.value).toEqual(binary);
    await kv.put("ключ", Buffer.from("utf"));
    expect(textOf((await kv.get(Buffer.from("ключ")))!.value)).toBe("utf");
    const long = "x".repeat(512);
    await kv.put(long, pattern(10));
    expect((await kv.get(long))!.value).toEqual(pattern(10));
    expect(await codeOf(kv.put(`${long}x`, pattern(1)))).toBe("TOO_LARGE");
    expect(await codeOf(kv.get("\ud800"))).toBe("INVALID_ARGUMENT");
    expect(await codeOf(kv.put("big", new Uint8Array(MAX_SINGLE_VALUE_BYTES + 1)))).toBe("TOO_LARGE");
    const largest = pattern(MAX_SINGLE_VALUE_BYTES);
    await kv.put("big", largest);
    expect(Buffer.compare((await kv.get("big"))!.value, largest)).toBe(0);
  });

  test("conditions fail with their codes and change nothing", async () => {
    const { container } = await openContainer({ targets });
    const kv = container.kv();
    expect(await codeOf(kv.put("a", pattern(1), { condition: "ifExists" }))).toBe("DOES_NOT_EXIST");
    await kv.put("a", pattern(2), { condition: "ifAbsent" });
    expect(await codeOf(kv.put("a", pattern(3), { condition: "ifAbsent" }))).toBe("ALREADY_EXISTS");
    expect((await kv.get("a"))!.value).toEqual(pattern(2));
    expect(await codeOf(kv.delete("b", { condition: "ifExists" }))).toBe("DOES_NOT_EXIST");
  });

  test("arrays: any length and place, size, resize, punch", async () => {
    const { container } = await openContainer({ targets, type: "object", chunkBytes: 4096 });
    const array = container.array(container.newObjectId("ARRAY_BYTE"));
    expect(await array.size()).toBe(0);
    expect(await array.read(10, 4)).toEqual(new Uint8Array(4));
    const bytes = pattern(50_000);
    await array.write(1234, bytes);
    expect(await array.size()).toBe(51_234);
    expect(await array.read(1234, 50_000)).toEqual(bytes);
    expect(await array.read(0, 1300)).toEqual(Uint8Array.from([...new Uint8Array(1234), ...bytes.subarray(0, 66)]));
    await array.setSize(20_000);
    expect(await array.size()).toBe(20_000);
    expect(await array.read(19_990, 20)).toEqual(
      Uint8Array.from([...bytes.subarray(18_756, 18_766), ...new Uint8Array(10)]),
    );
    await array.setSize(30_000);
    expect(await array.size()).toBe(30_000);
    await array.punch(4000, 12_000);
    expect(await array.read(3990, 12_020)).toEqual(
      Uint8Array.from([...bytes.subarray(2756, 2766), ...new Uint8Array(12_000), ...bytes.subarray(14_766, 14_776)]),
    );
    expect(await array.size()).toBe(30_000);
    await array.setSize(0);
    expect(await array.size()).toBe(0);
  });

  test("records that were read stay as they were", async () => {
    const { container } = await openContainer({ targets, type: "object" });
    const array = container.array(container.newObjectId("ARRAY_BYTE"));
    await array.write(0, pattern(100_000));
    const starts = [...Array(50).keys()].map((index) => index * 1999);
    const read = await Promise.all(starts.map((start) => array.read(start, 1000)));
    await Promise.all(starts.map((start) => array.read(99_000 - start, 1000)));
    for (const [index, bytes] of read.entries()) {
      expect(Buffer.compare(bytes, pattern(100_000).subarray(starts[index]!, starts[index]! + 1000))).toBe(0);
    }
  });

  test("large reads, into memory that is used again, do not disturb each other", async () => {
    const { container } = await openContainer({ targets, type: "object", chunkBytes: 65_536 });
    const array = container.array(container.newObjectId("ARRAY_BYTE"));
    const bytes = pattern(1_000_000);
    await array.write(0, bytes);
    await array.punch(131_072, 65_536);
    bytes.fill(0, 131_072, 196_608);
    const into = new Uint8Array(300_000).fill(0xaa);
    const starts = [0, 100_000, 650_000, 1];
    const kept = await array.read(65_536, 65_536);
    for (let round = 0; round < 3; round += 1) {
      const read = await Promise.all(starts.map((start) => array.read(start, 350_000)));
      for (const [index, found] of read.entries()) {
        expect(Buffer.compare(found, bytes.subarray(starts[index]!, starts[index]! + 350_000))).toBe(0);
      }
      await array.readInto(round * 100_000, into);
      expect(Buffer.compare(into, bytes.subarray(round * 100_000, round * 100_000 + 300_000))).toBe(0);
    }
    expect(Buffer.compare(kept, bytes.subarray(65_536, 131_072))).toBe(0);
  });

  test("array streams give back what went in, whatever the pieces", async () => {
    const { container } = await openContainer({ targets, type: "object" });
    const id = container.newObjectId("ARRAY_BYTE");
    const bytes = pattern(3_300_000);
    const reused = new Uint8Array(70_001);
    function* pieces(): Generator<Uint8Array> {
      for (let at = 0; at < bytes.length; at += reused.length) {
        const part = bytes.subarray(at, at + reused.length);
        reused.set(part);
        yield reused.subarray(0, part.length);
      }
    }
    expect(await container.array(id).writeStream(pieces(), { offset: 100 })).toBe(bytes.length);
    const array = container.array(id);
    expect(await array.size()).toBe(bytes.length + 100);
    const read = Buffer.concat(await collect(array.readStream({ offset: 100 })));
    expect(Buffer.compare(read, bytes)).toBe(0);
    const middle = Buffer.concat(await collect(array.readStream({ offset: 1_000_100, length: 70 })));
    expect(Buffer.compare(middle, bytes.subarray(1_000_000, 1_000_070))).toBe(0);
    expect(await collect(array.readStream({ offset: 9e9 }))).toEqual([]);
    for await (const piece of array.readStream()) {
      expect(piece.length).toBe(1 << 20);
      break;
    }
  });

  test("objects are listed once, punched everywhere, and found by key query", async () => {
    const { container } = await openContainer({ targets, type: "object" });
    const ids = Array.from({ length: 12 }, () => container.newObjectId("MULTI_LEXICAL"));
    for (const id of ids) {
      const object = container.object(id);
      for (const dkey of ["a", "b", "c", "d", "e", "f", "g"]) await object.update(dkey, "x", pattern(3));
    }
    expect(await collect(container.listObjects())).toEqual(ids.toSorted());
    const object = container.object(ids[3]!);
    expect((await collect(object.listDkeys({ after: "b", limit: 3 }))).map(textOf)).toEqual(["c", "d", "e"]);
    expect((await collect(object.listAkeys("c"))).map(textOf)).toEqual(["x"]);
    expect(textOf((await object.queryKey({ direction: "max", levels: ["dkey"] }))!.dkey!)).toBe("g");
    expect(textOf((await object.queryKey({ direction: "min", levels: ["dkey"] }))!.dkey!)).toBe("a");
    await object.punch({ condition: "ifExists" });
    expect(await collect(object.listDkeys())).toEqual([]);
    expect(await codeOf(object.punch({ condition: "ifExists" }))).toBe("DOES_NOT_EXIST");
    expect(await object.queryKey({ direction: "max", levels: ["dkey"] })).toBeUndefined();
  });
});

describe("Container", () => {
  test("reads at a snapshot what was there, and writes nothing", async () => {
    const { container } = await openContainer();
    const kv = container.kv();
    await kv.put("a", pattern(1));
    const snapshot = await container.createSnapshot("monday");
    await kv.put("a", pattern(2));
    for (const moment of ["monday", snapshot.epoch] as const) {
      const view = await container.at(moment);
      expect((await view.kv().get("a"))!.value).toEqual(pattern(1));
      expect(await codeOf(view.kv().put("a", pattern(3)))).toBe("PERMISSION");
    }
    expect((await kv.get("a"))!.value).toEqual(pattern(2));
    expect((await kv.get("a", { epoch: snapshot.epoch }))!.value).toEqual(pattern(1));
    expect(await codeOf(container.at("tuesday"))).toBe("NOT_FOUND");
  });

  test("refuses writes when opened read-only, before anything is sent", async () => {
    const { engine, container } = await openContainer({}, true);
    expect(await codeOf(container.kv().put("a", pattern(1)))).toBe("PERMISSION");
    expect(engine.target.count(Opcode.attach)).toBe(0);
  });

  test("kv() is for containers of type kv", async () => {
    const { container } = await openContainer({ type: "object" });
    expect(() => container.kv()).toThrow("--type kv");
  });

  test("new ids carry type and class and do not repeat", async () => {
    const { container } = await openContainer({ objectClass: "S2" });
    const ids = Array.from({ length: 100 }, () => container.newObjectId("ARRAY_BYTE"));
    expect(new Set(ids).size).toBe(100);
    expect(objectClassOf(ids[0]!).name).toBe("S2");
    expect(objectClassOf(container.newObjectId("ARRAY", "S4")).name).toBe("S4");
    expect(formatObjectId(ids[0]!).startsWith("0d01")).toBe(true);
    expect(() => container.object(objectIdFromBytes(new Uint8Array(16)))).toThrow("object class");
  });
});

describe("array attributes", () => {
  test("are stored with the array and hold whatever the next one asks for", async () => {
    const { container } = await openContainer({ type: "object" });
    const id = container.newObjectId("ARRAY");
    await container.array(id, { chunkBytes: 8192, recordBytes: 8 }).write(3, pattern(80_000));
    const again = container.array(id);
    expect(await again.size()).toBe(10_003);
    expect([again.chunkBytes, again.recordBytes]).toEqual([8192, 8]);
    expect(await again.read(3, 10_000)).toEqual(pattern(80_000));
    expect(await codeOf(container.array(id, { chunkBytes: 4096 }).size())).toBe("INVALID_ARGUMENT");
    expect(await codeOf(again.write(0, pattern(7)))).toBe("INVALID_ARGUMENT");
    expect(() => container.array(id, { chunkBytes: 4097, recordBytes: 2 })).toThrow("no multiple");
  });

  test("two that begin the same array at once agree", async () => {
    const { container } = await openContainer({ type: "object" });
    const id = container.newObjectId("ARRAY_BYTE");
    const one = container.array(id);
    const other = container.array(id);
    await Promise.all([one.write(0, pattern(100)), other.write(100, pattern(100, 9))]);
    expect(await one.read(0, 200)).toEqual(Uint8Array.from([...pattern(100), ...pattern(100, 9)]));
  });

  test("two that begin the same array with other sizes do not mix: one is refused", async () => {
    const { container } = await openContainer({ type: "object" });
    const id = container.newObjectId("ARRAY_BYTE");
    const writes = [4096, 8192].map((chunkBytes) =>
      codeOf(container.array(id, { chunkBytes }).write(0, pattern(10_000))),
    );
    expect((await Promise.all(writes)).toSorted()).toEqual(["INVALID_ARGUMENT", "none"]);
    const array = container.array(id);
    expect(await array.read(0, 10_000)).toEqual(pattern(10_000));
  });

  test("a damaged record is refused", async () => {
    const { container } = await openContainer({ type: "object" });
    const id = container.newObjectId("ARRAY_BYTE");
    await container
      .object(id)
      .update(bytesOf("\0".repeat(8)), bytesOf(byteStringOfText("daos_array_metadata")), pattern(32));
    expect(await codeOf(container.array(id).read(0, 10))).toBe("CORRUPT");
  });
});
