import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import metaStoreSqlite from "../../../plugins/meta-store/sqlite/index.ts";
import { bytesOf } from "../../../src/base/bytes.ts";
import { realWorld } from "../../../src/world/index.ts";
import { metaStoreConformance } from "../../conformance/meta-store.ts";
import { expectCode, inTemporaryFolder } from "../../conformance/support.ts";

metaStoreConformance("sqlite", () => metaStoreSqlite.create({}));

function open(folder: string) {
  return metaStoreSqlite.create({}).open(realWorld(), { folder });
}

test("a second store on the same folder: BUSY", () =>
  inTemporaryFolder(async (folder) => {
    const store = await open(folder);
    await expectCode("BUSY", () => open(folder));
    await store.close();
    await (await open(folder)).close();
  }));

test("a file of a newer format: VERSION", () =>
  inTemporaryFolder(async (folder) => {
    await (await open(folder)).close();
    const database = new Database(`${folder}/meta.sqlite`);
    database.run("PRAGMA user_version = 2");
    database.close();
    await expectCode("VERSION", () => open(folder));
  }));

test("a database of another program: CORRUPT", () =>
  inTemporaryFolder(async (folder) => {
    const database = new Database(`${folder}/meta.sqlite`);
    database.run("CREATE TABLE other (x)");
    database.close();
    await expectCode("CORRUPT", () => open(folder));
  }));

test("a file that is no database, and damaged pages: CORRUPT", () =>
  inTemporaryFolder(async (folder) => {
    const path = `${folder}/meta.sqlite`;
    writeFileSync(path, "something else altogether, long enough to be looked at ".repeat(100));
    await expectCode("CORRUPT", () => open(folder));
    writeFileSync(path, "");
    await fill(folder);
    const bytes = readFileSync(path);
    for (let page = 1; page * 4096 < bytes.length; page += 1) bytes.fill(0xa5, page * 4096, page * 4096 + 100);
    writeFileSync(path, bytes);
    await expectCode("CORRUPT", () => open(folder));
  }));

test("one bit of a value that flipped: CORRUPT when read, the other keys still are", () =>
  inTemporaryFolder(async (folder) => {
    const path = `${folder}/meta.sqlite`;
    await fill(folder);
    const bytes = readFileSync(path);
    bytes[bytes.indexOf("value of key/0123.")]! ^= 1;
    writeFileSync(path, bytes);
    const store = await open(folder);
    await expectCode("CORRUPT", () => store.get("key/0123"));
    await expectCode("CORRUPT", () => store.range("key/"));
    expect(await store.get("key/0124")).toBeDefined();
    await store.close();
  }));

async function fill(folder: string): Promise<void> {
  const store = await open(folder);
  const names = Array.from({ length: 500 }, (_, index) => `key/${String(index).padStart(4, "0")}`);
  await store.commit(
    [],
    names.map((name) => ({ put: name, value: bytesOf(`value of ${name}.`) })),
  );
  await store.close();
}

test("a folder that cannot be written: READ_ONLY", () =>
  inTemporaryFolder(async (folder) => {
    if (process.getuid?.() === 0) return; // Root may write anywhere.
    chmodSync(folder, 0o500);
    await expectCode("READ_ONLY", () => open(folder));
    chmodSync(folder, 0o700);
  }));

test("what was committed is there after kill -9", () =>
  inTemporaryFolder(async (folder) => {
    const script = `
      import plugin from ${JSON.stringify(import.meta.resolve("../../../plugins/meta-store/sqlite/index.ts"))};
      import { realWorld } from ${JSON.stringify(import.meta.resolve("../../../src/world/index.ts"))};
      const store = await plugin.create({}).open(realWorld(), { folder: ${JSON.stringify(folder)} });
      for (let index = 0; ; index += 1) {
        await store.commit([], [{ put: "last", value: Buffer.from(String(index)) }, { put: "k" + index, value: Buffer.alloc(9) }]);
        process.stdout.write(index + "\\n");
      }`;
    const child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe", stderr: "inherit" });
    let output = "";
    for await (const chunk of child.stdout) {
      output += new TextDecoder().decode(chunk);
      if (output.split("\n").length > 50) child.kill("SIGKILL");
    }
    await child.exited;
    const acknowledged = Number(output.slice(0, output.lastIndexOf("\n")).split("\n").at(-1));
    const store = await open(folder);
    const last = Number(Buffer.from((await store.get("last"))!.value).toString());
    expect(last).toBeGreaterThanOrEqual(acknowledged);
    expect((await store.range("k")).length).toBe(last + 1);
    await store.close();
  }));

test("a watcher that throws ends the process, after the others were told", () =>
  inTemporaryFolder(async (folder) => {
    const script = `
      import plugin from ${JSON.stringify(import.meta.resolve("../../../plugins/meta-store/sqlite/index.ts"))};
      import { realWorld } from ${JSON.stringify(import.meta.resolve("../../../src/world/index.ts"))};
      const store = await plugin.create({}).open(realWorld(), { folder: ${JSON.stringify(folder)} });
      store.watch("", () => { throw new Error("a bug in a watcher"); });
      store.watch("", (event) => process.stdout.write("told " + event.key));
      await store.commit([], [{ put: "a", value: Buffer.from("1") }]);`;
    const child = Bun.spawnSync([process.execPath, "-e", script]);
    expect(child.stdout.toString()).toBe("told a");
    expect(child.stderr.toString()).toContain("a bug in a watcher");
    expect(child.exitCode).toBe(1);
  }));
