/**
 * `npm run test:asan [-- NAME ...] [--seconds N]`: the native code of each addon (or of those named) under
 * AddressSanitizer and UndefinedBehaviorSanitizer. Each native/<name>/sanitize/*.cc is a program with a `main` of its own;
 * it is linked with native/<name>/*.cc except binding.cc and with the libraries that packages.json names, run with the
 * seconds as its argument, and must end with status 0 and without a report. Status 1 otherwise, or when none ran.
 */
import { parseArgs } from "node:util";
import { resolve } from "node:path";
import { sanitizeHarnesses, runHarness } from "./sanitize-harness.ts";

const ROOT = resolve(import.meta.dir, "..");
const DEFAULT_SECONDS = 20;

const { values, positionals } = parseArgs({ allowPositionals: true, options: { seconds: { type: "string" } } });
const seconds = Number(values.seconds ?? DEFAULT_SECONDS);
if (!Number.isInteger(seconds) || seconds < 1) {
  console.error(`Cannot run "${values.seconds}" seconds: not a whole number of at least 1. Example: --seconds 20`);
  process.exit(2);
}
const harnesses = sanitizeHarnesses(ROOT).filter(
  ({ addon }) => positionals.length === 0 || positionals.includes(addon),
);
if (harnesses.length === 0) {
  console.error(`Cannot find harness "${positionals.join(" ")}": no native/<name>/sanitize/*.cc.`);
  process.exit(1);
}
let failures = 0;
for (const harness of harnesses) {
  const { passed, output } = runHarness(harness, seconds);
  if (!passed) failures += 1;
  console.log(`${passed ? "ok    " : "FAILED"} ${harness.name}: ${output.trimEnd()}`);
}
console.log(`${harnesses.length - failures} passed, ${failures} failed`);
process.exit(failures > 0 ? 1 : 0);
