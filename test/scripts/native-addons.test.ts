/**
 * The build of native addons, on a small addon of its own. Without a compiler the same call must say so in one line: both
 * outcomes are checked, whichever this machine gives.
 */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

const CHECKOUT = join(import.meta.dir, "..", "..");
const SOURCE = `#include <napi.h>
static Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports.Set("answer", Napi::Number::New(env, 42));
  return exports;
}
NODE_API_MODULE(sample, Init)
`;
const GYP = `{ "targets": [{ "target_name": "sample", "sources": ["binding.cc"],
  "include_dirs": ["<!@(node -p \\"require('node-addon-api').include\\")"],
  "defines": ["NAPI_DISABLE_CPP_EXCEPTIONS"] }] }`;

let root = "";
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "daos-addons-"));
  symlinkSync(join(CHECKOUT, "node_modules"), join(root, "node_modules"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** What setup would print; `tools` false: as on a machine without a compiler. */
function buildAddons(tools = true): string[] {
  const module = JSON.stringify(join(CHECKOUT, "scripts", "native-addons.mjs"));
  const find = tools ? "" : ", () => false";
  const code = `const { buildAddons } = await import(${module});
    console.log(JSON.stringify(buildAddons(${JSON.stringify(root)}${find})));`;
  const result = Bun.spawnSync(["node", "--input-type=module", "-e", code], { cwd: root });
  expect(result.stderr.toString()).toBe("");
  return JSON.parse(result.stdout.toString()) as string[];
}

function writeAddon(source: string): void {
  mkdirSync(join(root, "native", "sample"), { recursive: true });
  writeFileSync(join(root, "native", "sample", "binding.cc"), source);
  writeFileSync(join(root, "native", "sample", "binding.gyp"), GYP);
}

test("buildAddons without addons says that the portable plugins serve", () => {
  expect(buildAddons()).toEqual(["no native addons in this version: the portable plugins serve"]);
});

test("buildAddons without a compiler says so in one line", () => {
  writeAddon(SOURCE);
  const lines = buildAddons(false);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(/^native addons not built \(no c\+\+, no make, no python3.*\): the portable plugins serve$/);
});

test("buildAddons builds once, again when a source changes, and survives a source that does not compile", () => {
  writeAddon(SOURCE);
  const lines = buildAddons();
  if (lines[0]?.startsWith("native addons not built (no ")) return;
  expect(lines).toEqual(["native addon sample built"]);
  const built = join(root, "native", "sample", "build", "Release", "sample.node");
  const addon = createRequire(import.meta.url)(built) as { answer: number };
  expect(addon.answer).toBe(42);
  expect(buildAddons()).toEqual([]);

  writeAddon(`${SOURCE}#error broken\n`);
  const failure =
    "native addon sample not built (see native/sample/build/build.log, remove that folder to retry): the portable plugins serve";
  expect(buildAddons()).toEqual([failure]);
  const logPath = join(root, "native", "sample", "build", "build.log");
  rmSync(logPath);
  expect(buildAddons()).toEqual([failure]);
  expect(existsSync(logPath)).toBe(false);
}, 60_000);
