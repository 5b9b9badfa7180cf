import { expect, test } from "bun:test";
import { checkDomainPath } from "../../src/base/domain-path.ts";

test.each(["/", "/rack1", "/rack1/node2", "/a/b/c/d/e/f/g/h", "/Ab.9_-"])("%s is a fault domain", (path) => {
  expect(checkDomainPath(path)).toBe(path);
});

test.each(["", "rack1", "//", "/rack1/", "/a b", "/a/b/c/d/e/f/g/h/i", `/${"x".repeat(64)}`, "/rück"])(
  "%j is none",
  (path) => {
    expect(() => checkDomainPath(path)).toThrow("Cannot use fault domain");
  },
);
