#!/usr/bin/env node
/**
 * `npx daos ...` in a checkout: runs src/main.ts on the installed Bun with the caller's arguments, folder, streams and
 * signals, and ends as it ends. Plain Node, because npm starts it. An installation uses dist/daos instead, which needs
 * neither.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const bun = join(ROOT, "node_modules", "bun", "bin", "bun.exe");

if (!existsSync(bun)) {
  process.stderr.write(`daos: Cannot start: packages are not installed. Run "npm run setup" in ${ROOT} first.\n`);
  process.exit(1);
}

const child = spawn(bun, [join(ROOT, "src", "main.ts"), ...process.argv.slice(2)], { stdio: "inherit" });
// A terminal sends SIGINT to the whole group, so it is only survived here; the others are for us alone and passed on.
process.on("SIGINT", () => {});
for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
child.on("error", (error) => {
  process.stderr.write(`daos: Cannot start "${bun}": ${error.message}. Remove node_modules and run "npm run setup".\n`);
  process.exit(1);
});
child.on("exit", (status, signal) => {
  if (signal === null) process.exit(status ?? 1);
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
});
