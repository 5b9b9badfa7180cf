/** Suite `K` (KV API) of daos_test, on every kind of class. See docs/scenarios.md. */
import { expect, test } from "bun:test";
import { CLASSES, codeOf, forEachClass, pattern, text, texts } from "./scenario-rig.ts";

test("put, get, delete and list, one after the other", async () => {
  await forEachClass(CLASSES, async (rig, className) => {
    const kv = rig.kv(className);
    for (const size of [0, 10, 4_096, 30_000]) await kv.put(`key ${size}`, pattern(size, size));
    for (const size of [0, 10, 4_096, 30_000]) {
      expect(Buffer.compare((await kv.get(`key ${size}`))!.value, pattern(size, size))).toBe(0);
    }
    await kv.put("key 10", Buffer.from("anew"));
    await kv.delete("key 4096");
    expect(text(await kv.get("key 10"))).toBe("anew");
    expect(await kv.get("key 4096")).toBeUndefined();
    expect(await texts(kv.list())).toEqual(["key 0", "key 10", "key 30000"]);
  });
});

test("put, get, delete and list with many under way at once", async () => {
  await forEachClass(CLASSES, async (rig, className) => {
    const kv = rig.kv(className);
    const keys = Array.from({ length: 80 }, (_, index) => `key ${String(index).padStart(2, "0")}`);
    await Promise.all(keys.map((key, index) => kv.put(key, pattern(index * 60, index))));
    const found = await Promise.all(keys.map((key) => kv.get(key)));
    for (const [index, value] of found.entries()) {
      expect(Buffer.compare(value!.value, pattern(index * 60, index))).toBe(0);
    }
    await Promise.all(keys.filter((_, index) => index % 2 === 0).map((key) => kv.delete(key)));
    expect(await texts(kv.list())).toEqual(keys.filter((_, index) => index % 2 === 1));
    expect(await texts(kv.list({ prefix: "key 2", limit: 3 }))).toEqual(["key 21", "key 23", "key 25"]);
  });
});

test("conditional ops: of several inserts at once one wins, and nobody else's value is there", async () => {
  await forEachClass(CLASSES, async (rig, className) => {
    const kv = rig.kv(className);
    expect(await codeOf(kv.put("k", pattern(1), { condition: "ifExists" }))).toBe("DOES_NOT_EXIST");
    expect(await codeOf(kv.delete("k", { condition: "ifExists" }))).toBe("DOES_NOT_EXIST");
    const numbers = [0, 1, 2, 3];
    const outcomes = await Promise.all(
      numbers.map((number) => codeOf(kv.put("k", Buffer.from(`${number}`), { condition: "ifAbsent" }))),
    );
    expect(outcomes.toSorted()).toEqual(["ALREADY_EXISTS", "ALREADY_EXISTS", "ALREADY_EXISTS", "ok"]);
    expect(text(await kv.get("k"))).toBe(String(outcomes.indexOf("ok")));
    expect(await codeOf(kv.put("k", Buffer.from("other"), { condition: "ifExists" }))).toBe("ok");
    expect(await codeOf(kv.delete("k", { condition: "ifExists" }))).toBe("ok");
    expect(await kv.get("k")).toBeUndefined();
  });
});
