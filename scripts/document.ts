/**
 * `npm run document`: writes the pages that are made from the source: docs/limits.md and docs/events.md.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { EVENTS } from "../src/base/events.ts";
import * as limits from "../src/base/limits.ts";
import { eventsPage } from "./events-page.ts";
import { limitsPage } from "./limits-page.ts";

const ROOT = join(import.meta.dir, "..");
const source = readFileSync(join(ROOT, "src", "base", "limits.ts"), "utf8");
writeFileSync(join(ROOT, "docs", "limits.md"), limitsPage(source, limits));
writeFileSync(join(ROOT, "docs", "events.md"), eventsPage(EVENTS));
