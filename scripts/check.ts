/**
 * `npm run check`: types, format, lint, layers, dead code, in this order. Runs every step even when one fails, shows the
 * output of those that fail, and ends with status 1 if any did. `bun check` comes here too; given files or flags, it
 * is the type checker alone.
 */
import { join } from "node:path";

const ROOT = join(import.meta.dir, "..");
const BIN = join(ROOT, "node_modules", ".bin");
const FORMATTED = ["src", "plugins", "native", "test", "scripts", "bench"];

const STEPS: readonly { name: string; command: readonly string[] }[] = [
  { name: "types", command: [process.execPath, "check", "--no-script", "--no-pretty", "--all"] },
  { name: "format", command: [process.execPath, "fmt", "--no-script", "--check", ...FORMATTED] },
  { name: "lint", command: [join(BIN, "oxlint"), "--type-aware", ...FORMATTED] },
  { name: "layers", command: [process.execPath, join(ROOT, "scripts", "check-layers.ts")] },
  {
    name: "dead code",
    command: [process.execPath, join(ROOT, "node_modules", "knip", "bin", "knip.js"), "--no-progress"],
  },
];

const typeCheckerArguments = process.argv.slice(2);
if (typeCheckerArguments.length > 0) {
  const command = [process.execPath, "check", "--no-script", ...typeCheckerArguments];
  process.exit(Bun.spawnSync(command, { stdin: "ignore", stdout: "inherit", stderr: "inherit" }).exitCode);
}

let failures = 0;
for (const { name, command } of STEPS) {
  const startedNs = Bun.nanoseconds();
  const result = Bun.spawnSync([...command], { cwd: ROOT, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const tookMs = Math.round((Bun.nanoseconds() - startedNs) / 1e6);
  console.log(`${result.success ? "ok    " : "FAILED"} ${name} (${tookMs} ms)`);
  if (result.success) continue;
  failures += 1;
  console.log(`${result.stdout.toString()}${result.stderr.toString()}`.trimEnd());
}
if (failures > 0) {
  console.log(`check: ${failures} of ${STEPS.length} steps failed`);
  process.exit(1);
}
