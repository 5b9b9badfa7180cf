/**
 * Step of `npm run check`: prints every violation of the layers (scripts/layers.ts) in src/ and plugins/, and ends with
 * status 1 when there is one.
 */
import { Glob } from "bun";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { layerViolations } from "./layers.ts";

const root = join(import.meta.dir, "..");
const paths = [...new Glob("{src,plugins}/**/*.ts").scanSync(root)].sort();
const violations = layerViolations(paths.map((path) => ({ path, text: readFileSync(join(root, path), "utf8") })));
for (const { path, line, message } of violations) console.log(`${path}:${line}: ${message}`);
console.log(`${paths.length} files, ${violations.length} violations of the layers`);
if (violations.length > 0 || paths.length === 0) process.exit(1);
