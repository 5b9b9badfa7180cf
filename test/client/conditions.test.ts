/** Conditions at each level: the flags they become, what each operation refuses, and how they end. */
import { expect, test } from "bun:test";
import { DaosError } from "../../src/base/errors.ts";
import { AllowedConditions, conditionFlags, type LevelConditions } from "../../src/client/condition-flags.ts";
import { ObjectFlag } from "../../src/format/object-request.ts";
import { FETCH_FLAGS, UPDATE_FLAGS } from "../../src/vos/condition.ts";
import { codeOf, FakeEngine } from "./fake-engine.ts";

function refusal(condition: unknown, conditions: unknown, allowed: number): string {
  try {
    conditionFlags(condition as never, "akey", conditions as never, allowed);
  } catch (error) {
    if (error instanceof DaosError) return error.code;
    throw error;
  }
  return "none";
}

test("what is allowed is what the engine takes", () => {
  expect([AllowedConditions.read, AllowedConditions.write]).toEqual([FETCH_FLAGS, UPDATE_FLAGS]);
});

test("conditions become the flags of their levels", () => {
  const { write } = AllowedConditions;
  const flags = (conditions: LevelConditions | undefined, condition?: "ifExists" | "ifAbsent" | "always"): number =>
    conditionFlags(condition, "akey", conditions, write);
  expect(flags(undefined)).toBe(0);
  expect(flags({})).toBe(0);
  expect(flags({ dkey: undefined }, "always")).toBe(0);
  expect(flags(undefined, "ifAbsent")).toBe(ObjectFlag.ifAkeyAbsent);
  expect(flags({ object: "ifExists", dkey: "ifExists", akey: "ifAbsent" })).toBe(16 | 2 | 4);
  expect(flags({ dkey: "ifAbsent" }, "ifExists")).toBe(1 | 8);
  expect(flags({ akey: "ifExists" }, "ifExists")).toBe(8);
  expect(conditionFlags("ifExists", "dkey", { object: "ifExists" }, AllowedConditions.punchDkey)).toBe(16 | 2);
});

test("what no operation or not this one has is INVALID_ARGUMENT", () => {
  const { write, read, punchDkey, punchObject } = AllowedConditions;
  for (const conditions of [
    { object: "ifAbsent" },
    { dkey: "always" },
    { akey: null },
    { Akey: "ifExists" },
    null,
    "ifExists",
  ]) {
    expect([conditions, refusal(undefined, conditions, write)]).toEqual([conditions, "INVALID_ARGUMENT"]);
  }
  expect(refusal("ifExists", { akey: "ifAbsent" }, write)).toBe("INVALID_ARGUMENT");
  expect(refusal(undefined, { akey: "ifAbsent" }, read)).toBe("INVALID_ARGUMENT");
  expect(refusal(undefined, { akey: "ifExists" }, punchDkey)).toBe("INVALID_ARGUMENT");
  expect(refusal(undefined, { dkey: "ifExists" }, punchObject)).toBe("INVALID_ARGUMENT");
});

test("every operation of an object carries them", async () => {
  const engine = new FakeEngine(7, { type: "object" });
  const system = await engine.connect();
  try {
    const container = await system.pool("tank").openContainer("box");
    const object = container.object(container.newObjectId("MULTI_LEXICAL"));
    const value = Buffer.from("v");
    const range = { recordIndex: 0, recordCount: 1, recordBytes: 1 };
    const there = { conditions: { object: "ifExists", dkey: "ifExists" } } as const;
    const flags = (): number => engine.targets[0]!.lastFlags;
    for (const call of [
      () => object.update("d", "a", value, there),
      () => object.writeArray("d", "r", range, value, there),
      () => object.punchArray("d", "r", range, there),
      () => object.fetch("d", "a", there),
      () => object.readArray("d", "r", range, there),
      () => object.punchAkey("d", "a", there),
      () => object.punchDkey("d", there),
    ]) {
      expect(await codeOf(call())).toBe("DOES_NOT_EXIST");
      expect(flags()).toBe(ObjectFlag.ifObjectExists | ObjectFlag.ifDkeyExists);
    }
    expect(await codeOf(object.punch({ conditions: { object: "ifExists" } }))).toBe("DOES_NOT_EXIST");
    await object.update("d", "a", value, { conditions: { dkey: "ifAbsent" } });
    expect(await codeOf(object.update("d", "b", value, { conditions: { dkey: "ifAbsent" } }))).toBe("ALREADY_EXISTS");
    await object.update("d", "b", value, { ...there, condition: "ifAbsent" });
    expect((await object.fetch("d", "b", { conditions: { akey: "ifExists" } }))!.value).toEqual(Uint8Array.from(value));
    expect(await codeOf(object.fetch("d", "c", { conditions: { akey: "ifExists" } }))).toBe("DOES_NOT_EXIST");
    expect(await object.fetch("d", "c")).toBeUndefined();
  } finally {
    await system.close();
    await engine.close();
  }
});
