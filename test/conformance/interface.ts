/**
 * What every interface plugin must do. Call `interfaceConformance` first in the plugin's test. Container types whose
 * data model stands in src/contracts have it checked too: `kv` must behave as KeyValue says.
 */
import { describe, expect, test } from "bun:test";
import { byteString, byteStringOfText, bytesOf } from "../../src/base/bytes.ts";
import type { ByteString } from "../../src/base/bytes.ts";
import { MAX_DKEY_BYTES, MAX_SINGLE_VALUE_BYTES } from "../../src/base/limits.ts";
import type { InterfaceProvider } from "../../src/contracts/interface.ts";
import type { KeyValue, KeyValueListOptions } from "../../src/contracts/key-value.ts";
import { MemoryObjectAccess } from "./memory-object-access.ts";
import { expectBytes, expectCode, pattern } from "./support.ts";

export function interfaceConformance(name: string, makeProvider: () => InterfaceProvider): void {
  const { containerTypes } = makeProvider();
  describe(`interface ${name}`, () => {
    test("it names its container types, each once, lower case", () => {
      expect(containerTypes.length).toBeGreaterThan(0);
      expect(new Set(containerTypes).size).toBe(containerTypes.length);
      for (const type of containerTypes) expect(type).toMatch(/^[a-z][a-z0-9-]*$/);
    });
    for (const type of containerTypes) {
      test(`${type}: opening gives an object and touches nothing in the container`, () => {
        const access = new MemoryObjectAccess(type);
        const model = makeProvider().open(access);
        expect(typeof model).toBe("object");
        expect(model).not.toBeNull();
        expect(access.calls).toBe(0);
      });
    }
    if (containerTypes.includes("kv")) keyValueTests(() => openKeyValue(makeProvider()));
  });
}

interface OpenKeyValue {
  readonly kv: KeyValue;
  readonly access: MemoryObjectAccess;
}

function openKeyValue(provider: InterfaceProvider): OpenKeyValue {
  const access = new MemoryObjectAccess("kv");
  return { kv: provider.open(access) as KeyValue, access };
}

async function listed(kv: KeyValue, options?: KeyValueListOptions): Promise<ByteString[]> {
  const keys: ByteString[] = [];
  for await (const key of kv.list(options)) keys.push(byteString(key));
  return keys;
}

function keyValueTests(open: () => OpenKeyValue): void {
  valueTests(open);
  conditionTests(open);
  listTests(open);
  limitTests(open);
}

function valueTests(open: () => OpenKeyValue): void {
  test("kv: what was put is got, with the epoch of the put", async () => {
    const { kv } = open();
    const epoch = await kv.put("key", pattern(100, 1));
    const got = await kv.get("key");
    expectBytes(got!.value, pattern(100, 1));
    expect(got!.epoch).toBe(epoch);
  });

  test("kv: a put replaces, a delete removes, what was never put is absent", async () => {
    const { kv } = open();
    expect(await kv.get("key")).toBeUndefined();
    const first = await kv.put("key", pattern(10, 1));
    const second = await kv.put("key", pattern(5, 2));
    expect(second).toBeGreaterThan(first);
    expectBytes((await kv.get("key"))!.value, pattern(5, 2));
    await kv.delete("key");
    expect(await kv.get("key")).toBeUndefined();
    await kv.delete("key");
  });

  test("kv: keys are text or bytes, the same for the same bytes; empty keys and values are legal", async () => {
    const { kv } = open();
    await kv.put("größe", pattern(3, 1));
    expectBytes((await kv.get(Buffer.from("größe")))!.value, pattern(3, 1));
    await kv.put(new Uint8Array([0, 255, 0]), pattern(4, 2));
    expectBytes((await kv.get(new Uint8Array([0, 255, 0])))!.value, pattern(4, 2));
    await kv.put("", new Uint8Array());
    expect((await kv.get(""))!.value.length).toBe(0);
    expect(await kv.get("\0")).toBeUndefined();
  });

  test("kv: a read at an epoch sees what was then", async () => {
    const { kv } = open();
    const first = await kv.put("a", pattern(1, 1));
    const second = await kv.put("a", pattern(1, 2));
    await kv.delete("a");
    expectBytes((await kv.get("a", { epoch: first }))!.value, pattern(1, 1));
    expectBytes((await kv.get("a", { epoch: second }))!.value, pattern(1, 2));
    expect(await listed(kv, { epoch: second })).toEqual([byteStringOfText("a")]);
    expect(await listed(kv)).toEqual([]);
  });
}

function conditionTests(open: () => OpenKeyValue): void {
  test("kv: conditions hold or reject, and a rejected change changes nothing", async () => {
    const { kv } = open();
    await expectCode("DOES_NOT_EXIST", () => kv.put("a", pattern(1, 1), { condition: "ifExists" }));
    await kv.put("a", pattern(1, 2), { condition: "ifAbsent" });
    await expectCode("ALREADY_EXISTS", () => kv.put("a", pattern(1, 3), { condition: "ifAbsent" }));
    expectBytes((await kv.get("a"))!.value, pattern(1, 2));
    await kv.put("a", pattern(1, 4), { condition: "ifExists" });
    await kv.delete("a", { condition: "ifExists" });
    await expectCode("DOES_NOT_EXIST", () => kv.delete("a", { condition: "ifExists" }));
    await kv.put("a", pattern(1, 5), { condition: "ifAbsent" });
    expectBytes((await kv.get("a"))!.value, pattern(1, 5));
  });

  test("kv: a signal that has fired cancels: CANCELED", async () => {
    const { kv } = open();
    const signal = AbortSignal.abort();
    await expectCode("CANCELED", () => kv.put("a", pattern(1, 1), { signal }));
    await expectCode("CANCELED", () => kv.get("a", { signal }));
    await expectCode("CANCELED", () => listed(kv, { signal }));
  });
}

function listTests(open: () => OpenKeyValue): void {
  test("kv: a list has the keys in byte order, by prefix, after, and limit", async () => {
    const { kv } = open();
    const names = ["b", "a", "a/1", "a/2", "a0", "é", "z"];
    for (const name of names) await kv.put(name, pattern(1, 1));
    const ordered = names.map(byteStringOfText).toSorted();
    expect(await listed(kv)).toEqual(ordered);
    expect(await listed(kv, { prefix: "a" })).toEqual(ordered.filter((key) => key.startsWith("a")));
    expect(await listed(kv, { after: "a0" })).toEqual(ordered.filter((key) => key > "a0"));
    expect(await listed(kv, { prefix: "a/", after: "a/1" })).toEqual([byteStringOfText("a/2")]);
    expect(await listed(kv, { limit: 3 })).toEqual(ordered.slice(0, 3));
    expect(await listed(kv, { limit: 0 })).toEqual([]);
    expect(await listed(kv, { prefix: "none" })).toEqual([]);
    await expectCode("INVALID_ARGUMENT", () => listed(kv, { limit: -1 }));
  });

  test("kv: a list of many keys is fetched page by page and complete", async () => {
    const { kv, access } = open();
    const count = 3000;
    for (let index = 0; index < count; index += 1) await kv.put(`key-${String(index).padStart(5, "0")}`, pattern(1, 1));
    const before = access.calls;
    const keys = await listed(kv);
    expect(keys.length).toBe(count);
    expect(keys).toEqual(keys.toSorted());
    const pages = access.calls - before;
    expect(pages).toBeGreaterThan(1);
    expect(pages).toBeLessThan(count / 100);
    expect((await listed(kv, { limit: 1500 })).length).toBe(1500);
  });

  test("kv: a list that is left early asks for no more", async () => {
    const { kv, access } = open();
    for (let index = 0; index < 2000; index += 1) await kv.put(`key-${index}`, pattern(1, 1));
    const before = access.calls;
    for await (const key of kv.list()) {
      expect(key.length).toBeGreaterThan(0);
      break;
    }
    expect(access.calls - before).toBe(1);
  });
}

function limitTests(open: () => OpenKeyValue): void {
  test("kv: a key at the limit works, one byte more does not", async () => {
    const { kv } = open();
    const longest = "k".repeat(MAX_DKEY_BYTES);
    await kv.put(longest, pattern(1, 1));
    expectBytes((await kv.get(longest))!.value, pattern(1, 1));
    for (const call of [
      () => kv.put(`${longest}k`, pattern(1, 1)),
      () => kv.get(`${longest}k`),
      () => kv.delete(`${longest}k`),
    ]) {
      await expectCode("TOO_LARGE", call);
    }
  });

  test("kv: a value at the limit works, one byte more is refused before anything is sent", async () => {
    const { kv, access } = open();
    const largest = new Uint8Array(MAX_SINGLE_VALUE_BYTES);
    await kv.put("a", largest);
    expect((await kv.get("a"))!.value.length).toBe(MAX_SINGLE_VALUE_BYTES);
    const before = access.calls;
    await expectCode("TOO_LARGE", () => kv.put("b", new Uint8Array(MAX_SINGLE_VALUE_BYTES + 1)));
    expect(access.calls).toBe(before);
    expect(bytesOf((await listed(kv))[0]!).length).toBe(1);
  });
}
