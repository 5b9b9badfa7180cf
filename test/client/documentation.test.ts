/**
 * docs/client.md cannot lie: its examples run here as programs of their own, in order, against an engine, and print what
 * stands below them. Its reference names every public method.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  ArrayHandle,
  Container,
  ContainerView,
  ObjectHandle,
  Pool,
  System,
  Transaction,
  TransactionObject,
} from "../../src/client/index.ts";
import { EngineProcess } from "../crash/engine-process.ts";

const ROOT = join(import.meta.dir, "../..");
const TEXT = readFileSync(join(ROOT, "docs/client.md"), "utf8");
const EXAMPLES = [...TEXT.matchAll(/^## ([^\n]+)\n(?:(?!^## )[^])*?```ts\n([^]*?)```\n\n```text\n([^]*?)```/gm)];
const START_TIMEOUT_MS = 60_000;

const folder = mkdtempSync(join(tmpdir(), "daos-documentation-"));
let engine: EngineProcess | undefined;

beforeAll(async () => {
  const sizes = { scmSize: "128MiB", nvmeSize: "512MiB", targets: 2 };
  engine = await EngineProcess.start({ storage: join(folder, "storage"), ...sizes });
}, START_TIMEOUT_MS);

afterAll(async () => {
  await engine?.stop();
  rmSync(folder, { recursive: true, force: true });
});

test("there are examples, each with its output", () => {
  expect(EXAMPLES.length).toBe(TEXT.split("```ts\n").length - 1);
  expect(EXAMPLES.length).toBeGreaterThan(4);
});

for (const [, title, code, output] of EXAMPLES) {
  test(
    `example "${title}" prints what stands below it`,
    async () => {
      const library = join(ROOT, "src/library.ts");
      const program = code!
        .replaceAll('"127.0.0.1:10001"', JSON.stringify(engine!.address))
        .replace('"daos"', JSON.stringify(library));
      const path = join(folder, "example.ts");
      writeFileSync(path, program);
      const child = Bun.spawn([process.execPath, path], { stdout: "pipe", stderr: "pipe", stdin: "ignore" });
      const [stdout, stderr] = await Promise.all([
        new Response(child.stdout).text(),
        new Response(child.stderr).text(),
      ]);
      expect(stderr).toBe("");
      expect(stdout).toBe(output!);
      expect(await child.exited).toBe(0);
    },
    START_TIMEOUT_MS,
  );
}

test("the reference names every method", () => {
  const reference = TEXT.slice(TEXT.indexOf("## Reference"));
  const types = [System, Pool, Container, ContainerView, ArrayHandle, ObjectHandle, Transaction, TransactionObject];
  for (const type of types) {
    const names = Object.getOwnPropertyNames(type.prototype).filter((name) => name !== "constructor");
    const inner = ["attributes", "description", "readOnly", "objectClass"];
    for (const name of names.filter((each) => !inner.includes(each))) expect(reference).toContain(`\`${name}\``);
  }
});
