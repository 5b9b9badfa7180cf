/**
 * The single executable, by a small program of its own: LMDB in the main thread and in a worker, CBOR, a module loaded
 * by absolute path, run from an empty folder while its sources are gone.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildExecutable } from "../../scripts/executable.ts";

const MAIN = `
import { open } from "lmdb";
import { decode, encode } from "cbor-x";
const [folder, plugin] = process.argv.slice(2);
const store = open({ path: folder + "/main", encoding: "binary" });
await store.put("key", Buffer.from("main"));
const worker = new Worker(new URL("./sample-thread.ts", import.meta.url).href);
const answer = new Promise((resolve, reject) => {
  worker.onmessage = (event) => resolve(event.data);
  worker.onerror = (event) => reject(new Error(event.message));
});
worker.postMessage(folder);
const report = {
  main: store.get("key").toString(),
  worker: await answer,
  cbor: decode(encode({ text: "é".repeat(50) })).text.length,
  plugin: (await import(plugin)).default.name,
};
let addon = "";
try { addon = require("./native/absent/build/Release/absent.node"); } catch (error) { addon = error.message; }
console.log(JSON.stringify({ ...report, addon }));
process.exit(0);
`;
const THREAD = `
import { open } from "lmdb";
self.onmessage = async (event) => {
  const store = open({ path: event.data + "/worker", encoding: "binary" });
  await store.put("key", Buffer.from("worker"));
  postMessage(store.get("key").toString());
};
`;

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "daos-executable-"));
  for (const name of ["source", "out", "empty", "plugin"]) mkdirSync(join(folder, name));
  symlinkSync(join(import.meta.dir, "..", "..", "node_modules"), join(folder, "source", "node_modules"));
  writeFileSync(join(folder, "source", "main.ts"), MAIN);
  mkdirSync(join(folder, "source", "native", "absent"), { recursive: true });
  writeFileSync(join(folder, "source", "native", "absent", "packages.json"), `{ "debianPackages": ["libabsent-dev"] }`);
  writeFileSync(join(folder, "source", "sample-thread.ts"), THREAD);
  writeFileSync(join(folder, "plugin", "name.ts"), `export const name: string = "foreign";`);
  writeFileSync(join(folder, "plugin", "index.ts"), `import { name } from "./name.ts"; export default { name };`);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("buildExecutable embeds LMDB, workers and CBOR, and still loads modules by path", async () => {
  const outputPath = join(folder, "out", "sample");
  const entryPoints = ["main.ts", "sample-thread.ts"].map((name) => join(folder, "source", name));
  await buildExecutable({ entryPoints, outputPath });
  renameSync(outputPath, join(folder, "empty", "sample"));
  rmSync(join(folder, "source"), { recursive: true });

  const data = mkdtempSync(join(folder, "data-"));
  const result = Bun.spawnSync([join(folder, "empty", "sample"), data, join(folder, "plugin", "index.ts")], {
    cwd: join(folder, "empty"),
  });
  expect(result.stderr.toString()).toBe("");
  expect(JSON.parse(result.stdout.toString())).toEqual({
    main: "main",
    worker: "worker",
    cbor: 50,
    plugin: "foreign",
    addon: "it is not part of this executable. Use one built where libabsent-dev is installed",
  });
}, 30_000);

test("buildExecutable says what the bundler complained about", async () => {
  const entryPoint = join(folder, "plugin", "broken.ts");
  writeFileSync(entryPoint, `import "./absent.ts";`);
  const attempt = buildExecutable({ entryPoints: [entryPoint], outputPath: join(folder, "out", "broken") });
  await expect(attempt).rejects.toThrow(/absent\.ts/);
});
