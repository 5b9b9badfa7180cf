import { expect, test } from "bun:test";
import { lstatSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSink, openSource } from "../../src/world/local-files.ts";
import { expectCode } from "../conformance/support.ts";

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "daos-files-"));
  try {
    await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test("openSink: the file has its old content until commit, and an abort leaves nothing", () =>
  inFolder(async (folder) => {
    const path = join(folder, "file");
    writeFileSync(path, "old");
    const aborted = await openSink(path);
    await aborted.write(Buffer.from("half"));
    await aborted.abort();
    const sink = await openSink(path);
    await sink.write(Buffer.from("new"));
    expect(readFileSync(path, "utf8")).toBe("old");
    await sink.commit();
    expect(readFileSync(path, "utf8")).toBe("new");
    expect(readdirSync(folder)).toEqual(["file"]);
  }));

test("openSink: a link is followed, not replaced", () =>
  inFolder(async (folder) => {
    writeFileSync(join(folder, "file"), "old");
    symlinkSync(join(folder, "file"), join(folder, "link"));
    const sink = await openSink(join(folder, "link"));
    await sink.write(Buffer.from("new"));
    await sink.commit();
    expect(lstatSync(join(folder, "link")).isSymbolicLink()).toBe(true);
    expect(readFileSync(join(folder, "file"), "utf8")).toBe("new");
  }));

test("openSink: a device is written to, not replaced", async () => {
  const sink = await openSink("/dev/null");
  await sink.write(Buffer.from("gone"));
  await sink.commit();
  expect(lstatSync("/dev/null").isCharacterDevice()).toBe(true);
});

test("openSource: a file comes in chunks; a folder or nothing there is an error", () =>
  inFolder(async (folder) => {
    const content = Buffer.alloc(2_500_000, 7);
    writeFileSync(join(folder, "file"), content);
    const source = await openSource(join(folder, "file"));
    expect(source.sizeBytes).toBe(content.length);
    const chunks: Uint8Array[] = [];
    for await (const chunk of source.chunks) chunks.push(chunk);
    expect(Buffer.concat(chunks).equals(content)).toBe(true);
    await expectCode("INVALID_ARGUMENT", () => openSource(folder));
    await expectCode("NOT_FOUND", () => openSource(join(folder, "absent")));
  }));
