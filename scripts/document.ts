/**
 * `npm run document`: writes the pages that are made from the source, docs/limits.md.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as limits from "../src/base/limits.ts";
import { limitsPage } from "./limits-page.ts";

const ROOT = join(import.meta.dir, "..");
const source = readFileSync(join(ROOT, "src", "base", "limits.ts"), "utf8");
writeFileSync(join(ROOT, "docs", "limits.md"), limitsPage(source, limits));
