/**
 * `npm run build [-- OUTPUT]`: dist/daos, one executable that runs from any folder with nothing beside it. How native
 * libraries get into it is executable.ts's part.
 */
import { Glob } from "bun";
import { mkdirSync, mkdtempSync, renameSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { buildExecutable } from "./executable.ts";

const ROOT = join(import.meta.dir, "..");
const outputPath = resolve(process.argv[2] ?? join(ROOT, "dist", "daos"));
const threads = [...new Glob("*-thread.ts").scanSync(join(ROOT, "src"))].sort();

mkdirSync(dirname(outputPath), { recursive: true });
// Built aside and renamed, so that an executable that is running, or used by another build, is never half-written.
const workFolder = mkdtempSync(join(dirname(outputPath), ".build-"));
try {
  const workPath = join(workFolder, basename(outputPath));
  const entryPoints = ["main.ts", ...threads].map((name) => join(ROOT, "src", name));
  await buildExecutable({ entryPoints, outputPath: workPath });
  renameSync(workPath, outputPath);
} finally {
  rmSync(workFolder, { recursive: true, force: true });
}
console.log(`${outputPath}: ${Math.round(statSync(outputPath).size / 1e6)} MB, ${threads.length} thread modules`);
