/**
 * Some of the files of node_modules through an engine that is killed twice; `npm run test:real` takes all of them.
 */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { GIB } from "../../src/base/limits.ts";
import { findFiles } from "./real-files.ts";
import { runRealInput } from "./real-input.ts";

const FOLDER = join(import.meta.dir, "../../node_modules");
const FILES = 2000;
/** Leaves out the few large binaries, which alone would take longer than all others. */
const MAX_FILE_BYTES = 16 * 2 ** 20;

test("real files survive kill -9, and a snapshot keeps them when they are overwritten and punched", async () => {
  const files = findFiles([FOLDER])
    .filter(({ sizeBytes }) => sizeBytes <= MAX_FILE_BYTES)
    .slice(0, FILES);
  const result = await runRealInput({ files, engine: { scmSize: "1GiB", nvmeSize: "4GiB" }, poolBytes: 4 * GIB });
  expect(result.files).toBe(files.length);
  expect(result.keys).toBeGreaterThan(result.files * 0.99);
  expect(result.comparedBytes).toBeGreaterThan(6 * result.fileBytes);
}, 180_000);
