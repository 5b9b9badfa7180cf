/**
 * `npm run test:leaks [-- NAME ...] [--operations N]`: repeats each operation of each native/<name>/leak-check.ts 10 million
 * times in this process and prints the resident memory after a tenth of them (caches are warm then) and at the end. Status 1
 * when it grew by more than a fixed allowance, or when nothing ran.
 */
import { Glob } from "bun";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import type { LeakCheck } from "../native/leak-check.ts";
import { processMemory } from "./process-memory.ts";

const ROOT = resolve(import.meta.dir, "..");
const DEFAULT_OPERATIONS = 10_000_000;
const WARM_UP_SHARE = 10;
/** One byte an operation would be 10 MB: what stays below is the garbage collector's and the allocator's play. */
const ALLOWED_GROWTH_BYTES = 8 * 2 ** 20;
/** Operations between two collections: what waits to be collected is not taken for a leak. */
const COLLECT_INTERVAL = 100_000;

const { values, positionals } = parseArgs({ allowPositionals: true, options: { operations: { type: "string" } } });
const operations = Number(values.operations ?? DEFAULT_OPERATIONS);
if (!Number.isSafeInteger(operations) || operations < WARM_UP_SHARE) {
  console.error(`Cannot run "${values.operations}" operations: not a whole number of at least ${WARM_UP_SHARE}.`);
  process.exit(2);
}

let ran = 0;
let leaks = 0;
for (const path of [...new Glob("native/*/leak-check.ts").scanSync(ROOT)].sort()) {
  const name = path.split("/")[1]!;
  if (positionals.length > 0 && !positionals.includes(name)) continue;
  const { leakCheck } = (await import(join(ROOT, path))) as { leakCheck: LeakCheck };
  const run = await leakCheck.start();
  if ("reason" in run) {
    console.log(`skipped ${name}: ${run.reason}`);
    continue;
  }
  for (const [operationName, operation] of Object.entries(run.operations)) {
    ran += 1;
    if (await leaksMemory(`${name}: ${operationName}`, operation)) leaks += 1;
  }
  await run.stop?.();
}
console.log(`${ran - leaks} passed, ${leaks} failed`);
process.exit(leaks > 0 || ran === 0 ? 1 : 0);

async function leaksMemory(title: string, operation: () => unknown): Promise<boolean> {
  const warmUp = Math.floor(operations / WARM_UP_SHARE);
  await repeat(operation, warmUp);
  const beforeBytes = residentBytes();
  const startedNs = Bun.nanoseconds();
  await repeat(operation, operations - warmUp);
  const nsPerOperation = (Bun.nanoseconds() - startedNs) / (operations - warmUp);
  const afterBytes = residentBytes();
  const leaking = afterBytes - beforeBytes > ALLOWED_GROWTH_BYTES;
  const figures = `${mebibytes(beforeBytes)} -> ${mebibytes(afterBytes)} MiB resident`;
  console.log(`${leaking ? "FAILED" : "ok    "} ${title}: ${figures}, ${Math.round(nsPerOperation)} ns each`);
  return leaking;
}

async function repeat(operation: () => unknown, count: number): Promise<void> {
  for (let done = 0; done < count; done += COLLECT_INTERVAL) {
    for (let left = Math.min(COLLECT_INTERVAL, count - done); left > 0; left -= 1) {
      const result = operation();
      if (result instanceof Promise) await result;
    }
    Bun.gc(true);
  }
}

function residentBytes(): number {
  Bun.gc(true);
  return processMemory(process.pid).residentBytes;
}

function mebibytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1);
}
