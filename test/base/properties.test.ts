import { expect, test } from "bun:test";
import { DaosError } from "../../src/base/errors.ts";
import {
  checkProperties,
  PROPERTIES,
  type PropertyScope,
  propertiesOf,
  type PropertyValue,
} from "../../src/base/properties.ts";

function codeOf(scope: PropertyScope, name: string, value: PropertyValue, moment: "creation" | "later"): string {
  try {
    checkProperties(scope, { [name]: value }, moment);
    return "ok";
  } catch (error) {
    if (error instanceof DaosError) return error.code;
    throw error;
  }
}

test("each property can be set exactly when the table says so", () => {
  const good: Record<string, PropertyValue> = {
    label: "x",
    size: "1GiB",
    oclass: "S1",
    chunk_size: "1MiB",
    rd_fac: 0,
    ec_cell_sz: "64KiB",
  };
  for (const { scope, name, settable } of PROPERTIES) {
    const value = good[name] ?? "x";
    expect(codeOf(scope, name, value, "creation")).toBe(settable === "creation" ? "ok" : "INVALID_ARGUMENT");
    expect(codeOf(scope, name, value, "later")).toBe(settable === "argument" ? "ok" : "INVALID_ARGUMENT");
  }
});

test("values come out in their stored form", () => {
  const checked = checkProperties(
    "container",
    { oclass: "sx", chunk_size: "64K", rd_fac: "0", "user.a": 5 },
    "creation",
  );
  expect(checked).toEqual({ oclass: "SX", chunk_size: 65536, rd_fac: 0, "user.a": "5" });
  expect(checkProperties("pool", { size: "1.5GiB" }, "later")).toEqual({ size: 1.5 * 2 ** 30 });
});

test("every default passes its own check", () => {
  for (const definition of PROPERTIES) {
    if (definition.defaultValue !== undefined)
      expect(definition.check(definition.defaultValue)).toBe(definition.defaultValue);
  }
});

test("names are unique in their scope, and no object member counts as a property", () => {
  for (const scope of ["pool", "container"] as const) {
    const names = propertiesOf(scope).map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    for (const name of ["constructor", "toString", "__proto__", "", "user", "user.", "user.a b"]) {
      const properties = JSON.parse(`{${JSON.stringify(name)}:"x"}`) as Record<string, string>;
      expect(() => checkProperties(scope, properties, "creation")).toThrow(DaosError);
    }
  }
});

test("rd_fac: 0 to 4 faults, the rest is INVALID_ARGUMENT", () => {
  for (const value of [0, 1, "2", 4]) {
    expect(checkProperties("pool", { rd_fac: value }, "creation")).toEqual({ rd_fac: Number(value) });
  }
  for (const value of [-1, 5, 0.5, "", " ", "x", true, Number.NaN]) {
    expect(codeOf("pool", "rd_fac", value, "creation")).toBe("INVALID_ARGUMENT");
  }
});

test("ec_cell_sz: a multiple of 4 KiB up to 1 MiB, in both scopes, at creation only", () => {
  for (const scope of ["pool", "container"] as const) {
    for (const [value, stored] of [
      ["4KiB", 4096],
      ["128K", 131_072],
      [1_048_576, 1_048_576],
    ] as const) {
      expect(checkProperties(scope, { ec_cell_sz: value }, "creation")).toEqual({ ec_cell_sz: stored });
    }
    for (const value of [0, 4095, 6000, "2MiB", true, "x"]) {
      expect(codeOf(scope, "ec_cell_sz", value, "creation")).toBe("INVALID_ARGUMENT");
    }
    expect(codeOf(scope, "ec_cell_sz", "64KiB", "later")).toBe("INVALID_ARGUMENT");
  }
});
