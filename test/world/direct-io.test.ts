import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { hasDirectIo } from "../../src/world/direct-io.ts";
import { inTemporaryFolder } from "../conformance/support.ts";

test("a file system without direct I/O is told from others", () => {
  expect(hasDirectIo("/proc")).toBe(false);
  expect(hasDirectIo("/proc/self/nowhere")).toBe(false);
});

test("a folder that is not there yet has what its nearest parent has, and nothing is left behind", () =>
  inTemporaryFolder((folder) => {
    expect(hasDirectIo(join(folder, "a/b"))).toBe(hasDirectIo(folder));
    expect(readdirSync(folder)).toEqual([]);
  }));
