/**
 * `npm run test:real [-- FOLDER ...]`: every file of the folders (node_modules unless given) stored as array and as key,
 * compared byte for byte after kill -9, and again, also from a snapshot, after all were overwritten or punched.
 */
import { join, resolve } from "node:path";
import { GIB } from "../src/base/limits.ts";
import { findFiles } from "../test/crash/real-files.ts";
import { runRealInput } from "../test/crash/real-input.ts";

const folders = process.argv.slice(2);
if (folders.length === 0) folders.push(join(import.meta.dir, "../node_modules"));
const files = findFiles(folders.map((folder) => resolve(folder)));
const totalBytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
/** Two copies of the files, two versions of each, and blocks that are not full. */
const nvmeGib = Math.ceil((totalBytes * 4 + files.length * 4 * 4096) / GIB) + 2;
console.log(`${files.length} files, ${Math.round(totalBytes / 2 ** 20)} MiB, from ${folders.join(", ")}`);
const result = await runRealInput({
  files,
  engine: { scmSize: "4GiB", nvmeSize: `${nvmeGib}GiB` },
  poolBytes: nvmeGib * GIB,
  report: (line) => console.log(line),
});
console.log(JSON.stringify(result));
